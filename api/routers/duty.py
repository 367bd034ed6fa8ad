"""Duty (值班): who is on duty, the roster, the calendar, what a shift leaves the next. Phone numbers are masked."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from alerts.duty import store
from alerts.duty.calendar import TimeKind, deadline
from alerts.duty.files import CalendarFile, DutyError
from alerts.duty.handover import Handover, HandoverError, Window, handover, window_of
from alerts.duty.roster import Absence, Plan, Roster, Swap, discreet, everybody, gaps
from api.access import GuardedRoute
from api.dependencies import Pool, WhoCalls
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
from underfoot.clock import CLOCK

router = APIRouter(prefix=f"{V1}/duty", tags=["duty"], route_class=GuardedRoute)

_LOOK_AHEAD = timedelta(days=7)

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
def on_duty_now(pool: Pool, question: Annotated[At, Query()]) -> DutyNow:
    """Everybody on duty at every level, and where nobody will be in the next days."""
    at = question.at or CLOCK.now()
    with pool.connection() as connection:
        roster, sinks = store.load_roster(connection), store.duty_sinks(connection)
    today = at.astimezone(CITY_ZONE).date()
    return DutyNow(
        at=at,
        day=DayShown.of(roster.calendar.day(today)),
        people=[PersonOnDuty.of(one, can_be_told=one.person.sink in sinks) for one in everybody(roster, at)],
        gaps=[GapShown.of(gap) for gap in gaps(roster, at, at + _LOOK_AHEAD)],
        escalates=bool(roster.plan.assignments),
        warning=roster.calendar.warning(today.year, (today + _LOOK_AHEAD).year),
    )


@router.get("/roster", summary="The roster")
def get_roster(pool: Pool) -> Plan:
    """The roster whole, as it can be written again: a masked phone number there means as it is known."""
    with pool.connection() as connection:
        return discreet(store.load_plan(connection))


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
def get_handover(pool: Pool, question: Annotated[HandoverQuestion, Query()]) -> Handover:
    """交接班: raised, closed, open, what nobody has answered, shelved, out of service, incidents, sinks, notes."""
    now = CLOCK.now()
    with pool.connection() as connection:
        roster = store.load_roster(connection)
        try:
            return handover(connection, roster, _window(question, roster, now), area=question.area)
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
    with pool.connection() as connection:
        if body.area is not None and not store.area_names(connection, [body.area]):
            raise invalid("area", body.area, "there is no such area; see /api/v1/areas/tree", place="body")
        row = store.add_note(connection, body.text, area=body.area, actor=caller.name, at=CLOCK.now())
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


def _refused(error: DutyError) -> Problem:
    return Problem("invalid", str(error))
