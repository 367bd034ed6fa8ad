"""管网: a gauge in a sewer's manhole. Level over the invert of the pipe that leaves, and how much runs through that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from simulators.devices.chance import Floats
from simulators.devices.gauge import Gauges
from simulators.devices.powered import OF_ITSELF, PoweredProfile
from simulators.devices.profile import Columns
from simulators.devices.sightings import Sightings
from simulators.roster import FOUL_KIND
from simulators.site import Site
from underfoot.families.pipe import Network

_FASTEST_M_S = 8.0
_LEAST_FILL = 0.03
"""Below that the velocity sensor is dry and shows 0."""


class PipeProfile(PoweredProfile):
    family: ClassVar[str] = "pipe"
    steady = OF_ITSELF
    heeds: ClassVar[frozenset[str]] = frozenset({"battery_pct"})

    def __init__(self, sites: Sequence[Site], seed: int) -> None:
        super().__init__(sites, seed)
        for site in sites:
            if not site.diameter_m > 0:
                raise ValueError(f"{site.device.device_id}: diameter_m {site.diameter_m}; its pipe needs one, above 0")
        self.gauges = Gauges(self)
        foul = np.array([site.device.kind == FOUL_KIND for site in sites], np.bool_)
        self.network = np.where(foul, int(Network.foul), int(Network.storm))

    def measure(self, seen: Sightings) -> Columns:
        values = self.power(seen)
        diameter_m = self.diameter_m[seen.unit]
        level_m = self.gauges.level_m(seen)
        filled = np.where(seen.fill_m > 0, seen.fill_m, seen.water_m - self.zero_m[seen.unit]) / diameter_m
        area_m2 = wetted_area_m2(diameter_m, filled)
        wet = filled > _LEAST_FILL
        velocity_m_s = np.divide(seen.flow_m3_s, area_m2, out=np.zeros(len(seen)), where=wet & (area_m2 > 0))
        velocity_m_s = np.clip(velocity_m_s, -_FASTEST_M_S, _FASTEST_M_S)
        velocity_m_s = np.where(wet, velocity_m_s * (1 + self.noise(seen, "velocity", 0.02)), 0.0)
        values["level_m"] = level_m
        values["fill_ratio"] = level_m / diameter_m
        values["flow_m3_h"] = velocity_m_s * area_m2 * 3600
        values["velocity_m_s"] = velocity_m_s
        values["network"] = self.network[seen.unit]
        return values


def wetted_area_m2(diameter_m: Floats, fill: Floats) -> Floats:
    """Of a circular pipe that is filled to this share of its diameter."""
    angle = 2 * np.arccos(1 - 2 * np.clip(fill, 0.0, 1.0))
    return np.asarray(diameter_m**2 / 8 * (angle - np.sin(angle)))
