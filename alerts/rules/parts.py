"""What rules of every kind are made of: their name and source, levels, what a crew is told, what a case is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    tool: str = ""
    end: str = "处置完毕"
    make_safe_min: int | None = Field(None, ge=1)


class CaseCode(Strict):
    """What the alarm is on the 一网统管 platform. `asset`: the class code of the asset it is about."""

    type: Literal["component", "event"]
    code: str = Field(pattern=r"^([0-9]{4}|asset)$")


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
