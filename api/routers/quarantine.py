"""Quarantine (隔离区): what could not be understood, kept whole with its reason."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool
from api.models.records import QuarantineCounts, Quarantined, QuarantinedMessage, QuarantinePage, ReasonCount
from api.parameters import BigKey, Paged, ShardName, Span
from api.problems import not_found
from api.roles import V1
from api.rows import fetch_all, fetch_one, one_page

router = APIRouter(prefix=f"{V1}/quarantine", tags=["quarantine"], route_class=GuardedRoute)


class QuarantineFilters(Paged, Span):
    """`from` and `to` bound when the message came."""

    reason: str | None = Field(
        None, pattern=r"^[a-z0-9_.-]{1,64}$", description="Only for this reason", examples=["unknown_device"]
    )
    shard: ShardName | None = Field(None, description="Only of this shard", examples=["main"])


class CountsQuestion(Span):
    """`from` and `to` bound when the message came."""


@router.get("", summary="List what could not be understood, newest first")
def list_quarantine(pool: Pool, filters: Annotated[QuarantineFilters, Query()]) -> QuarantinePage:
    """Messages without their payload."""
    reached, reached_key = None, None
    if filters.cursor is not None:
        reached, reached_key = redeem(filters, "quarantine", filters.cursor, (datetime, int))
    with pool.connection() as connection:
        rows = fetch_all(
            connection,
            "api_quarantine.list_quarantine",
            filters.bounds
            | {
                "reason": filters.reason,
                "shard": filters.shard,
                "reached": reached,
                "reached_key": reached_key,
                "limit": filters.limit + 1,
            },
        )
    rows, following = one_page(
        rows, filters.limit, lambda row: issue(filters, "quarantine", (row["received_at"], row["quarantine_key"]))
    )
    return QuarantinePage(items=[Quarantined.model_validate(row) for row in rows], next=following)


@router.get("/counts", summary="How much is in quarantine, by reason")
def count_quarantine(pool: Pool, question: Annotated[CountsQuestion, Query()]) -> QuarantineCounts:
    """Every reason that occurred, the most frequent first."""
    with pool.connection() as connection:
        rows = fetch_all(connection, "api_quarantine.count_quarantine", question.bounds)
    reasons = [ReasonCount.model_validate(row) for row in rows]
    return QuarantineCounts(messages=sum(each.messages for each in reasons), reasons=reasons)


@router.get("/{quarantine_key}", summary="One message whole, as bytes and as text")
def get_quarantined(
    pool: Pool, quarantine_key: Annotated[BigKey, Path(description="Its key here", examples=[77])]
) -> QuarantinedMessage:
    """The message as it came. Its payload may hold anything: show it as text, never as markup."""
    with pool.connection() as connection:
        row = fetch_one(connection, "api_quarantine.get_quarantined", {"quarantine_key": quarantine_key})
    if row is None:
        raise not_found(f"quarantined message {quarantine_key}")
    return QuarantinedMessage.of(row)
