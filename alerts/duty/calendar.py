"""Calendar: which day is what in China (法定节假日, weekends, 调休), and working time reckoned by it.

What the city has said itself comes first (`calendar_days`), then the maintained library, then the week. A year that
neither knows is taken by the week alone and says so: `Day.known`, `Calendar.warning`. Nothing here ever fails on a
year: escalation and deadlines must not stop because a notice of the State Council has not been entered yet.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import cache

import chinese_calendar

from underfoot.city_time import CITY_ZONE

log = logging.getLogger(__name__)

_SATURDAY = 5


class DayKind(StrEnum):
    workday = "workday"
    holiday = "holiday"

    @property
    def label(self) -> str:
        return "工作日" if self is DayKind.workday else "休息日"


class TimeKind(StrEnum):
    """How a time limit of a case runs (domain words of 立案条件)."""

    urgent_hour = "urgent_hour"
    work_hour = "work_hour"
    work_day = "work_day"
    natural_day = "natural_day"

    @property
    def label(self) -> str:
        return {"urgent_hour": "紧急工作时", "work_hour": "工作时", "work_day": "工作日", "natural_day": "自然日"}[
            self.value
        ]


@dataclass(frozen=True, slots=True)
class Entry:
    """A day that the city has said itself: what it is, its name, and which notice says so."""

    kind: DayKind
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Day:
    """What a day is. `known`: somebody has said so for its year; else it is by the week alone."""

    day: date
    kind: DayKind
    name: str
    source: str
    known: bool


class Calendar:
    """The city's entries over the library over the week."""

    def __init__(self, entries: Mapping[date, Entry] | None = None) -> None:
        self._entries = dict(entries or {})
        self._years = {day.year for day in self._entries}

    def day(self, day: date) -> Day:
        entry = self._entries.get(day)
        if entry is not None:
            return Day(day, entry.kind, entry.name, entry.source, known=True)
        if library_knows(day.year):
            return _by_library(day)
        kind = DayKind.holiday if day.weekday() >= _SATURDAY else DayKind.workday
        return Day(day, kind, "周末" if kind is DayKind.holiday else "", "week", self.knows(day.year))

    def is_workday(self, day: date) -> bool:
        return self.day(day).kind is DayKind.workday

    def knows(self, year: int) -> bool:
        return year in self._years or library_knows(year)

    def warning(self, *years: int) -> str | None:
        """What to say to people where an answer rests on a year that neither knows; None: it does not."""
        unknown = sorted({year for year in years if not self.knows(year)})
        if not unknown:
            return None
        named = "、".join(str(year) for year in unknown)
        return f"{named}年节假日和调休安排尚未录入，只按周末推算；请执行 underfoot duty calendar import 录入"


def warn_unknown(calendar: Calendar, day: date) -> None:
    """Say in the log, once a process and year, that `day` is judged by the week alone."""
    if not calendar.knows(day.year):
        _warn_once(day.year)


@cache
def _warn_once(year: int) -> None:
    log.warning(
        "calendar: neither the library nor this city knows the holidays of %d: weekends by the week until"
        " `underfoot duty calendar import` has them",
        year,
    )


@cache
def library_knows(year: int) -> bool:
    try:
        chinese_calendar.is_workday(date(year, 1, 1))
    except NotImplementedError:
        return False
    return True


def _by_library(day: date) -> Day:
    rests, english = chinese_calendar.get_holiday_detail(day)
    name = chinese_calendar.Holiday(english).chinese if english else ""
    if not rests:
        return Day(day, DayKind.workday, f"{name}调休" if name else "", _LIBRARY, known=True)
    return Day(day, DayKind.holiday, name or "周末", _LIBRARY, known=True)


_LIBRARY = f"chinesecalendar {chinese_calendar.__version__}"


# working time --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """The hours of a working day by the city's clock, in order and apart from each other."""

    spans: tuple[tuple[time, time], ...] = field(default=((time(8), time(12)), (time(14), time(18))))

    @property
    def day_length(self) -> timedelta:
        return sum((_on(date.min, end) - _on(date.min, begin) for begin, end in self.spans), timedelta())


USUAL = WorkingHours()
"""8–12 and 14–18: 1 工作日 = 8 h."""

LONGEST = timedelta(days=3660)


def deadline(
    start: datetime, kind: TimeKind, amount: float, calendar: Calendar, hours: WorkingHours = USUAL
) -> datetime:
    """When `amount` of this kind of time has passed since `start`."""
    match kind:
        case TimeKind.urgent_hour:
            return start + _amount(kind, amount, timedelta(hours=1))
        case TimeKind.natural_day:
            return start + _amount(kind, amount, timedelta(days=1))
        case TimeKind.work_hour:
            return add_work_time(start, _amount(kind, amount, timedelta(hours=1)), calendar, hours)
        case TimeKind.work_day:
            return add_work_time(start, _amount(kind, amount, hours.day_length), calendar, hours)


def add_work_hours(start: datetime, amount: float, calendar: Calendar, hours: WorkingHours = USUAL) -> datetime:
    """When so many working hours have passed since `start`."""
    return deadline(start, TimeKind.work_hour, amount, calendar, hours)


def add_work_time(start: datetime, left: timedelta, calendar: Calendar, hours: WorkingHours = USUAL) -> datetime:
    """The first moment at which so much working time has passed. It is in `start`'s own zone."""
    if left <= timedelta():
        return start
    for begin, end in _working_spans(start.astimezone(CITY_ZONE).date(), calendar, hours):
        begin = max(begin, start)
        if end - begin >= left:
            return (begin + left).astimezone(start.tzinfo)
        left -= max(end - begin, timedelta())
    raise ValueError("working time has no end")


def work_time_between(start: datetime, end: datetime, calendar: Calendar, hours: WorkingHours = USUAL) -> timedelta:
    """How much working time lies between them."""
    found = timedelta()
    for begins, ends in _working_spans(start.astimezone(CITY_ZONE).date(), calendar, hours):
        if begins >= end:
            return found
        found += max(min(ends, end) - max(begins, start), timedelta())
    raise ValueError("working time has no end")


def _working_spans(day: date, calendar: Calendar, hours: WorkingHours) -> Iterator[tuple[datetime, datetime]]:
    while True:
        if calendar.is_workday(day):
            for begin, end in hours.spans:
                yield _on(day, begin), _on(day, end)
        day += timedelta(days=1)


def _on(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, CITY_ZONE)


def _amount(kind: TimeKind, amount: float, unit: timedelta) -> timedelta:
    if not 0 <= amount * unit.total_seconds() <= LONGEST.total_seconds():
        raise ValueError(f"{kind.value} = {amount!r}: from 0 to {LONGEST / unit:g} is possible")
    return amount * unit


def known_days(calendar: Calendar, from_day: date, days: int) -> int:
    """How many of the next days are of a year that somebody knows: where it falls below `days`, a notice is missing."""
    return sum(calendar.knows((from_day + timedelta(days=number)).year) for number in range(days))


def years_of(days: Collection[date]) -> list[int]:
    return sorted({day.year for day in days})
