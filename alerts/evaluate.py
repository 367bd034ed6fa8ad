"""Evaluate: which of a batch's new reports change an alarm's condition.

Nearly every report changes nothing. So each rule is first judged over the whole batch by NumPy; only the devices whose
value crosses a limit, or that have something on its way, go report by report through `transition`. `judge` changes
nothing here: it returns an `Outcome`, which `apply` takes over with the transaction that records it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.levels import Floats, Level
from alerts.outcome import LateFound, Outcome, RuleInForce, Transition
from alerts.rules import LateHazardRule, LevelRule, NoDataRule
from alerts.transition import NORMAL, Change, Proof, Sample, State, due_us, on_sample, on_silence
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.families import Family
from underfoot.reports import TRUSTED_FUTURE_US, Reports

_NEVER = np.iinfo(np.int64).min
Rows = NDArray[np.intp]


class Evaluator:
    """The condition state of one family's devices in one shard. Single-threaded: its shard has one writer."""

    def __init__(self, family: Family, rules: Iterable[RuleInForce]) -> None:
        self.family = family
        self.levels: dict[str, Level] = {}
        self.no_data: tuple[RuleInForce, NoDataRule] | None = None
        self.late_hazard: tuple[RuleInForce, LateHazardRule] | None = None
        for in_force in rules:
            rule = in_force.rule
            if isinstance(rule, LevelRule) and rule.family == family.name:
                self.levels[rule.rule_id] = Level(in_force, rule)
            elif isinstance(rule, NoDataRule) and rule.family == family.name:
                self.no_data = (in_force, rule)
            elif isinstance(rule, LateHazardRule) and rule.family == family.name:
                self.late_hazard = (in_force, rule)
        self.device_key = np.zeros(0, np.int64)
        self.newest_us = np.zeros(0, np.int64)
        self.last_received_us = np.zeros(0, np.int64)
        self.baseline: dict[str, Floats] = {
            level.rule.field: np.zeros(0) for level in self.levels.values() if level.rule.against_baseline
        }
        self.offline: set[int] = set()
        self.late: dict[int, frozenset[str]] = {}
        self.windows: dict[tuple[str, int], list[tuple[int, float]]] = {}
        self.longest_window_us = {
            level.rule.field: max(
                int((other.rule.sum_over_s or 0) * 1e6)
                for other in self.levels.values()
                if other.rule.field == level.rule.field
            )
            for level in self.levels.values()
            if level.rule.sum_over_s is not None
        }

    # registry -------------------------------------------------------------------------------------------------------

    def add_devices(self, device_keys: NDArray[np.int32]) -> None:
        """Slots for devices, in this order, after those there are."""
        more = len(device_keys)
        self.device_key = np.concatenate([self.device_key, device_keys.astype(np.int64)])
        self.newest_us = np.concatenate([self.newest_us, np.full(more, _NEVER)])
        self.last_received_us = np.concatenate([self.last_received_us, np.full(more, _NEVER)])
        self.baseline = {name: np.concatenate([values, np.zeros(more)]) for name, values in self.baseline.items()}
        for level in self.levels.values():
            level.grow(len(self.device_key))

    # judging --------------------------------------------------------------------------------------------------------

    def judge(self, reports: Reports) -> Outcome:
        """What these new reports change. Late ones (older than the device's newest) change no condition; a hazard
        that only they show is to be raised for an operator to check."""
        outcome = Outcome()
        if not len(reports):
            return outcome
        in_turn, late = self._in_turn(reports)
        outcome.late_rows = np.flatnonzero(late).tolist()
        in_order: Rows = in_turn[~late[in_turn]]
        self._note_newest(reports, in_order, outcome)
        sums = self._sums_over_time(reports, in_turn, outcome)
        measures: dict[str, Floats] = {}
        for rule_id, level in self.levels.items():
            measures[rule_id] = self._measure(level, reports, sums)
            self._judge_level(level, measures[rule_id], reports, in_order, late, outcome)
        self._end_silence(reports, outcome)
        self._answer_late(reports, in_order, measures, outcome)
        return outcome

    def _in_turn(self, reports: Reports) -> tuple[Rows, NDArray[np.bool_]]:
        """The reports device by device in the order in which they count, and which of them are late.

        Messages count in order of arrival, wherever a batch ends; the reports of one message (an array) by their
        time. After a report whose time was substituted nothing older speaks, however far ahead its clock was.
        """
        ts_us, substituted = reports.ts_us, reports.substituted
        by_device: Rows = np.argsort(reports.slot, kind="stable")
        slots, times = reports.slot[by_device], ts_us[by_device]
        late = (ts_us < self.newest_us[reports.slot]) & ~substituted
        set_back = substituted & (ts_us < self.newest_us[reports.slot])
        if not set_back.any() and not ((slots[1:] == slots[:-1]) & (times[1:] < times[:-1])).any():
            return by_device, late
        received = reports.received_us[by_device]
        message = np.cumsum(np.append(True, received[1:] != received[:-1]) | substituted[by_device])
        in_turn: Rows = by_device[np.lexsort((times, message, slots))]
        newest: dict[int, int] = {}
        for row, slot in zip(in_turn.tolist(), reports.slot[in_turn].tolist(), strict=True):
            late[row] = ts_us[row] < newest.get(slot, self.newest_us[slot]) and not substituted[row]
            if not late[row]:
                newest[slot] = int(ts_us[row])
        return in_turn, late

    def _note_newest(self, reports: Reports, in_order: Rows, outcome: Outcome) -> None:
        if len(in_order):
            slots = reports.slot[in_order]
            last = in_order[np.append(slots[1:] != slots[:-1], True)]
            outcome.latest_rows = last.tolist()
            outcome.newest = dict(zip(reports.slot[last].tolist(), reports.ts_us[last].tolist(), strict=True))

    def _measure(self, level: Level, reports: Reports, sums: dict[tuple[str, float], Floats]) -> Floats:
        rule = level.rule
        value = reports.columns[rule.field] if rule.sum_over_s is None else sums[rule.field, rule.sum_over_s]
        if rule.against_baseline:
            value = np.abs(value - self.baseline[rule.field][reports.slot])
        return level.guarded(value, reports.columns)

    def _judge_level(
        self,
        level: Level,
        measure: Floats,
        reports: Reports,
        in_order: Rows,
        late: NDArray[np.bool_],
        outcome: Outcome,
    ) -> None:
        slots = reports.slot
        known = ~np.isnan(measure)
        current = level.level[slots]
        reached = np.searchsorted(level.reach, measure, side="right")
        matters = known & ((reached > current) | (measure < level.leave[current]) | level.busy[slots])
        if not matters.any():
            return
        moving = np.isin(slots, slots[matters & ~late]) & known & ~late
        for row in in_order[moving[in_order]]:
            self._step(level, int(slots[row]), float(measure[row]), int(row), reports, outcome)
        self._find_late(level, measure, reached, np.flatnonzero(matters & late & (reached > 0)), reports, outcome)

    def _step(self, level: Level, slot: int, value: float, row: int, reports: Reports, outcome: Outcome) -> None:
        key = (level.rule.rule_id, slot)
        state = outcome.states.get(key) or level.states.get(slot, NORMAL)
        proof = self._proof(level, value, row, reports)
        sample = Sample(value, int(reports.ts_us[row]), int(reports.received_us[row]), proof)
        after, changes = on_sample(level.limits, state, sample)
        if after != state:
            outcome.states[key] = after
        outcome.transitions += (self._transition(level, slot, change) for change in changes)

    def _find_late(
        self, level: Level, measure: Floats, reached: NDArray[np.intp], rows: Rows, reports: Reports, outcome: Outcome
    ) -> None:
        if self.late_hazard is None:
            return
        rule_id, least = level.rule.rule_id, Severity[self.late_hazard[1].of_at_least]
        for row in rows.tolist():
            slot = int(reports.slot[row])
            state = outcome.states.get((rule_id, slot)) or level.states.get(slot, NORMAL)
            if state.level == 0 and level.severity(int(reached[row])) >= least:
                proof = self._proof(level, float(measure[row]), row, reports)
                outcome.late_found.append(LateFound(slot, rule_id, {**proof, "of_rule": rule_id}))

    def _proof(self, level: Level, value: float, row: int, reports: Reports) -> Proof:
        column, equals = level.rule.column, level.rule.equals
        raw = float(reports.columns[column.name][row])
        reached = max(bisect_right(level.limits.reach, value), 1)
        return {
            "ts_us": int(reports.ts_us[row]),
            "received_us": int(reports.received_us[row]),
            "field": column.name,
            "label": column.label,
            "unit": column.unit,
            "value": _number(level.sign * value if np.isfinite(value) and equals is None else raw),
            "limit": level.rule.levels[reached - 1].limit if equals is None else float(equals),
            "values": reports.values[row],
        }

    def _transition(self, level: Level, slot: int, change: Change) -> Transition:
        return Transition(
            SubjectKind.device,
            int(self.device_key[slot]),
            level.in_force,
            change.reason,
            change.before,
            change.after,
            level.severity(change.level_before),
            level.severity(change.level),
            change.at_us,
            change.received_us,
            change.proof,
        )

    # sums over time -------------------------------------------------------------------------------------------------

    def _sums_over_time(self, reports: Reports, in_turn: Rows, outcome: Outcome) -> dict[tuple[str, float], Floats]:
        """By field and span (seconds), what fell in the span before each report; NaN where it does not say."""
        sums: dict[tuple[str, float], Floats] = {}
        for name, longest in self.longest_window_us.items():
            amounts = reports.columns[name]
            spans = {level.rule.sum_over_s for level in self.levels.values() if level.rule.field == name}
            summed = {span: np.full(len(reports), np.nan) for span in spans if span is not None}
            for row in in_turn[~np.isnan(amounts[in_turn])].tolist():
                key = (name, int(reports.slot[row]))
                window = outcome.windows.get(key)
                if window is None:
                    window = outcome.windows[key] = list(self.windows.get(key, ()))
                ts_us = int(reports.ts_us[row])
                insort(window, (ts_us, float(amounts[row])))
                for span, values in summed.items():
                    values[row] = _sum_over(window, ts_us, int(span * 1e6))
                oldest = window[-1][0] - longest - TRUSTED_FUTURE_US  # its newest may come from a clock ahead
                del window[: bisect_right(window, (oldest, float("inf")))]
            sums |= {(name, span): values for span, values in summed.items()}
        return sums

    # silence --------------------------------------------------------------------------------------------------------

    def judge_silence(self, until_us: int) -> Outcome:
        """What is proven by nothing contrary having come until `until_us` (server's clock, all committed by then)."""
        outcome = Outcome()
        for level in self.levels.values():
            for slot in sorted(level.unsettled):
                state = level.states[slot]
                due = due_us(level.limits, state)
                if due is None or due > until_us:
                    continue
                while True:
                    after, changes = on_silence(level.limits, state, until_us)
                    if not changes:
                        break
                    outcome.states[level.rule.rule_id, slot] = state = after
                    outcome.transitions += (self._transition(level, slot, change) for change in changes)
        return outcome

    @property
    def waits_for_silence(self) -> bool:
        """Something here will be proven by silence."""
        return any(level.limits.by_silence and bool(level.unsettled) for level in self.levels.values())

    def allowed_silence_us(self, interval_s: int) -> int | None:
        if self.no_data is None:
            return None
        rule = self.no_data[1]
        return int((interval_s * rule.intervals + rule.grace_s) * 1e6)

    def judge_offline(self, slot: int, silent_since_us: int, until_us: int) -> Outcome:
        """The device has sent nothing since `silent_since_us`, longer than it may: raise it as offline."""
        outcome = Outcome()
        if self.no_data is None or slot in self.offline or int(self.last_received_us[slot]) > silent_since_us:
            return outcome
        in_force, rule = self.no_data
        proof: Proof = {"ts_us": silent_since_us, "received_us": silent_since_us, "field": "", "label": "最近上报"}
        outcome.offline[slot] = True
        outcome.transitions.append(
            Transition(
                SubjectKind.device,
                int(self.device_key[slot]),
                in_force,
                Reason.no_data,
                Condition.normal,
                Condition.active,
                0,
                Severity[rule.severity],
                until_us,
                until_us,
                proof,
            )
        )
        return outcome

    def _end_silence(self, reports: Reports, outcome: Outcome) -> None:
        if not self.offline or self.no_data is None:
            return
        in_force, rule = self.no_data
        for row, slot in enumerate(reports.slot.tolist()):
            if slot in self.offline and outcome.offline.get(slot) is not False:
                outcome.offline[slot] = False
                received = int(reports.received_us[row])
                proof: Proof = {
                    "ts_us": int(reports.ts_us[row]),
                    "received_us": received,
                    "field": "",
                    "label": "恢复上报",
                }
                outcome.transitions.append(
                    self._ended(in_force, slot, Reason.data_again, Severity[rule.severity], received, received, proof)
                )

    # late hazards ---------------------------------------------------------------------------------------------------

    def raise_late(self, outcome: Outcome) -> None:
        """Raise what late reports alone have shown; while it is open, what others of them show joins it."""
        if self.late_hazard is None:
            return
        in_force, rule = self.late_hazard
        severity = Severity[rule.severity].value
        for found in outcome.late_found:
            asked = outcome.late.get(found.slot, self.late.get(found.slot, frozenset()))
            if found.of_rule in asked:
                continue
            outcome.late[found.slot] = asked | {found.of_rule}
            outcome.transitions.append(
                Transition(
                    SubjectKind.device,
                    int(self.device_key[found.slot]),
                    in_force,
                    Reason.late_hazard,
                    Condition.active if asked else Condition.normal,
                    Condition.active,
                    severity if asked else 0,
                    severity,
                    found.proof["ts_us"],
                    found.proof["received_us"],
                    found.proof,
                )
            )

    def _answer_late(self, reports: Reports, in_order: Rows, measures: dict[str, Floats], outcome: Outcome) -> None:
        """A newer report answers what late ones have asked, rule by rule; the last answer ends the late hazard."""
        if not self.late or self.late_hazard is None:
            return
        in_force, rule = self.late_hazard
        for row in in_order.tolist():
            slot = int(reports.slot[row])
            asked = outcome.late.get(slot, self.late.get(slot, frozenset()))
            answered = sorted(name for name in asked if name not in measures or not np.isnan(measures[name][row]))
            if not answered:
                continue
            outcome.late[slot] = asked.difference(answered)
            if outcome.late[slot]:
                continue
            at_us, received_us = int(reports.ts_us[row]), int(reports.received_us[row])
            proof: Proof = {"ts_us": at_us, "received_us": received_us}
            reason = Reason.newer_report_normal
            for level in (self.levels[name] for name in answered if name in self.levels):
                value = float(measures[level.rule.rule_id][row])
                proof = self._proof(level, value, row, reports)
                if value >= level.limits.reach[0]:
                    reason = Reason.newer_report_raised
            outcome.transitions.append(
                self._ended(in_force, slot, reason, Severity[rule.severity], at_us, received_us, proof)
            )

    def _ended(
        self,
        in_force: RuleInForce,
        slot: int,
        reason: Reason,
        severity: int,
        at_us: int,
        received_us: int,
        proof: Proof,
    ) -> Transition:
        return Transition(
            SubjectKind.device,
            int(self.device_key[slot]),
            in_force,
            reason,
            Condition.active,
            Condition.normal,
            severity,
            0,
            at_us,
            received_us,
            proof,
        )

    # memory ---------------------------------------------------------------------------------------------------------

    def apply(self, outcome: Outcome, reports: Reports | None = None) -> None:
        """Take over what has been committed."""
        for (rule_id, slot), state in outcome.states.items():
            self.levels[rule_id].put(slot, state)
        for slot, is_offline in outcome.offline.items():
            (self.offline.add if is_offline else self.offline.discard)(slot)
        for slot, rules in outcome.late.items():
            if rules:
                self.late[slot] = rules
            else:
                self.late.pop(slot, None)
        self.windows.update(outcome.windows)
        if outcome.newest:
            slots = np.fromiter(outcome.newest, np.int64, len(outcome.newest))
            self.newest_us[slots] = np.fromiter(outcome.newest.values(), np.int64, len(slots))
        if reports is not None:
            np.maximum.at(self.last_received_us, reports.slot, reports.received_us)

    def unsettled(self) -> Iterator[tuple[str, int, State]]:
        """Every rule, slot and state that is not plainly normal."""
        for rule_id, level in self.levels.items():
            for slot, state in level.states.items():
                yield rule_id, slot, state

    def judge_closed(self, rule_id: str, slot: int) -> Outcome:
        """An operator has closed the episode: the rule starts again from normal. The transition is the operator's."""
        outcome = Outcome()
        if rule_id in self.levels:
            outcome.states[rule_id, slot] = NORMAL
        elif self.no_data is not None and rule_id == self.no_data[0].rule.rule_id:
            outcome.offline[slot] = False
        elif self.late_hazard is not None and rule_id == self.late_hazard[0].rule.rule_id:
            outcome.late[slot] = frozenset()
        return outcome


def _sum_over(window: list[tuple[int, float]], until_us: int, span_us: int) -> float:
    """The sum of what fell in (until − span, until]."""
    first = bisect_right(window, (until_us - span_us, float("inf")))
    last = bisect_right(window, (until_us, float("inf")))
    return sum(amount for _, amount in window[first:last])


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
