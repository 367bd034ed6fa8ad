"""Sinks and what is owed to them, written as a transition's batch writes it; and a dispatcher to work on it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.deliver.dispatch import Dispatcher
from underfoot.settings import Settings

TIMEOUT_S = 0.8


def snapshot(**changes: Any) -> dict[str, Any]:
    """A cover that was opened a moment ago, with `changes`."""
    now = datetime.now(UTC)
    moment = (now - timedelta(seconds=2)).isoformat()
    whole = {
        "installation_id": "7d7c0a51-0000-0000-0000-000000000000",
        "alarm_key": 1,
        "episode": 1,
        "transition_no": 1,
        "notice": "raise",
        "reason": "limit_reached",
        "rule_id": "cover.open",
        "rule_version": 1,
        "title": "井盖打开",
        "severity": 4,
        "worst_severity": 4,
        "event_at": moment,
        "raised_at": moment,
        "raised_received_at": now.isoformat(),
        "cleared_at": None,
        "proof": {
            "ts": moment,
            "received_at": now.isoformat(),
            "field": "tilt_deg",
            "label": "倾角",
            "value": 78.2,
            "unit": "°",
            "limit": 30.0,
            "values": {"tilt_deg": 78.2, "open": True},
        },
        "crew": {"act": "先围挡", "tool": "", "end": "复位", "make_safe_min": 30},
        "case": {
            "case_key": 1,
            "again": 0,
            "type": "component",
            "code": "0103",
            "code_scheme": "GB/T 30428.2-2013",
            "code_name": "雨水井盖",
            "condition_name": "井盖缺失、移位、打开",
            "level": 2,
            "state": "reported",
            "ended_how": None,
            "arrive_by": (now + timedelta(minutes=30)).isoformat(),
            "repair_by": (now + timedelta(hours=6)).isoformat(),
        },
        "device": {"device_id": "cover-0312", "family": "cover", "vendor": "安盾"},
        "asset": {
            "asset_code": "4105020103000312",
            "code_scheme": "GB/T 30428.2-2013",
            "kind": "0103",
            "name": "雨水井0312",
            "address": "人民大道文峰路口东北角",
            "lon": 114.352345,
            "lat": 36.101234,
            "owner_unit": "市政公司",
            "maintenance_unit": "排水管理所",
        },
        "area": {"code": "410502", "name": "文峰区", "district": "410502"},
    }
    return whole | changes


class Owing:
    """Writes to one test's database."""

    def __init__(self, database: str) -> None:
        self.database = database
        self._connection = psycopg.connect(database, autocommit=True, row_factory=dict_row)

    def close(self) -> None:
        self._connection.close()

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return self._connection.execute(query, values).fetchall()

    def execute(self, query: str, *values: Any) -> None:
        self._connection.execute(query, values)

    def sink(
        self, name: str, url: str = "", *, channel: str = "platform", audience: str = "platform", **config: Any
    ) -> int:
        settings = {"url": url, **config} if url else config
        row = self.rows(
            "INSERT INTO sinks (name, channel, audience, config) VALUES (%s, %s, %s, %s) RETURNING sink_key",
            name, channel, audience, Jsonb(settings),
        )  # fmt: skip
        return int(row[0]["sink_key"])

    def alarm(self, number: int, *, over: bool = False) -> int:
        """An alarm and its open episode 1; `over`: it has ended."""
        row = self.rows(
            "INSERT INTO alarms (subject_kind, subject_key, rule_id, episode) VALUES ('device', %s, 'cover.open', 1)"
            " RETURNING alarm_key",
            number,
        )
        key = int(row[0]["alarm_key"])
        self.execute(
            "INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity,"
            " raised_at, raised_received_at, proof)"
            " VALUES (%s, 1, 1, '井盖打开', 'active', 4, 4, now(), now(), '{}')",
            key,
        )
        if over:
            self.end(key)
        return key

    def end(self, alarm_key: int) -> None:
        self.execute("UPDATE episodes SET cleared_at = now(), condition = 'normal' WHERE alarm_key = %s", alarm_key)

    def owe(
        self,
        sink_key: int,
        alarm_key: int,
        transition_no: int = 1,
        notice: str = "raise",
        *,
        owed_for_s: float = 0,
        company: str | None = None,
        wait_s: float = 0,
        **changes: Any,
    ) -> int:
        facts = snapshot(alarm_key=alarm_key, transition_no=transition_no, notice=notice, **changes)
        key = hashlib.sha256(f"{alarm_key}|{transition_no}|{sink_key}".encode()).hexdigest()
        row = self.rows(
            "INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity,"
            " snapshot, owed_since, created_at, company, next_attempt_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now() - make_interval(secs => %s),"
            " now() - make_interval(secs => %s), %s, now() + make_interval(secs => %s)) RETURNING delivery_key",
            key, sink_key, alarm_key, facts["episode"], transition_no, notice, facts["severity"], Jsonb(facts),
            owed_for_s, owed_for_s, company, wait_s,
        )  # fmt: skip
        self.execute("SELECT pg_notify('underfoot_outbox', '')")
        return int(row[0]["delivery_key"])

    def delivery(self, delivery_key: int) -> dict[str, Any]:
        return self.rows("SELECT * FROM outbox WHERE delivery_key = %s", delivery_key)[0]

    def states(self, sink_key: int | None = None) -> dict[int, str]:
        rows = self.rows(
            "SELECT delivery_key, state FROM outbox WHERE %s::int IS NULL OR sink_key = %s ORDER BY 1",
            sink_key,
            sink_key,
        )
        return {row["delivery_key"]: row["state"] for row in rows}

    def sink_row(self, sink_key: int) -> dict[str, Any]:
        return self.rows("SELECT *, open_until > now() AS closed FROM sinks WHERE sink_key = %s", sink_key)[0]

    def commands(self) -> list[dict[str, Any]]:
        return self.rows("SELECT kind, shard, payload, key FROM inbox ORDER BY inbox_key")


def settings(database: str, **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "database_url": database,
        "delivery_timeout_s": TIMEOUT_S,
        "delivery_retry_base_s": 0.05,
        "public_url": "https://underfoot.example",
    }
    return Settings(**(given | changes))


@contextmanager
def dispatching(database: str, **changes: Any) -> Iterator[Dispatcher]:
    """A dispatcher at work in a thread; at the end it is stopped as at SIGTERM, and must have ended well."""
    dispatcher = Dispatcher(database, settings(database, **changes))
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher.run, args=(stop,), name="dispatch")
    thread.start()
    try:
        yield dispatcher
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def eventually(holds: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait until `holds()` is true; say what it was if it does not become so."""
    until = time.monotonic() + within_s
    while not (last := holds()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {within_s:g} s; it is {last!r}")
        time.sleep(0.01)
