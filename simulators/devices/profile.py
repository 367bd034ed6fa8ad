"""What every device's behaviour has in common: its surroundings, noise, and the step of its sensors.

Ordinary values, noise included, stay clear of every limit of the shipped rules, so that what a fleet raises is what a
scenario scripts. A scenario forces quantities; the profile derives what depends on them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import ClassVar

from simulators.roster import RosterDevice
from underfoot.families import FAMILIES

Value = float | int | bool
Forced = Mapping[str, float]
"""Quantities that a hazard dictates now, by field; a state is 0 or 1."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around every device at a moment. `strength` of the storm is 0 to 1, `fallen` the share of its
    rain that is down, `fallen_per_h` how fast that grows."""

    strength: float = 0.0
    fallen: float = 0.0
    dark: bool = False
    fallen_per_h: float = 0.0


DRY = Surroundings()


class Profile(ABC):
    """One device's physics. `random` is the fleet's own, drawn from in a fixed order."""

    __slots__ = ("device", "random")

    wet_interval: ClassVar[float] = 1.0
    """Its interval in rain, as a share of the dry one."""

    def __init__(self, device: RosterDevice, random: Random) -> None:
        self.device = device
        self.random = random

    def report(self, around: Surroundings, forced: Forced, elapsed_s: float) -> dict[str, Value]:
        """Its values now, `elapsed_s` after its previous report, as its sensors show them."""
        return as_sensed(self.device.family, self.measure(around, forced, elapsed_s))

    @abstractmethod
    def measure(self, around: Surroundings, forced: Forced, elapsed_s: float) -> dict[str, Value]:
        """Its values now, unrounded."""

    def noise(self, most: float) -> float:
        """Noise that never exceeds `most`: a bell would, once in a long run, cross a limit."""
        return self.random.uniform(-most, most)


def as_sensed(family: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """Values in the sensors' resolution, inside their range."""
    steps = _steps(family)
    shown: dict[str, Value] = {}
    for name, value in values.items():
        step = steps[name]
        if step is None:
            shown[name] = value
        else:
            low, high, digits = step
            rounded = round(min(max(value, low), high), digits)
            shown[name] = rounded if digits else int(rounded)
    return shown


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
