"""积水点: asleep on a dry road but for its heartbeat; once a minute in rain."""

from __future__ import annotations

from random import Random
from typing import ClassVar

from simulators.devices.powered import PoweredProfile
from simulators.devices.profile import Forced, Surroundings, Value
from simulators.roster import RosterDevice
from underfoot.families.road import Place


class RoadProfile(PoweredProfile):
    __slots__ = ("drift_cm", "place", "wet_film_cm")

    wet_interval: ClassVar[float] = 1 / 15

    def __init__(self, device: RosterDevice, random: Random) -> None:
        super().__init__(device, random)
        self.drift_cm = random.uniform(-0.3, 0.3)
        self.wet_film_cm = random.uniform(0.1, 0.8)
        self.place = Place.underpass if device.underpass else Place.road

    def measure(self, around: Surroundings, forced: Forced, elapsed_s: float) -> dict[str, Value]:
        values = self.power(forced)
        depth_cm = self.drift_cm + max(self.wet_film_cm * around.strength, forced.get("depth_cm", 0.0))
        values["depth_cm"] = depth_cm + self.noise(0.2)
        values["place"] = int(self.place)
        return values
