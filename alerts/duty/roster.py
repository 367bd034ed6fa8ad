"""Roster (值班表): people, shifts, who takes which shift at which level, absences and swaps; and who is on duty when.

All of it is data that a city writes (docs/duty.md) and these models check; `on_duty` is a pure function of it, of the
calendar and of a moment. A shift belongs to the day on which it begins: the night of a Friday ends on Saturday morning
and is Friday's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

from alerts.duty.calendar import Calendar
from alerts.duty.shifts import Name, Quiet, Shift, Strict
from underfoot.city_time import CITY_ZONE

MOST_LEVELS = 9


def _city_moment(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=CITY_ZONE)


def _none(value: object) -> object:
    return None if value == "" else value


Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
AreaCode = Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, int) else v), Field(pattern=r"^\d{2,12}$")]
Areas = tuple[AreaCode, ...]
Phone = Annotated[
    str,
    BeforeValidator(lambda v: str(v) if isinstance(v, int) else v),
    Field(pattern=r"^[+0-9*][0-9* -]{4,19}$"),
]
SinkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
CityMoment = Annotated[
    datetime,
    AfterValidator(_city_moment),
    PlainSerializer(lambda v: v.astimezone(CITY_ZONE).isoformat(timespec="minutes"), return_type=str),
]


class Person(Strict):
    """Somebody who may be on duty. `phone` is personal information (GB/T 35273): masked wherever it is shown."""

    name: Name = Field(description="姓名；重名时加注，如 张伟（排水）", examples=["王建国"])
    phone: Annotated[Phone | None, BeforeValidator(_none)] = Field(None, description="电话", examples=["138****0001"])
    role: Words = Field("", description="岗位", examples=["值班长"])
    unit: Words = Field("", description="单位", examples=["市排水管理所"])
    areas: Areas = Field((), description="Area codes; none: the whole city", examples=[["410502"]])
    sink: Annotated[SinkName | None, BeforeValidator(_none)] = Field(
        None, description="The sink (audience duty) by which this person is told", examples=["wang-jianguo"]
    )
    feishu: Annotated[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None, BeforeValidator(_none)] = Field(
        None, description="飞书 open_id, by which a Feishu robot can @ this person", examples=["ou_18eac8"]
    )
    quiet: tuple[Quiet, ...] = Field((), description="免打扰: when this person is told of red only", examples=[[]])


class Assignment(Strict):
    """Who takes a shift at a level: `people`, all of them; or `turns`, teams of which one follows the other."""

    shift: Name = Field(examples=["夜班"])
    level: int = Field(1, ge=1, le=MOST_LEVELS, description="1 is told first", examples=[1])
    areas: Areas = Field((), description="Area codes; none: each person's own", examples=[["410502"]])
    people: tuple[Name, ...] = Field((), description="All on duty together", examples=[["王建国"]])
    turns: tuple[Annotated[tuple[Name, ...], Field(min_length=1)], ...] = Field(
        (), description="Teams that take turns, in order", examples=[[]]
    )
    turn_days: int = Field(1, ge=1, le=366, description="Days after which the next team's turn comes", examples=[7])
    from_: date = Field(alias="from", description="First day; the first team's turn begins", examples=["2026-01-01"])
    until: Annotated[date | None, BeforeValidator(_none)] = Field(None, description="Last day", examples=[None])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.people) == bool(self.turns):
            raise ValueError("give either people (all on duty together) or turns (teams that take turns)")
        if self.until is not None and self.until < self.from_:
            raise ValueError(f"until = {self.until}: must not be before from, which is {self.from_}")
        return self

    @property
    def teams(self) -> tuple[tuple[str, ...], ...]:
        return self.turns or (self.people,)

    def team(self, day: date) -> tuple[str, ...]:
        """Whose turn it is for the shift that begins on this day."""
        if day < self.from_ or (self.until is not None and day > self.until):
            return ()
        return self.teams[(day - self.from_).days // self.turn_days % len(self.teams)]


class Absence(Strict):
    """Somebody is away, with or without a stand-in."""

    person: Name = Field(examples=["李强"])
    from_: CityMoment = Field(alias="from", examples=["2026-10-01T08:00:00+08:00"])
    until: CityMoment = Field(examples=["2026-10-04T08:00:00+08:00"])
    stand_in: Annotated[Name | None, BeforeValidator(_none)] = Field(None, description="代班人", examples=["张伟"])
    reason: Words = Field("", examples=["年假"])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.until <= self.from_:
            raise ValueError(f"until = {self.until.isoformat()}: must be after from, which is {self.from_.isoformat()}")
        if self.stand_in == self.person:
            raise ValueError(f"stand_in = {self.stand_in!r}: nobody can stand in for himself")
        return self


class Swap(Strict):
    """换班: on one day one person takes a shift instead of another. An exchange is two of them."""

    day: date = Field(examples=["2026-10-01"])
    shift: Name = Field(examples=["夜班"])
    person: Name = Field(description="Who would have been on duty", examples=["李强"])
    stand_in: Name = Field(description="Who is on duty instead", examples=["张伟"])


class Plan(Strict):
    """The roster as it is written down: one file, one document."""

    people: tuple[Person, ...] = ()
    shifts: tuple[Shift, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    absences: tuple[Absence, ...] = ()
    swaps: tuple[Swap, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        people = _distinct("people", [person.name for person in self.people])
        shifts = _distinct("shifts", [shift.name for shift in self.shifts])
        for n, a in enumerate(self.assignments):
            _known(f"assignments.{n}.shift", a.shift, shifts, "shift")
            for name in (name for team in a.teams for name in team):
                _known(f"assignments.{n}", name, people, "person")
        for n, absence in enumerate(self.absences):
            _known(f"absences.{n}.person", absence.person, people, "person")
            if absence.stand_in is not None:
                _known(f"absences.{n}.stand_in", absence.stand_in, people, "person")
        for n, swap in enumerate(self.swaps):
            _known(f"swaps.{n}.shift", swap.shift, shifts, "shift")
            _known(f"swaps.{n}.stand_in", swap.stand_in, people, "person")
            if not any(a.shift == swap.shift and swap.person in a.team(swap.day) for a in self.assignments):
                raise ValueError(f"swaps.{n}.person = {swap.person!r}: not in {swap.shift} on {swap.day}")
        if self.levels != tuple(range(1, len(self.levels) + 1)):
            raise ValueError(f"assignments = levels {list(self.levels)}: levels are 1, 2, … without a gap")
        _distinct("swaps", [f"{s.day} {s.shift} {s.person}" for s in self.swaps])
        return self

    @property
    def levels(self) -> tuple[int, ...]:
        return tuple(sorted({a.level for a in self.assignments}))


def _distinct(where: str, names: list[str]) -> set[str]:
    for n, name in enumerate(names):
        if name in names[:n]:
            raise ValueError(f"{where}.{n} = {name!r}: stands there twice")
    return set(names)


def _known(where: str, name: str, known: set[str], what: str) -> None:
    if name not in known:
        raise ValueError(f"{where} = {name!r}: there is no such {what}; there are {'、'.join(sorted(known)) or 'none'}")


def masked(phone: str | None) -> str | None:
    """A phone number as it may be shown: who has it knows which one is meant, nobody else can dial it."""
    if phone is None:
        return None
    digits = [n for n, character in enumerate(phone) if character.isdigit()]
    head, tail = (3, 4) if len(digits) >= 11 else (0, 2)
    hidden = set(digits[head : len(digits) - tail])
    return "".join("*" if n in hidden else character for n, character in enumerate(phone))


# who is on duty ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OnDuty:
    """One person on duty in one running shift. `areas`: codes; none: the whole city."""

    person: Person
    shift: str
    level: int
    areas: tuple[str, ...]
    begins: datetime
    ends: datetime
    instead_of: str | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A shift that is under way: it began on `day`."""

    shift: Shift
    day: date
    begins: datetime
    ends: datetime


@dataclass(frozen=True)
class Roster:
    """The plan with what it is read by. `parents`: area code → the area above it."""

    plan: Plan
    calendar: Calendar = field(default_factory=Calendar)
    parents: Mapping[str, str] = field(default_factory=dict)

    def lineage(self, area: str) -> set[str]:
        """The area and those above it, as far as they are known."""
        found = {area}
        while (above := self.parents.get(area)) is not None and above not in found:
            area = above
            found.add(area)
        return found

    def covers(self, codes: tuple[str, ...], area: str) -> bool:
        return not codes or any(area.startswith(code) for code in codes) or bool(self.lineage(area) & set(codes))


def running(roster: Roster, moment: datetime) -> Iterator[Running]:
    """The shifts under way: those of today and, over midnight, of yesterday."""
    today = moment.astimezone(CITY_ZONE).date()
    for shift in roster.plan.shifts:
        for day in (today - timedelta(days=1), today):
            begins, ends = shift.span(day)
            if begins <= moment < ends and shift.on(day, roster.calendar):
                yield Running(shift, day, begins, ends)


def everybody(roster: Roster, moment: datetime) -> tuple[OnDuty, ...]:
    """Who is on duty anywhere, the first level first, in the order of the plan."""
    people = {person.name: person for person in roster.plan.people}
    found: dict[tuple[str, int, str, tuple[str, ...]], OnDuty] = {}
    for under_way in running(roster, moment):
        for a in roster.plan.assignments:
            for name in a.team(under_way.day) if a.shift == under_way.shift.name else ():
                present = _present(roster.plan, name, under_way, moment)
                if present is None:
                    continue
                person, areas = people[present], a.areas or people[name].areas
                instead = name if present != name else None
                one = OnDuty(person, a.shift, a.level, areas, under_way.begins, under_way.ends, instead)
                found.setdefault((present, a.level, a.shift, areas), one)
    return tuple(sorted(found.values(), key=lambda one: one.level))


def on_duty(roster: Roster, moment: datetime, area: str | None, level: int) -> tuple[OnDuty, ...]:
    """Who is to be told at this level of what happens in this area. What has no area (a failure of Underfoot itself)
    goes to whoever has the whole city; where nobody has, to all of the level."""
    return responsible(roster, everybody(roster, moment), area, level)


def responsible(roster: Roster, present: tuple[OnDuty, ...], area: str | None, level: int) -> tuple[OnDuty, ...]:
    """Of those on duty, who is to be told."""
    of_level = tuple(one for one in present if one.level == level)
    if area is None:
        return tuple(one for one in of_level if not one.areas) or of_level
    return tuple(one for one in of_level if roster.covers(one.areas, area))


def _present(plan: Plan, name: str, under_way: Running, moment: datetime) -> str | None:
    """Who comes instead of `name`, who may be away, too; None: nobody."""
    for swap in plan.swaps:
        if (swap.day, swap.shift, swap.person) == (under_way.day, under_way.shift.name, name):
            name = swap.stand_in
            break
    asked: set[str] = set()
    while name not in asked:
        asked.add(name)
        away = next((a for a in plan.absences if a.person == name and a.from_ <= moment < a.until), None)
        if away is None:
            return name
        if away.stand_in is None:
            return None
        name = away.stand_in
    return None


# gaps ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gap:
    """Nobody is on duty at this level in this area. `area` None: for what has no area."""

    level: int
    area: str | None
    begins: datetime
    ends: datetime


def gaps(roster: Roster, since: datetime, until: datetime) -> list[Gap]:
    """Where the plan leaves somebody out, of the levels and areas that it names; in order of time."""
    plan = roster.plan
    named = {code for a in plan.assignments for code in a.areas}
    named |= {code for person in plan.people for code in person.areas}
    edges = sorted({since, until, *_edges(plan, since, until)})
    found: list[Gap] = []
    going_on: dict[tuple[int, str | None], int] = {}
    for begins, ends in pairwise(edges):
        present = everybody(roster, begins)
        for level in plan.levels:
            for area in (*sorted(named), None):
                if responsible(roster, present, area, level):
                    going_on.pop((level, area), None)
                elif (level, area) in going_on:
                    at = going_on[level, area]
                    found[at] = replace(found[at], ends=ends)
                else:
                    going_on[level, area] = len(found)
                    found.append(Gap(level, area, begins, ends))
    return found


def _edges(plan: Plan, since: datetime, until: datetime) -> Iterator[datetime]:
    """When anything may change between these moments."""
    day = since.astimezone(CITY_ZONE).date() - timedelta(days=1)
    last = until.astimezone(CITY_ZONE).date()
    while day <= last:
        for shift in plan.shifts:
            yield from (edge for edge in shift.span(day) if since < edge < until)
        day += timedelta(days=1)
    for absence in plan.absences:
        yield from (edge for edge in (absence.from_, absence.until) if since < edge < until)


def discreet(plan: Plan) -> Plan:
    """The plan as it may be shown: its phone numbers masked."""
    people = tuple(person.model_copy(update={"phone": masked(person.phone)}) for person in plan.people)
    return plan.model_copy(update={"people": people})
