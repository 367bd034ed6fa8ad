"""Replay: a device's past is judged again after late reports, and record and memory become what input in order makes.

    marked (a batch notes late reports) → read → rerun → compare (amend) → record, take over

By the shard's holder, in a batch's transaction, some devices at a time; a mark goes with the transaction that has
answered it. What is open by then is raised now; what was missed and is over goes on record. A late hazard that an
operator is asked about (alerts/judge/late.py) is not touched: only a newer report answers it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from alerts.history.amend import amends
from alerts.history.correction import Recorded
from alerts.history.onrecord import judged_since, on_record
from alerts.history.past import record_missed, record_otherwise
from alerts.history.rerun import Begun, Span, memory_of, rerun, span_of, waiting_since
from alerts.history.stored import Devices, stored_reports
from alerts.judge.evaluate import Evaluator
from alerts.record.recorder import Recorder, put_conditions
from alerts.rules import LevelRule, MismatchRule
from underfoot.alarms import SubjectKind
from underfoot.reports import Reports, microseconds, moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

DEVICES_TOGETHER = 20
REPORTS_TOGETHER = 5000
"""So much of the past is judged again at once, or one device's: meanwhile its shard judges nothing new."""

NOT_LONGER_S = 60.0
"""A device that is late again and again is judged again at least so often."""

_DAY_US = 86_400_000_000
_OLDEST_US = 8 * _DAY_US


@dataclass(frozen=True)
class Marked:
    device_key: int
    since: datetime


@dataclass(frozen=True)
class Replayed:
    """How many reports that took; and until when, by its own clock, the device's silence was taken for proof."""

    reports: int
    silent_until_us: int | None


def note_late(connection: Connection, shard: str, since_us: Mapping[int, int]) -> None:
    """Mark devices: their past is to be judged again, each since then."""
    if since_us:
        keys = list(since_us)
        params = {"shard": shard, "device_keys": keys, "since_us": [since_us[key] for key in keys]}
        connection.execute(statement("history.note_late"), params)


def note_behind(connection: Connection, since_us: Mapping[int, int]) -> None:
    """Mark devices for the city alone: what several devices said is to be judged again, with what each said since
    then."""
    if since_us:
        params = {"device_keys": list(since_us), "since_us": list(since_us.values())}
        connection.execute(statement("history.note_behind"), params)


def marked(connection: Connection, shard: str, settle_s: float) -> list[Marked]:
    """Some of the devices whose turn it is, the longest marked first."""
    params = {"shard": shard, "settle_s": settle_s, "at_most_s": NOT_LONGER_S, "most": DEVICES_TOGETHER}
    return [Marked(*row) for row in connection.execute(statement("history.to_replay"), params)]


def answered(connection: Connection, device_keys: Sequence[int]) -> None:
    connection.execute(statement("history.replayed"), {"device_keys": list(device_keys)})


def replay(
    connection: Connection, shard: str, live: Evaluator, slot: int, *, since_us: int, caught_up_us: int, now_us: int
) -> Replayed:
    """Judge one device's past again, and take over in the caller's transaction, and in `live`, what comes of it."""
    device = _read(connection, live, slot, since_us, now_us + _DAY_US)
    if device is None:
        return Replayed(0, None)
    found = rerun(device.alone, device.reports, device.recorded, device.begun, device.span, caught_up_us)
    for rule_id, error in found.failing.items():
        log.error("device %d: rule %s could not judge its past: %s", live.device_key[slot], rule_id, error)
    made = amends(live, slot, device.recorded, found)
    Recorder(connection).record(made.now)
    record_missed(connection, made.missed)
    record_otherwise(connection, made.otherwise, moment(now_us))
    put_conditions(connection, shard, [(live, made.outcome)])
    live.apply(made.outcome)
    return Replayed(len(device.reports), found.silent_until_us)


# what is known of it ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Device:
    """A device alone with its rules, and what is on record of it."""

    alone: Evaluator
    reports: Reports
    recorded: dict[str, list[Recorded]]
    begun: list[Begun]
    span: Span


def _read(connection: Connection, live: Evaluator, slot: int, since_us: int, until_us: int) -> _Device | None:
    alone = live.alike(np.array([slot], np.int64))
    if not alone.levels:
        return None
    key = int(live.device_key[slot])
    memories = [memory_of(level.scoped.rule_for(0)) for level in alone.levels.values()]
    for back_us in (_DAY_US, _OLDEST_US):
        from_us = since_us - back_us
        reports = stored_reports(connection, live.family, Devices(np.array([key], np.int32)), from_us, until_us)
        span, enough = span_of(memories, reports, since_us, waiting_since(live, slot))
        if enough and span.needed_us >= from_us:
            break
    known = on_record(connection, SubjectKind.device, [key], list(alone.levels), moment(span.judged_us))
    recorded = {rule_id: one.episodes for (_, rule_id), one in known.items()}
    ended = [Begun(rule_id, at_us, ended=True) for (_, rule_id), one in known.items() for at_us in one.ended_us]
    return _Device(alone, reports, recorded, [*ended, *_changed(connection, key, alone)], span)


def _changed(connection: Connection, key: int, alone: Evaluator) -> list[Begun]:
    """Since when each rule is judged as it is now: what was before is not for it to judge."""
    changed = judged_since(connection, list(alone.levels))
    by_baseline = [rule_id for rule_id, level in alone.levels.items() if _by_baseline(level.scoped.rule_for(0))]
    if by_baseline:
        [(since,)] = connection.execute(statement("history.baseline_since"), {"device_key": key}).fetchall()
        if since is not None:
            changed |= {rule_id: max(since, changed.get(rule_id, since)) for rule_id in by_baseline}
    return [Begun(rule_id, microseconds(since)) for rule_id, since in changed.items()]


def _by_baseline(rule: object) -> bool:
    return isinstance(rule, MismatchRule) or (isinstance(rule, LevelRule) and bool(rule.against_baseline))
