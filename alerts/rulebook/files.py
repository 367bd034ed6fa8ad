"""Rules as files: what a city keeps, reviews and carries from one installation to another.

A file is a list. An item with a `scope` is an override, any other a rule; what is wrong with one says its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel

from alerts.rulebook.book import check_all, named
from alerts.rules import Rule, RuleError, RuleProblem, parse_rule
from alerts.rules.override import CITY, Override, Scope, overridden, parse_override
from underfoot.plain_yaml import Line, YamlError, read_yaml, write_yaml

MOST_BYTES = 1024 * 1024


class FileProblem(NamedTuple):
    """One thing that is wrong with a file of rules, and the line where it stands."""

    origin: str
    line: int
    rule: str
    problem: RuleProblem

    def __str__(self) -> str:
        return f"{self.origin}:{self.line}: {self.rule}: {self.problem}"


@dataclass
class RuleFile:
    """What a file says. Nothing of it may be put in force while there are `problems`."""

    rules: list[Rule] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)
    problems: list[FileProblem] = field(default_factory=list)


def read_rules(text: bytes, origin: str, known: Mapping[str, Rule]) -> RuleFile:
    """The rules and overrides of a file. `known`: rules in force, for overrides of what the file itself has not."""
    try:
        document = read_yaml(text, origin, at_most=MOST_BYTES)
    except YamlError as error:
        problem = RuleProblem((), None, str(error).removeprefix(f"{origin}: "))
        return RuleFile(problems=[FileProblem(origin, _line_said(str(error)), "file", problem)])
    if not isinstance(document.value, list) or not document.value:
        problem = RuleProblem((), document.value, "a file of rules is a list of them: - rule_id: …")
        return RuleFile(problems=[FileProblem(origin, 1, "file", problem)])
    taken = take(document.value, known, called=lambda item: f"line {document.line((item,))}")
    problems = [
        FileProblem(origin, document.line((one.item, *one.problem.path)), one.rule, one.problem)
        for one in taken.problems
    ]
    return RuleFile(taken.rules, taken.overrides, sorted(problems, key=lambda one: one.line))


def _line_said(text: str) -> int:
    """The line that YAML's own words name."""
    _, _, after = text.rpartition("line ")
    digits = after.split(",")[0].split(":")[0]
    return int(digits) if digits.isdigit() else 1


class ItemProblem(NamedTuple):
    """One thing that is wrong with one of several rules and overrides; `item` counts from 0."""

    item: int
    rule: str
    problem: RuleProblem


@dataclass
class Taken:
    rules: list[Rule] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)
    problems: list[ItemProblem] = field(default_factory=list)
    items: dict[str, int] = field(default_factory=dict)
    """By `named`, which of the items it is."""


def take(
    items: Sequence[Any], known: Mapping[str, Rule], called: Callable[[int], str] = lambda item: f"item {item + 1}"
) -> Taken:
    """Rules and overrides from data. `called` names an item in what is told of another."""
    taking = _Taking(dict(known), called)
    for item, body in enumerate(items):
        if not isinstance(body, dict):
            taking.say(item, called(item), RuleProblem((), body, "a rule is a mapping: - rule_id: …"))
        elif body.get("scope", str(CITY)) == str(CITY):
            taking.rule(item, {name: value for name, value in body.items() if name != "scope"})
    for item, body in enumerate(items):
        if isinstance(body, dict) and body.get("scope", str(CITY)) != str(CITY):
            taking.override(item, body)
    for error in check_all(taking.taken.rules):
        taking.say_all(taking.taken.items[error.rule], error)
    return taking.taken


class _Taking:
    def __init__(self, known: dict[str, Rule], called: Callable[[int], str]) -> None:
        self.taken = Taken()
        self._known = known
        self._called = called
        self._wrong: set[str] = set()

    def rule(self, item: int, body: dict[str, Any]) -> None:
        try:
            rule = parse_rule(body)
        except RuleError as error:
            self._wrong.add(str(body.get("rule_id")))
            self.say_all(item, error)
            return
        if self._once(item, rule.rule_id, CITY):
            self.taken.rules.append(rule)
            self._known[rule.rule_id] = rule

    def override(self, item: int, body: dict[str, Any]) -> None:
        try:
            override = parse_override(body)
            rule = self._known.get(override.rule_id)
            if rule is not None:
                overridden(rule, override)
            elif override.rule_id not in self._wrong:
                why = "no such rule here or in force; an override needs it"
                self.say(item, override.rule_id, RuleProblem(("rule_id",), override.rule_id, why))
        except RuleError as error:
            self.say_all(item, error)
            return
        if rule is not None and self._once(item, override.rule_id, override.scope):
            self.taken.overrides.append(override)

    def _once(self, item: int, rule_id: str, scope: Scope) -> bool:
        name = named(rule_id, scope)
        first = self.taken.items.setdefault(name, item)
        if first != item:
            self.say(item, name, RuleProblem(("rule_id",), rule_id, f"stands in {self._called(first)} already"))
        return first == item

    def say_all(self, item: int, error: RuleError) -> None:
        for problem in error.problems:
            self.say(item, error.rule, problem)

    def say(self, item: int, rule: str, problem: RuleProblem) -> None:
        self.taken.problems.append(ItemProblem(item, rule, problem))


# writing ------------------------------------------------------------------------------------------------------------


def written(rules: Sequence[Rule], overrides: Iterable[Override] = ()) -> str:
    """Rules and overrides as a file that reads back as the same."""
    by_id = {rule.rule_id: rule for rule in rules}
    items = [_said(rule) for rule in rules]
    items += [_said_of_override(override, by_id.get(override.rule_id)) for override in overrides]
    return write_yaml([{name: _shown(value) for name, value in item.items()} for item in items]) if items else ""


def _said_of_override(override: Override, rule: Rule | None) -> dict[str, Any]:
    body = override.model_dump(mode="json")
    if override.enabled:
        del body["enabled"]
    said = _said(overridden(rule, override)) if rule is not None else {}
    return {name: said.get(name, value) if name in override.numbers else value for name, value in body.items()}


def _said(model: BaseModel) -> dict[str, Any]:
    """Without what is as it would be if it weren't said; but a limit is always said."""
    said = model.model_dump(mode="json", exclude_defaults=True)
    body = {name: said[name] for name in (*(name for name in _FIRST if name in said), *said)}
    whole = model.model_dump(mode="json")
    if whole.get("equals") is None:
        for name, value in body.items():
            if is_levels(value):
                body[name] = [
                    {"severity": full["severity"], "limit": full["limit"]} | short
                    for short, full in zip(value, whole[name], strict=True)
                ]
    return body


_FIRST = ("rule_id", "kind", "family", "title", "source")


def is_levels(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "severity" in one for one in value)


def _shown(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_shown(one) for one in value]
    if isinstance(value, dict):
        shown = {name: _shown(one) for name, one in value.items()}
        return shown if any(isinstance(one, dict) for one in shown.values()) else Line(shown)
    return value
