"""The faults of a scenario, as its file says them: what, whom, and from when until when."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from simulators.scenario.terms import Family, Moment, Name, Positive, Share, Strict
from underfoot.families import FAMILIES

_DECADE_S = 315_360_000.0


# whom ----------------------------------------------------------------------------------------------------------------
class Pick(Strict):
    """Which devices: of a family, at a kind of place, near a name, or named; `count` of them, a `share`, or all.

    `place`: underpass or road; foul, storm or a class code (covers, pipes); forebay or pump. `near`: a part of the name
    or address. `devices`: device ids or asset codes.
    """

    family: Family | None = None
    place: Name | None = None
    near: Name = ""
    devices: tuple[Name, ...] = ()
    count: Annotated[int, Field(ge=1)] | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Pick:
        if self.count is not None and self.share is not None:
            raise ValueError(f"count {self.count} and share {self.share}: say one of them")
        if self.devices and (self.count is not None or self.share is not None):
            raise ValueError("devices are named: count and share say nothing about them")
        return self


class PickPipe(Strict):
    """Which pipes: named (pipe id, or the link's name), or chosen where there is a gauge above and below, so that
    it can be told."""

    pipes: tuple[Name, ...] = ()
    water: Literal["foul", "storm"] | None = None
    count: Annotated[int, Field(ge=1)] = 1


class PickPump(Strict):
    """Which pumps: named (device id, or the link's name), or chosen among those that have a device."""

    pumps: tuple[Name, ...] = ()
    count: Annotated[int, Field(ge=1)] = 1


# faults --------------------------------------------------------------------------------------------------------------
class _Fault(Strict):
    """From `at` until `until`, or to the end of the run."""

    at: Moment = 0
    until: Moment | None = None

    @model_validator(mode="after")
    def _in_order(self) -> _Fault:
        if self.until is not None and self.until <= self.at:
            raise ValueError(f"until {self.until:g} s is not after at {self.at:g} s")
        return self


class _OnDevices(_Fault):
    strikes: ClassVar[tuple[str, ...]] = tuple(FAMILIES)
    """Which families it can befall."""

    pick: Pick

    @model_validator(mode="after")
    def _befalls(self) -> _OnDevices:
        if self.pick.family is not None and self.pick.family not in self.strikes:
            raise ValueError(f"pick.family {self.pick.family}: it befalls {' or '.join(self.strikes)} only")
        return self


class _OnField(_OnDevices):
    """Of a measured quantity."""

    field: str

    @model_validator(mode="after")
    def _measured(self) -> _OnField:
        of = [self.pick.family] if self.pick.family is not None else list(FAMILIES)
        measured = {
            column.name: None for family in of for column in FAMILIES[family].columns if column.resolution is not None
        }
        if self.field not in measured:
            raise ValueError(f"field {self.field}: {' or '.join(of)} measures {', '.join(measured)}")
        return self


class OpenCover(_OnDevices):
    """Lifted or stolen: the sensor says open; `tilt_deg` 0: it lies beside the hole."""

    strikes = ("cover",)

    fault: Literal["open_cover"]
    tilt_deg: Annotated[float, Field(ge=0, le=180)] = 78.0


class TiltedCover(_OnDevices):
    strikes = ("cover",)

    fault: Literal["tilted_cover"]
    tilt_deg: Annotated[float, Field(ge=0, le=180)] = 20.0


class Vibration(_OnDevices):
    """Traffic or tampering shakes the cover; it stays where it is."""

    strikes = ("cover",)

    fault: Literal["vibration"]


class BlockedPipe(_Fault):
    """`open_share` of its full flow still passes (0 is shut): SWMM's flow_limit."""

    fault: Literal["blocked_pipe"]
    pick: PickPipe
    open_share: Share = 0.05


class FailedPump(_Fault):
    """It stands still whatever the level; `tells`: its controller reports the fault."""

    fault: Literal["failed_pump"]
    pick: PickPump
    tells: bool = True


class FailedLamp(_OnDevices):
    """Commanded on, draws nothing."""

    strikes = ("lamp",)

    fault: Literal["failed_lamp"]


class Leakage(_OnDevices):
    strikes = ("lamp",)

    fault: Literal["leakage"]
    leakage_ma: Annotated[float, Field(gt=0, le=1000)] = 60.0
    touch_voltage_v: Annotated[float, Field(ge=0, le=400)] = 0.0


class StuckSensor(_OnDevices):
    """Its values stay what they were (`fields`, or all that are measured)."""

    fault: Literal["stuck_sensor"]
    fields: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> StuckSensor:
        of = [self.pick.family] if self.pick.family is not None else list(FAMILIES)
        known = {name: None for family in of for name in FAMILIES[family].fields}
        for name in self.fields:
            if name not in known:
                raise ValueError(f"fields {name}: {' or '.join(of)} has {', '.join(known)}")
        return self


class DriftingSensor(_OnField):
    """Off by so much more every hour, in the field's unit."""

    fault: Literal["drifting_sensor"]
    per_hour: float

    @field_validator("per_hour")
    @classmethod
    def _drifts(cls, per_hour: float) -> float:
        if not per_hour:
            raise ValueError("0 is no drift")
        return per_hour


class SpikingSensor(_OnField):
    """A `share` of its readings is off by `size`, in the field's unit, either way."""

    fault: Literal["spiking_sensor"]
    size: Positive
    share: Share = 0.05


class DeadSensor(_OnDevices):
    """Nothing comes any more."""

    fault: Literal["dead_sensor"]


class PowerCut(_OnDevices):
    """Mains are gone: lamps, pumps and gateways say nothing and do nothing; batteries go on. A `count` or `share` is
    those around one point, since a cut has a place. A gateway goes with the half of its devices that have mains."""

    fault: Literal["power_cut"]


class Duplicate(_OnDevices):
    """A `share` of messages comes again within `within_s`. What carries no time of its own is not repeated: two of
    those are rightly two."""

    fault: Literal["duplicate"]
    share: Share = 0.1
    within_s: Positive = 60.0


class Reorder(_OnDevices):
    """Messages of `within_s` come in any order."""

    fault: Literal["reorder"]
    within_s: Positive = 60.0


class Delay(_OnDevices):
    """Every message comes `seconds` later, with its own time; the order stays."""

    fault: Literal["delay"]
    seconds: Positive


class Loss(_OnDevices):
    """A `share` of messages is lost before anybody has it."""

    fault: Literal["loss"]
    share: Share


class CorruptPayload(_OnDevices):
    """A `share` of messages arrives damaged, beside nothing: the report is lost but for its quarantine."""

    fault: Literal["corrupt_payload"]
    share: Share


class WrongClock(_OnDevices):
    """Its times are off by `by_s`, or count from 1970 (`since_1970`); where its messages have a time of its own."""

    fault: Literal["wrong_clock"]
    by_s: Annotated[float, Field(ge=-_DECADE_S, le=_DECADE_S)] = 0.0
    since_1970: bool = False

    @model_validator(mode="after")
    def _wrong(self) -> WrongClock:
        if bool(self.by_s) == self.since_1970:
            raise ValueError(f"by_s {self.by_s:g}, since_1970 {self.since_1970}: say one of them")
        return self


class GatewayOutage(_Fault):
    """Its devices go on measuring; `keeps`: what they measured comes when it is back (10 000 reports at most), else it
    is gone."""

    fault: Literal["gateway_outage"]
    gateways: tuple[Name, ...] = ()
    count: Annotated[int, Field(ge=1)] = 1
    keeps: bool = True


class ReconnectStorm(_Fault):
    """At `at` every connection of the fleet (or a `share`) drops and comes back within `within_s`."""

    fault: Literal["reconnect_storm"]
    share: Share = 1.0
    within_s: Positive = 10.0


class MaliciousPublisher(_Fault):
    """Somebody with a foothold on the broker writes `rate` messages a second (simulated): under others' names and
    unknown ones, out of range, far too long, not JSON. It forges no sound report: the broker's rights stop that."""

    fault: Literal["malicious_publisher"]
    rate: Positive = 5.0


Fault = Annotated[
    OpenCover
    | TiltedCover
    | Vibration
    | BlockedPipe
    | FailedPump
    | FailedLamp
    | Leakage
    | StuckSensor
    | DriftingSensor
    | SpikingSensor
    | DeadSensor
    | PowerCut
    | Duplicate
    | Reorder
    | Delay
    | Loss
    | CorruptPayload
    | WrongClock
    | GatewayOutage
    | ReconnectStorm
    | MaliciousPublisher,
    Field(discriminator="fault"),
]
