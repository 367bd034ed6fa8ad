"""Stream: what the upper platform is told, one item after the other, each only when the one before was taken.

An item is a step of a case, or a day's indicators. How far a stream has come is a row of the database: whoever takes
over goes on there, and an item whose answer was lost goes again under the same key. What is refused for good stops the
stream, so that nothing is missing unseen: somebody mends the configuration and resumes, or sets that item aside.
"""

from __future__ import annotations

import hashlib
import logging
import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, cast

from psycopg.rows import dict_row

from alerts.channels.interface import BadMessage, Delivered, Delivery, Outcome, SinkFailure
from alerts.channels.line import Line
from alerts.channels.platform import judged
from alerts.channels.platform.city import PlatformConfig
from alerts.channels.platform.request import Request, indicator_request, request
from alerts.deliver.breaker import OPENS_AFTER
from alerts.deliver.outbox import move_breakers
from alerts.record.snapshot import Snapshot
from alerts.upward.indicators import day_of, indicators
from underfoot.city_time import CITY_ZONE
from underfoot.storage.connect import Connection
from underfoot.storage.settled import Settled
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

AFTER_MIDNIGHT = timedelta(minutes=30)
"""A day's indicators are told so long after its end: what devices had kept has come by then."""


@dataclass(frozen=True, slots=True)
class Link:
    """A sink with the audience `upward`, and where its stream is."""

    sink_key: int
    name: str
    config: PlatformConfig
    min_severity: int
    step_key: int
    next_day: date

    def key(self, item: str, installation: str) -> str:
        """The same for the same item, whoever sends it, and whenever."""
        return hashlib.sha256(f"{installation}|{self.name}|{item}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Item:
    """The next of a stream. `step_key`, `next_day`: where the stream is when it was taken."""

    name: str
    push_id: str
    made: Request
    step_key: int
    next_day: date


class Steps:
    """Which steps there are for good: a number that is not there yet may still come up below another."""

    def __init__(self) -> None:
        self._settled = Settled("upward.newest_step", "upward.writers")

    def upto(self, connection: Connection, after: int) -> int:
        found = self._settled.upto(connection, after)
        return after if found is None else found


def next_item(connection: Connection, link: Link, upto: int, now: datetime, api_url: str) -> Item | None:
    """None: all is told. A day comes before the steps that were recorded after its end."""
    step = _next_step(connection, link, upto)
    day_end = day_of(link.next_day).end
    told = link.config.indicators is not None and link.config.indicators.url is not None
    if told and now >= day_end + AFTER_MIDNIGHT:
        if step is None or step["received_at"] >= day_end:
            return _day(connection, link, now)
    elif not told and now.astimezone(CITY_ZONE).date() > link.next_day:
        link = _on(link, now.astimezone(CITY_ZONE).date())
    return None if step is None else _step(connection, link, step, api_url)


def _on(link: Link, day: date) -> Link:
    return Link(link.sink_key, link.name, link.config, link.min_severity, link.step_key, day)


def _next_step(connection: Connection, link: Link, upto: int) -> dict[str, Any] | None:
    if upto <= link.step_key:
        return None
    params = {"after": link.step_key, "upto": upto, "min_severity": link.min_severity}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement("upward.next_step"), params).fetchone()


def _step(connection: Connection, link: Link, step: dict[str, Any], api_url: str) -> Item:
    with connection.cursor(row_factory=dict_row) as cursor:
        episode = {"episode_key": step["episode_key"]}
        [row] = cursor.execute(statement("platform.latest_notice"), episode).fetchall()
    snapshot = cast(Snapshot, row["snapshot"] | {"case": step["case"]})
    name = f"step:{step['case_step_key']}"
    push_id = link.key(f"case:{step['case_key']}:{step['step_no']}", str(step["installation_id"]))
    delivery = Delivery(push_id, snapshot, f"{api_url}/api/v1/alarms/{step['episode_key']}")
    made = request(delivery, link.config, step=step)
    return Item(name, push_id, made, step["case_step_key"], link.next_day)


def _day(connection: Connection, link: Link, now: datetime) -> Item:
    [(installation,)] = connection.execute(statement("upward.installation")).fetchall()
    push_id = link.key(f"day:{link.next_day}", installation)
    made = indicator_request(push_id, indicators(connection, day_of(link.next_day), now), link.config)
    return Item(f"day:{link.next_day}", push_id, made, link.step_key, link.next_day + timedelta(days=1))


def send(connection: Connection, link: Link, item: Item, line: Line, now: datetime, retry_base_s: float) -> bool:
    """Send it, and write what came of it. Whether the stream has moved on."""
    outcome = judged(item.made, link.config, line)
    with connection.transaction():
        moved = _write(connection, link, item, outcome, now)
        _breaker(connection, link, outcome, retry_base_s)
    return moved


def _write(connection: Connection, link: Link, item: Item, outcome: Outcome, now: datetime) -> bool:
    if isinstance(outcome, Delivered):
        return advance(connection, link, item, now, sent=1)
    if isinstance(outcome, BadMessage):
        log.error("upward %s: %s was refused for good and the stream stands: %s", link.name, item.name, outcome.error)
        params = {"sink_key": link.sink_key, "was_step": link.step_key, "was_day": link.next_day, "now": now}
        connection.execute(statement("upward.stop"), params | {"error": f"{item.name}: {outcome.error}"[:500]})
    else:
        params = {"sink_key": link.sink_key, "error": f"{item.name}: {outcome.error}"[:500]}
        connection.execute(statement("upward.note_error"), params)
    return False


def advance(connection: Connection, link: Link, item: Item, now: datetime, *, sent: int) -> bool:
    params = {
        "sink_key": link.sink_key,
        "was_step": link.step_key,
        "was_day": link.next_day,
        "step_key": item.step_key,
        "next_day": item.next_day,
        "sent": sent,
        "now": now,
    }
    return connection.execute(statement("upward.advance"), params).rowcount == 1


def _breaker(connection: Connection, link: Link, outcome: Outcome, retry_base_s: float) -> None:
    """As of every sink: it is given rest, and fails visibly. A stream that stands fails at once."""
    outcomes: list[Outcome] = [outcome]
    if isinstance(outcome, BadMessage):
        outcomes = [SinkFailure(outcome.error)] * OPENS_AFTER
    draw = random.Random()  # noqa: S311 (jitter is no secret)
    move_breakers(
        connection, {link.sink_key: outcomes}, names={link.sink_key: link.name}, retry_base_s=retry_base_s, draw=draw
    )


def mended(connection: Connection, sink_key: int, name: str) -> None:
    """Somebody has decided what is to become of the item: the sink is tried at once, and its alarm is over."""
    draw = random.Random(0)  # noqa: S311 (nothing is drawn for a success)
    move_breakers(connection, {sink_key: [Delivered({})]}, names={sink_key: name}, retry_base_s=0.0, draw=draw)
