"""Tenure: the time for which one process holds a shard. It takes the lock, raises the epoch, loads the state.

Whatever goes wrong with the database ends the tenure: its memory is dropped, and the next one loads what is committed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from alerts.outcome import RuleInForce, Transition
from alerts.record import Recorder, state_from_json, withdrawn
from alerts.rulebook import install_shipped, rule_as_last_known, rules_in_force
from ingest.registry import Registry
from ingest.store import RecentKeys, create_staging
from underfoot.alarms import Condition, SubjectKind
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
    registry: Registry
    recent: RecentKeys
    caught_up_us: int
    session_alarm_open: bool

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
    registry = Registry(shard, rules)
    registry.refresh(connection)
    tenure = Tenure(
        shard=shard,
        shard_key=shard_key,
        epoch=epoch,
        filters=filters,
        session_known=session_known,
        lock=lock,
        connection=connection,
        rules={in_force.rule.rule_id: in_force for in_force in rules},
        registry=registry,
        recent=RecentKeys(),
        caught_up_us=microseconds(caught_up_to) if caught_up_to is not None else 0,
        session_alarm_open=_is_open(connection, SubjectKind.shard, shard_key, "shard.session_lost"),
    )
    _load_newest(tenure)
    _load_windows(tenure)
    _load_conditions(tenure)
    _load_open(tenure)
    connection.commit()
    create_staging(connection)
    connection.commit()
    log.info("shard %s: epoch %d, %d devices, %d rules", shard, epoch, len(registry.by_id), len(rules))
    return tenure


def _is_open(connection: Connection, subject_kind: SubjectKind, subject_key: int, rule_id: str) -> bool:
    params = {"subject_kind": subject_kind, "subject_key": subject_key, "rule_id": rule_id}
    return connection.execute(statement("alarms.is_open"), params).fetchone() is not None


def _load_newest(tenure: Tenure) -> None:
    for device_key, ts, received_at, seq in tenure.connection.execute(
        statement("registry.latest_of_shard"), {"shard": tenure.shard}
    ):
        known = tenure.registry.by_key[device_key]
        known.family.evaluator.newest_us[known.slot] = microseconds(ts)
        known.family.evaluator.last_received_us[known.slot] = microseconds(received_at)
        if seq is not None:
            known.family.newest_seq[known.slot] = seq


def _load_windows(tenure: Tenure) -> None:
    """What rules that sum over time go on summing: back from each device's newest report, however long ago that was."""
    for devices in tenure.registry.families.values():
        for name, longest_us in devices.evaluator.longest_window_us.items():
            query = sql.SQL(statement("registry.recent_amounts")).format(
                table=sql.Identifier(devices.family.table), field=sql.Identifier(name)
            )
            params = {"shard": tenure.shard, "span": timedelta(microseconds=longest_us)}
            for device_key, ts, amount in tenure.connection.execute(query, params):
                slot = tenure.registry.by_key[device_key].slot
                devices.evaluator.windows.setdefault((name, slot), []).append((microseconds(ts), amount))


def _load_conditions(tenure: Tenure) -> None:
    """The engine's memory; what belongs to a rule no longer in force is ended with that reason."""
    over: list[Transition] = []
    dropped = []
    tenure.connection.execute(statement("alarms.adopt_conditions"), {"shard": tenure.shard})
    rows = tenure.connection.execute(statement("alarms.load_conditions"), {"shard": tenure.shard}).fetchall()
    for device_key, rule_id, stored in rows:
        known = tenure.registry.by_key[device_key]
        level = known.family.evaluator.levels.get(rule_id)
        if level is not None:
            level.put(known.slot, state_from_json(stored, len(level.limits.reach)))
            continue
        over.append(_withdrawn(tenure, device_key, rule_id, state_from_json(stored).condition))
        dropped.append({"subject_key": device_key, "rule_id": rule_id})
    Recorder(tenure.connection).record(over)
    if dropped:
        tenure.connection.execute(statement("alarms.drop_conditions"), {"rows": Jsonb(dropped)})


def _load_open(tenure: Tenure) -> None:
    """Open episodes of rules that keep no condition: devices offline, late hazards."""
    over: list[Transition] = []
    params: dict[str, Any] = {
        "shard": tenure.shard,
        "rule_ids": [rule_id for rule_id, in_force in tenure.rules.items() if in_force.rule.kind == "level"],
    }
    for device_key, rule_id, condition, of_rules in tenure.connection.execute(
        statement("alarms.load_open_device_episodes"), params
    ).fetchall():
        known = tenure.registry.by_key[device_key]
        in_force = tenure.rules.get(rule_id)
        if in_force is None:
            over.append(_withdrawn(tenure, device_key, rule_id, Condition(condition)))
        elif in_force.rule.kind == "no_data":
            known.family.evaluator.offline.add(known.slot)
        elif in_force.rule.kind == "late_hazard":
            known.family.evaluator.late[known.slot] = frozenset(of_rules)
    Recorder(tenure.connection).record(over)


def _withdrawn(tenure: Tenure, device_key: int, rule_id: str, before: Condition) -> Transition:
    rule = rule_as_last_known(tenure.connection, rule_id)
    return withdrawn(device_key, rule, before, time.time_ns() // 1000)


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
