"""Ladder: when each level's turn comes while nobody acknowledges an alarm. Pure functions; no clock, no I/O.

Each severity has a ladder of its own: so long without acknowledgement at least so severe, and level 1, 2, … is told.
An alarm that grows worse goes on along the ladders that it is on already, and begins the worse one's: growing worse
never makes anybody wait longer. A level is told once in a time without acknowledgement; after the last one's turn it is
told again every so often, until somebody acknowledges.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.judge.outcome import RuleInForce
from alerts.rules import EscalationRule, Rule
from underfoot.alarms import Severity

Steps = Mapping[Severity, tuple[timedelta, ...]]
"""By severity: after how long without acknowledgement level 1, 2, … is told."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An open alarm that nobody has acknowledged. `at_least`: since when it has been at least so severe, not before
    `since`; `told`: the levels whose turn has been; `told_at`: when anybody was told last."""

    since: datetime
    at_least: Mapping[Severity, datetime]
    told: frozenset[int] = frozenset()
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    level: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Ladder:
    """`again`: by severity, how long after anybody was told the last level is told again."""

    steps: Steps
    again: Mapping[Severity, timedelta]


def waiting(
    since: datetime,
    changes: Iterable[tuple[datetime, int]],
    told: Collection[int] = (),
    told_at: datetime | None = None,
) -> Waiting:
    """From the record: `changes` are the times and severities of the episode, in order.

    Of several changes at one instant the last counts: a dip that lasted no time does not begin the ladder anew.
    """
    at_least: dict[Severity, datetime] = {}
    for at, now in dict(changes).items():
        for severity in Severity:
            if now < severity:
                at_least.pop(severity, None)
            else:
                at_least.setdefault(severity, max(at, since))
    return Waiting(since, at_least, frozenset(told), told_at)


def turns(steps: Steps, alarm: Waiting) -> list[Turn]:
    """When the turn of each level that has not been told comes, the earliest first, if nothing changes."""
    first: dict[int, datetime] = {}
    for severity, since in alarm.at_least.items():
        for level, after in enumerate(steps.get(severity, ()), start=1):
            if level not in alarm.told:
                first[level] = min(since + after, first.get(level, since + after))
    return sorted((Turn(level, at) for level, at in first.items()), key=lambda turn: (turn.at, turn.level))


def again(ladder: Ladder, alarm: Waiting) -> Turn | None:
    """When a ladder's last level is told again: once its levels' turns have come, also where nobody could be told."""
    if alarm.told_at is None:
        return None
    found = []
    for severity, since in alarm.at_least.items():
        steps = ladder.steps.get(severity, ())
        if steps and severity in ladder.again:
            found.append(Turn(len(steps), max(alarm.told_at + ladder.again[severity], since + steps[-1])))
    return min(found, key=lambda turn: (turn.at, -turn.level), default=None)


def next_turn(ladder: Ladder, alarm: Waiting) -> datetime | None:
    """When something is to be done next; None: never, unless something changes."""
    once_more = again(ladder, alarm)
    coming = [turn.at for turn in turns(ladder.steps, alarm)] + ([once_more.at] if once_more else [])
    return min(coming, default=None)


@dataclass(frozen=True)
class Ladders:
    """The rule in force, and the ladders that its variants make for an area, a tag or a device."""

    rule: RuleInForce

    @property
    def city(self) -> EscalationRule:
        return _escalation(self.rule.rule)

    @property
    def stamp(self) -> str:
        """Changes with every edit: what was reckoned by another is reckoned anew."""
        return ",".join([str(self.rule.version), *(f"{v.scope}@{v.version}" for v in self.rule.variants)])

    def ladder(self, *, device_id: str, area_code: str, tags: Collection[str]) -> Ladder:
        """What counts for an alarm; one that an override has taken out of escalation has no steps."""
        variant = self.rule.variant_for(device_id=device_id, area_code=area_code, tags=tags)
        if variant is not None and not variant.enabled:
            return Ladder({}, {})
        rule = self.city if variant is None else _escalation(variant.rule)
        steps = {severity: rule.after(severity.name) for severity in Severity if rule.after(severity.name)}  # type: ignore[arg-type]
        return Ladder(steps, rule.again())


def _escalation(rule: Rule) -> EscalationRule:
    if not isinstance(rule, EscalationRule):
        raise TypeError(f"{rule.rule_id} is no rule of escalation")
    return rule
