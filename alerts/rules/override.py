"""Overrides: a rule's numbers for a narrower scope than the city, and which of several counts for a device.

A rule is the city's. An override starts from the city's rule, never from another override, and changes nothing but
numbers: what a rule looks at, and what a crew is told, are the same everywhere.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from alerts.duty.calendar import TimeKind
from alerts.rules import Rule, RuleError, RuleId, RuleProblem, SeverityName, parse_rule, problems_of
from alerts.rules.parts import ScopeKind
from underfoot.alarms import Severity
from underfoot.ledger.areas import LEVELS, without_padding
from underfoot.ledger.cells import LONGEST_TAG
from underfoot.topics import DEVICE_ID

_KINDS: tuple[ScopeKind, ...] = ("city", "area", "tag", "device")

# What a rule is, rather than how far it goes, and how people are reminded: the same for every scope, though a number.
_IDENTITY = frozenset({"sum_over_s", "mean_over_s", "over_s", "per_s", "realarm_min"})


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a rule's numbers are for: `city`, `area:CODE`, `tag:TAG` or `device:ID`."""

    kind: ScopeKind
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        kind, colon, name = text.strip().partition(":")
        name = name.strip()
        if kind == "city" and not colon:
            return cls("city")
        if kind == "area" and colon:
            code = without_padding(name)
            if not (code.isascii() and code.isdigit() and len(code) in LEVELS):
                raise ValueError(
                    f"scope {text!r}: an area is named by its code of {', '.join(str(n) for n in LEVELS)} digits"
                )
            return cls("area", code)
        if kind == "tag" and colon:
            if not 1 <= len(name) <= LONGEST_TAG or not name.isprintable() or "/" in name:
                raise ValueError(f"scope {text!r}: a tag has 1 to {LONGEST_TAG} printable characters, and no /")
            return cls("tag", name)
        if kind == "device" and colon:
            if DEVICE_ID.fullmatch(name) is None:
                raise ValueError(f"scope {text!r}: a device_id has 1 to 64 letters, digits, _ or -")
            return cls("device", name)
        raise ValueError(f"scope {text!r} is none: write city, area:CODE, tag:TAG or device:ID")

    def __str__(self) -> str:
        return self.kind if self.kind == "city" else f"{self.kind}:{self.name}"

    @property
    def precedence(self) -> tuple[int, int]:
        """The narrower scope has the greater one. Two tags have the same: then `earliness` decides."""
        return _KINDS.index(self.kind), len(self.name) if self.kind == "area" else 0

    def holds(self, *, device_id: str, area_code: str, tags: Collection[str]) -> bool:
        match self.kind:
            case "city":
                return True
            case "area":
                return area_code.startswith(self.name)
            case "tag":
                return self.name in tags
            case "device":
                return self.name == device_id


CITY = Scope("city")


def _scope(value: object) -> object:
    return Scope.parse(value) if isinstance(value, str) else value


ScopeText = Annotated[Scope, BeforeValidator(_scope), PlainSerializer(str, return_type=str)]


class Override(BaseModel):
    """A rule's numbers for a narrower scope. Beside the fields named here it has those numbers of the rule's kind
    that it changes (`levels`, `off_delay_s`, `intervals`, `severity`, …), each replaced whole."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    rule_id: RuleId
    scope: ScopeText
    source: str = Field(min_length=1, description="Where the numbers come from, or why they differ here")
    enabled: bool = Field(True, strict=True, description="False: the rule isn't judged in this scope")

    @property
    def numbers(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


def parse_override(body: Any) -> Override:
    """The override as data; whether its numbers fit the rule, only `overridden` knows."""
    try:
        override = Override.model_validate(body)
    except ValidationError as error:
        rule_id = body.get("rule_id", "an override without rule_id") if isinstance(body, dict) else repr(body)
        raise RuleError(rule_id, *problems_of(error, body)) from None
    if override.scope == CITY:
        raise _wrong(override, "scope", "city", "an override is narrower; the city's numbers are the rule's own")
    if override.enabled and not override.numbers:
        raise _wrong(override, "enabled", True, "the override changes nothing; give it numbers, or enabled: false")
    return override


def overridden(rule: Rule, override: Override) -> Rule:
    """The complete rule as it is within the override's scope. Its source is the override's."""
    if rule.rule_id != override.rule_id:
        raise _wrong(override, "rule_id", override.rule_id, f"the override is not of {rule.rule_id}")
    if override.scope.kind not in rule.narrower:
        where = f"may differ by {', '.join(rule.narrower)} only" if rule.narrower else "are the same everywhere"
        raise _wrong(override, "scope", str(override.scope), f"the numbers of a rule of kind {rule.kind} {where}")
    numbers = numbers_of(type(rule))
    for name, value in override.numbers.items():
        if name not in type(rule).model_fields:
            raise _wrong(override, name, value, f"a rule of kind {rule.kind} has no such field")
        if name not in numbers:
            may = f"of a rule of kind {rule.kind}: {', '.join(numbers)}" if numbers else "of this kind there are none"
            raise _wrong(override, name, value, f"an override changes numbers only; {may}")
    try:
        return parse_rule(rule.model_dump(mode="json") | override.numbers | {"source": override.source})
    except RuleError as error:
        raise RuleError(_named(override), *error.problems) from None


def _wrong(override: Override, field: str, value: Any, why: str) -> RuleError:
    return RuleError(_named(override), RuleProblem((field,), value, why))


def _named(override: Override) -> str:
    return f"{override.rule_id}: {override.scope}"


@cache
def numbers_of(kind: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a kind of rule that an override may change: numbers, severities, and what consists of them."""
    return tuple(
        name for name, field in kind.model_fields.items() if name not in _IDENTITY and _only_numbers(field.annotation)
    )


def _only_numbers(annotation: Any) -> bool:
    # A kind of time is the unit of a limit, and is what it is only together with its number.
    if annotation in (int, float, TimeKind) or annotation == SeverityName:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return all(_only_numbers(field.annotation) for field in annotation.model_fields.values())
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _only_numbers(parts[0])
    if origin is dict or origin is Mapping:
        return get_origin(parts[0]) is Literal and _only_numbers(parts[1])
    if origin in (tuple, list, Union, types.UnionType):
        kinds = [part for part in parts if part not in (Ellipsis, type(None))]
        return bool(kinds) and all(_only_numbers(part) for part in kinds)
    return False


def earliness(rule: Rule) -> tuple[float, ...]:
    """Of two versions of a rule, the one with the smaller earliness alarms earlier: first as to red, which is where
    people are in danger, then downwards; where limits are equal, the one that believes sooner.

    What is no level: the one of higher severity, then the one whose numbers are smaller, as waits and shares are; but
    for those where more is found the larger they are.
    """
    body = rule.model_dump()
    sign = -1.0 if body.get("looks") == "below" else 1.0
    key: list[float] = []
    for name in sorted(numbers_of(type(rule)), key=_levels_and_severity_first):
        value = body[name]
        if isinstance(value, tuple | list):
            key += _of_levels(value, sign)
        elif isinstance(value, dict):
            sign_of = -1.0 if name in _MORE_IS_EARLIER else 1.0
            key += [sign_of * wait if wait < inf else inf for wait in _by_severity(value)]
        elif name == "from_severity":
            key.append(float(Severity[value]))
        elif name in _SEVERITIES:
            key.append(-float(Severity[value]))
        else:
            number = inf if value is None else float(value)
            key.append(-number if name in _MORE_IS_EARLIER else number)
    return tuple(key)


def _by_severity(waits: Mapping[str, Any]) -> Iterator[float]:
    """Waits by severity, red first; a severity without any waits for ever."""
    for severity in sorted(Severity, reverse=True):
        given = waits.get(severity.name, ())
        listed = given if isinstance(given, tuple | list) else (given,)
        yield from (_hours(**wait) if isinstance(wait, dict) else float(wait) for wait in listed)
        yield inf


def _hours(kind: TimeKind, amount: float) -> float:
    """About how long a time limit is, to tell the shorter of two."""
    return amount * {"urgent_hour": 1.0, "work_hour": 4.2, "work_day": 33.6, "natural_day": 24.0}[kind]


_SEVERITIES = ("severity", "of_at_least")
_MORE_IS_EARLIER = frozenset({"rated", "still_below", "within_m", "max_age_s", "level"})


def _levels_and_severity_first(name: str) -> tuple[bool, bool, str]:
    levels = name in ("levels", "dry", "wet", "storm", "standing_water")
    return not levels, name not in _SEVERITIES, name


def _of_levels(levels: Collection[dict[str, Any]], sign: float) -> list[float]:
    key: list[float] = []
    for severity in sorted(Severity, reverse=True):
        reaching = [level for level in levels if Severity[level["severity"]] >= severity]
        first = min(reaching, key=lambda level: sign * level["limit"], default=None)
        key += [inf, inf, inf] if first is None else [sign * first["limit"], first["on_delay_s"], first["samples"]]
    return key
