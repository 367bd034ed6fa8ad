"""What every battery-powered unit says of itself."""

from __future__ import annotations

from abc import ABC
from random import Random

from simulators.devices.profile import Forced, Profile, Value
from simulators.roster import RosterDevice

_FULL_V = 3.6
_EMPTY_V = 3.42
"""A lithium cell's voltage hardly falls before it is empty: charge is what is watched."""


class PoweredProfile(Profile, ABC):
    __slots__ = ("battery_pct", "rsrp_dbm", "temperature_c")

    def __init__(self, device: RosterDevice, random: Random) -> None:
        super().__init__(device, random)
        self.battery_pct = random.uniform(45, 100)
        self.rsrp_dbm = random.uniform(-100, -72)
        self.temperature_c = random.uniform(14, 22)

    def power(self, forced: Forced) -> dict[str, Value]:
        battery_pct = forced.get("battery_pct", self.battery_pct)
        return {
            "battery_v": _EMPTY_V + (_FULL_V - _EMPTY_V) * battery_pct / 100 + self.noise(0.01),
            "battery_pct": battery_pct,
            "rsrp_dbm": self.rsrp_dbm + self.noise(5),
            "temperature_c": self.temperature_c + self.noise(0.3),
        }
