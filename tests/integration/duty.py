"""A small city with a roster: whoever raises, acknowledges and ticks here does it as the engine and the people do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from alerts.duty import escalation
from alerts.duty.files import read_plan
from alerts.duty.store import put_plan
from alerts.judge.outcome import RuleInForce, Transition
from alerts.record.recorder import Recorder
from alerts.regions.actions import acknowledge, unacknowledge
from alerts.regions.suppress import suppress, unsuppress
from alerts.rulebook.book import install_shipped
from alerts.rules import shipped_pack
from underfoot.alarms import Condition, Reason, Severity, SubjectKind, Suppression
from underfoot.reports import microseconds
from underfoot.storage.connect import connect

RULES = {rule.rule_id: RuleInForce(rule, 1) for rule in shipped_pack()}

EMPTIED = """
SET session_replication_role = replica;  -- without foreign keys, and without the triggers that keep records append-only
DELETE FROM escalations; DELETE FROM escalation_clocks; DELETE FROM outbox; DELETE FROM comments;
DELETE FROM callbacks; DELETE FROM case_reported; DELETE FROM case_steps; DELETE FROM cases;
DELETE FROM case_news; DELETE FROM case_steps; DELETE FROM cases; DELETE FROM unrouted;
DELETE FROM suppressions; DELETE FROM transitions; DELETE FROM episodes; DELETE FROM alarms; DELETE FROM sinks;
DELETE FROM inbox; DELETE FROM audit; DELETE FROM devices; DELETE FROM assets; DELETE FROM areas;
DELETE FROM duty_people; DELETE FROM duty_shifts; DELETE FROM duty_assignments; DELETE FROM duty_absences;
DELETE FROM duty_swaps; DELETE FROM duty_notes; DELETE FROM calendar_days;
DELETE FROM rules WHERE created_by <> 'shipped';
UPDATE engines SET state = '{}';
RESET session_replication_role;
"""

LEDGER = """
INSERT INTO areas (code, name, parent_code, level) VALUES
    ('4105', '安阳市', NULL, 'city'),
    ('410502', '文峰区', '4105', 'district'), ('410503', '北关区', '4105', 'district');
INSERT INTO assets (asset_code, kind, name, area_code, address, maintenance_unit)
SELECT '41050201030' || lpad(n::text, 5, '0'), '0103', '雨水井' || lpad(n::text, 4, '0'),
    CASE WHEN n % 2 = 1 THEN '410502' ELSE '410503' END, '人民大道' || n || '号', '文峰养护所'
FROM generate_series(1, 6) n;
INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)
SELECT 'C-' || right(name, 1), 'cover', area_code, asset_key, 86400 FROM assets;
INSERT INTO sinks (name, channel, audience, config)
SELECT name, 'webhook', 'duty', '{"url": "http://127.0.0.1:1/"}'
FROM unnest(ARRAY['wang', 'li', 'chen', 'zhao']) AS name;
"""

ROSTER = """
people:
  - {name: 王建国, phone: "13803720001", sink: wang, areas: ["410502"]}
  - {name: 李强, phone: "13803720002", sink: li, areas: ["410503"]}
  - {name: 陈静, phone: "13803720003", sink: chen}
  - {name: 赵敏, phone: "13803720004", sink: zhao}
shifts:
  - {name: 全天, begin: "08:00", end: "08:00"}
assignments:
  - {shift: 全天, level: 1, people: [王建国, 李强], from: 2020-01-01}
  - {shift: 全天, level: 2, people: [陈静], from: 2020-01-01}
  - {shift: 全天, level: 3, people: [赵敏], from: 2020-01-01}
"""


class City:
    """`now` is the engine's clock: it begins at the present, and moves when told. Each call is a transaction."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.ask = psycopg.connect(database, autocommit=True, row_factory=dict_row)
        self.ask.execute(EMPTIED.encode())
        self.ask.execute(LEDGER.encode())
        keys = self.rows("SELECT device_id, device_key FROM devices")
        self._device_key = {row["device_id"]: row["device_key"] for row in keys}
        self.now = datetime.now(UTC)
        self._written: dict[str, int] = {}
        with connect(database, "test") as connection:
            install_shipped(connection)

    def close(self) -> None:
        self.ask.close()

    def rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        return self.ask.execute(query.encode(), params).fetchall()

    def roster(self, text: str = ROSTER) -> None:
        with connect(self.database, "test") as connection:
            put_plan(connection, read_plan(text.encode(), "roster.yaml"), actor="test")

    # what happens ---------------------------------------------------------------------------------------------------

    def wait(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)

    def tick(self, minutes: float = 0) -> None:
        """One step of the city's thread, on a connection of its own: nothing is remembered from the one before."""
        self.wait(minutes)
        with connect(self.database, "test") as connection:
            escalation.step(connection, self.now)

    def change(self, device: int, before: Severity | None, now: Severity | None, reason: Reason) -> None:
        at = microseconds(self.now)
        condition = (Condition.normal, Condition.active)
        changed = Transition(
            SubjectKind.device,
            self._device_key[f"C-{device}"],
            RULES["cover.open"],
            reason,
            condition[before is not None],
            condition[now is not None],
            before or 0,
            now or 0,
            at,
            at,
            {"ts_us": at, "received_us": at, "field": "open", "value": 1.0},
        )
        with connect(self.database, "test") as connection:
            Recorder(connection).record([changed])
        self._recorded_now()

    def rise(self, device: int, severity: Severity = Severity.red) -> int:
        """Returns the alarm's key."""
        self.change(device, None, severity, Reason.limit_reached)
        key = self._device_key[f"C-{device}"]
        [row] = self.rows("SELECT alarm_key FROM alarms WHERE device_key = %s", key)
        return int(row["alarm_key"])

    def clear(self, device: int, severity: Severity = Severity.red) -> None:
        self.change(device, severity, None, Reason.below_limit)

    def acknowledge(self, alarm_key: int, actor: str = "desk") -> None:
        with connect(self.database, "test") as connection:
            acknowledge(connection, [self._episode(alarm_key)], actor, self.now)
        self._recorded_now()

    def unacknowledge(self, alarm_key: int) -> None:
        with connect(self.database, "test") as connection:
            unacknowledge(connection, [self._episode(alarm_key)], "desk", self.now)
        self._recorded_now()

    def shelve(self, alarm_key: int) -> None:
        with connect(self.database, "test") as connection:
            suppress(connection, [alarm_key], Suppression.shelved, reason="施工", actor="desk", at=self.now)
        self._recorded_now()

    def unshelve(self, alarm_key: int) -> None:
        with connect(self.database, "test") as connection:
            unsuppress(
                connection,
                alarm_keys=[alarm_key],
                kind=Suppression.shelved,
                reason=Reason.unshelved,
                actor="desk",
                at=self.now,
            )
        self._recorded_now()

    def _episode(self, alarm_key: int) -> int:
        [row] = self.rows(
            "SELECT episode_key FROM episodes WHERE alarm_key = %s ORDER BY episode DESC LIMIT 1", alarm_key
        )
        return int(row["episode_key"])

    def _recorded_now(self) -> None:
        """The record's own time is the database's clock. Here it is the test's: what is new was written now."""
        self.ask.execute("SET session_replication_role = replica")  # the record is append-only for everybody else
        for table, key in (("transitions", "transition_key"), ("episodes", "episode_key")):
            known = self._written.get(table, 0)
            self.ask.execute(f"UPDATE {table} SET committed_at = %s WHERE {key} > {known}".encode(), [self.now])
            [newest] = self.rows(f"SELECT coalesce(max({key}), 0) AS key FROM {table}")
            self._written[table] = newest["key"]
        self.ask.execute("SET session_replication_role = origin")

    # what became of it ----------------------------------------------------------------------------------------------

    def told(self) -> list[tuple[str, int]]:
        """Sink and level of every escalation owed, in order."""
        rows = self.rows(
            "SELECT s.name, (o.snapshot #>> '{escalation,level}')::int AS level"
            " FROM outbox o JOIN sinks s USING (sink_key) WHERE o.notice = 'escalate' ORDER BY delivery_key"
        )
        return [(row["name"], row["level"]) for row in rows]

    def turns(self, alarm_key: int) -> list[int]:
        rows = self.rows("SELECT level FROM escalations WHERE alarm_key = %s ORDER BY escalation_key", alarm_key)
        return [row["level"] for row in rows]


@contextmanager
def city_of(database: str) -> Iterator[City]:
    city = City(database)
    try:
        yield city
    finally:
        city.close()
