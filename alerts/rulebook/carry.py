"""Carry: what is open, or on its way, under one version of a rule goes on under another. Pure.

A rule is edited while its alarm is open: nothing is raised twice by that, and nothing is lost. What the old numbers had
established is held against the new ones; where these cannot have it, the caller ends it with that reason.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

from alerts.judge.transition import Held, State
from alerts.rules import Rule
from alerts.rules.override import numbers_of
from underfoot.alarms import Severity

# What says nothing about what a rule looks at.
_WORDS = frozenset({"rule_id", "title", "source", "case", "crew", "when", "unless", "proof"})


def continues(old: Rule, new: Rule) -> bool:
    """Whether both look at the same thing, and differ in numbers, words and guards only."""
    kind = type(new)
    if type(old) is not kind:
        return False
    same = set(kind.model_fields) - _WORDS - set(numbers_of(kind))
    return all(getattr(old, name) == getattr(new, name) for name in same)


def carried(old: Rule, new: Rule, state: State) -> State | None:
    """The state under the new numbers; None: they have no level for what is open.

    An episode keeps its severity, or takes the next lower one there is. It takes a higher one where what the old
    numbers established is beyond the new ones' limits. Its next report is judged by the new numbers as any is.
    """
    if not continues(old, new):
        return None
    before, after = _numbered(old), _numbered(new)
    if not before or not after:
        return state
    seen = _last_seen(old, state)
    level = 0
    if state.level:
        was = before[min(state.level, len(before)) - 1]
        level = max(_by_severity(was, after), _established(was, after, seen))
        if level == 0:
            return None
    if seen is None:
        return replace(state, level=level, rising=(), falling=())
    rising = tuple(
        _held(state.rising, before, one, longest=True) if i >= level and seen >= one[1] else None
        for i, one in enumerate(after)
    )
    falling = tuple(
        _held(state.falling, before, one, longest=False) if i < level and seen < one[2] else None
        for i, one in enumerate(after)
    )
    return replace(state, level=level, rising=rising if any(rising) else (), falling=falling if any(falling) else ())


_Numbers = tuple[int, float, float]
"""A level: its severity, where it is reached and where it is left, signed so that larger is worse."""


def _numbered(rule: Rule) -> list[_Numbers]:
    sign = _sign(rule)
    return [
        (Severity[level.severity], sign * level.limit, sign * level.limit - level.dead_band)
        for level in getattr(rule, "levels", ())
    ]


def _sign(rule: Rule) -> float:
    return -1.0 if getattr(rule, "looks", "above") == "below" else 1.0


def _by_severity(was: _Numbers, after: list[_Numbers]) -> int:
    return sum(severity <= was[0] for severity, _, _ in after)


def _established(was: _Numbers, after: list[_Numbers], seen: float | None) -> int:
    """The level that the new numbers would have come to: what had reached the old limit, and not left it, has done so
    with every limit that is no further."""
    least = was[2] if seen is None else min(was[2], seen)
    return max((i + 1 for i, (_, reach, leave) in enumerate(after) if reach <= was[1] and leave <= least), default=0)


def _last_seen(rule: Rule, state: State) -> float | None:
    """The last value that what is on its way was held against, signed as the limits are."""
    held = next((one for one in (*state.rising, *state.falling) if one is not None), None)
    if held is None:
        return None
    if getattr(rule, "equals", None) is not None:
        return 1.0 if any(state.rising) else 0.0
    value: Any = held.proof.get("value")
    if value is None:
        return None
    seen = _sign(rule) * float(value)
    left = [leave for (_, _, leave), was in zip(_numbered(rule), state.falling, strict=False) if was is not None]
    # A guard can take a rule away from whatever value: then it is left, far as the value may be beyond its limits.
    return -inf if left and seen >= max(left) else seen


def _held(held: tuple[Held | None, ...], before: list[_Numbers], one: _Numbers, *, longest: bool) -> Held | None:
    """That of the same severity; else the one that makes an alarm come earlier, or end later."""
    by_severity = {numbers[0]: was for numbers, was in zip(before, held, strict=False) if was is not None}
    if not by_severity:
        return None
    pick = min if longest else max
    return by_severity.get(one[0]) or pick(by_severity.values(), key=lambda was: was.since_us)
