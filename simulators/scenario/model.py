"""A scenario as its file says it: the rain, the habits of the air, and the faults, each with its time and its place.

Times of faults are hours and minutes of the scenario (`01:20`), so that a reader sees when what happens. Who is struck
is picked by what he is or by name, and where a pick leaves a choice, the run's seed makes it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from simulators.scenario.faults import Fault
from simulators.scenario.terms import Moment, Positive, Share, Strict
from simulators.speech import SPEECHES


# rain ----------------------------------------------------------------------------------------------------------------
class ChicagoRain(Strict):
    """A design storm by the city's own formula, q = 167·A1(1 + C·lgP)/(t + b)^n in L/(s·ha)."""

    rain: Literal["chicago"]
    site: str = "anyang"
    """Whose parameters: one of simulators/rain/sites.yaml."""
    period_years: Positive
    minutes: Annotated[int, Field(ge=5, le=1440)]
    peak_at: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """r: which part of it comes before the peak."""
    begins: Moment = 0


class UniformRain(Strict):
    rain: Literal["uniform"]
    mm_h: Annotated[float, Field(ge=0, le=500)]
    minutes: Annotated[int, Field(ge=1, le=10_080)]
    begins: Moment = 0


class CsvRain(Strict):
    """Columns `minute, mm_h` (all gages alike) or `minute, gage, mm_h`; the file stands beside the scenario's."""

    rain: Literal["csv"]
    file: str
    begins: Moment = 0


class RecordRain(Strict):
    """An event on record, minute by minute: zhengzhou-0720 is 201.9 mm in the hour from 16:00 on 2021-07-20."""

    rain: Literal["record"]
    event: Literal["zhengzhou-0720"]
    scale: Annotated[float, Field(gt=0, le=3)] = 1.0
    begins: Moment = 0


class CellRain(Strict):
    """A storm cell that crosses the city: a bell of `width_m` (its half-width), strongest `mm_h`, from `from_deg`
    (where it comes from, clockwise from north) at `speed_m_s`, over the city's middle at `over_middle`."""

    rain: Literal["cell"]
    mm_h: Annotated[float, Field(gt=0, le=500)]
    width_m: Positive
    from_deg: Annotated[float, Field(ge=0, lt=360)] = 270.0
    speed_m_s: Positive
    over_middle: Moment


class NoRain(Strict):
    rain: Literal["none"]


Rain = Annotated[
    ChicagoRain | UniformRain | CsvRain | RecordRain | CellRain | NoRain,
    Field(discriminator="rain"),
]


# the whole -----------------------------------------------------------------------------------------------------------
class Radio(Strict):
    """NB-IoT as it is: `loss` of ordinary messages, `loss_flooded` under a flooded cover, and how long a message takes
    (lognormal: median and the sigma of its logarithm)."""

    loss: Share = 0.02
    loss_flooded: Share = 0.2
    latency_median_s: Positive = 2.0
    latency_sigma: Positive = 0.8


class Equipment(Strict):
    """How the network is equipped: shares of places that have a device, and what stands beside it in the streets."""

    pipe_gauges: Share = 0.5
    cover_sensors: Share = 0.3
    road_gauges: Share = 1.0
    lamps_per_node: Annotated[float, Field(ge=0, le=1000)] = 1.0
    through_gateways: Share = 0.0
    """The share of devices that speak through a gateway, in batches."""
    speeches: dict[str, Positive] = Field(default_factory=lambda: {"json": 1.0})
    """How devices speak, by weight: json, cbor, or a shipped vendor mapping's name (for its own families)."""

    @field_validator("speeches")
    @classmethod
    def _spoken(cls, speeches: dict[str, float]) -> dict[str, float]:
        allowed = [name for name in SPEECHES if name != "gateway"]
        for name in speeches:
            if name == "gateway":
                raise ValueError("gateway: through_gateways says how many speak through one")
            if name not in allowed:
                raise ValueError(f"{name}: there are {', '.join(allowed)}")
        if not speeches:
            raise ValueError(f"at least one of {', '.join(allowed)}")
        return speeches


class Load(Strict):
    """Beyond what the fleet itself says: plain reports of a registry of so many devices, at a rate."""

    registry: Annotated[int, Field(ge=1, le=1_000_000)]
    rate: Annotated[float, Field(gt=0, le=1_000_000)]


class Scenario(Strict):
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
            if fault.until is not None and fault.until > self.hours * 3600:
                raise ValueError(
                    f"faults.{number}: {fault.fault} ends after the scenario's {self.hours:g} h; without `until` it"
                    " lasts to the end"
                )
        if not self.rain:
            raise ValueError("rain: say none where there is none")
        for number, rain in enumerate(self.rain):
            if not isinstance(rain, NoRain | CellRain) and rain.begins >= self.hours * 3600:
                raise ValueError(f"rain.{number}: {rain.rain} begins after the scenario's {self.hours:g} h")
            if isinstance(rain, NoRain) and len(self.rain) > 1:
                raise ValueError(f"rain.{number}: none, and {len(self.rain) - 1} more: say one of them")
        return self
