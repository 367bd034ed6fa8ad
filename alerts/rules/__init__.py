"""Rules: conditions on the reports of a family, and on what follows from them. Data, never code.

A kind of rule is a file here and a line in `Rule`; the shipped rules are alerts/pack/*.yaml. Its numbers may differ
for a narrower scope than the city: `override`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Any

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from alerts.rules.blockage import BlockageRule
from alerts.rules.composite import CompositeRule
from alerts.rules.conditioned import ConditionedRule
from alerts.rules.doubt import DoubtRule
from alerts.rules.duty import EscalationRule, HealthRule, WorkingTimeRule
from alerts.rules.errors import FieldError, RuleError, RuleProblem, problems_of
from alerts.rules.filing import CodesRule, FilingRule
from alerts.rules.gateway_outage import GatewayOutageRule
from alerts.rules.judged import JudgedRule
from alerts.rules.level import LevelRule
from alerts.rules.mismatch import MismatchRule
from alerts.rules.overload import OverloadRule
from alerts.rules.parts import AnyRule, CaseCode, Crew, FamilyRule, Level, RuleId, SeverityName
from alerts.rules.silence import LateHazardRule, NoDataRule
from alerts.rules.slope import ForecastRule, RateRule, SlopeRule
from alerts.rules.storm import Grouped, StormRule
from alerts.rules.stuck import StuckRule
from alerts.rules.system import SystemRule
from alerts.rules.weather import WeatherRule

SingleDeviceRule = LevelRule | RateRule | ForecastRule | MismatchRule | NoDataRule | LateHazardRule
CityRule = (
    WeatherRule
    | ConditionedRule
    | CompositeRule
    | StuckRule
    | DoubtRule
    | GatewayOutageRule
    | BlockageRule
    | OverloadRule
    | StormRule
)
DutyRule = EscalationRule | WorkingTimeRule | HealthRule
CaseRule = FilingRule | CodesRule
Rule = SingleDeviceRule | CityRule | DutyRule | CaseRule | SystemRule
_RULE: TypeAdapter[Rule] = TypeAdapter(Annotated[Rule, Field(discriminator="kind")])

__all__ = [
    "AnyRule",
    "BlockageRule",
    "CaseCode",
    "CodesRule",
    "CompositeRule",
    "ConditionedRule",
    "Crew",
    "DoubtRule",
    "EscalationRule",
    "FamilyRule",
    "FieldError",
    "FilingRule",
    "ForecastRule",
    "GatewayOutageRule",
    "Grouped",
    "HealthRule",
    "JudgedRule",
    "LateHazardRule",
    "Level",
    "LevelRule",
    "MismatchRule",
    "NoDataRule",
    "OverloadRule",
    "RateRule",
    "Rule",
    "RuleError",
    "RuleId",
    "RuleProblem",
    "SeverityName",
    "SlopeRule",
    "StormRule",
    "StuckRule",
    "SystemRule",
    "WeatherRule",
    "WorkingTimeRule",
    "parse_rule",
    "problems_of",
    "shipped_pack",
]


def parse_rule(body: Any) -> Rule:
    try:
        return _RULE.validate_python(body)
    except ValidationError as error:
        rule_id = body.get("rule_id", "a rule without rule_id") if isinstance(body, dict) else repr(body)
        raise RuleError(rule_id, *problems_of(error, body, below=1)) from None


@cache
def shipped_pack() -> tuple[Rule, ...]:
    """The default rules, as shipped: one file a family."""
    rules: list[Rule] = []
    folder = files("alerts") / "pack"
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml"):
            rules += [parse_rule(body) for body in yaml.safe_load(entry.read_text(encoding="utf-8"))]
    seen: set[str] = set()
    for rule in rules:
        if rule.rule_id in seen:
            raise RuleError(f"{rule.rule_id}: stands in the pack twice")
        seen.add(rule.rule_id)
    return tuple(rules)
