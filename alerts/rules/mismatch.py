"""`mismatch`: what was commanded and what is measured do not go together: a lamp that is on and draws nothing."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from alerts.rules.judged import JudgedRule, must_be_measured


class MismatchRule(JudgedRule):
    """A measured field, in percent of what it is by the device's rating, while a command has a certain value."""

    guarding: ClassVar[tuple[str, ...]] = ("commanded", "when", "unless")

    kind: Literal["mismatch"]
    commanded: Annotated[dict[str, bool | int], Field(min_length=1, max_length=1)] = Field(
        description="Only while the command is this; unknown: freeze"
    )
    rated: float = Field(
        gt=0, description="What the field reads as rated, where the ledger gives the device no baseline of it"
    )

    @model_validator(mode="after")
    def _quantity(self) -> Self:
        must_be_measured(self)
        return self

    @property
    def shown_as(self) -> tuple[str, str]:
        return f"{self.column.label}为额定", "%"
