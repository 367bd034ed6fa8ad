"""The hour, the light and the warmth of a simulated city, and by what timetable its lamps burn."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Daylight = Literal["clock", "night", "day"]

_DUSK_H, _DAWN_H = 18.5, 6.0
_DIM_FROM_H, _DIM_UNTIL_H = 23.0, 5.0
_DIMMED = 0.6
"""After 23:00 lamps burn at 60 % until 5:00 (proposed: half-night dimming as LED streets have it)."""
_MEAN_C, _SWING_C, _WARMEST_H = 24.0, 5.0, 15.0
"""A summer day of the rainy season in the north of Henan (from memory): 19 to 29 °C."""
_SHANGHAI_H = 8


def hour_of(epoch_ms: float) -> float:
    """Local time of day, 0 to 24."""
    return (epoch_ms / 3_600_000 + _SHANGHAI_H) % 24


def dark_at(hour: Floats, daylight: Daylight = "clock") -> Flags:
    if daylight != "clock":
        return np.full(hour.shape, daylight == "night")
    return np.asarray((hour >= _DUSK_H) | (hour < _DAWN_H))


def air_c_at(hour: Floats) -> Floats:
    return np.asarray(_MEAN_C + _SWING_C * np.cos((hour - _WARMEST_H) / 24 * 2 * np.pi))


def burning(hour: Floats, dark: Flags) -> Floats:
    """The share of its full light at which a lamp is told to burn."""
    dimmed = (hour >= _DIM_FROM_H) | (hour < _DIM_UNTIL_H)
    return np.asarray(np.where(dark, np.where(dimmed, _DIMMED, 1.0), 0.0))
