"""What rules of every kind are made of: their name and source, levels, what a crew is told, what a case is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerts.rules.errors import FieldError
from underfoot.alarms import Severity

RuleId = Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z0-9_]+$")]
SeverityName = Literal["blue", "yellow", "orange", "red"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Level(Strict):
    """One limit of a rule. `limit` and `dead_band` are in the unit of what the rule's kind judges; the episode falls
    below this level at `limit − dead_band` (above it, for a rule that looks below)."""

    severity: SeverityName
    limit: float = Field(1.0, description="For a rule with `equals`, leave it out")
    dead_band: float = Field(0.0, ge=0)
    on_delay_s: float = Field(0.0, ge=0, description="Held so long, in event time, before it is believed")
    samples: int = Field(1, ge=1, description="Seen in at least so many reports")

    @property
    def rank(self) -> int:
        return Severity[self.severity].value


def calms_after_s(severities: Iterable[SeverityName]) -> float:
    """How long nothing must have begun or ended for an alarm that may have these severities not to be flapping any
    more: nobody waits longer at a hole that stays open."""
    return 60.0 if "red" in severities else 3600.0


class Crew(Strict):
    """What a crew is told to do, in Chinese: the first act, the tool, how it ends, and by when (minutes) it is safe."""

    act: str
    watch: str = Field(
        "", description="The first act while it is blue or yellow, if that is another: nothing is closed yet"
    )
    tool: str = ""
    end: str = "处置完毕"
    make_safe_min: int | None = Field(None, ge=1)


class CaseCode(Strict):
    """What the alarm is on the 一网统管 platform: what a 立案条件 says (`filing`); or a type and a code, and the rest
    as `filing.other` says. Code `asset`: the class code of the asset it is about."""

    filing: Annotated[RuleId, Field(pattern=r"^filing\.")] | None = None
    type: Literal["component", "event"] | None = None
    code: Annotated[str, Field(pattern=r"^([0-9]{4,6}|asset)$")] | None = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.filing is None and (self.type is None or self.code is None):
            raise FieldError("case", "a filing, or a type and a code, is needed")
        if self.filing is not None and (self.type is not None or self.code is not None):
            raise FieldError("case", f"{self.filing} says the type and the code: either that or these")
        return self


ScopeKind = Literal["city", "area", "tag", "device"]


class AnyRule(Strict):
    narrower: ClassVar[tuple[ScopeKind, ...]] = ()
    """For what scopes, beside the city, its numbers may differ."""

    rule_id: RuleId
    title: str = Field(description="What operators and crews read (Chinese)")
    source: str = Field(description="Where the numbers come from")


class FamilyRule(AnyRule):
    """A rule on the devices of a family."""

    narrower: ClassVar[tuple[ScopeKind, ...]] = ("area", "tag", "device")

    family: Literal["cover", "road", "pipe", "pump", "rain", "lamp"]
    case: CaseCode | None = Field(None, description="Absent: an internal matter, never sent to the platform")
    crew: Crew | None = Field(None, description="Absent: no crew is told")
    realarm_min: int | None = Field(
        None,
        ge=0,
        le=10_080,
        description="After how many minutes an acknowledged alarm that is still open is unacknowledged again; 0: never."
        " Absent: as the city has set it for the severity",
    )
