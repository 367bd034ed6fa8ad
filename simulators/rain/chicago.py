"""Design storms after Keifer and Chu (Chicago) from a city's own storm intensity formula.

The formula gives the mean intensity of the worst t minutes, i(t) = a / (t + b)^n, so that their depth is
H(t) = a t / (t + b)^n. The storm is that of which the t minutes around the peak (r of them before it) hold H(t) for
every t. Its instantaneous intensity is dH/dt: a[(1 - n)t/r + b] / (t/r + b)^(1 + n) at t before the peak, and with
1 - r after it.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from simulators.rain.spread import Fallen, RainError, Table

MM_MIN_PER_L_S_HA = 0.006
"""A litre a second on a hectare: 10^-7 m/s."""
_SITES = Path(__file__).with_name("sites.yaml")


class Site(BaseModel):
    """q = a (1 + c lg P) / (t + b)^n, or a P^m / (t + b)^n where `m` is given; a is 167 A1, q in L/(s·ha)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    city: str
    a: float = Field(gt=0)
    c: float | None = Field(None, ge=0)
    m: float | None = Field(None, ge=0)
    b: float = Field(gt=0)
    n: float = Field(gt=0, lt=1)
    mark: Literal["R", "M", "P"]
    source: str = Field(min_length=10)

    @model_validator(mode="after")
    def _one_form(self) -> Site:
        if (self.c is None) == (self.m is None):
            raise ValueError(f"{self.city}: one of c and m is wanted")
        return self

    def strength(self, period_years: float) -> float:
        """a of i(t), in mm/min."""
        if self.m is not None:
            return self.a * MM_MIN_PER_L_S_HA * float(period_years**self.m)
        growth = 1 + (self.c or 0.0) * math.log10(period_years)
        if growth <= 0:
            raise RainError(
                f"{self.city}: period_years {period_years:g} is so short that its formula has no rain for it"
            )
        return self.a * MM_MIN_PER_L_S_HA * growth

    def depth_mm(self, period_years: float, minutes: Table) -> Table:
        """H(t): what falls in the worst `minutes` of so many years."""
        depth: Table = self.strength(period_years) * minutes / np.power(minutes + self.b, self.n)
        return depth


class _Sites(RootModel[dict[str, Site]]):
    pass


@cache
def sites() -> dict[str, Site]:
    try:
        return _Sites.model_validate(yaml.safe_load(_SITES.read_text(encoding="utf-8"))).root
    except ValidationError as error:
        raise RainError(f"{_SITES.name}: {error}") from error


def site_named(name: str) -> Site:
    site = sites().get(name)
    if site is None:
        raise RainError(f"site: {name!r} is none of {', '.join(sorted(sites()))}")
    return site


def design_storm(site: Site, period_years: float, minutes: float, peak_at: float) -> Fallen:
    """What has fallen of a storm of `minutes` whose peak comes after the share `peak_at` of it."""
    peak = peak_at * minutes

    def fallen(at: Table) -> Table:
        at = np.clip(at, 0, minutes)
        before = peak_at * site.depth_mm(period_years, np.maximum(peak - at, 0) / peak_at)
        after = (1 - peak_at) * site.depth_mm(period_years, np.maximum(at - peak, 0) / (1 - peak_at))
        all_before = peak_at * site.depth_mm(period_years, np.asarray(float(minutes)))
        return all_before - before + after

    return fallen
