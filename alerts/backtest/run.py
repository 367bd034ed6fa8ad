"""Backtest: what a rule would have raised on stored reports, before it goes live.

    trial (rule, span, devices) → reports, slice by slice in event time → the evaluator that judges them live, with this
    rule alone → episodes → tally (held against what is on record)

Silence is emulated: what a device's next report shows to have been silence is proof by then, and at the end what was
silence until the span ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from alerts.backtest.result import Backtest
from alerts.backtest.tally import Found, tally
from alerts.backtest.trial import BacktestError, Fleet, Trial
from alerts.history.episodes import Episodes, Past
from alerts.history.rerun import memory_of
from alerts.history.stored import Devices, in_slices, slice_for
from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import Outcome
from alerts.judge.silent import Silent
from underfoot.alarms import Severity
from underfoot.reports import Reports, microseconds
from underfoot.storage.connect import Connection

_DAY_US = 86_400_000_000
_LONGEST_LEAD_US = 8 * _DAY_US

Told = Callable[[float], None]
"""Told which share is done, from 0 to 1."""


def backtest(connection: Connection, trial: Trial, fleet: Fleet, progress: Told = lambda _share: None) -> Backtest:
    began = time.monotonic()
    judge = _judge_of(trial, fleet)
    since_us, until_us = microseconds(trial.since), microseconds(trial.until)
    begin_us = since_us - judge.lead_us
    devices = Devices(fleet.device_key)
    slice_us = slice_for(fleet.reports_per_s)
    counted = 0
    for done_us, reports in in_slices(connection, trial.family, devices, begin_us, until_us, slice_us, judge.fields):
        counted += int(np.count_nonzero(reports.ts_us >= since_us))
        judge.take(reports)
        progress((done_us - begin_us) / (until_us - begin_us))
    judge.finish(until_us)
    found = Found(
        {key: sorted(pasts, key=lambda past: past.raised_us) for key, pasts in judge.pasts(since_us).items()},
        counted,
        time.monotonic() - began,
    )
    return tally(connection, trial, fleet, found)


# judging ------------------------------------------------------------------------------------------------------------


class _Judge(Protocol):
    """A rule over a fleet's history. `lead_us`: so far before the span it needs reports, of these `fields`."""

    lead_us: int
    fields: tuple[str, ...]

    def take(self, reports: Reports) -> None: ...

    def finish(self, until_us: int) -> None: ...

    def pasts(self, since_us: int) -> dict[int, list[Past]]:
        """By device, what was open since then."""


def _judge_of(trial: Trial, fleet: Fleet) -> _Judge:
    evaluator = Evaluator(trial.family, [trial.in_force])
    evaluator.add_devices(fleet.device_key)
    evaluator.interval_s[:] = fleet.interval_s
    for name, values in evaluator.baseline.items():
        values[:] = [known.get(name, np.nan) for known in fleet.baseline]
    slots = np.arange(len(fleet), dtype=np.int64)
    scopes = {variant.scope for variant in trial.in_force.variants}
    evaluator.assign({scope: slots[fleet.within(scope)] for scope in scopes}, slots)
    if evaluator.silent is not None:
        return _Silences(evaluator, evaluator.silent, microseconds(trial.since))
    return _Reports(evaluator, fleet)


class _Reports:
    """A rule that judges reports. Each is taken as received at its own time: what it would have been like in order."""

    def __init__(self, evaluator: Evaluator, fleet: Fleet) -> None:
        self._evaluator = evaluator
        self._episodes = Episodes()
        (level,) = evaluator.levels.values()
        rule = level.rule
        guards = (name for word in rule.guarding for name in getattr(rule, word))
        self.fields: tuple[str, ...] = tuple(dict.fromkeys((rule.field, *guards)))
        memories = [memory_of(one) for one in level.scoped.rules]
        in_a_row = max(one.reports for one in memories) * int(fleet.interval_s.max()) * 1_000_000
        memory_us = max(one.window_us + 2 * one.delay_us for one in memories) + in_a_row
        # Within a dead band an episode may have been open for longer than that.
        self.lead_us = min(max(memory_us, _DAY_US), _LONGEST_LEAD_US)

    def take(self, reports: Reports) -> None:
        in_order = replace(reports, received_us=reports.ts_us, substituted=np.zeros(len(reports), np.bool_))
        outcome = self._evaluator.judge(in_order)
        self._note(outcome)
        self._evaluator.apply(outcome, in_order)

    def finish(self, until_us: int) -> None:
        self._note(self._evaluator.judge_silence(until_us))

    def _note(self, outcome: Outcome) -> None:
        for rule_id, error in outcome.failing.items():
            raise BacktestError(f"{rule_id}: could not judge: {error}")
        self._episodes.take(outcome.transitions)

    def pasts(self, since_us: int) -> dict[int, list[Past]]:
        return {
            key: kept
            for (key, _), pasts in self._episodes.all.items()
            if (kept := [past for past in pasts if past.ends_us >= since_us])
        }


class _Silences:
    """A rule that judges silence, by when reports were received."""

    fields: tuple[str, ...] = ()

    def __init__(self, evaluator: Evaluator, silent: Silent, since_us: int) -> None:
        self._key = evaluator.device_key
        self._allowed_us = silent.allowed_us(evaluator.interval_s)
        self._severity = [Severity[silent.scoped.rule_for(slot).severity] for slot in range(len(evaluator))]
        self.lead_us = min(int(self._allowed_us.max()), _LONGEST_LEAD_US)
        self._heard_us = np.full(len(evaluator), since_us - self.lead_us)
        self._pasts: dict[int, list[Past]] = {}

    def take(self, reports: Reports) -> None:
        order = np.lexsort((reports.received_us, reports.slot))
        slot, heard = reports.slot[order], reports.received_us[order]
        first = np.append(True, slot[1:] != slot[:-1])[: len(slot)]
        before = np.where(first, self._heard_us[slot], np.roll(heard, 1))
        for row in np.flatnonzero(heard - before > self._allowed_us[slot]).tolist():
            self._silent(int(slot[row]), int(before[row]), int(heard[row]))
        np.maximum.at(self._heard_us, slot, heard)

    def finish(self, until_us: int) -> None:
        for slot in np.flatnonzero(until_us - self._heard_us > self._allowed_us).tolist():
            self._silent(slot, int(self._heard_us[slot]), None)

    def _silent(self, slot: int, heard_us: int, again_us: int | None) -> None:
        raised_us = heard_us + int(self._allowed_us[slot])
        past = Past(raised_us, ((raised_us, self._severity[slot]),), cleared_us=again_us)
        self._pasts.setdefault(int(self._key[slot]), []).append(past)

    def pasts(self, since_us: int) -> dict[int, list[Past]]:
        return {
            key: kept for key, all_of in self._pasts.items() if (kept := [p for p in all_of if p.ends_us >= since_us])
        }
