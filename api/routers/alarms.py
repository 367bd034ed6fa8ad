"""Alarms (告警): what is open, why it fired, who was told, what nobody is told of now. What people do: actions.py."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from alerts.rulebook.book import body_as_of
from alerts.rules.override import Scope
from api.access import GuardedRoute
from api.alarm_filters import AlarmFilters
from api.cases import case_of_episode
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls, places
from api.human import find_episode
from api.masking import discreet, masked_told
from api.models.alarms import Alarm, AlarmDetail, AlarmPage, Delivery, Transition, Why
from api.models.cases import CaseRef
from api.models.regions import Comment, Suppressed, SuppressedPage
from api.parameters import AreaCode, EpisodeKeyPath, Paged
from api.problems import not_found
from api.roles import V1
from api.rows import Row, fetch_all, one_page
from api.rule_text import proof_sentence, rule_text
from underfoot.alarms import Suppression
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection

router = APIRouter(prefix=f"{V1}/alarms", tags=["alarms"], route_class=GuardedRoute)

_LINES_AT_MOST = 1000
WHO = ("acknowledged_by", "assigned_to", "confirmed_by")


class SuppressedFilters(Paged):
    """What began last comes first."""

    kind: Suppression | None = Field(None, description="Only what is suppressed so", examples=["shelved"])
    area: AreaCode | None = Field(None, description="Only in this area and below", examples=["410502"])


@router.get("", summary="List alarms, the newest raised first")
def list_alarms(pool: Pool, caller: WhoCalls, filters: Annotated[AlarmFilters, Query()]) -> AlarmPage:
    """Episodes of alarms by when they were raised. Without `state`, only what is open."""
    reached, reached_key = None, None
    if filters.cursor is not None:
        reached, reached_key = redeem(filters, "alarms", filters.cursor, (datetime, int))
    with pool.connection() as connection:
        page = {"reached": reached, "reached_key": reached_key, "limit": filters.limit + 1}
        rows = fetch_all(connection, "api_alarms.list_alarms", filters.params(connection, caller.scope) | page)
        rows = discreet(connection, caller.role, rows, *WHO, texts=("suppression",))
    rows, following = one_page(
        rows, filters.limit, lambda row: issue(filters, "alarms", (row["raised_at"], row["episode_key"]))
    )
    return AlarmPage(items=[Alarm.of(row) for row in rows], next=following)


@router.get("/shelved", summary="List what nobody is told of now, and why")
def list_suppressed(pool: Pool, caller: WhoCalls, filters: Annotated[SuppressedFilters, Query()]) -> SuppressedPage:
    """What is shelved, explained by an incident, out of service or flapping: until when, by whom, why."""
    reached_key = None
    if filters.cursor is not None:
        [reached_key] = redeem(filters, "shelved", filters.cursor, (int,))
    with pool.connection() as connection:
        params = {
            "kind": filters.kind,
            **places(connection, caller.scope, filters.area),
            "reached_key": reached_key,
            "limit": filters.limit + 1,
        }
        rows = fetch_all(connection, "api_alarms.suppressed", params)
        rows = discreet(connection, caller.role, rows, "actor", texts=("reason",))
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "shelved", (row["suppression_key"],)))
    return SuppressedPage(items=[Suppressed.of(row) for row in rows], next=following)


@router.get("/{episode_key}", summary="One alarm: why it fired, what was done, who was told")
def get_alarm(pool: Pool, caller: WhoCalls, episode_key: EpisodeKeyPath) -> AlarmDetail:
    """An episode with its immutable record, what people have said, and every message that was owed for it."""
    with pool.connection() as connection:
        row = find_episode(connection, episode_key, caller.scope)
        if row is None:
            raise not_found(f"alarm with the episode key {episode_key}")
        of_episode = {"alarm_key": row["alarm_key"], "episode": row["episode"], "limit": _LINES_AT_MOST}
        [row] = discreet(connection, caller.role, [row], *WHO, texts=("suppression",))
        transitions = fetch_all(connection, "api_alarms.transitions_of", of_episode)
        transitions = discreet(connection, caller.role, transitions, "actor", texts=("proof",))
        transitions = [row | {"proof": masked_told(caller.role, row["proof"])} for row in transitions]
        deliveries = fetch_all(connection, "api_alarms.deliveries_of", of_episode)
        lines = {"episode_key": episode_key, "limit": _LINES_AT_MOST}
        comments = fetch_all(connection, "api_alarms.comments_of", lines)
        comments = discreet(connection, caller.role, comments, "actor", texts=("text",))
        why = _why(connection, row)
        case = case_of_episode(connection, row["alarm_key"], row["episode"])
    return AlarmDetail.of(
        row
        | {
            "why": why,
            "case": CaseRef.of(case, CLOCK.now()) if case is not None else None,
            "transitions": [Transition.of(each) for each in transitions],
            "told": [Delivery.of(each) for each in deliveries],
            "said": [Comment.model_validate(each) for each in comments],
        }
    )


def _why(connection: Connection, row: Row) -> Why:
    scope = Scope.parse(row["proof"].get("scope", "city"))
    rule = body_as_of(connection, row["rule_id"], row["rule_version"], scope)
    subject = f"设备 {row['device_id']} " if row["device_id"] is not None else ""
    return Why(
        sentence=proof_sentence(row["proof"], row["raised_at"], subject),
        rule_text=rule_text(rule, scope) if rule is not None else f"{row['title']}（规则原文已不在库中）。",
        rule_body=rule,
    )
