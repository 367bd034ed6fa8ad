"""Heavy rain: what really fell at a rain station, in the sums by which cities judge it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simulators.hydraulics.hydrographs import Hydrographs
from simulators.network.city import NetworkCity
from simulators.score.excursions import Values, runs
from simulators.score.limits import RainLimits, Steps
from simulators.score.sight import Sight
from simulators.score.thing import Thing

_HOUR_S = 3600


def heavy_rain(city: NetworkCity, hydrographs: Hydrographs, sight: Sight, limits: RainLimits) -> Iterator[Thing]:
    """One thing for each time in which any sum was beyond its first limit; its peak is the wettest hour's rain."""
    step_s = hydrographs.step_s
    columns = {name: column for column, name in enumerate(hydrographs.gages)}
    for site in city.sites:
        if site.device.family != "rain" or site.gage not in columns:
            continue
        fallen = fallen_mm(hydrographs.rain_mm_h[:, columns[site.gage]], step_s)
        hourly = fallen_within(fallen, _HOUR_S, step_s)
        heavy = np.zeros(len(fallen), np.bool_)
        almost = np.zeros(len(fallen), np.bool_)
        worth = np.zeros(len(fallen), np.int64)
        for one in limits.sums:
            total = fallen_within(fallen, one.over_s, step_s)
            first = one.steps[0][1]
            almost |= total >= first * (1 - limits.accuracy)
            heavy |= total >= first
            worth = np.maximum(worth, _worth(total, one.steps, limits.accuracy))
        for begin, end in runs(almost, join_below=limits.merge_s / step_s):
            over = np.flatnonzero(heavy[begin : end + 1])
            first_step, last_step = (begin, end) if not len(over) else (begin + int(over[0]), begin + int(over[-1]))
            ends_s = None if last_step == len(fallen) - 1 else float(last_step * step_s)
            top = begin + int(np.argmax(hourly[begin : end + 1]))
            yield Thing(
                "heavy_rain",
                float(first_step * step_s),
                ends_s,
                float(hourly[top]),
                float(top * step_s),
                int(worth[begin : end + 1].max()),
                device_id=site.device.device_id,
                asset_code=site.asset_code,
                watched=sight.could_see(site, "amount_mm", first_step * step_s, ends_s),
            )


def fallen_mm(rain_mm_h: Values, step_s: int) -> Values:
    """Since the run began; between two steps the rain goes in a straight line."""
    rain = rain_mm_h.astype(np.float64)
    return np.concatenate(([0.0], np.cumsum((rain[1:] + rain[:-1]) / 2) * step_s / _HOUR_S))


def fallen_within(fallen: Values, over_s: int, step_s: int) -> Values:
    """At each step, what fell in the time before it."""
    steps = max(over_s // step_s, 1)
    before = np.concatenate((np.zeros(steps), fallen))[: len(fallen)]
    return np.asarray(fallen - before)


def _worth(total: Values, steps: Steps, accuracy: float) -> Values:
    worth = np.zeros(len(total), np.int64)
    for severity, limit in steps:
        worth = np.where(total >= limit * (1 + accuracy), np.maximum(worth, severity), worth)
    return worth
