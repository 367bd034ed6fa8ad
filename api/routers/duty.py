"""Duty (值班): who is on duty, the roster, the calendar, what a shift leaves the next. Phone numbers are masked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, TypeVar

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from alerts.duty import store
from alerts.duty.calendar import TimeKind, deadline
from alerts.duty.files import CalendarFile, DutyError
from alerts.duty.handover import Handover, HandoverError, Window, handover, window_of
from alerts.duty.roster import Absence, OnDuty, Plan, Roster, Swap, everybody, gaps
from alerts.duty.roster import discreet as with_masked_phones
from api.access import GuardedRoute
from api.callers import Caller
from api.dependencies import Pool, WhoCalls, places
from api.masking import discreet
from api.models.duty import (
    CalendarWritten,
    CalendarYear,
    DayShown,
    Deadline,
    DutyNow,
    GapShown,
    Note,
    NoteWanted,
    PersonOnDuty,
    RosterWritten,
)
from api.parameters import CITY_ZONE, AreaCode, Instant, Question, Span, Text
from api.problems import Problem, invalid, not_found
from api.roles import V1
from api.scope import Scope
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection

router = APIRouter(prefix=f"{V1}/duty", tags=["duty"], route_class=GuardedRoute)

_LOOK_AHEAD = timedelta(days=7)
Line = TypeVar("Line", bound=BaseModel)

Year = Annotated[int, Path(ge=1970, le=2199, description="The year", examples=[2026])]


class At(Question):
    at: Instant | None = Field(None, description="At this time; without it, now", examples=["2026-07-01T13:38:00Z"])


class DeadlineQuestion(Question):
    from_: Instant = Field(alias="from", description="From this time on", examples=["2026-09-30T17:00:00+08:00"])
    kind: TimeKind = Field(description="How it runs", examples=["work_hour"])
    amount: float = Field(ge=0, le=100_000, description="How many hours or days", examples=[4])


class HandoverQuestion(Span):
    """Without anything, the shift under way. `from` and `to` come together, and instead of a shift."""

    at: Instant | None = Field(None, description="The shift under way then", examples=["2026-07-01T13:38:00Z"])
    shift: Text | None = Field(None, description="The last shift of this name, until `at`", examples=["夜班"])
    area: AreaCode | None = Field(None, description="Only this area and below", examples=["410502"])


@router.get("/now", summary="Who is on duty")
def on_duty_now(pool: Pool, caller: WhoCalls, question: Annotated[At, Query()]) -> DutyNow:
    """Everybody on duty at every level, and where nobody will be in the next days."""
    at, scope = question.at or CLOCK.now(), caller.scope
    whole = scope.is_whole
    with pool.connection() as connection:
        roster, sinks = store.load_roster(connection), store.duty_sinks(connection)
    today = at.astimezone(CITY_ZONE).date()
    present = [one for one in everybody(roster, at) if whole or _concerns(one, scope)]
    empty = [gap for gap in gaps(roster, at, at + _LOOK_AHEAD) if whole or _holds(gap.area, scope)]
    return DutyNow(
        at=at,
        day=DayShown.of(roster.calendar.day(today)),
        people=[PersonOnDuty.of(one, caller.role, can_be_told=one.person.sink in sinks) for one in present],
        gaps=[GapShown.of(gap) for gap in empty],
        escalates=bool(roster.plan.assignments),
        warning=roster.calendar.warning(today.year, (today + _LOOK_AHEAD).year),
    )


@router.get("/roster", summary="The roster")
def get_roster(pool: Pool) -> Plan:
    """The roster whole, as it can be written again: a masked phone number there means as it is known."""
    with pool.connection() as connection:
        return with_masked_phones(store.load_plan(connection))


@router.put("/roster", summary="Write the roster anew")
def put_roster(pool: Pool, caller: WhoCalls, body: Plan) -> RosterWritten:
    """All of it, or at a mistake nothing. A masked phone number means: as it is known."""
    with pool.connection() as connection:
        try:
            counts = store.put_plan(connection, body, actor=caller.name)
        except DutyError as error:
            raise _refused(error) from None
    return RosterWritten.model_validate(counts)


@router.post("/absences", summary="Somebody is away", status_code=201)
def post_absence(pool: Pool, caller: WhoCalls, body: Absence) -> Absence:
    """The roster with one absence more, with or without a stand-in."""
    with pool.connection() as connection:
        try:
            store.add_absence(connection, body, actor=caller.name)
        except DutyError as error:
            raise _refused(error) from None
    return body


@router.post("/swaps", summary="Somebody takes a shift of somebody else", status_code=201)
def post_swap(pool: Pool, caller: WhoCalls, body: Swap) -> Swap:
    """The roster with one swap (换班) more; an exchange is two of them."""
    with pool.connection() as connection:
        try:
            store.add_swap(connection, body, actor=caller.name)
        except DutyError as error:
            raise _refused(error) from None
    return body


@router.get("/handover", summary="What a shift leaves the next one")
def get_handover(pool: Pool, caller: WhoCalls, question: Annotated[HandoverQuestion, Query()]) -> Handover:
    """交接班: raised, closed, open, what nobody has answered, shelved, out of service, incidents, sinks, notes."""
    now = CLOCK.now()
    if caller.scope.units is not None:
        raise Problem("scope-too-narrow", "A shift hands over whole areas; yours is bound to maintenance units.")
    with pool.connection() as connection:
        roster = store.load_roster(connection)
        try:
            mine = None if caller.scope.is_whole else places(connection, caller.scope, question.area)["areas"]
            found = handover(connection, roster, _window(question, roster, now), area=question.area, mine=mine)
            return _discreet(connection, found, caller)
        except HandoverError as error:
            raise Problem("invalid", str(error)) from None


def _window(question: HandoverQuestion, roster: Roster, now: datetime) -> Window:
    since, until = question.from_, question.to
    if since is None and until is None:
        return window_of(roster, question.at or now, shift=question.shift, now=now)
    if since is None or until is None:
        raise HandoverError("from and to come together")
    if question.at is not None or question.shift is not None:
        raise HandoverError("from and to come instead of at and shift")
    return Window(shift="", begins=since, ends=until, until=min(until, max(now, since)))


@router.post("/notes", summary="Write down something for the next shift", status_code=201)
def post_note(pool: Pool, caller: WhoCalls, body: NoteWanted) -> Note:
    """交接事项: it stands in the handover of the shift in which it was written."""
    whole, mine = caller.scope.is_whole, caller.scope.areas
    area = mine[0] if body.area is None and mine is not None and len(mine) == 1 else body.area
    with pool.connection() as connection:
        if area is not None and not (store.area_names(connection, [area]) and caller.scope.holds_area(area)):
            raise invalid("area", area, "there is no such area; see /api/v1/areas/tree", place="body")
        if area is None and not (whole or mine is None):
            raise invalid("area", None, f"say which of yours: {', '.join(mine or ())}", place="body")
        row = store.add_note(connection, body.text, area=area, actor=caller.name, at=CLOCK.now())
    return Note.model_validate(row)


@router.get("/calendar/{year}", summary="Which days of a year are not as the week has them")
def get_calendar(pool: Pool, year: Year) -> CalendarYear:
    """法定节假日 and 调休: what the city has entered, over what the library knows."""
    with pool.connection() as connection:
        calendar = store.load_calendar(connection)
    first = date(year, 1, 1)
    days = (calendar.day(first + timedelta(days=n)) for n in range((date(year, 12, 31) - first).days + 1))
    found = [DayShown.of(day) for day in days if day.name not in ("", "周末")]
    return CalendarYear(year=year, known=calendar.knows(year), days=found, warning=calendar.warning(year))


@router.get("/deadline", summary="When so much time of a kind has passed")
def get_deadline(pool: Pool, question: Annotated[DeadlineQuestion, Query()]) -> Deadline:
    """紧急工作时, 工作时, 工作日 or 自然日 from a time on, by the calendar and the rule `duty.working_time`."""
    with pool.connection() as connection:
        calendar, hours = store.load_calendar(connection), store.working_hours(connection)
    since = question.from_
    try:
        found = deadline(since, question.kind, question.amount, calendar, hours)
    except (ValueError, OverflowError) as error:
        raise invalid("amount", question.amount, str(error)) from None
    years = range(since.astimezone(CITY_ZONE).year, found.astimezone(CITY_ZONE).year + 1)
    return Deadline(deadline=found, label=question.kind.label, warning=calendar.warning(*years))


@router.put("/calendar", summary="Enter what a notice says of a year")
def put_calendar(pool: Pool, caller: WhoCalls, body: CalendarFile) -> CalendarWritten:
    """What the city had entered of these years is written anew."""
    with pool.connection() as connection:
        years = store.put_calendar(connection, body, actor=caller.name)
    return CalendarWritten(years=years, days=len(body.entries()))


@router.delete("/calendar/{year}", summary="Take back what was entered of a year")
def delete_calendar(pool: Pool, caller: WhoCalls, year: Year) -> CalendarWritten:
    """The year is again as the library knows it, or as the week has it."""
    with pool.connection() as connection:
        gone = store.forget_calendar(connection, year, actor=caller.name)
    if not gone:
        raise not_found(f"day of {year} that the city has entered")
    return CalendarWritten(years=[year], days=gone)


def _concerns(one: OnDuty, scope: Scope) -> bool:
    """Whether somebody on duty is there for a part of the scope."""
    there = not one.areas or any(scope.holds_area(code) for code in one.areas) or _lies_in(scope, one.areas)
    return there and (scope.units is None or one.person.unit in scope.units)


def _lies_in(scope: Scope, areas: Sequence[str]) -> bool:
    """Whether a part of these areas is the whole scope: who is there for a district is there for its streets."""
    return any(mine.startswith(tuple(areas)) for mine in scope.areas or ())


def _holds(area: str | None, scope: Scope) -> bool:
    return scope.areas is None if area is None else scope.holds_area(area)


def _discreet(connection: Connection, found: Handover, caller: Caller) -> Handover:
    def shown(lines: Sequence[Line], name: str, *texts: str) -> list[Line]:
        rows = discreet(connection, caller.role, [line.model_dump() for line in lines], name, texts=texts)
        return [type(line).model_validate(row) for line, row in zip(lines, rows, strict=True)]

    changes = {"leaving": shown(found.leaving, "name"), "coming": shown(found.coming, "name")}
    said = {"notes": shown(found.notes, "actor", "text"), "suppressed": shown(found.suppressed, "actor", "reason")}
    return found.model_copy(update={**changes, **said})


def _refused(error: DutyError) -> Problem:
    return Problem("invalid", str(error))
