"""Tenure: the time for which one process holds a shard. It takes the lock, raises the epoch, loads the state.

Whatever goes wrong with the database ends the tenure: its memory is dropped, and the next one loads what is committed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from alerts.judge.outcome import RuleInForce
from alerts.rulebook.book import install_shipped, rules_in_force
from ingest.codecs import sl651
from ingest.codecs.contract import Codec
from ingest.codecs.mappings import mappings_in_force
from ingest.codecs.table import Codecs
from ingest.division import Plan, read_division
from ingest.flood import Flooding
from ingest.load import LedgerView, is_open, load_state
from ingest.registry import Known, Registry
from underfoot.alarms import SubjectKind
from underfoot.reports import microseconds
from underfoot.storage.arrays import allow_arrays
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

Cursor = psycopg.Cursor[tuple[Any, ...]]

_CHANNELS = ("underfoot_inbox", "underfoot_registry", "underfoot_rules", "underfoot_shards")


class TenureLostError(Exception):
    """Another process holds the shard now, or the lock's connection is gone."""


@dataclass(frozen=True)
class Stale:
    """Sessions that keep a shard's lock for nobody: as long as its epoch is this, and the worker's beat (where there is
    a worker) has not grown."""

    epoch: int
    beat: int | None = None


@dataclass(frozen=True)
class Applicant:
    """In whose name a shard is taken. `stale` says whose sessions may be ended for it, `opened` hears of each
    connection of ours; `receive` gets the session ready for districts that are on their way, and waits for them.
    `stations` reads what SL 651 stations send."""

    worker_key: int | None = None
    may_serve: Callable[[], bool] = lambda: True
    stale: Callable[[], Stale | None] = lambda: None
    opened: Callable[[Connection], None] = lambda _connection: None
    receive: Callable[[Connection, Connection, str, Plan], list[bool]] | None = None
    stations: Codec = sl651.decode


@dataclass
class Tenure:
    """What the holder of a shard knows. `connection` carries the batches, `lock` only the lock and notifications.

    `sessions`: whether the broker still had the session, each time that we have connected. `may_serve` is looked at
    before each connect, and then often."""

    shard: str
    shard_key: int
    epoch: int
    plan: Plan
    session_known: bool
    lock: Connection
    connection: Connection
    rules: dict[str, RuleInForce]
    ledger: LedgerView
    codecs: Codecs
    caught_up_us: int
    silence_from_us: int
    session_alarm_open: bool
    failing: set[str] = field(default_factory=set)
    """Rules whose failing is on record."""
    flooding: Flooding = field(default_factory=Flooding)
    sessions: list[bool] = field(default_factory=list)
    may_serve: Callable[[], bool] = lambda: True

    @property
    def registry(self) -> Registry:
        return self.ledger.registry

    def device(self, device_key: int) -> Known:
        """One of this shard's devices, known to be one."""
        known = self.registry.by_key(device_key)
        if known is None:
            raise TenureLostError(f"shard {self.shard}: device {device_key} is not among its devices")
        return known

    def begin(self) -> None:
        """Begin a batch's transaction: nobody else has taken over, nor will before it ends."""
        with self.connection.pipeline():
            self.connection.execute("BEGIN")
            held = _look(self.connection, self.shard, self.epoch)
        _check(held, self.shard, self.epoch)


def _look(connection: Connection, shard: str, epoch: int) -> Cursor:
    return connection.execute(statement("shard.check_epoch"), {"shard": shard, "epoch": epoch})


def _check(held: Cursor, shard: str, epoch: int) -> None:
    if held.fetchone() is None:
        raise TenureLostError(f"shard {shard}: epoch {epoch} is over")


@contextmanager
def hold(
    database_url: str, shard: str, stop: threading.Event, applicant: Applicant | None = None
) -> Iterator[Tenure | None]:
    """Wait for the shard's lock and load its state. None when `stop` came first."""
    applicant = applicant or Applicant()
    with connect(database_url, f"lock-{shard}", autocommit=True) as lock:
        applicant.opened(lock)
        while not _locked(lock, shard):
            stale = applicant.stale()
            if stale is not None:
                log.warning("shard %s: ending the sessions of a holder that no longer lives", shard)
                params = {"shard": shard, "epoch": stale.epoch, "beat": stale.beat}
                lock.execute(statement("shard.end_sessions"), params)
            elif stop.wait(0.5):
                yield None
                return
        for channel in _CHANNELS:
            lock.execute(f"LISTEN {channel}")
        with connect(database_url, f"ingest-{shard}") as connection:
            applicant.opened(connection)
            allow_arrays(connection)
            epoch, shard_key = _begin(connection, shard, applicant)
            plan = read_division(connection).plan(shard)
            connection.commit()
            sessions: list[bool] = []
            if plan.coming and applicant.receive is not None:
                sessions = applicant.receive(lock, connection, shard, plan)
            if stop.is_set():
                yield None
                return
            tenure = _load(lock, connection, shard, shard_key, epoch, applicant.stations)
            tenure.sessions, tenure.may_serve = sessions, applicant.may_serve
            yield tenure


def _locked(lock: Connection, shard: str) -> bool:
    row = lock.execute(statement("shard.try_lock"), {"shard": shard}).fetchone()
    return row is not None and bool(row[0])


def _begin(connection: Connection, shard: str, applicant: Applicant) -> tuple[int, int]:
    params = {
        "shard": shard,
        "holder": f"{socket.gethostname()}:{os.getpid()}",
        "worker_key": applicant.worker_key,
    }
    row = connection.execute(statement("shard.begin_epoch"), params).fetchone()
    connection.commit()
    if row is None:
        raise TenureLostError(f"there is no shard named {shard!r}")
    return row[0], row[1]


def _load(lock: Connection, connection: Connection, shard: str, shard_key: int, epoch: int, stations: Codec) -> Tenure:
    _check(_look(connection, shard, epoch), shard, epoch)
    ((session_known, caught_up_to, silence_from),) = connection.execute(
        statement("shard.session_state"), {"shard": shard}
    ).fetchall()
    install_shipped(connection)
    rules = rules_in_force(connection)
    ledger = LedgerView(shard, Registry(rules))
    ledger.refresh(connection)
    tenure = Tenure(
        shard=shard,
        shard_key=shard_key,
        epoch=epoch,
        plan=read_division(connection).plan(shard),
        session_known=session_known,
        lock=lock,
        connection=connection,
        rules={in_force.rule.rule_id: in_force for in_force in rules},
        ledger=ledger,
        codecs=Codecs(mappings_in_force(connection), stations=stations),
        caught_up_us=microseconds(caught_up_to) if caught_up_to is not None else 0,
        silence_from_us=microseconds(silence_from) if silence_from is not None else 0,
        session_alarm_open=is_open(connection, SubjectKind.shard, shard_key, "shard.session_lost"),
    )
    load_state(tenure)
    connection.commit()
    connection.autocommit = True  # each batch says itself when it begins, and when it ends
    log.info("shard %s: epoch %d, %d devices, %d rules", shard, epoch, len(ledger.registry), len(rules))
    return tenure


def watch_lock(tenure: Tenure) -> list[str]:
    """Read what the lock's connection has to say: the channels notified, of `underfoot_shards` only what concerns this
    shard. Raises when the connection is gone."""
    pgconn = tenure.lock.pgconn
    pgconn.consume_input()
    if pgconn.status != psycopg.pq.ConnStatus.OK:
        raise TenureLostError(f"shard {tenure.shard}: the lock's connection is gone")
    channels = []
    while (notify := pgconn.notifies()) is not None:
        channel = notify.relname.decode()
        if channel != "underfoot_shards" or notify.extra.decode() == tenure.shard:
            channels.append(channel)
    return channels
