"""The truth of a run: what really happened in the simulated city, whatever its devices said. `score` holds alarms
against it. Written as JSON beside the hydrographs of the run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

HazardKind = Literal[
    "road_flooding",
    "road_rising",
    "overflow",
    "surcharge",
    "dry_weather_water",
    "blockage",
    "pump_failed",
    "forebay_high",
    "no_drop",
    "heavy_rain",
    "cover_open",
    "cover_tilted",
    "vibration",
    "lamp_failed",
    "leakage",
    "silence",
    "gateway_outage",
]

HAZARD_LABELS: dict[HazardKind, str] = {
    "road_flooding": "道路积水",
    "overflow": "井口冒溢",
    "blockage": "管道堵塞",
    "pump_failed": "水泵故障",
    "forebay_high": "前池超高",
    "surcharge": "管网高水位",
    "cover_open": "井盖打开",
    "cover_tilted": "井盖倾斜",
    "leakage": "灯杆漏电",
    "heavy_rain": "强降雨",
    "gateway_outage": "网关失联",
    "silence": "设备失联",
    "lamp_failed": "灯具不亮",
    "vibration": "井盖振动",
    "road_rising": "积水上涨",
    "no_drop": "开泵不降",
    "dry_weather_water": "旱天有水",
}
"""What people read, the gravest first."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrueHazard(_Strict):
    """One thing that really happened at one place. Times are epoch milliseconds of event time; `ends_ms` None: it
    still lasts when the run ends. `watched`: some device is there that could see it."""

    hazard_id: str
    kind: HazardKind
    begins_ms: int
    ends_ms: int | None
    peak: float | None = None
    """In the unit of the kind: cm on roads, m over the rim, fill ratio, mm/h, mA."""
    peak_ms: int | None = None
    severity: int = Field(0, ge=0, le=4)
    """The worst that the true values are worth by the shipped limits; 0 where there is none."""
    device_id: str = ""
    asset_code: str = ""
    node: str = ""
    pipe_id: str = ""
    gateway_id: str = ""
    watched: bool = True


class Lie(_Strict):
    """A sensor whose values are not the truth, or that says nothing: what alarms of it are not to be believed."""

    fault: str
    device_id: str
    begins_ms: int
    ends_ms: int | None
    fields: tuple[str, ...] = ()


class Truth(_Strict):
    scenario: str
    seed: int
    network: str
    begins_ms: int
    ends_ms: int
    devices: int
    hazards: tuple[TrueHazard, ...]
    lies: tuple[Lie, ...]

    @property
    def device_days(self) -> float:
        return self.devices * (self.ends_ms - self.begins_ms) / 86_400_000

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Truth:
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
