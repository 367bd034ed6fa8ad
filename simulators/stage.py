"""The stage of a rehearsal. A ledger says nothing of shafts and water, so its devices are given made-up places, and
what a scripted storm does there becomes the Circumstances that the profiles look at.

plan (what is scripted) → stage (what that means at each device's place) → profiles (what its sensors say)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulators.devices import Profiles, sighted
from simulators.devices.chance import between, keys_of, share
from simulators.plan import Storm
from simulators.roster import FOUL_KIND, RosterDevice
from simulators.site import Circumstances, Site

_DIAMETERS_M = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2)
_STRONGEST_MM_H = 30.0
_STOP_M, _START_M = 1.2, 2.2
_FILLS_IN, _EMPTIES_IN = 30, 10
"""A pump's rounds, in its own expected intervals: so they are as much faster as the ledger's pace is."""
_NOON_H, _NOON_C = 12.0, 27.0


class Stage:
    """Where the devices of a ledger stand, and what is around each of them at a moment of the script."""

    def __init__(self, roster: Sequence[RosterDevice], seed: int) -> None:
        keys = keys_of(seed, [device.device_id for device in roster])
        foul = np.array([device.kind == FOUL_KIND for device in roster], np.bool_)
        self._below_rim_m = between(keys, "below rim", 2.4, 4.5)
        self._diameter_m = np.array(_DIAMETERS_M)[(share(keys, "diameter") * len(_DIAMETERS_M)).astype(np.int64)]
        self._dry_fill = np.where(foul, between(keys, "dry fill", 0.2, 0.42), between(keys, "dry fill", 0.02, 0.12))
        self._more_fill = np.where(foul, 0.12, 0.55)
        self._catch_mm = between(keys, "catch", 2.0, 5.0)
        self._round = share(keys, "round")
        self.sites = [self._site(unit, device) for unit, device in enumerate(roster)]

    def _site(self, unit: int, device: RosterDevice) -> Site:
        shaft_m = {"cover": float(self._below_rim_m[unit]) + 0.3, "pipe": 6.0}.get(device.family, 0.0)
        return Site(
            device,
            asset_code="",
            area_code=device.district,
            lon=0.0,
            lat=0.0,
            node=device.device_id,
            rim_m=shaft_m,
            diameter_m=float(self._diameter_m[unit]),
        )

    def around(
        self, unit: int, at_s: float, hour: float, air_c: float, storm: Storm, scripted: Mapping[str, float]
    ) -> Circumstances:
        """What is scripted is so: the water stands where the script says, and what it forces otherwise is forced."""
        left = dict(scripted)
        fallen_mm = float(self._catch_mm[unit]) * storm.fallen
        rain_mm_h = float(self._catch_mm[unit]) * storm.fallen_per_h
        water_m = ponding_cm = flow_m3_s = 0.0
        running = False
        site = self.sites[unit]
        family = site.device.family
        if family == "rain":
            fallen_mm, rain_mm_h = left.pop("fallen_mm", fallen_mm), left.pop("intensity_mm_h", rain_mm_h)
        elif family == "road":
            rain_mm_h = _STRONGEST_MM_H * storm.strength
            ponding_cm = left.pop("depth_cm", 0.0)
        elif family == "cover":
            ordinary_m = float(self._below_rim_m[unit]) - 0.7 * storm.strength
            water_m = site.rim_m - left.pop("water_below_rim_m", ordinary_m)
        elif family == "pipe":
            ordinary = float(self._dry_fill[unit]) + float(self._more_fill[unit]) * storm.strength
            fill = left.pop("fill_ratio", ordinary)
            water_m = left.pop("level_m", fill * site.diameter_m)
            flow_m3_s = _flow_m3_s(site.diameter_m, water_m / site.diameter_m)
        elif family == "pump":
            ordinary_m, pumping = self._pumped(unit, at_s)
            water_m = left.pop("forebay_level_m", ordinary_m)
            running = bool(left.pop("running", pumping))
        elif family == "lamp":
            rain_mm_h = _STRONGEST_MM_H * storm.strength
        return Circumstances(
            at_s=at_s,
            hour=hour,
            dark=storm.dark,
            air_c=air_c,
            rain_mm_h=rain_mm_h,
            fallen_mm=fallen_mm,
            water_m=water_m,
            ponding_cm=ponding_cm,
            flow_m3_s=flow_m3_s,
            running=running,
            forced=left or None,
        )

    def _pumped(self, unit: int, at_s: float) -> tuple[float, bool]:
        """The forebay fills until the pump starts, and is emptied until it stops."""
        interval_s = self.sites[unit].device.interval_s
        whole = _FILLS_IN + _EMPTIES_IN
        turn = (at_s / interval_s + float(self._round[unit]) * whole) % whole
        if turn < _FILLS_IN:
            return _STOP_M + (_START_M - _STOP_M) * turn / _FILLS_IN, False
        return _START_M - (_START_M - _STOP_M) * (turn - _FILLS_IN) / _EMPTIES_IN, True


def _flow_m3_s(diameter_m: float, fill: float) -> float:
    filled = min(max(fill, 0.0), 1.0)
    angle = 2 * math.acos(1 - 2 * filled)
    return diameter_m**2 / 8 * (angle - math.sin(angle)) * (0.3 + 0.9 * filled)


def ordinary_values(roster: Sequence[RosterDevice], seed: int, at_s: Sequence[float] = (0.0,)) -> list[dict[str, Any]]:
    """What devices say on a calm, dry noon: each device at each of these seconds, device by device."""
    stage = Stage(roster, seed)
    seen = [
        (unit, stage.around(unit, moment, _NOON_H, _NOON_C, Storm(), {}))
        for unit in range(len(roster))
        for moment in at_s
    ]
    return Profiles(stage.sites, seed).report(sighted(seen))
