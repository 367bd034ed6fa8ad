"""Limits that depend on the weather: a set for dry, wet and storm, and one for standing water beside the device.

What is dangerous in any weather is a level rule, not one of these.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from alerts.rules.errors import FieldError
from alerts.rules.level import LevelRule
from alerts.rules.parts import FamilyRule, Level, RuleId, Strict, calms_after_s
from underfoot.families import FAMILIES, Column

LevelSet = Annotated[tuple[Level, ...], Field(max_length=4)]
SetName = Literal["dry", "wet", "storm", "standing_water"]
SETS: tuple[SetName, ...] = ("dry", "wet", "storm", "standing_water")


class StandingWater(Strict):
    """Water stands at the device when the nearest road gauge within `within_m` says at least `depth_cm`. A road gauge
    sleeps when the road is dry: what it said last counts for `max_age_s`."""

    within_m: float = Field(gt=0)
    depth_cm: float
    max_age_s: float = Field(gt=0)


class ConditionedRule(FamilyRule):
    """A set that is left out: in that weather the rule does not apply. Unknown weather, or unknown water at a gauge
    that there is: of the sets that may hold, the one that alarms earliest."""

    kind: Literal["conditioned"]
    field: str
    looks: Literal["above", "below"] = "above"
    when: dict[str, bool | int] = Field(
        default_factory=dict, description="Only when these fields have these values; unknown: freeze"
    )
    unless: dict[str, bool | int] = Field(
        default_factory=dict, description="Not when these fields have these values; unknown: applies"
    )
    dry: LevelSet = ()
    wet: LevelSet = ()
    storm: LevelSet = ()
    standing_water: LevelSet = ()
    water: StandingWater | None = None
    off_delay_s: float = Field(0.0, ge=0)
    off_samples: int = Field(1, ge=1)
    explains: tuple[RuleId, ...] = Field((), description="Alarms of the same device that are told by this one")
    max_age_s: float = Field(gt=0, description="A value that came longer ago is unknown: what is open stays as it is")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not any(self.levels_of(name) for name in SETS):
            raise FieldError("dry", f"a rule needs levels for some weather: {', '.join(SETS)}")
        for name in SETS:
            if self.levels_of(name):
                self._as_level_rule(name)
        if bool(self.standing_water) != (self.water is not None):
            raise FieldError("water", "`standing_water` and `water`, which says when water stands, go together")
        return self

    def _as_level_rule(self, name: SetName) -> LevelRule:
        """In one weather it is a level rule, and what holds for these holds for it."""
        same = (
            "rule_id",
            "title",
            "source",
            "family",
            "field",
            "looks",
            "when",
            "unless",
            "off_delay_s",
            "off_samples",
        )
        try:
            return LevelRule(kind="level", levels=self.levels_of(name), **{one: getattr(self, one) for one in same})
        except ValidationError as error:
            found = error.errors()[0]
            cause = found.get("ctx", {}).get("error")
            field = cause.field if isinstance(cause, FieldError) and cause.field != "levels" else name
            raise FieldError(field, found["msg"].removeprefix("Value error, ")) from None

    def levels_of(self, name: SetName) -> tuple[Level, ...]:
        levels: tuple[Level, ...] = getattr(self, name)
        return levels

    @property
    def calms_after_s(self) -> float:
        return calms_after_s(level.severity for name in SETS for level in self.levels_of(name))

    @property
    def column(self) -> Column:
        return FAMILIES[self.family].column[self.field]
