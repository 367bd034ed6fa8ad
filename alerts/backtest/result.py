"""What trying a rule on history has found: what the command prints, the API answers, and the picture shows."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, Field

from underfoot.alarms import Severity

SEVERITIES = tuple(Severity)

OPERATOR_A_DAY = 150
"""At most so many notices a day, for one operator (ISA-18.2, EEMUA 191)."""

_EXAMPLE = "2026-07-01T13:38:00Z"


class FoundEpisode(BaseModel):
    """An episode that the rule would have had."""

    device_id: str = Field(examples=["road-0017"])
    place: str = Field(description="Name and address of its asset", examples=["东风路铁路桥下 东风路"])
    raised_at: datetime = Field(description="Event time", examples=[_EXAMPLE])
    cleared_at: datetime | None = Field(description="Event time; null: open until `ends_at`", examples=[_EXAMPLE])
    severity: int = Field(description="The worst it came to: 1 蓝, 2 黄, 3 橙, 4 红", ge=1, le=4, examples=[3])
    notices: int = Field(description="Its raise, each time it got worse, and its end", examples=[2])


class RecordedEpisode(BaseModel):
    """An episode of this rule that is on record."""

    device_id: str = Field(examples=["road-0017"])
    raised_at: datetime = Field(description="Event time", examples=[_EXAMPLE])
    cleared_at: datetime | None = Field(description="Event time; null: it is open", examples=[_EXAMPLE])
    confirmed: bool | None = Field(description="What people found; null: nobody has said", examples=[True])
    found: bool = Field(description="The rule as tried raises then, too", examples=[True])


class Day(BaseModel):
    """A day in Asia/Shanghai."""

    day: date = Field(examples=["2026-07-01"])
    raised: list[int] = Field(
        description="Episodes that began, by the worst they came to: 蓝, 黄, 橙, 红", examples=[[3, 1, 0, 1]]
    )
    notices: int = Field(examples=[10])


class Overlap(BaseModel):
    """How what the rule finds agrees with what is on record, and with what people found of it. `found`: at the same
    time on the same device."""

    recorded: int = Field(description="Episodes on record in that time", examples=[40])
    recorded_found: int = Field(examples=[31])
    confirmed: int = Field(
        description="Of them, found real by people, or acknowledged and not called false", examples=[12]
    )
    confirmed_found: int = Field(examples=[12])
    false: int = Field(description="Of them, called a false alarm (误报)", examples=[9])
    false_found: int = Field(examples=[1])


class Backtest(BaseModel):
    """What a rule would have raised on stored history, in event time."""

    rule_id: str = Field(examples=["road.ponding"])
    title: str = Field(examples=["道路积水"])
    version: int | None = Field(description="The version in force; null: a rule that is not stored", examples=[1])
    begins_at: datetime = Field(examples=[_EXAMPLE])
    ends_at: datetime = Field(examples=[_EXAMPLE])
    devices: int = Field(examples=[2000])
    reports: int = Field(examples=[5_760_000])
    took_s: float = Field(description="What trying it took (seconds)", examples=[14.2])
    raised: int = Field(description="Episodes that began in the span, or were open when it did", examples=[321])
    by_severity: list[int] = Field(
        description="By the worst they came to: 蓝, 黄, 橙, 红", examples=[[141, 107, 48, 25]]
    )
    notices: int = Field(description="Raises, times that one got worse, and ends", examples=[920])
    raised_a_day: float = Field(examples=[10.7])
    notices_a_day: float = Field(description=f"At most {OPERATOR_A_DAY} for one operator", examples=[30.7])
    tells: list[str] = Field(
        description="case: the city's platform; crew: a maintenance crew", examples=[["case", "crew"]]
    )
    days: list[Day]
    of_this_rule: Overlap
    of_other_rules: Overlap = Field(description="Of the same devices: what else was wrong with them at the time")
    new: int = Field(description="Episodes at a time when nothing of this rule was on record", examples=[280])
    episodes: list[FoundEpisode] = Field(description="The worst first, then the newest")
    recorded: list[RecordedEpisode] = Field(description="What is on record of this rule, oldest first")
    left_off: int = Field(0, description="Episodes that are counted above but not listed", examples=[0])

    def cut(self, at_most: int) -> Backtest:
        """With at most so many episodes, and so many on record, listed."""
        if len(self.episodes) <= at_most and len(self.recorded) <= at_most:
            return self
        left_off = len(self.episodes[at_most:]) + len(self.recorded[at_most:])
        listed = {"episodes": self.episodes[:at_most], "recorded": self.recorded[:at_most], "left_off": left_off}
        return self.model_copy(update=listed)
