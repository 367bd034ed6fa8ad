"""Answers about a device's reports. The endpoint writes them itself (10 000 rows); these models document them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from api.parameters import Instant, Page


class SeriesField(BaseModel):
    """One field of the family's declaration."""

    name: str = Field(examples=["tilt_deg"])
    label: str = Field(examples=["倾角"])
    unit: str = Field(examples=["°"])
    choices: dict[str, int] = Field(description="Of an enumeration: its names", examples=[{}])


class Report(BaseModel):
    """One report: what one device said at one time."""

    ts: Instant
    received_at: Instant
    seq: int | None = Field(examples=[118])
    quality: list[str] = Field(description="Marks on it", examples=[["late"]])
    values: dict[str, Any] = Field(description="Only what was reported", examples=[{"tilt_deg": 78.2, "open": True}])
    extra: dict[str, Any] | None = Field(description="What the family does not know, kept as it came", examples=[None])


class Statistics(BaseModel):
    """A field over one bucket: a measured one has all of these but `true`, a state or an enumeration no averages."""

    count: int = Field(description="Reports that had the field; 0: nothing was measured", examples=[4])
    true: int | None = Field(None, description="Of a state: how many said yes", examples=[None])
    min: float | None = Field(None, examples=[3.4])
    max: float | None = Field(None, examples=[78.2])
    avg: float | None = Field(None, description="Interpolated with `fill=linear` where count is 0", examples=[22.2])
    sum: float | None = Field(None, examples=[88.8])
    last: Any = Field(None, description="Carried on with `fill=previous` where count is 0", examples=[78.2])


class Bucket(BaseModel):
    """All reports from `ts` on until the next bucket begins."""

    ts: Instant
    reports: int = Field(examples=[4])
    values: dict[str, Statistics]


class Series(Page):
    device_id: str = Field(examples=["cover-0312"])
    family: str = Field(examples=["cover"])
    bucket: str | None = Field(description="Null: reports as they came", examples=[None])
    fields: list[SeriesField]
    items: list[Report] | list[Bucket]
