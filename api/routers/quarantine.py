"""Quarantine (隔离区): what could not be understood, kept whole with its reason; and its replay."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls
from api.models.records import (
    QuarantineCounts,
    Quarantined,
    QuarantinedMessage,
    QuarantinePage,
    ReplayedMessages,
)
from api.parameters import BigKey, DeviceId, Instant, Paged, ShardName, Span, Text
from api.problems import not_found
from api.roles import V1
from api.rows import one_page
from underfoot.quarantine import Replayed, Selection, counts, listed, replay, shown, to_replay

router = APIRouter(prefix=f"{V1}/quarantine", tags=["quarantine"], route_class=GuardedRoute)

MOST_A_CALL = 10_000

_Reason = Annotated[str, Field(pattern=r"^[a-z0-9_.-]{1,64}$")]
_Source = Annotated[str, Field(pattern=r"^[a-z0-9]{1,32}$")]


class QuarantineFilters(Span):
    """`from` and `to` bound when the message came."""

    reason: _Reason | None = Field(None, description="Only for this reason", examples=["unknown_device"])
    source: _Source | None = Field(None, description="Only what came this way: mqtt, http, sl651", examples=["http"])
    vendor: Text | None = Field(None, description="Only of this vendor", examples=["甲厂"])
    device: DeviceId | None = Field(None, description="Only of this device_id, known or not", examples=["cover-9999"])
    shard: ShardName | None = Field(None, description="Only of this shard", examples=["main"])
    state: Literal["waiting", "released", "all"] = Field(
        "waiting", description="waiting: not understood yet; released: a replay was understood"
    )

    @property
    def selection(self) -> Selection:
        return Selection(
            reason=self.reason,
            source=self.source,
            vendor=self.vendor,
            shard=self.shard,
            device_ids=None if self.device is None else [self.device],
            since=self.from_,
            until=self.to,
        )


class QuarantineList(Paged, QuarantineFilters):
    """`from` and `to` bound when the message came."""


class ReplayWanted(BaseModel):
    """Which messages to replay: at least one of these must be said, or `all`. `from` belongs to the range, `to` not."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    reason: _Reason | None = Field(None, description="Only for this reason", examples=["mapping_failed"])
    source: _Source | None = Field(None, description="Only what came this way: mqtt, http, sl651", examples=["http"])
    vendor: Text | None = Field(None, description="Only of this vendor", examples=["甲厂"])
    device: DeviceId | None = Field(None, description="Only of this device_id", examples=["cover-9999"])
    from_: Instant | None = Field(None, alias="from", description="Only what came from this time on")
    to: Instant | None = Field(None, description="Only what came before this time")
    quarantine_keys: list[BigKey] | None = Field(
        None, min_length=1, max_length=1000, description="Only these", examples=[[77, 78]]
    )
    all: bool = Field(False, description="Everything that waits", examples=[False])
    dry_run: bool = Field(False, description="Only say what would be replayed", examples=[False])
    limit: int = Field(MOST_A_CALL, ge=1, le=MOST_A_CALL, description="At most so many", examples=[MOST_A_CALL])

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if not self.all and self.selection == Selection():
            raise ValueError(
                "say which: reason, source, vendor, device, from, to or quarantine_keys; or all = true for everything"
            )
        return self

    @property
    def selection(self) -> Selection:
        return Selection(
            reason=self.reason,
            source=self.source,
            vendor=self.vendor,
            device_ids=None if self.device is None else [self.device],
            since=self.from_,
            until=self.to,
            quarantine_keys=self.quarantine_keys,
        )


@router.get("", summary="List what could not be understood, newest first")
def list_quarantine(pool: Pool, filters: Annotated[QuarantineList, Query()]) -> QuarantinePage:
    """Messages without their payload."""
    after: tuple[datetime, int] | None = None
    if filters.cursor is not None:
        moment, key = redeem(filters, "quarantine", filters.cursor, (datetime, int))
        after = moment, key
    with pool.connection() as connection:
        rows = listed(connection, filters.selection, state=filters.state, after=after, limit=filters.limit + 1)
    rows, following = one_page(
        rows, filters.limit, lambda row: issue(filters, "quarantine", (row["received_at"], row["quarantine_key"]))
    )
    return QuarantinePage(items=[Quarantined.model_validate(row) for row in rows], next=following)


@router.get("/counts", summary="How much is in quarantine, by reason, source and vendor")
def count_quarantine(pool: Pool, question: Annotated[QuarantineFilters, Query()]) -> QuarantineCounts:
    """Every reason that occurred, the most frequent first."""
    with pool.connection() as connection:
        return QuarantineCounts.of(counts(connection, question.selection, state=question.state))


@router.post("/replay", summary="Put messages through once more, the mistake being mended")
def replay_quarantine(pool: Pool, caller: WhoCalls, wanted: ReplayWanted) -> ReplayedMessages:
    """Their own bytes go to the inbox, oldest first, with their topic and their time of receipt. What a replay finds in
    the inbox already is not posted twice, so the same call again goes on where the `limit` ended the one before."""
    with pool.connection() as connection:
        if wanted.dry_run:
            found = to_replay(connection, wanted.selection)
            would_be = min(found.matching - found.under_way, wanted.limit)
            return _answer(Replayed(found.matching, found.under_way, would_be), dry_run=True)
        done = replay(connection, wanted.selection, actor=caller.name, most=wanted.limit)
    return _answer(done, dry_run=False)


@router.get("/{quarantine_key}", summary="One message whole, as bytes and as text")
def get_quarantined(
    pool: Pool, quarantine_key: Annotated[BigKey, Path(description="Its key here", examples=[77])]
) -> QuarantinedMessage:
    """The message as it came. Its payload may hold anything: show it as text, never as markup."""
    with pool.connection() as connection:
        row: dict[str, Any] | None = shown(connection, quarantine_key)
    if row is None:
        raise not_found(f"quarantined message {quarantine_key}")
    return QuarantinedMessage.of(row)


def _answer(done: Replayed, *, dry_run: bool) -> ReplayedMessages:
    return ReplayedMessages(matching=done.matching, under_way=done.under_way, posted=done.posted, dry_run=dry_run)
