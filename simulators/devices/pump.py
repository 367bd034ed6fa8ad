"""泵站: whether a pump runs, what it draws, and the forebay's level. The gauge is wired to a station's first pump."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from simulators.devices.gauge import Gauges
from simulators.devices.profile import Columns, Profile
from simulators.devices.sightings import Sightings
from simulators.site import Site

_FAULT_CODE = 17


class PumpProfile(Profile):
    family: ClassVar[str] = "pump"
    steady = frozenset({"fault_code"})
    heeds: ClassVar[frozenset[str]] = frozenset({"fault", "fault_code"})

    def __init__(self, sites: Sequence[Site], seed: int) -> None:
        super().__init__(sites, seed)
        self.gauges = Gauges(self)
        self.wired = np.array([site.device.forebay_gauge for site in sites], np.bool_)
        self.rated_a = self.trait("rated", 32, 44)

    def measure(self, seen: Sightings) -> Columns:
        fault = seen.told("fault")
        running = seen.running & ~fault & ~seen.told("powerless")
        drawn_a = self.rated_a[seen.unit] * (1 + self.noise(seen, "current", 0.015))
        return {
            "running": running,
            "current_a": np.where(running, drawn_a, 0.0),
            "fault": fault,
            "fault_code": np.where(fault, _FAULT_CODE, 0),
            "forebay_level_m": np.where(self.wired[seen.unit], self.gauges.level_m(seen), np.nan),
        }
