"""Answers about newcomers, and how one is approved."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.parameters import AreaCode, FamilyName, Instant, Page, Text
from underfoot.ledger.newcomers import Placement
from underfoot.ledger.row import NATIONAL_SCHEME

WideArea = Annotated[str, Field(pattern=r"^([0-9]{2}){1,3}$")]
"""A province, a city or a district: a report says no more than its district."""


class Newcomer(BaseModel):
    """A device that reports and is in no ledger. Family and district are what its reports say."""

    device_id: str = Field(examples=["cover-9999"])
    family: str = Field(examples=["cover"])
    district: str = Field(description="Empty: its reports say none", examples=["410502"])
    vendor: str = Field(description="Of the account that pushed its reports; empty: unknown", examples=["甲厂"])
    gateway_id: str | None = Field(description="The gateway that speaks for it", examples=[None])
    source: str = Field(description="mqtt, http or sl651", examples=["mqtt"])
    first_seen: Instant
    last_seen: Instant
    reports: int = Field(description="Of it that went to quarantine", examples=[12])
    state: str = Field(description="waiting, approved or refused", examples=["waiting"])
    decided_by: str | None = Field(examples=[None])
    decided_at: Instant | None = Field(examples=[None])


class NewcomerPage(Page):
    items: list[Newcomer]


class PlacementWanted(BaseModel):
    """Where the device is put: on a known asset, or, given a `kind`, on one of its own that stands for it."""

    model_config = ConfigDict(extra="forbid")

    asset_code: Text | None = Field(None, description="Code of the asset that it is on", examples=["4105020103000312"])
    code_scheme: Text = Field(NATIONAL_SCHEME, description="The standard that the code follows")
    kind: Text | None = Field(None, description="Or: kind of the asset to be made for it, like 0103", examples=[None])
    area_code: AreaCode | None = Field(
        None,
        description="With a `kind`: the area that it stands in; null: the district that its reports say",
        examples=[None],
    )
    expected_interval_s: int | None = Field(
        None, ge=1, description="How often it is expected to report (seconds); null: as its family is", examples=[900]
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.asset_code is None) == (self.kind is None):
            raise ValueError("give either an asset_code or a kind")
        if self.asset_code is not None and self.area_code is not None:
            raise ValueError("an area_code goes with a kind: the asset's own area is known")
        return self

    @property
    def placement(self) -> Placement:
        interval = None if self.expected_interval_s is None else str(self.expected_interval_s)
        return Placement(self.asset_code, self.code_scheme, self.kind, self.area_code, interval)


class AreaWanted(BaseModel):
    """Everyone who waits in an area: each is put on an asset of its own."""

    model_config = ConfigDict(extra="forbid")

    area: WideArea = Field(description="This area and all below it", examples=["410502"])
    family: FamilyName | None = Field(None, description="Of them, only this family")
    kind: Text = Field(description="Kind of the assets to be made, like 0103", examples=["0103"])
    expected_interval_s: int | None = Field(
        None,
        ge=1,
        description="How often they are expected to report (seconds); null: as their family is",
        examples=[900],
    )

    @property
    def placement(self) -> Placement:
        return Placement(
            kind=self.kind, interval=None if self.expected_interval_s is None else str(self.expected_interval_s)
        )


class ApprovedNewcomers(BaseModel):
    device_ids: list[str] = Field(description="In the ledger now", examples=[["cover-9999"]])
    replayed: int = Field(description="Of their reports in quarantine, posted to the inbox", examples=[12])


class RefusedNewcomer(BaseModel):
    device_id: str = Field(examples=["cover-9999"])
    state: str = Field("refused", examples=["refused"])
