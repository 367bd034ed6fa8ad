"""Timers: what becomes true because nothing came. They only look, and post commands to the inbox of the shard they
concern; its holder, the one writer of condition state, judges again and acts. And they forget what the inbox has
consumed long ago.

Everything is judged against `caught_up_to`, never against now: while reports wait for us, silence proves nothing.
"""

from __future__ import annotations

import logging
import threading
import time
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
_NOT_A_STEP_S = 2.0
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
    ahead_s = float("inf")
    while not stop.is_set():
        ahead_s = mind_the_clock(connection, ahead_s, 2 * settings.delivery_timeout_s)
        post_due(connection)
        if time.monotonic() >= purge_at:
            more = purge_inbox(connection, timedelta(hours=settings.inbox_keep_h)) == _PURGED_TOGETHER
            purge_at = time.monotonic() + (0 if more else _PURGE_EVERY_S)
        stop.wait(CLOCK.machine_s(settings.timer_interval_s, _LEAST_PAUSE_S))


def mind_the_clock(connection: Connection, ahead_s: float, lease_s: float) -> float:
    """By how much the database's clock is ahead of one that nobody can set. Was it set back, what was to be done some
    time later would be done that much later still."""
    [(now_s,)] = connection.execute(statement("outbox.clock")).fetchall()
    now_ahead_s = float(now_s) - time.monotonic()
    if now_ahead_s < ahead_s - _NOT_A_STEP_S:
        params = {"longest_s": LONGEST_BACKOFF_S, "lease_s": lease_s}
        connection.execute(statement("outbox.bring_forward_attempts"), params)
        connection.execute(statement("outbox.bring_forward_probes"), params)
    return now_ahead_s


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
