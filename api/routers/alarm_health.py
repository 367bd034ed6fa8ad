"""How healthy alerting is: the figures of ISA-18.2, each with its limit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from alerts.health.figures import LONGEST, WINDOW, figures
from api.access import GuardedRoute
from api.dependencies import Pool
from api.models.duty import AlarmHealth, HealthFigure
from api.parameters import Span
from api.problems import invalid
from api.roles import V1
from underfoot.clock import CLOCK

router = APIRouter(prefix=f"{V1}/health", tags=["health"], route_class=GuardedRoute)


@router.get("/alarms", summary="Figures of health of alerting (ISA-18.2)")
def get_alarm_health(pool: Pool, span: Annotated[Span, Query()]) -> AlarmHealth:
    """Of the last 24 hours, or of a window of 31 days at most: alarms an operator, floods, stale, chattering, the most
    frequent, priorities, deliveries and reports. The limits are the rule `health.alarms`."""
    until = span.to or CLOCK.now()
    since = span.from_ or until - WINDOW
    if until - since > LONGEST:
        raise invalid(
            "from", since.isoformat(), f"a window of {LONGEST.days} days at most; `to` is {until.isoformat()}"
        )
    if until <= since:
        raise invalid("from", since.isoformat(), f"must be before `to`, which is {until.isoformat()}")
    with pool.connection() as connection:
        found = figures(connection, since, until)
    return AlarmHealth(
        from_=since,
        to=until,
        kept=sum(figure.kept is True for figure in found),
        exceeded=sum(figure.kept is False for figure in found),
        figures=[HealthFigure.model_validate(asdict(figure)) for figure in found],
    )
