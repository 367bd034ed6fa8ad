"""Sensor faults: what a stuck, drifting or spiking sensor makes of what it should show. Before values are rounded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simulators.devices.chance import Floats, Ints, moments_of, share
from simulators.devices.profile import Columns, Profile
from simulators.devices.sightings import Sightings
from simulators.faults.struck import During, OfSensor
from simulators.scenario.faults import DriftingSensor, SpikingSensor, StuckSensor

_ONE_SENSOR = (("level_m", "fill_ratio"), ("flow_m3_h", "velocity_m_s"))
"""Of a pipe's gauge: one sensor gives both, so both are wrong together."""


def touched(profile: type[Profile], fault: OfSensor) -> list[str]:
    """The fields of a family that are wrong while a sensor has this fault."""
    measured = profile.measured_fields()
    if isinstance(fault, StuckSensor):
        named = list(fault.fields) or measured
    elif isinstance(fault, DriftingSensor | SpikingSensor):
        named = [fault.field]
    else:
        return []
    together = {name for pair in _ONE_SENSOR if set(pair) & set(named) for name in pair if name in measured}
    return sorted({*named, *together})


class Frozen:
    """What stuck sensors showed when they got stuck."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, float], dict[str, float]] = {}

    def keep(self, device_id: str, begins_s: float, measured: Columns) -> None:
        self._values[device_id, begins_s] = {name: float(values[0]) for name, values in measured.items()}

    def of(self, device_id: str, begins_s: float) -> dict[str, float]:
        return self._values[device_id, begins_s]


class Faulty:
    """The faults of a fleet's sensors, by device id."""

    def __init__(self, sensors: Mapping[str, tuple[During[OfSensor], ...]], frozen: Frozen) -> None:
        self._sensors = sensors
        self._frozen = frozen

    def alter(self, profile: Profile, seen: Sightings, measured: Columns) -> None:
        """Make the measured columns what faulty sensors show, in place."""
        ids = [site.device.device_id for site in profile.sites]
        faulty = np.array([device_id in self._sensors for device_id in ids], np.bool_)
        for unit in np.unique(seen.unit[faulty[seen.unit]]).tolist():
            for during in self._sensors[ids[unit]]:
                lasts = (seen.at_s >= during.begins_s) & (seen.at_s < during.until_s)
                rows = np.flatnonzero((seen.unit == unit) & lasts)
                if len(rows):
                    self._one(profile, unit, during, rows, seen.at_s[rows], measured)

    def _one(
        self, profile: Profile, unit: int, during: During[OfSensor], rows: Ints, at_s: Floats, measured: Columns
    ) -> None:
        fault = during.fault
        names = [name for name in touched(type(profile), fault) if name in measured]
        if isinstance(fault, StuckSensor):
            shown = self._frozen.of(profile.sites[unit].device.device_id, during.begins_s)
            for name in names:
                measured[name][rows] = shown[name]
        elif isinstance(fault, DriftingSensor):
            self._add(
                profile, unit, fault.field, names, rows, fault.per_hour * (at_s - during.begins_s) / 3600, measured
            )
        elif isinstance(fault, SpikingSensor):
            keys, when = profile.keys[np.full(len(rows), unit)], moments_of(at_s)
            off = np.where(share(keys, "spike sign", when) < 0.5, -fault.size, fault.size)
            off = np.where(share(keys, "spike", when) < fault.share, off, 0.0)
            self._add(profile, unit, fault.field, names, rows, off, measured)

    def _add(
        self, profile: Profile, unit: int, field: str, names: list[str], rows: Ints, off: Floats, measured: Columns
    ) -> None:
        """`off` is in the named field's unit; what the same sensor gives besides is off in proportion."""
        for name in names:
            of_name = _per(profile, unit, name) / _per(profile, unit, field)
            measured[name][rows] += off * of_name


def _per(profile: Profile, unit: int, name: str) -> float:
    """How many of a field's units make the sensor's own."""
    diameter_m = float(profile.diameter_m[unit])
    if name == "fill_ratio":
        return 1 / diameter_m
    return 3600 * np.pi * diameter_m**2 / 4 if name == "flow_m3_h" else 1.0
