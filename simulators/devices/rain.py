"""雨量: a tipping bucket. It reports what has fallen since its previous report, in tips of 0.1 mm."""

from __future__ import annotations

from random import Random
from typing import ClassVar

from simulators.devices.powered import PoweredProfile
from simulators.devices.profile import Forced, Surroundings, Value
from simulators.roster import RosterDevice

_TIP_MM = 0.1


class RainProfile(PoweredProfile):
    __slots__ = ("catch_mm", "tipped")

    wet_interval: ClassVar[float] = 1 / 5

    def __init__(self, device: RosterDevice, random: Random) -> None:
        super().__init__(device, random)
        self.catch_mm = random.uniform(2.0, 5.0)
        self.tipped = 0

    def measure(self, around: Surroundings, forced: Forced, elapsed_s: float) -> dict[str, Value]:
        values = self.power(forced)
        tips = int(forced.get("fallen_mm", self.catch_mm * around.fallen) / _TIP_MM)
        values["amount_mm"] = (tips - self.tipped) * _TIP_MM
        values["intensity_mm_h"] = forced.get("intensity_mm_h", self.catch_mm * around.fallen_per_h)
        self.tipped = tips
        return values
