"""Every query of the dashboard, run as Grafana's datasource would run it, by Grafana's role, on the real database."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.rules import shipped_pack
from deploy.grafana.city_map import DEFAULT_VIEW, View
from deploy.grafana.overview import overview
from deploy.grafana.provision import READER, let_reader_in, view_of_ledger
from tests.integration.grafana_query import Asked
from underfoot.storage.migrate import migrations
from underfoot.storage.statements import statement

CITY = Path(__file__).with_name("grafana_city.sql").read_text(encoding="utf-8")
HISTORY = Path(__file__).with_name("grafana_history.sql").read_text(encoding="utf-8")


def asked(**chosen: list[str]) -> Asked:
    now = datetime.now(UTC)
    variables = overview("http://x", DEFAULT_VIEW)["templating"]["list"]
    all_values = {each["name"]: each["allValue"] for each in variables if "allValue" in each}
    return Asked(now - timedelta(hours=6), now + timedelta(minutes=1), "5m", all_values, chosen)


@dataclass(frozen=True)
class Query:
    where: str
    format: str
    sql: str


def queries() -> list[Query]:
    """Every SQL the dashboard holds, wherever it stands in it."""
    dashboard = overview("http://127.0.0.1:58080", DEFAULT_VIEW)
    found = [
        Query(f"{panel['title']} {target['refId']}", target["format"], target["rawSql"])
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]
    for each in dashboard["templating"]["list"]:
        if each["type"] == "query":
            found.append(Query(f"variable {each['name']}", "table", each["query"]))
    for each in dashboard["annotations"]["list"]:
        found.append(Query(f"annotation {each['name']}", each["target"]["format"], each["target"]["rawSql"]))
    assert json.dumps(dashboard).count("rawSql") + 2 == len(found)
    return found


@pytest.fixture
def city(database: str) -> str:
    """A database in which everything has happened that the dashboard shows."""
    with psycopg.connect(database) as connection:
        for rule in shipped_pack():
            connection.execute(
                "INSERT INTO rules (rule_id, version, body, created_by) VALUES (%s, 1, %s, 'test')",
                [rule.rule_id, Jsonb(rule.model_dump(mode="json"))],
            )
        connection.execute(CITY)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return database


@pytest.fixture
def reader(city: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A session of a role that has what Grafana's has, under a name of its own."""
    role, password = f"reader_{secrets.token_hex(4)}", secrets.token_urlsafe(8)
    with psycopg.connect(city, autocommit=True) as owner:
        verifier = owner.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        owner.execute("SELECT dashboard.let_reader_in(%s, %s)", [verifier, role])
        try:
            with psycopg.connect(city, user=role, password=password, autocommit=True, row_factory=dict_row) as session:
                yield session
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def run(reader: psycopg.Connection[dict[str, Any]], query: str) -> list[dict[str, Any]]:
    return reader.execute(query).fetchall()


def test_every_query_answers_in_its_format(reader: psycopg.Connection[dict[str, Any]]) -> None:
    for query in queries():
        rows = run(reader, asked().expand(query.sql))
        assert rows, query.where
        if query.format == "time_series":
            times = [row["time"] for row in rows]
            assert None not in times, query.where
            assert times == sorted(times), query.where
            numbers = [name for name in rows[0] if name not in ("time", "metric")]
            assert numbers, query.where
            for name in numbers:
                assert all(isinstance(row[name], int | float | Decimal) for row in rows), (query.where, name)


def test_every_query_follows_what_is_chosen(reader: psycopg.Connection[dict[str, Any]]) -> None:
    some = asked(district=["410502"], family=["road", "rain"], device=["road-12", "rain-42"])
    nothing = asked(district=["000000"], family=["none"], device=["no'body"])
    for query in queries():
        run(reader, nothing.expand(query.sql))
        for row in run(reader, some.expand(query.sql)):
            assert row.get("device_id") in ("road-12", "rain-42", None), query.where


def test_the_numbers_are_right(reader: psycopg.Connection[dict[str, Any]]) -> None:
    def first(name: str, **chosen: list[str]) -> dict[str, Any]:
        return run(reader, asked(**chosen).expand(statement(f"grafana_overview.{name}")))[0]

    # 59 in service; of 10 pumps every third has an open alarm of silence; one lamp never reported.
    silent = run(reader, "SELECT device_key FROM dashboard.episodes WHERE open AND rule_kind = 'no_data'")
    online = first("online")
    assert (online["offline"], online["never_reported"]) == (len(silent), 1)
    assert float(online["online_pct"]) == pytest.approx(100 * (59 - len(silent) - 1) / 59)
    assert 0 < len(silent) < 10
    assert first("online", family=["pump"])["offline"] == len(silent)

    counted = first("open_alarms")
    openly = run(reader, "SELECT severity FROM dashboard.alarms WHERE open")
    assert sum(counted.values()) == len(openly) > 0
    assert counted["red"] == sum(row["severity"] == 4 for row in openly) > 0

    assert first("deepest")["depth_cm"] == 32.5
    # The books begin 90 minutes ago; before, nothing came.
    a_minute = run(reader, asked().expand(statement("grafana_overview.reports_per_minute")))
    assert (a_minute[0]["stored"], a_minute[-1]["stored"], a_minute[-1]["late"]) == (0, 110, 2)
    assert float(first("commit_delay")["committed_s"]) == pytest.approx(0.25)
    assert float(first("delivery_delay")["delivered_s"]) == pytest.approx(3.25)
    assert first("behind")["probe_delay_ms"] == 12.5
    assert first("behind")["behind_s"] >= 4
    # 10 gauges caught 0.5 mm each, 61 times: on average a gauge caught 30.5 mm.
    rain = run(reader, replace(asked(), interval="1h").expand(statement("grafana_overview.rain")))
    assert sum(row["amount_mm"] for row in rain) == pytest.approx(30.5)
    limits = run(reader, asked().expand(statement("grafana_overview.depth_limits")))
    assert {row["metric"] for row in limits} == {"道路积水 橙 27", "道路积水 红 40", "下穿积水 橙 15", "下穿积水 红 25"}
    quarantine = run(reader, asked().expand(statement("grafana_overview.quarantine")))
    assert {row["reason"]: row["reports"] for row in quarantine} == {"undecodable": 27, "unknown_device": 13}
    proofs = {row["proof"] for row in run(reader, "SELECT DISTINCT proof FROM dashboard.episodes")}
    assert proofs == {"井盖打开", "积水深度 30.5 cm"}


def test_every_column_shown_has_a_chinese_name_and_every_name_a_column(
    reader: psycopg.Connection[dict[str, Any]],
) -> None:
    for panel in overview("http://x", DEFAULT_VIEW)["panels"]:
        configured = {
            each["matcher"]["options"]: {each["id"]: each["value"] for each in each["properties"]}
            for each in panel["fieldConfig"]["overrides"]
            if each["matcher"]["id"] == "byName"
        }
        columns: set[str] = set()
        for target in panel["targets"]:
            columns |= set(run(reader, asked().expand(target["rawSql"]))[0])
        used = set(re.findall(r"__data\.fields\.(\w+)", json.dumps(panel)))
        for layer in panel["options"].get("layers", []):
            style = layer["config"]["style"]
            used |= {layer["location"]["latitude"], layer["location"]["longitude"]}
            used |= {style[name]["field"] for name in ("color", "size") if "field" in style[name]}
        assert configured.keys() | used <= columns, panel["title"]
        if panel["type"] == "timeseries":
            continue
        for name in columns - {"lat", "lon"}:
            config = configured.get(name, {})
            named = re.search(r"[\u4e00-\u9fff]", config.get("displayName", ""))
            text_of_bar = panel["type"] in ("bargauge", "stat") and name == "place"
            assert named or config.get("custom.hidden") or text_of_bar, (panel["title"], name)


BIG = re.compile(r"^(episodes|transitions|outbox|quarantine|books|conditions|audit|report_\w+|_hyper_\w+)$")


@pytest.fixture
def history(city: str) -> None:
    with psycopg.connect(city, autocommit=True) as connection:
        connection.execute(HISTORY)
        connection.execute("ANALYZE")


@pytest.mark.usefixtures("history")
def test_no_query_reads_a_whole_history(reader: psycopg.Connection[dict[str, Any]]) -> None:
    for query in queries():
        assert wide_reads(reader, asked().expand(query.sql)) == [], query.where


def wide_reads(reader: psycopg.Connection[dict[str, Any]], query: str) -> list[str]:
    """Tables that only grow and that a query reads with no condition on an index and no limit above.

    A partial index holds only what is open or owed: reading the whole of one is right.
    """
    partial = {row["name"] for row in run(reader, PARTIAL)}
    found: list[str] = []

    def look(node: dict[str, Any], table: str, limited: bool) -> None:
        kind = node["Node Type"]
        table = node.get("Relation Name", table if kind in ("Bitmap Index Scan", "BitmapOr", "BitmapAnd") else "")
        limited = kind == "Limit" or (limited and kind not in ("Sort", "Aggregate", "Hash"))
        bounded = limited or "Index Cond" in node or node.get("Index Name") in partial
        # A chunk is there only because the range touches it.
        bounded = bounded or (table.startswith("_hyper_") and "ts >=" in node.get("Filter", ""))
        if kind in LEAVES and BIG.match(table) and not bounded:
            found.append(f"{table} ({kind})")
        for child in node.get("Plans", []):
            look(child, table, limited)

    look(run(reader, f"EXPLAIN (FORMAT JSON) {query}")[0]["QUERY PLAN"][0]["Plan"], "", False)
    return found


LEAVES = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan"}
PARTIAL = "SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indpred IS NOT NULL"


@pytest.mark.parametrize(
    "wide",
    [
        "SELECT count(*) FROM dashboard.deliveries WHERE settled_at > now()",
        "SELECT * FROM dashboard.episodes ORDER BY title LIMIT 5",
        "SELECT max(depth_cm) FROM dashboard.road_reports",
        "SELECT count(*) FROM dashboard.quarantine WHERE shard = 'x'",
    ],
)
@pytest.mark.usefixtures("history")
def test_the_guard_sees_a_wide_read(reader: psycopg.Connection[dict[str, Any]], wide: str) -> None:
    assert wide_reads(reader, wide) != []


# the role -------------------------------------------------------------------------------------------------------------


def test_the_reader_sees_the_views_and_nothing_else(city: str, reader: psycopg.Connection[dict[str, Any]]) -> None:
    tables = run(
        reader,
        "SELECT table_schema || '.' || table_name AS name FROM information_schema.role_table_grants"
        " WHERE grantee = current_user AND NOT (table_schema = 'dashboard' AND privilege_type = 'SELECT')",
    )
    assert tables == []
    for forbidden in ("sinks", "api_keys", "quarantine", "report_cover", "audit", "outbox"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(reader, f"SELECT * FROM public.{forbidden}")
    for forbidden in (
        "DELETE FROM dashboard.quarantine",
        "SELECT dashboard.let_reader_in('SCRAM-SHA-256$x')",
        "CREATE TABLE public.mine (x int)",
    ):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
            run(reader, forbidden)
    with psycopg.connect(city) as owner:
        columns = owner.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'dashboard'"
        ).fetchall()
    assert not {column for _, column in columns} & {
        "config",
        "payload",
        "snapshot",
        "detail",
        "last_error",
        "secret_hash",
    }


def test_the_reader_is_bounded(reader: psycopg.Connection[dict[str, Any]]) -> None:
    bounds = run(
        reader,
        "SELECT current_setting('statement_timeout') AS timeout,"
        " current_setting('default_transaction_read_only') AS only,"
        " rolconnlimit FROM pg_roles WHERE rolname = current_user",
    )
    assert bounds == [{"timeout": "15s", "only": "on", "rolconnlimit": 20}]


def test_the_printed_url_logs_in(database: str) -> None:
    first = let_reader_in(database, actor="test")
    second = let_reader_in(database, actor="test")
    assert urlsplit(second).username == READER
    with psycopg.connect(second) as session:
        assert session.execute("SELECT count(*) FROM dashboard.devices").fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(first)


def test_a_plain_password_is_refused(database: str) -> None:
    with psycopg.connect(database) as owner, pytest.raises(psycopg.errors.InvalidPassword):
        owner.execute("SELECT dashboard.let_reader_in('letmein', 'somebody')")


def test_databases_of_one_cluster_may_make_the_role_at_once(postgres_server: str) -> None:
    role = f"racing_{secrets.token_hex(4)}"
    names = [f"race_{secrets.token_hex(4)}" for _ in range(4)]
    views = next(each.sql for each in migrations() if each.name == "0002_grafana_views.sql")
    function = re.search(r"CREATE FUNCTION dashboard\.ensure_reader.*?END \$\$;", views, re.DOTALL)
    assert function is not None

    def make(name: str) -> None:
        with psycopg.connect(f"{postgres_server.rpartition('/')[0]}/{name}") as connection:
            connection.execute("CREATE SCHEMA dashboard")
            connection.execute(function[0])
            connection.execute("SELECT dashboard.ensure_reader(%s)", [role])

    with psycopg.connect(postgres_server, autocommit=True) as server:
        try:
            for name in names:
                server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            with ThreadPoolExecutor(4) as at_once:
                list(at_once.map(make, names))
            limits = server.execute("SELECT rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname = %s", [role])
            assert limits.fetchall() == [(False, 20)]
        finally:
            for name in names:
                server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def test_who_may_not_create_roles_still_gets_the_views(postgres_server: str) -> None:
    """The views are made, the role is not, and a notice says what is left to do."""
    owner, role = f"owner_{secrets.token_hex(4)}", f"absent_{secrets.token_hex(4)}"
    views = next(each.sql for each in migrations() if each.name == "0002_grafana_views.sql")
    text = views.replace("underfoot_dashboard", role)
    name = f"poor_{secrets.token_hex(4)}"
    base = postgres_server.rpartition("/")[0]
    with psycopg.connect(postgres_server, autocommit=True) as server:
        try:
            server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'poor'").format(sql.Identifier(owner)))
            server.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
            with psycopg.connect(f"{base}/{name}", autocommit=True) as extension:
                extension.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            notices: list[str | None] = []
            with psycopg.connect(f"{base}/{name}", user=owner, password="poor") as connection:
                connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
                connection.execute(next(each.sql for each in migrations() if each.name == "0001_path.sql"))
                connection.execute(text)
                assert connection.execute("SELECT count(*) FROM dashboard.devices").fetchone() == (0,)
            assert any(f"may not create the role {role}" in (notice or "") for notice in notices)
        finally:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(owner)))


# the map --------------------------------------------------------------------------------------------------------------


def test_the_map_looks_where_the_assets_are(city: str) -> None:
    view = view_of_ledger(city)
    assert 114.3 < view.lon < 114.42
    assert 36.05 < view.lat < 36.11
    assert view.zoom == 13


def test_without_a_ledger_the_map_looks_at_the_demo_city(database: str) -> None:
    assert view_of_ledger(database) == DEFAULT_VIEW


@pytest.mark.parametrize(
    ("width", "height", "zoom"), [(0, 0, 15), (0.0001, 0.0001, 15), (0.3, 0.1, 12), (0.1, 0.3, 10), (360, 170, 3)]
)
def test_the_zoom_fits_the_extent(width: float, height: float, zoom: int) -> None:
    assert View.of_extent(114.4, 36.1, width, height).zoom == zoom


def test_no_macro_holds_a_parenthesis() -> None:
    for query in queries():
        for macro in re.finditer(r"\$__\w+\(([^)]*)\)", query.sql):
            assert "(" not in macro[1], query.where
