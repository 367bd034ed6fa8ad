"""Alarms (告警): what is open, why it fired, who was told; acknowledging and closing them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls, areas_within, device_key_of, known_rule
from api.human import NO_FILTER, CloseRefusedError, acknowledge, close, find_episode
from api.models.alarms import (
    Acknowledgement,
    Alarm,
    AlarmDetail,
    AlarmPage,
    Closing,
    ClosingAnswer,
    Command,
    Delivery,
    Transition,
    Why,
)
from api.parameters import AreaCode, BigKey, DeviceId, EpisodeKeyPath, FamilyName, IntKey, Paged, RuleId, Span
from api.problems import Problem, not_found
from api.roles import V1
from api.rows import Row, fetch_all, fetch_one, one_page
from api.rule_text import proof_sentence, rule_text
from underfoot.storage.connect import Connection

router = APIRouter(prefix=f"{V1}/alarms", tags=["alarms"], route_class=GuardedRoute)

_LINES_AT_MOST = 1000


class AlarmFilters(Paged, Span):
    """`from` and `to` bound when an alarm was raised (event time)."""

    state: Literal["open", "unacknowledged", "cleared", "all"] = Field(
        "open", description="unacknowledged: open or cleared, and nobody has acknowledged it"
    )
    severity: list[Annotated[int, Field(ge=1, le=4)]] = Field(
        default_factory=list, description="1 蓝, 2 黄, 3 橙, 4 红; repeat for several", examples=[[3, 4]], max_length=4
    )
    family: FamilyName | None = Field(None, description="设备类别")
    area: AreaCode | None = Field(None, description="Only in this area and below", examples=["410502"])
    rule: RuleId | None = Field(None, description="Only by this rule", examples=["cover.open"])
    device: DeviceId | None = Field(None, description="Only of this device", examples=["cover-0312"])
    asset: IntKey | None = Field(None, description="Only of this asset (its key)", examples=[312])
    alarm: BigKey | None = Field(None, description="Only episodes of this alarm (its key)", examples=[12])


@router.get("", summary="List alarms, the newest raised first")
def list_alarms(pool: Pool, filters: Annotated[AlarmFilters, Query()]) -> AlarmPage:
    """Episodes of alarms by when they were raised. Without `state`, only what is open."""
    reached, reached_key = None, None
    if filters.cursor is not None:
        reached, reached_key = redeem(filters, "alarms", filters.cursor, (datetime, int))
    with pool.connection() as connection:
        rows = fetch_all(
            connection,
            "api_alarms.list_alarms",
            {
                **NO_FILTER,
                **filters.bounds,
                "state": filters.state,
                "severity": filters.severity or None,
                "family": filters.family,
                "areas": areas_within(connection, filters.area),
                "rule_id": known_rule(connection, filters.rule),
                "device_key": device_key_of(connection, filters.device),
                "asset_key": filters.asset,
                "alarm_key": filters.alarm,
                "reached": reached,
                "reached_key": reached_key,
                "limit": filters.limit + 1,
            },
        )
    rows, following = one_page(
        rows, filters.limit, lambda row: issue(filters, "alarms", (row["raised_at"], row["episode_key"]))
    )
    return AlarmPage(items=[Alarm.of(row) for row in rows], next=following)


@router.get("/{episode_key}", summary="One alarm: why it fired, what was done, who was told")
def get_alarm(pool: Pool, episode_key: EpisodeKeyPath) -> AlarmDetail:
    """An episode with its immutable record and every message that was owed for it."""
    with pool.connection() as connection:
        row = find_episode(connection, episode_key)
        if row is None:
            raise not_found(f"alarm with the episode key {episode_key}")
        of_episode = {"alarm_key": row["alarm_key"], "episode": row["episode"], "limit": _LINES_AT_MOST}
        transitions = fetch_all(connection, "api_alarms.transitions_of", of_episode)
        deliveries = fetch_all(connection, "api_alarms.deliveries_of", of_episode)
        why = _why(connection, row)
    return AlarmDetail.of(
        row
        | {
            "why": why,
            "transitions": [Transition.of(each) for each in transitions],
            "told": [Delivery.of(each) for each in deliveries],
        }
    )


@router.post("/{episode_key}/acknowledge", summary="Acknowledge an alarm")
def acknowledge_alarm(
    pool: Pool, caller: WhoCalls, episode_key: EpisodeKeyPath, body: Acknowledgement | None = None
) -> Alarm:
    """Say that somebody has seen it. Again is the same as once; one that has cleared can still be acknowledged."""
    with pool.connection() as connection:
        row = acknowledge(connection, episode_key, caller, body.note if body is not None else None)
    if row is None:
        raise not_found(f"alarm with the episode key {episode_key}")
    return Alarm.of(row)


@router.post(
    "/{episode_key}/close",
    summary="Close an open alarm by hand",
    status_code=202,
    responses={200: {"description": "It had cleared before; nothing is done", "model": ClosingAnswer}},
)
def close_alarm(
    pool: Pool, caller: WhoCalls, response: Response, episode_key: EpisodeKeyPath, body: Closing
) -> ClosingAnswer:
    """Ask for an open alarm's end. The answer comes before the end: look at the alarm again, or send the same again."""
    try:
        with pool.connection() as connection:
            closed = close(connection, episode_key, caller, body.reason)
    except CloseRefusedError as refused:
        raise Problem("conflict", str(refused)) from None
    if closed is None:
        raise not_found(f"alarm with the episode key {episode_key}")
    if closed.alarm["cleared_at"] is not None:
        response.status_code = 200
    return ClosingAnswer(command=_command(closed.command), alarm=Alarm.of(closed.alarm))


def _command(row: Row | None) -> Command | None:
    if row is None:
        return None
    return Command(
        key=row["key"],
        state="waiting" if row["consumed_at"] is None else "done",
        posted_at=row["created_at"],
        consumed_at=row["consumed_at"],
        outcome=row["outcome"],
    )


def _why(connection: Connection, row: Row) -> Why:
    version = {"rule_id": row["rule_id"], "version": row["rule_version"]}
    rule = fetch_one(connection, "api_alarms.rule_version", version)
    subject = f"设备 {row['device_id']} " if row["device_id"] is not None else ""
    return Why(
        sentence=proof_sentence(row["proof"], row["raised_at"], subject),
        rule_text=rule_text(rule["body"]) if rule is not None else f"{row['title']}（规则原文已不在库中）。",
        rule_body=rule["body"] if rule is not None else None,
    )
