"""Flood: whether more alarms reach a district's operator than anyone can read (ISA-18.2).

What counts is raises (episodes), when they were committed. What an incident keeps back counts too: else a flood would
be over as soon as it is dealt with. What is suppressed for another reason reaches nobody, and doesn't count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.judge.outcome import RuleInForce
from alerts.rules import StormRule
from alerts.storm.rule import numbers_of, rule_for
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


@dataclass(frozen=True, slots=True)
class Flood:
    """A district is in flood. `peak`: most raises in one window so far."""

    began_at: datetime
    peak: int


@dataclass(frozen=True, slots=True)
class District:
    """A district about which there is something to do. `raised`: in the window until now. `rule`: as it holds there."""

    area_code: str
    name: str
    raised: int
    flood: Flood | None
    rule: RuleInForce

    @property
    def numbers(self) -> StormRule:
        return numbers_of(self.rule)


def judge(flood: Flood | None, raised: int, now: datetime, *, enter_above: int, leave_below: int) -> Flood | None:
    """The flood as it is after `raised` raises in the window until `now`; None: there is none, or no more."""
    if flood is None:
        return Flood(now, raised) if raised > enter_above else None
    if raised < leave_below:
        return None
    return Flood(flood.began_at, max(flood.peak, raised))


def step(connection: Connection, rule: RuleInForce, in_force: bool, now: datetime) -> list[District]:
    """Begin and end the districts' floods. Returns those in flood, and those where something of one is left to end.
    `in_force` false: the city has withdrawn the rule, so no flood begins and every flood is over."""
    # Counted once over the widest window; again only for a district that has a narrower one.
    widest_s = max(numbers_of(one).window_s for one in (rule, *map(rule.within, rule.variants)))
    params = {"since": now - timedelta(seconds=widest_s)}
    found = []
    for area_code, name, reached, active, began_at, peak in connection.execute(
        statement("storm.watch"), params, prepare=False
    ).fetchall():
        here = rule_for(rule, area_code) if in_force else None
        known = Flood(began_at, peak) if began_at is not None else None
        raised, flood = reached, None
        if here is not None:
            numbers = numbers_of(here)
            if numbers.window_s < widest_s:
                raised = _raises_since(connection, area_code, now - timedelta(seconds=numbers.window_s))
            flood = judge(known, raised, now, enter_above=numbers.enter_above, leave_below=numbers.leave_below)
        _write(connection, area_code, known, flood, now)
        if active or flood is not None:
            found.append(District(area_code, name, raised, flood, here or rule))
    return found


def _raises_since(connection: Connection, area_code: str, since: datetime) -> int:
    params = {"area_code": area_code, "since": since}
    [(raised,)] = connection.execute(statement("storm.raises_since"), params, prepare=False).fetchall()
    return int(raised)


def _write(connection: Connection, area_code: str, before: Flood | None, flood: Flood | None, now: datetime) -> None:
    if before == flood:
        return
    if flood is None:
        connection.execute(statement("storm.end_flood"), {"area_code": area_code, "now": now})
    elif before is None:
        connection.execute(statement("storm.begin_flood"), {"area_code": area_code, "now": now, "peak": flood.peak})
    else:
        connection.execute(statement("storm.raise_peak"), {"area_code": area_code, "peak": flood.peak})
