"""Cases (案件): what the city's platform has of our alarms, how their clocks stand, and what people do to them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from alerts.cases.events import (
    Arrived,
    Cancelled,
    CaseEvent,
    Duplicate,
    Handled,
    Noted,
    Resumed,
    Supervised,
    Suspended,
    Verified,
)
from alerts.cases.states import CaseState
from api.access import GuardedRoute
from api.callers import Caller
from api.cases import NO_FILTER, do, file_again, within_reach
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls, places
from api.human import confirm
from api.masking import discreet, name_for
from api.models.actions import Judging
from api.models.cases import (
    Case,
    CaseDetail,
    CasePage,
    CaseStep,
    Duplicating,
    Noting,
    Reasoned,
    Saying,
    Supervising,
    Verifying,
)
from api.parameters import AreaCode, BigKey, Paged, RuleId, Span, Text
from api.roles import V1
from api.rows import fetch_all, one_page
from underfoot.clock import CLOCK

router = APIRouter(prefix=f"{V1}/cases", tags=["cases"], route_class=GuardedRoute)

_STEPS_AT_MOST = 1000

CaseKey = Annotated[BigKey, Path(description="The case", examples=[312])]


class CaseFilters(Paged, Span):
    """`from` and `to` bound when a case was opened."""

    show: Literal["open", "overdue", "needs_person", "ended", "all"] = Field(
        "open",
        description="overdue: open, and a clock has run out; needs_person: a named person must look, open or not",
    )
    state: list[CaseState] = Field(
        default_factory=list,
        description="Only in this state; repeat for several",
        examples=[["handling"]],
        max_length=20,
    )
    area: AreaCode | None = Field(None, description="Only in this area and below", examples=["410502"])
    unit: Text | None = Field(None, description="养护单位", examples=["文峰养护所"])
    filing: RuleId | None = Field(None, description="立案条件", examples=["filing.cover_open"])
    alarm: BigKey | None = Field(None, description="Only of this alarm (`alarm_key`)", examples=[12])


@router.get("", summary="List cases, the newest opened first")
def list_cases(pool: Pool, caller: WhoCalls, filters: Annotated[CaseFilters, Query()]) -> CasePage:
    """Without `show`, only what is open."""
    reached, reached_key = None, None
    if filters.cursor is not None:
        reached, reached_key = redeem(filters, "cases", filters.cursor, (datetime, int))
    with pool.connection() as connection:
        params = {
            **NO_FILTER,
            **places(connection, caller.scope, filters.area),
            "open": {"open": True, "overdue": True, "ended": False}.get(filters.show),
            "needs_person": filters.show == "needs_person",
            "overdue": filters.show == "overdue",
            "states": [state.value for state in filters.state] or None,
            "unit": filters.unit,
            "filing": filters.filing,
            "alarm_key": filters.alarm,
            "from": filters.from_,
            "to": filters.to,
            "reached": reached,
            "reached_key": reached_key,
            "limit": filters.limit + 1,
        }
        rows = fetch_all(connection, "api_cases.list_cases", params)
    rows, following = one_page(
        rows, filters.limit, lambda row: issue(filters, "cases", (row["opened_at"], row["case_key"]))
    )
    now = CLOCK.now()
    return CasePage(items=[Case.of(row, now) for row in rows], next=following)


@router.get("/{case_key}", summary="One case: its clocks, and every step of its life")
def get_case(pool: Pool, caller: WhoCalls, case_key: CaseKey) -> CaseDetail:
    """As it stands now, with its immutable record."""
    with pool.connection() as connection:
        row = within_reach(connection, case_key, caller.scope)
        steps = fetch_all(connection, "api_cases.steps_of", {"case_key": case_key, "limit": _STEPS_AT_MOST})
        steps = discreet(connection, caller.role, steps, "actor", texts=("note",))
        for step in steps:
            if "operator" in step["detail"]:
                step["detail"]["operator"] = name_for(caller.role, step["detail"]["operator"])
    return CaseDetail.of(row | {"steps": [CaseStep.of(each) for each in steps]}, CLOCK.now())


@router.post("/{case_key}/verify", summary="Say whether it is there (核实)")
def verify_case(pool: Pool, caller: WhoCalls, case_key: CaseKey, body: Verifying | None = None) -> Case:
    """`real`: the alarm is confirmed, and a case that waits for it goes to the platform. Not real: a false alarm
    (误报); the case ends, or, where somebody has been sent, the platform is told and ends it."""
    wanted = body or Verifying.model_validate({})
    with pool.connection() as connection:
        found = within_reach(connection, case_key, caller.scope)
        if not wanted.real:
            confirm(connection, found["episode_key"], caller, Judging(verdict="false", note=wanted.note))
            return Case.of(within_reach(connection, case_key, caller.scope), CLOCK.now())
        row = do(connection, case_key, Verified(), caller, wanted.note)
        confirm(connection, found["episode_key"], caller, Judging(verdict="real", note=wanted.note))
    return Case.of(row, CLOCK.now())


@router.post("/{case_key}/arrive", summary="Say that somebody is there (到场)")
def arrive_at_case(pool: Pool, caller: WhoCalls, case_key: CaseKey, body: Saying | None = None) -> Case:
    """Its first clock stops. Again is the same as once."""
    return _done(pool, caller, case_key, Arrived(), body.note if body is not None else None)


@router.post("/{case_key}/handled", summary="Say that it is repaired (处置完成)")
def case_is_handled(pool: Pool, caller: WhoCalls, case_key: CaseKey, body: Saying | None = None) -> Case:
    """Its second clock stops. The platform checks it (核查); of what no platform has, the alarm's end is the check."""
    return _done(pool, caller, case_key, Handled(), body.note if body is not None else None)


@router.post("/{case_key}/suspend", summary="Suspend it (挂账)")
def suspend_case(pool: Pool, caller: WhoCalls, case_key: CaseKey, body: Reasoned) -> Case:
    """It can't go on for now: the clocks that its 立案条件 names stand still."""
    return _done(pool, caller, case_key, Suspended(), body.reason)


@router.post("/{case_key}/resume", summary="Go on with what was suspended")
def resume_case(pool: Pool, caller: WhoCalls, case_key: CaseKey, body: Saying | None = None) -> Case:
    """The clocks go on with what was left."""
    return _done(pool, caller, case_key, Resumed(), body.note if body is not None else None)


@router.post("/{case_key}/supervise", summary="Supervise it, or no more (督办)")
def supervise_case(pool: Pool, caller: WhoCalls, case_key: CaseKey, body: Supervising | None = None) -> Case:
    """Shown with the case; the platform is told."""
    wanted = body or Supervising.model_validate({})
    return _done(pool, caller, case_key, Supervised(wanted.on), wanted.note)


@router.post("/{case_key}/cancel", summary="Cancel it (撤案)")
def cancel_case(pool: Pool, caller: WhoCalls, case_key: CaseKey, body: Reasoned) -> Case:
    """Before anybody was sent; after that the platform alone can. The alarm goes on."""
    return _done(pool, caller, case_key, Cancelled(), body.reason)


@router.post("/{case_key}/refile", summary="File it again (再次立案)")
def refile_case(pool: Pool, caller: WhoCalls, case_key: CaseKey, body: Saying | None = None) -> Case:
    """It is over, and its alarm is not: the alarm has a new case, which is the answer, and the platform is told. A
    verdict of 误报 is taken back. Refused where the alarm is over, or has a case that is not."""
    with pool.connection() as connection:
        row = file_again(connection, case_key, caller, body.note if body is not None else None)
    return Case.of(row, CLOCK.now())


@router.post("/{case_key}/duplicate", summary="Say that a citizen's case is about the same")
def case_is_duplicate(pool: Pool, caller: WhoCalls, case_key: CaseKey, body: Duplicating) -> Case:
    """Ours ends, linked to it, and the platform is told. The alarm goes on."""
    return _done(pool, caller, case_key, Duplicate(body.of), body.note)


@router.post("/{case_key}/note", summary="Say something about it")
def note_on_case(pool: Pool, caller: WhoCalls, case_key: CaseKey, body: Noting) -> Case:
    """Kept with the case. Sent twice, it is there twice. The platform is not told."""
    return _done(pool, caller, case_key, Noted(body.settles), body.text)


def _done(pool: Pool, caller: Caller, case_key: int, event: CaseEvent, note: str | None) -> Case:
    with pool.connection() as connection:
        row = do(connection, case_key, event, caller, note)
    return Case.of(row, CLOCK.now())
