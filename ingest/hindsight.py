"""Hindsight: which devices' past is to be judged again, and some of that at each look around.

A report changes the past that is older than its device's newest; or that contradicts a silence which has been taken for
proof. The replay itself is alerts/history/replay.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import psycopg
from psycopg import sql

from alerts.history.replay import (
    DEVICES_TOGETHER,
    REPORTS_TOGETHER,
    Marked,
    answered,
    marked,
    note_behind,
    note_late,
    replay,
)
from alerts.history.rerun import proven_until_us
from alerts.judge.outcome import Outcome
from ingest.registry import FamilyDevices, Known
from underfoot.clock import CLOCK
from underfoot.reports import POSTGRES_EPOCH_US, Reports, microseconds
from underfoot.storage.statements import statement
from underfoot.storage.unpack import columns_of

if TYPE_CHECKING:
    from ingest.tenure import Tenure

log = logging.getLogger(__name__)

BEHIND_US = 120_000_000
"""A report that comes so long after it was true is a backlog's; a radio that was asleep takes some seconds."""


def note(tenure: Tenure, evaluated: Iterable[tuple[FamilyDevices, Reports, Outcome]]) -> None:
    """Mark the devices of a batch of which there is something to be judged again, each since the least of it."""
    since_us: dict[int, int] = {}
    behind_us: dict[int, int] = {}
    for devices, reports, outcome in evaluated:
        _note_behind(reports, outcome, behind_us)
        contrary = reports.ts_us < devices.silence_us[reports.slot]
        if not outcome.late_rows and not contrary.any():
            continue
        for row in {*outcome.late_rows, *np.flatnonzero(contrary).tolist()}:
            key, ts_us = int(reports.device_key[row]), int(reports.ts_us[row])
            since_us[key] = min(ts_us, since_us.get(key, ts_us))
    note_late(tenure.connection, tenure.shard, since_us)
    note_behind(tenure.connection, behind_us)


def _note_behind(reports: Reports, outcome: Outcome, since_us: dict[int, int]) -> None:
    """Of reports in order their device's own rules miss nothing; but what several devices said together was judged
    without them."""
    behind = (reports.received_us - reports.ts_us > BEHIND_US) & ~reports.substituted
    behind[outcome.late_rows] = False
    for row in np.flatnonzero(behind).tolist():
        key, ts_us = int(reports.device_key[row]), int(reports.ts_us[row])
        since_us[key] = min(ts_us, since_us.get(key, ts_us))


def believe(tenure: Tenure, devices: FamilyDevices, outcome: Outcome) -> None:
    """Silence has proven something: what a device still says of the time until then contradicts it."""
    until_us: dict[int, int] = {}
    for change in outcome.transitions:
        proven_us = proven_until_us(change)
        until_us[change.subject_key] = max(proven_us, until_us.get(change.subject_key, proven_us))
    _believe(tenure, devices, until_us)


def _believe(tenure: Tenure, devices: FamilyDevices, until_us: dict[int, int]) -> None:
    if until_us:
        keys = np.array(list(until_us), np.int32)
        slots = tenure.registry.slots_of(keys)[1]
        np.maximum.at(devices.silence_us, slots, np.array(list(until_us.values()), np.int64))
        params = {"device_keys": keys.tolist(), "until_us": list(until_us.values())}
        tenure.connection.execute(statement("history.believe_silence"), params)
        tenure.connection.execute(statement("history.forget_silence"))


def load(tenure: Tenure) -> None:
    """What was believed and marked, also of devices that have come from another shard."""
    params = {"shard": tenure.shard}
    tenure.connection.execute(statement("history.adopt_late"), params)
    query = sql.SQL(statement("history.silences"))
    found = columns_of(tenure.connection, query, params, device_key="int4", until="timestamptz")
    families, slots = tenure.registry.slots_of(found["device_key"])
    for number, devices in enumerate(tenure.registry.by_number):
        of_family = families == number
        devices.silence_us[slots[of_family]] = found["until"][of_family] + POSTGRES_EPOCH_US


def judge_again(tenure: Tenure, settle_s: float) -> bool:
    """Some devices' past. Whether more may wait. One that cannot be judged is told of, and stops nothing."""
    connection = tenure.connection
    some = marked(connection, tenure.shard, settle_s)
    done: list[int] = []
    reports = 0
    for one in some:
        if reports >= REPORTS_TOGETHER:
            break
        done.append(one.device_key)
        known = tenure.registry.by_key(one.device_key)
        if known is None:
            continue
        try:
            with connection.transaction():
                reports += _judge_again(tenure, known, one)
        except psycopg.OperationalError:
            raise
        except Exception:
            log.exception("device %d: its past since %s could not be judged again", one.device_key, one.since)
    if done:
        answered(connection, done)
    return len(done) == DEVICES_TOGETHER or len(done) < len(some)


def _judge_again(tenure: Tenure, known: Known, one: Marked) -> int:
    replayed = replay(
        tenure.connection,
        tenure.shard,
        known.family.evaluator,
        known.slot,
        since_us=microseconds(one.since),
        caught_up_us=tenure.caught_up_us,
        now_us=CLOCK.now_us(),
    )
    if replayed.silent_until_us is not None:
        _believe(tenure, known.family, {one.device_key: replayed.silent_until_us})
    return replayed.reports
