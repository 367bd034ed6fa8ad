"""What is so at one moment of a run: the rain, and what is wrong. For whoever looks on while it is played."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from simulators.hydraulics.hydrographs import Hydrographs
from simulators.truth import HAZARD_LABELS, Lie, TrueHazard, Truth

LYING = "传感或通信异常"


@dataclass(frozen=True)
class Now:
    """`wrong`: how many of each kind, by its Chinese name, the gravest kinds first."""

    at_ms: int
    rain_mm_h: float = 0.0
    fallen_mm: float = 0.0
    wrong: dict[str, int] = field(default_factory=dict)


class Chronicle:
    """`at` tells what is so then; rain is the mean of all gages."""

    def __init__(self, hydrographs: Hydrographs, truth: Truth) -> None:
        self._rain = hydrographs.rain_mm_h.mean(axis=1) if hydrographs.gages else None
        self._step_s = hydrographs.step_s
        self._truth = truth

    def at(self, at_s: float) -> Now:
        at_ms = self._truth.begins_ms + round(at_s * 1000)
        wrong = Counter(HAZARD_LABELS[hazard.kind] for hazard in self._truth.hazards if _lasts(hazard, at_ms))
        lying = sum(_lasts(lie, at_ms) for lie in self._truth.lies)
        named = {label: wrong[label] for label in HAZARD_LABELS.values() if wrong[label]}
        if lying:
            named[LYING] = lying
        if self._rain is None:
            return Now(at_ms, wrong=named)
        step = min(int(max(at_s, 0.0) / self._step_s), len(self._rain) - 1)
        fallen_mm = float(self._rain[: step + 1].sum()) * self._step_s / 3600
        return Now(at_ms, float(self._rain[step]), fallen_mm, named)


def _lasts(one: TrueHazard | Lie, at_ms: int) -> bool:
    return one.begins_ms <= at_ms and (one.ends_ms is None or at_ms < one.ends_ms)
