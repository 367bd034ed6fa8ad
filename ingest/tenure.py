"""Tenure: the time for which one process holds a shard. It takes the lock, raises the epoch, loads the state.

Whatever goes wrong with the database ends the tenure: its memory is dropped, and the next one loads what is committed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from alerts.outcome import RuleInForce
from alerts.rulebook import install_shipped, rules_in_force
from ingest.arrays import allow_arrays
from ingest.decode import CodecChoice, NoCodecs
from ingest.load import LedgerView, is_open, load_state
from ingest.registry import Known, Registry
from underfoot.alarms import SubjectKind
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)


class TenureLostError(Exception):
    """Another process holds the shard now, or the lock's connection is gone."""


@dataclass
class Tenure:
    """What the holder of a shard knows. `connection` carries the batches, `lock` only the lock and notifications."""

    shard: str
    shard_key: int
    epoch: int
    filters: list[str]
    session_known: bool
    lock: Connection
    connection: Connection
    rules: dict[str, RuleInForce]
    ledger: LedgerView
    codecs: CodecChoice
    caught_up_us: int
    session_alarm_open: bool

    @property
    def registry(self) -> Registry:
        return self.ledger.registry

    def device(self, device_key: int) -> Known:
        """One of this shard's devices, known to be one."""
        known = self.registry.by_key(device_key)
        if known is None:
            raise TenureLostError(f"shard {self.shard}: device {device_key} is not among its devices")
        return known

    def check(self) -> None:
        """The first act of each batch's transaction."""
        row = self.connection.execute(
            statement("shard.check_epoch"), {"shard": self.shard, "epoch": self.epoch}
        ).fetchone()
        if row is None:
            raise TenureLostError(f"shard {self.shard}: epoch {self.epoch} is over")


@contextmanager
def hold(database_url: str, shard: str, stop: threading.Event) -> Iterator[Tenure | None]:
    """Wait for the shard's lock and load its state. None when `stop` came first."""
    with connect(database_url, f"lock-{shard}", autocommit=True) as lock:
        waiting = False
        while not _locked(lock, shard):
            if not waiting:
                log.info("shard %s is held by another process; waiting for it", shard)
                waiting = True
            if stop.wait(0.5):
                yield None
                return
        for channel in ("underfoot_inbox", "underfoot_registry", "underfoot_rules"):
            lock.execute(f"LISTEN {channel}")
        with connect(database_url, f"ingest-{shard}") as connection:
            allow_arrays(connection)
            yield _load(lock, connection, shard)


def _locked(lock: Connection, shard: str) -> bool:
    row = lock.execute(statement("shard.try_lock"), {"shard": shard}).fetchone()
    return row is not None and bool(row[0])


def _load(lock: Connection, connection: Connection, shard: str) -> Tenure:
    holder = f"{socket.gethostname()}:{os.getpid()}"
    row = connection.execute(statement("shard.begin_epoch"), {"shard": shard, "holder": holder}).fetchone()
    if row is None:
        raise TenureLostError(f"there is no shard named {shard!r}")
    epoch, shard_key, filters, session_known, caught_up_to = row
    install_shipped(connection)
    rules = rules_in_force(connection)
    ledger = LedgerView(shard, Registry(rules))
    ledger.refresh(connection)
    tenure = Tenure(
        shard=shard,
        shard_key=shard_key,
        epoch=epoch,
        filters=filters,
        session_known=session_known,
        lock=lock,
        connection=connection,
        rules={in_force.rule.rule_id: in_force for in_force in rules},
        ledger=ledger,
        codecs=NoCodecs(),
        caught_up_us=microseconds(caught_up_to) if caught_up_to is not None else 0,
        session_alarm_open=is_open(connection, SubjectKind.shard, shard_key, "shard.session_lost"),
    )
    load_state(tenure)
    connection.commit()
    log.info("shard %s: epoch %d, %d devices, %d rules", shard, epoch, len(ledger.registry), len(rules))
    return tenure


def watch_lock(tenure: Tenure) -> list[str]:
    """Read what the lock's connection has to say: the channels notified. Raises when the connection is gone."""
    pgconn = tenure.lock.pgconn
    pgconn.consume_input()
    if pgconn.status != psycopg.pq.ConnStatus.OK:
        raise TenureLostError(f"shard {tenure.shard}: the lock's connection is gone")
    channels = []
    while (notify := pgconn.notifies()) is not None:
        channels.append(notify.relname.decode())
    return channels
