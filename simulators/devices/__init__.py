"""How the six families' devices behave: one file a family. `Profiles` are those of a whole fleet.

sites + what is around them (columns, one row a report) → sensors' physics → sensor faults → what each report says
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from simulators.devices.chance import Flags, Ints
from simulators.devices.cover import CoverProfile
from simulators.devices.lamp import LampProfile
from simulators.devices.pipe import PipeProfile
from simulators.devices.powered import PoweredProfile
from simulators.devices.profile import Columns, Profile, as_sensed, rows_of
from simulators.devices.pump import PumpProfile
from simulators.devices.rain import RainProfile
from simulators.devices.road import RoadProfile
from simulators.devices.sightings import Sightings, sighted
from simulators.site import Site

PROFILES: dict[str, type[Profile]] = {
    one.family: one for one in (CoverProfile, RoadProfile, PipeProfile, PumpProfile, RainProfile, LampProfile)
}

Alter = Callable[[Profile, Sightings, Columns], None]
"""What sensor faults do to measured columns, in place, before they are rounded."""


class Profiles:
    """The profiles of a fleet's devices. In `Sightings` for it, `unit` is a place in `sites`."""

    def __init__(self, sites: Sequence[Site], seed: int) -> None:
        self.of_family: dict[str, Profile] = {}
        self._family_at = np.zeros(len(sites), np.int8)
        self._place_in_family = np.zeros(len(sites), np.int64)
        for number, (family, made) in enumerate(PROFILES.items()):
            units = [unit for unit, site in enumerate(sites) if site.device.family == family]
            self._family_at[units] = number
            self._place_in_family[units] = np.arange(len(units))
            self.of_family[family] = made([sites[unit] for unit in units], seed)

    def report(self, seen: Sightings, alter: Alter | None = None) -> list[dict[str, Any]]:
        """What each sighting's device says, in order."""
        said: list[dict[str, Any]] = [{}] * len(seen)
        for family, rows, own in self._by_family(seen):
            profile = self.of_family[family]
            measured = _measured(profile, own)
            if alter is not None:
                alter(profile, own, measured)
            for row, values in zip(rows.tolist(), rows_of(as_sensed(family, measured)), strict=True):
                said[row] = values
        return said

    def measured(self, seen: Sightings) -> Columns:
        """What one device's sensors would show, unrounded."""
        [(family, _, own)] = self._by_family(seen)
        return _measured(self.of_family[family], own)

    def dead(self, seen: Sightings) -> Flags:
        """Whose battery is at its end."""
        dead = np.zeros(len(seen), np.bool_)
        for family, rows, own in self._by_family(seen):
            profile = self.of_family[family]
            if isinstance(profile, PoweredProfile):
                dead[rows] = profile.charge(own) <= 0
        return dead

    def _by_family(self, seen: Sightings) -> list[tuple[str, Ints, Sightings]]:
        families = self._family_at[seen.unit]
        split = []
        for number, family in enumerate(self.of_family):
            rows = np.flatnonzero(families == number)
            if len(rows):
                own = seen.of(rows)
                own.unit[:] = self._place_in_family[own.unit]
                split.append((family, rows, own))
        return split


def _measured(profile: Profile, seen: Sightings) -> Columns:
    """With what is forced by a field's name, where the family's physics do not start from it."""
    measured = profile.measure(seen)
    for name in seen.forced.keys() & measured.keys() - profile.heeds:
        forced = seen.forced[name]
        measured[name] = np.where(np.isnan(forced), measured[name], forced).astype(measured[name].dtype)
    return measured


__all__ = ["PROFILES", "Profile", "Profiles", "Sightings", "sighted"]
