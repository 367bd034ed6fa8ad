"""Newcomers: devices that report from an area where unknown ones may wait for approval, and are in no ledger."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api.access import GuardedRoute
from api.callers import Caller
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls
from api.models.newcomers import (
    ApprovedNewcomers,
    AreaWanted,
    Newcomer,
    NewcomerPage,
    PlacementWanted,
    RefusedNewcomer,
    WideArea,
)
from api.parameters import DeviceIdPath, FamilyName, Paged
from api.problems import Problem, invalid, not_found
from api.roles import V1
from api.rows import one_page
from underfoot.ledger.newcomers import (
    Approved,
    NewcomerError,
    UnknownNewcomerError,
    approve,
    approve_area,
    listed,
    refuse,
)

_DISTRICT = 6
"""Digits of a district's code; a report says no more of where it comes from."""

router = APIRouter(prefix=f"{V1}/newcomers", tags=["newcomers"], route_class=GuardedRoute)


class NewcomerFilters(Paged):
    """By district and device_id."""

    state: Literal["waiting", "approved", "refused"] = Field("waiting", description="Only in this state")
    area: WideArea | None = Field(None, description="Only of this area and below it", examples=["410502"])
    family: FamilyName | None = Field(None, description="Only of this family")


@router.get("", summary="List newcomers")
def list_newcomers(pool: Pool, caller: WhoCalls, filters: Annotated[NewcomerFilters, Query()]) -> NewcomerPage:
    """Devices by district and id. A device leaves the list when it comes into the ledger, by approval or by import."""
    after = ("", "")
    if filters.cursor is not None:
        district, device_id = redeem(filters, "newcomers", filters.cursor, (str, str))
        after = district, device_id
    with pool.connection() as connection:
        rows = listed(
            connection,
            state=filters.state,
            area=filters.area,
            family=filters.family,
            mine=_mine(caller),
            after=after,
            limit=filters.limit + 1,
        )
    rows, following = one_page(
        rows, filters.limit, lambda row: issue(filters, "newcomers", (row["district"], row["device_id"]))
    )
    return NewcomerPage(items=[Newcomer.model_validate(row) for row in rows], next=following)


@router.post("/approve", summary="Approve everyone who waits in an area")
def approve_newcomers(pool: Pool, caller: WhoCalls, wanted: AreaWanted) -> ApprovedNewcomers:
    """All of them or, where one of them cannot be, nobody. Their reports in quarantine are replayed."""
    try:
        with pool.connection() as connection:
            done = approve_area(
                connection, wanted.area, wanted.placement, family=wanted.family, mine=_mine(caller), actor=caller.name
            )
    except NewcomerError as error:
        raise _refused(error) from None
    return _answer(done)


@router.post("/{device_id}/approve", summary="Put a newcomer into the ledger")
def approve_newcomer(
    pool: Pool, caller: WhoCalls, device_id: DeviceIdPath, wanted: PlacementWanted
) -> ApprovedNewcomers:
    """The device is known from the answer on, and its reports in quarantine are replayed."""
    try:
        with pool.connection() as connection:
            done = approve(connection, device_id, wanted.placement, mine=_mine(caller), actor=caller.name)
    except NewcomerError as error:
        raise _refused(error) from None
    return _answer(done)


@router.post("/{device_id}/refuse", summary="Refuse a newcomer")
def refuse_newcomer(pool: Pool, caller: WhoCalls, device_id: DeviceIdPath) -> RefusedNewcomer:
    """It stays refused however often it reports; its reports stay in quarantine. Again is the same as once."""
    try:
        with pool.connection() as connection:
            refuse(connection, [device_id], mine=_mine(caller), actor=caller.name)
    except NewcomerError as error:
        raise _refused(error) from None
    return RefusedNewcomer(device_id=device_id)


def _mine(caller: Caller) -> list[str] | None:
    """The districts of which the caller sees newcomers; None: all, and those that say none. A newcomer has no unit yet:
    to who is bound to units, none is shown."""
    within = caller.scope.params()
    if within["units"] is not None:
        return []
    return None if within["areas"] is None else [code for code in within["areas"] if len(code) == _DISTRICT]


def _refused(error: NewcomerError) -> Problem:
    if isinstance(error, UnknownNewcomerError):
        return not_found(f"newcomer {error.value!r}")
    if error.field == "device_id":
        return Problem("conflict", f"{error}.")
    return invalid(error.field, error.value, error.message, place="body")


def _answer(done: Approved) -> ApprovedNewcomers:
    return ApprovedNewcomers(device_ids=done.device_ids, replayed=done.replayed)
