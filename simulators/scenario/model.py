"""A scenario as its file says it: the rain, the habits of the air, and the faults, each with its time and its place.

Times of faults are hours and minutes of the scenario (`01:20`), so that a reader sees when what happens. Who is struck
is picked by what he is or by name, and where a pick leaves a choice, the run's seed makes it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Family = Literal["cover", "road", "pipe", "pump", "rain", "lamp"]
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?")


def _seconds(said: object) -> object:
    """`01:20` or `01:20:30` → seconds of the scenario; a bare number is refused by what comes after, as ambiguous."""
    if not isinstance(said, str):
        raise ValueError(f"{said!r}: write hours and minutes in quotes, like '01:20'")  # noqa: TRY004 - pydantic's way
    found = _CLOCK.fullmatch(said)
    if found is None:
        raise ValueError(f"{said!r}: write hours and minutes, like '01:20' or '01:20:30'")
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)


Moment = Annotated[float, BeforeValidator(_seconds)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# rain ----------------------------------------------------------------------------------------------------------------
class ChicagoRain(_Strict):
    """A design storm by the city's own formula, q = 167·A1(1 + C·lgP)/(t + b)^n in L/(s·ha)."""

    rain: Literal["chicago"]
    site: str = "anyang"
    """Whose parameters: one of simulators/rain/sites.yaml."""
    period_years: Positive
    minutes: Annotated[int, Field(ge=5, le=1440)]
    peak_at: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """r: which part of it comes before the peak."""
    begins: Moment = 0


class UniformRain(_Strict):
    rain: Literal["uniform"]
    mm_h: Annotated[float, Field(ge=0, le=500)]
    minutes: Annotated[int, Field(ge=1, le=10_080)]
    begins: Moment = 0


class CsvRain(_Strict):
    """Columns `minute, mm_h` (all gages alike) or `minute, gage, mm_h`; the file stands beside the scenario's."""

    rain: Literal["csv"]
    file: str
    begins: Moment = 0


class RecordRain(_Strict):
    """An event on record, minute by minute: zhengzhou-0720 is 201.9 mm in the hour from 16:00 on 2021-07-20."""

    rain: Literal["record"]
    event: Literal["zhengzhou-0720"]
    scale: Annotated[float, Field(gt=0, le=3)] = 1.0
    begins: Moment = 0


class CellRain(_Strict):
    """A storm cell that crosses the city: a bell of `width_m` (its half-width), strongest `mm_h`, from `from_deg`
    (where it comes from, clockwise from north) at `speed_m_s`, over the city's middle at `over_middle`."""

    rain: Literal["cell"]
    mm_h: Annotated[float, Field(gt=0, le=500)]
    width_m: Positive
    from_deg: Annotated[float, Field(ge=0, lt=360)] = 270.0
    speed_m_s: Positive
    over_middle: Moment


class NoRain(_Strict):
    rain: Literal["none"]


Rain = Annotated[
    ChicagoRain | UniformRain | CsvRain | RecordRain | CellRain | NoRain,
    Field(discriminator="rain"),
]


# whom ----------------------------------------------------------------------------------------------------------------
class Pick(_Strict):
    """Which devices: of a family, at a kind of place, near a name, or named; `count` of them, or a `share`."""

    family: Family | None = None
    place: str | None = None
    near: str = ""
    devices: tuple[str, ...] = ()
    count: Annotated[int, Field(ge=1)] | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Pick:
        if self.count is not None and self.share is not None:
            raise ValueError(f"count {self.count} and share {self.share}: say one of them")
        if self.devices and (self.count is not None or self.share is not None):
            raise ValueError("devices are named: count and share say nothing about them")
        return self


class PickPipe(_Strict):
    """Which pipes: named, or chosen where there is a gauge above and below, so that it can be told."""

    pipes: tuple[str, ...] = ()
    water: Literal["storm", "foul"] | None = None
    count: Annotated[int, Field(ge=1)] = 1


class PickPump(_Strict):
    pumps: tuple[str, ...] = ()
    count: Annotated[int, Field(ge=1)] = 1


# faults --------------------------------------------------------------------------------------------------------------
class _Fault(_Strict):
    """From `at` until `until`, or to the end of the run."""

    at: Moment = 0
    until: Moment | None = None

    @model_validator(mode="after")
    def _in_order(self) -> _Fault:
        if self.until is not None and self.until <= self.at:
            raise ValueError(f"until {self.until:g} s is not after at {self.at:g} s")
        return self


class _OnDevices(_Fault):
    pick: Pick


class OpenCover(_OnDevices):
    """Lifted or stolen: the sensor says open; `tilt_deg` 0: it lies beside the hole."""

    fault: Literal["open_cover"]
    tilt_deg: Annotated[float, Field(ge=0, le=180)] = 78.0


class TiltedCover(_OnDevices):
    fault: Literal["tilted_cover"]
    tilt_deg: Annotated[float, Field(ge=0, le=180)] = 20.0


class Vibration(_OnDevices):
    """Traffic or tampering shakes the cover; it stays where it is."""

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

    fault: Literal["failed_lamp"]


class Leakage(_OnDevices):
    fault: Literal["leakage"]
    leakage_ma: Annotated[float, Field(gt=0, le=1000)] = 60.0
    touch_voltage_v: Annotated[float, Field(ge=0, le=400)] = 0.0


class StuckSensor(_OnDevices):
    """Its values stay what they were (`fields`, or all that are measured)."""

    fault: Literal["stuck_sensor"]
    fields: tuple[str, ...] = ()


class DriftingSensor(_OnDevices):
    """Off by so much more every hour, in the field's unit."""

    fault: Literal["drifting_sensor"]
    field: str
    per_hour: float


class SpikingSensor(_OnDevices):
    """A `share` of its readings is off by `size`, in the field's unit, either way."""

    fault: Literal["spiking_sensor"]
    field: str
    size: Positive
    share: Share = 0.05


class DeadSensor(_OnDevices):
    """Nothing comes any more."""

    fault: Literal["dead_sensor"]


class PowerCut(_OnDevices):
    """Mains are gone: lamps, pumps and gateways say nothing and do nothing; batteries go on."""

    fault: Literal["power_cut"]


class Duplicate(_OnDevices):
    """A `share` of messages comes again within `within_s`."""

    fault: Literal["duplicate"]
    share: Share = 0.1
    within_s: Positive = 60.0


class Reorder(_OnDevices):
    """Messages of `within_s` come in any order."""

    fault: Literal["reorder"]
    within_s: Positive = 60.0


class Delay(_OnDevices):
    """Every message comes `seconds` later, with its own time."""

    fault: Literal["delay"]
    seconds: Positive


class Loss(_OnDevices):
    """A `share` of messages is never sent."""

    fault: Literal["loss"]
    share: Share


class CorruptPayload(_OnDevices):
    """A `share` of messages arrives damaged, beside nothing: the report is lost but for its quarantine."""

    fault: Literal["corrupt_payload"]
    share: Share


class WrongClock(_OnDevices):
    """Its times are off by `by_s`, or count from 1970 (`since_1970`)."""

    fault: Literal["wrong_clock"]
    by_s: float = 0.0
    since_1970: bool = False

    @model_validator(mode="after")
    def _wrong(self) -> WrongClock:
        if bool(self.by_s) == self.since_1970:
            raise ValueError(f"by_s {self.by_s:g}, since_1970 {self.since_1970}: say one of them")
        return self


class GatewayOutage(_Fault):
    """Its devices go on measuring; `keeps`: what they measured comes when it is back, else it is gone."""

    fault: Literal["gateway_outage"]
    gateways: tuple[str, ...] = ()
    count: Annotated[int, Field(ge=1)] = 1
    keeps: bool = True


class ReconnectStorm(_Fault):
    """At `at` every connection of the fleet (or a `share`) drops and comes back within `within_s`."""

    fault: Literal["reconnect_storm"]
    share: Share = 1.0
    within_s: Positive = 10.0


class MaliciousPublisher(_Fault):
    """Somebody with a foothold on the broker writes `rate` messages a second (simulated): under others' names and
    unknown ones, out of range, far too long, not JSON."""

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


# the whole -----------------------------------------------------------------------------------------------------------
class Radio(_Strict):
    """NB-IoT as it is: `loss` of ordinary messages, `loss_flooded` under a flooded cover, and how long a message takes
    (lognormal: median and the sigma of its logarithm)."""

    loss: Share = 0.02
    loss_flooded: Share = 0.2
    latency_median_s: Positive = 2.0
    latency_sigma: Positive = 0.8


class Equipment(_Strict):
    """How the network is equipped: shares of places that have a device, and what stands beside it in the streets."""

    pipe_gauges: Share = 0.5
    cover_sensors: Share = 0.3
    road_gauges: Share = 1.0
    lamps_per_node: Annotated[float, Field(ge=0, le=1000)] = 1.0
    through_gateways: Share = 0.0
    """The share of devices that speak through a gateway, in batches."""
    speeches: dict[str, Positive] = Field(default_factory=lambda: {"json": 1.0})
    """How devices speak, by weight: json, cbor, or a shipped vendor mapping's name."""


class Load(_Strict):
    """Beyond what the fleet itself says: plain reports of a registry of so many devices, at a rate."""

    registry: Annotated[int, Field(ge=1, le=1_000_000)]
    rate: Annotated[float, Field(gt=0, le=1_000_000)]


class Scenario(_Strict):
    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    title: str
    about: str
    """What a tester reads before he runs it, in two or three sentences."""
    hours: Annotated[float, Field(gt=0, le=168)]
    daylight: Literal["clock", "night", "day"] = "clock"
    rain: tuple[Rain, ...]
    radio: Radio = Radio()
    equipment: Equipment = Equipment()
    faults: tuple[Fault, ...] = ()
    load: Load | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_rain(cls, data: Any) -> Any:
        """A single rain may stand without a list around it."""
        if isinstance(data, dict) and isinstance(data.get("rain"), dict):
            data = {**data, "rain": [data["rain"]]}
        return data

    @model_validator(mode="after")
    def _within(self) -> Scenario:
        for number, fault in enumerate(self.faults):
            if fault.at >= self.hours * 3600:
                raise ValueError(f"faults.{number}: {fault.fault} begins after the scenario's {self.hours:g} h")
        return self
