"""泵站: a pump that empties its forebay whenever it has filled. The level gauge is wired to a station's first pump."""

from __future__ import annotations

from random import Random

from simulators.devices.profile import Forced, Profile, Surroundings, Value
from simulators.roster import RosterDevice

_START_M = 2.2
_STOP_M = 1.2
_FAULT_CODE = 17


class PumpProfile(Profile):
    __slots__ = ("forebay_m", "gauge", "rated_a", "running")

    def __init__(self, device: RosterDevice, random: Random) -> None:
        super().__init__(device, random)
        self.gauge = device.forebay_gauge
        self.forebay_m = random.uniform(1.3, 2.0)
        self.rated_a = random.uniform(32, 44)
        self.running = False

    def measure(self, around: Surroundings, forced: Forced, elapsed_s: float) -> dict[str, Value]:
        self.forebay_m += -0.12 if self.running else 0.03 + 0.05 * around.strength
        if self.forebay_m >= _START_M:
            self.running = True
        elif self.forebay_m <= _STOP_M:
            self.running = False
        fault = bool(forced.get("fault", 0))
        running = bool(forced.get("running", self.running)) and not fault
        values: dict[str, Value] = {
            "running": running,
            "current_a": self.rated_a + self.noise(0.6) if running else 0.0,
            "fault": fault,
            "fault_code": _FAULT_CODE if fault else 0,
        }
        if self.gauge:
            values["forebay_level_m"] = forced.get("forebay_level_m", self.forebay_m) + self.noise(0.02)
        return values
