"""What every family's devices have in common: sites and chance in columns, and sensors that show steps within a range.

A profile stands for all devices of one family: what around them is, in columns, becomes what they say, in columns. A
report alone is a column of one. Ordinary values, noise included, stay clear of every limit of the shipped rules in
ordinary weather: what a fleet raises is what really happens in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simulators.devices.chance import Floats, bell, between, keys_of, moments_of
from simulators.devices.sightings import Sightings
from simulators.site import Site
from underfoot.families import FAMILIES

Columns = dict[str, NDArray[Any]]


class Profile(ABC):
    """The physics of a family, over so many sites."""

    family: ClassVar[str]
    heeds: ClassVar[frozenset[str]] = frozenset()
    """Fields that its physics start from, where they are forced."""
    steady: ClassVar[frozenset[str]] = frozenset()
    """Fields that are no measurements: what it was told, what it counts, what it says of itself. A sensor that is stuck
    leaves them alone."""

    def __init__(self, sites: Sequence[Site], seed: int) -> None:
        self.sites = sites
        self.keys = keys_of(seed, [site.device.device_id for site in sites])
        self.shaft_m = np.array([site.rim_m - site.invert_m for site in sites], np.float64)
        self.zero_m = np.array([site.zero_m for site in sites], np.float64)
        self.diameter_m = np.array([site.diameter_m for site in sites], np.float64)

    @abstractmethod
    def measure(self, seen: Sightings) -> Columns:
        """What its sensors would show, unrounded; NaN where one shows nothing."""

    @classmethod
    def measured_fields(cls) -> list[str]:
        """The quantities that its sensors measure."""
        return [
            column.name
            for column in FAMILIES[cls.family].columns
            if column.resolution is not None and column.name not in cls.steady
        ]

    def trait(self, purpose: str, low: float, high: float) -> Floats:
        """What each device has for good, by unit."""
        return between(self.keys, purpose, low, high)

    def noise(self, seen: Sightings, purpose: str, most: float) -> Floats:
        return bell(self.keys[seen.unit], purpose, moments_of(seen.at_s)) * most


def as_sensed(family: str, measured: Mapping[str, NDArray[Any]]) -> Columns:
    """Measured columns in the sensors' resolution, inside the family's range."""
    steps = _steps(family)
    shown: Columns = {}
    for name, values in measured.items():
        step = steps[name]
        if step is None:
            shown[name] = values
            continue
        low, high, decimals = step
        scale = 10.0**decimals
        stepped = np.rint(np.clip(values, low, high) * scale)
        shown[name] = stepped / scale if decimals else stepped.astype(np.int64)
    return shown


def rows_of(shown: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Each report's values, without what its sensors could not show."""
    names = tuple(shown)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(shown[name].tolist() for name in names), strict=True)]
    for name, values in shown.items():
        if values.dtype.kind == "f":
            for row in np.flatnonzero(np.isnan(values)).tolist():
                del rows[row][name]
    return rows


@cache
def _steps(family: str) -> dict[str, tuple[float, float, int] | None]:
    """Field → low, high, decimals; None for a state."""
    steps: dict[str, tuple[float, float, int] | None] = {}
    for column in FAMILIES[family].columns:
        if column.low is None or column.high is None or column.resolution is None:
            steps[column.name] = None
        else:
            decimals = len(f"{column.resolution:f}".rstrip("0").partition(".")[2])
            steps[column.name] = (column.low, column.high, decimals)
    return steps
