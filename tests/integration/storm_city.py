"""A district in a storm: a ledger, sinks, and alarms raised as ingest raises them; ticks of the storm step.

`now` is the test's clock for ticks; what is recorded is recorded by the database's, which is the same at the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg
from psycopg.rows import dict_row

from alerts.judge.outcome import RuleInForce, Transition
from alerts.record.recorder import Recorder
from alerts.rulebook.book import install_shipped, rules_in_force
from alerts.storm.incidents import step
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection, connect

LEDGER = """
INSERT INTO areas (code, name, parent_code, level) VALUES
    ('4105', '安阳市', NULL, 'city'),
    ('410502', '文峰区', '4105', 'district'), ('410503', '北关区', '4105', 'district'),
    ('410502001', '宝莲寺街道', '410502', 'street'), ('410502002', '东大街街道', '410502', 'street'),
    ('410503001', '红旗路街道', '410503', 'street');
"""
DEVICES = """
WITH made AS (
    INSERT INTO assets (asset_code, kind, name, area_code, address, lon, lat, maintenance_unit)
    SELECT format('%%s2100%%s', left(%(area)s, 6), lpad(n::text, 6, '0')), '2100', format('点位%%s', n),
        %(area)s, '东风路', 114.35 + n * 0.0001, 36.10 + n * 0.0001, %(unit)s
    FROM generate_series(%(first)s::int, %(last)s::int) n
    RETURNING asset_key, asset_code, area_code
)
INSERT INTO devices (device_id, family, district, asset_key, vendor, expected_interval_s)
SELECT format('%%s-%%s', %(family)s::text, right(asset_code, 6)::int), %(family)s::text, left(area_code, 6), asset_key,
    '甲厂', 60
FROM made ORDER BY asset_key;
"""
EMPTIED = """
SET session_replication_role = replica;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN ('installation', 'migrations', 'shards', 'rules', 'engines')
    LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
END $$;
DELETE FROM rules WHERE created_by <> 'shipped';
RESET session_replication_role;
"""


class StormCity:
    """One connection raises and asks; another is the engine's, and can be replaced as at a restart."""

    def __init__(self, database: str, *, empty: bool = True) -> None:
        self.database = database
        self.ask = psycopg.connect(database, autocommit=True, row_factory=dict_row)
        if empty:
            self.ask.execute(EMPTIED.encode())
        self.ask.execute(LEDGER.encode())
        self.engine: Connection = connect(database, "engine")
        install_shipped(self.engine)
        self.engine.commit()
        self.rules: dict[str, RuleInForce] = {one.rule.rule_id: one for one in rules_in_force(self.engine)}
        self.engine.commit()
        self.ingest: Connection = connect(database, "ingest")
        self.now: datetime = self.one("SELECT clock_timestamp() AS at")["at"]
        self._keys: dict[str, int] = {}
        self._devices = 0

    def close(self) -> None:
        for connection in (self.ask, self.engine, self.ingest):
            connection.close()

    def restart(self) -> None:
        """The engine dies between two ticks, and another begins with what is in the database."""
        self.engine.close()
        self.engine = connect(self.database, "engine")

    # the city -------------------------------------------------------------------------------------------------------

    def devices(self, count: int, area: str = "410502001", *, family: str = "road", unit: str = "文峰所") -> list[str]:
        """So many devices more, one on an asset each."""
        first = self._devices + 1
        self._devices += count
        params = {"area": area, "family": family, "unit": unit, "first": first, "last": self._devices}
        self.ask.execute(DEVICES.encode(), params)
        names = [f"{family}-{number}" for number in range(first, self._devices + 1)]
        rows = self.rows("SELECT device_id, device_key FROM devices WHERE device_id = ANY(%s)", names)
        self._keys |= {row["device_id"]: row["device_key"] for row in rows}
        return names

    def key(self, device: str) -> int:
        return self._keys[device]

    def pipes(self, asset_keys: list[int]) -> None:
        """A storm sewer from each of these assets to the next; the last is the outfall."""
        for number, (above, below) in enumerate(pairwise(asset_keys)):
            self.ask.execute(
                "INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m,"
                " invert_down_m) VALUES (%s, %s, %s, 'storm', 800, 50, %s, %s)",
                [f"W{number}", above, below, 60 - number * 0.1, 59.9 - number * 0.1],
            )

    def sink(
        self, name: str, audience: str = "crew", *, unit: str | None = None, least: Severity = Severity.blue
    ) -> None:
        self.ask.execute(
            "INSERT INTO sinks (name, channel, audience, maintenance_unit, min_severity, config)"
            " VALUES (%s, 'webhook', %s, %s, %s, '{}')",
            [name, audience, unit, least.value],
        )

    # what happens ---------------------------------------------------------------------------------------------------

    def raises(
        self, *devices: str, rule: str = "road.ponding", severity: Severity = Severity.orange, value: float = 30.0
    ) -> None:
        """They are raised, or are as severe from now on, in one batch."""
        self._record([self._transition(device, rule, severity, Reason.limit_reached, value) for device in devices])

    def clears(self, *devices: str, rule: str = "road.ponding") -> None:
        self._record([self._transition(device, rule, None, Reason.below_limit, 0.0) for device in devices])

    def reading(self, device: str, depth_cm: float) -> None:
        """A report of a road gauge, now."""
        for table, column in (("report_road", "digest"), ("latest_road", "seq")):
            self.ask.execute(
                f"INSERT INTO {table} (device_key, ts, {column}, received_at, quality, depth_cm)"
                " VALUES (%s, clock_timestamp(), 1, clock_timestamp(), 0, %s)".encode(),
                [self.key(device), depth_cm],
            )

    def close_by_hand(self, rule: str) -> None:
        found = self.one("SELECT subject_key FROM alarms WHERE rule_id = %s", rule)
        at_us = microseconds(self.now)
        self._record(
            [
                Transition(
                    SubjectKind.incident, found["subject_key"], self.rules[rule], Reason.closed_by_hand,
                    Condition.active, Condition.normal, 3, 0, at_us, at_us, {},
                )
            ]
        )  # fmt: skip

    def later(self, **by: float) -> None:
        """All that was committed until now is so much older: the ticks' clock and the database's agree again."""
        moved = timedelta(**by)
        self.ask.execute("UPDATE episodes SET committed_at = committed_at - %s", [moved])
        for table, columns in (
            ("floods", ("began_at", "ended_at")),
            ("incident_members", ("joined_at", "left_at")),
            ("incidents", ("began_at", "ended_at", "told_at")),
        ):
            for column in columns:
                self.ask.execute(f"UPDATE {table} SET {column} = {column} - %s".encode(), [moved])
        self.now -= moved

    def _record(self, transitions: list[Transition]) -> None:
        with self.ingest.transaction():
            Recorder(self.ingest).record(transitions)

    def _transition(
        self, device: str, rule: str, severity: Severity | None, reason: Reason, value: float
    ) -> Transition:
        at_us = microseconds(self.one("SELECT clock_timestamp() AS at")["at"])
        field = "depth_cm" if device.startswith("road") else "open"
        proof = {
            "ts_us": at_us,
            "received_us": at_us,
            "field": field,
            "label": "积水深度",
            "value": value,
            "unit": "cm",
            "limit": 27.0,
            "values": {field: value},
        }
        before, after = (Condition.normal, Condition.active) if severity else (Condition.active, Condition.normal)
        level = severity.value if severity else 0
        return Transition(
            SubjectKind.device,
            self._keys[device],
            self.rules[rule],
            reason,
            before,
            after,
            0,
            level,
            at_us,
            at_us,
            proof,
        )

    def tick(self, **later: float) -> None:
        """The storm's step, by a clock that is so much later."""
        self.now += timedelta(**later)
        with self.engine.transaction():
            step(self.engine, self.now)

    def ticks(self, count: int, **apart: float) -> None:
        for _ in range(count):
            self.tick(**apart)

    # what is in the database ----------------------------------------------------------------------------------------

    def rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        return self.ask.execute(query.encode(), params).fetchall()

    def one(self, query: str, *params: Any) -> dict[str, Any]:
        [row] = self.rows(query, *params)
        return row

    def owed(self, sink: str) -> list[tuple[str, str]]:
        """Notices to a sink, in order: of which rule, and what."""
        query = (
            "SELECT rule_id, notice FROM outbox JOIN sinks USING (sink_key) JOIN alarms USING (alarm_key)"
            " WHERE sinks.name = %s ORDER BY delivery_key"
        )
        return [(row["rule_id"], row["notice"]) for row in self.rows(query, sink)]

    def snapshots(self, sink: str, rule: str = "storm.incident") -> list[dict[str, Any]]:
        query = (
            "SELECT snapshot FROM outbox JOIN sinks USING (sink_key) JOIN alarms USING (alarm_key)"
            " WHERE sinks.name = %s AND rule_id = %s ORDER BY delivery_key"
        )
        return [row["snapshot"] for row in self.rows(query, sink, rule)]

    def suppressed(self) -> dict[str, list[str]]:
        """By device: what suppresses its alarm."""
        query = "SELECT device_id, suppressed FROM alarms JOIN devices USING (device_key) WHERE suppressed <> '{}'"
        return {row["device_id"]: row["suppressed"] for row in self.rows(query)}

    def incidents(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM incidents ORDER BY incident_key")


@contextmanager
def storm_city(database: str, *, empty: bool = True) -> Iterator[StormCity]:
    """`empty`: the database is emptied first; else it is a fresh one."""
    made = StormCity(database, empty=empty)
    try:
        yield made
    finally:
        made.close()
