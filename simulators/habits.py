"""Habits: at which moments each device of a city measures and reports, family by family, for a whole run.

family  more often than the ledger's interval                        at once
cover   5 min when water has risen 0.3 m or is 1 m below the rim,    open, tilt, vibration; water 1, 0.5, 0.3
        1 min from 0.5 m                                             and 0 m below the rim
road    1 min from 1 cm of water; asleep when dry                    at its limits
pipe    5 min when fuller than on dry days, 1 min when near full     near full, surcharged
pump                                                                 start, stop, fault, forebay at its limits
rain    5 min in rain                                                first and last tip
lamp    1 min while current leaks                                    on, off, leakage, lamp failed

The regular interval is never longer than the ledger's: who is heard less often than that is not healthy. A run begins
with the fleet being switched on: each device says so within its first quarter of an hour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulators.around import Around, Quantity
from simulators.courses import Course, Limit, course, together
from simulators.devices.chance import Flags, Floats, Ints, keys_of, moments_of, share
from simulators.devices.cover import watches_water
from simulators.devices.gauge import BLIND_BELOW_RIM_M, ultrasonic_at
from simulators.faults.struck import Struck
from simulators.roster import FOUL_KIND
from simulators.scenario.faults import DeadSensor, DriftingSensor, PowerCut, StuckSensor
from simulators.site import Site

HEARTBEAT, ADAPTIVE, EVENT = 0, 1, 2
KINDS = ("heartbeat", "adaptive", "event")

_SWITCHED_ON_WITHIN_S = 900.0
_RAIN_S, _ALARM_S = 300.0, 60.0
_LOOKS_EACH_S = {"cover": 60.0, "road": 30.0, "pipe": 60.0, "pump": 2.0, "rain": 5.0, "lamp": 2.0}
"""How often a sleeping device looks whether its limit is reached (proposed)."""
_REACTS_S = (0.5, 2.5)
"""How soon a switch or a shock has woken a device and been measured (proposed)."""
_APART_S, _SAME_S = 1.0, 0.01
_COVER_LIMITS_M = (-1.0, -0.5, -0.3, 0.0)
_ROAD_LIMITS_CM = {False: (5.0, 15.0, 27.0, 40.0), True: (5.0, 10.0, 15.0, 25.0)}
_PIPE_LIMITS = {False: (1.0, 1.2, 2.0), True: (0.8, 1.0)}
_FOUL_DAILY = 0.5
"""A foul sewer fills so far on any day: from there on it is more."""
_FOREBAY_LIMITS_M = (3.5, 4.5, 5.0)
_LEAKS = frozenset({"leakage_ma", "touch_voltage_v"})


@dataclass(frozen=True)
class Moments:
    """Every report that devices make in a run, device by device, each in the order of its time. `before_s` is when its
    device was last able to measure and did; for a device's first report, the begin of the run."""

    index: Ints
    at_s: Floats
    kind: Ints
    before_s: Floats

    def __len__(self) -> int:
        return len(self.index)


def moments(sites: Sequence[Site], around: Around, struck: Struck, seed: int, seconds: float) -> Moments:
    """When whom reports, until the run is over."""
    return _Habits(sites, around, struck, seed, seconds).moments()


class _Habits:
    def __init__(self, sites: Sequence[Site], around: Around, struck: Struck, seed: int, seconds: float) -> None:
        self.sites = sites
        self.around = around
        self.struck = struck
        self.seconds = seconds
        self.keys = keys_of(seed, [site.device.device_id for site in sites])
        self.switched_on: list[float] = share(self.keys, "switched on").tolist()
        self.phase: list[float] = share(self.keys, "phase").tolist()
        self.courses: dict[object, Course] = {}
        self.times: list[Floats] = []
        self.indices: list[int] = []
        self.kinds: list[int] = []
        self.woken: list[bool] = []

    def moments(self) -> Moments:
        for place, site in enumerate(self.sites):
            self._of_site(place, site)
        lengths = [len(times) for times in self.times]
        index = np.repeat(np.array(self.indices, np.int64), lengths)
        kind = np.repeat(np.array(self.kinds, np.int64), lengths)
        woken = np.repeat(np.array(self.woken, np.bool_), lengths)
        at_s: Floats = np.concatenate([*self.times, np.zeros(0)])
        at_s[woken] += self._reaction_s(index[woken], at_s[woken])
        at_s = np.asarray(np.round(at_s, 3), np.float64)
        order = np.lexsort((-kind, at_s, index))  # of one moment, the event first
        kept = order[self._apart(index[order], at_s[order], kind[order])]
        kept = kept[self._able(index[kept], at_s[kept])]
        index, at_s, kind = index[kept], at_s[kept], kind[kept]
        return Moments(index, at_s, kind, self._before_s(index, at_s))

    def _put(self, index: int, times: Floats, kind: int, *, woken: bool = False) -> None:
        if len(times):
            self.times.append(times)
            self.indices.append(index)
            self.kinds.append(kind)
            self.woken.append(woken)

    # one device ------------------------------------------------------------------------------------------------------
    def _of_site(self, index: int, site: Site) -> None:
        dry_s = float(site.device.interval_s)
        begins_s = self.switched_on[index] * min(_SWITCHED_ON_WITHIN_S, dry_s)
        followed = self._course(index, site)
        looks_each_s = min(_LOOKS_EACH_S[site.device.family], dry_s)

        def noticed_s(at_s: float) -> float:
            """A sleeping device looks at its sensor now and then."""
            looks_first_s = self.phase[index] * looks_each_s
            return looks_first_s + math.ceil((at_s - looks_first_s) / looks_each_s) * looks_each_s

        self._put(index, np.array([begins_s]), HEARTBEAT)
        starts_s = [0.0, *(noticed_s(stretch.begins_s) for stretch in followed.stretches[1:]), self.seconds]
        for number, (_, every_s) in enumerate(followed.stretches):
            from_s, until_s = starts_s[number], min(starts_s[number + 1], self.seconds)
            first_s = max(from_s, begins_s) + every_s
            if from_s <= begins_s and every_s > _SWITCHED_ON_WITHIN_S:
                first_s = begins_s + self.phase[index] * every_s
            if first_s < until_s:
                self._put(index, np.arange(first_s, until_s, every_s), HEARTBEAT if every_s >= dry_s else ADAPTIVE)
        events = [noticed_s(at_s) for at_s in followed.events]
        self._put(index, np.array([at_s for at_s in events if begins_s < at_s < self.seconds]), EVENT)
        if index in self.around.forced:
            self._forced(index, begins_s)
        for during in self.struck.sensors.get(site.device.device_id, ()):
            if isinstance(during.fault, DeadSensor) and begins_s < during.until_s < self.seconds:
                self._put(index, np.array([during.until_s]), EVENT, woken=True)

    def _forced(self, index: int, begins_s: float) -> None:
        for each in self.around.forced[index]:
            ends = [at_s for at_s in (each.begins_s, each.until_s) if begins_s < at_s < self.seconds]
            self._put(index, np.array(ends), EVENT, woken=True)
            if each.values.keys() & _LEAKS:
                first_s = max(each.begins_s, begins_s) + _ALARM_S
                self._put(index, np.arange(first_s, min(each.until_s, self.seconds), _ALARM_S), ADAPTIVE)

    # what it watches -------------------------------------------------------------------------------------------------
    def _course(self, index: int, site: Site) -> Course:
        """Devices of one kind at one place share theirs, unless a sensor's fault makes one see something else."""
        device = site.device
        faulty = device.device_id in self.struck.sensors
        quantity = _WATCHED[device.family]
        places = tuple(self.around.place(name, index) for name in quantity)
        key: object = (device.family, device.kind, device.interval_s, device.place, places, site.zero_m, site.rim_m)
        key = (key, site.invert_m, site.diameter_m, ultrasonic_at(site), device.device_id if faulty else "")
        found = self.courses.get(key)
        if found is None:
            found = self.courses[key] = self._found(index, site)
        return found

    def _found(self, index: int, site: Site) -> Course:
        device = site.device
        dry_s = float(device.interval_s)
        rain_s, alarm_s = min(_RAIN_S, dry_s), min(_ALARM_S, dry_s)
        step_s = self.around.step_s
        nothing = course(np.zeros(1), step_s, (), dry_s)
        if device.family == "lamp":
            at_s = np.arange(0.0, self.seconds + step_s, step_s)
            return course(
                self.around.dark(at_s).astype(np.float64), step_s, (Limit(1, 0, dry_s),), dry_s, stepwise=True
            )
        if device.family == "rain":
            falls = self.around.series("rain_mm_h", index)
            return nothing if falls is None else course(falls, step_s, (Limit(0.1, 0, rain_s),), dry_s, stepwise=True)
        if device.family == "pump":
            runs, forebay = self.around.series("running", index), self.around.series("water_m", index)
            found = nothing if runs is None else course(runs, step_s, (Limit(0.5, 0, dry_s),), dry_s)
            if forebay is not None and device.forebay_gauge:
                limits = [Limit(limit, 0.1, dry_s) for limit in _FOREBAY_LIMITS_M]
                level_m = self._believed(site, "forebay_level_m", forebay - site.zero_m)
                found = together(found, course(level_m, step_s, limits, dry_s))
            return found
        if device.family == "road":
            pond = self.around.series("ponding_m", index)
            if pond is None:
                return nothing
            limits = [Limit(1.0, 0.5, alarm_s)]
            limits += [Limit(limit, 1.0, alarm_s) for limit in _ROAD_LIMITS_CM[device.underpass]]
            return course(self._believed(site, "depth_cm", pond * 100), step_s, limits, dry_s)
        water = self.around.series("water_m", index)
        if water is None or (device.family == "cover" and not watches_water(site)):
            return nothing
        if device.family == "cover":
            over_rim_m = -self._believed(site, "water_below_rim_m", site.rim_m - site.invert_m - water)
            limits = [Limit(min(float(over_rim_m[0]) + 0.3, _COVER_LIMITS_M[0]), 0.1, rain_s)]
            for limit in _COVER_LIMITS_M:
                if limit <= -BLIND_BELOW_RIM_M or not ultrasonic_at(site):
                    limits.append(Limit(limit, 0.05, alarm_s if limit >= _COVER_LIMITS_M[1] else rain_s))
            return course(over_rim_m, step_s, limits, dry_s)
        fill = self._believed(site, "level_m", water - site.zero_m) / site.diameter_m
        foul = device.kind == FOUL_KIND
        full = _PIPE_LIMITS[foul]
        more = _FOUL_DAILY if foul else float(fill[0]) + 0.1
        limits = [Limit(min(more, full[0]), 0.05, rain_s)]
        limits += [Limit(limit, 0.05, alarm_s) for limit in full]
        return course(fill, step_s, limits, dry_s)

    def _believed(self, site: Site, field: str, values: Floats) -> Floats:
        """What the device itself takes for the level: what a faulty gauge makes of it."""
        at_s = np.arange(len(values)) * self.around.step_s
        for during in self.struck.sensors.get(site.device.device_id, ()):
            fault = during.fault
            lasts = (at_s >= during.begins_s) & (at_s < during.until_s)
            if isinstance(fault, StuckSensor) and (not fault.fields or field in fault.fields):
                values = np.where(lasts, np.interp(during.begins_s, at_s, values), values)
            elif isinstance(fault, DriftingSensor) and fault.field == field:
                values = np.where(lasts, values + fault.per_hour * (at_s - during.begins_s) / 3600, values)
        return values

    # all of them -----------------------------------------------------------------------------------------------------
    def _reaction_s(self, index: Ints, at_s: Floats) -> Floats:
        """A switch or a shock wakes the device at once, and then it has to measure."""
        low_s, high_s = _REACTS_S
        return low_s + (high_s - low_s) * share(self.keys[index], "reaction", moments_of(at_s))

    def _apart(self, index: Ints, at_s: Floats, kind: Ints) -> Flags:
        """Two things noticed together are said together, and nobody repeats himself within a second."""
        kept = at_s < self.seconds
        near = (index[1:] == index[:-1]) & (at_s[1:] - at_s[:-1] < np.where(kind[1:] == EVENT, _SAME_S, _APART_S))
        kept[1:] &= ~near
        return kept

    def _able(self, index: Ints, at_s: Floats) -> Flags:
        """Dead devices say nothing, nor do those on mains when there are none."""
        able = np.ones(len(index), np.bool_)
        for site, spans in self._silences().items():
            rows = slice(*np.searchsorted(index, [site, site + 1]))
            for begins_s, until_s in spans:
                able[rows] &= (at_s[rows] < begins_s) | (at_s[rows] >= until_s)
        return able

    def _before_s(self, index: Ints, at_s: Floats) -> Floats:
        before_s = np.zeros(len(index))
        before_s[1:] = np.where(index[1:] == index[:-1], at_s[:-1], 0.0)
        for site, spans in self._silences().items():
            rows = slice(*np.searchsorted(index, [site, site + 1]))
            for _, until_s in spans:
                back = at_s[rows] >= until_s
                before_s[rows] = np.where(back, np.maximum(before_s[rows], until_s), before_s[rows])
        return before_s

    def _silences(self) -> dict[int, list[tuple[float, float]]]:
        silences = {}
        for index, site in enumerate(self.sites):
            during = self.struck.sensors.get(site.device.device_id)
            if during is not None:
                silent = (DeadSensor, PowerCut) if site.uplink == "mains" else (DeadSensor,)
                silences[index] = [(one.begins_s, one.until_s) for one in during if isinstance(one.fault, silent)]
        return silences


_WATCHED: dict[str, tuple[Quantity, ...]] = {
    "cover": ("water_m",),
    "road": ("ponding_m",),
    "pipe": ("water_m",),
    "pump": ("running", "water_m"),
    "rain": ("rain_mm_h",),
    "lamp": (),
}
