"""Silent: devices of which nothing has come for longer than their rule allows, and what ends that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alerts.judge.outcome import Outcome, RuleInForce, Transition
from alerts.judge.scoped import Scoped
from alerts.judge.transition import Proof
from alerts.rules import NoDataRule
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.reports import Reports

_FOR_EVER_US = np.iinfo(np.int64).max // 4


class Silent:
    """The no-data rule of a family over its devices."""

    def __init__(self, in_force: RuleInForce, rule: NoDataRule) -> None:
        self.scoped = Scoped(in_force, rule)
        self.offline = np.zeros(0, np.bool_)
        self._offline = 0

    def grow(self, slots: int) -> None:
        self.scoped.grow(slots)
        self.offline = np.concatenate([self.offline, np.zeros(slots - len(self.offline), np.bool_)])

    def put(self, slot: int, *, offline: bool) -> None:
        self._offline += int(offline) - int(self.offline[slot])
        self.offline[slot] = offline

    @property
    def slots(self) -> list[int]:
        """Who is offline."""
        return np.flatnonzero(self.offline).tolist() if self._offline else []

    def allowed_us(self, interval_s: NDArray[np.int32], slots: slice = slice(None)) -> NDArray[np.int64]:
        """How long each of these devices may be silent; `interval_s` is by slot."""
        scoped = self.scoped
        intervals = np.array([round(rule.intervals * 1e6) for rule in scoped.rules], np.int64)
        grace = np.array([round(rule.grace_s * 1e6) for rule in scoped.rules], np.int64)
        variant = scoped.variant_of[slots] if len(scoped) > 1 else 0
        allowed: NDArray[np.int64] = interval_s[slots] * intervals[variant] + grace[variant]
        if not all(scoped.enabled):
            allowed[~np.array(scoped.enabled)[variant]] = _FOR_EVER_US
        return allowed

    def begin(self, slot: int, device_key: int, since_us: int, until_us: int, outcome: Outcome) -> None:
        """It has sent nothing since then, longer than it may: it is offline."""
        proof: Proof = {"ts_us": since_us, "received_us": since_us, "field": "", "label": "最近上报"}
        outcome.offline[slot] = True
        outcome.transitions.append(
            Transition(
                SubjectKind.device,
                device_key,
                self.scoped.in_force_for(slot),
                Reason.no_data,
                Condition.normal,
                Condition.active,
                0,
                Severity[self.scoped.rule_for(slot).severity],
                until_us,
                until_us,
                proof,
            )
        )

    def end(self, reports: Reports, outcome: Outcome) -> None:
        """Who is heard is not silent, however old what it says."""
        if not self._offline:
            return
        for row in np.flatnonzero(self.offline[reports.slot]).tolist():
            slot = int(reports.slot[row])
            if slot in outcome.offline:
                continue
            outcome.offline[slot] = False
            received_us = int(reports.received_us[row])
            proof: Proof = {
                "ts_us": int(reports.ts_us[row]),
                "received_us": received_us,
                "field": "",
                "label": "恢复上报",
            }
            outcome.transitions.append(
                Transition(
                    SubjectKind.device,
                    int(reports.device_key[row]),
                    self.scoped.in_force_for(slot),
                    Reason.data_again,
                    Condition.active,
                    Condition.normal,
                    Severity[self.scoped.rule_for(slot).severity],
                    0,
                    received_us,
                    received_us,
                    proof,
                )
            )
