"""Cases that wait too long for the platform, or for a person."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from alerts.cases.receipts import waiting
from api.access import GuardedRoute
from api.dependencies import Pool, WhoCalls
from api.masking import name_for
from api.parameters import Instant
from api.roles import V1
from underfoot.clock import CLOCK

router = APIRouter(prefix=f"{V1}/cases", tags=["cases"], route_class=GuardedRoute)


class WaitingCase(BaseModel):
    case_key: int = Field(examples=[312])
    why: str = Field(
        description="no_receipt, no_callback, or why a person must look (`needs_person`)", examples=["no_receipt"]
    )
    why_label: str = Field(examples=["推送无回执，请电话联系平台"])
    since: Instant = Field(examples=["2026-11-22T05:10:00Z"])
    sink: str | None = Field(description="Of which platform", examples=["wuhu"])
    platform_no: str | None = Field(examples=["SJ20261122000312"])
    state: str = Field(examples=["reported"])
    condition_name: str = Field(examples=["井盖丢失、破损"])
    episode_key: int = Field(examples=[4711])
    title: str = Field(examples=["井盖打开"])
    severity: int = Field(examples=[4])
    asset: str = Field(examples=["雨水井0312"])
    address: str = Field(examples=["人民大道文峰路口东北角"])
    unit: str = Field(description="养护单位", examples=["排水管理所"])
    detail: str | None = Field(description="The last error, where there was one", examples=["HTTP 503"])
    told: list[str] = Field(description="Who was told to telephone, or to look", examples=[["王建国"]])
    told_at: Instant | None = Field(examples=["2026-11-22T05:25:00Z"])


@router.get("/waiting", summary="Cases that wait for the platform's receipt or word beyond patience, or for a person")
def list_waiting(
    pool: Pool, caller: WhoCalls, limit: Annotated[int, Query(ge=1, le=1000, description="How many at most")] = 200
) -> list[WaitingCase]:
    """The worst and oldest first. Patience is the rule `duty.escalation` (`no_receipt_min`, `no_callback_min`)."""
    with pool.connection() as connection:
        rows = waiting(connection, CLOCK.now(), limit=limit, **caller.scope.params())
    return [
        WaitingCase.model_validate(row | {"told": [name_for(caller.role, one["person"]) for one in row["told"] or ()]})
        for row in rows
    ]
