"""A city's indicators: of a day or a month, each with what stands above and below its line."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from alerts.upward.indicators import PeriodError, day_of, indicators, month_of
from api.access import GuardedRoute
from api.dependencies import Pool, WhoCalls
from api.parameters import Instant
from api.problems import invalid
from api.roles import V1
from underfoot.city_time import CITY_ZONE
from underfoot.clock import CLOCK

router = APIRouter(prefix=f"{V1}/indicators", tags=["indicators"], route_class=GuardedRoute)


class Indicator(BaseModel):
    name: str = Field(examples=["on_time"])
    label: str = Field(examples=["按期处置率"])
    meaning: str = Field(examples=["在各自期限前处置的案件 ÷ 处置期限在本期内的案件"])
    numerator: float = Field(examples=[47])
    denominator: float = Field(examples=[50])
    rate: float | None = Field(description="0 to 1; null: there was nothing to count", examples=[0.94])
    excluded: dict[str, float] = Field(description="What does not count, by reason", examples=[{"suspended": 1}])


class Indicators(BaseModel):
    period: str = Field(examples=["2026-11-21"])
    begin: Instant = Field(examples=["2026-11-20T16:00:00Z"])
    end: Instant = Field(examples=["2026-11-21T16:00:00Z"])
    until: Instant = Field(description="What had happened by then is counted", examples=["2026-11-21T16:00:00Z"])
    complete: bool = Field(description="Whether the period was over", examples=[True])
    indicators: list[Indicator]


@router.get("", summary="在线率, 告警处置率, 按期处置率, 完好率 of a day or a month")
def get_indicators(
    pool: Pool,
    caller: WhoCalls,
    day: Annotated[
        date | None, Query(description="By the city's clock; without it and `month`: today", examples=["2026-11-21"])
    ] = None,
    month: Annotated[str | None, Query(description="Like 2026-11", examples=["2026-11"])] = None,
) -> Indicators:
    """Of what the caller may see. One cohort is above and below the line; `excluded` says what is in neither."""
    now = CLOCK.now()
    if day is not None and month is not None:
        raise invalid("month", month, "a day or a month, not both")
    try:
        period = month_of(month) if month is not None else day_of(day or now.astimezone(CITY_ZONE).date())
        with pool.connection() as connection:
            found = indicators(connection, period, now, **caller.scope.params())
    except PeriodError as error:
        raise invalid("day" if month is None else "month", str(day or month), str(error)) from None
    return Indicators.model_validate(found.shown())
