"""What is around each site of a simulated city: water, weather, light, and what faults do to things in the street.

hydrographs + sites + struck → circumstances: one at a time (`at`), in columns (`sightings`), or along the whole run
(`series`), from which devices' habits find the moments at which they speak.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulators.daylight import Daylight, air_c_at, burning, dark_at, hour_of
from simulators.devices.chance import Flags, Floats, Ints
from simulators.devices.sightings import Sightings
from simulators.faults.struck import Forced, Struck
from simulators.hydraulics.hydrographs import Hydrographs
from simulators.message import Clock
from simulators.scenario.faults import PowerCut
from simulators.site import Circumstances, Site

Quantity = Literal["water_m", "ponding_m", "fill_m", "flow_m3_s", "running", "rain_mm_h", "fallen_mm"]

POWERLESS = "powerless"
"""Forced where a power cut strikes what lives on mains."""
_LEAST_PUMPED_M3_S = 1e-4
_FINE_S = 60.0
"""The step on which a lamp's hours are counted."""


class Around:
    """`daylight`: as the clock has it, or night or day all along. A pump's site has its forebay as `node` and itself as
    `link`; what a site has no name for is 0 there."""

    def __init__(
        self, hydrographs: Hydrographs, sites: Sequence[Site], struck: Struck, daylight: Daylight, clock: Clock
    ) -> None:
        self.hydrographs = hydrographs
        self.sites = sites
        self.daylight: Daylight = daylight
        self.clock = clock
        self.step_s = float(hydrographs.step_s)
        self.steps = len(hydrographs.depth_m)
        self._begins_h = hour_of(clock(0.0))
        self._node = _places("node", hydrographs.nodes, [site.node for site in sites])
        self._link = _places("link", hydrographs.links, [site.link for site in sites])
        self._gage = _places("gage", hydrographs.gages, [site.gage for site in sites])
        moving = (hydrographs.setting > 0) & (np.abs(hydrographs.flow_m3_s) > _LEAST_PUMPED_M3_S)
        rain = hydrographs.rain_mm_h.astype(np.float64)
        fallen = np.zeros_like(rain)
        fallen[1:] = np.cumsum(rain[:-1] * self.step_s / 3600, axis=0)  # a step's rain falls until the next one
        self._series: dict[Quantity, tuple[Ints, NDArray[np.floating]]] = {
            "water_m": (self._node, hydrographs.depth_m),
            "ponding_m": (self._node, hydrographs.ponding_m),
            "fill_m": (self._link, hydrographs.fill_m),
            "flow_m3_s": (self._link, hydrographs.flow_m3_s),
            "running": (self._link, moving.astype(np.float32)),
            "rain_mm_h": (self._gage, hydrographs.rain_mm_h),
            "fallen_mm": (self._gage, fallen),
        }
        self._light_at_s, self._light_h = self._light()
        self.forced = _forced(sites, struck)
        self._is_forced = np.zeros(len(sites), np.bool_)
        self._is_forced[list(self.forced)] = True

    def _light(self) -> tuple[Floats, Floats]:
        """Hours of full light since the run began, by the lamps' timetable."""
        at_s = np.arange(0.0, self.hydrographs.seconds + 2 * _FINE_S, _FINE_S)
        hour = self.hours(at_s)
        each_h = burning(hour, dark_at(hour, self.daylight)) * _FINE_S / 3600
        return at_s, np.concatenate([[0.0], np.cumsum(each_h[:-1])])

    def hours(self, at_s: Floats) -> Floats:
        return np.asarray((self._begins_h + at_s / 3600) % 24)

    def dark(self, at_s: Floats) -> Flags:
        return dark_at(self.hours(at_s), self.daylight)

    def place(self, quantity: Quantity, index: int) -> int:
        """The column of this quantity's series that is at a site; −1 where there is none."""
        return int(self._series[quantity][0][index])

    def series(self, quantity: Quantity, index: int) -> Floats | None:
        """A quantity at a site, step by step, or None where there is none."""
        columns, values = self._series[quantity]
        column = int(columns[index])
        return None if column < 0 else values[:, column].astype(np.float64)

    def values(self, quantity: Quantity, index: Ints, at_s: Floats) -> Floats:
        """A quantity at these sites and moments, between steps in a straight line (rain as at the step before); 0 where
        there is none."""
        columns, values = self._series[quantity]
        column = columns[index]
        place = np.clip(at_s / self.step_s, 0.0, len(values) - 1)
        before = place.astype(np.int64)
        after = np.minimum(before + 1, len(values) - 1)
        share = np.zeros(len(place)) if quantity == "rain_mm_h" else place - before
        if not values.shape[1]:
            return np.zeros(len(index))
        found = values[before, column] * (1 - share) + values[after, column] * share
        return np.where(column < 0, 0.0, found)

    def at(self, index: int, at_s: float) -> Circumstances:
        """What is around a site at a moment."""
        one, moment = np.array([index]), np.array([at_s])
        hour = self.hours(moment)
        found = {quantity: float(self.values(quantity, one, moment)[0]) for quantity in self._series}
        forced: dict[str, float] = {}
        for each in self.forced.get(index, ()):
            if each.begins_s <= at_s < each.until_s:
                forced |= each.values
        return Circumstances(
            at_s=at_s,
            hour=float(hour[0]),
            dark=bool(dark_at(hour, self.daylight)[0]),
            air_c=float(air_c_at(hour)[0]),
            rain_mm_h=found["rain_mm_h"],
            fallen_mm=found["fallen_mm"],
            water_m=found["water_m"],
            ponding_cm=found["ponding_m"] * 100,
            fill_m=found["fill_m"],
            flow_m3_s=found["flow_m3_s"],
            running=found["running"] > 0.5,
            forced=forced or None,
        )

    def sightings(self, index: Ints, at_s: Floats, before_s: Floats, transmissions: Floats) -> Sightings:
        """The same in columns, one row a report; `before_s` is when its device reported last."""
        hour = self.hours(at_s)
        lit_h, on_mains_h = np.interp(at_s, self._light_at_s, self._light_h), at_s / 3600
        struck = np.flatnonzero(self._is_forced[index])
        if len(struck):
            self._take_off(struck, index, at_s, lit_h, on_mains_h)
        return Sightings(
            unit=index.copy(),
            at_s=at_s,
            hour=hour,
            dark=dark_at(hour, self.daylight),
            air_c=air_c_at(hour),
            rain_mm_h=self.values("rain_mm_h", index, at_s),
            fallen_mm=self.values("fallen_mm", index, at_s),
            water_m=self.values("water_m", index, at_s),
            ponding_cm=self.values("ponding_m", index, at_s) * 100,
            fill_m=self.values("fill_m", index, at_s),
            flow_m3_s=self.values("flow_m3_s", index, at_s),
            running=self.values("running", index, at_s) > 0.5,
            fallen_before_mm=self.values("fallen_mm", index, before_s),
            lit_h=lit_h,
            on_mains_h=on_mains_h,
            transmissions=transmissions,
            forced=self._forced_columns(struck, index, at_s),
        )

    def _forced_columns(self, struck: Ints, index: Ints, at_s: Floats) -> dict[str, Floats]:
        columns: dict[str, Floats] = {}
        for row, site, moment in zip(struck.tolist(), index[struck].tolist(), at_s[struck].tolist(), strict=True):
            for each in self.forced[site]:
                if each.begins_s <= moment < each.until_s:
                    for name, value in each.values.items():
                        columns.setdefault(name, np.full(len(index), np.nan))[row] = value
        return columns

    def _take_off(self, struck: Ints, index: Ints, at_s: Floats, lit_h: Floats, on_mains_h: Floats) -> None:
        """A lamp that has failed burns nothing, and without mains its controller uses nothing either."""
        for row, site, moment in zip(struck.tolist(), index[struck].tolist(), at_s[struck].tolist(), strict=True):
            for begins_s, until_s in _joined(self.forced[site], ("lamp_failed", POWERLESS)):
                if begins_s < moment:
                    ends = np.interp([begins_s, min(until_s, moment)], self._light_at_s, self._light_h)
                    lit_h[row] -= ends[1] - ends[0]
            for begins_s, until_s in _joined(self.forced[site], (POWERLESS,)):
                if begins_s < moment:
                    on_mains_h[row] -= (min(until_s, moment) - begins_s) / 3600


def _places(what: str, names: Sequence[str], wanted: Sequence[str]) -> Ints:
    place = {name: at for at, name in enumerate(names)}
    for name in wanted:
        if name and name not in place:
            raise ValueError(f"{what} {name!r} of a site is not in the hydrographs")
    return np.array([place[name] if name else -1 for name in wanted], np.int64)


def _forced(sites: Sequence[Site], struck: Struck) -> dict[int, tuple[Forced, ...]]:
    """By place in `sites`; with the power cuts of what lives on mains."""
    forced: dict[int, tuple[Forced, ...]] = {}
    for index, site in enumerate(sites):
        device_id = site.device.device_id
        each = struck.forced.get(device_id, ())
        if site.uplink == "mains":
            each += tuple(
                Forced("power_cut", during.begins_s, during.until_s, {POWERLESS: 1.0})
                for during in struck.sensors.get(device_id, ())
                if isinstance(during.fault, PowerCut)
            )
        if each:
            forced[index] = each
    return forced


def _joined(forced: Iterable[Forced], names: tuple[str, ...]) -> list[tuple[float, float]]:
    """The stretches in which one of these is forced, each moment once."""
    stretches: list[tuple[float, float]] = []
    spans = sorted((one.begins_s, one.until_s) for one in forced if any(one.values.get(name) for name in names))
    for begins_s, until_s in spans:
        if stretches and begins_s <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(until_s, stretches[-1][1]))
        else:
            stretches.append((begins_s, until_s))
    return stretches
