"""Late: a hazard that only a late report shows is put to an operator, until the device itself has answered."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from alerts.judge.levels import Level
from alerts.judge.outcome import Outcome, RuleInForce, Transition
from alerts.judge.scoped import Scoped
from alerts.judge.transition import Proof
from alerts.rules import LateHazardRule
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.reports import Reports

Floats = NDArray[np.float64]


class Late:
    """The late-hazard rule of a family. `asked`: by slot, the rules whose hazards nobody has answered."""

    def __init__(self, in_force: RuleInForce, rule: LateHazardRule) -> None:
        self.scoped = Scoped(in_force, rule)
        self.asked: dict[int, frozenset[str]] = {}

    @property
    def of_at_least(self) -> Severity:
        return Severity[self.scoped.rules[0].of_at_least]

    def put(self, slot: int, rules: frozenset[str]) -> None:
        if rules:
            self.asked[slot] = rules
        else:
            self.asked.pop(slot, None)

    def ask(self, outcome: Outcome, device_key: NDArray[np.int64]) -> None:
        """Raise what late reports alone have shown; while it is open, what others of them show joins it."""
        for found in outcome.late_found:
            slot = found.slot
            asked = outcome.late.get(slot, self.asked.get(slot, frozenset()))
            if found.of_rule in asked or not self.scoped.applies(slot):
                continue
            outcome.late[slot] = asked | {found.of_rule}
            severity = Severity[self.scoped.rule_for(slot).severity]
            outcome.transitions.append(
                Transition(
                    SubjectKind.device,
                    int(device_key[slot]),
                    self.scoped.in_force_for(slot),
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

    def answer(
        self,
        reports: Reports,
        in_order: NDArray[np.intp],
        measures: Mapping[str, Floats],
        levels: Mapping[str, Level],
        outcome: Outcome,
    ) -> None:
        """A newer report answers what late ones have asked, rule by rule; the last answer ends the late hazard. A rule
        that is not in force any more is answered by any report."""
        if not self.asked:
            return
        for row in in_order.tolist():
            slot = int(reports.slot[row])
            asked = outcome.late.get(slot, self.asked.get(slot, frozenset()))
            answered = sorted(name for name in asked if name not in levels or _says(measures.get(name), row))
            if answered:
                outcome.late[slot] = asked.difference(answered)
                if not outcome.late[slot]:
                    self._end(row, answered, reports, measures, levels, outcome)

    def _end(
        self,
        row: int,
        answered: list[str],
        reports: Reports,
        measures: Mapping[str, Floats],
        levels: Mapping[str, Level],
        outcome: Outcome,
    ) -> None:
        slot, at_us, received_us = int(reports.slot[row]), int(reports.ts_us[row]), int(reports.received_us[row])
        proof: Proof = {"ts_us": at_us, "received_us": received_us}
        reason = Reason.newer_report_normal
        for level in (levels[name] for name in answered if name in levels):
            value = float(measures[level.rule.rule_id][row])
            proof = level.proof(slot, value, row, reports)
            if value >= level.limits_for(slot).reach[0]:
                reason = Reason.newer_report_raised
        outcome.transitions.append(
            Transition(
                SubjectKind.device,
                int(reports.device_key[row]),
                self.scoped.in_force_for(slot),
                reason,
                Condition.active,
                Condition.normal,
                Severity[self.scoped.rule_for(slot).severity],
                0,
                at_us,
                received_us,
                proof,
            )
        )


def _says(measure: Floats | None, row: int) -> bool:
    return measure is not None and not np.isnan(measure[row])
