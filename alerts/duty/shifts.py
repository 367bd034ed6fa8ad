"""Stretches of the day by the city's clock: shifts of the roster, and quiet hours of a sink or a person.

A stretch belongs to the day on which it begins. What is written of them is data; who asks gets pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

from alerts.duty.calendar import Calendar, DayKind
from underfoot.city_time import CITY_ZONE


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _minute(value: time) -> time:
    if value.tzinfo is not None or value.second or value.microsecond:
        raise ValueError('a time by the city\'s clock is needed, in minutes, like "18:30"')
    return value


def _weekdays(value: object) -> object:
    return tuple(sorted(value)) if isinstance(value, list | tuple) and all(isinstance(v, int) for v in value) else value


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Clock = Annotated[time, AfterValidator(_minute), PlainSerializer(lambda v: f"{v:%H:%M}", return_type=str)]
Weekday = Annotated[int, Field(ge=1, le=7)]
Days = Annotated[
    Literal["all", "workday", "holiday"] | Annotated[tuple[Weekday, ...], Field(min_length=1)],
    BeforeValidator(_weekdays),
]


def _on(days: Days, day: date, calendar: Calendar) -> bool:
    match days:
        case "all":
            return True
        case "workday" | "holiday":
            return calendar.day(day).kind is DayKind(days)
        case weekdays:
            return day.isoweekday() in weekdays


def _span(day: date, begin: time, end: time) -> tuple[datetime, datetime]:
    begins = datetime.combine(day, begin, CITY_ZONE)
    ends = datetime.combine(day, end, CITY_ZONE)
    return begins, ends if ends > begins else ends + timedelta(days=1)


class Shift(Strict):
    """A stretch of the day by the city's clock. `end` not after `begin`: it ends on the next day."""

    name: Name = Field(description="班次", examples=["夜班"])
    begin: Clock = Field(examples=["18:00"])
    end: Clock = Field(examples=["08:00"])
    days: Days = Field("all", description="all, workday, holiday, or weekdays (1 = Monday … 7)", examples=["all"])

    def on(self, day: date, calendar: Calendar) -> bool:
        """Whether it begins on this day."""
        return _on(self.days, day, calendar)

    def span(self, day: date) -> tuple[datetime, datetime]:
        """Its begin and end when it begins on this day."""
        return _span(day, self.begin, self.end)


class Quiet(Strict):
    """免打扰: a stretch in which somebody is told of red only. `until` not after `from`: it ends on the next day."""

    from_: Clock = Field(alias="from", examples=["22:00"])
    until: Clock = Field(examples=["07:00"])
    days: Days = Field("all", description="all, workday, holiday, or weekdays (1 = Monday … 7)", examples=["all"])

    @model_validator(mode="after")
    def _not_always(self) -> Self:
        if self.from_ == self.until:
            raise ValueError(f"from = until = {self.until:%H:%M}: that would be always")
        return self

    def __str__(self) -> str:
        named = {"all": "", "workday": " 工作日", "holiday": " 节假日"}
        days = (
            named[self.days]
            if isinstance(self.days, str)
            else f" 周{''.join('一二三四五六日'[d - 1] for d in self.days)}"
        )
        return f"{self.from_:%H:%M}–{self.until:%H:%M}{days}"

    @classmethod
    def parsed(cls, text: str) -> Self:
        """`22:00-07:00`, or with the days on which it begins: `22:00-07:00 workday`, `22:00-07:00 6,7`."""
        span, _, days = text.strip().partition(" ")
        begin, _, end = span.partition("-")
        on: object = days.strip() or "all"
        if on not in ("all", "workday", "holiday"):
            on = [int(day) if day.isdecimal() else day for day in days.replace(" ", "").split(",")]
        return cls.model_validate({"from": begin, "until": end, "days": on})


def quiet_until(quiet: Sequence[Quiet], now: datetime, calendar: Calendar) -> datetime | None:
    """Until when it is quiet, if it is. Stretches that follow each other without a gap are one."""
    end = now
    while end - now < timedelta(days=8) and (later := max(_ends(quiet, end, calendar), default=end)) > end:
        end = later
    return end if end > now else None


def _ends(quiet: Sequence[Quiet], at: datetime, calendar: Calendar) -> Iterator[datetime]:
    today = at.astimezone(CITY_ZONE).date()
    for one in quiet:
        for day in (today - timedelta(days=1), today):
            begins, ends = _span(day, one.from_, one.until)
            if begins <= at < ends and _on(one.days, day, calendar):
                yield ends
