"""Rules: conditions on the reports of a family. Data, never code: the shipped pack is alerts/pack/*.yaml."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from underfoot.alarms import Severity
from underfoot.families import FAMILIES, Column

RuleId = Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z0-9_]+$")]
SeverityName = Literal["blue", "yellow", "orange", "red"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Level(_Strict):
    """One limit of a rule. `limit` and `dead_band` are in the field's unit; the episode falls below this level
    at `limit − dead_band` (above it, for a rule that looks below)."""

    severity: SeverityName
    limit: float = Field(1.0, description="For a rule with `equals`, leave it out")
    dead_band: float = Field(0.0, ge=0)
    on_delay_s: float = Field(0.0, ge=0, description="Held so long, in event time, before it is believed")
    samples: int = Field(1, ge=1, description="Seen in at least so many reports")

    @property
    def rank(self) -> int:
        return Severity[self.severity].value


class Crew(_Strict):
    """What a crew is told to do, in Chinese: the first act, the tool, how it ends, and by when (minutes) it is safe."""

    act: str
    tool: str = ""
    end: str = "处置完毕"
    make_safe_min: int | None = Field(None, ge=1)


class CaseCode(_Strict):
    """What the alarm is on the 一网统管 platform. `asset`: the class code of the asset it is about."""

    type: Literal["component", "event"]
    code: str = Field(pattern=r"^([0-9]{4}|asset)$")


class _AnyRule(_Strict):
    rule_id: RuleId
    title: str = Field(description="What operators and crews read (Chinese)")
    source: str = Field(description="Where the numbers come from")


class _Rule(_AnyRule):
    family: Literal["cover", "road", "pipe", "pump", "rain", "lamp"]
    case: CaseCode | None = Field(None, description="Absent: an internal matter, never sent to the platform")
    crew: Crew | None = Field(None, description="Absent: no crew is told")


class LevelRule(_Rule):
    """A value against limits, in event time. The highest level that holds is the alarm's severity."""

    kind: Literal["level"]
    field: str
    looks: Literal["above", "below"] = "above"
    equals: bool | int | None = Field(None, description="A state: the field has this value")
    sum_over_s: float | None = Field(None, gt=0, description="Judge the sum of the field over this time (seconds)")
    against_baseline: bool = Field(False, description="Judge how far the value is from the device's own baseline")
    when: dict[str, bool | int] = Field(
        default_factory=dict, description="Only when these fields have these values; unknown: freeze"
    )
    unless: dict[str, bool | int] = Field(
        default_factory=dict, description="Not when these fields have these values; unknown: applies"
    )
    proof: Literal["samples", "silence"] = Field(
        "samples",
        description="How delays are proven: by reports through the delay, or by no contrary report during it",
    )
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=4)]
    off_delay_s: float = Field(0.0, ge=0)
    off_samples: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        columns = FAMILIES[self.family].column
        for name in (self.field, *self.when, *self.unless):
            if name not in columns:
                raise ValueError(
                    f"{self.rule_id}: family {self.family} has no field {name!r}; it has {', '.join(columns)}"
                )
        ranks = [level.rank for level in self.levels]
        if ranks != sorted(set(ranks)):
            raise ValueError(
                f"{self.rule_id}: levels must rise in severity, one each; got {[lv.severity for lv in self.levels]}"
            )
        sign = 1 if self.looks == "above" else -1
        limits = [sign * level.limit for level in self.levels]
        if limits != sorted(set(limits)):
            raise ValueError(
                f"{self.rule_id}: limits must go further with severity; got {[lv.limit for lv in self.levels]}"
            )
        leaves = [limit - level.dead_band for limit, level in zip(limits, self.levels, strict=True)]
        if leaves != sorted(set(leaves)):
            raise ValueError(
                f"{self.rule_id}: dead bands must leave a level before the one below it;"
                f" got {[lv.dead_band for lv in self.levels]} for limits {[lv.limit for lv in self.levels]}"
            )
        if self.equals is not None:
            if len(self.levels) != 1 or self.looks != "above" or self.sum_over_s or self.against_baseline:
                raise ValueError(
                    f"{self.rule_id}: a rule with `equals` has one level, looks above, sums nothing and has no baseline"
                )
            level = self.levels[0]
            if (level.limit, level.dead_band) != (1.0, 0.0):
                raise ValueError(
                    f"{self.rule_id}: a level of a rule with `equals` has neither limit nor dead band;"
                    f" got {level.limit} and {level.dead_band}"
                )
        states: dict[str, dict[str, bool | int | None]] = {
            "equals": {self.field: self.equals},
            "when": {**self.when},
            "unless": {**self.unless},
        }
        for word, wanted in states.items():
            for name, value in wanted.items():
                if value is not None:
                    _can_be(f"{self.rule_id}: {word}: {name}", columns[name], value)
        return self

    @property
    def column(self) -> Column:
        return FAMILIES[self.family].column[self.field]


def _can_be(where: str, column: Column, value: bool | int) -> None:
    """A state that a field never has would make a rule that never applies, or always."""
    if column.type == "boolean" and not isinstance(value, bool):
        raise ValueError(f"{where} is true or false, not {value!r}")
    if column.choices and (isinstance(value, bool) or value not in column.choices.values()):
        allowed = ", ".join(f"{number} ({name})" for name, number in column.choices.items())
        raise ValueError(f"{where} is one of {allowed}, not {value!r}")
    if column.type in ("real", "double precision"):
        raise ValueError(f"{where} is measured: it needs limits, and can't be compared with {value!r}")


class NoDataRule(_Rule):
    """Silence longer than `intervals` of the device's own expected interval plus `grace_s`. Raised by a timer."""

    kind: Literal["no_data"]
    intervals: float = Field(ge=1)
    grace_s: float = Field(0.0, ge=0)
    severity: SeverityName


class LateHazardRule(_Rule):
    """A hazard that only a late report shows: raised for an operator to check, ended by the next newer report."""

    kind: Literal["late_hazard"]
    severity: SeverityName
    of_at_least: SeverityName = Field(
        "orange", description="Least severity of the rule whose limit the late report reaches"
    )


class SystemRule(_AnyRule):
    """A failure of Underfoot itself: an internal matter of the operations centre."""

    kind: Literal["system"]
    severity: SeverityName


Rule = LevelRule | NoDataRule | LateHazardRule | SystemRule
_RULE: TypeAdapter[Rule] = TypeAdapter(Annotated[Rule, Field(discriminator="kind")])


class RuleError(ValueError):
    """A rule is not usable; says which, which field, its value and why."""


def parse_rule(body: Any) -> Rule:
    try:
        return _RULE.validate_python(body)
    except ValidationError as error:
        rule_id = body.get("rule_id", "a rule without rule_id") if isinstance(body, dict) else repr(body)
        lines = (
            f"{rule_id}: {'.'.join(str(part) for part in item['loc'][1:]) or 'rule'} = {item['input']!r}: {item['msg']}"
            for item in error.errors()
        )
        raise RuleError("\n".join(lines)) from None


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
