"""The limits of truth: from which true value on something is a hazard. Read from limits.yaml, used by what_happened.

They say again what the shipped rules say, on purpose: truth is not to be computed by the engine that it judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from underfoot.alarms import Severity
from underfoot.plain_yaml import read_yaml

SeverityName = Literal["blue", "yellow", "orange", "red"]
Steps = tuple[tuple[int, float], ...]
"""Severity and its limit, from the first to the worst."""


def steps_of(levels: Mapping[SeverityName, float]) -> Steps:
    return tuple(sorted((Severity[name].value, limit) for name, limit in levels.items()))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str


class Levels(_Strict):
    """A value that is the worse the higher it is."""

    unit: str
    levels: dict[SeverityName, float]
    accuracy: float = Field(ge=0)
    lasts_s: float = Field(ge=0)
    merge_s: float = Field(ge=0)

    @property
    def steps(self) -> Steps:
        return steps_of(self.levels)

    @property
    def first(self) -> float:
        return self.steps[0][1]

    @property
    def floor(self) -> float:
        """Below it nothing is there, whoever says so."""
        return self.first - self.accuracy

    def severity(self, value: float) -> int:
        """What a value is worth for certain; 0: nothing."""
        return max((severity for severity, limit in self.steps if value >= limit + self.accuracy), default=0)


class Sum(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    over_s: int
    levels: dict[SeverityName, float]

    @property
    def steps(self) -> Steps:
        return steps_of(self.levels)


class RainLimits(_Strict):
    accuracy: float = Field(ge=0, lt=1)
    """As a share: a tipping bucket loses some of a downpour."""
    merge_s: float
    sums: tuple[Sum, ...]


class Patience(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    intervals: float
    grace_s: float

    def seconds(self, interval_s: float) -> float:
        """After how long without a report a device counts as silent."""
        return self.intervals * interval_s + self.grace_s


class OfOneSeverity(_Strict):
    severity: SeverityName

    @property
    def worth(self) -> int:
        return Severity[self.severity].value


class SilenceLimits(OfOneSeverity):
    families: dict[str, Patience]


class GatewayLimits(OfOneSeverity):
    share: float
    at_least: int
    intervals: float
    grace_s: float


class BlockageLimits(OfOneSeverity):
    high: dict[Literal["foul", "storm"], float]
    excess_m: float
    roughness_unknown: float
    manhole_loss: float
    pool_m: float
    lasts_s: float


class PumpFailedLimits(OfOneSeverity):
    lasts_s: float


class NoDropLimits(_Strict):
    over_s: int
    lasts_s: float


class LampFailedLimits(OfOneSeverity):
    intervals: float


class TrueLimits(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    road: Levels
    underpass: Levels
    rising: Levels
    overflow: Levels
    under_cover: Levels
    foul: Levels
    storm: Levels
    dry_foul: Levels
    dry_storm: Levels
    forebay_idle: Levels
    forebay: Levels
    tilt: Levels
    leakage: Levels
    touch_voltage: Levels
    rain: RainLimits
    silence: SilenceLimits
    gateway: GatewayLimits
    blockage: BlockageLimits
    pump_failed: PumpFailedLimits
    no_drop: NoDropLimits
    cover_open: OfOneSeverity
    vibration: OfOneSeverity
    lamp_failed: LampFailedLimits


@cache
def shipped_limits() -> TrueLimits:
    file = files("simulators.score") / "limits.yaml"
    document = read_yaml(file.read_bytes(), "simulators/score/limits.yaml", at_most=100_000)
    return TrueLimits.model_validate(document.value)
