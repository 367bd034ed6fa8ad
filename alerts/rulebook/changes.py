"""Changes: several rules and overrides put in force together, and what that changes, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from alerts.rulebook import book as rulebook
from alerts.rulebook.files import is_levels
from alerts.rules import Rule
from alerts.rules.override import CITY, Override
from underfoot.storage.connect import Connection


@dataclass(frozen=True)
class Change:
    """`version`: the one that it became; None: it was in force as it is."""

    rule: str
    change: Literal["new", "changed", "unchanged"]
    version: int | None
    differences: list[str]


def put_all(
    connection: Connection, rules: Iterable[Rule], overrides: Iterable[Override], *, actor: str, dry_run: bool = False
) -> list[Change]:
    """All of them in force or, where the rulebook refuses one (RuleError), none."""
    with connection.transaction(force_rollback=dry_run):
        return [_put(connection, one, actor) for one in (*rules, *overrides)]


def _put(connection: Connection, one: Rule | Override, actor: str) -> Change:
    scope = one.scope if isinstance(one, Override) else CITY
    before = rulebook.newest(connection, one.rule_id, scope)
    if isinstance(one, Override):
        version = rulebook.put_override(connection, one, actor=actor)
    else:
        version = rulebook.put(connection, one, actor=actor)
    name = rulebook.named(one.rule_id, scope)
    if version is None:
        return Change(name, "unchanged", None, [])
    after = rulebook.newest(connection, one.rule_id, scope)
    if before is None or before.withdrawn or after is None:
        return Change(name, "new", version, [])
    return Change(name, "changed", version, differences(before.body, after.body))


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which numbers and words of a rule, or of an override, differ: `levels.red.limit 40 → 30`."""
    old, new = _flat("", before), _flat("", after)
    found = []
    for name in sorted(old.keys() | new.keys(), key=lambda name: [*new, *old].index(name)):
        was, now = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if was != now:
            found.append(f"{name} {_word(was)} → {_word(now)}")
    return found


_ABSENT = object()


def _flat(path: str, value: Any) -> dict[str, Any]:
    if is_levels(value):
        value = {level["severity"]: {k: v for k, v in level.items() if k != "severity"} for level in value}
    if isinstance(value, Mapping) and value:
        flat: dict[str, Any] = {}
        for name, one in value.items():
            flat |= _flat(f"{path}.{name}" if path else str(name), one)
        return flat
    return {path: value}


def _word(value: Any) -> str:
    if value is _ABSENT or value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)
