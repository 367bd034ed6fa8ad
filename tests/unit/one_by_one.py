"""The evaluator by the words of its rules: each report by itself, with all that came before it kept."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from typing import Any

import numpy as np

from alerts.judge.transition import NORMAL, Flapped, Limits, Sample, State, on_sample
from alerts.rules import (
    ForecastRule,
    JudgedRule,
    LevelRule,
    MismatchRule,
    RateRule,
    SlopeRule,
    parse_rule,
)
from tests.unit.batches import SECOND, One


class OneByOne:
    """Each report by itself, in the order of arrival; no arrays, no look at other devices."""

    def __init__(self, family: str, bodies: list[dict[str, Any]], baseline: dict[int, float]) -> None:
        self.rules: list[tuple[JudgedRule, Limits]] = []
        for body in bodies:
            rule = parse_rule({"title": "题", "source": "a test", "family": family} | body)
            assert isinstance(rule, JudgedRule)
            self.rules.append((rule, comparable(rule)))
        self.flaps: list[tuple[int, str, bool, int]] = []
        self.samples: dict[tuple[int, str], list[tuple[int, float]]] = defaultdict(list)
        self.baseline = baseline
        self.newest: dict[int, int] = {}
        self.states: dict[tuple[str, int], State] = defaultdict(lambda: NORMAL)
        self.fallen: dict[int, list[tuple[int, float]]] = defaultdict(list)
        self.seen: list[tuple[Any, ...]] = []

    def take(self, one: One) -> None:
        if one.values.get("amount_mm") is not None:
            self.fallen[one.slot].append((one.ts_us, one.values["amount_mm"]))
        if one.ts_us < self.newest.get(one.slot, one.ts_us) and not one.substituted:
            return
        self.newest[one.slot] = one.ts_us
        for name, said in one.values.items():
            if said is not None:
                self.samples[one.slot, name].append((one.ts_us, float(said)))
        for rule, limits in self.rules:
            value = self.measure(rule, one)
            if value is None:
                continue
            key = rule.rule_id, one.slot
            self.states[key], changes = on_sample(
                limits, self.states[key], Sample(value, one.ts_us, one.received_us, {})
            )
            for change in changes:
                if isinstance(change, Flapped):
                    self.flaps.append((one.slot, rule.rule_id, change.began, change.at_us))
                    continue
                severities = [level.rank for level in rule.levels]
                before = severities[change.level_before - 1] if change.level_before else 0
                after = severities[change.level - 1] if change.level else 0
                self.seen.append(
                    (one.slot, rule.rule_id, change.reason, change.before, change.after, before, after, change.at_us)
                )

    def measure(self, rule: JudgedRule, one: One) -> float | None:
        """None: unknown, which freezes."""
        commanded = rule.commanded if isinstance(rule, MismatchRule) else {}
        for name, wanted in (commanded | rule.when).items():
            if one.values.get(name) is None:
                return None
            if one.values[name] != wanted:
                return -math.inf
        if any(one.values.get(name) == unwanted for name, unwanted in rule.unless.items()):
            return -math.inf
        value = one.values.get(rule.field)
        if value is None:
            return None
        match rule:
            case LevelRule():
                value = self._level(rule, one, float(value))
            case MismatchRule():
                value = 100 * value / (self.baseline.get(one.slot) or rule.rated)
            case RateRule():
                value = self._rate(rule, one)
            case ForecastRule():
                value = self._minutes(rule, one, float(value))
        return None if value is None else float(value if rule.looks == "above" else -value)

    def _level(self, rule: LevelRule, one: One, value: float) -> float | None:
        if rule.equals is not None:
            return float(value in rule.states)
        if rule.sum_over_s is not None:
            since = one.ts_us - int(rule.sum_over_s * SECOND)
            return math.fsum(amount for at, amount in self.fallen[one.slot] if since < at <= one.ts_us)
        if rule.mean_over_s is not None:
            return self._mean(rule, rule.mean_over_s, one)
        if rule.against_baseline == "rise":
            return value - self.baseline[one.slot] if one.slot in self.baseline else None
        if rule.worst_from is not None and value >= rule.worst_from:
            return max(rule.levels[-1].limit, abs(value - self.baseline.get(one.slot, 0.0)))
        return abs(value - self.baseline.get(one.slot, 0.0)) if rule.against_baseline else value

    def _mean(self, rule: LevelRule, over_s: float, one: One) -> float | None:
        """Of the means of the parts up to the report's; nothing is kept of what lies further before the newest."""
        part_us = int(over_s * SECOND) // 24
        by_part: dict[int, list[float]] = defaultdict(list)
        newest = -1
        for at, amount in self.fallen[one.slot]:  # as they came
            newest = max(newest, at // part_us)
            if at // part_us > newest - 24:
                by_part[at // part_us].append(amount)
        counting = [values for part, values in by_part.items() if newest - 24 < part <= one.ts_us // part_us]
        if len(counting) < rule.mean_of_parts:
            return None
        return statistics.fmean(statistics.fmean(values) for values in counting)

    def line(self, rule: SlopeRule, slot: int, part: int = 1) -> tuple[float, int, float] | None:
        """Change a second, samples, seconds: by the straight line through what counts of the samples; or through the
        last `part` of the span."""
        unbroken: list[tuple[int, float]] = []
        for at_us, value in self.samples[slot, rule.field]:
            if unbroken and not 0 <= at_us - unbroken[-1][0] <= 2 * INTERVAL_S * SECOND:
                unbroken = []
            unbroken.append((at_us, value))
        bucket_us = int(rule.over_s * SECOND) // 7
        last_of_each = {at_us // bucket_us: (at_us, value) for at_us, value in unbroken}
        newest_us = unbroken[-1][0]
        counts = [
            (at_us, value)
            for place, (at_us, value) in enumerate(last_of_each.values())
            if newest_us - at_us <= int(rule.over_s * SECOND) // part or place >= len(last_of_each) - 2
        ]
        seconds = [(at_us - newest_us) / SECOND for at_us, _ in counts]
        if len(set(seconds)) < 2:
            return None
        values = [float(np.float32(value)) for _, value in counts]
        return statistics.linear_regression(seconds, values).slope, len(counts), -seconds[0]

    def _rate(self, rule: RateRule, one: One) -> float | None:
        line = self.line(rule, one.slot)
        if line is None or line[2] < rule.at_least_s:
            return None
        change = line[0] * rule.per_s
        return change if line[1] >= rule.samples or rule.sign * change < rule.sign * rule.levels[0].limit else None

    def _minutes(self, rule: ForecastRule, one: One, value: float) -> float | None:
        line = self.line(rule, one.slot)
        if line is None or line[2] < rule.at_least_s:
            return None
        towards = 1 if rule.by == "rising" else -1
        lately = self.line(rule, one.slot, part=4)
        assert lately is not None
        a_minute = min(towards * line[0], towards * lately[0]) * 60
        if a_minute <= rule.noise_per_min:
            return math.inf
        return max(towards * (rule.to - value), 0.0) / a_minute if line[1] >= rule.samples else None


INTERVAL_S = 100
"""What the test's devices are expected to report in."""


def comparable(rule: JudgedRule) -> Limits:
    sign = 1 if rule.looks == "above" else -1
    return Limits(
        reach=tuple(sign * level.limit for level in rule.levels),
        leave=tuple(sign * level.limit - level.dead_band for level in rule.levels),
        severity=tuple(level.rank for level in rule.levels),
        on_delay_us=tuple(int(level.on_delay_s * SECOND) for level in rule.levels),
        samples=tuple(level.samples for level in rule.levels),
        off_delay_us=int(rule.off_delay_s * SECOND),
        off_samples=rule.off_samples,
        by_silence=rule.proof == "silence",
        calm_us=int(rule.calms_after_s * SECOND),
    )
