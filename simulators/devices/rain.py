"""雨量: a tipping bucket. It reports what has fallen since its previous report, in whole tips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from simulators.devices.powered import OF_ITSELF, PoweredProfile
from simulators.devices.profile import Columns
from simulators.devices.sightings import Sightings
from simulators.site import Site

_FINE_MODELS = ("ZY-T01",)
_TIP_MM, _FINE_TIP_MM = 0.2, 0.1
_RANGE_MM_H = 480.0
"""8 mm a minute: beyond that the bucket cannot follow (proposed)."""


class RainProfile(PoweredProfile):
    family: ClassVar[str] = "rain"
    sheltered = False
    steady = OF_ITSELF
    heeds: ClassVar[frozenset[str]] = frozenset({"battery_pct"})

    def __init__(self, sites: Sequence[Site], seed: int) -> None:
        super().__init__(sites, seed)
        fine = np.array([site.device.model.startswith(_FINE_MODELS) for site in sites], np.bool_)
        self.tip_mm = np.where(fine, _FINE_TIP_MM, _TIP_MM)

    def measure(self, seen: Sightings) -> Columns:
        values = self.power(seen)
        tip_mm = self.tip_mm[seen.unit]
        tips = np.floor(seen.fallen_mm / tip_mm + 1e-6) - np.floor(seen.fallen_before_mm / tip_mm + 1e-6)
        values["amount_mm"] = np.maximum(tips, 0.0) * tip_mm
        values["intensity_mm_h"] = np.clip(seen.rain_mm_h * (1 + self.noise(seen, "intensity", 0.02)), 0.0, _RANGE_MM_H)
        return values
