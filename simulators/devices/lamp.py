"""多功能灯杆: burns when it is dark, less after midnight, and watches its pole, its cabinet and the air.

A wet pole leaks a little more than a dry one, which harms nobody; a faulted one leaks what its fault says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from simulators.daylight import burning
from simulators.devices.chance import Floats
from simulators.devices.profile import Columns, Profile
from simulators.devices.sightings import Sightings
from simulators.site import Site

_POWER_FACTOR = 0.95
_STANDBY_A = 0.012
_STANDBY_W = 2.6
_RATED_W = re.compile(r"-(\d{2,3})$")
_WET_MM_H = 5.0
_WASHED_MM_H = 20.0


class LampProfile(Profile):
    family: ClassVar[str] = "lamp"
    steady = frozenset({"dimming_pct", "energy_kwh"})
    heeds: ClassVar[frozenset[str]] = frozenset(
        {"voltage_v", "current_a", "leakage_ma", "touch_voltage_v", "tilt_deg", "door_open"}
    )

    def __init__(self, sites: Sequence[Site], seed: int) -> None:
        super().__init__(sites, seed)
        named = [_RATED_W.search(site.device.model) for site in sites]
        self.rated_w = np.array([float(found[1]) if found else 100.0 for found in named])
        self.mains_v = self.trait("mains", 222, 234)
        self.counted_kwh = self.trait("counted", 50, 4000)
        self.leakage_ma = self.trait("leakage", 0.5, 4.0)
        self.wet_ma = self.trait("wet leakage", 0.5, 3.0)
        self.touch_v = self.trait("touch", 0.2, 1.5)
        self.rest_deg = self.trait("rest", 0.1, 1.2)
        self.pm2_5 = self.trait("dust", 22, 55)
        self.noise_db = self.trait("loudness", 46, 62)

    def measure(self, seen: Sightings) -> Columns:
        unit = seen.unit
        powered = ~seen.told("powerless")
        told = burning(seen.hour, seen.dark)
        evening_v = 3.0 * np.exp(-(((seen.hour - 20) / 2.5) ** 2))
        voltage_v = seen.with_forced("voltage_v", self.mains_v[unit] - evening_v) + self.noise(seen, "mains", 2.0)
        voltage_v = np.where(powered, np.maximum(voltage_v, 0.0), 0.0)
        full_a = self.rated_w[unit] / (self.mains_v[unit] * _POWER_FACTOR)
        drawn_a = full_a * told * (1 + self.noise(seen, "current", 0.02))
        drawn_a = np.where(seen.told("lamp_failed") | (told == 0), _STANDBY_A, seen.with_forced("current_a", drawn_a))
        drawn_a = np.where(powered, np.maximum(drawn_a, 0.0), 0.0)
        wet = np.clip(np.maximum(seen.rain_mm_h / _WET_MM_H, seen.ponding_cm), 0.0, 1.0)
        leakage_ma = seen.with_forced("leakage_ma", self.leakage_ma[unit] + self.wet_ma[unit] * wet)
        touch_v = seen.with_forced("touch_voltage_v", self.touch_v[unit])
        tilt_deg = seen.with_forced("tilt_deg", self.rest_deg[unit])
        washed = 1 - 0.4 * np.clip(seen.rain_mm_h / _WASHED_MM_H, 0.0, 1.0)
        busy_db = 4.0 * np.cos((seen.hour - 14) / 24 * 2 * np.pi)
        return {
            "on": seen.dark.copy(),
            "dimming_pct": np.where(seen.dark, told * 100, 0.0),
            "voltage_v": voltage_v,
            "current_a": drawn_a,
            "power_w": voltage_v * drawn_a * _POWER_FACTOR,
            "energy_kwh": self.energy_kwh(seen),
            "leakage_ma": np.maximum(leakage_ma + self.noise(seen, "leakage", 0.3), 0.0),
            "touch_voltage_v": np.maximum(touch_v + self.noise(seen, "touch", 0.1), 0.0),
            "tilt_deg": np.abs(tilt_deg + self.noise(seen, "tilt", 0.05)),
            "door_open": seen.told("door_open"),
            "pm2_5_ug_m3": np.maximum(self.pm2_5[unit] * washed + self.noise(seen, "dust", 4.0), 0.0),
            "noise_db": self.noise_db[unit] + busy_db + self.noise(seen, "loudness", 2.0),
        }

    def energy_kwh(self, seen: Sightings) -> Floats:
        """What its counter shows: it only ever grows."""
        used_wh = self.rated_w[seen.unit] * seen.lit_h + _STANDBY_W * seen.on_mains_h
        return np.asarray(self.counted_kwh[seen.unit] + used_wh / 1000)
