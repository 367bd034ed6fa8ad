"""What the city asks each tick reads the days that it is about, however many are stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from underfoot.storage.statements import statement

DAYS = 40


@pytest.fixture
def stored(database: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Fifty gauges that have reported hourly for forty days."""
    with psycopg.connect(database, autocommit=True) as connection:
        for family, column in (("rain", "amount_mm"), ("pipe", "level_m")):
            fill = sql.SQL(
                "INSERT INTO {table} (device_key, ts, digest, {column}, received_at, quality)"
                " SELECT key, date_trunc('hour', now()) - hour * interval '1 hour', hour, 0, now(), 0"
                " FROM generate_series(1, 50) key, generate_series(0, {hours}) hour"
            )
            parts = {"column": sql.Identifier(column), "hours": sql.Literal(DAYS * 24)}
            connection.execute(fill.format(table=sql.Identifier(f"report_{family}"), **parts))
            latest = sql.SQL(
                "INSERT INTO {latest} (device_key, ts, {column}, received_at, quality)"
                " SELECT device_key, max(ts), 0, now(), 0 FROM {table} GROUP BY device_key"
            )
            names = {"latest": sql.Identifier(f"latest_{family}"), "table": sql.Identifier(f"report_{family}")}
            connection.execute(latest.format(column=parts["column"], **names))
            connection.execute(sql.SQL("ANALYZE {}").format(names["table"]))
        yield connection


def chunks_read(node: dict[str, Any]) -> set[str]:
    """The chunks of reports that a plan went into."""
    found = {node["Relation Name"]} if node.get("Schema") == "_timescaledb_internal" and node["Actual Loops"] else set()
    return found.union(*(chunks_read(child) for child in node.get("Plans", [])))


@pytest.mark.parametrize(
    ("name", "family"), [("city.rainfall", "rain"), ("city.spans", "pipe")], ids=["rainfall", "spans"]
)
def test_reads_the_last_day_or_two(stored: psycopg.Connection[tuple[Any, ...]], name: str, family: str) -> None:
    now = datetime.now(UTC)
    query = sql.SQL(statement(name)).format(
        latest=sql.Identifier(f"latest_{family}"),
        table=sql.Identifier(f"report_{family}"),
        field=sql.Identifier("level_m"),
    )
    params = {
        "device_keys": list(range(1, 51)),
        "span_s": 6 * 3600,
        "since": now - timedelta(hours=1),
        "oldest": now - timedelta(hours=8),
    }
    explain = sql.SQL("EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) ") + query
    row = stored.execute(explain, params).fetchone()
    assert row is not None
    read = chunks_read(row[0][0]["Plan"])
    assert 1 <= len(read) <= 3, read


def test_whom_a_late_report_concerns_is_asked_of_the_days_that_it_is_about(
    stored: psycopg.Connection[tuple[Any, ...]],
) -> None:
    now = datetime.now(UTC)
    query = sql.SQL(statement("city.reached")).format(
        table=sql.Identifier("report_pipe"), reaches=sql.SQL("level_m >= 1::real")
    )
    params = {
        "device_keys": list(range(1, 51)),
        "since": now - timedelta(hours=8),
        "until": now,
        "rule_id": "pipe.dry_weather_foul",
        "open_since": now - timedelta(hours=2),
    }
    row = stored.execute(sql.SQL("EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) ") + query, params).fetchone()
    assert row is not None
    assert 1 <= len(chunks_read(row[0][0]["Plan"])) <= 3
