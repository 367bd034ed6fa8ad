"""The workforce: the shards that this process holds, each in a thread of its own.

Every half second it looks at what its lease has seen of all workers and shards, decides by `share` which are its own,
takes those that are free or kept by nobody who lives, and lets the surplus go when another worker has joined.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial

import psycopg

from ingest.codecs.contract import Codec
from ingest.codecs.sl651 import station_codec
from ingest.codecs.sl651.stations import load_station_map
from ingest.division import Plan
from ingest.lease import Lease, View, cut
from ingest.receive import receive
from ingest.share import share
from ingest.tenure import Applicant, Stale, TenureLostError, hold
from ingest.worker import Worker
from underfoot.collector import spare_the_collector
from underfoot.settings import Settings
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

_TICK_S = 0.1
_EASED_S = 10.0
_LONGEST_PAUSE_S = 5.0
_ORDERLY_END_S = 25.0


def work(settings: Settings, stop: threading.Event) -> None:
    """Hold this process's share of the shards until `stop`. Whatever ends a tenure, the next one loads the database."""
    settings.require_database()
    settings.require_mqtt()
    workforce = Workforce(settings)
    try:
        while not stop.wait(_TICK_S):
            workforce.look()
    finally:
        workforce.close()


class Post:
    """One shard, held by tenure after tenure until it is let go. Nothing that goes wrong here reaches other shards."""

    def __init__(self, settings: Settings, shard: str, lease: Lease, stale: Stale | None, stations: Codec) -> None:
        self.shard = shard
        self._stations = stations
        self._settings = settings
        self._worker_key = lease.worker_key
        self._may_serve = lease.term.pledge()
        self._leaving = threading.Event()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._connections: list[Connection] = []
        self._plan: Plan | None = None
        self._planned_at = 0.0
        self.fenced = False
        self._stale = stale
        self._thread = threading.Thread(target=self._run, name=f"shard-{shard}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def may_serve(self) -> bool:
        return self._may_serve()

    def follow(self, plan: Plan, seen_at: float, stale: Stale | None) -> None:
        """A tenure that began by a plan that no longer held at `seen_at` ends in order, and another begins. As long as
        none has begun, `stale` are those whom it may send away."""
        with self._lock:
            if self._plan is None:
                self._stale = stale
            elif seen_at > self._planned_at and plan.outdates(self._plan) and not self._over.is_set():
                log.info("shard %s: the division has changed: starting again", self.shard)
                self._over.set()

    def leave(self) -> None:
        """Once its batch is committed and acknowledged, the shard is let go."""
        with self._lock:
            self._leaving.set()
            self._over.set()

    def break_off(self) -> None:
        """The database has not been reached for too long: whatever waits for it ends now."""
        with self._lock:
            self.fenced = True
            self._leaving.set()
            self._over.set()
            for connection in self._connections:
                cut(connection)

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    # its own thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = 0.5
        while not self._leaving.is_set():
            began = time.monotonic()
            try:
                self._hold()
                pause = 0.5
                continue
            except (psycopg.Error, TenureLostError, ConnectionError) as error:
                # Of statements sent together the one after the failed one says least, and last.
                cause = error.__context__ if isinstance(error, psycopg.errors.PipelineAborted) else None
                log.warning("shard %s: tenure over: %s", self.shard, str(cause or error).strip())
            except Exception:
                log.exception("shard %s: tenure over", self.shard)
            pause = 0.5 if time.monotonic() - began > _EASED_S else min(pause * 2, _LONGEST_PAUSE_S)
            self._leaving.wait(pause)

    def _hold(self) -> None:
        with self._lock:
            over = self._over = threading.Event()
            if self._leaving.is_set():
                return
            self._connections = []
            self._plan = None
        applicant = Applicant(
            worker_key=self._worker_key,
            may_serve=self._may_serve,
            stale=self._take_stale,
            opened=self._opened,
            stations=self._stations,
            receive=partial(receive, self._settings, over, self._may_serve),
        )
        with hold(self._settings.require_database(), self.shard, over, applicant) as tenure:
            if tenure is None:
                return
            with self._lock:
                self._plan, self._planned_at = tenure.plan, time.monotonic()
            spare_the_collector()
            Worker(self._settings, tenure).run(over)
            if self._leaving.is_set():
                params = {"shard": self.shard, "epoch": tenure.epoch}
                tenure.connection.execute(statement("shard.let_go"), params)
                tenure.connection.commit()
                log.info("shard %s: let go", self.shard)

    def _opened(self, connection: Connection) -> None:
        with self._lock:
            self._connections.append(connection)
            if self._leaving.is_set():
                cut(connection)

    def _take_stale(self) -> Stale | None:
        with self._lock:
            stale, self._stale = self._stale, None
            return stale


class Workforce:
    """What this process holds, and what it is to hold."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stations = station_codec(load_station_map(settings.stations_map))
        self._posts: dict[str, Post] = {}
        self._lease = Lease(settings)
        self._lease.start()
        self._seen_at = 0.0
        self._waiting = False

    def look(self) -> None:
        self._lease.break_off_if_hung()
        self._posts = {shard: post for shard, post in self._posts.items() if post.alive}
        fenced = [post for post in self._posts.values() if not post.may_serve and not post.fenced]
        if fenced:
            log.warning("the database was not reached for too long: letting go of %d shards", len(fenced))
        for post in fenced:
            post.break_off()
        view = self._lease.view
        if view is not None and view.seen_at > self._seen_at and self._lease.term.running():
            self._seen_at = view.seen_at
            self._follow(view)

    def _follow(self, view: View) -> None:
        me = self._lease.worker_key
        holders = {shard: state.worker_key for shard, state in view.division.shards.items()}
        allowed = {key: seen.may_hold for key, seen in view.workers.items()}
        mine = {shard for shard, worker in share(holders, allowed).items() if worker == me}
        for shard, post in self._posts.items():
            if shard not in mine:
                post.leave()
            else:
                post.follow(view.division.plan(shard), view.seen_at, self._stale(view, shard, me))
        for shard in sorted(mine - self._posts.keys()):
            self._posts[shard] = Post(self._settings, shard, self._lease, self._stale(view, shard, me), self._stations)
        if not mine and not self._waiting:
            log.info("every shard is held by another process; waiting")
        self._waiting = not mine

    def _stale(self, view: View, shard: str, me: int) -> Stale | None:
        """Whose sessions keep the lock of a shard that is ours to take: our own, from before we were cut off, or those
        of one who no longer lives."""
        state = view.division.shards[shard]
        if state.locked and state.worker_key == me:
            return Stale(state.epoch)
        if shard not in view.stale:
            return None
        holder = view.gone.get(state.worker_key) if state.worker_key is not None else None
        return Stale(state.epoch, None if holder is None else holder.beat)

    def close(self) -> None:
        """Let go of everything in order."""
        for post in self._posts.values():
            post.leave()
        until = time.monotonic() + _ORDERLY_END_S
        for post in self._posts.values():
            post.join(max(until - time.monotonic(), 0.0))
        for post in self._posts.values():
            post.break_off()
            post.join(1.0)
        self._lease.close()
