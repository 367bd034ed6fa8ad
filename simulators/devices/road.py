"""积水点: the depth of water over a road's low point, from a gauge let into it or one that looks down from a pole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from simulators.devices.powered import OF_ITSELF, PoweredProfile
from simulators.devices.profile import Columns
from simulators.devices.sightings import Sightings
from simulators.site import Site
from underfoot.families.road import Place

_FROM_POLE_MODELS = ("ZY-L5",)
_LET_IN_RANGE_CM = 200.0
_FROM_POLE_RANGE_CM = 250.0
"""A gauge on a pole 3 m high with half a metre of blind zone."""
_FILM_MM_H = 30.0
"""Rain that makes a road as wet as it gets without ponding."""


class RoadProfile(PoweredProfile):
    family: ClassVar[str] = "road"
    sheltered = False
    steady = OF_ITSELF
    heeds: ClassVar[frozenset[str]] = frozenset({"battery_pct"})

    def __init__(self, sites: Sequence[Site], seed: int) -> None:
        super().__init__(sites, seed)
        pole = np.array([site.device.model.startswith(_FROM_POLE_MODELS) for site in sites], np.bool_)
        self.range_cm = np.where(pole, _FROM_POLE_RANGE_CM, _LET_IN_RANGE_CM)
        self.noise_cm = np.where(pole, 0.3, 0.2)
        self.per_degree_cm = np.where(pole, 0.01, 0.0)
        self.offset_cm = self.trait("offset", -0.3, 0.3)
        self.film_cm = self.trait("film", 0.1, 0.5)
        self.place = np.array([Place.underpass if site.device.underpass else Place.road for site in sites], np.int64)

    def measure(self, seen: Sightings) -> Columns:
        values = self.power(seen)
        unit = seen.unit
        film_cm = self.film_cm[unit] * np.clip(seen.rain_mm_h / _FILM_MM_H, 0.0, 1.0)
        away_cm = self.offset_cm[unit] + self.per_degree_cm[unit] * (seen.air_c - 20)
        depth_cm = np.maximum(seen.ponding_cm, film_cm) + away_cm + self.noise(seen, "depth", 1.0) * self.noise_cm[unit]
        values["depth_cm"] = np.minimum(depth_cm, self.range_cm[unit])
        values["place"] = self.place[unit]
        return values
