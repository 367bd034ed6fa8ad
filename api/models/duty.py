"""Answers about duty: who is on duty, where nobody is, which day is what. Phone numbers are always masked."""

from __future__ import annotations

from datetime import date
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from alerts.duty.calendar import Day, DayKind
from alerts.duty.roster import Gap, OnDuty, masked
from api.masking import name_for
from api.parameters import AreaCode, Instant, Reasoning
from api.roles import Role


class DayShown(BaseModel):
    day: date = Field(examples=["2026-10-01"])
    kind: DayKind
    name: str = Field(description="Empty: an ordinary working day", examples=["国庆节"])
    source: str = Field(description="Who says so; `week`: nobody", examples=["chinesecalendar 1.11.0"])
    known: bool = Field(description="False: taken by the week alone, since nobody has entered this year")

    @classmethod
    def of(cls, day: Day) -> Self:
        return cls(day=day.day, kind=day.kind, name=day.name, source=day.source, known=day.known)


class PersonOnDuty(BaseModel):
    name: str = Field(description="Masked for roles that need not see it (docs/people.md)", examples=["王建国"])
    phone: str | None = Field(description="Masked (GB/T 35273)", examples=["138****0001"])
    role: str = Field(examples=["值班长"])
    unit: str = Field(examples=["市排水管理所"])
    level: int = Field(description="1 is told first", examples=[1])
    shift: str = Field(examples=["夜班"])
    begins: Instant
    ends: Instant
    areas: list[str] = Field(description="Area codes; none: the whole city", examples=[["410502"]])
    instead_of: str | None = Field(description="Whose shift it would have been", examples=[None])
    can_be_told: bool = Field(description="There is a sink in use by which to tell")

    @classmethod
    def of(cls, one: OnDuty, role: Role, *, can_be_told: bool) -> Self:
        person = one.person
        return cls(
            name=name_for(role, person.name),
            phone=masked(person.phone),
            role=person.role,
            unit=person.unit,
            level=one.level,
            shift=one.shift,
            begins=one.begins,
            ends=one.ends,
            areas=list(one.areas),
            instead_of=None if one.instead_of is None else name_for(role, one.instead_of),
            can_be_told=can_be_told,
        )


class GapShown(BaseModel):
    """Nobody is on duty."""

    level: int = Field(examples=[1])
    area: str | None = Field(description="Null: for what has no area", examples=["410502"])
    begins: Instant
    ends: Instant

    @classmethod
    def of(cls, gap: Gap) -> Self:
        return cls(level=gap.level, area=gap.area, begins=gap.begins, ends=gap.ends)


class DutyNow(BaseModel):
    at: Instant
    day: DayShown
    people: list[PersonOnDuty] = Field(description="The first level first")
    gaps: list[GapShown] = Field(description="Of the 7 days from then on")
    escalates: bool = Field(description="Whether the city has a roster; without one, nothing is escalated")
    warning: str | None = Field(description="What the answer rests on that is not known", examples=[None])


class RosterWritten(BaseModel):
    """How many of each thing the roster has now."""

    people: int = Field(examples=[12])
    shifts: int = Field(examples=[3])
    assignments: int = Field(examples=[6])
    absences: int = Field(examples=[1])
    swaps: int = Field(examples=[0])


class CalendarYear(BaseModel):
    year: int = Field(examples=[2026])
    known: bool = Field(description="False: taken by the week alone, since nobody has entered this year")
    days: list[DayShown] = Field(description="Those that are not as the week has them")
    warning: str | None = Field(examples=[None])


class CalendarWritten(BaseModel):
    years: list[int] = Field(examples=[[2027]])
    days: int = Field(examples=[33])


class Deadline(BaseModel):
    deadline: Instant = Field(examples=["2026-10-08T02:00:00Z"])
    label: str = Field(examples=["工作时"])
    warning: str | None = Field(description="What the answer rests on that is not known", examples=[None])


class NoteWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Reasoning = Field(description="What the next shift is to know", examples=["东风路泵车已到，水位下降"])
    area: AreaCode | None = Field(None, description="Of this area", examples=["410502"])


class Note(BaseModel):
    note_key: int = Field(examples=[7])
    at: Instant
    actor: str = Field(examples=["desk"])
    area_code: str | None = Field(examples=["410502"])
    text: str = Field(examples=["东风路泵车已到，水位下降"])


class HealthFigure(BaseModel):
    """One figure with its limit."""

    name: str = Field(examples=["per_hour"])
    label: str = Field(examples=["每人每小时告警"])
    value: float | None = Field(description="Null: there is nothing to reckon it from", examples=[3.5])
    unit: str = Field(description="Empty: a share from 0 to 1", examples=["条"])
    limit: str = Field(description="Empty: it has none", examples=["≤6"])
    kept: bool | None = Field(description="Null: no limit, or too little to judge", examples=[True])
    detail: str = Field(description="Where or whom it is about", examples=["2个区"])


class AlarmHealth(BaseModel):
    """Figures of health (ISA-18.2) of a window."""

    from_: Instant = Field(serialization_alias="from")
    to: Instant
    kept: int = Field(description="How many limits are kept", examples=[14])
    exceeded: int = Field(description="How many are not", examples=[1])
    figures: list[HealthFigure]
