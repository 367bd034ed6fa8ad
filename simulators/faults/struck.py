"""Whom a scenario's faults strike in one city, in seconds of simulated time: picks made, nothing left to chance.

Hydraulics take `blockages` and `pump_failures`, devices `forced` and `sensors`, the way to the broker the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from simulators.scenario.faults import (
    CorruptPayload,
    DeadSensor,
    Delay,
    DriftingSensor,
    Duplicate,
    GatewayOutage,
    Loss,
    MaliciousPublisher,
    PowerCut,
    ReconnectStorm,
    Reorder,
    SpikingSensor,
    StuckSensor,
    WrongClock,
)

FOREVER = math.inf
"""`until_s` of what lasts to the end of the run."""

Fault = TypeVar("Fault")
OfSensor = StuckSensor | DriftingSensor | SpikingSensor | DeadSensor | PowerCut
OnTheWay = Duplicate | Reorder | Delay | Loss | CorruptPayload | WrongClock


@dataclass(frozen=True, slots=True)
class Blockage:
    link: str
    pipe_id: str
    begins_s: float
    until_s: float
    open_share: float


@dataclass(frozen=True, slots=True)
class PumpFailure:
    link: str
    begins_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Forced:
    """What really is so at a device's place, by quantity: `open` and `vibration` 0 or 1, `tilt_deg`, `lamp_failed`,
    `leakage_ma`, `touch_voltage_v`, `fault` (a pump's controller says so)."""

    fault: str
    begins_s: float
    until_s: float
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class During(Generic[Fault]):
    """A fault of the scenario file on one device, in seconds."""

    fault: Fault
    begins_s: float
    until_s: float

    def lasts_at(self, at_s: float) -> bool:
        return self.begins_s <= at_s < self.until_s


@dataclass(frozen=True)
class Struck:
    """By device id where it is about devices, by gateway id where about gateways."""

    blockages: tuple[Blockage, ...] = ()
    pump_failures: tuple[PumpFailure, ...] = ()
    forced: dict[str, tuple[Forced, ...]] = field(default_factory=dict)
    sensors: dict[str, tuple[During[OfSensor], ...]] = field(default_factory=dict)
    on_the_way: dict[str, tuple[During[OnTheWay], ...]] = field(default_factory=dict)
    gateways: dict[str, tuple[During[GatewayOutage], ...]] = field(default_factory=dict)
    connections: tuple[During[ReconnectStorm], ...] = ()
    malicious: tuple[During[MaliciousPublisher], ...] = ()
