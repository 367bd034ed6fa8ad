"""A storm cell that crosses the city: round, strongest in its middle, moving straight at one speed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from simulators.rain.spread import Table
from simulators.scenario.model import CellRain

LOOKS_A_MINUTE = 12
DRY_BELOW_MM_H = 0.1


def crossing(rain: CellRain, gages: Mapping[str, tuple[float, float]], minutes: int) -> Table:
    """Half as strong at `width_m` from its middle as there; 2^-(distance/width)². The city's middle is that of the
    box around its gages."""
    places = np.array(list(gages.values()), dtype=np.float64).reshape(-1, 2)
    if not len(places):
        return np.zeros((minutes + 1, 0))
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    comes_from = math.radians(rain.from_deg)
    heading = -np.array([math.sin(comes_from), math.cos(comes_from)])
    looks = (np.arange((minutes + 1) * LOOKS_A_MINUTE) + 0.5) * 60 / LOOKS_A_MINUTE
    cell = middle + (looks - rain.over_middle)[:, None] * rain.speed_m_s * heading
    away_2 = ((cell[:, None, :] - places[None, :, :]) ** 2).sum(axis=2)
    seen = rain.mm_h * np.exp2(-away_2 / rain.width_m**2)
    means: Table = seen.reshape(minutes + 1, LOOKS_A_MINUTE, len(places)).mean(axis=1)
    return np.where(means < DRY_BELOW_MM_H, 0.0, means)
