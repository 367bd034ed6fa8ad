"""What all rules have in common that judge each report of a single device against levels, in event time.

The kinds differ in what they hold against the levels: a value or state (`level`), how fast it changes or when it will
be where (`slope`), its share of what a command should have brought (`mismatch`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from alerts.rules.errors import FieldError
from alerts.rules.parts import FamilyRule, Level, calms_after_s
from underfoot.families import FAMILIES, Column


class JudgedRule(FamilyRule):
    """The highest level that holds is the alarm's severity."""

    guarding: ClassVar[tuple[str, ...]] = ("when", "unless")
    """What of it says which states of other fields it needs."""

    field: str
    looks: Literal["above", "below"] = "above"
    when: dict[str, bool | int] = Field(
        default_factory=dict, description="Only when these fields have these values; unknown: freeze"
    )
    unless: dict[str, bool | int] = Field(
        default_factory=dict, description="Not when these fields have these values; unknown: applies"
    )
    proof: Literal["samples", "silence"] = Field(
        "samples",
        description="How delays are proven: by reports through the delay, or by no contrary report during it",
    )
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=4)]
    off_delay_s: float = Field(0.0, ge=0)
    off_samples: int = Field(1, ge=1)
    calm_s: float | None = Field(
        None,
        gt=0,
        description="Flapping is over when nothing has begun or ended for so long (seconds); an hour, if left out, and"
        " a minute where it may be red: nobody waits longer at a hole that stays open",
    )

    @property
    def calms_after_s(self) -> float:
        if self.calm_s is not None:
            return self.calm_s
        return calms_after_s(level.severity for level in self.levels)

    @model_validator(mode="after")
    def _levels_and_guards(self) -> Self:
        columns = FAMILIES[self.family].column
        words = [("field", self.field)]
        words += [(word, name) for word in self.guarding for name in getattr(self, word)]
        for word, name in words:
            if name not in columns:
                raise FieldError(word, f"family {self.family} has no field {name!r}; it has {', '.join(columns)}")
        ranks = [level.rank for level in self.levels]
        if ranks != sorted(set(ranks)):
            raise FieldError(
                "levels", f"levels must rise in severity, one each; got {[lv.severity for lv in self.levels]}"
            )
        limits = [self.sign * level.limit for level in self.levels]
        if limits != sorted(set(limits)):
            raise FieldError("levels", f"limits must go further with severity; got {[lv.limit for lv in self.levels]}")
        leaves = [limit - level.dead_band for limit, level in zip(limits, self.levels, strict=True)]
        if leaves != sorted(set(leaves)):
            raise FieldError(
                "levels",
                "dead bands must leave a level before the one below it;"
                f" got {[lv.dead_band for lv in self.levels]} for limits {[lv.limit for lv in self.levels]}",
            )
        for word in self.guarding:
            for name, value in getattr(self, word).items():
                can_be(word, columns[name], value)
        return self

    @property
    def sign(self) -> float:
        """What makes larger worse."""
        return 1.0 if self.looks == "above" else -1.0

    @property
    def column(self) -> Column:
        return FAMILIES[self.family].column[self.field]

    @property
    def shown_as(self) -> tuple[str, str]:
        """Label (Chinese) and unit of what is held against the levels."""
        return self.column.label, self.column.unit


def can_be(word: str, column: Column, value: bool | int) -> None:
    """A state that a field never has would make a rule that never applies, or always."""
    where = f"{word}: {column.name}"
    if column.type == "boolean" and not isinstance(value, bool):
        raise FieldError(word, f"{where} is true or false, not {value!r}")
    if column.choices and (isinstance(value, bool) or value not in column.choices.values()):
        allowed = ", ".join(f"{number} ({name})" for name, number in column.choices.items())
        raise FieldError(word, f"{where} is one of {allowed}, not {value!r}")
    if column.type == "smallint" and isinstance(value, bool):
        raise FieldError(word, f"{where} is a whole number, not {value!r}")
    if column.type in ("real", "double precision"):
        raise FieldError(word, f"{where} is measured: it needs limits, and can't be compared with {value!r}")


def must_be_measured(rule: JudgedRule) -> None:
    if rule.column.type not in ("real", "double precision"):
        raise FieldError("field", f"{rule.field!r} is a state; a rule of this kind needs a measured quantity")


def span(seconds: float) -> str:
    """As people say it (Chinese)."""
    for unit, name in ((3600, "小时"), (60, "分钟")):
        if seconds >= unit and seconds % unit == 0:
            return name if seconds == unit else f"{seconds / unit:g}{name}"
    return f"{seconds:g}秒"
