"""Evaluate: which of a batch's new reports change an alarm's condition.

Nearly every report changes nothing. So each rule is first judged over the whole batch by NumPy; only the devices whose
value crosses a limit, or that have something on its way, go report by report through `transition`. `judge` changes
nothing here: it returns an `Outcome`, which `apply` takes over once it is committed.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.rules import LateHazardRule, LevelRule, NoDataRule, Rule
from alerts.transition import NORMAL, Change, Limits, Proof, Sample, State, due_us, on_sample, on_silence
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.families import Family
from underfoot.reports import Reports

_NEVER = np.iinfo(np.int64).min
Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class RuleInForce:
    rule: Rule
    version: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of one alarm's condition, ready to be recorded. Severity 0: no episode."""

    subject_kind: SubjectKind
    subject_key: int
    rule: RuleInForce
    reason: Reason
    before: Condition
    after: Condition
    severity_before: int
    severity: int
    at_us: int
    received_us: int
    proof: Proof
    late: bool = False


@dataclass(frozen=True, slots=True)
class LateOpen:
    """An open late hazard of a device: the rule whose limit the late report reached."""

    of_rule: str


@dataclass
class Outcome:
    """What a batch would change: recorded in its transaction, applied to memory after its commit."""

    transitions: list[Transition] = field(default_factory=list)
    states: dict[tuple[str, int], State] = field(default_factory=dict)
    offline: dict[int, bool] = field(default_factory=dict)
    late: dict[int, LateOpen | None] = field(default_factory=dict)
    windows: dict[tuple[str, int], list[tuple[int, float]]] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)
    latest_rows: list[int] = field(default_factory=list)
    late_rows: list[int] = field(default_factory=list)


class _Level:
    """One level rule over the devices of its family: what it holds against, and what it remembers of each slot."""

    def __init__(self, in_force: RuleInForce, rule: LevelRule) -> None:
        self.in_force = in_force
        self.rule = rule
        self.sign = 1.0 if rule.looks == "above" else -1.0
        reach = [self.sign * level.limit for level in rule.levels]
        leave = [limit - level.dead_band for limit, level in zip(reach, rule.levels, strict=True)]
        self.limits = Limits(
            reach=tuple(reach),
            leave=tuple(leave),
            severity=tuple(level.rank for level in rule.levels),
            on_delay_us=tuple(int(level.on_delay_s * 1e6) for level in rule.levels),
            samples=tuple(level.samples for level in rule.levels),
            off_delay_us=int(rule.off_delay_s * 1e6),
            off_samples=rule.off_samples,
            by_silence=rule.proof == "silence",
        )
        self.reach = np.array(reach)
        self.leave = np.array([-np.inf, *leave])
        self.level = np.zeros(0, np.int8)
        self.busy = np.zeros(0, np.bool_)
        self.states: dict[int, State] = {}

    def grow(self, slots: int) -> None:
        more = slots - len(self.level)
        self.level = np.concatenate([self.level, np.zeros(more, np.int8)])
        self.busy = np.concatenate([self.busy, np.zeros(more, np.bool_)])

    def put(self, slot: int, state: State) -> None:
        self.level[slot] = state.level
        self.busy[slot] = not state.settled
        if state == NORMAL:
            self.states.pop(slot, None)
        else:
            self.states[slot] = state

    def severity(self, level: int) -> int:
        return self.limits.severity[level - 1] if level else 0

    def guarded(self, value: Floats, columns: dict[str, Floats]) -> Floats:
        """`value` as the limits see it: NaN where it is unknown or its guard is, −∞ where the rule does not apply."""
        if self.rule.equals is not None:
            value = np.where(np.isnan(value), np.nan, (value == float(self.rule.equals)).astype(np.float64))
        measure = self.sign * value
        for name, wanted in self.rule.when.items():
            guard = columns[name]
            measure = np.where(np.isnan(guard), np.nan, np.where(guard == float(wanted), measure, -np.inf))
        for name, unwanted in self.rule.unless.items():
            measure = np.where(columns[name] == float(unwanted), -np.inf, measure)
        return measure


class Evaluator:
    """The condition state of one family's devices in one shard. Single-threaded: its shard has one writer."""

    def __init__(self, family: Family, rules: Iterable[RuleInForce]) -> None:
        self.family = family
        self.levels: dict[str, _Level] = {}
        self.no_data: tuple[RuleInForce, NoDataRule] | None = None
        self.late_hazard: tuple[RuleInForce, LateHazardRule] | None = None
        for in_force in rules:
            rule = in_force.rule
            if isinstance(rule, LevelRule) and rule.family == family.name:
                self.levels[rule.rule_id] = _Level(in_force, rule)
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
        self.late: dict[int, LateOpen] = {}
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

    def add_devices(self, device_keys: list[int]) -> None:
        """Slots for devices, in this order, after those there are."""
        more = len(device_keys)
        self.device_key = np.concatenate([self.device_key, np.array(device_keys, np.int64)])
        self.newest_us = np.concatenate([self.newest_us, np.full(more, _NEVER)])
        self.last_received_us = np.concatenate([self.last_received_us, np.full(more, _NEVER)])
        self.baseline = {name: np.concatenate([values, np.zeros(more)]) for name, values in self.baseline.items()}
        for level in self.levels.values():
            level.grow(len(self.device_key))

    # judging --------------------------------------------------------------------------------------------------------

    def judge(self, reports: Reports) -> Outcome:
        """What these new reports change. Late ones (older than the device's newest) change no condition; a hazard
        that only they show is raised for an operator to check."""
        outcome = Outcome()
        if not len(reports):
            return outcome
        order = np.lexsort((reports.ts_us, reports.slot))
        late = (reports.ts_us < self.newest_us[reports.slot]) & ~reports.substituted
        outcome.late_rows = [int(row) for row in np.flatnonzero(late)]
        in_order: Rows = order[~late[order]]
        self._note_newest(reports, in_order, outcome)
        self._extend_windows(reports, order, outcome)
        for level in self.levels.values():
            self._judge_level(level, self._measure(level, reports, outcome), reports, in_order, late, outcome)
        self._end_silence(reports, outcome)
        self._end_late_hazards(reports, in_order, outcome)
        return outcome

    def _note_newest(self, reports: Reports, in_order: Rows, outcome: Outcome) -> None:
        if len(in_order):
            slots = reports.slot[in_order]
            last = in_order[np.append(slots[1:] != slots[:-1], True)]
            outcome.latest_rows = last.tolist()
            outcome.newest = dict(zip(reports.slot[last].tolist(), reports.ts_us[last].tolist(), strict=True))

    def _measure(self, level: _Level, reports: Reports, outcome: Outcome) -> Floats:
        rule = level.rule
        value = reports.columns[rule.field]
        if rule.sum_over_s is not None:
            span = int(rule.sum_over_s * 1e6)
            value = value.copy()
            for row in np.flatnonzero(~np.isnan(value)):
                window = outcome.windows[rule.field, int(reports.slot[row])]
                value[row] = _sum_over(window, int(reports.ts_us[row]), span)
        if rule.against_baseline:
            value = np.abs(value - self.baseline[rule.field][reports.slot])
        return level.guarded(value, reports.columns)

    def _judge_level(
        self,
        level: _Level,
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
        if self.late_hazard is not None:
            for row in np.flatnonzero(matters & late & (reached > 0)):
                self._judge_late(level, int(reached[row]), int(row), reports, outcome)

    def _step(self, level: _Level, slot: int, value: float, row: int, reports: Reports, outcome: Outcome) -> None:
        key = (level.rule.rule_id, slot)
        state = outcome.states.get(key) or level.states.get(slot, NORMAL)
        proof = self._proof(level, value, row, reports)
        sample = Sample(value, int(reports.ts_us[row]), int(reports.received_us[row]), proof)
        after, changes = on_sample(level.limits, state, sample)
        if after != state:
            outcome.states[key] = after
        outcome.transitions += (self._transition(level, slot, change) for change in changes)

    def _judge_late(self, level: _Level, reached: int, row: int, reports: Reports, outcome: Outcome) -> None:
        assert self.late_hazard is not None  # noqa: S101 - the caller has checked
        in_force, rule = self.late_hazard
        slot = int(reports.slot[row])
        state = outcome.states.get((level.rule.rule_id, slot)) or level.states.get(slot, NORMAL)
        is_open = outcome.late.get(slot, self.late.get(slot)) is not None
        if is_open or state.level or level.severity(reached) < Severity[rule.of_at_least]:
            return
        proof = self._proof(level, level.sign * float(reports.columns[level.rule.field][row]), row, reports)
        proof["of_rule"] = level.rule.rule_id
        outcome.late[slot] = LateOpen(level.rule.rule_id)
        outcome.transitions.append(
            Transition(
                SubjectKind.device,
                int(self.device_key[slot]),
                in_force,
                Reason.late_hazard,
                Condition.normal,
                Condition.active,
                0,
                Severity[rule.severity],
                int(reports.ts_us[row]),
                int(reports.received_us[row]),
                proof,
                late=True,
            )
        )

    def _proof(self, level: _Level, value: float, row: int, reports: Reports) -> Proof:
        column = level.rule.column
        reached = max(bisect_right(level.limits.reach, value), 1)
        return {
            "ts_us": int(reports.ts_us[row]),
            "received_us": int(reports.received_us[row]),
            "field": column.name,
            "label": column.label,
            "unit": column.unit,
            "value": _number(level.sign * value if np.isfinite(value) else reports.columns[column.name][row]),
            "limit": level.rule.levels[reached - 1].limit,
            "values": reports.values[row],
        }

    def _transition(self, level: _Level, slot: int, change: Change) -> Transition:
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

    def _extend_windows(self, reports: Reports, order: Rows, outcome: Outcome) -> None:
        for name, longest in self.longest_window_us.items():
            amounts = reports.columns[name]
            for row in order[~np.isnan(amounts[order])]:
                key = (name, int(reports.slot[row]))
                window = outcome.windows.get(key)
                if window is None:
                    window = outcome.windows[key] = list(self.windows.get(key, ()))
                insort(window, (int(reports.ts_us[row]), float(amounts[row])))
                newest = window[-1][0]
                while window[0][0] < newest - longest:
                    window.pop(0)

    # silence --------------------------------------------------------------------------------------------------------

    def judge_silence(self, until_us: int) -> Outcome:
        """What is proven by nothing contrary having come until `until_us` (server's clock; all is committed till then)."""
        outcome = Outcome()
        for level in self.levels.values():
            for slot in np.flatnonzero(level.busy).tolist():
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
        return any(level.limits.by_silence and bool(level.busy.any()) for level in self.levels.values())

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

    def _end_late_hazards(self, reports: Reports, in_order: Rows, outcome: Outcome) -> None:
        if not self.late or self.late_hazard is None:
            return
        in_force, rule = self.late_hazard
        for row in in_order.tolist():
            slot = int(reports.slot[row])
            open_one = self.late.get(slot)
            if open_one is None or slot in outcome.late:
                continue
            level = self.levels.get(open_one.of_rule)
            if level is not None:
                value = float(self._measure(level, reports.take(np.array([row])), outcome)[0])
                if np.isnan(value):
                    continue
                raised = value >= level.limits.reach[0]
                proof = self._proof(level, value, row, reports)
            else:
                raised, proof = False, {"ts_us": int(reports.ts_us[row]), "received_us": int(reports.received_us[row])}
            reason = Reason.newer_report_raised if raised else Reason.newer_report_normal
            outcome.late[slot] = None
            outcome.transitions.append(
                self._ended(
                    in_force,
                    slot,
                    reason,
                    Severity[rule.severity],
                    int(reports.ts_us[row]),
                    int(reports.received_us[row]),
                    proof,
                )
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
        for slot, late in outcome.late.items():
            if late is None:
                self.late.pop(slot, None)
            else:
                self.late[slot] = late
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
            outcome.late[slot] = None
        return outcome


def _sum_over(window: list[tuple[int, float]], until_us: int, span_us: int) -> float:
    """The sum of what fell in (until − span, until]."""
    first = bisect_right(window, (until_us - span_us, float("inf")))
    last = bisect_right(window, (until_us, float("inf")))
    return sum(amount for _, amount in window[first:last])


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
