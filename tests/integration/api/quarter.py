"""A quarter with a grid of sewers, in which alarms are raised as the engine raises them, by the Recorder."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import cos, radians
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.judge.outcome import RuleInForce, Transition
from alerts.record.recorder import Recorder
from alerts.regions import actions
from alerts.rulebook.book import install_shipped, rules_in_force
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.links import LASTS, issue, secrets
from underfoot.reports import microseconds
from underfoot.storage.connect import connect

LON, LAT = 114.3926, 36.0988
AREAS = """
INSERT INTO areas (code, name, parent_code, level) VALUES
    ('410500', '安阳市', NULL, 'city'), ('410502', '文峰区', '410500', 'district'),
    ('410503', '北关区', '410500', 'district'), ('410502001', '宝莲寺街道', '410502', 'street')
ON CONFLICT (code) DO NOTHING;
"""
PEOPLE = """
INSERT INTO sinks (name, channel, audience, maintenance_unit, min_severity, config) VALUES
    ('platform', 'webhook', 'platform', NULL, 1, '{"url": "http://127.0.0.1:1/p"}'),
    ('wenfeng', 'webhook', 'crew', '文峰养护所', 1, '{"url": "http://127.0.0.1:1/w"}');
INSERT INTO sinks (name, channel, audience, min_severity, config) VALUES
    ('li-qiang', 'wecom', 'duty', 1, '{"url": "http://127.0.0.1:1/l"}');
INSERT INTO duty_people (name, place, phone, sink) VALUES
    ('李强', 1, '13800000000', 'li-qiang'), ('王建国', 2, NULL, NULL);
"""


class Quarter:
    def __init__(self, database: str, now: datetime | None = None) -> None:
        self.database = database
        self.ask = psycopg.connect(database, autocommit=True, row_factory=dict_row)
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        self.ask.execute(AREAS.encode())
        self.ask.execute(PEOPLE.encode())
        with connect(database, "quarter") as connection:
            install_shipped(connection)
            connection.commit()
            self.rules: dict[str, RuleInForce] = {one.rule.rule_id: one for one in rules_in_force(connection)}
            self.secret = secrets(connection)[0].secret
        self._codes = 0

    def close(self) -> None:
        self.ask.close()

    # the ledger -------------------------------------------------------------------------------------------------------

    def asset(self, kind: str, name: str, east_m: float, north_m: float, address: str = "", **more: Any) -> int:
        self._codes += 1
        row = {
            "asset_code": f"410502{kind}{self._codes:06}",
            "kind": kind,
            "name": name,
            "area_code": "410502001",
            "address": address,
            "lon": LON + east_m / (111_320 * cos(radians(LAT))),
            "lat": LAT + north_m / 111_320,
            "owner_unit": "市住建局",
            "maintenance_unit": "文峰养护所",
        } | more
        columns, values = ", ".join(row), ", ".join(["%s"] * len(row))
        made = self.one(f"INSERT INTO assets ({columns}) VALUES ({values}) RETURNING asset_key", *row.values())
        key: int = made["asset_key"]
        return key

    def device(self, family: str, asset_key: int, interval_s: int, baseline: dict[str, float] | None = None) -> int:
        made = self.one(
            "INSERT INTO devices (device_id, family, district, asset_key, vendor, expected_interval_s, baseline)"
            " VALUES (%s, %s, '410502', %s, '甲厂', %s, %s) RETURNING device_key",
            f"{family}-{asset_key:05}",
            family,
            asset_key,
            interval_s,
            Jsonb(baseline or {}),
        )
        key: int = made["device_key"]
        return key

    def pipe(self, pipe_id: str, above: int, below: int, kind: str = "storm", length_m: float = 60) -> int:
        made = self.one(
            "INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m)"
            " VALUES (%s, %s, %s, %s, 600, %s, 58.2, 58.0) RETURNING pipe_key",
            pipe_id,
            above,
            below,
            kind,
            length_m,
        )
        key: int = made["pipe_key"]
        return key

    def sewers(self) -> list[int]:
        """Four streets of manholes, storm sewers along them, a foul one across."""
        found = []
        for row in range(4):
            street = [
                self.asset("0103", f"雨水井{row}{column:02}", -300 + column * 75, -150 + row * 100, "人民大道")
                for column in range(9)
            ]
            for number, (above, below) in enumerate(pairwise(street)):
                self.pipe(f"Y{row}-{number}", above, below, length_m=78)
            found += street
        for row in range(3):
            self.pipe(f"W{row}", found[row * 9 + 4], found[row * 9 + 13], "foul", 105)
        return found

    def reports(self, family: str, device_key: int, rows: Iterable[tuple[datetime, dict[str, Any]]]) -> None:
        for number, (moment, values) in enumerate(rows):
            names = ", ".join(f'"{name}"' for name in values)
            self.ask.execute(
                f"INSERT INTO report_{family} (device_key, ts, digest, received_at, quality, {names})"
                f" VALUES (%s, %s, %s, %s, 0, {', '.join(['%s'] * len(values))})".encode(),
                [device_key, moment, number, moment + timedelta(seconds=2), *values.values()],
            )

    # what happens -----------------------------------------------------------------------------------------------------

    def ago(self, **by: float) -> datetime:
        return self.now - timedelta(**by)

    def raised(
        self,
        rule: str,
        key: int,
        severity: Severity,
        at: datetime,
        *,
        kind: SubjectKind = SubjectKind.device,
        **proof: Any,
    ) -> int:
        """Its episode's key."""
        self.records(rule, key, kind, Reason.limit_reached, at, 0, severity.value, proof)
        return self.episode(rule, key, kind)

    def cleared(self, rule: str, key: int, severity: Severity, at: datetime, **proof: Any) -> None:
        self.records(rule, key, SubjectKind.device, Reason.below_limit, at, severity.value, 0, proof)

    def records(
        self, rule: str, key: int, kind: SubjectKind, reason: Reason, at: datetime, before: int, after: int, proof: Any
    ) -> None:
        at_us = microseconds(at)
        received_us = at_us + 2_000_000
        transition = Transition(
            kind,
            key,
            self.rules[rule],
            reason,
            Condition.active if before else Condition.normal,
            Condition.active if after else Condition.normal,
            before,
            after,
            at_us,
            received_us,
            {"ts_us": at_us, "received_us": received_us, "field": "", "label": "", **proof},
        )
        with connect(self.database, "quarter") as connection:
            Recorder(connection).record([transition])
            connection.commit()

    def episode(self, rule: str, key: int, kind: SubjectKind = SubjectKind.device) -> int:
        found = self.one(
            "SELECT episode_key FROM alarms JOIN episodes USING (alarm_key, episode)"
            " WHERE rule_id = %s AND subject_key = %s AND subject_kind = %s",
            rule,
            key,
            kind.value,
        )
        episode_key: int = found["episode_key"]
        return episode_key

    def acknowledged(self, episode_key: int, by: str, at: datetime) -> None:
        with connect(self.database, "quarter") as connection:
            actions.acknowledge(connection, [episode_key], by, at)
            connection.commit()

    def told(self, episode_key: int, after_s: float = 3) -> None:
        """All that is owed of it has gone out."""
        self.ask.execute(
            "UPDATE outbox o SET state = 'delivered', verdict = 'tell', attempts = 1,"
            " created_at = e.raised_received_at, settled_at = e.raised_received_at + make_interval(secs => %s)"
            " FROM episodes e WHERE e.alarm_key = o.alarm_key AND e.episode = o.episode AND e.episode_key = %s"
            " AND o.state = 'owed'",
            [after_s, episode_key],
        )

    # links ------------------------------------------------------------------------------------------------------------

    def delivery(self, episode_key: int, sink: str) -> int:
        """Of the first message about it to a sink."""
        found = self.rows(
            "SELECT o.delivery_key FROM outbox o JOIN episodes e USING (alarm_key, episode)"
            " JOIN sinks s USING (sink_key)"
            " WHERE e.episode_key = %s AND s.name = %s ORDER BY o.delivery_key",
            episode_key,
            sink,
        )
        if found:
            key: int = found[0]["delivery_key"]
            return key
        made = self.one(
            "INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity,"
            " snapshot, state, verdict, attempts, created_at, settled_at)"
            " SELECT %s || e.episode_key, s.sink_key, e.alarm_key, e.episode, 1, 'raise', e.severity, '{}',"
            " 'delivered', 'tell', 1, e.raised_received_at, e.raised_received_at + interval '4 s'"
            " FROM episodes e, sinks s WHERE e.episode_key = %s AND s.name = %s RETURNING delivery_key",
            f"{sink}-",
            episode_key,
            sink,
        )
        new: int = made["delivery_key"]
        return new

    def link(self, episode_key: int, sink: str = "li-qiang", expires_at: datetime | None = None) -> str:
        """The path of a message's link."""
        row = self.one("SELECT alarm_key, episode FROM episodes WHERE episode_key = %s", episode_key)
        token = issue(
            self.secret,
            alarm_key=row["alarm_key"],
            episode=row["episode"],
            delivery_key=self.delivery(episode_key, sink),
            expires_at=expires_at or self.now + LASTS,
        )
        return f"/a/{token}"

    def rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        return self.ask.execute(query.encode(), params).fetchall()

    def one(self, query: str, *params: Any) -> dict[str, Any]:
        [row] = self.rows(query, *params)
        return row
