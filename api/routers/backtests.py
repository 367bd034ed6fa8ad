"""Backtests (历史回测): what a rule would have raised on stored reports. Nothing is recorded by asking."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from alerts.backtest.result import Backtest
from alerts.backtest.run import backtest
from alerts.backtest.trial import BacktestError, Trial, expected_reports, fleet_of
from alerts.judge.outcome import RuleInForce
from alerts.rulebook.book import rules_in_force
from alerts.rules import RuleError, parse_rule
from api.access import GuardedRoute
from api.dependencies import Pool, WhoCalls, device_key_of, places
from api.models.rules import field_errors
from api.parameters import AreaCode, DeviceId, Instant, RuleId, rfc3339
from api.problems import Problem, invalid, not_found
from api.roles import V1
from underfoot.storage.connect import Connection

router = APIRouter(prefix=f"{V1}/rules/{{rule_id}}/backtests", tags=["rules"], route_class=GuardedRoute)

MOST_REPORTS = 3_000_000
LONGEST = timedelta(days=92)
_EPISODES_AT_MOST = 2000
_RuleIdPath = Annotated[RuleId, Path(description="The rule's id", examples=["road.ponding"])]


class BacktestWanted(BaseModel):
    """When, and on which devices; `rule` instead of the one in force."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_: Instant = Field(alias="from", description="From this event time on", examples=["2026-06-01T00:00:00+08:00"])
    to: Instant = Field(description="Before this event time", examples=["2026-06-08T00:00:00+08:00"])
    area: AreaCode | None = Field(None, description="Only devices in this area and below", examples=["410502"])
    device: DeviceId | None = Field(None, description="Only this device", examples=["road-0017"])
    rule: dict[str, Any] | None = Field(
        None, description="A whole rule to try, not in force (docs/rules.md)", examples=[None]
    )

    @field_validator("to")
    @classmethod
    def _bounded(cls, to: Instant, known: ValidationInfo) -> Instant:
        began = known.data.get("from_")
        if began is not None and not timedelta(0) < to - began <= LONGEST:
            raise ValueError(f"must be after `from`, which is {rfc3339(began)}, and at most {LONGEST.days} days later")
        return to


@router.post("", summary="Try a rule on stored reports")
def try_rule(pool: Pool, caller: WhoCalls, rule_id: _RuleIdPath, wanted: BacktestWanted) -> Backtest:
    """The alarms it would have raised, how many notices that is a day, and how that agrees with what was found real or
    false. Answered when it is done: for a whole city's month, `underfoot rules backtest` has no limit."""
    with pool.connection() as connection:
        in_force, version = _rule(connection, rule_id, wanted.rule)
        device_key_of(connection, caller.scope, wanted.device)
        within = {name: _tuple(of) for name, of in places(connection, caller.scope, wanted.area).items()}
        try:
            trial = Trial(in_force, version, wanted.from_, wanted.to, device_id=wanted.device, **within)
            fleet = fleet_of(connection, trial)
            expected = expected_reports(fleet, trial)
            if expected > MOST_REPORTS:
                why = (
                    f"about {expected:,} reports, and at most {MOST_REPORTS:,} are tried here: a shorter span, an area"
                )
                raise invalid("to", rfc3339(wanted.to), f"{why}, or `underfoot rules backtest`", place="body")
            return backtest(connection, trial, fleet).cut(_EPISODES_AT_MOST)
        except BacktestError as error:
            raise Problem("conflict", str(error)) from None


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _rule(connection: Connection, rule_id: str, body: dict[str, Any] | None) -> tuple[RuleInForce, int | None]:
    if body is not None:
        try:
            return RuleInForce(parse_rule(body | {"rule_id": rule_id}), 1), None
        except RuleError as error:
            raise Problem("invalid", str(error), errors=field_errors(error)) from None
    for in_force in rules_in_force(connection):
        if in_force.rule.rule_id == rule_id:
            return in_force, in_force.version
    raise not_found(f"rule {rule_id!r} in force")
