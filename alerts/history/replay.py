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
from alerts.history.correction import Recorded, steps
from alerts.history.past import record_missed, record_otherwise
from alerts.history.rerun import Begun, Span, memory_of, rerun, span_of, waiting_since
from alerts.history.stored import Devices, stored_reports
from alerts.judge.evaluate import Evaluator
from alerts.record.recorder import Recorder, put_conditions
from alerts.rules import LevelRule, MismatchRule
from underfoot.alarms import Reason
from underfoot.reports import Reports, microseconds, moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

DEVICES_TOGETHER = 20
REPORTS_TOGETHER = 5000
"""So much of the past is judged again at once, or one device's: meanwhile its shard judges nothing new."""

NOT_LONGER_S = 60.0
"""A device that is late again and again is judged again at least so often."""

_BY_HAND = frozenset({Reason.closed_by_hand, Reason.rule_withdrawn, Reason.rule_changed})
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
    recorded, ended = _recorded(connection, key, list(alone.levels), span)
    return _Device(alone, reports, recorded, [*ended, *_changed(connection, key, alone)], span)


def _recorded(
    connection: Connection, key: int, rule_ids: list[str], span: Span
) -> tuple[dict[str, list[Recorded]], list[Begun]]:
    """What is on record by rule, and what of it was ended otherwise than by what the device said."""
    params = {"device_key": key, "rule_ids": rule_ids, "since": moment(span.judged_us)}
    recorded: dict[str, list[Recorded]] = {}
    ended = []
    for row in connection.execute(statement("history.record_of"), params):
        rule_id, episode, raised_at, cleared_at, clear_reason, ended_at, proof = row[:7]
        verdict, true_raised_at, true_cleared_at, true_worst, levels, since = row[7:]
        stands = true_raised_at is not None
        known = steps([*_levels(levels if verdict == "changed" else ()), *_levels(since)])
        recorded.setdefault(rule_id, []).append(
            Recorded(
                episode,
                microseconds(true_raised_at if stands else raised_at),
                _microseconds(true_cleared_at if stands else cleared_at),
                true_worst or 0,
                known,
                is_open=cleared_at is None,
                stands=stands,
                row_raised_us=microseconds(raised_at),
                proof=proof,
            )
        )
        if clear_reason in _BY_HAND:
            ended.append(Begun(rule_id, microseconds(ended_at), ended=True))
    return recorded, ended


def _levels(stored: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
    return [(microseconds(datetime.fromisoformat(at)), severity) for at, severity in stored]


def _microseconds(at: datetime | None) -> int | None:
    return microseconds(at) if at is not None else None


def _changed(connection: Connection, key: int, alone: Evaluator) -> list[Begun]:
    """Since when each rule is judged as it is now: what was before is not for it to judge."""
    changed: dict[str, datetime] = {
        rule_id: since
        for rule_id, since in connection.execute(statement("history.judged_since"), {"rule_ids": list(alone.levels)})
        if since is not None
    }
    by_baseline = [rule_id for rule_id, level in alone.levels.items() if _by_baseline(level.scoped.rule_for(0))]
    if by_baseline:
        [(since,)] = connection.execute(statement("history.baseline_since"), {"device_key": key}).fetchall()
        if since is not None:
            changed |= {rule_id: max(since, changed.get(rule_id, since)) for rule_id in by_baseline}
    return [Begun(rule_id, microseconds(since)) for rule_id, since in changed.items()]


def _by_baseline(rule: object) -> bool:
    return isinstance(rule, MismatchRule) or (isinstance(rule, LevelRule) and bool(rule.against_baseline))
