"""What a city's watch goes by: when to tell whom that nobody answers, working time, and the limits of health."""

from __future__ import annotations

from datetime import time, timedelta
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PlainSerializer, model_validator

from alerts.rules.errors import FieldError
from alerts.rules.parts import AnyRule, ScopeKind, SeverityName, Strict
from underfoot.alarms import Severity

Minutes = Annotated[float, Field(ge=0, le=10_080)]
AGAIN_MIN: dict[SeverityName, float] = {"red": 15, "orange": 60, "yellow": 240}
"""Also of a rule that was written before it could say so: what nobody has answered is not left at that."""

Clock = Annotated[time, PlainSerializer(lambda value: f"{value:%H:%M}", return_type=str)]


class EscalationRule(AnyRule):
    """Who is told that nobody answers: the levels of the roster, one after the other. There is one such rule."""

    narrower: ClassVar[tuple[ScopeKind, ...]] = ("area", "tag", "device")

    rule_id: Literal["duty.escalation"]
    kind: Literal["escalation"]
    after_min: dict[SeverityName, Annotated[tuple[Minutes, ...], Field(max_length=9)]] = Field(
        description="Without acknowledgement for so many minutes: level 1, 2, … is told. A severity left out: nobody"
    )
    again_min: dict[SeverityName, Annotated[float, Field(ge=1, le=10_080)]] = Field(
        default_factory=lambda: dict(AGAIN_MIN),
        description="After the last level, until somebody acknowledges: it is told again every so many minutes. Left"
        " out: never",
    )
    no_receipt_min: dict[SeverityName, Minutes] = Field(
        default_factory=dict,
        description="A delivery not taken for so many minutes: level 1 is told to telephone. Left out: nobody",
    )
    no_callback_min: dict[SeverityName, Minutes] = Field(
        default_factory=dict,
        description="A case taken by a platform that calls back, and not a word of it for so many minutes: the same",
    )

    @model_validator(mode="after")
    def _rises(self) -> Self:
        for severity, minutes in self.after_min.items():
            if any(later < earlier for earlier, later in pairwise(minutes)):
                raise FieldError("after_min", f"{severity}: a level's turn is not before the one below; got {minutes}")
        return self

    def after(self, severity: SeverityName) -> tuple[timedelta, ...]:
        return tuple(timedelta(minutes=minutes) for minutes in self.after_min.get(severity, ()))

    def again(self) -> dict[Severity, timedelta]:
        return {Severity[name]: timedelta(minutes=minutes) for name, minutes in self.again_min.items()}


class WorkingTimeRule(AnyRule):
    """The hours of a working day, for time limits in work hours and work days. There is one such rule."""

    rule_id: Literal["duty.working_time"]
    kind: Literal["working_time"]
    spans: Annotated[tuple[tuple[Clock, Clock], ...], Field(min_length=1, max_length=6)] = Field(
        description='Begin and end by the city\'s clock, in order, like ["08:00", "12:00"]'
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        edges = [edge for span in self.spans for edge in span]
        if any(later <= earlier for earlier, later in pairwise(edges)):
            said = ", ".join(f"{begin:%H:%M}–{end:%H:%M}" for begin, end in self.spans)
            raise FieldError("spans", f"spans are in order, apart, and none is over midnight; got {said}")
        return self


class Share(Strict):
    """A share of all that may be `about` so much: kept from `least` to `most`."""

    least: float = Field(ge=0, le=1)
    most: float = Field(ge=0, le=1)


class HealthRule(AnyRule):
    """The limits of the figures by which the engine itself is judged. There is one such rule."""

    rule_id: Literal["health.alarms"]
    kind: Literal["health"]
    operators: Literal["districts", "duty"] | Annotated[int, Field(ge=1, le=10_000)] = Field(
        description="Who shares the alarms: one operator a district, those on duty at level 1, or so many"
    )
    mean_per_10_min: float = Field(gt=0, description="Alarms that reach one operator in 10 minutes, on average")
    most_per_10_min: float = Field(gt=0, description="… and at most in any")
    per_hour: float = Field(gt=0, description="Alarms that reach one operator in an hour, on average")
    per_day: float = Field(gt=0, description="… and in a day")
    flood_share: float = Field(gt=0, le=1, description="Share of the time that a district may be in flood")
    stale_after_h: float = Field(gt=0, description="An open alarm that has not changed for so long is stale (hours)")
    stale: int = Field(ge=0, description="Fewer than so many may be stale")
    chattering_per_min: int = Field(ge=2, description="An alarm that is raised so often in a minute chatters")
    chattering: int = Field(ge=0, description="At most so many may chatter")
    top_ten_share: float = Field(gt=0, le=1, description="Share of all alarms that the ten most frequent may be")
    low: Share = Field(description="Share of blue and yellow")
    medium: Share = Field(description="Share of orange")
    high: Share = Field(description="Share of red")
    oldest_owed_s: float = Field(gt=0, description="A delivery may wait so long (seconds)")
    receipt_p95_s: float = Field(gt=0, description="95 of 100 deliveries are taken within (seconds)")
    record_p95_s: float = Field(gt=0, description="95 of 100 alarms are on record so long after receipt (seconds)")
