"""Level gauges in a shaft, of two kinds: a pressure gauge at its bottom, or an ultrasonic one that looks down into it.

A pressure gauge measures whatever stands over it, up to its range: in a node that hydraulics drive to 60 m it shows
10. An ultrasonic gauge has a blind zone before its face, in which it shows the zone's end; once it is under water it
mostly does so too, and now and then some nonsense. Of what is farther than its range there is no echo, and no reading.
"""

from __future__ import annotations

import numpy as np

from simulators.devices.chance import Floats, bell, between, moments_of, share
from simulators.devices.profile import Profile
from simulators.devices.sightings import Sightings
from simulators.site import Site

PRESSURE_RANGE_M = 10.0
ULTRASONIC_RANGE_M = 8.0
_ULTRASONIC_MODELS = ("AX-200", "AX-310")
_FACE_BELOW_RIM_M = 0.08
_BLIND_M = 0.17
BLIND_BELOW_RIM_M = _FACE_BELOW_RIM_M + _BLIND_M
"""Nearer to the rim than this an ultrasonic gauge sees nothing."""
_NONSENSE = 0.1
"""The share of a submerged ultrasonic gauge's readings that are nonsense (proposed)."""


def ultrasonic_at(site: Site) -> bool:
    """Whether the level gauge there looks down from above."""
    deep_enough = site.rim_m - site.invert_m - site.zero_m > BLIND_BELOW_RIM_M
    return deep_enough and site.device.model.startswith(_ULTRASONIC_MODELS)


class Gauges:
    """The level gauges of a profile's devices. Levels count from each site's `zero_m`."""

    def __init__(self, profile: Profile) -> None:
        self._keys = profile.keys
        self._zero_m = profile.zero_m
        self._face_m = profile.shaft_m - profile.zero_m - _FACE_BELOW_RIM_M
        self.ultrasonic = np.array([ultrasonic_at(site) for site in profile.sites], np.bool_)
        self._offset_m = profile.trait("gauge offset", -0.01, 0.01)
        self._per_degree_m = profile.trait("gauge warmth", -0.0002, 0.0002)
        self._drift_m = profile.trait("gauge drift", 0.0, 0.003)
        self._drift_h = profile.trait("gauge drift period", 8.0, 30.0)

    def level_m(self, seen: Sightings) -> Floats:
        """What they show of the water over their zero."""
        unit, keys = seen.unit, self._keys[seen.unit]
        moments = moments_of(seen.at_s)
        water_m = seen.water_m - self._zero_m[unit]
        turn = seen.at_s / 3600 / self._drift_h[unit] + share(keys, "gauge drift phase")
        away_m = (
            self._offset_m[unit]
            + self._per_degree_m[unit] * (seen.air_c - 20)
            + self._drift_m[unit] * np.sin(2 * np.pi * turn)
        )
        by_pressure = np.clip(water_m, 0.0, PRESSURE_RANGE_M) + away_m + bell(keys, "gauge", moments) * 0.004
        ultrasonic = self.ultrasonic[unit]
        if not ultrasonic.any():
            return np.minimum(by_pressure, PRESSURE_RANGE_M)
        from_face = self._face_m[unit] - water_m
        distance_m = np.maximum(from_face - away_m + bell(keys, "gauge", moments) * 0.006, _BLIND_M)
        distance_m = np.where(from_face > ULTRASONIC_RANGE_M, np.nan, distance_m)
        nonsense = (from_face < 0) & (share(keys, "gauge nonsense", moments) < _NONSENSE)
        distance_m = np.where(nonsense, between(keys, "gauge echo", _BLIND_M, 3.0, moments), distance_m)
        return np.where(ultrasonic, self._face_m[unit] - distance_m, np.minimum(by_pressure, PRESSURE_RANGE_M))
