"""Rules and overrides as they are sent and answered."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from alerts.rulebook.book import Version
from alerts.rulebook.changes import Change
from alerts.rulebook.files import ItemProblem as Found
from alerts.rules import RuleError
from api.parameters import Instant, Page
from api.problems import FieldError, shortened
from api.rule_text import rule_text

_RULE: dict[str, JsonValue] = {
    "rule_id": "road.ponding",
    "kind": "level",
    "family": "road",
    "title": "道路积水",
    "source": "本市防汛预案 2026",
    "field": "depth_cm",
    "levels": [{"severity": "red", "limit": 30, "dead_band": 3}],
}
_NUMBERS: dict[str, JsonValue] = {
    "source": "学校门口按一半",
    "levels": [{"severity": "red", "limit": 15, "dead_band": 3}],
}


class RuleVersion(BaseModel):
    rule_id: str = Field(examples=["cover.tilt"])
    scope: str = Field(description="city, or an override's: area:…, tag:…, device:…", examples=["city"])
    version: int = Field(description="A rule and its overrides share one count of versions", examples=[1])
    title: str = Field(examples=["井盖倾斜"])
    family: str | None = Field(examples=["cover"])
    text: str = Field(description="The rule in words", examples=["井盖倾斜：倾角与基准值之差 ≥ 30 ° → 红。"])
    body: dict[str, Any] = Field(
        description="The rule itself, or the override", examples=[{"rule_id": "cover.tilt", "kind": "level"}]
    )
    withdrawn: bool = Field(examples=[False])
    created_at: Instant
    created_by: str = Field(examples=["shipped"])

    @classmethod
    def of(cls, version: Version, rule: dict[str, Any] | None = None, **more: Any) -> Self:
        """`rule`: of an override, the complete rule as it is with it."""
        body = rule if rule is not None else version.body
        said = rule_text(body, version.scope, enabled=version.body.get("enabled", True))
        return cls.model_validate(
            {
                "rule_id": version.rule_id,
                "scope": str(version.scope),
                "version": version.version,
                "title": body.get("title", version.rule_id),
                "family": body.get("family"),
                "text": said,
                "body": version.body,
                "withdrawn": version.withdrawn,
                "created_at": version.created_at,
                "created_by": version.created_by,
            }
            | more
        )


class RuleListed(RuleVersion):
    scopes: list[str] = Field(description="For whom its numbers differ", examples=[["tag:学校门口"]])


class RulePage(Page):
    items: list[RuleListed]


class RuleDetail(BaseModel):
    rule_id: str = Field(examples=["cover.tilt"])
    in_force: RuleVersion | None = Field(description="Null: the rule is withdrawn")
    overrides: list[RuleVersion] = Field(description="In force; of several that hold for a device the last one counts")
    versions: list[RuleVersion] = Field(description="Of the rule and its overrides, newest first, 1000 at most")


class RuleWanted(BaseModel):
    """A whole rule; which fields it has depends on its kind (docs/rules.md)."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_RULE]})

    kind: str = Field(description="Of rule", examples=["level"])


class OverrideWanted(BaseModel):
    """The numbers of the rule that differ, each whole; or `enabled: false`."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_NUMBERS]})

    source: str = Field(description="Where the numbers come from", examples=["学校门口按一半"])
    enabled: bool = Field(True, description="False: the rule isn't judged in this scope")


class RuleChanged(BaseModel):
    changed: bool = Field(description="False: it was in force as it is")
    version: int = Field(description="The version that is in force now, or that withdrew it", examples=[3])


class ItemsWanted(BaseModel):
    """Rules, and overrides: those have a `scope`."""

    model_config = ConfigDict(extra="forbid")

    items: list[dict[str, Any]] = Field(min_length=1, max_length=500, examples=[[_RULE]])


class ItemProblem(FieldError):  # noqa: N818 - no exception: what an answer tells
    item: int = Field(description="Which of the items, from 0", examples=[0])
    rule: str = Field(description="Of which rule, and for whom", examples=["road.ponding"])

    @classmethod
    def of(cls, found: Found) -> Self:
        problem = found.problem
        value = shortened(problem.value)
        return cls(
            item=found.item, rule=found.rule, field=problem.field, place="body", value=value, message=problem.why
        )


class ItemChange(BaseModel):
    rule: str = Field(examples=["road.ponding"])
    change: Literal["new", "changed", "unchanged"]
    differences: list[str] = Field(
        description="Which numbers and words differ", examples=[["levels.red.limit 40 → 30"]]
    )

    @classmethod
    def of(cls, change: Change) -> Self:
        return cls(rule=change.rule, change=change.change, differences=change.differences)


class Checked(BaseModel):
    """Whether they could be put in force, and what would change then. Nothing has been."""

    problems: list[ItemProblem]
    changes: list[ItemChange] = Field(description="Without problems: of each item, in the order rules, overrides")


def field_errors(error: RuleError, place: str = "body") -> list[FieldError]:
    return [
        FieldError(field=problem.field, place=place, value=shortened(problem.value), message=problem.why)
        for problem in error.problems
    ]
