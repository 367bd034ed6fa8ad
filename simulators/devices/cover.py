"""智慧井盖: lies still, and says at once when it does not. Covers of sewers also watch water and gas.

Gas comes with sewage and warmth, thins as the shaft fills with rain, and cannot be sensed under water: what the sensors
under a flooded cover show is the air that was caught in their cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from simulators.devices.gauge import Gauges
from simulators.devices.powered import OF_ITSELF, PoweredProfile
from simulators.devices.profile import Columns
from simulators.devices.sightings import Sightings
from simulators.roster import FOUL_KIND, STORM_KIND
from simulators.site import Site

_STORM_SHARE_OF_GAS = 1 / 3
_SHAKEN_DEG = 0.6
_NOISE_DEG = 0.2


def watches_water(site: Site) -> bool:
    """Whether this cover's sensor has a level gauge and gas sensors: it lies over a sewer."""
    return bool(site.node) and site.device.kind in (FOUL_KIND, STORM_KIND)


class CoverProfile(PoweredProfile):
    family: ClassVar[str] = "cover"
    steady = OF_ITSELF
    heeds: ClassVar[frozenset[str]] = frozenset(
        {"tilt_deg", "open", "vibration", "h2s_mg_m3", "ch4_lel_pct", "co_mg_m3", "o2_vol_pct", "battery_pct"}
    )

    def __init__(self, sites: Sequence[Site], seed: int) -> None:
        super().__init__(sites, seed)
        self.gauges = Gauges(self)
        self.sewer = np.array([watches_water(site) for site in sites], np.bool_)
        foul = np.array([site.device.kind == FOUL_KIND for site in sites], np.bool_)
        self.rest_deg = self.trait("rest", 0.4, 3.0)
        self.gas = self.trait("gas", 0.3, 1.0) * np.where(foul, 1.0, _STORM_SHARE_OF_GAS)

    def measure(self, seen: Sightings) -> Columns:
        values = self.power(seen)
        vibration = seen.told("vibration")
        swing_deg = np.where(vibration, _SHAKEN_DEG, _NOISE_DEG)
        tilt_deg = seen.with_forced("tilt_deg", self.rest_deg[seen.unit])
        values["tilt_deg"] = np.abs(tilt_deg + self.noise(seen, "tilt", 1.0) * swing_deg)
        values["open"] = seen.told("open")
        values["vibration"] = vibration
        sewer = self.sewer[seen.unit]
        if sewer.any():
            sensed = {"water_below_rim_m": self.shaft_m[seen.unit] - self.zero_m[seen.unit] - self.gauges.level_m(seen)}
            sensed |= self._gases(seen)
            values |= {name: np.where(sewer, shown, np.nan) for name, shown in sensed.items()}
        return values

    def _gases(self, seen: Sightings) -> Columns:
        warmth = 2 ** ((self.temperature_c(seen) - 20) / 10)
        shaft_m = np.maximum(self.shaft_m[seen.unit], 0.5)
        gas = self.gas[seen.unit] * warmth * (1 - 0.5 * np.clip(seen.water_m / shaft_m, 0.0, 1.0))
        return {
            "h2s_mg_m3": np.maximum(seen.with_forced("h2s_mg_m3", 4.0 * gas) + self.noise(seen, "h2s", 0.2), 0.0),
            "ch4_lel_pct": np.maximum(seen.with_forced("ch4_lel_pct", 3.0 * gas) + self.noise(seen, "ch4", 0.2), 0.0),
            "co_mg_m3": np.maximum(seen.with_forced("co_mg_m3", 2.5 * gas) + self.noise(seen, "co", 0.2), 0.0),
            "o2_vol_pct": seen.with_forced("o2_vol_pct", 20.8 - 0.3 * gas) + self.noise(seen, "o2", 0.1),
        }
