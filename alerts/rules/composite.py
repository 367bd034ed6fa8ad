"""Composite: an expression over named inputs, which may be other devices' values or the weather. Three-valued."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from alerts.rules.errors import FieldError
from alerts.rules.expression import Expression, parse_expression
from alerts.rules.judged import can_be
from alerts.rules.parts import FamilyRule, RuleId, SeverityName, Strict
from underfoot.families import FAMILIES, Column

InputName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
FamilyName = Literal["cover", "road", "pipe", "pump", "rain", "lamp"]
Tests = Literal["above", "below", "equals", "rises_by", "falls_by", "at_least"]
_TESTS: tuple[Tests, ...] = ("above", "below", "equals", "rises_by", "falls_by", "at_least")


class Input(Strict):
    """Something that is true, false or unknown. Of several devices (`same_asset`, `same_gateway`) one is enough; where
    there is none at all, it is unknown. So is what came longer than `max_age_s` ago."""

    of: Literal["self", "same_asset", "nearest", "same_gateway", "area_rain"] = "self"
    family: FamilyName | None = Field(None, description="Of other devices; the device itself has the rule's")
    within_m: float | None = Field(None, gt=0, description="For `nearest`: there is none beyond")
    field: str | None = None
    above: float | None = Field(None, description="The value is at least this")
    below: float | None = Field(None, description="The value is at most this")
    equals: bool | int | None = Field(None, description="A state")
    rises_by: float | None = Field(None, gt=0, description="Over `over_s`, up to its newest report")
    falls_by: float | None = Field(None, gt=0, description="Over `over_s`, up to its newest report")
    over_s: float | None = Field(None, gt=0)
    at_least: Literal["wet", "storm"] | None = Field(None, description="For `area_rain`")
    max_age_s: float | None = Field(None, gt=0)

    @property
    def test(self) -> Tests:
        return next(name for name in _TESTS if getattr(self, name) is not None)

    def column(self, own: FamilyName) -> Column:
        """The field that is asked; `own`: the family of the rule."""
        if self.field is None:
            raise TypeError("area_rain has no field")
        return FAMILIES[self.family or own].column[self.field]

    def check(self, where: str, own: FamilyName) -> None:
        given = [name for name in _TESTS if getattr(self, name) is not None]
        if len(given) != 1:
            raise FieldError("inputs", f"{where}: exactly one of {', '.join(_TESTS)}; got {given or 'none'}")
        if (self.of == "area_rain") != (self.test == "at_least"):
            raise FieldError("inputs", f"{where}: `at_least` is asked of area_rain, and nothing else is")
        needed = {
            "field": self.of != "area_rain",
            "max_age_s": self.of != "area_rain",
            "family": self.of in ("same_asset", "nearest", "same_gateway"),
            "within_m": self.of == "nearest",
            "over_s": self.test in ("rises_by", "falls_by"),
        }
        for name, wanted in needed.items():
            if wanted != (getattr(self, name) is not None):
                raise FieldError("inputs", f"{where}: {name} is {'needed' if wanted else 'not for it'}")
        if self.field is None:
            return
        columns = FAMILIES[self.family or own].column
        if self.field not in columns:
            family = self.family or own
            raise FieldError("inputs", f"{where}: family {family} has no field {self.field!r}: {', '.join(columns)}")
        column = columns[self.field]
        measured = column.type in ("real", "double precision")
        if measured == (self.test == "equals"):
            what = "measured" if measured else "a state"
            raise FieldError("inputs", f"{where}: {self.field} is {what}, and is not asked by `{self.test}`")
        if self.test == "equals":
            try:
                can_be(where, column, self.equals if self.equals is not None else False)
            except ValueError as error:
                raise FieldError("inputs", str(error)) from None


class CompositeRule(FamilyRule):
    """One alarm for each device of the family for which `holds` is true for `on_delay_s`, in `samples` reports."""

    kind: Literal["composite"]
    inputs: dict[InputName, Input] = Field(min_length=1)
    holds: str = Field(max_length=500, description="and, or, not, brackets and names of inputs")
    severity: SeverityName
    explains: tuple[RuleId, ...] = Field((), description="Alarms of the same device that are told by this one")
    proof: Literal["samples", "silence"] = Field("samples", description="How delays are proven, as of a level rule")
    on_delay_s: float = Field(0.0, ge=0)
    samples: int = Field(1, ge=1)
    off_delay_s: float = Field(0.0, ge=0)
    off_samples: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, one in self.inputs.items():
            one.check(name, self.family)
        try:
            names = self.expression.names
        except ValueError as error:
            raise FieldError("holds", str(error)) from None
        for name in sorted(names ^ self.inputs.keys()):
            raise FieldError("holds", f"{name} is {'no input' if name in names else 'an input, and is not asked'}")
        return self

    @property
    def expression(self) -> Expression:
        return parse_expression(self.holds)
