"""管网: a gauge in a sewer. Flow follows from fill and diameter."""

from __future__ import annotations

import math
from random import Random
from typing import ClassVar

from simulators.devices.powered import PoweredProfile
from simulators.devices.profile import Forced, Surroundings, Value
from simulators.roster import FOUL_KIND, RosterDevice
from underfoot.families.pipe import Network


class PipeProfile(PoweredProfile):
    __slots__ = ("diameter_m", "dry_fill", "network")

    wet_interval: ClassVar[float] = 1 / 3

    def __init__(self, device: RosterDevice, random: Random) -> None:
        super().__init__(device, random)
        self.network = Network.foul if device.kind == FOUL_KIND else Network.storm
        self.diameter_m = random.choice((0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2))
        self.dry_fill = random.uniform(0.2, 0.42) if self.network is Network.foul else random.uniform(0.02, 0.12)

    def measure(self, around: Surroundings, forced: Forced, elapsed_s: float) -> dict[str, Value]:
        values = self.power(forced)
        more = 0.12 if self.network is Network.foul else 0.55
        fill = max(forced.get("fill_ratio", self.dry_fill + more * around.strength) + self.noise(0.01), 0.0)
        velocity_m_s = 0.3 + 0.9 * min(fill, 1.0) + self.noise(0.05)
        values["level_m"] = fill * self.diameter_m
        values["fill_ratio"] = fill
        values["flow_m3_h"] = _wetted_area_m2(self.diameter_m, fill) * velocity_m_s * 3600
        values["velocity_m_s"] = velocity_m_s
        values["network"] = int(self.network)
        return values


def _wetted_area_m2(diameter_m: float, fill: float) -> float:
    angle = 2 * math.acos(1 - 2 * min(fill, 1.0))
    return diameter_m**2 / 8 * (angle - math.sin(angle))
