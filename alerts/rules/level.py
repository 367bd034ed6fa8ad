"""`level`: a value against limits, a state or code, a sum over time, or how far a value is from its own baseline."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from alerts.rules.errors import FieldError
from alerts.rules.judged import JudgedRule, can_be, must_be_measured, span

Codes = Annotated[tuple[int, ...], Field(min_length=1)]


PARTS = 24
"""Of a time over which a mean is taken: hours, where that is a day."""


class LevelRule(JudgedRule):
    """A value against limits, in event time."""

    kind: Literal["level"]
    equals: bool | int | Codes | None = Field(
        None, description="A state: the field has this value, or one of these codes"
    )
    sum_over_s: float | None = Field(None, gt=0, description="Judge the sum of the field over this time (seconds)")
    mean_over_s: float | None = Field(
        None,
        ge=PARTS,
        description=f"Judge the mean of the {PARTS} parts of this time, each the mean of its own reports",
    )
    mean_of_parts: int = Field(
        20, ge=1, le=PARTS, description="From fewer of these parts the mean is unknown (of 24 hours 20: GB 3095-2012)"
    )
    against_baseline: bool | Literal["rise"] = Field(
        False,
        description="Judge how far the value is from the device's own baseline, which is 0 where the ledger has none;"
        " `rise`: how far above it, unknown where the ledger has none",
    )
    worst_from: float | None = Field(
        None, description="From this value on the last level is reached, whatever the baseline"
    )

    @model_validator(mode="after")
    def _measure(self) -> Self:
        if self.worst_from is not None and (not self.against_baseline or self.looks != "above"):
            raise FieldError("worst_from", "belongs to a rule against a baseline that looks above")
        if self.mean_over_s is not None:
            must_be_measured(self)
            if self.sum_over_s is not None or self.against_baseline:
                raise FieldError("mean_over_s", "a mean, a sum and a baseline are three rules")
        if self.equals is None:
            return self
        only = "a rule with `equals` has one level, looks above, takes no sum or mean and has no baseline"
        for word, fits in (
            ("levels", len(self.levels) == 1),
            ("looks", self.looks == "above"),
            ("sum_over_s", self.sum_over_s is None),
            ("mean_over_s", self.mean_over_s is None),
            ("against_baseline", not self.against_baseline),
        ):
            if not fits:
                raise FieldError(word, only)
        level = self.levels[0]
        if (level.limit, level.dead_band) != (1.0, 0.0):
            raise FieldError(
                "levels",
                "a level of a rule with `equals` has neither limit nor dead band;"
                f" got {level.limit} and {level.dead_band}",
            )
        for value in self.states:
            can_be("equals", self.column, value)
        return self

    @property
    def shown_as(self) -> tuple[str, str]:
        label, unit = super().shown_as
        return (f"{label} {span(self.mean_over_s)}平均" if self.mean_over_s is not None else label), unit

    @property
    def states(self) -> tuple[bool | int, ...]:
        """The states that `equals` means."""
        if self.equals is None:
            return ()
        return self.equals if isinstance(self.equals, tuple) else (self.equals,)
