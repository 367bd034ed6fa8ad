"""Stuck: a gauge whose value stands still while its neighbours, or the rain, move."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from alerts.rules.errors import FieldError
from alerts.rules.parts import FamilyRule, SeverityName
from underfoot.families import FAMILIES, Column


class StuckRule(FamilyRule):
    """Over `span_s`, in at least `samples` reports, the value has kept within less than `still_below` while at least
    `neighbours` gauges of its family within `within_m` moved by at least `moved_by`, or it rained. Standing still among
    what stands still proves nothing, neither way; only a value that moves again ends it."""

    kind: Literal["stuck"]
    field: str
    span_s: float = Field(gt=0)
    samples: int = Field(ge=3)
    still_below: float = Field(gt=0, description="In the field's unit: about its resolution")
    moved_by: float = Field(gt=0, description="In the field's unit")
    neighbours: int = Field(1, ge=1)
    within_m: float = Field(gt=0)
    rain_moves_it: bool = Field(False, description="Rain in its district during the span is as good as its neighbours")
    max_age_s: float = Field(gt=0, description="A gauge that has said nothing for longer is not judged")
    severity: SeverityName
    every_s: float = Field(300, ge=0, description="How often it is judged: it reads the span's reports")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        columns = FAMILIES[self.family].column
        if self.field not in columns:
            raise FieldError("field", f"family {self.family} has no field {self.field!r}; it has {', '.join(columns)}")
        if self.column.type not in ("real", "double precision"):
            raise FieldError("field", f"{self.field} is a state; only what is measured can be stuck")
        if self.moved_by <= self.still_below:
            raise FieldError("moved_by", f"what moves, moves by more than what stands still: {self.still_below}")
        return self

    @property
    def column(self) -> Column:
        return FAMILIES[self.family].column[self.field]
