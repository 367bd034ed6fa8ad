"""Answers about the drainage network's pipes."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from api.models.ledger import AreaRef
from api.parameters import Instant, Page
from api.rows import Row

PipeKind = Literal["foul", "storm"]
Direction = Literal["upstream", "downstream"]


class PipeEnd(BaseModel):
    """The asset at which a pipe begins or ends."""

    asset_key: int = Field(examples=[312])
    asset_code: str = Field(description="部件编码", examples=["4105020102000312"])
    kind: str = Field(description="部件小类代码", examples=["0102"])
    name: str = Field(examples=["污水井0312"])
    lon: float | None = Field(description="CGCS2000", examples=[114.372615])
    lat: float | None = Field(description="CGCS2000", examples=[36.098779])

    @classmethod
    def of(cls, row: Row, end: Literal["from", "to"]) -> Self:
        key = {"asset_key": row[f"{end}_asset"], "asset_code": row[f"{end}_code"]}
        return cls(**key, **{name: row[f"{end}_{name}"] for name in ("kind", "name", "lon", "lat")})


def _slope(row: Row) -> float:
    """Here, since the database would subtract what it keeps in 7 digits."""
    return float((row["invert_up_m"] - row["invert_down_m"]) / row["length_m"])


class Pipe(BaseModel):
    """管段."""

    pipe_key: int = Field(description="The subject_key of alarms about it", examples=[17])
    pipe_id: str = Field(description="管段编号", examples=["W12-W13"])
    kind: PipeKind = Field(description="foul 污水, storm 雨水", examples=["foul"])
    upper: PipeEnd = Field(description="起点")
    lower: PipeEnd = Field(description="终点")
    area: AreaRef = Field(description="That of its upper end")
    diameter_mm: float = Field(description="管径", examples=[300.0])
    length_m: float = Field(description="长度", examples=[48.5])
    invert_up_m: float = Field(description="起点管底标高", examples=[71.32])
    invert_down_m: float = Field(description="终点管底标高", examples=[71.08])
    slope: float = Field(description="坡度, fall per length; below 0 where it rises", examples=[0.00495])
    roughness: float | None = Field(description="粗糙系数, where the ledger says it", examples=[None])
    alarm_severity: int | None = Field(description="Of open alarms about it the worst, 1 蓝 to 4 红", examples=[3])
    attributes: dict[str, Any] = Field(description="Columns of the city's own file", examples=[{"管材": "HDPE"}])
    updated_at: Instant

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(
            row
            | {
                "upper": PipeEnd.of(row, "from"),
                "lower": PipeEnd.of(row, "to"),
                "area": AreaRef.of(row),
                "slope": _slope(row),
                "alarm_severity": row["severity"],
            }
        )


class PipePage(Page):
    items: list[Pipe]


class Hydraulics(BaseModel):
    """What a sound pipe of these measures does by Manning's formula; null where it does not fall."""

    roughness: float = Field(description="n: the ledger's, or the city's of the rule in force", examples=[0.013])
    velocity_full_m_s: float | None = Field(description="Running full", examples=[0.96])
    capacity_m3_s: float | None = Field(description="Running full, by gravity", examples=[0.068])
    travel_time_s: float = Field(
        description="Length by velocity, at least the least design velocity of its kind", examples=[50.4]
    )
    head_difference_full_m: float | None = Field(
        description="From end to end when it carries its capacity: friction and its manholes", examples=[0.264]
    )


class PipeDetail(Pipe):
    hydraulics: Hydraulics
    created_at: Instant


class LineString(BaseModel):
    type: Literal["LineString"] = "LineString"
    coordinates: list[list[float]] = Field(
        description="CGCS2000, longitude first, from its upper to its lower end",
        examples=[[[114.372615, 36.098779], [114.373112, 36.098771]]],
    )


class PipeProperties(BaseModel):
    pipe_key: int = Field(examples=[17])
    kind: PipeKind = Field(examples=["foul"])
    from_asset: int = Field(examples=[312])
    to_asset: int = Field(examples=[313])
    diameter_mm: float = Field(examples=[300.0])
    length_m: float = Field(examples=[48.5])
    slope: float = Field(examples=[0.00495])
    alarm_severity: int | None = Field(description="Of open alarms about it the worst", examples=[3])


class PipeFeature(BaseModel):
    type: Literal["Feature"] = "Feature"
    id: str = Field(description="管段编号", examples=["W12-W13"])
    geometry: LineString | None = Field(description="null: the ledger knows no coordinates of an end")
    properties: PipeProperties

    @classmethod
    def of(cls, row: Row) -> Self:
        places = [[row["from_lon"], row["from_lat"]], [row["to_lon"], row["to_lat"]]]
        known = all(degree is not None for place in places for degree in place)
        return cls(
            id=row["pipe_id"],
            geometry=LineString(coordinates=places) if known else None,
            properties=PipeProperties.model_validate(row | {"slope": _slope(row), "alarm_severity": row["severity"]}),
        )


class PipeCollection(BaseModel):
    """RFC 7946. `next` is ours: the cursor of the page after this one."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: list[PipeFeature]
    next: str | None = Field(description="`cursor` of the next page; null at the end", examples=[None])


class Reached(BaseModel):
    """An asset on the way, and how long water takes between it and the one asked about."""

    asset_key: int = Field(examples=[313])
    asset_code: str = Field(examples=["4105020102000313"])
    kind: str = Field(examples=["0102"])
    name: str = Field(examples=["污水井0313"])
    area_code: str = Field(examples=["410502001"])
    lon: float | None = Field(examples=[114.373112])
    lat: float | None = Field(examples=[36.098771])
    travel_time_s: float = Field(description="The least, when pipes run full", examples=[50.4])


class ReachedPipe(BaseModel):
    pipe_key: int = Field(examples=[17])
    pipe_id: str = Field(examples=["W12-W13"])
    from_asset: int = Field(examples=[312])
    to_asset: int = Field(examples=[313])


class Reach(BaseModel):
    """Everything above or below an asset, the asset itself first (0 s), by travel time."""

    asset_key: int = Field(examples=[312])
    direction: Direction = Field(examples=["downstream"])
    assets: list[Reached]
    pipes: list[ReachedPipe]
    truncated: bool = Field(description="There is more than was asked for", examples=[False])
