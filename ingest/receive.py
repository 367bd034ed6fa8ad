"""Receive: how a shard gets ready for districts that are on their way to it, before it loads and serves.

Its session subscribes, so that the broker keeps what comes for them from now on, and rests until the shard that had
them has committed all that it had received, and has handed their devices over. So nothing is lost, and each device's
reports are judged in order, by one holder after the other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ingest.division import Plan, waits_for_devices
from ingest.subscribe import Session
from ingest.tenure import TenureLostError
from underfoot.settings import Settings
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement
from underfoot.topics import shard_filter

log = logging.getLogger(__name__)

_LOOK_S = 0.2


def receive(
    settings: Settings,
    stop: threading.Event,
    may_serve: Callable[[], bool],
    lock: Connection,
    connection: Connection,
    shard: str,
    plan: Plan,
) -> list[bool]:
    """Returns when the districts are the shard's, or `stop` came. Answers [False] if the broker has lost a session that
    it had."""
    row = connection.execute(statement("shard.session_state"), {"shard": shard}).fetchone()
    known = row is not None and row[0]
    connection.commit()
    present = _subscribe(settings, stop, may_serve, shard, plan)
    if present is None:
        return []
    params = {"shard": shard, "filters": list(plan.filters), "dropped": []}
    connection.execute(statement("shard.session_known"), params)
    connection.commit()
    log.info("shard %s waits for the devices of %s", shard, ", ".join(sorted(plan.coming)))
    while waits_for_devices(connection, shard):
        connection.commit()
        if stop.wait(_LOOK_S):
            break
        if not may_serve():
            raise TenureLostError(f"shard {shard}: this process has not reached the database for too long")
        lock.execute("SELECT 1")
    connection.commit()
    return [False] if known and not present else []


def _subscribe(
    settings: Settings, stop: threading.Event, may_serve: Callable[[], bool], shard: str, plan: Plan
) -> bool | None:
    """Whether the broker had the session. What it sends at once is left unacknowledged, and comes again."""
    answers: list[bool] = []
    session = Session(
        settings.require_mqtt(),
        f"underfoot-{shard}",
        [*plan.filters, shard_filter(shard)],
        keepalive_s=settings.keepalive_s,
        in_flight=settings.in_flight,
        ca_file=settings.mqtt_ca,
        on_session=answers.append,
        may_serve=may_serve,
    )
    session.start()
    try:
        while not answers and not stop.is_set():
            session.take(1, 0.0, _LOOK_S)
    finally:
        session.close()
    return answers[0] if answers else None
