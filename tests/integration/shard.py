"""A shard as its holder has it: a small ledger, a tenure, and a worker whose batches the test commits one by one.

No broker: the test is the session, and says what arrives when. A restart drops all memory and loads it anew.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from ingest.arrival import Arrival
from ingest.decode import read_ahead
from ingest.tenure import Tenure, hold
from ingest.worker import Worker
from underfoot.settings import Settings

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
NOBODY = "mqtt://127.0.0.1:1"

LEDGER = """
INSERT INTO areas (code, name, level) VALUES ('410502', '文峰区', 'district');
INSERT INTO assets (asset_code, kind, name, area_code, address, lon, lat, owner_unit, maintenance_unit) VALUES
    ('4105020103000001', '0103', '雨水井0001', '410502', '人民大道', 114.372615, 36.098779, '市水务局', '文峰养护所'),
    ('4105020102000002', '0102', '污水井0002', '410502', '文峰大道', 114.352345, 36.101234, '市水务局', '北关养护所'),
    ('4105022100000003', '2100', '东风路铁路桥下', '410502', '东风路', 114.360001, 36.100002, '市政公司', '文峰养护所'),
    ('4105020103000004', '0103', '雨水管W12', '410502', '安钢大道', NULL, NULL, '市水务局', ''),
    ('4105022115000005', '2115', '东风泵站', '410502', '东风路', NULL, NULL, '市水务局', '文峰养护所'),
    ('4105022100000006', '2100', '雨量站6', '410502', '文明大道', NULL, NULL, '', ''),
    ('4105020118000007', '0118', '路灯0007', '410502', '洹滨北路', NULL, NULL, '路灯所', '路灯所');
UPDATE assets SET attributes = '{"place": "underpass"}' WHERE asset_code = '4105022100000003';
INSERT INTO devices (device_id, family, district, asset_key, vendor, expected_interval_s, baseline, created_at)
SELECT v.device_id, v.family, '410502', a.asset_key, '甲厂', v.interval_s, v.baseline::jsonb, now()
FROM (VALUES
    ('C-1', 'cover', '4105020103000001', 86400, '{"tilt_deg": 3.0}'), ('C-2', 'cover', '4105020102000002', 86400, '{}'),
    ('R-1', 'road', '4105022100000003', 900, '{}'), ('P-1', 'pipe', '4105020103000004', 900, '{}'),
    ('U-1', 'pump', '4105022115000005', 60, '{}'), ('N-1', 'rain', '4105022100000006', 300, '{}'),
    ('L-1', 'lamp', '4105020118000007', 900, '{}')
) AS v (device_id, family, asset_code, interval_s, baseline) JOIN assets a USING (asset_code);
"""
FAMILY = {"C": "cover", "R": "road", "P": "pipe", "U": "pump", "N": "rain", "L": "lamp"}


class Shard:
    """`now_us` is the test's clock for what arrives; it begins at the present, moves 1 ms a message, and when told."""

    def __init__(self, database: str, mqtt_url: str = NOBODY, **settings: Any) -> None:
        self.database = database
        self.settings = Settings(database_url=database, mqtt_url=mqtt_url, **settings)
        self.ask = psycopg.connect(database, autocommit=True, row_factory=dict_row)
        self.now_us = time.time_ns() // 1000
        self._packets = itertools.count(1)
        self._open = ExitStack()
        self.tenure: Tenure
        self.worker: Worker

    def begin(self) -> None:
        """Take the shard, and load what is committed."""
        tenure = self._open.enter_context(hold(self.database, "main", threading.Event()))
        assert tenure is not None
        self.tenure, self.worker = tenure, Worker(self.settings, tenure)
        self._open.callback(self.worker._session.close)

    def end(self) -> None:
        self._open.close()
        self._open = ExitStack()

    def restart(self) -> None:
        self.end()
        self.begin()

    def close(self) -> None:
        self.end()
        self.ask.close()

    # what arrives ---------------------------------------------------------------------------------------------------

    def wait(self, us: int) -> None:
        self.now_us += us

    def message(self, topic: str, payload: bytes, *, dup: bool = False, packet_id: int | None = None) -> Arrival:
        number = next(self._packets) if packet_id is None else packet_id
        self.now_us += 1000
        content, raw = read_ahead(payload)
        return Arrival(topic, payload, number, 1, dup, False, self.now_us, 1, None, content, raw)

    def says(self, device_id: str, values: dict[str, Any], ts_us: int | None = None, **more: Any) -> Arrival:
        """A device's report, true when it arrives, or at `ts_us`."""
        report = {"ts": (self.now_us if ts_us is None else ts_us) // 1000, "values": values} | more
        return self.message(self.topic(device_id), json.dumps(report).encode())

    def topic(self, device_id: str) -> str:
        return f"underfoot/v1/410502/{FAMILY[device_id[0]]}/{device_id}/report"

    def redelivered(self, arrival: Arrival) -> Arrival:
        self.now_us += 1
        return arrival._replace(dup=True, received_us=self.now_us, generation=arrival.generation + 1)

    def probe(self, sent_us: int | None = None) -> list[Arrival]:
        """The worker's probe comes back, by each of its filters."""
        sent = self.now_us if sent_us is None else sent_us
        payload = json.dumps({"sent_us": sent, "mark": self.worker._probe_mark}).encode()
        return [self.message(topic, payload) for topic in self.worker._proven_us]

    def commit(self, *arrivals: Arrival, look_around: bool = False) -> None:
        self.worker.commit(arrivals, look_around=look_around)

    def look_around(self) -> None:
        self.commit(look_around=True)

    def catch_up(self) -> None:
        """A probe comes back: all until now is committed."""
        self.commit(*self.probe())

    # what is in the database ----------------------------------------------------------------------------------------

    def rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        return self.ask.execute(query, params).fetchall()

    def one(self, query: str, *params: Any) -> dict[str, Any]:
        (row,) = self.rows(query, *params)
        return row

    def device_key(self, device_id: str) -> int:
        return int(self.one("SELECT device_key FROM devices WHERE device_id = %s", device_id)["device_key"])

    def open(self, device_id: str | None = None) -> dict[str, int]:
        """Rule → severity of what is open: of a device, or of all."""
        return {
            row["rule_id"]: row["severity"]
            for row in self.rows(
                "SELECT rule_id, severity FROM episodes JOIN alarms USING (alarm_key)"
                " LEFT JOIN devices USING (device_key)"
                " WHERE cleared_at IS NULL AND (%s::text IS NULL OR device_id = %s)",
                device_id,
                device_id,
            )
        }

    def reasons(self, rule_id: str) -> list[str]:
        """Why a rule's condition changed, in order."""
        query = (
            "SELECT reason FROM transitions JOIN alarms USING (alarm_key) WHERE rule_id = %s AND region = 'condition'"
        )
        return [row["reason"] for row in self.rows(query + " ORDER BY transition_key", rule_id)]

    def books(self) -> dict[str, int]:
        names = ("received", "redelivered", "unpacked", "stored", "duplicate", "quarantined", "late")
        sums = ", ".join(f"coalesce(sum({name}), 0)::int AS {name}" for name in names)
        return {name: int(number) for name, number in self.one(f"SELECT {sums} FROM books").items()}

    def quarantined(self) -> list[str]:
        return [row["reason"] for row in self.rows("SELECT reason FROM quarantine ORDER BY quarantine_key")]

    def post(self, kind: str, payload: Any, key: str) -> None:
        self.ask.execute(
            "INSERT INTO inbox (shard, kind, payload, key) VALUES ('main', %s, %s, %s)", [kind, Jsonb(payload), key]
        )

    def outcome(self, key: str) -> str | None:
        outcome = self.one("SELECT outcome FROM inbox WHERE key = %s", key)["outcome"]
        return None if outcome is None else str(outcome)

    def sink(self, name: str, audience: str, *, unit: str | None = None, min_severity: int = 1) -> None:
        self.ask.execute(
            "INSERT INTO sinks (name, channel, audience, maintenance_unit, min_severity, config)"
            " VALUES (%s, 'webhook', %s, %s, %s, '{}')",
            [name, audience, unit, min_severity],
        )

    def owed(self, sink: str) -> list[tuple[str, str, int]]:
        """Notices to a sink in order: of which rule, what, and how severe."""
        query = """SELECT rule_id, notice, outbox.severity FROM outbox
                   JOIN sinks USING (sink_key) JOIN alarms USING (alarm_key)
                   WHERE sinks.name = %s ORDER BY delivery_key"""
        return [(row["rule_id"], row["notice"], row["severity"]) for row in self.rows(query, sink)]


EMPTIED = """
SET session_replication_role = replica;  -- without foreign keys, and without the triggers that keep records append-only
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN ('installation', 'migrations', 'shards', 'rules', 'engines')
    LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
END $$;
DELETE FROM shards WHERE shard <> 'main';
DELETE FROM rules WHERE created_by <> 'shipped';
UPDATE shards SET epoch = 0, session_known = false, caught_up_to = NULL;
UPDATE engines SET epoch = 0, state = '{}';
RESET session_replication_role;
"""


@contextmanager
def shard_of(database: str, mqtt_url: str = NOBODY, **settings: Any) -> Iterator[Shard]:
    """A shard with a small ledger and nothing else in its database, begun."""
    made = Shard(database, mqtt_url, **settings)
    try:
        made.ask.execute(EMPTIED.encode())
        made.ask.execute(LEDGER.encode())
        made.begin()
        yield made
    finally:
        made.close()
