"""Weather: whether an area is dry, wet or in a storm, by its rain gauges. Raises nothing: other rules ask it."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from alerts.rules.errors import FieldError
from alerts.rules.parts import AnyRule, ScopeKind


class Weather(StrEnum):
    """From the mildest on. Unknown is none of them: then the more sensitive of several limits is taken."""

    dry = "dry"
    wet = "wet"
    storm = "storm"
    unknown = "unknown"

    @property
    def label(self) -> str:
        return {"dry": "无雨", "wet": "有雨", "storm": "暴雨", "unknown": "雨情不明"}[self.value]


class WeatherRule(AnyRule):
    """An area is as the wettest of its gauges says; a gauge as the wettest of its last `hold_s` seconds."""

    narrower: ClassVar[tuple[ScopeKind, ...]] = ("area",)

    kind: Literal["weather"]
    wet_mm: float = Field(gt=0, description="Wet: at least so much")
    wet_over_s: float = Field(gt=0, description="within so long")
    storm_mm: float = Field(gt=0, description="Storm: at least so much")
    storm_over_s: float = Field(gt=0, description="within so long")
    storm_mm_h: float = Field(gt=0, description="Storm also: an intensity of at least so much")
    hold_s: float = Field(ge=0, description="It stays as it was for so long after the last report that said so")
    max_age_s: float = Field(gt=0, description="A gauge that has said nothing for longer has no say")
    borrow_within_m: float = Field(
        ge=0, description="A district none of whose gauges has a say asks the gauges within so far of its middle"
    )
    every_s: float = Field(10, ge=0, description="How often it is judged")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.storm_mm / self.storm_over_s < self.wet_mm / self.wet_over_s:
            raise FieldError("storm_mm", "a storm brings more in its time than what is merely wet")
        return self
