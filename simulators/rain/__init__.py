"""Rain over a network's gages, minute by minute, from what a scenario says of it: between the scenario and SWMM.

Row k is the mean intensity of the minute that begins k minutes after the run. Several rains fall together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from simulators.hydraulics.hydrographs import Series
from simulators.rain.cell import crossing
from simulators.rain.chicago import design_storm, site_named
from simulators.rain.record import recorded
from simulators.rain.spread import RainError, Table, spread
from simulators.rain.written import written
from simulators.scenario.model import CellRain, ChicagoRain, CsvRain, NoRain, Rain, RecordRain, UniformRain

__all__ = ["RainError", "hyetographs"]

Gages = Mapping[str, tuple[float, float]]
"""Where each gage stands, in metres east and north of anywhere."""


def hyetographs(rains: Sequence[Rain], gages: Gages, seconds: float, folder: Path) -> Series:
    """Intensities in mm/h, (minutes + 1, gages), columns in the order of `gages`; `folder`: where the scenario's own
    files stand."""
    minutes = math.ceil(seconds / 60)
    if minutes < 1:
        raise RainError(f"seconds: {seconds:g}, but rain is told minute by minute")
    fallen = np.zeros((minutes + 1, len(gages)))
    for rain in rains:
        fallen += _one(rain, gages, minutes, folder)
    return fallen.astype(np.float32)


def _one(rain: Rain, gages: Gages, minutes: int, folder: Path) -> Table:
    match rain:
        case NoRain():
            return np.zeros((minutes + 1, len(gages)))
        case UniformRain():
            length_min, per_min = float(rain.minutes), rain.mm_h / 60
            return spread(lambda at: np.clip(at, 0, length_min) * per_min, rain.begins, minutes, len(gages))
        case ChicagoRain():
            storm = design_storm(site_named(rain.site), rain.period_years, rain.minutes, rain.peak_at)
            return spread(storm, rain.begins, minutes, len(gages))
        case RecordRain():
            return spread(recorded(rain.event), rain.begins, minutes, len(gages)) * rain.scale
        case CsvRain():
            return written(folder / rain.file, tuple(gages), rain.begins, minutes)
        case CellRain():
            return crossing(rain, gages, minutes)
