"""Evaluate: which of a batch's new reports change an alarm's condition.

    turns → measures → levels (→ transition) → silent → late

Nearly every report changes nothing, so rule after rule is judged over the whole batch by NumPy. `judge` changes nothing
here: it returns an `Outcome`, which `apply` takes over with the transaction that records it. A rule that raises an
exception is left out of the outcome, which names it; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from alerts.judge.flapping import CALM
from alerts.judge.late import Late
from alerts.judge.levels import Judgement, LateAsking, Level
from alerts.judge.measures import Floats, Measures, Measuring
from alerts.judge.outcome import Flapping, Outcome, RuleInForce
from alerts.judge.scoped import Scoped
from alerts.judge.silent import Silent
from alerts.judge.transition import NORMAL, State, no_longer
from alerts.judge.turns import backlog, in_turn
from alerts.judge.watch import Watch
from alerts.rules import JudgedRule, LateHazardRule, NoDataRule
from alerts.rules.override import Scope
from underfoot.families import Family
from underfoot.reports import NO_SEQ, Reports

log = logging.getLogger(__name__)

_NEVER = np.iinfo(np.int64).min
Rows = NDArray[np.intp]
Made = TypeVar("Made")


class Evaluator:
    """The condition state of one family's devices in one shard. Single-threaded: its shard has one writer."""

    def __init__(self, family: Family, rules: Iterable[RuleInForce]) -> None:
        self.family = family
        self.rules = [one for one in rules if getattr(one.rule, "family", None) == family.name]
        judged = [(one, one.rule) for one in self.rules if isinstance(one.rule, JudgedRule)]
        self._watch = Watch(len(judged))
        self.levels = {rule.rule_id: Level(one, rule, self._watch, place) for place, (one, rule) in enumerate(judged)}
        self.silent: Silent | None = None
        self.late: Late | None = None
        for one in self.rules:
            if isinstance(one.rule, NoDataRule):
                self.silent = Silent(one, one.rule)
            elif isinstance(one.rule, LateHazardRule):
                self.late = Late(one, one.rule)
        self.measures = Measures([rule for _, rule in judged])
        self.failing: set[str] = set()
        """Rules that could not judge the last batch that they were asked about."""
        self.device_key = np.zeros(0, np.int64)
        self.interval_s = np.zeros(0, np.int32)
        self.newest_us = np.zeros(0, np.int64)
        self.newest_seq = np.zeros(0, np.int64)
        """NO_SEQ where a device has never counted."""
        self.last_received_us = np.zeros(0, np.int64)

    # registry -------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.device_key)

    @property
    def baseline(self) -> dict[str, Floats]:
        """By field and slot, what the ledger says that a device reads at rest, or as rated; NaN: it does not say."""
        return self.measures.baseline

    @property
    def scoped(self) -> list[Scoped[JudgedRule] | Scoped[NoDataRule] | Scoped[LateHazardRule]]:
        """Every rule, to say which of its variants counts for which device."""
        others = [one.scoped for one in (self.silent, self.late) if one is not None]
        return [*(level.scoped for level in self.levels.values()), *others]

    def add_devices(self, device_keys: NDArray[np.int32]) -> None:
        """Slots for devices, in this order, after those there are."""
        more = len(device_keys)
        self.device_key = np.concatenate([self.device_key, device_keys.astype(np.int64)])
        self.interval_s = np.concatenate([self.interval_s, np.full(more, self.family.default_interval_s, np.int32)])
        self.newest_us = np.concatenate([self.newest_us, np.full(more, _NEVER)])
        self.newest_seq = np.concatenate([self.newest_seq, np.full(more, NO_SEQ)])
        self.last_received_us = np.concatenate([self.last_received_us, np.full(more, _NEVER)])
        slots = len(self)
        self._watch.grow(slots)
        self.measures.grow(slots)
        for level in self.levels.values():
            level.scoped.grow(slots)
        if self.silent is not None:
            self.silent.grow(slots)
        if self.late is not None:
            self.late.scoped.grow(slots)

    def assign(self, variants: dict[Scope, NDArray[np.int64]], slots: NDArray[np.int64]) -> bool:
        """Which variants count for these devices: of each scope, its slots among them. Narrower ones count. Returns
        whether others count now for something that is remembered."""
        before = [(scoped, slot, scoped.variant(slot)) for scoped, slot in self._remembered(set(slots.tolist()))]
        for scoped in self.scoped:
            if len(scoped) > 1:
                scoped.variant_of[slots] = 0
                for variant, scope in enumerate(scoped.scopes):
                    if scope in variants:
                        scoped.variant_of[variants[scope]] = variant
        return any(scoped.variant(slot) != variant for scoped, slot, variant in before)

    def _remembered(self, slots: set[int]) -> Iterator[tuple[Scoped[Any], int]]:
        for level in self.levels.values():
            if len(level.scoped) > 1:
                yield from ((level.scoped, slot) for slot in level.states.keys() & slots)
        if self.silent is not None and len(self.silent.scoped) > 1:
            yield from ((self.silent.scoped, slot) for slot in self.silent.slots if slot in slots)
        if self.late is not None and len(self.late.scoped) > 1:
            yield from ((self.late.scoped, slot) for slot in self.late.asked.keys() & slots)

    def alike(self, slots: NDArray[np.int64]) -> Evaluator:
        """The same rules, as they are for these devices alone, in this order, with nothing remembered: to judge again
        what has been."""
        other = Evaluator(self.family, self.rules)
        other.add_devices(self.device_key[slots].astype(np.int32))
        other.interval_s[:] = self.interval_s[slots]
        for name, values in self.baseline.items():
            other.baseline[name][:] = values[slots]
        for ours, theirs in zip(self.scoped, other.scoped, strict=True):
            if len(ours) > 1:
                theirs.variant_of[:] = ours.variant_of[slots]
        return other

    # judging --------------------------------------------------------------------------------------------------------

    def judge(self, reports: Reports) -> Outcome:
        """What these new reports change. Late ones (older than the device's newest) change no condition; a hazard
        that only they show is to be raised for an operator to check."""
        outcome = Outcome()
        if not len(reports):
            return outcome
        turn, late = in_turn(reports, self.newest_us[reports.slot])
        outcome.late_rows = np.flatnonzero(late).tolist()
        order: Rows = turn[~late[turn]] if outcome.late_rows else turn
        self._note_newest(reports, order, outcome)
        asking = self._asking(reports, turn, late) if outcome.late_rows else None
        measuring = Measuring(self.measures, reports, turn, order, self.interval_s)
        codes = self._watch.codes[reports.slot]
        measures: dict[str, Floats] = {}

        def judge(level: Level) -> Judgement | None:
            measure = measuring.of(level)
            judgement = level.judge(measure, reports, codes, order, late, asking)
            measures[level.rule.rule_id] = measure
            return judgement

        for level in self.levels.values():
            self._isolated(judge, level, outcome)
        outcome.windows, outcome.slopes, outcome.means = measuring.windows, measuring.kept, measuring.kept_means
        outcome.working = self.failing - outcome.failing.keys()
        if self.silent is not None:
            self.silent.end(reports, outcome)
        if self.late is not None:
            self.late.answer(reports, order, measures, self.levels, outcome)
        return outcome

    def _note_newest(self, reports: Reports, in_order: Rows, outcome: Outcome) -> None:
        if len(in_order):
            slots = reports.slot[in_order]
            last = in_order[np.append(slots[1:] != slots[:-1], True)]
            outcome.latest_rows = last.tolist()
            outcome.newest = dict(zip(reports.slot[last].tolist(), reports.ts_us[last].tolist(), strict=True))

    def _asking(self, reports: Reports, turn: Rows, late: NDArray[np.bool_]) -> LateAsking | None:
        if self.late is None:
            return None
        return LateAsking(self.late.of_at_least, backlog(reports, turn, late, self.newest_seq[reports.slot]))

    def _isolated(self, judge: Callable[[Level], Judgement | None], level: Level, outcome: Outcome) -> None:
        """What the rule makes of it, into the outcome; nothing of it, if it raises an exception."""
        rule_id = level.rule.rule_id
        try:
            judgement = judge(level)
        except Exception as error:
            if rule_id not in self.failing:
                log.exception("rule %s could not judge", rule_id)
            outcome.failing[rule_id] = f"{type(error).__name__}: {error}"
            return
        if judgement is None:
            return
        outcome.states |= {(rule_id, slot): state for slot, state in judgement.states.items()}
        outcome.transitions += (
            level.transition(slot, int(self.device_key[slot]), change) for slot, change in judgement.changes
        )
        outcome.flapping += judgement.flapping
        outcome.late_found += judgement.late_found

    def raise_late(self, outcome: Outcome) -> None:
        """Raise what late reports alone have shown, and is not on record already."""
        if self.late is not None:
            self.late.ask(outcome, self.device_key)

    # silence --------------------------------------------------------------------------------------------------------

    def judge_silence(self, until_us: int) -> Outcome:
        """What is proven by nothing contrary having come until `until_us` (server's clock, all committed by then)."""
        outcome = Outcome()
        for level in self.levels.values():
            if level.unsettled or level.flapping:
                self._isolated(lambda level: level.judge_silence(until_us), level, outcome)
        return outcome

    @property
    def waits_for_silence(self) -> bool:
        """Something here will be proven by silence."""
        return any(level.waits_for_silence for level in self.levels.values())

    def judge_offline(self, slot: int, silent_since_us: int, until_us: int) -> Outcome:
        """The device has sent nothing since `silent_since_us`, longer than it may: raise it as offline."""
        outcome = Outcome()
        silent = self.silent
        if silent is None or silent.offline[slot] or int(self.last_received_us[slot]) > silent_since_us:
            return outcome
        silent.begin(slot, int(self.device_key[slot]), silent_since_us, until_us, outcome)
        return outcome

    # memory ---------------------------------------------------------------------------------------------------------

    def apply(self, outcome: Outcome, reports: Reports | None = None) -> None:
        """Take over what has been committed."""
        for (rule_id, slot), state in outcome.states.items():
            self.levels[rule_id].put(slot, state)
        if self.silent is not None:
            for slot, offline in outcome.offline.items():
                self.silent.put(slot, offline=offline)
        if self.late is not None:
            for slot, rules in outcome.late.items():
                self.late.put(slot, rules)
        for (field, slot), window in outcome.windows.items():
            self.measures.sums[field].windows[slot] = window
        for key, kept in outcome.slopes.items():
            self.measures.slopes[key].apply(kept)
        for key, means in outcome.means.items():
            self.measures.means[key].apply(means)
        self.failing = (self.failing | outcome.failing.keys()) - outcome.working
        if outcome.newest:
            slots = np.fromiter(outcome.newest, np.int64, len(outcome.newest))
            self.newest_us[slots] = np.fromiter(outcome.newest.values(), np.int64, len(slots))
        if reports is not None:
            np.maximum.at(self.last_received_us, reports.slot, reports.received_us)
            latest = np.array(outcome.latest_rows, np.intp)
            counted = latest[reports.seq[latest] != NO_SEQ]
            self.newest_seq[reports.slot[counted]] = reports.seq[counted]

    def unsettled(self) -> Iterator[tuple[str, int, State]]:
        """Every rule, slot and state that is not plainly normal."""
        for rule_id, level in self.levels.items():
            for slot, state in level.states.items():
                yield rule_id, slot, state

    def judge_closed(self, rule_id: str, slot: int, now_us: int) -> Outcome:
        """An operator has closed the episode: the rule starts again from normal. The transition is the operator's."""
        outcome = Outcome()
        if rule_id in self.levels:
            outcome.states[rule_id, slot] = NORMAL
            if self.levels[rule_id].states.get(slot, NORMAL).history != CALM:
                outcome.flapping += self._flapping_over(rule_id, slot, now_us)
        elif self.silent is not None and rule_id == self.silent.scoped.rule_id:
            outcome.offline[slot] = False
        elif self.late is not None and rule_id == self.late.scoped.rule_id:
            outcome.late[slot] = frozenset()
        return outcome

    def _flapping_over(self, rule_id: str, slot: int, now_us: int) -> Iterator[Flapping]:
        if slot in self.levels[rule_id].flapping:
            yield Flapping(slot, rule_id, no_longer(now_us))
