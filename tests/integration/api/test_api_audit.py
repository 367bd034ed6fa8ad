"""The audit log by the API: who may read it, its pages; and that every route that changes anything writes it, or does
not change anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from psycopg.types.json import Jsonb

from alerts.rulebook.book import install_shipped, put
from alerts.rules import shipped_pack
from api.roles import NEEDED, Door, Role
from tests.integration.api.served import Served, problem
from tests.integration.rejecting import Quarantine
from underfoot.audit.sealer import Sealer
from underfoot.audit.verify import verify
from underfoot.links import issue
from underfoot.storage.connect import connect

V1 = "/api/v1"
LOG = f"{V1}/audit"
ADMIN = Role.administrator
PONDING = {rule.rule_id: rule for rule in shipped_pack()}["road.ponding"].model_dump(mode="json")
SCHOOL = quote("tag:学校门口")

WRITES_NONE: dict[tuple[str, str], str] = {
    ("POST", f"{V1}/rules/check"): "says what is wrong with rules, and changes none",
    ("POST", f"{V1}/rules/{{rule_id}}/backtests"): "tries a rule on stored reports, and keeps nothing",
    ("POST", f"{V1}/push/{{mapping}}"): "is a report and no act; the books count it, the inbox and the reports keep it",
    ("POST", f"{V1}/platforms/{{sink}}/callback"): "a case's steps enter themselves; a refusal is entered",
    ("POST", f"{V1}/broker/authenticate"): "is asked by a broker at each connection, and changes nothing",
    ("POST", f"{V1}/broker/authorize"): "is asked by a broker at each publish, and changes nothing",
}


@dataclass(frozen=True)
class Call:
    """A call that changes something, made of a route's template; `action` is what stands in the log then."""

    method: str
    template: str
    action: str
    body: Any = None
    names: tuple[tuple[str, str], ...] = ()
    role: Role = Role.operator
    under: str = V1
    actor: str | None = None

    @property
    def path(self) -> str:
        return f"{self.under}{self.template}".format(**dict(self.names))


# What people do about their own sessions, which no key has: test_api_sessions.py holds these to the same.
BY_PEOPLE = {
    ("POST", f"{V1}/session"),
    ("POST", f"{V1}/session/refresh"),
    ("POST", f"{V1}/session/password"),
    ("DELETE", f"{V1}/session"),
    ("PUT", f"{V1}/me/password"),
    ("DELETE", f"{V1}/me/sessions"),
    ("DELETE", f"{V1}/me/sessions/{{session_key}}"),
}

EPISODE = (("episode_key", "2"),)
CASE = (("case_key", "1"),)
LINK_SECRET = b"the test's own secret, 32 bytes."
LINK = (
    (
        "token",
        # Of the message about that episode that the crew was sent.
        issue(LINK_SECRET, alarm_key=1, episode=2, delivery_key=3, expires_at=datetime(2100, 1, 1, tzinfo=UTC)),
    ),
)
RULE = (("rule_id", "road.ponding"),)
OVERRIDE = (*RULE, ("scope", SCHOOL))
WANG = (("name", "wang"),)
ROSTER = {
    "people": [{"name": "王建国"}, {"name": "李强"}],
    "shifts": [{"name": "白班", "begin": "08:00", "end": "20:00"}],
    "assignments": [{"shift": "白班", "people": ["王建国"], "from": "2020-01-01"}],
}
ABSENCE = {"person": "王建国", "from": "2027-02-01", "until": "2027-02-03", "stand_in": "李强"}
SWAP = {"day": "2027-03-01", "shift": "白班", "person": "王建国", "stand_in": "李强"}
CALENDAR = {
    "source": "通知",
    "days": [
        {"day": "2060-01-01", "until": "2060-01-03", "kind": "holiday", "name": "元旦"},
        {"day": "2060-10-01", "until": "2060-10-08", "kind": "holiday", "name": "国庆节"},
    ],
}

# In this order: each finds what the ones before it have left.
CALLS = [
    Call("POST", "/alarms/{episode_key}/acknowledge", "alarm.acknowledge", {"note": "n"}, EPISODE),
    Call("POST", "/alarms/{episode_key}/unacknowledge", "alarm.unacknowledge", None, EPISODE),
    Call("POST", "/a/{token}", "alarm.acknowledge", None, LINK, under="", actor="link:wenfeng"),
    Call("POST", "/alarms/{episode_key}/unacknowledge", "alarm.unacknowledge", None, EPISODE),
    Call("POST", "/alarms/{episode_key}", "alarm.acknowledge", None, EPISODE, under=""),
    Call("POST", "/alarms/{episode_key}/unacknowledge", "alarm.unacknowledge", None, EPISODE),
    Call("POST", "/alarms/{episode_key}/comment", "alarm.comment", {"text": "t"}, EPISODE),
    Call("POST", "/alarms/{episode_key}/assign", "alarm.assign", {"to": "王工"}, EPISODE),
    Call("POST", "/alarms/{episode_key}/unassign", "alarm.unassign", None, EPISODE),
    Call("POST", "/alarms/{episode_key}/shelve", "alarm.shelve", {"minutes": 5, "reason": "r"}, EPISODE),
    Call("POST", "/alarms/{episode_key}/unshelve", "alarm.unshelve", None, EPISODE),
    Call("POST", "/alarms/{episode_key}/verdict", "alarm.verdict", {"verdict": "real"}, EPISODE),
    Call("POST", "/cases/{case_key}/verify", "case.verified", None, (("case_key", "4"),)),
    Call("POST", "/cases/{case_key}/arrive", "case.arrived", None, CASE),
    Call("POST", "/cases/{case_key}/suspend", "case.suspended", {"reason": "r"}, CASE),
    Call("POST", "/cases/{case_key}/resume", "case.resumed", None, CASE),
    Call("POST", "/cases/{case_key}/supervise", "case.supervised", None, CASE),
    Call("POST", "/cases/{case_key}/note", "case.noted", {"text": "t"}, CASE),
    Call("POST", "/cases/{case_key}/handled", "case.handled", None, CASE),
    Call("POST", "/cases/{case_key}/duplicate", "case.duplicate", {"of": "C-7"}, CASE),
    Call("POST", "/cases/{case_key}/cancel", "case.cancelled", {"reason": "r"}, (("case_key", "4"),)),
    Call("POST", "/cases/{case_key}/refile", "case.refiled", {"note": "n"}, CASE),
    Call("POST", "/alarms/{episode_key}/close", "alarm.close", {"reason": "r"}, EPISODE),
    Call("POST", "/alarms/bulk", "alarm.acknowledge", {"action": "acknowledge", "episode_keys": [2, 5]}),
    Call("POST", "/out-of-service", "order.begin", {"asset": 2, "rules": ["road.*"], "order": "WO-1", "reason": "r"}),
    Call("DELETE", "/out-of-service/{order}", "order.end", None, (("order", "WO-1"),)),
    Call("PUT", "/rules/{rule_id}", "rule.put", PONDING | {"off_delay_s": 61, "source": "x"}, RULE, ADMIN),
    Call(
        "PUT", "/rules/{rule_id}/overrides/{scope}", "rule.put",
        {"source": "x", "levels": [{"severity": "red", "limit": 20, "dead_band": 3}]}, OVERRIDE, ADMIN,
    ),
    Call("DELETE", "/rules/{rule_id}/overrides/{scope}", "rule.withdraw", None, OVERRIDE, ADMIN),
    Call("DELETE", "/rules/{rule_id}", "rule.withdraw", None, RULE, ADMIN),
    Call("POST", "/rules/{rule_id}/restore", "rule.restore", None, RULE, ADMIN),
    Call("PUT", "/duty/roster", "duty.roster", ROSTER, (), ADMIN),
    Call("POST", "/duty/absences", "duty.roster", ABSENCE, (), ADMIN),
    Call("POST", "/duty/swaps", "duty.roster", SWAP, (), ADMIN),
    Call("POST", "/duty/notes", "duty.note", {"text": "t"}),
    Call("PUT", "/duty/calendar", "duty.calendar", CALENDAR, (), ADMIN),
    Call("DELETE", "/duty/calendar/{year}", "duty.calendar_forget", None, (("year", "2060"),), ADMIN),
    Call("POST", "/quarantine/replay", "quarantine.replay", {"vendor": "甲厂"}),
    Call("POST", "/newcomers/{device_id}/approve", "newcomer.approve", {"kind": "0103"}, (("device_id", "N-1"),)),
    Call("POST", "/newcomers/{device_id}/refuse", "newcomer.refuse", None, (("device_id", "N-2"),)),
    Call("POST", "/newcomers/approve", "newcomer.approve", {"area": "410502", "kind": "0103"}),
    Call("POST", "/credentials", "credential.issue", {"kind": "device", "names": ["cover-0312"]}, (), ADMIN),
    Call("POST", "/credentials/rotate", "credential.rotate", {"kind": "device", "names": ["cover-0312"]}, (), ADMIN),
    Call(
        "DELETE", "/credentials/{kind}/{name}", "credential.revoke", None,
        (("kind", "device"), ("name", "cover-0312")), ADMIN,
    ),
    Call("POST", "/keys", "api_key.create", {"name": "new", "role": "viewer"}, (), ADMIN),
    Call("DELETE", "/keys/{name}", "api_key.revoke", None, (("name", "new"),), ADMIN),
    Call("POST", "/people", "person.add", {"name": "wang", "role": "viewer"}, (), ADMIN),
    Call("PATCH", "/people/{name}", "person.rights", {"role": "crew", "areas": ["410502"]}, WANG, ADMIN),
    Call("POST", "/people/{name}/reset", "person.reset", None, WANG, ADMIN),
    Call("POST", "/people/{name}/log-out", "person.log_out", None, (("name", "inside"),), ADMIN),
    Call("POST", "/people/{name}/disable", "person.disable", None, WANG, ADMIN),
    Call("POST", "/people/{name}/enable", "person.enable", None, WANG, ADMIN),
]  # fmt: skip


@pytest.fixture
def busy(city: Served) -> Served:
    """The small city with everything in it that a route could change."""
    with connect(city.database, "test", autocommit=True) as connection:
        install_shipped(connection)
        put(connection, next(rule for rule in shipped_pack() if rule.rule_id == "cover.tilt"), actor="test")
        connection.execute("INSERT INTO link_secrets (secret) VALUES (%s)", [LINK_SECRET])
        connection.execute("INSERT INTO people (name, role, created_by) VALUES ('inside', 'viewer', 'test')")
        connection.execute(
            "INSERT INTO sessions (person_key, kind, expires_at, address)"
            " VALUES (1, 'token', now() + interval '1 h', 'x')"
        )
    quarantine = Quarantine(city.database)
    quarantine.keep(quarantine.reject("A", vendor="甲厂"))
    quarantine.close()
    for number in range(1, 4):
        city.run(
            "INSERT INTO newcomers (device_id, family, district, source, first_seen, last_seen, reports)"
            " VALUES (%s, 'cover', '410502', 'mqtt', now(), now(), 1)",
            [f"N-{number}"],
        )
    return city


def test_the_documentation_has_every_act_of_a_route() -> None:
    text = (Path(__file__).parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")
    table = text[text.index("| act | by |") : text.index("Not in it")]
    missing = {
        call.action
        for call in CALLS
        if f"`{call.action}`" not in table and f"`.{call.action.partition('.')[2]}`" not in table
    }
    assert missing == set()


def test_every_route_that_writes_is_here_or_says_why_not() -> None:
    writing = {key for key in NEEDED if key[0] != "GET"}
    covered = {(call.method, f"{call.under}{call.template}") for call in CALLS} | BY_PEOPLE
    assert covered & WRITES_NONE.keys() == set()
    assert writing - covered - WRITES_NONE.keys() == set(), "add a call to CALLS, and an audit row to the route"
    assert (covered | WRITES_NONE.keys()) - writing == set(), "there is no such route any more"


class Content:
    """Every table's content, as two numbers each; over one connection, since it is asked often."""

    def __init__(self, database: str) -> None:
        self.connection = connect(database, "test", autocommit=True)
        tables = self.connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1"
        )
        each = (f"SELECT '{name}', count(*), max(xmin::text::bigint) FROM \"{name}\"" for (name,) in tables.fetchall())
        self._all = " UNION ALL ".join(each).encode()
        self.before = self._now()

    def _now(self) -> dict[str, tuple[int, int | None]]:
        """How many rows there are, and by which transaction the newest: what is changed is written anew."""
        return {name: (rows, newest) for name, rows, newest in self.connection.execute(self._all)}

    def changed(self) -> list[str]:
        """Which tables are others than when this was last asked."""
        before, self.before = self.before, self._now()
        return sorted(name for name, content in self.before.items() if content != before[name])


def test_every_route_that_writes_enters_it_in_the_same_transaction(busy: Served) -> None:
    """Refused by the log, the whole act is."""
    wrong: list[str] = []
    content = Content(busy.database)
    run = content.connection.execute
    for call in CALLS:
        said = f"{call.method} {call.template}"
        run(f"ALTER TABLE audit ADD CONSTRAINT refuse CHECK (action <> '{call.action}') NOT VALID".encode())
        refused = busy.call(call.method, call.path, call.role, json=call.body)
        if refused.status_code != 500:
            wrong.append(f"{said}: with a log that takes nothing {refused.status_code} {refused.text}")
        if changed := content.changed():
            wrong.append(f"{said}: changed {changed} though it could not be entered")
        run("ALTER TABLE audit DROP CONSTRAINT refuse")
        [(newest,)] = run("SELECT coalesce(max(audit_key), 0) FROM audit").fetchall()
        done = busy.call(call.method, call.path, call.role, json=call.body)
        if done.is_error:
            wrong.append(f"{said}: {done.status_code} {done.text}")
        if set(content.changed()) <= {"audit"}:
            wrong.append(f"{said}: changed nothing")
        entered = run("SELECT DISTINCT actor, action FROM audit WHERE audit_key > %s", [newest]).fetchall()
        if (call.actor or f"the-{call.role.value}", call.action) not in entered:
            wrong.append(f"{said}: {entered}")
    content.connection.close()
    assert not wrong, "\n".join(wrong)


def test_what_writes_none_changes_nothing(busy: Served) -> None:
    bodies: dict[tuple[str, str], tuple[str, Role, Any]] = {
        ("POST", f"{V1}/rules/check"): (f"{V1}/rules/check", Role.operator, {"items": [PONDING]}),
        ("POST", f"{V1}/rules/{{rule_id}}/backtests"): (
            f"{V1}/rules/road.ponding/backtests",
            Role.operator,
            {"from": "2026-07-01T00:00:00Z", "to": "2026-07-02T00:00:00Z"},
        ),
        ("POST", f"{V1}/broker/authenticate"): (
            f"{V1}/broker/authenticate", Role.broker, {"username": "x", "password": "x", "clientid": "x"},
        ),
        ("POST", f"{V1}/broker/authorize"): (
            f"{V1}/broker/authorize", Role.broker, {"username": "x", "action": "publish", "topic": "a/b"},
        ),
    }  # fmt: skip
    by_keys = {key for key in WRITES_NONE if not isinstance(NEEDED[key].role, Door)}
    assert bodies.keys() == by_keys
    content = Content(busy.database)
    for (method, _), (path, role, body) in bodies.items():
        answer = busy.call(method, path, role, json=body)
        assert answer.status_code == 200, answer.text
    assert content.changed() == []
    content.connection.close()


# reading --------------------------------------------------------------------------------------------------------------


def _enter(served: Served, actor: str, action: str, subject: str, at: datetime | None = None) -> None:
    served.run(
        "INSERT INTO audit (at, actor, action, subject, detail) VALUES (coalesce(%s, now()), %s, %s, %s, %s)",
        [at, actor, action, subject, Jsonb({"note": "n"})],
    )


def test_only_administrators_read_it(city: Served) -> None:
    problem(city.get(LOG, Role.operator), 403, "role-too-low")
    assert city.get(LOG, ADMIN).status_code == 200


def test_it_is_listed_newest_first_by_pages_and_filters(api: Served) -> None:
    for number in range(1, 8):
        at = datetime(2026, 7, number, tzinfo=UTC)
        _enter(
            api,
            "wang" if number % 2 else "li",
            "alarm.close" if number == 4 else "alarm.comment",
            f"episode:{number}",
            at,
        )

    def subjects(**query: Any) -> list[str]:
        return [item["subject"] for item in api.ok(LOG, ADMIN, **query)["items"] if item["actor"] in ("wang", "li")]

    newest_first = [f"episode:{number}" for number in range(7, 0, -1)]
    assert subjects() == newest_first
    found: list[str] = []
    page: dict[str, Any] = {"next": None}
    while len(found) < 7:
        more = {"cursor": page["next"]} if page["next"] else {}
        page = api.ok(LOG, ADMIN, limit=3, to="2026-08-01T00:00:00Z", **more)
        found += [item["subject"] for item in page["items"]]
    assert (found, page["next"]) == (newest_first, None)
    assert subjects(actor="li") == ["episode:6", "episode:4", "episode:2"]
    assert subjects(action="alarm.close") == ["episode:4"]
    assert subjects(subject="episode:5") == ["episode:5"]
    span = {"from": "2026-07-02T00:00:00Z", "to": "2026-07-04T00:00:00Z"}
    assert subjects(**span) == ["episode:3", "episode:2"]
    problem(api.get(LOG, ADMIN, who="li"), 422, "invalid")


def test_a_seal_is_shown_once_there_is_one(api: Served) -> None:
    _enter(api, "wang", "alarm.comment", "episode:1")
    [item] = api.ok(LOG, ADMIN, actor="wang")["items"]
    assert (item["seal"], item["sealed_at"], item["detail"]) == (None, None, {"note": "n"})
    with connect(api.database, "test") as connection:
        Sealer().seal(connection, datetime.now(UTC))
        connection.commit()
        head = verify(connection, now=datetime.now(UTC)).head
    [item] = api.ok(LOG, ADMIN, actor="wang")["items"]
    assert head is not None
    assert (item["seal"], item["audit_key"]) == (head.hash.hex(), head.audit_key)
    assert item["sealed_at"] is not None
