"""Doubt: a sewer's level gauge that its neighbours on the network, or what it measures itself, contradict."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from alerts.drainage.params import DoubtParams
from alerts.rules.errors import FieldError
from alerts.rules.parts import FamilyRule, RuleId, SeverityName


class DoubtRule(FamilyRule):
    """One alarm for each gauge that cannot be right for `on_delay_s`, in `samples` reports of its own. While it is
    open, its alarms by `explains` are what it is doubted for: an operator is asked to look at the gauge, and nobody is
    sent for the water; a red one is told all the same. It is no witness of a blockage then. What `params` mean stands
    at alerts.drainage.params.DoubtParams."""

    kind: Literal["doubt"]
    params: DoubtParams = DoubtParams()
    severity: SeverityName
    on_delay_s: float = Field(ge=0)
    samples: int = Field(3, ge=2)
    off_delay_s: float = Field(0.0, ge=0)
    off_samples: int = Field(2, ge=1)
    max_age_s: float = Field(gt=0, description="A gauge that has said nothing for longer is not judged")
    explains: tuple[RuleId, ...] = Field((), description="Alarms of the same device that are told by this one")
    every_s: float = Field(60, ge=0, description="How often it is judged")

    @model_validator(mode="after")
    def _of_sewers(self) -> Self:
        if self.family != "pipe":
            raise FieldError(
                "family", f"{self.family} gauges are not on the drainage network; only pipe gauges are judged"
            )
        return self
