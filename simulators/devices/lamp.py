"""多功能灯杆: burns when it is dark, and watches its pole, its cabinet and the air."""

from __future__ import annotations

import re
from random import Random

from simulators.devices.profile import Forced, Profile, Surroundings, Value
from simulators.roster import RosterDevice

_POWER_FACTOR = 0.95
_STANDBY_A = 0.012
_RATED_W = re.compile(r"-(\d{2,3})$")


class LampProfile(Profile):
    __slots__ = ("energy_kwh", "leakage_ma", "noise_db", "pm2_5", "rated_w", "tilt_deg", "touch_v", "voltage_v")

    def __init__(self, device: RosterDevice, random: Random) -> None:
        super().__init__(device, random)
        named = _RATED_W.search(device.model)
        self.rated_w = float(named[1]) if named else 100.0
        self.voltage_v = random.uniform(222, 234)
        self.energy_kwh = random.uniform(50, 4000)
        self.leakage_ma = random.uniform(0.5, 6.0)
        self.touch_v = random.uniform(0.2, 1.5)
        self.tilt_deg = random.uniform(0.1, 1.2)
        self.pm2_5 = random.uniform(22, 55)
        self.noise_db = random.uniform(46, 62)

    def measure(self, around: Surroundings, forced: Forced, elapsed_s: float) -> dict[str, Value]:
        on = around.dark
        voltage_v = forced.get("voltage_v", self.voltage_v) + self.noise(2)
        full_a = self.rated_w / (voltage_v * _POWER_FACTOR)
        current_a = forced.get("current_a", full_a * (1 + self.noise(0.02))) if on else _STANDBY_A
        power_w = voltage_v * current_a * _POWER_FACTOR
        self.energy_kwh += power_w * max(elapsed_s, 0.0) / 3_600_000
        return {
            "on": on,
            "dimming_pct": 100 if on else 0,
            "voltage_v": voltage_v,
            "current_a": current_a,
            "power_w": power_w,
            "energy_kwh": self.energy_kwh,
            "leakage_ma": forced.get("leakage_ma", self.leakage_ma) + self.noise(0.3),
            "touch_voltage_v": forced.get("touch_voltage_v", self.touch_v) + self.noise(0.1),
            "tilt_deg": forced.get("tilt_deg", self.tilt_deg) + self.noise(0.05),
            "door_open": bool(forced.get("door_open", 0)),
            "pm2_5_ug_m3": self.pm2_5 + self.noise(4),
            "noise_db": self.noise_db + self.noise(2),
        }
