"""`rate`: how fast a quantity changes. `forecast`: in how many minutes it will be at a limit, if it goes on like that.

Both look at the straight line through the samples of the last `over_s` seconds. A gap of more than two of the device's
own expected intervals breaks it: what was before says nothing about now.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from alerts.rules.errors import FieldError
from alerts.rules.judged import JudgedRule, must_be_measured, span

MOST_SAMPLES = 7
"""So many different samples are sure to be kept of a window that is full."""


class SlopeRule(JudgedRule):
    over_s: float = Field(gt=0, le=86_400, description="How far back the line looks (seconds)")
    at_least_s: float = Field(gt=0, description="Over less than this it says nothing (seconds)")
    samples: int = Field(3, ge=3, le=MOST_SAMPLES, description="From fewer samples than this nothing is reached")

    @model_validator(mode="after")
    def _window(self) -> Self:
        must_be_measured(self)
        if self.at_least_s > self.over_s * (MOST_SAMPLES - 1) / MOST_SAMPLES:
            raise FieldError("at_least_s", f"must be at least a seventh shorter than over_s = {self.over_s:g}")
        return self


class RateRule(SlopeRule):
    """A change of the field in `per_s` seconds against limits. One that looks below has negative limits: it falls."""

    kind: Literal["rate"]
    per_s: float = Field(60.0, gt=0, description="The limits are changes in so many seconds")

    @property
    def shown_as(self) -> tuple[str, str]:
        speed = "涨速" if self.looks == "above" else "变化速度"
        return f"{self.column.label}{speed}", f"{self.column.unit}/{span(self.per_s)}"


class ForecastRule(SlopeRule):
    """The minutes until the field is at `to`, against limits. While it does not move there, no level is reached."""

    kind: Literal["forecast"]
    looks: Literal["below"] = "below"
    to: float = Field(description="Where it must not come")
    to_rim: bool = Field(
        False, description="For `fill_ratio`: up to the rim instead, where the ledger says how high that lies"
    )
    beyond: float | None = Field(
        None, description="Only from this value on: what moves before that (a storm sewer that fills) is as designed"
    )
    by: Literal["rising", "falling"]
    noise_per_min: float = Field(gt=0, description="A slower change than this is none (the field's unit a minute)")

    @model_validator(mode="after")
    def _minutes(self) -> Self:
        if self.to_rim and (self.family, self.field, self.by) != ("pipe", "fill_ratio", "rising"):
            raise FieldError("to_rim", "belongs to a rule by which a sewer's `fill_ratio` rises")
        if self.beyond is not None and (self.to - self.beyond) * (1 if self.by == "rising" else -1) <= 0:
            raise FieldError("beyond", f"{self.beyond:g} lies behind to = {self.to:g}: nothing would be foreseen")
        for level in self.levels:
            if level.limit < 0:
                raise FieldError("levels", f"limit {level.limit:g}: minutes left are never negative")
        return self

    @property
    def shown_as(self) -> tuple[str, str]:
        return "预计还有", "分钟"
