"""How the six families' devices behave: one file a family. `profile` makes the one for a device of the ledger."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from simulators.devices.cover import CoverProfile
from simulators.devices.lamp import LampProfile
from simulators.devices.pipe import PipeProfile
from simulators.devices.profile import Forced, Profile, Surroundings
from simulators.devices.pump import PumpProfile
from simulators.devices.rain import RainProfile
from simulators.devices.road import RoadProfile
from simulators.roster import RosterDevice

_PROFILES: dict[str, Callable[[RosterDevice, Random], Profile]] = {
    "cover": CoverProfile,
    "road": RoadProfile,
    "pipe": PipeProfile,
    "pump": PumpProfile,
    "rain": RainProfile,
    "lamp": LampProfile,
}


def profile(device: RosterDevice, random: Random) -> Profile:
    return _PROFILES[device.family](device, random)


__all__ = ["Forced", "Profile", "Surroundings", "profile"]
