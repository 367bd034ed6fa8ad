"""What every battery-powered NB-IoT unit says of itself, and what becomes of its cell.

A lithium thionyl chloride cell keeps 3.6 V until it is nearly empty, and then falls off a cliff: it is spent by what is
sent (each message, each retry), a little by standing there, faster in heat, and shows less when it is cold.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from simulators.devices.chance import Flags, Floats
from simulators.devices.profile import Columns, Profile
from simulators.devices.sightings import Sightings
from simulators.site import Site

OF_ITSELF = frozenset({"battery_v", "battery_pct", "rsrp_dbm", "temperature_c"})

_CHARGE_PCT = (0.0, 2.0, 4.0, 7.0, 11.0, 30.0, 100.0)
_VOLTS = (1.9, 2.7, 3.1, 3.4, 3.55, 3.62, 3.66)
"""Under the pulse of a transmission, at 20 °C (proposed, after the shape of an ER34615's curve)."""
PCT_PER_TRANSMISSION = 0.0008
"""0.15 mAh of 19 Ah (proposed): some 125 000 messages."""
_PCT_PER_HOUR = 0.24 / 24 / 190
"""10 µA asleep, out of 19 Ah; twice that for each 10 °C that its place is warmer than 20."""
_SHELTERED_C, _OUTSIDE_C = 19.0, 24.0
_ANTENNA_BELOW_RIM_M = 0.1


class PoweredProfile(Profile, ABC):
    sheltered: ClassVar[bool] = True
    """Underground, where it is neither as hot nor as cold as in the air."""

    def __init__(self, sites: Sequence[Site], seed: int) -> None:
        super().__init__(sites, seed)
        self.charge_pct = self.trait("charge", 35, 100)
        self.rsrp_dbm = self.trait("rsrp", -98, -72)
        self.attenuation_db = self.trait("under water", 8, 14)
        self.warmer_c = self.trait("warmer", -2, 2)

    def power(self, seen: Sightings) -> Columns:
        temperature_c = self.temperature_c(seen)
        charge_pct = self.charge(seen)
        volts = np.interp(charge_pct, _CHARGE_PCT, _VOLTS)
        cold = np.maximum(10 - temperature_c, 0) * 0.003
        under_water_db = np.where(self._flooded(seen), self.attenuation_db[seen.unit], 0.0)
        return {
            "battery_v": np.clip(volts - cold + self.noise(seen, "volts", 0.01), 0.0, 3.7),
            "battery_pct": np.maximum(charge_pct, 0.0),
            "rsrp_dbm": self.rsrp_dbm[seen.unit] - under_water_db + self.noise(seen, "signal", 4.0),
            "temperature_c": temperature_c + self.noise(seen, "warmth", 0.3),
        }

    def charge(self, seen: Sightings) -> Floats:
        """What is left, in per cent: at 0 it is dead."""
        place_c = (_SHELTERED_C if self.sheltered else _OUTSIDE_C) + self.warmer_c[seen.unit]
        standing = _PCT_PER_HOUR * 2 ** ((place_c - 20) / 10) * seen.at_s / 3600
        left = self.charge_pct[seen.unit] - seen.transmissions * PCT_PER_TRANSMISSION - standing
        return seen.with_forced("battery_pct", left)

    def _flooded(self, seen: Sightings) -> Flags:
        return flooded(self.shaft_m[seen.unit], seen.water_m) & self.sheltered

    def temperature_c(self, seen: Sightings) -> Floats:
        outside = 18 + 0.3 * (seen.air_c - 20) if self.sheltered else seen.air_c
        return np.asarray(outside + self.warmer_c[seen.unit])


def flooded(shaft_m: Floats, water_m: Floats) -> Flags:
    """Whether the antenna, just under the cover of a shaft so deep, is in the water."""
    return np.asarray((shaft_m > 0) & (water_m >= shaft_m - _ANTENNA_BELOW_RIM_M))
