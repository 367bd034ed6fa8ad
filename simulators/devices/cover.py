"""智慧井盖: lies still, and says at once when it does not. Covers of sewers also watch water and gas."""

from __future__ import annotations

from random import Random

from simulators.devices.powered import PoweredProfile
from simulators.devices.profile import Forced, Surroundings, Value
from simulators.roster import FOUL_KIND, STORM_KIND, RosterDevice


class CoverProfile(PoweredProfile):
    __slots__ = ("foul", "gas", "sewer", "tilt_deg", "water_m")

    def __init__(self, device: RosterDevice, random: Random) -> None:
        super().__init__(device, random)
        self.foul = device.kind == FOUL_KIND
        self.sewer = self.foul or device.kind == STORM_KIND
        self.tilt_deg = random.uniform(0.4, 3.0)
        self.water_m = random.uniform(2.4, 4.5)
        self.gas = random.uniform(0.3, 1.0)

    def measure(self, around: Surroundings, forced: Forced, elapsed_s: float) -> dict[str, Value]:
        values = self.power(forced)
        values["tilt_deg"] = abs(forced.get("tilt_deg", self.tilt_deg) + self.noise(0.2))
        values["open"] = bool(forced.get("open", 0))
        values["vibration"] = bool(forced.get("vibration", 0))
        if self.sewer:
            water_m = self.water_m - 0.7 * around.strength
            gas = self.gas if self.foul else self.gas / 3
            values["water_below_rim_m"] = forced.get("water_below_rim_m", water_m) + self.noise(0.02)
            values["h2s_mg_m3"] = forced.get("h2s_mg_m3", 4.0 * gas) + self.noise(0.2)
            values["ch4_lel_pct"] = forced.get("ch4_lel_pct", 3.0 * gas) + self.noise(0.2)
            values["co_mg_m3"] = forced.get("co_mg_m3", 2.5 * gas) + self.noise(0.2)
            values["o2_vol_pct"] = forced.get("o2_vol_pct", 20.8 - 0.3 * gas) + self.noise(0.1)
        return values
