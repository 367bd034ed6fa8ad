"""Timers: what becomes true because nothing came. They only look, and post commands to the inbox of the shard they
concern; its holder, the one writer of condition state, judges again and acts. And they forget what the inbox has
consumed long ago.

Everything is judged against `caught_up_to`, never against now: while reports wait for us, silence proves nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg
from psycopg.types.json import Jsonb

from alerts.deliver.breaker import LONGEST_BACKOFF_S
from underfoot.clock import CLOCK
from underfoot.settings import Settings
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

_PURGE_EVERY_S = 60.0
_PURGED_TOGETHER = 2000
_LEAST_PAUSE_S = 0.05


def run_timers(settings: Settings, stop: threading.Event) -> None:
    """Look for due silences until `stop`; the database's absence is waited out."""
    while not stop.is_set():
        try:
            with connect(settings.require_database(), "timers", autocommit=True) as connection:
                _watch(connection, settings, stop)
        except psycopg.OperationalError as error:
            log.warning("timers: %s", str(error).strip())
            stop.wait(1)


def _watch(connection: Connection, settings: Settings, stop: threading.Event) -> None:
    purge_at = 0.0
    clock = DatabaseClock(lease_s=2 * settings.delivery_timeout_s)
    while not stop.is_set():
        clock.look(connection)
        post_due(connection)
        if time.monotonic() >= purge_at:
            more = purge_inbox(connection, timedelta(hours=settings.inbox_keep_h)) == _PURGED_TOGETHER
            purge_at = time.monotonic() + (0 if more else _PURGE_EVERY_S)
        stop.wait(CLOCK.machine_s(settings.timer_interval_s, _LEAST_PAUSE_S))


class DatabaseClock:
    """The clock by which retries and leases are kept, watched by one that nobody can set. Was it set back, what was to
    be done some time later would be done that much later still: it is brought forward. So is at the beginning what
    was left by a clock that was set back while nobody watched.

    Not only once: a transaction that had begun before may commit what it owes only later.
    """

    NOT_A_STEP_S = 2.0
    AGAIN_AFTER_S = (0.0, 3.0, 15.0, 60.0)

    def __init__(self, lease_s: float, passed_s: Callable[[], float] = time.monotonic) -> None:
        self._lease_s = lease_s
        self._passed_s = passed_s
        self._ahead_s = float("inf")
        self._looks_at: list[float] = []

    def look(self, connection: Connection) -> None:
        [(now_s,)] = connection.execute(statement("outbox.clock")).fetchall()
        machine_s = self._passed_s()
        was_ahead_s, self._ahead_s = self._ahead_s, float(now_s) - machine_s
        if self._ahead_s < was_ahead_s - self.NOT_A_STEP_S:
            self._looks_at = [machine_s + after_s for after_s in self.AGAIN_AFTER_S]
        if self._looks_at and machine_s >= self._looks_at[0]:
            params = {"longest_s": LONGEST_BACKOFF_S, "lease_s": self._lease_s}
            connection.execute(statement("outbox.bring_forward_attempts"), params)
            connection.execute(statement("outbox.bring_forward_probes"), params)
            self._looks_at = [at for at in self._looks_at if at > machine_s]


def post_due(connection: Connection) -> int:
    """Tell each shard that has a silence come due. Returns how many commands are new."""
    posted = 0
    for shard, caught_up_to in connection.execute(statement("alarms.due_shards")).fetchall():
        posted += _post(connection, shard, "timers", {}, f"timers:{shard}:{caught_up_to.isoformat()}")
    return posted


def purge_inbox(connection: Connection, keep: timedelta) -> int:
    """Forget a small batch of rows that were consumed before that; returns how many. What waits is never touched."""
    return connection.execute(statement("inbox.purge"), {"keep": keep, "limit": _PURGED_TOGETHER}).rowcount


def _post(connection: Connection, shard: str, kind: str, payload: dict[str, object], key: str) -> int:
    with connection.transaction():
        params = {"shard": shard, "kind": kind, "payload": Jsonb(payload), "key": key}
        posted = connection.execute(statement("shard.post"), params).rowcount
        if posted:
            connection.execute("SELECT pg_notify('underfoot_inbox', %s)", [shard])
    return posted
