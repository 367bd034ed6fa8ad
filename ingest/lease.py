"""Lease: a worker's sign of life in the database, what it sees of the other workers, and when it must let go by itself.

A worker beats its own row; others watch the beat grow. Whether one still lives is judged by how long the watcher has
seen no change, on the watcher's monotonic clock, and never by comparing clocks. A worker that has not reached the
database for two thirds of that time fences itself: by then it serves nothing any more, whatever its clock or the
network says later.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import psycopg

from ingest.division import Division, read_division
from underfoot.audit.log import note_settings
from underfoot.settings import Settings
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

LOOK_S = 0.5

Key = TypeVar("Key", bound=Hashable)


class Stillness(Generic[Key]):
    """For how long each thing has been seen not to change. A pause between two looks counts as one usual look: nobody
    was watching meanwhile."""

    def __init__(self, usual_s: float) -> None:
        self._usual_s = usual_s
        self._looked_at: float | None = None
        self._seen: dict[Key, tuple[object, float]] = {}

    def look(self, now: float, values: Mapping[Key, object]) -> dict[Key, float]:
        passed = min(now - self._looked_at, self._usual_s) if self._looked_at is not None else 0.0
        self._looked_at = now
        before, self._seen = self._seen, {}
        for key, value in values.items():
            was, still_s = before.get(key, (value, -passed))
            self._seen[key] = (value, still_s + passed if was == value else 0.0)
        return {key: still_s for key, (_, still_s) in self._seen.items()}


@dataclass(frozen=True)
class Seen:
    """A worker's row as it is now. `present`: it has a session at the database."""

    name: str
    beat: int
    may_hold: frozenset[str] | None
    present: bool


@dataclass(frozen=True)
class View:
    """All workers that live, and all shards. `stale`: shards whose lock is kept by nobody who lives."""

    seen_at: float
    workers: dict[int, Seen]
    gone: dict[int, Seen]
    stale: frozenset[str]
    division: Division


class Lookout:
    """Judges from one look to the next who has gone. Needs no database: it is told what was seen."""

    def __init__(self, takeover_after_s: float) -> None:
        self._takeover_after_s = takeover_after_s
        self._absence_s = beat_interval_s(takeover_after_s)
        usual_s = 2 * look_interval_s(takeover_after_s)
        self._beats = Stillness[int](usual_s)
        self._absences = Stillness[int](usual_s)
        self._locks = Stillness[str](usual_s)
        self._free: dict[str, int] = {}

    def look(self, now: float, me: int, workers: Mapping[int, Seen], division: Division) -> View:
        # Who takes a lock begins the next epoch a moment later. Until then the shard names the one before.
        self._free |= {shard: state.epoch for shard, state in division.shards.items() if not state.locked}
        kept = {
            shard for shard, state in division.shards.items() if state.locked and self._free.get(shard) != state.epoch
        }
        locked = {division.shards[shard].worker_key for shard in kept}
        still = self._beats.look(now, {key: seen.beat for key, seen in workers.items()})
        absent = self._absences.look(now, {key: seen.present or key in locked for key, seen in workers.items()})
        held = {shard: (state.epoch, state.worker_key, state.locked) for shard, state in division.shards.items()}
        unmoved = self._locks.look(now, held)
        gone = {
            key: seen
            for key, seen in workers.items()
            if key != me
            and (
                still[key] >= self._takeover_after_s
                or (not seen.present and key not in locked and absent[key] >= self._absence_s)
            )
        }
        living = {key: seen for key, seen in workers.items() if key not in gone}
        stale = {
            shard
            for shard, state in division.shards.items()
            if state.locked
            and state.worker_key not in living
            and ((state.worker_key in gone and shard in kept) or unmoved[shard] >= self._takeover_after_s)
        }
        return View(now, living, gone, frozenset(stale), division)


def beat_interval_s(takeover_after_s: float) -> float:
    return takeover_after_s / 7.5


def look_interval_s(takeover_after_s: float) -> float:
    return min(LOOK_S, beat_interval_s(takeover_after_s))


class Term:
    """A time in which the database was reached often enough. Once over, it never comes back; another may begin."""

    def __init__(self, fence_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fence_s = fence_s
        self._clock = clock
        self._number = 0
        self._reached_at = float("-inf")

    def reached(self, asked_at: float) -> None:
        """The database has answered what we asked at that time."""
        if asked_at - self._reached_at >= self._fence_s:
            self._number += 1
        self._reached_at = asked_at

    def end(self) -> None:
        """Somebody has taken us for dead."""
        self._number += 1

    def running(self) -> bool:
        return self._clock() - self._reached_at < self._fence_s

    def pledge(self) -> Callable[[], bool]:
        """Whether the term that is running now still is. From any thread; asks nobody."""
        number = self._number
        return lambda: self._number == number and self.running()


class Lease:
    """Keeps this process's row beating and looks at the others', in a thread and on a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.require_database()
        self._may_hold = None if settings.shards is None else sorted(set(settings.shards))
        self._beat_s = beat_interval_s(settings.takeover_after_s)
        self._look_s = look_interval_s(settings.takeover_after_s)
        self._fence_s = settings.takeover_after_s * 2 / 3
        self.term = Term(self._fence_s)
        self._lookout = Lookout(settings.takeover_after_s)
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._answered_at = 0.0
        self._view: View | None = None
        self.worker_key = 0
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def view(self) -> View | None:
        """What was seen last."""
        return self._view

    def break_off_if_hung(self) -> None:
        """Whoever waits for an answer that long waits in vain: its connection may look alive and lead nowhere."""
        connection = self._connection
        if connection is not None and time.monotonic() - self._answered_at > self._fence_s:
            cut(connection)

    def close(self) -> None:
        """This worker ends; its row goes with it."""
        self._stop.set()
        self._thread.join(self._beat_s + 5)

    # its own thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self._url, "worker", autocommit=True) as connection:
                    self._answered_at = time.monotonic()
                    self._connection = connection
                    note_settings(connection, "ingest", self._settings)
                    self._serve(connection)
            except psycopg.Error as error:
                log.warning("worker %d: %s", self.worker_key, str(error).strip())
                self._stop.wait(self._look_s)
            finally:
                self._connection = None

    def _serve(self, connection: Connection) -> None:
        # A beat that a crash of the database takes back does no harm; one that waits for a slow disk might.
        connection.execute("SET synchronous_commit = off")
        present = False
        beaten_at = float("-inf")
        while not self._stop.is_set():
            asked_at = time.monotonic()
            if asked_at - beaten_at >= self._beat_s:
                beaten_at = asked_at
                present = self._beat(connection) and present
                # A session of ours that was cut off may have it still.
                present = present or _true(connection, "shard.lock_worker", worker_key=self.worker_key)
                self.term.reached(asked_at)
            self._look(connection)
            self._answered_at = time.monotonic()
            self._stop.wait(self._look_s)
        connection.execute(statement("shard.remove_worker"), {"worker_key": self.worker_key, "beat": None})

    def _beat(self, connection: Connection) -> bool:
        """Whether we are still who we were."""
        if connection.execute(statement("shard.beat"), {"worker_key": self.worker_key}).fetchone() is not None:
            return True
        if self.worker_key:
            log.warning("worker %d was taken for dead", self.worker_key)
        self.term.end()
        params = {"name": f"{socket.gethostname()}:{os.getpid()}", "may_hold": self._may_hold}
        ((self.worker_key,),) = connection.execute(statement("shard.add_worker"), params).fetchall()
        return False

    def _look(self, connection: Connection) -> None:
        now = time.monotonic()
        workers = {
            key: Seen(name, beat, None if may_hold is None else frozenset(may_hold), present)
            for key, name, beat, may_hold, present in connection.execute(statement("shard.workers"))
        }
        division = read_division(connection)
        view = self._lookout.look(now, self.worker_key, workers, division)
        for key, seen in view.gone.items():
            connection.execute(statement("shard.remove_worker"), {"worker_key": key, "beat": seen.beat})
        self._view = view


def _true(connection: Connection, name: str, **params: object) -> bool:
    row = connection.execute(statement(name), params).fetchone()
    return row is not None and bool(row[0])


def cut(connection: Connection) -> None:
    """Break a connection under whoever waits on it in another thread: it looks as if the peer had ended it."""
    with suppress(OSError, psycopg.Error):
        peer = socket.socket(fileno=os.dup(connection.fileno()))
        try:
            peer.shutdown(socket.SHUT_RDWR)
        finally:
            peer.close()
