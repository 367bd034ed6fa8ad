"""What the dispatcher asks many times a second never reads a dead sink's backlog on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.integration.owing import Owing, snapshot
from tests.integration.plans import fetched
from underfoot.storage.statements import statement

BACKLOG = 20_000


@pytest.fixture
def owing(database: str) -> Iterator[Owing]:
    owing = Owing(database)
    dead, good = owing.sink("dead", "http://127.0.0.1:9/"), owing.sink("good", "http://127.0.0.1:9/")
    owing.execute(
        "INSERT INTO alarms (subject_kind, subject_key, rule_id, episode)"
        " SELECT 'device', n, 'cover.open', 1 FROM generate_series(1, %s) n",
        BACKLOG,
    )
    fill = (
        "INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity,"
        " snapshot, state)"
        " SELECT %s || '-' || alarm_key, %s, alarm_key, 1, 1, 'raise', 1 + alarm_key %% 4, %s, %s FROM alarms"
    )
    owing.execute(fill, "dead", dead, Jsonb(snapshot()), "owed")
    owing.execute(fill, "good", good, Jsonb(snapshot()), "delivered")
    owing.execute("UPDATE outbox SET state = 'owed' WHERE sink_key = %s AND alarm_key %% 1000 = 0", good)
    owing.execute("ANALYZE outbox")
    yield owing
    owing.close()


def costs_at_most(owing: Owing, name: str, values: dict[str, Any], at_most: int) -> None:
    with psycopg.connect(owing.database) as connection:
        answer = connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement(name), values).fetchone()
        connection.rollback()
    assert answer is not None
    plan = answer[0]
    rows, kinds = fetched(plan[0]["Plan"], {"outbox"})
    assert kinds, plan
    assert "Seq Scan" not in kinds, plan
    assert rows <= at_most, plan


@pytest.mark.parametrize(
    ("name", "values", "at_most"),
    [
        ("outbox.sinks_at_work", {}, 60),
        ("outbox.claim", {"sinks": [2], "counts": [100], "least": [0], "lease_s": 15.0}, 120),
        ("outbox.claim", {"sinks": [1, 2], "counts": [50, 100], "least": [0, 4], "lease_s": 15.0}, 250),
        ("outbox.claimed", {"delivery_keys": list(range(1, 101))}, 200),
        ("outbox.release", {"delivery_keys": [1, 2], "leases": [None, None]}, 10),
        ("outbox.list_deliveries", {"state": None, "sink": None, "since": None, "limit": 50}, 60),
    ],
)
def test_a_backlog_costs_nothing(owing: Owing, name: str, values: dict[str, Any], at_most: int) -> None:
    costs_at_most(owing, name, values, at_most)


def test_nor_does_what_was_delivered_before_it(owing: Owing) -> None:
    """Where a large share is owed, whatever is owed is easily found by reading all: but for what lies before it."""
    owing.execute("DELETE FROM outbox WHERE state = 'owed'")
    owing.execute("VACUUM FULL outbox")
    owing.execute(
        "INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity, snapshot)"
        " SELECT alarm_key || '-' || n, 2, alarm_key, 1, n, 'change', 1, '{}' FROM alarms, generate_series(2, 4) n"
    )
    owing.execute("ANALYZE outbox")
    costs_at_most(owing, "outbox.sinks_at_work", {}, 60)
