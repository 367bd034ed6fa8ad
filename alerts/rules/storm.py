"""`storm`: when a district is in alarm flood, and what an incident then groups (alerts/storm)."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from alerts.rules.errors import FieldError
from alerts.rules.parts import AnyRule, CaseCode, Crew, RuleId, ScopeKind, Strict


class Grouped(Strict):
    """A rule whose alarms belong to a storm, and what a digest calls them (Chinese, a few characters)."""

    rule: RuleId
    short: str = Field(min_length=1, max_length=6)
    short_red: str | None = Field(None, min_length=1, max_length=6, description="… where red; absent: the same")
    alone: bool = Field(
        False, description="Counted, but never kept back: it names a cause, or is a crew's own order. Red always is"
    )


class StormRule(AnyRule):
    """A district is in flood from more than `enter_above` raises in `window_s` until there are fewer than
    `leave_below`. Meanwhile the alarms of a catchment are told as one incident, those that are red by themselves."""

    narrower: ClassVar[tuple[ScopeKind, ...]] = ("area",)

    kind: Literal["storm"]
    case: CaseCode | None = Field(None, description="Absent: an incident is no case, the platform isn't told")
    crew: Crew | None = Field(None, description="Absent: no crew is told")
    window_s: float = Field(gt=0, le=86_400, description="Raises are counted over so long (seconds)")
    enter_above: int = Field(ge=1, description="In flood with more raises than this")
    leave_below: int = Field(ge=1, description="… until there are fewer than this")
    least_members: int = Field(ge=2, description="Fewer alarms than this are told one by one")
    update_every_s: float = Field(gt=0, description="A changed summary is told at most so often (seconds)")
    worst_change: float = Field(gt=0, description="The summary has changed when its worst value has, by this share")
    nearest_m: float = Field(
        ge=0, description="What is no node of the pipe network belongs with its nearest node within so far (metres)"
    )
    hold_s: float = Field(
        ge=10, description="What is raised in a flood is kept back so long at most until an incident has it (seconds)"
    )
    groups: tuple[Grouped, ...] = Field(min_length=1, description="Which rules' alarms belong to a storm")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.leave_below > self.enter_above:
            raise FieldError("leave_below", f"a flood must be over below where it begins, above {self.enter_above}")
        rules = [grouped.rule for grouped in self.groups]
        twice = sorted({rule for rule in rules if rules.count(rule) > 1})
        if twice:
            raise FieldError("groups", f"a rule stands here once; twice: {', '.join(twice)}")
        if self.rule_id in rules:
            raise FieldError("groups", "an incident is no member of incidents")
        if self.case is not None and self.case.code == "asset":
            raise FieldError("case", "an incident is about no single asset: name the class code")
        return self

    @property
    def group(self) -> dict[str, Grouped]:
        return {grouped.rule: grouped for grouped in self.groups}
