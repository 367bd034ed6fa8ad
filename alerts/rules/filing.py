"""立案条件: when an alarm is a case on the city's platform, as what, and how soon it must be seen to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from alerts.duty.calendar import LONGEST, TimeKind
from alerts.rules.errors import FieldError
from alerts.rules.parts import AnyRule, RuleId, ScopeKind, SeverityName, Strict
from underfoot.alarms import Severity

Code = Annotated[str, Field(pattern=r"^[0-9]{4,6}$")]
Clock = Literal["arrive", "repair"]


class TimeLimit(Strict):
    """So much of a kind of time."""

    kind: TimeKind = Field(
        description="urgent_hour 紧急工作时 (day and night), work_hour 工作时, work_day 工作日, natural_day 自然日"
    )
    amount: float = Field(gt=0)

    @field_validator("amount")
    @classmethod
    def _has_an_end(cls, amount: float) -> float:
        if amount * 3600 > LONGEST.total_seconds():
            raise ValueError(f"at most {LONGEST.total_seconds() / 3600:g} is possible; got {amount:g}")
        return amount


class FilingRule(AnyRule):
    """One 立案条件. `title` is its name, as the platform has it."""

    narrower: ClassVar[tuple[ScopeKind, ...]] = ("area", "tag", "device")

    rule_id: Annotated[RuleId, Field(pattern=r"^filing\.")]
    kind: Literal["filing"]
    type: Literal["component", "event"] = Field(description="component 部件, event 事件")
    code: Annotated[str, Field(pattern=r"^([0-9]{4,6}|asset|rule)$")] = Field(
        description="大小类; `asset`: that of the asset it is about; `rule`: what the alarm's own rule says"
    )
    code_if_none: Code | None = Field(
        None, description="With `asset`, or a rule that says so: of what has no class in the ledger"
    )
    code_scheme: str = Field(
        "GB/T 30428.2-2013", min_length=1, description="Whose code it is; with `asset`, the asset's own scheme counts"
    )
    from_severity: SeverityName = Field("blue", description="An alarm is no case before it is so severe")
    verify: Literal["none", "operator"] = Field(
        "none", description="operator: one of ours finds out whether it is so (核实) before the platform is told"
    )
    level: dict[SeverityName, Annotated[int, Field(ge=0, le=2)]] = Field(
        description="0 一般, 1 重要, 2 重大, by severity; a severity left out: as the one below it, or 0"
    )
    arrive: dict[SeverityName, TimeLimit] = Field(
        default_factory=dict,
        description="Somebody is there and it is safe by then, by severity; left out: as the one below it, or no limit",
    )
    repair: dict[SeverityName, TimeLimit] = Field(
        default_factory=dict, description="It is repaired by then; the same. No limit: until it is gone"
    )
    suspension_stops: tuple[Clock, ...] = Field(
        ("repair",), description="Which clocks stand still while the case is suspended (挂账)"
    )
    members: tuple[Annotated[RuleId, Field(pattern=r"^filing\.")], ...] = Field(
        (), description="Of an incident: it is a case once it has had an alarm that is filed as one of these"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.code_if_none is not None and self.code not in ("asset", "rule"):
            raise FieldError("code_if_none", f"belongs to code: asset, or rule; the code is {self.code}")
        if self.code == "asset" and self.code_if_none is None:
            raise FieldError("code_if_none", "is needed with code: asset, for what has no class in the ledger")
        if len(set(self.suspension_stops)) != len(self.suspension_stops):
            raise FieldError("suspension_stops", f"each clock once; got {', '.join(self.suspension_stops)}")
        return self

    def level_of(self, severity: Severity) -> int:
        return _at(self.level, severity) or 0

    def limit_of(self, clock: Clock, severity: Severity) -> TimeLimit | None:
        return _at(self.arrive if clock == "arrive" else self.repair, severity)


_T = TypeVar("_T")


def _at(by_severity: Mapping[SeverityName, _T], severity: Severity) -> _T | None:
    """What counts for this severity: its own, or that of the nearest below it."""
    said = {Severity[name]: value for name, value in by_severity.items() if Severity[name] <= severity}
    return said[max(said)] if said else None


class CodesRule(AnyRule):
    """The names of 小类, by the scheme whose codes they are. There is one such rule."""

    rule_id: Literal["filing.codes"]
    kind: Literal["case_codes"]
    names: dict[str, dict[Code, str]] = Field(description="小类, by scheme; a city's own codes stand under its own")
