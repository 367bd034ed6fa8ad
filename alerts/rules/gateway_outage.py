"""Gateway outage: many of a gateway's devices silent at once are one alarm, the gateway's."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from alerts.rules.errors import FieldError
from alerts.rules.parts import AnyRule, ScopeKind, SeverityName


class GatewayOutageRule(AnyRule):
    """More than `share` of the devices behind a gateway, and at least `at_least` of them, silent for longer than
    `intervals` of their own expected interval plus `grace_s`. While it is open their own offline alarms are explained
    by it."""

    narrower: ClassVar[tuple[ScopeKind, ...]] = ("area",)

    kind: Literal["gateway_outage"]
    share: float = Field(gt=0, lt=1)
    over_at_share: float = Field(ge=0, lt=1, description="It is over when no more than this share is silent")
    over_at_most: int = Field(1, ge=0, description="or no more than so many, of however few")
    at_least: int = Field(ge=1)
    intervals: float = Field(ge=1)
    grace_s: float = Field(0.0, ge=0)
    severity: SeverityName
    every_s: float = Field(10, ge=0, description="How often it is judged")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.over_at_share > self.share:
            raise FieldError("over_at_share", f"at most the share that raises it, {self.share}")
        if self.over_at_most >= self.at_least:
            raise FieldError("over_at_most", f"fewer than what raises it, {self.at_least}")
        return self
