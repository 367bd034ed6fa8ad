"""Measures: what each report says for a rule, by the rule's kind, as its limits see it.

NaN where that is unknown, which changes nothing; −∞ where the rule does not apply, or nothing of it is to come.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alerts.judge.levels import Level
from alerts.judge.means import KeptMeans, Mean, Means
from alerts.judge.scoped import Scoped
from alerts.judge.slopes import Kept, Slope, Slopes
from alerts.judge.sums import Sums, Window
from alerts.rules import ForecastRule, JudgedRule, LevelRule, MismatchRule, RateRule
from underfoot.reports import Reports

Floats = NDArray[np.float64]


AT_RIM = "fill_at_rim"
"""Among the baselines: how full the sewer is when its water is at the rim."""


class Measures:
    """What rules need beyond a report's own columns, over the devices of a family; `baseline` by field and slot, NaN
    where the ledger has none."""

    def __init__(self, rules: list[JudgedRule]) -> None:
        self.baseline: dict[str, Floats] = {
            rule.field: np.zeros(0)
            for rule in rules
            if isinstance(rule, MismatchRule) or (isinstance(rule, LevelRule) and rule.against_baseline)
        }
        if any(isinstance(rule, ForecastRule) and rule.to_rim for rule in rules):
            self.baseline[AT_RIM] = np.zeros(0)
        spans: dict[str, set[float]] = {}
        for rule in rules:
            if isinstance(rule, LevelRule) and rule.sum_over_s is not None:
                spans.setdefault(rule.field, set()).add(rule.sum_over_s)
        self.sums = {field: Sums(field, of_field) for field, of_field in spans.items()}
        self.slopes = {
            (rule.field, rule.over_s): Slopes(rule.field, rule.over_s)
            for rule in rules
            if isinstance(rule, RateRule | ForecastRule)
        }

        self.means = {
            (rule.field, rule.mean_over_s): Means(rule.field, rule.mean_over_s)
            for rule in rules
            if isinstance(rule, LevelRule) and rule.mean_over_s is not None
        }

    def grow(self, slots: int) -> None:
        for name, values in self.baseline.items():
            self.baseline[name] = np.concatenate([values, np.full(slots - len(values), np.nan)])
        for slopes in self.slopes.values():
            slopes.grow(slots)
        for means in self.means.values():
            means.grow(slots)


class Measuring:
    """One batch. What several rules need is found out once; `windows` and `kept` are what it leaves behind."""

    def __init__(
        self,
        measures: Measures,
        reports: Reports,
        in_turn: NDArray[np.intp],
        in_order: NDArray[np.intp],
        interval_s: NDArray[np.int32],
    ) -> None:
        self._measures = measures
        self._reports = reports
        self._in_turn = in_turn
        self._in_order = in_order
        self._interval_s = interval_s
        self._summed: dict[str, dict[float, Floats]] = {}
        self._slopes: dict[tuple[str, float], Slope] = {}
        self._means: dict[tuple[str, float], Mean] = {}
        self.windows: dict[tuple[str, int], Window] = {}
        self.kept: dict[tuple[str, float], Kept] = {}
        self.kept_means: dict[tuple[str, float], KeptMeans] = {}

    def of(self, level: Level) -> Floats:
        rule = level.rule
        match rule:
            case LevelRule():
                measure = self._level(rule, level.scoped)
            case MismatchRule():
                measure = self._mismatch(rule, level.scoped)
            case RateRule():
                measure = self._rate(rule, level)
            case ForecastRule():
                measure = self._forecast(rule, level.scoped)
            case _:
                raise TypeError(f"{rule.rule_id}: there is no measure for a {type(rule).__name__}")
        return self._guarded(rule, level.scoped, rule.sign * measure)

    def _level(self, rule: LevelRule, scoped: Scoped[JudgedRule]) -> Floats:
        value = self._reports.columns[rule.field]
        if rule.sum_over_s is not None:
            return self._sum(rule.field, rule.sum_over_s)
        if rule.mean_over_s is not None:
            found = self._mean(rule.field, rule.mean_over_s)
            return np.where(found.parts >= self._numbers(scoped, "mean_of_parts"), found.mean, np.nan)
        if rule.equals is not None:
            wanted = [float(state) for state in rule.states]
            return np.where(np.isnan(value), np.nan, np.isin(value, wanted).astype(np.float64))
        if not rule.against_baseline:
            return value
        baseline = self._measures.baseline[rule.field][self._reports.slot]
        if rule.against_baseline == "rise":
            return value - baseline
        away = np.abs(value - np.nan_to_num(baseline))
        if rule.worst_from is None:
            return away
        worst = [one.worst_from for one in scoped.rules if isinstance(one, LevelRule)]
        beyond = [np.inf if one is None else one for one in worst]
        worst_from = scoped.by_slot(beyond, self._reports.slot)
        last = scoped.by_slot([one.levels[-1].limit for one in scoped.rules], self._reports.slot)
        return np.where(value >= worst_from, np.maximum(away, last), away)

    def _mismatch(self, rule: MismatchRule, scoped: Scoped[JudgedRule]) -> Floats:
        baseline = self._measures.baseline[rule.field][self._reports.slot]
        rated = np.where(baseline > 0, baseline, self._numbers(scoped, "rated"))
        return 100.0 * self._reports.columns[rule.field] / rated

    def _rate(self, rule: RateRule, level: Level) -> Floats:
        """From too few samples nothing is reached; but that it is over two are enough to say."""
        slope = self._slope(rule)
        scoped = level.scoped
        change = slope.per_s * rule.per_s
        first = scoped.by_slot([limits.reach[0] for limits in level.limits], self._reports.slot)
        enough = slope.samples >= self._numbers(scoped, "samples")
        says = (slope.span_s >= self._numbers(scoped, "at_least_s")) & (enough | (rule.sign * change < first))
        return np.where(says, change, np.nan)

    def _forecast(self, rule: ForecastRule, scoped: Scoped[JudgedRule]) -> Floats:
        slope = self._slope(rule)
        towards = 1.0 if rule.by == "rising" else -1.0
        # What has come fast and stands now is not on its way any more: the slower of all of it and its last part.
        per_min = np.minimum(towards * slope.per_s, towards * slope.lately_per_s) * 60
        value, to = self._reports.columns[rule.field], self._numbers(scoped, "to")
        if rule.to_rim:
            at_rim = self._measures.baseline[AT_RIM][self._reports.slot]
            to = np.where(np.isnan(at_rim), to, at_rim)
        left = towards * (to - value)
        comes = per_min > self._numbers(scoped, "noise_per_min")
        enough = slope.samples >= self._numbers(scoped, "samples")
        with np.errstate(divide="ignore", invalid="ignore"):
            minutes = np.where(comes, np.maximum(left, 0) / per_min, np.inf)
        says = (slope.span_s >= self._numbers(scoped, "at_least_s")) & (enough | ~comes)
        found = np.where(says & ~np.isnan(per_min), minutes, np.nan)
        beyond = [one.beyond for one in scoped.rules if isinstance(one, ForecastRule)]
        if any(one is not None for one in beyond):
            from_here = scoped.by_slot(
                [-np.inf if one is None else towards * one for one in beyond], self._reports.slot
            )
            found = np.where(towards * value < from_here, np.inf, found)
        return found

    def _guarded(self, rule: JudgedRule, scoped: Scoped[JudgedRule], measure: Floats) -> Floats:
        columns = self._reports.columns
        for word in rule.guarding:
            for name, wanted in getattr(rule, word).items():
                if word == "unless":
                    measure = np.where(columns[name] == float(wanted), -np.inf, measure)
                else:
                    guard = columns[name]
                    measure = np.where(np.isnan(guard), np.nan, np.where(guard == float(wanted), measure, -np.inf))
        if not all(scoped.enabled):
            enabled = np.array(scoped.enabled)[scoped.variant_of[self._reports.slot]]
            measure = np.where(enabled, measure, -np.inf)
        return measure

    def _numbers(self, scoped: Scoped[JudgedRule], name: str) -> float | Floats:
        return scoped.by_slot([float(getattr(one, name)) for one in scoped.rules], self._reports.slot)

    def _sum(self, field: str, span_s: float) -> Floats:
        if field not in self._summed:
            self._summed[field], windows = self._measures.sums[field].judge(self._reports, self._in_turn)
            self.windows |= {(field, slot): window for slot, window in windows.items()}
        return self._summed[field][span_s]

    def _mean(self, field: str, over_s: float) -> Mean:
        key = field, over_s
        if key not in self._means:
            reports = self._reports
            self._means[key], self.kept_means[key] = self._measures.means[key].judge(
                reports.slot, reports.ts_us, reports.columns[field], self._in_turn
            )
        return self._means[key]

    def _slope(self, rule: RateRule | ForecastRule) -> Slope:
        key = rule.field, rule.over_s
        if key not in self._slopes:
            reports = self._reports
            self._slopes[key], self.kept[key] = self._measures.slopes[key].judge(
                reports.slot, reports.ts_us, reports.columns[rule.field], self._in_order, self._interval_s
            )
        return self._slopes[key]
