"""A level rule over all the devices of its family: its limits made comparable, and what it remembers of each device."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alerts.outcome import RuleInForce
from alerts.rules import LevelRule
from alerts.transition import NORMAL, Limits, State

Floats = NDArray[np.float64]


class Level:
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
        self.unsettled: set[int] = set()
        """Slots with something on its way; `busy` says the same by slot."""

    def grow(self, slots: int) -> None:
        more = slots - len(self.level)
        self.level = np.concatenate([self.level, np.zeros(more, np.int8)])
        self.busy = np.concatenate([self.busy, np.zeros(more, np.bool_)])

    def put(self, slot: int, state: State) -> None:
        self.level[slot] = state.level
        self.busy[slot] = not state.settled
        (self.unsettled.discard if state.settled else self.unsettled.add)(slot)
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
