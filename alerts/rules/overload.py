"""Overload: rain that the storm sewers of a catchment will not carry, told before the water is at the rims."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from alerts.drainage.params import OverloadParams
from alerts.rules.errors import FieldError
from alerts.rules.parts import AnyRule, Crew, Level


class OverloadRule(AnyRule):
    """The minutes until a part of a catchment's storm sewers carries all that it can, if it goes on raining harder as
    it does, against limits. One alarm for each catchment, of its outfall. What `params` mean stands at
    alerts.drainage.params.OverloadParams."""

    kind: Literal["overload"]
    params: OverloadParams = OverloadParams()
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=4)]
    off_delay_s: float = Field(0.0, ge=0)
    off_samples: int = Field(2, ge=1)
    crew: Crew | None = None
    every_s: float = Field(60, ge=0, description="How often it is judged")

    @model_validator(mode="after")
    def _minutes(self) -> Self:
        ranks = [level.rank for level in self.levels]
        if ranks != sorted(set(ranks)):
            raise FieldError(
                "levels", f"levels must rise in severity, one each; got {[lv.severity for lv in self.levels]}"
            )
        limits = [level.limit for level in self.levels]
        if limits[-1] < 0 or limits != sorted(set(limits), reverse=True):
            raise FieldError("levels", f"minutes left must get fewer with severity, down to 0; got {limits}")
        return self
