"""Every list finds its page without reading the table.

The statements are those that the API really sends, with their parameters: they are recorded while it answers, and then
explained by the same database with ANALYZE, on tables large enough for the planner to have a choice and under its
default settings. (With `enable_seqscan = off` a plan would only show that some index can be used, be it read from end
to end.) So two things are measured: that no guarded table is read by a Seq Scan, and how many of its rows were touched,
rows that a filter threw away included. That number must stay in proportion to the page, whatever the table's size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from alerts.rules import shipped_pack
from api.keys import create
from api.roles import NEEDED, Role
from tests.integration.api.served import Served, keyed
from underfoot.storage.connect import connect

GUARDED = (
    "_hyper_", "assets", "devices", "device_latest", "alarms", "episodes", "transitions", "outbox", "inbox",
    "quarantine", "books", "audit", "api_keys", "newcomers", "accounts", "credentials",
    "suppressions", "comments", "corrections", "pipes", "incidents", "incident_members", "floods",
    "cases", "case_steps",
)  # fmt: skip

LIMIT = 20
# A page reads up to five tables beside its own, and looks at a few rows that its filter then refuses.
MOST = 12 * (LIMIT + 1)
# A filter by what stands in a joined table finds all that it lets through, and then sorts that.
MOST_SORTED = 30 * (LIMIT + 1)
# What a part of the city has is found by what stands there, or by walking the newest until a page of it is full.
MOST_SCOPED = 150 * (LIMIT + 1)
BY_JOIN = ("area", "family", "kind", "suppressed")
# Puts together what is in force, which is not much.
GROUPED = ("/api/v1/out-of-service",)

LISTS: list[tuple[str, dict[str, Any]]] = [
    ("/api/v1/assets", {}),
    ("/api/v1/assets", {"area": "410503004"}),
    ("/api/v1/assets", {"asset_code": "a1717"}),
    ("/api/v1/assets", {"kind": "2115"}),
    ("/api/v1/assets", {"maintenance_unit": "unit-7"}),
    ("/api/v1/assets", {"object_state": "丢失"}),
    ("/api/v1/assets", {"tag": "学校门口"}),
    ("/api/v1/assets", {"with_device": "true"}),
    ("/api/v1/pipes", {}),
    ("/api/v1/pipes", {"area": "410503004"}),
    ("/api/v1/pipes", {"kind": "foul"}),
    ("/api/v1/pipes", {"asset": 1717}),
    ("/api/v1/pipes.geojson", {"area": "410503004"}),
    ("/api/v1/pipes.geojson", {"bbox": "114.0085,36.0105,114.0125,36.0145"}),
    ("/api/v1/devices", {}),
    ("/api/v1/devices", {"family": "pump"}),
    ("/api/v1/devices", {"area": "410503004"}),
    ("/api/v1/devices", {"area": "410500"}),
    ("/api/v1/devices", {"status": "retired"}),
    ("/api/v1/devices", {"vendor": "rare"}),
    ("/api/v1/devices", {"asset": 1717}),
    ("/api/v1/devices", {"shard": "main"}),
    ("/api/v1/alarms", {"state": "all"}),
    ("/api/v1/alarms", {"state": "open"}),
    ("/api/v1/alarms", {"state": "open", "severity": [3, 4]}),
    ("/api/v1/alarms", {"state": "unacknowledged"}),
    ("/api/v1/alarms", {"state": "cleared"}),
    ("/api/v1/alarms", {"state": "all", "severity": [4]}),
    ("/api/v1/alarms", {"state": "all", "family": "pump"}),
    ("/api/v1/alarms", {"state": "all", "family": "cover"}),
    ("/api/v1/alarms", {"state": "all", "rule": "cover.rare"}),
    ("/api/v1/alarms", {"state": "all", "device": "d-1717"}),
    ("/api/v1/alarms", {"state": "all", "asset": 1717}),
    ("/api/v1/alarms", {"state": "all", "alarm": 1717}),
    ("/api/v1/alarms", {"state": "all", "area": "410500"}),
    ("/api/v1/alarms", {"state": "open", "area": "410503004"}),
    ("/api/v1/alarms", {"state": "all", "from": "2026-03-01T00:00:00Z", "to": "2026-03-01T12:00:00Z"}),
    ("/api/v1/alarms", {"suppressed": "hide"}),
    ("/api/v1/alarms", {"suppressed": "only"}),
    ("/api/v1/alarms", {"state": "all", "assigned_to": "王工"}),
    ("/api/v1/alarms/shelved", {}),
    ("/api/v1/out-of-service", {}),
    ("/api/v1/alarms/shelved", {"kind": "by_design"}),
    ("/api/v1/incidents", {}),
    ("/api/v1/incidents", {"state": "all"}),
    ("/api/v1/incidents", {"state": "ended"}),
    ("/api/v1/incidents", {"state": "all", "kind": "cause"}),
    ("/api/v1/incidents", {"state": "all", "area": "410503"}),
    ("/api/v1/incidents", {"state": "all", "from": "2026-03-01T00:00:00Z", "to": "2026-03-09T12:00:00Z"}),
    ("/api/v1/incidents/4000/members", {}),
    ("/api/v1/incidents/4000/members", {"state": "left"}),
    ("/api/v1/devices/d-17/reports", {}),
    ("/api/v1/devices/d-17/reports", {"order": "asc"}),
    ("/api/v1/devices/d-17/reports", {"from": "2026-07-03T00:00:00Z", "to": "2026-07-04T00:00:00Z"}),
    ("/api/v1/devices/d-17/reports", {"from": "2026-07-03T00:00:00Z", "bucket": "30m"}),
    ("/api/v1/cases", {}),
    ("/api/v1/cases", {"show": "all"}),
    ("/api/v1/cases", {"show": "ended"}),
    ("/api/v1/cases", {"show": "overdue"}),
    ("/api/v1/cases", {"show": "needs_person"}),
    ("/api/v1/cases", {"show": "all", "filing": "filing.rare"}),
    ("/api/v1/cases", {"show": "all", "alarm": 1717}),
    ("/api/v1/cases", {"show": "all", "area": "410503004"}),
    ("/api/v1/cases", {"unit": "unit-7"}),
    ("/api/v1/cases", {"state": "handling"}),
    ("/api/v1/cases", {"show": "all", "from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}),
    ("/api/v1/rules", {}),
    ("/api/v1/people", {}),
    ("/api/v1/quarantine", {}),
    ("/api/v1/quarantine", {"reason": "rare"}),
    ("/api/v1/quarantine", {"reason": "common", "to": "2026-01-09T00:00:00Z"}),
    ("/api/v1/quarantine", {"from": "2026-01-05T00:00:00Z", "to": "2026-01-05T01:00:00Z"}),
    ("/api/v1/quarantine", {"source": "http"}),
    ("/api/v1/quarantine", {"vendor": "rare"}),
    ("/api/v1/quarantine", {"device": "q-7"}),
    ("/api/v1/quarantine", {"state": "all"}),
    ("/api/v1/quarantine", {"state": "released"}),
    ("/api/v1/newcomers", {}),
    ("/api/v1/newcomers", {"area": "4109"}),
    ("/api/v1/newcomers", {"area": "410907"}),
    ("/api/v1/newcomers", {"state": "refused"}),
    ("/api/v1/books", {}),
    ("/api/v1/books", {"shard": "main"}),
    ("/api/v1/books", {"to": "2026-01-05T00:00:00Z"}),
    ("/api/v1/audit", {}),
    ("/api/v1/audit", {"actor": "rare"}),
    ("/api/v1/audit", {"action": "rare.act"}),
    ("/api/v1/audit", {"subject": "episode:1717"}),
    ("/api/v1/audit", {"actor": "x", "subject": "episode:1717"}),
    ("/api/v1/audit", {"from": "2026-01-05T00:00:00Z", "to": "2026-01-05T02:00:00Z"}),
    ("/api/v1/keys", {}),
    ("/api/v1/credentials", {}),
    ("/api/v1/credentials", {"kind": "device"}),
    ("/api/v1/credentials", {"kind": "gateway"}),
    ("/api/v1/credentials", {"kind": "device", "name": "d-1717"}),
]  # fmt: skip

SINGLE: list[tuple[str, str, Any]] = [
    ("GET", "/api/v1/assets/1717", None),
    ("GET", "/api/v1/pipes/W1717", None),
    ("GET", "/api/v1/pipes/graph/upstream?asset=1719&limit=20", None),
    ("GET", "/api/v1/pipes/graph/downstream?asset=1701&limit=20", None),
    ("GET", "/api/v1/devices/d-1717", None),
    ("GET", "/api/v1/alarms/17171", None),
    ("GET", "/alarms/17171", None),
    ("GET", "/alarms/500", None),
    ("POST", "/alarms/17176", None),
    ("GET", "/api/v1/incidents/1717", None),
    ("GET", "/api/v1/cases/1717", None),
    ("POST", "/api/v1/cases/500/verify", None),
    ("POST", "/api/v1/cases/500/supervise", None),
    ("POST", "/api/v1/cases/500/arrive", None),
    ("POST", "/api/v1/cases/500/suspend", {"reason": "r"}),
    ("POST", "/api/v1/cases/500/resume", None),
    ("POST", "/api/v1/cases/500/handled", None),
    ("POST", "/api/v1/cases/500/note", {"text": "t"}),
    ("POST", "/api/v1/cases/1000/duplicate", {"of": "C-7"}),
    ("POST", "/api/v1/cases/1500/cancel", {"reason": "r"}),
    ("POST", "/api/v1/cases/1505/refile", None),
    ("GET", "/api/v1/incidents/1717/report", None),
    ("GET", "/api/v1/quarantine/17171", None),
    ("GET", "/api/v1/quarantine/counts?from=2026-01-05T00:00:00Z&to=2026-01-05T02:00:00Z", None),
    ("GET", "/api/v1/quarantine/counts?vendor=rare", None),
    ("POST", "/api/v1/quarantine/replay", {"quarantine_keys": [17171, 17172]}),
    ("POST", "/api/v1/quarantine/replay", {"device": "q-7"}),
    ("POST", "/api/v1/newcomers/n-4001/approve", {"asset_code": "a1800", "code_scheme": "GB/T 30428.2-2013"}),
    ("POST", "/api/v1/newcomers/n-2/approve", {"kind": "0103"}),
    ("POST", "/api/v1/newcomers/n-3/refuse", None),
    ("POST", "/api/v1/newcomers/approve", {"area": "410999", "kind": "0103"}),
    ("GET", "/api/v1/books/totals?from=2026-01-05T00:00:00Z&to=2026-01-05T02:00:00Z", None),
    ("GET", "/api/v1/rules/cover.tilt", None),
    ("POST", "/api/v1/alarms/17171/acknowledge", {"note": "n"}),
    ("POST", "/api/v1/alarms/500/close", {"reason": "r"}),
    ("POST", "/api/v1/alarms/17172/acknowledge", None),
    ("POST", "/api/v1/alarms/17173/unacknowledge", None),
    ("POST", "/api/v1/alarms/17173/comment", {"text": "t"}),
    ("POST", "/api/v1/alarms/17173/shelve", {"minutes": 5, "reason": "r"}),
    ("POST", "/api/v1/alarms/17173/unshelve", None),
    ("POST", "/api/v1/alarms/17173/assign", {"to": "王工"}),
    ("POST", "/api/v1/alarms/17173/unassign", None),
    ("POST", "/api/v1/alarms/17173/verdict", {"verdict": "real"}),
    ("POST", "/api/v1/alarms/bulk", {"action": "acknowledge", "episode_keys": [17174, 17175]}),
    ("POST", "/api/v1/alarms/bulk", {"action": "close", "reason": "r", "episode_keys": [600]}),
    ("POST", "/api/v1/alarms/bulk", {"action": "assign", "to": "x", "dry_run": True, "filter": {"device": "d-1717"}}),
    ("DELETE", "/api/v1/out-of-service/WO-1", None),
    ("DELETE", "/api/v1/keys/key-1717", None),
    ("DELETE", "/api/v1/credentials/device/d-1717", None),
    ("POST", "/api/v1/broker/authenticate", {"username": "410502/cover/d-1721", "password": "x", "clientid": "x"}),
    ("POST", "/api/v1/broker/authorize", {"username": "410502/cover/d-1721", "action": "publish", "topic": "a/b"}),
    ("POST", "/api/v1/broker/authorize", {"username": "vendor/acme", "action": "publish", "topic": "a/b/c/d/d-7/e"}),
]

# These read a small table whole, or answer from no table; or they sum up everything, which is what was asked for.
NOT_LISTS = {
    "/healthz", "/readyz", "/metrics", "/api/v1/openapi.json",
    "/a/{token}",  # the page of /alarms/{episode_key}, and what its message told of (test_api_page.py)
    "/api/v1/areas", "/api/v1/areas/tree", "/api/v1/areas/{code}", "/api/v1/push/{mapping}",
    "/api/v1/credentials/rotate",
    "/api/v1/rules/export", "/api/v1/rules/check",  # all of them: it is a file
    "/api/v1/rules/{rule_id}/backtests",  # reads the reports of the span that is asked for
    "/api/v1/rules/{rule_id}/restore", "/api/v1/rules/{rule_id}/overrides/{scope}",
    "/api/v1/duty/now", "/api/v1/duty/roster", "/api/v1/duty/absences", "/api/v1/duty/swaps", "/api/v1/duty/notes",
    "/api/v1/duty/calendar", "/api/v1/duty/calendar/{year}", "/api/v1/duty/deadline",
    # One account or session by its key, or the few of one person; a page, which is a file.
    "/api/v1/session", "/api/v1/session/refresh", "/api/v1/session/password", "/api/v1/me", "/api/v1/me/password",
    "/api/v1/me/sessions", "/api/v1/me/sessions/{session_key}",
    "/api/v1/people/{name}", "/api/v1/people/{name}/disable", "/api/v1/people/{name}/enable",
    "/api/v1/people/{name}/reset", "/api/v1/people/{name}/log-out",
    "/login", "/login/provider", "/login/return", "/login/{part}",
    # Guarded in tests/integration/test_health.py: they sum up a window. What somebody has to run after is all there is.
    "/api/v1/cases/waiting",
    "/api/v1/platforms/{sink}/callback",  # what it names is found by key (test_callbacks.py)
    "/api/v1/duty/handover", "/api/v1/health/alarms", "/api/v1/indicators",
}  # fmt: skip


@pytest.fixture(scope="module")
def large(postgres_server: str, database_template: str) -> Iterator[Served]:
    """The API on the large city of large.sql, made once: nothing here changes what another test reads."""
    name = sql.Identifier("test_api_large")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(name, sql.Identifier(database_template))
        )
        with keyed(f"{postgres_server.rpartition('/')[0]}/test_api_large") as running:
            running.run((Path(__file__).parent / "large.sql").read_text(encoding="utf-8"))
            filing = next(one for one in shipped_pack() if one.rule_id == "filing.cover_open")
            running.run(
                "INSERT INTO rules (rule_id, version, body, created_by) VALUES (%s, 1, %s, 'x')",
                [filing.rule_id, Jsonb(filing.model_dump(mode="json"))],
            )
            yield running
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@contextmanager
def _recorded() -> Iterator[list[tuple[Any, Any]]]:
    """What the API, which runs in a thread of this process, sends to the database meanwhile."""
    sent: list[tuple[Any, Any]] = []
    execute = psycopg.Cursor.execute

    def recording(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        if query:  # the pool asks an empty one, to see whether the connection lives
            sent.append((query, params))
        return execute(self, query, params, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", recording)
        yield sent


def _explained(
    city: Served, sent: list[tuple[Any, Any]], first: LiteralString = "SELECT"
) -> list[tuple[str, dict[str, Any]]]:
    """Each statement's text and plan, as carried out, after `first`, and rolled back."""
    plans = []
    for query, params in sent:
        with psycopg.connect(city.database, options="-c timezone=UTC") as connection:
            connection.execute(first)
            text = query if isinstance(query, str) else query.as_string(connection)
            try:
                cursor = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}".encode(), params, prepare=False)
            except psycopg.errors.UniqueViolation:
                continue  # it adds lines to a record, which are there by now; it reads nothing
            row = cursor.fetchone()
            connection.rollback()
        assert row is not None
        plans.append((text, row[0][0]["Plan"]))
    return plans


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _touched(plan: dict[str, Any]) -> tuple[float, list[str]]:
    """How many rows of guarded tables were read, and which of them by a Seq Scan."""
    rows, scanned = 0.0, []
    for node in _nodes(plan):
        table = node.get("Relation Name")
        if table is None or not table.startswith(GUARDED) or "Scan" not in node["Node Type"]:
            continue
        if node["Actual Loops"] == 0:
            continue
        thrown_away = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        rows += (node["Actual Rows"] + thrown_away) * node["Actual Loops"]
        if node["Node Type"] == "Seq Scan":
            scanned.append(table)
    return rows, scanned


def _check(
    large: Served, sent: list[tuple[Any, Any]], call: str, most: float, first: LiteralString = "SELECT"
) -> list[str]:
    assert sent, call
    wrong = []
    for text, plan in _explained(large, sent, first):
        rows, scanned = _touched(plan)
        if scanned or rows > most:
            wrong.append(f"{call}: {rows:.0f} rows touched, {most:.0f} allowed; Seq Scan on {scanned}: {text[:80]}…")
    return wrong


def test_every_list_reads_in_proportion_to_its_page(large: Served) -> None:
    wrong: list[str] = []
    for path, query in LISTS:
        most = MOST_SORTED if set(query) & set(BY_JOIN) or path in GROUPED else MOST
        with _recorded() as sent:
            page = large.ok(path, Role.administrator, limit=LIMIT, **query)
        wrong += _check(large, sent, f"{path} {query}", most)
        if page["next"] is not None:
            with _recorded() as sent:
                large.ok(path, Role.administrator, limit=LIMIT, cursor=page["next"], **query)
            wrong += _check(large, sent, f"{path} {query}, second page", most)
    assert not wrong, "\n".join(wrong)


SCOPED: list[tuple[str, dict[str, Any]]] = [
    ("/api/v1/assets", {}),
    ("/api/v1/devices", {}),
    ("/api/v1/devices", {"family": "pump"}),
    ("/api/v1/alarms", {"state": "open"}),
    ("/api/v1/alarms", {"state": "all"}),
    ("/api/v1/alarms/shelved", {}),
    ("/api/v1/pipes", {}),
    ("/api/v1/incidents/4000/members", {}),
    ("/api/v1/incidents", {"state": "all"}),
    ("/api/v1/cases", {"show": "all"}),
    ("/api/v1/out-of-service", {}),
    ("/api/v1/newcomers", {}),
]


@pytest.mark.parametrize(
    "scope", [{"areas": ["410503004"]}, {"units": ["unit-7"]}, {"areas": ["410503"], "units": ["unit-7"]}]
)
def test_the_lists_of_who_has_a_part_of_the_city_read_a_bounded_part(
    large: Served, scope: dict[str, list[str]]
) -> None:
    name = "-".join(sorted(scope))
    if name not in large.named:
        with connect(large.database, "test") as connection:
            large.named[name] = create(connection, name, Role.administrator, "test", **scope).secret  # type: ignore[arg-type]
    wrong: list[str] = []
    for path, query in SCOPED:
        with _recorded() as sent:
            answer = large.call("GET", path, None, secret=large.named[name], params={**query, "limit": LIMIT})
        assert answer.status_code in (200, 404), answer.text
        if answer.is_success:
            wrong += _check(large, sent, f"{scope} {path} {query}", MOST_SCOPED)
    assert not wrong, "\n".join(wrong)


def test_the_last_page_costs_what_the_first_does(large: Served) -> None:
    """A cursor is a place in an index, not a number of rows to skip."""
    wrong: list[str] = []
    for path, query in [
        ("/api/v1/alarms", {"state": "all"}),
        ("/api/v1/quarantine", {}),
        ("/api/v1/books", {}),
        ("/api/v1/audit", {}),
    ]:
        cursor: dict[str, Any] = {}
        for _ in range(12):
            with _recorded() as sent:
                cursor = {"cursor": large.ok(path, Role.administrator, limit=1000, **query, **cursor)["next"]}
        wrong += _check(large, sent, f"{path} {query}", 6 * 1001)
    assert not wrong, "\n".join(wrong)


def test_every_single_thing_is_found_by_a_key(large: Served) -> None:
    wrong: list[str] = []
    for method, path, body in SINGLE:
        with _recorded() as sent:
            role = Role.broker if path.startswith("/api/v1/broker/") else Role.administrator
            answer = large.call(method, path, role, json=body)
        assert answer.status_code < 400, answer.text
        wrong += _check(large, sent, f"{method} {path}", MOST)
    assert not wrong, "\n".join(wrong)


def test_what_every_scrape_asks_goes_by_indexes_where_there_is_something_to_leave_out(large: Served) -> None:
    with _recorded() as sent:
        large.get("/metrics")
    wrong = [
        text
        for text, plan in _explained(large, sent)
        if ("outbox" in text or "episodes" in text) and (_touched(plan)[1] or _touched(plan)[0] > 1000)
    ]
    assert not wrong


def test_no_route_is_left_out() -> None:
    covered = {path for path, _ in LISTS} | {path.partition("?")[0] for _, path, _ in SINGLE}
    for _, path in NEEDED:
        pattern = re.compile(re.sub(r"{\w+}", "[^/]+", path))
        assert path in NOT_LISTS or any(pattern.match(each) for each in covered), path


def test_the_guard_sees_a_table_that_is_read_whole(large: Served) -> None:
    """Without its index the same list is caught: the guard can fail."""
    with _recorded() as sent:
        large.ok("/api/v1/quarantine", limit=LIMIT)
    assert not _check(large, sent, "quarantine", MOST)
    assert _check(large, sent, "quarantine", MOST, first="DROP INDEX quarantine_received, quarantine_waiting")
