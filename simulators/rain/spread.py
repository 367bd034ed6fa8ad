"""From what has fallen until a moment to the mean intensity of every minute: what all kinds of rain end in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]
Fallen = Callable[[Table], Table]
"""Millimetres that have fallen until so many minutes after the rain began; before it and after it, too."""


class RainError(Exception):
    """What a scenario asks for that no rain can be made from."""


def minute_means(fallen: Fallen, begins_s: float, minutes: int) -> Table:
    """mm/h in every minute from 0 to `minutes`, by differences: so no minute loses or gains what fell in it."""
    marks = np.arange(minutes + 2, dtype=np.float64) - begins_s / 60
    means: Table = np.diff(fallen(marks)) * 60
    return means


def spread(fallen: Fallen, begins_s: float, minutes: int, gages: int) -> Table:
    """The same rain on every gage."""
    return np.repeat(minute_means(fallen, begins_s, minutes)[:, None], gages, axis=1)
