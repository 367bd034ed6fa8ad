"""Answers about incidents: what is told as one, what it has, where it is."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from api.models.alarms import Proof
from api.models.ledger import AreaRef, AssetRef
from api.parameters import Instant, Page
from api.rows import Row
from underfoot.alarms import Human, Severity

_LEFT = {"cleared": "已恢复", "told": "险情结束，已单独通知", "released": "险情结束，无需通知"}


class Kind(BaseModel):
    label: str = Field(examples=["下穿封"])
    count: int = Field(examples=[2])
    severity: int = Field(examples=[4])


class Standing(BaseModel):
    """A member and its value. `rising`: null where too few readings tell."""

    alarm_key: int = Field(examples=[12])
    episode: int = Field(examples=[1])
    rule_id: str = Field(examples=["road.underpass"])
    place: str = Field(examples=["东风路铁路桥下"])
    title: str = Field(examples=["下穿积水"])
    severity: int = Field(examples=[4])
    label: str = Field(examples=["积水深度"])
    value: float | None = Field(examples=[42.0])
    unit: str = Field(examples=["cm"])
    rising: bool | None


class Bucket(BaseModel):
    """Five minutes of the timeline."""

    at: Instant
    raised: int = Field(examples=[17])


class IncidentSummary(BaseModel):
    """An incident in one look."""

    at: Instant
    now: int = Field(description="Alarms that are open", examples=[14])
    total: int = Field(description="All that it has ever had", examples=[412])
    by_severity: dict[Literal["red", "orange", "yellow", "blue"], int] = Field(
        examples=[{"red": 3, "orange": 11, "yellow": 0, "blue": 0}]
    )
    unacknowledged: int = Field(examples=[4])
    kinds: list[Kind]
    worst: Standing | None
    deepest: Standing | None = Field(description="Where water stands highest on a road")
    extent: list[float] | None = Field(
        description="The map's frame: west, south, east, north (CGCS2000)", examples=[[114.35, 36.09, 114.38, 36.11]]
    )
    timeline: list[Bucket]


class Incident(BaseModel):
    """Alarms that are told as one. Its own alarm is an episode in /api/v1/alarms, to be acknowledged like any other."""

    incident_key: int = Field(examples=[3])
    kind: Literal["storm", "cause"]
    title: str = Field(examples=["文峰区宝莲寺街道暴雨险情"])
    area: AreaRef | None
    catchment: str = Field(examples=["宝莲寺街道"])
    state: Literal["open", "ended"]
    began_at: Instant
    ended_at: Instant | None = Field(examples=[None])
    episode_key: int | None = Field(description="Of its own alarm", examples=[4711])
    severity: int | None = Field(description="1 蓝, 2 黄, 3 橙, 4 红", examples=[4])
    severity_label: str | None = Field(examples=["红"])
    human: Human | None = Field(examples=["unacknowledged"])
    acknowledged_by: str | None = Field(examples=[None])
    acknowledged_at: Instant | None = Field(examples=[None])
    told_at: Instant | None
    told: IncidentSummary | None = Field(description="What was last told of it")

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(row | cls.parts(row))

    @staticmethod
    def parts(row: Row) -> Row:
        return {
            "area": AreaRef.of(row),
            "state": "open" if row["ended_at"] is None else "ended",
            "severity_label": Severity(row["severity"]).label if row["severity"] is not None else None,
        }


class IncidentPage(Page):
    items: list[Incident]


class MemberPoint(BaseModel):
    type: Literal["Point"] = "Point"
    coordinates: list[float] = Field(description="lon, lat (CGCS2000)", examples=[[114.36, 36.1]])


class MemberProperties(BaseModel):
    alarm_key: int = Field(examples=[12])
    episode: int = Field(examples=[1])
    title: str = Field(examples=["下穿积水"])
    place: str = Field(examples=["东风路铁路桥下"])
    severity: int = Field(examples=[4])
    acknowledged: bool


class MemberFeature(BaseModel):
    type: Literal["Feature"] = "Feature"
    geometry: MemberPoint
    properties: MemberProperties


class MemberMap(BaseModel):
    """RFC 7946. Members that the ledger knows a place of, the worst first."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    bbox: list[float] | None = Field(examples=[[114.35, 36.09, 114.38, 36.11]])
    features: list[MemberFeature]


class IncidentDetail(Incident):
    """`now` is as it is, `told` what was last told."""

    now: IncidentSummary
    map: MemberMap


class IncidentMember(BaseModel):
    """An episode's time in an incident."""

    alarm_key: int = Field(examples=[12])
    episode: int = Field(examples=[1])
    episode_key: int = Field(description="Its key in /api/v1/alarms", examples=[4711])
    rule_id: str = Field(examples=["road.underpass"])
    title: str = Field(examples=["下穿积水"])
    family: str | None = Field(examples=["road"])
    joined_at: Instant
    left_at: Instant | None = Field(description="null: it is in it now", examples=[None])
    left_because: Literal["cleared", "told", "released"] | None = Field(examples=[None])
    left_label: str | None = Field(examples=[None])
    alone: bool = Field(description="Told by itself, beside the digest: red, or the cause of others")
    state: Literal["open", "cleared"]
    severity: int = Field(examples=[4])
    severity_label: str = Field(examples=["红"])
    worst_severity: int = Field(examples=[4])
    human: Human = Field(examples=["unacknowledged"])
    suppressed: list[str] = Field(description="What suppresses it now", examples=[["by_design"]])
    raised_at: Instant
    cleared_at: Instant | None = Field(examples=[None])
    device_id: str | None = Field(examples=["road-0001"])
    asset: AssetRef | None
    area: AreaRef | None
    proof: Proof

    @classmethod
    def of(cls, row: Row) -> Self:
        parts: dict[str, Any] = {
            "left_label": _LEFT.get(row["left_because"] or ""),
            "state": "open" if row["cleared_at"] is None else "cleared",
            "severity_label": Severity(row["severity"]).label,
            "asset": AssetRef.of(row),
            "area": AreaRef.of(row),
        }
        return cls.model_validate(row | parts)


class IncidentMemberPage(Page):
    items: list[IncidentMember]
