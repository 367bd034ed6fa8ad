"""Reconciling by schedule: a thread of `underfoot alerts`. All of it once a day, open cases more often, as each
platform's configuration says (`query.daily_at`, `query.open_every_min`). What a restart interrupts is begun anew.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import dict_row

from alerts.cases.callbacks import RefusedError, platform_sink
from alerts.cases.reconcile import BusyError, Scope, reconcile
from alerts.channels.platform.query import Query, QueryError
from underfoot.city_time import CITY_ZONE
from underfoot.clock import CLOCK
from underfoot.reports import moment
from underfoot.settings import Settings
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

ACTOR = "reconcile"
_LOOK_EVERY_S = 10.0
_AGAIN_AFTER = timedelta(minutes=10)
"""After a platform could not be asked."""


def due(
    query: Query, now: datetime, *, all_at: datetime | None, any_at: datetime | None, since: datetime
) -> Scope | None:
    """What is to be compared now. `all_at`, `any_at`: when all of it, and anything, was compared last; `since`: since
    when there is this platform."""
    if query.daily_at is not None:
        city = now.astimezone(CITY_ZONE)
        turn = datetime.combine(city.date(), query.daily_at, CITY_ZONE)
        if turn > city:
            turn -= timedelta(days=1)
        if (all_at or since) < turn:
            return "all"
    if query.open_every_min is not None and (any_at or since) <= now - timedelta(minutes=query.open_every_min):
        return "open"
    return None


def run_reconciling(settings: Settings, stop: threading.Event) -> None:
    """Look now and then until `stop`."""
    while not stop.is_set():
        try:
            with connect(settings.require_database(), "reconciling", autocommit=True) as connection:
                _round(connection, settings, stop)
        except psycopg.OperationalError as error:
            log.warning("reconciling: %s", str(error).strip())
        except Exception:
            log.exception("reconciling: is tried again; timers and deliveries go on meanwhile")
        stop.wait(_LOOK_EVERY_S)


def _round(connection: Connection, settings: Settings, stop: threading.Event) -> None:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("reconcile.last_runs")).fetchall()
    for row in rows:
        now = moment(CLOCK.now_us())
        if stop.is_set() or (row["tried_at"] is not None and _failed_just_now(row["tried_at"], row["any_at"], now)):
            continue
        try:
            sink = platform_sink(connection, row["name"])
        except RefusedError as error:
            log.warning("reconciling: %s", error)
            continue
        query = sink.config.query
        if query is None:
            continue
        scope = due(query, now, all_at=row["all_at"], any_at=row["any_at"], since=row["created_at"])
        if scope is None:
            continue
        try:
            outcome = reconcile(
                settings.require_database(),
                sink,
                scope,
                actor=ACTOR,
                timeout_s=settings.delivery_timeout_s,
                stop=stop,
            )
        except (BusyError, QueryError) as error:
            log.warning("reconciling %s: %s", sink.name, error)
        else:
            log.info("reconciling %s: %s, %s", sink.name, dict(outcome.found), dict(outcome.done))


def _failed_just_now(tried_at: datetime, any_at: datetime | None, now: datetime) -> bool:
    return (any_at is None or tried_at > any_at) and now - tried_at < _AGAIN_AFTER
