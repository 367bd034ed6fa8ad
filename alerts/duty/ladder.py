"""Ladder: when each level's turn comes while nobody acknowledges an alarm. Pure functions; no clock, no I/O.

Each severity has a ladder of its own: so long without acknowledgement at least so severe, and level 1, 2, … is told.
An alarm that grows worse goes on along the ladders that it is on already, and begins the worse one's: growing worse
never makes anybody wait longer. A level is told once in a time without acknowledgement.
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
    `since`; `told`: the levels whose turn has been."""

    since: datetime
    at_least: Mapping[Severity, datetime]
    told: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Turn:
    level: int
    at: datetime


def waiting(since: datetime, changes: Iterable[tuple[datetime, int]], told: Collection[int] = ()) -> Waiting:
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
    return Waiting(since, at_least, frozenset(told))


def turns(steps: Steps, alarm: Waiting) -> list[Turn]:
    """When the turn of each level that has not been told comes, the earliest first, if nothing changes."""
    first: dict[int, datetime] = {}
    for severity, since in alarm.at_least.items():
        for level, after in enumerate(steps.get(severity, ()), start=1):
            if level not in alarm.told:
                first[level] = min(since + after, first.get(level, since + after))
    return sorted((Turn(level, at) for level, at in first.items()), key=lambda turn: (turn.at, turn.level))


def next_turn(steps: Steps, alarm: Waiting) -> datetime | None:
    """When something is to be done next; None: never, unless something changes."""
    coming = turns(steps, alarm)
    return coming[0].at if coming else None


@dataclass(frozen=True)
class Ladders:
    """The rule in force, and the steps that its variants make for an area, a tag or a device."""

    rule: RuleInForce

    @property
    def city(self) -> EscalationRule:
        return _escalation(self.rule.rule)

    @property
    def stamp(self) -> str:
        """Changes with every edit: what was reckoned by another is reckoned anew."""
        return ",".join([str(self.rule.version), *(f"{v.scope}@{v.version}" for v in self.rule.variants)])

    def steps(self, *, device_id: str, area_code: str, tags: Collection[str]) -> Steps:
        """What counts for an alarm; one that an override has taken out of escalation has no steps."""
        variant = self.rule.variant_for(device_id=device_id, area_code=area_code, tags=tags)
        if variant is not None and not variant.enabled:
            return {}
        rule = self.city if variant is None else _escalation(variant.rule)
        return {severity: rule.after(severity.name) for severity in Severity if rule.after(severity.name)}  # type: ignore[arg-type]


def _escalation(rule: Rule) -> EscalationRule:
    if not isinstance(rule, EscalationRule):
        raise TypeError(f"{rule.rule_id} is no rule of escalation")
    return rule
