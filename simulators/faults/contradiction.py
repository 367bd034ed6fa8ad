"""Which faults cannot both befall one device: what the one makes of it, the other makes otherwise."""

from __future__ import annotations

from simulators.faults.struck import FOREVER
from simulators.scenario.faults import (
    BlockedPipe,
    DeadSensor,
    DriftingSensor,
    FailedLamp,
    FailedPump,
    Fault,
    GatewayOutage,
    Leakage,
    OpenCover,
    PowerCut,
    SpikingSensor,
    StuckSensor,
    TiltedCover,
    Vibration,
)

_EVERYTHING = frozenset({"*"})
_OF_PLACES: dict[type, frozenset[str]] = {
    OpenCover: frozenset({"open", "tilt_deg"}),
    TiltedCover: frozenset({"tilt_deg"}),
    # It stays where it is.
    Vibration: frozenset({"vibration", "open", "tilt_deg"}),
    FailedLamp: frozenset({"current_a", "power_w"}),
    Leakage: frozenset({"leakage_ma", "touch_voltage_v"}),
    FailedPump: frozenset({"running", "current_a", "fault"}),
    DeadSensor: _EVERYTHING,
    PowerCut: _EVERYTHING,
}


def until_s(fault: Fault) -> float:
    return FOREVER if fault.until is None else fault.until


def makes(fault: Fault) -> frozenset[str]:
    """The fields whose values it dictates; none where it only touches how they come."""
    if isinstance(fault, StuckSensor):
        return frozenset(fault.fields) or _EVERYTHING
    if isinstance(fault, DriftingSensor | SpikingSensor):
        return frozenset({fault.field})
    return _OF_PLACES.get(type(fault), frozenset())


def shown_by(fault: Fault) -> frozenset[str]:
    """What a device must be able to say for it to be seen; any one of them will do. Empty: whatever it says."""
    made = makes(fault)
    return frozenset() if made == _EVERYTHING else made


def contradict(one: Fault, other: Fault) -> bool:
    if one.at >= until_s(other) or other.at >= until_s(one):
        return False
    if type(one) is type(other) and not isinstance(one, DriftingSensor | SpikingSensor | StuckSensor):
        return True
    if isinstance(one, BlockedPipe | GatewayOutage) or isinstance(other, BlockedPipe | GatewayOutage):
        return False
    mine, others = makes(one), makes(other)
    if not mine or not others:
        return False
    return _EVERYTHING in (mine, others) or bool(mine & others)
