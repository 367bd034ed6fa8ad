"""A rule with levels over all the devices of its family: its limits made comparable, and what it remembers of each.

Nearly every report changes nothing: `judge` finds by NumPy those that may, and only their devices' reports go one by
one through `transition`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alerts.judge.flapping import CALM
from alerts.judge.outcome import Flapping, LateFound, RuleInForce, Transition
from alerts.judge.scoped import Scoped
from alerts.judge.transition import (
    NORMAL,
    Change,
    Changes,
    Flapped,
    Limits,
    Proof,
    Sample,
    State,
    due_us,
    fitted,
    on_sample,
    on_silence,
)
from alerts.judge.watch import BUSY, Codes, Watch
from alerts.rules import JudgedRule, LevelRule
from underfoot.alarms import Severity, SubjectKind
from underfoot.reports import Reports

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass
class Judgement:
    """What one rule makes of one batch, or of a silence."""

    states: dict[int, State] = field(default_factory=dict)
    changes: list[tuple[int, Change]] = field(default_factory=list)
    """With their slots, in their order."""
    flapping: list[Flapping] = field(default_factory=list)
    late_found: list[LateFound] = field(default_factory=list)


def comparable(rule: JudgedRule) -> Limits:
    reach = [rule.sign * level.limit for level in rule.levels]
    return Limits(
        reach=tuple(reach),
        leave=tuple(limit - level.dead_band for limit, level in zip(reach, rule.levels, strict=True)),
        severity=tuple(level.rank for level in rule.levels),
        on_delay_us=tuple(int(level.on_delay_s * 1e6) for level in rule.levels),
        samples=tuple(level.samples for level in rule.levels),
        off_delay_us=int(rule.off_delay_s * 1e6),
        off_samples=rule.off_samples,
        by_silence=rule.proof == "silence",
        calm_us=int(rule.calms_after_s * 1e6),
    )


class Level:
    """`place` is its column of the watch."""

    def __init__(self, in_force: RuleInForce, rule: JudgedRule, watch: Watch, place: int) -> None:
        self.rule = rule
        self.scoped = Scoped(in_force, rule)
        self.limits = [comparable(one) for one in self.scoped.rules]
        """By variant."""
        self.states: dict[int, State] = {}
        self.unsettled: set[int] = set()
        """Slots with something on its way."""
        self.flapping: set[int] = set()
        self._watch = watch
        self._place = place
        # By variant and code of the watch: from where on, and below what, a value matters.
        self._up = np.full((len(self.limits), BUSY + 1), np.inf)
        self._down = np.full((len(self.limits), BUSY + 1), -np.inf)
        self._up[:, BUSY] = -np.inf
        for variant, limits in enumerate(self.limits):
            self._up[variant, : len(limits.reach)] = limits.reach
            self._down[variant, 1 : len(limits.leave) + 1] = limits.leave

    def limits_for(self, slot: int) -> Limits:
        return self.limits[self.scoped.variant(slot)]

    def put(self, slot: int, state: State) -> None:
        state = fitted(state, len(self.limits_for(slot).reach))
        self._watch.codes[slot, self._place] = state.level if state.settled and state.history == CALM else BUSY
        (self.unsettled.discard if state.settled else self.unsettled.add)(slot)
        (self.flapping.add if state.history.flapping else self.flapping.discard)(slot)
        if state == NORMAL:
            self.states.pop(slot, None)
        else:
            self.states[slot] = state

    def severity(self, slot: int, level: int) -> int:
        return self.limits_for(slot).severity[level - 1] if level else 0

    @property
    def worst(self) -> Severity:
        """The highest severity it can come to, anywhere."""
        return Severity(max(limits.severity[-1] for limits in self.limits))

    # a batch --------------------------------------------------------------------------------------------------------

    def judge(
        self,
        measure: Floats,
        reports: Reports,
        codes: Codes,
        in_order: Rows,
        late: NDArray[np.bool_],
        asking: LateAsking | None,
    ) -> Judgement | None:
        """None: this batch changes nothing. `measure` is what each report says for this rule, larger being worse, NaN
        where that is unknown; `codes` are the watch's rows of the reports."""
        code = codes[:, self._place]
        if len(self.limits) == 1:
            up, down = self._up[0][code], self._down[0][code]
        else:
            variant = self.scoped.variant_of[reports.slot]
            up, down = self._up[variant, code], self._down[variant, code]
        matters = (measure >= up) | (measure < down)
        if not matters.any():
            return None
        judgement = Judgement()
        slots = reports.slot
        moving = np.isin(slots, slots[matters & ~late]) & ~np.isnan(measure) & ~late
        for row in in_order[moving[in_order]].tolist():
            self._step(int(slots[row]), float(measure[row]), row, reports, judgement)
        if asking is not None and self.worst >= asking.of_at_least:
            for row in np.flatnonzero(matters & late).tolist():
                self._find_late(float(measure[row]), row, reports, asking, judgement)
        return judgement

    def _step(self, slot: int, value: float, row: int, reports: Reports, judgement: Judgement) -> None:
        state = self._state(slot, judgement)
        proof = self.proof(slot, value, row, reports)
        sample = Sample(value, int(reports.ts_us[row]), int(reports.received_us[row]), proof)
        after, changes = on_sample(self.limits_for(slot), state, sample)
        if after != state:
            judgement.states[slot] = after
        self._note(slot, changes, judgement)

    def _find_late(self, value: float, row: int, reports: Reports, asking: LateAsking, judgement: Judgement) -> None:
        slot = int(reports.slot[row])
        reached = bisect_right(self.limits_for(slot).reach, value)
        if asking.backlog[row] or self._state(slot, judgement).level:
            return
        if self.severity(slot, reached) >= asking.of_at_least:
            proof = self.proof(slot, value, row, reports) | {"of_rule": self.rule.rule_id}
            judgement.late_found.append(LateFound(slot, self.rule.rule_id, proof))

    def _state(self, slot: int, judgement: Judgement) -> State:
        return judgement.states.get(slot) or self.states.get(slot, NORMAL)

    def _note(self, slot: int, changes: Changes, judgement: Judgement) -> None:
        for change in changes:
            if isinstance(change, Flapped):
                judgement.flapping.append(Flapping(slot, self.rule.rule_id, change))
            else:
                judgement.changes.append((slot, change))

    def transition(self, slot: int, device_key: int, change: Change) -> Transition:
        return Transition(
            SubjectKind.device,
            device_key,
            self.scoped.in_force_for(slot),
            change.reason,
            change.before,
            change.after,
            self.severity(slot, change.level_before),
            self.severity(slot, change.level),
            change.at_us,
            change.received_us,
            change.proof,
        )

    def proof(self, slot: int, value: float, row: int, reports: Reports) -> Proof:
        """The reading as it was, in the words and the unit in which the rule judges it; a value that only says that
        the rule does not apply, or that nothing is to come, is shown as the field's own."""
        rule = self.scoped.rule_for(slot)
        column, states = rule.column, rule.states if isinstance(rule, LevelRule) else ()
        raw = float(reports.columns[column.name][row])
        limit: float | None = rule.levels[max(bisect_right(self.limits_for(slot).reach, value), 1) - 1].limit
        label, unit = rule.shown_as
        shown = rule.sign * value
        if states:
            limit, shown = (float(states[0]) if len(states) == 1 else None), raw
        elif not np.isfinite(value):
            label, unit, shown = column.label, column.unit, raw
            limit = limit if isinstance(rule, LevelRule) else None
        proof: Proof = {
            "ts_us": int(reports.ts_us[row]),
            "received_us": int(reports.received_us[row]),
            "field": column.name,
            "label": label,
            "unit": unit,
            "value": None if np.isnan(shown) else round(float(shown), 4),
            "limit": limit,
            "values": reports.values[row],
        }
        scope = self.scoped.scopes[self.scoped.variant(slot)]
        return proof if scope.kind == "city" else proof | {"scope": str(scope)}

    # silence --------------------------------------------------------------------------------------------------------

    def judge_silence(self, until_us: int) -> Judgement:
        """What is proven by nothing contrary having come until then (server's clock, all committed by then)."""
        judgement = Judgement()
        for slot in sorted(self.unsettled | self.flapping):
            state, limits = self.states[slot], self.limits_for(slot)
            due = due_us(limits, state)
            if due is not None and due <= until_us:
                judgement.states[slot], changes = on_silence(limits, state, until_us)
                self._note(slot, changes, judgement)
        return judgement

    @property
    def waits_for_silence(self) -> bool:
        return bool(self.unsettled) and any(limits.by_silence for limits in self.limits)


@dataclass(frozen=True)
class LateAsking:
    """Which late hazards an operator is to be asked about. `backlog`: reports whose own count says that they are old,
    not that a clock is wrong; those are judged again in their place."""

    of_at_least: Severity
    backlog: NDArray[np.bool_]
