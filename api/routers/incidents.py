"""Incidents (险情): alarms that are told as one, their members, and what a storm was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from alerts.rulebook.book import rule_as_last_known
from alerts.storm.report import NoSuchIncidentError, StormReport, report_of
from alerts.storm.rule import RULE_ID, numbers_of
from alerts.storm.summary import About, Member, Summary
from alerts.storm.telling import members_of, summary_of
from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls, places
from api.models.incidents import (
    Incident,
    IncidentDetail,
    IncidentMember,
    IncidentMemberPage,
    IncidentPage,
    MemberFeature,
    MemberMap,
    MemberPoint,
    MemberProperties,
)
from api.parameters import AreaCode, BigKey, Paged, Span
from api.problems import not_found
from api.roles import V1
from api.rows import Row, fetch_all, fetch_one, one_page
from api.scope import Scope
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection

router = APIRouter(prefix=f"{V1}/incidents", tags=["incidents"], route_class=GuardedRoute)

_POINTS_AT_MOST = 2000
_NO_FILTER: dict[str, object] = {
    "state": "all",
    **dict.fromkeys(("incident_key", "kind", "areas", "units", "from", "to", "reached", "reached_key")),
}

IncidentKeyPath = Annotated[BigKey, Path(description="The incident", examples=[3])]


class IncidentFilters(Paged, Span):
    """`from` and `to` bound when an incident began."""

    state: Literal["open", "ended", "all"] = Field("open", description="open: not over")
    kind: Literal["storm", "cause"] | None = Field(None, description="storm: by catchment; cause: by what explains it")
    area: AreaCode | None = Field(None, description="Only in this area and below", examples=["410502"])


class MemberFilters(Paged):
    state: Literal["now", "left", "all"] = Field("all", description="now: that it has; left: that it no longer has")


@router.get("", summary="List incidents, the newest first")
def list_incidents(pool: Pool, caller: WhoCalls, filters: Annotated[IncidentFilters, Query()]) -> IncidentPage:
    """Without `state`, only what is not over: what an operator looks at in a storm."""
    reached, reached_key = None, None
    if filters.cursor is not None:
        reached, reached_key = redeem(filters, "incidents", filters.cursor, (datetime, int))
    with pool.connection() as connection:
        rows = fetch_all(
            connection,
            "api_incidents.list_incidents",
            {
                **_NO_FILTER,
                **filters.bounds,
                "state": filters.state,
                "kind": filters.kind,
                **places(connection, caller.scope, filters.area),
                "reached": reached,
                "reached_key": reached_key,
                "limit": filters.limit + 1,
            },
        )
    rows, following = one_page(
        rows, filters.limit, lambda row: issue(filters, "incidents", (row["began_at"], row["incident_key"]))
    )
    return IncidentPage(items=[Incident.of(row) for row in rows], next=following)


@router.get("/{incident_key}", summary="One incident as it is now, with its map")
def get_incident(pool: Pool, caller: WhoCalls, incident_key: IncidentKeyPath) -> IncidentDetail:
    """How many are open and how severe, the worst, the timeline, and where its open alarms are."""
    with pool.connection() as connection:
        row = _find(connection, incident_key, caller.scope)
        only = _only(connection, incident_key, caller.scope)
        over = row["ended_at"] is not None
        members = [
            one for one in members_of(connection, incident_key, ever=over) if only is None or one.alarm_key in only
        ]
        about = About(incident_key, row["area_code"], row["area_name"], row["catchment"])
        rule = numbers_of(rule_as_last_known(connection, RULE_ID))
        summary = summary_of(connection, about, members, rule, CLOCK.now(), only=only)
    return IncidentDetail.model_validate(row | Incident.parts(row) | {"now": summary, "map": _map(members, summary)})


@router.get("/{incident_key}/members", summary="The members of an incident")
def list_members(
    pool: Pool, caller: WhoCalls, incident_key: IncidentKeyPath, filters: Annotated[MemberFilters, Query()]
) -> IncidentMemberPage:
    """Every episode that it has, or has had, in the order of their alarms."""
    alarm_key, episode, joined_at = None, None, None
    subject = f"members of {incident_key}"
    if filters.cursor is not None:
        alarm_key, episode, joined_at = redeem(filters, subject, filters.cursor, (int, int, datetime))
    with pool.connection() as connection:
        _find(connection, incident_key, caller.scope)
        rows = fetch_all(
            connection,
            "api_incidents.list_members",
            {
                "incident_key": incident_key,
                **caller.scope.params(),
                "now": {"now": True, "left": False, "all": None}[filters.state],
                "alarm_key": alarm_key,
                "episode": episode,
                "joined_at": joined_at,
                "limit": filters.limit + 1,
            },
        )
    rows, following = one_page(
        rows,
        filters.limit,
        lambda row: issue(filters, subject, (row["alarm_key"], row["episode"], row["joined_at"])),
    )
    return IncidentMemberPage(items=[IncidentMember.of(row) for row in rows], next=following)


@router.get("/{incident_key}/report", summary="What a storm was")
def get_report(pool: Pool, caller: WhoCalls, incident_key: IncidentKeyPath) -> StormReport:
    """Peak depths, first and last times, how soon it was answered; of one that is not over, so far."""
    with pool.connection() as connection:
        try:
            _find(connection, incident_key, caller.scope)
            only = _only(connection, incident_key, caller.scope)
            return report_of(connection, incident_key, now=CLOCK.now(), only=only)
        except NoSuchIncidentError:
            raise not_found(f"incident {incident_key}") from None


def _find(connection: Connection, incident_key: int, scope: Scope) -> Row:
    asked = {**_NO_FILTER, **scope.params(), "incident_key": incident_key, "limit": 1}
    row = fetch_one(connection, "api_incidents.list_incidents", asked)
    if row is None:
        raise not_found(f"incident {incident_key}")
    return row


def _only(connection: Connection, incident_key: int, scope: Scope) -> list[int] | None:
    """Of its alarms, those that the caller may see; None: all."""
    if scope.is_whole:
        return None
    rows = fetch_all(connection, "people.members_within", {"incident_key": incident_key, **scope.params()})
    return [row["alarm_key"] for row in rows]


def _map(members: Sequence[Member], summary: Summary) -> MemberMap:
    features = [
        MemberFeature(
            geometry=MemberPoint(coordinates=[member.lon, member.lat]),
            properties=MemberProperties(
                alarm_key=member.alarm_key,
                episode=member.episode,
                title=member.title,
                place=member.place,
                severity=member.severity,
                acknowledged=member.acknowledged,
            ),
        )
        for member in sorted(members, key=lambda member: -member.severity)[:_POINTS_AT_MOST]
        if member.lon is not None and member.lat is not None
    ]
    return MemberMap(bbox=summary["extent"], features=features)
