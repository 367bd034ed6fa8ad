"""When storm sewers will carry all that they can, by the rain that fills them. Pure: levels and rain in, minutes out.

The rational method, turned round. What a sewer carries grows with the rain of the last quarter to half an hour; how
full it is tells what share of its capacity that is, whatever its catchment and whoever designed it. So each gauge says
how hard it may rain here, and the rain, as it gets harder, in how many minutes it will be that hard. The level alone
would say it only when the sewer is full, minutes before the water is at the rim.

Sources: 推理公式法 (rational method, GB 50014); partial flow as in `hydraulics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alerts.drainage.graph import DrainageGraph
from alerts.drainage.hydraulics import share_of_capacity
from alerts.drainage.params import OverloadParams
from alerts.drainage.readings import Reading

FUTURE_S = 300
_EVENLY_US = 600_000_000


class Amount(NamedTuple):
    """What a rain station says: what fell since its last report."""

    at_us: int
    mm: float


class Rain:
    """What one station has said of late, in order of time. Between two reports it rained evenly, but no longer than
    `_EVENLY_US`: what wakes a station fell just before."""

    def __init__(self, amounts: Sequence[Amount]) -> None:
        times: list[int] = []
        fallen: list[float] = []
        total = 0.0
        for amount in amounts:
            begins = max(times[-1] if times else 0, amount.at_us - _EVENLY_US)
            times += [begins, amount.at_us]
            fallen += [total, total + amount.mm]
            total += amount.mm
        self._times_us = np.array(times, np.float64)
        self._fallen_mm = np.array(fallen)
        self.newest_us = times[-1] if times else 0

    def mm_h(self, until_us: int, over_s: float) -> float:
        """How hard it rained in the span until then, on average; what the station has not said yet is not in it."""
        until = min(until_us, self.newest_us)
        then, before = np.interp([until, until - over_s * 1e6], self._times_us, self._fallen_mm)
        return float(then - before) / over_s * 3600

    def mm_h_since_it_began(self, until_us: int, least_s: float, most_s: float) -> float:
        """On average since the first drop of the longer span, but over the shorter one at the least."""
        until = min(until_us, self.newest_us)
        before = np.interp(until - most_s * 1e6, self._times_us, self._fallen_mm)
        first = int(np.searchsorted(self._fallen_mm, before, side="right"))
        began = float(self._times_us[first - 1]) if 0 < first < len(self._times_us) else float(until)
        return self.mm_h(until, min(max((until - began) / 1e6, least_s), most_s))


@dataclass(frozen=True, slots=True)
class Outlook:
    """Of one catchment: in how many minutes (0: now; infinite: not to be foreseen) so much of it is overloaded as the
    rule asks. `nodes`: those that will be first, the first of them first. None: too few gauges and stations speak."""

    minutes: float | None
    gauges: int
    nodes: tuple[int, ...]
    mm_h: float
    bears_mm_h: float | None
    at_us: int


def outlooks(
    graph: DrainageGraph,
    belongs: Mapping[int, int],
    readings: Iterable[Reading],
    rain_at: Mapping[int, Rain],
    params: OverloadParams,
    now_us: int,
) -> dict[int, Outlook]:
    """By outfall. `belongs`: each node's outfall; `rain_at`: what falls at each node that has a station near."""
    said: dict[int, dict[int, _Said]] = {}
    for reading in sorted(readings, key=lambda each: each.at_us):
        outlet, rain = graph.outlet(reading.node), rain_at.get(reading.node)
        outfall = belongs.get(reading.node)
        if outfall is None or outlet is None or outlet.kind != "storm" or rain is None:
            continue
        here = said.setdefault(outfall, {})
        if (one := _said(reading, rain, params, now_us)) is not None:
            here[reading.node] = one  # of several gauges at a node the newest counts
    return {outfall: _outlook(list(gauges.values()), params, now_us) for outfall, gauges in said.items()}


class _Said(NamedTuple):
    """`bears_mm_h`: how hard it may rain here; None where the gauge does not tell, being dry or full."""

    minutes: float
    node: int
    now_mm_h: float
    bears_mm_h: float | None
    at_us: int


def _said(reading: Reading, rain: Rain, params: OverloadParams, now_us: int) -> _Said | None:
    """What one gauge says; None: nothing that is known."""
    newest_us = rain.newest_us
    times = (reading.at_us, newest_us)
    if reading.fill_ratio is None or reading.fill_ratio < -params.below_zero:
        return None  # under water an echo comes from anywhere
    if not all(-FUTURE_S <= (now_us - at) / 1e6 <= params.max_age_s for at in times):
        return None
    now_mm_h = rain.mm_h(newest_us, params.now_s)
    filled_by = rain.mm_h_since_it_began(reading.at_us, params.gathers_s, params.gathers_most_s)
    load = 1.0 if reading.fill_ratio >= 1 else share_of_capacity(reading.fill_ratio)
    if filled_by < params.least_mm_h or load < params.least_load:
        return _Said(math.inf, reading.node, now_mm_h, None, max(times))
    if load >= 1:
        return _Said(0.0, reading.node, now_mm_h, None, max(times))
    bears = filled_by / load
    return _Said(_minutes(rain, now_mm_h, bears, params), reading.node, now_mm_h, bears, max(times))


def _minutes(rain: Rain, now_mm_h: float, bears: float, params: OverloadParams) -> float:
    """Until it rains so hard, if it goes on getting harder as it did of late: in the last span and over the last two,
    whichever is less, so that rain which has begun and stays as it is does not count as getting harder."""
    if now_mm_h >= bears:
        return 0.0
    one, two = (rain.mm_h(rain.newest_us - int(back * params.now_s * 1e6), params.now_s) for back in (1, 2))
    once = now_mm_h / one if one > 0 else math.inf
    twice = math.sqrt(now_mm_h / two) if two > 0 else math.inf
    harder = min(once, twice, params.hardest)
    if now_mm_h < params.within * bears or harder < params.harder:
        return math.inf
    return math.log(bears / now_mm_h) / math.log(harder) * params.now_s / 60


def _outlook(gauges: list[_Said], params: OverloadParams, now_us: int) -> Outlook:
    wanted = max(params.at_least, math.ceil(params.share * len(gauges)))
    if len(gauges) < wanted:
        return Outlook(None, len(gauges), (), 0.0, None, now_us)
    first = sorted(gauges, key=lambda one: (one.minutes, one.node))[:wanted]
    # Where only those are that are full already, it is over, or something else than the rain has held them up.
    foreseen = any(one.minutes < math.inf and one.bears_mm_h is not None for one in gauges)
    minutes = first[-1].minutes if foreseen else math.inf
    bearing = [one.bears_mm_h for one in first if one.bears_mm_h is not None]
    return Outlook(
        minutes,
        len(gauges),
        tuple(one.node for one in first) if minutes < math.inf else (),
        max(one.now_mm_h for one in gauges),
        max(bearing, default=None),
        max(one.at_us for one in gauges),
    )
