"""The installation's books held against the fleet's own account: distinct sent = stored + distinct quarantined, in all
and device by device.

After a run: the account (what the broker acknowledged) on one side, what the database did since on the other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from threading import Event
from typing import Any, NamedTuple

from psycopg import sql

from underfoot.city_time import CITY_ZONE
from underfoot.clock import CLOCK
from underfoot.families import FAMILIES
from underfoot.storage.connect import connect
from underfoot.storage.statements import statement

_AT_WORK_S = 90.0
"""A shard that was caught up so lately has an ingest at work: its probes prove it."""

_LOOK_EVERY_S = 0.5
_DIFFERENCES_SHOWN = 20


class BooksError(Exception):
    """The books cannot be compared as things are; says why."""


class Expected(NamedTuple):
    """What the path must hold of a run, by the fleet's own account. `untimed_repeats`: reports that may rightly be
    stored twice. `of_others`: what a load beside the fleet has sent, of devices that are none of it."""

    sent: int
    to_store: int
    to_quarantine: int
    untimed_repeats: int
    stored_by_device: Counter[str]
    of_others: int | None = None


class Behind(NamedTuple):
    """How far ingest trails behind the broker (None: no ingest has ever been at work), and what waits in the inbox."""

    caught_up: bool
    behind_s: float | None
    in_inbox: int


def check_at_work(database_url: str) -> None:
    """What is published while nobody has ever subscribed is lost: better said before."""
    with connect(database_url, "simulate", autocommit=True) as connection:
        ((_, behind_s, _),) = connection.execute(statement("simulated.progress"), {"sent": CLOCK.now()}).fetchall()
    if behind_s is None:
        raise BooksError("no `underfoot ingest` has been at work on this database: start it, then simulate")
    if behind_s > _AT_WORK_S * CLOCK.speed:
        raise BooksError(
            f"`underfoot ingest` has not been at work for {behind_s:.0f} s: start it, then simulate (or --no-books:"
            " the broker keeps what is sent meanwhile)"
        )


class Difference(NamedTuple):
    device_id: str
    to_store: int
    stored: int


@dataclass
class Comparison:
    """How the books and the account compare. `stored` is of the fleet's devices, and of the load beside it;
    `stored_of_others` came meanwhile from devices that are none of the fleet's. `discarded`: beyond what the quarantine
    keeps of one source."""

    balance: bool = False
    sent: int = 0
    received: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    distinct_quarantined: int = 0
    discarded: int = 0
    stored_of_others: int = 0
    devices_that_differ: int = 0
    differences: list[Difference] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    waited_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"differences": [each._asdict() for each in self.differences]}


class Books:
    """Opened before the first report is sent, compared after the last: what came in between is the run's."""

    def __init__(self, database_url: str, device_ids: Iterable[str]) -> None:
        self._connection = connect(database_url, "simulate", autocommit=True)
        self._names: dict[int, str] = {}
        self._keys: dict[str, list[int]] = {}
        try:
            self._find(list(device_ids))
            self._since: datetime = CLOCK.now()
            self._before = self._totals()
            ((self._newest_quarantined,),) = self._rows("quarantine.newest")
        except BaseException:
            self._connection.close()
            raise

    def _find(self, wanted: list[str]) -> None:
        rows = self._rows("simulated.known_devices", {"device_ids": wanted})
        if len(rows) < len(wanted):
            known = {device_id for device_id, _, _ in rows}
            missing = next(device_id for device_id in wanted if device_id not in known)
            raise BooksError(
                f"{len(wanted) - len(rows)} of {len(wanted)} devices are not in the registry, like {missing}: register"
                " them (--register)"
            )
        for device_id, key, family in rows:
            self._names[key] = device_id
            self._keys.setdefault(family, []).append(key)

    def close(self) -> None:
        self._connection.close()

    def behind(self) -> Behind:
        ((caught_up, behind_s, in_inbox),) = self._rows("simulated.progress", {"sent": CLOCK.now()})
        return Behind(caught_up, behind_s, in_inbox)

    def check_room(self, begins_ms: int) -> None:
        """A device whose time goes back is taken for one with a clock set back, rightly: runs must not overlap."""
        keys = [key for keys in self._keys.values() for key in keys]
        ((newest,),) = self._rows("simulated.newest_report", {"device_keys": keys})
        begins = datetime.fromtimestamp(begins_ms / 1000, CITY_ZONE)
        if newest is not None and newest >= begins:
            raise BooksError(
                f"these devices have reported until {newest.astimezone(CITY_ZONE):%Y-%m-%d %H:%M:%S} already, and this"
                f" run begins at {begins:%Y-%m-%d %H:%M:%S}: to ingest, their clocks would be set back. Give the run a"
                " database of its own (`underfoot trial`), or let it begin later: a lower --speed, or a later --ends"
            )

    def wait(self, patience_s: float, stop: Event, on_look: Callable[[Behind, float], None]) -> bool:
        """Until all that the broker had by now is committed; False where for `patience_s` nothing went forward."""
        sent = CLOCK.now()
        began = moved_at = time.monotonic()
        moved: tuple[Any, ...] = ()
        while not stop.is_set():
            ((caught_up, behind_s, in_inbox),) = self._rows("simulated.progress", {"sent": sent})
            now = time.monotonic()
            if caught_up and not in_inbox:
                return True
            stands = tuple(sorted(self._totals().items()))
            if stands != moved:
                moved, moved_at = stands, now
            if now - moved_at > patience_s:
                return False
            on_look(Behind(caught_up, behind_s, in_inbox), now - began)
            stop.wait(_LOOK_EVERY_S)
        return False

    def compare(self, expected: Expected, *, caught_up: bool) -> Comparison:
        stored = self._stored_by_device()
        made = Comparison(sent=expected.sent + (expected.of_others or 0), stored=stored.total())
        after = self._totals()
        for name in ("received", "duplicate", "quarantined", "discarded"):
            setattr(made, name, after[name] - self._before[name])
        made.stored_of_others = after["stored"] - self._before["stored"] - made.stored
        ((made.distinct_quarantined,),) = self._rows(
            "simulated.distinct_quarantined", {"after": self._newest_quarantined}
        )
        differ = [
            Difference(device_id, expected.stored_by_device[device_id], stored[device_id])
            for device_id in sorted(stored.keys() | expected.stored_by_device.keys())
            if stored[device_id] != expected.stored_by_device[device_id]
        ]
        made.devices_that_differ = len(differ)
        made.differences = differ[:_DIFFERENCES_SHOWN]
        if expected.of_others is not None:
            made.stored += made.stored_of_others
        made.faults = list(faults_of(expected, made, differ, caught_up=caught_up))
        made.balance = not made.faults
        return made

    def _stored_by_device(self) -> Counter[str]:
        stored: Counter[str] = Counter()
        for family, keys in self._keys.items():
            query = sql.SQL(statement("simulated.stored_by_device")).format(
                reports=sql.Identifier(FAMILIES[family].table)
            )
            rows = self._connection.execute(query, {"device_keys": keys, "since": self._since}).fetchall()
            for key, count in rows:
                stored[self._names[key]] += count
        return stored

    def _totals(self) -> Counter[str]:
        totals: Counter[str] = Counter()
        cursor = self._connection.execute(statement("api_books.total_books"), {"shard": None, "from": None, "to": None})
        names = [column.name for column in cursor.description or ()]
        for row in cursor:
            for name, value in zip(names[1:], row[1:], strict=True):
                totals[name] += value
        return totals

    def _rows(self, name: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement(name), values).fetchall()


def faults_of(expected: Expected, made: Comparison, differ: Sequence[Difference], *, caught_up: bool) -> Iterable[str]:
    """Why the books do not balance; nothing where they do."""
    if not caught_up:
        yield "接入没有赶上 · ingest has not caught up with the broker; what follows is how far it has come"
    less = sum(max(each.to_store - each.stored, 0) for each in differ)
    more = sum(max(each.stored - each.to_store, 0) for each in differ)
    if less:
        yield f"少存 {less} 条 · reports that are not stored: {_like(differ, stored_less=True)}"
    if more > expected.untimed_repeats:
        yield f"多存 {more} 条 · stored more often than sent: {_like(differ, stored_less=False)}"
    if expected.of_others is not None and made.stored_of_others != expected.of_others:
        yield (
            f"背景负载发出 {expected.of_others} 条，入库 {made.stored_of_others} 条"
            " · of the load beside it, sent and stored differ"
        )
    missing = expected.to_quarantine - made.distinct_quarantined
    if not 0 <= missing <= made.discarded:
        yield (
            f"隔离应有 {expected.to_quarantine} 条，实有 {made.distinct_quarantined} 条"
            " · not what must be in quarantine"
        )


def _like(differ: Sequence[Difference], *, stored_less: bool) -> str:
    of_these = [each for each in differ if (each.stored < each.to_store) is stored_less]
    shown = ", ".join(f"{each.device_id} {each.stored}/{each.to_store}" for each in of_these[:3])
    return f"{shown}{', …' if len(of_these) > 3 else ''}"
