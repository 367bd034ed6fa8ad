"""The audit log (审计): who did what. For administrators; `underfoot audit` proves and exports it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool
from api.parameters import BigKey, Instant, Page, Paged, Span, Text
from api.roles import V1
from api.rows import one_page
from underfoot.audit.log import Acts, listed

router = APIRouter(prefix=f"{V1}/audit", tags=["audit"], route_class=GuardedRoute)


class Act(BaseModel):
    """One act, with its seal in the chain."""

    audit_key: BigKey = Field(description="Its number; the chain is in this order", examples=[4711])
    at: Instant
    actor: str = Field(
        description="A key's name; cli:USER; engine, dispatch or system: Underfoot itself", examples=["control-room"]
    )
    action: str = Field(description="noun.verb; docs/audit.md has them all", examples=["alarm.acknowledge"])
    subject: str = Field(examples=["episode:4711"])
    detail: dict[str, Any] = Field(examples=[{"note": "已电话通知养护所"}])
    sealed_at: Instant | None = Field(description="Null: the sealer comes by within seconds")
    seal: str | None = Field(description="SHA-256 over the seal before it and the act", examples=["9f86" + "0" * 60])


class ActPage(Page):
    items: list[Act]


class ActFilters(Paged, Span):
    """`from` and `to` bound when it was done."""

    actor: Text | None = Field(None, description="Only of this actor", examples=["control-room"])
    action: Text | None = Field(None, description="Only this action", examples=["alarm.acknowledge"])
    subject: Text | None = Field(None, description="Only about this subject", examples=["episode:4711"])


@router.get("", summary="List who did what, newest first")
def list_acts(pool: Pool, filters: Annotated[ActFilters, Query()]) -> ActPage:
    """Acts of people and of machines on alarms, cases, rules, devices, keys, rights and settings."""
    after: tuple[datetime, int] | None = None
    if filters.cursor is not None:
        moment, key = redeem(filters, "audit", filters.cursor, (datetime, int))
        after = moment, key
    acts = Acts(filters.actor, filters.action, filters.subject, filters.from_, filters.to)
    with pool.connection() as connection:
        rows = listed(connection, acts, after=after, limit=filters.limit + 1)
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "audit", (row["at"], row["audit_key"])))
    return ActPage(items=[Act.model_validate(row) for row in rows], next=following)
