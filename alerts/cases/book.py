"""Book: the 立案条件 in force, the codes' names and working time, read once for each version of the rulebook.

Cases are opened in the transaction that raises an alarm: what it takes to open one is in memory, and whether that is
still so is one number, which a statement that is needed anyway brings along (`stamp_now()` in cases.sql).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from alerts.cases.internal import is_internal
from alerts.duty.calendar import USUAL, Calendar, WorkingHours
from alerts.duty.store import load_calendar
from alerts.judge.outcome import RuleInForce
from alerts.rulebook.book import in_force, rules_in_force
from alerts.rules.duty import WorkingTimeRule
from alerts.rules.filing import CodesRule, FilingRule
from alerts.rules.override import CITY
from alerts.rules.parts import CaseCode
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

OTHER = "filing.other"
"""The 立案条件 of a rule that says a type and a code, and names none."""


@dataclass(frozen=True, slots=True)
class WorkingTime:
    """By what working days and hours are reckoned."""

    calendar: Calendar
    hours: WorkingHours


@dataclass(frozen=True, slots=True)
class InForce:
    """A 立案条件 as it counts for one alarm, and its version. `code`, `type`: as the alarm's rule says, if it does."""

    rule: FilingRule
    version: int
    case: CaseCode


@dataclass(frozen=True, slots=True)
class Book:
    stamp: str
    filings: Mapping[str, RuleInForce]
    codes: CodesRule | None
    working: WorkingTime
    internal: frozenset[str]
    """Rules whose alarms are our own matter, whatever they say."""
    cases: Mapping[str, CaseCode] = field(default_factory=dict)
    """What the rules in force say that their alarms are, by rule."""

    def filing(self, case: CaseCode, *, device_id: str, area_code: str, tags: Collection[str]) -> InForce | None:
        """What counts for this alarm; None: it is not filed there."""
        found = self.filings.get(case.filing or OTHER)
        if found is None:
            return None
        variant = found.variant_for(device_id=device_id, area_code=area_code, tags=tags)
        if variant is not None:
            if not variant.enabled:
                return None
            found = found.within(variant)
        if not isinstance(found.rule, FilingRule):
            raise TypeError(f"{found.rule.rule_id} is of kind {found.rule.kind}, not filing")
        return InForce(found.rule, found.version, case)

    def name_of(self, scheme: str, code: str) -> str:
        """What the code is called; empty: nobody has said."""
        return "" if self.codes is None else self.codes.names.get(scheme, {}).get(code, "")


_known: WeakKeyDictionary[Connection, Book] = WeakKeyDictionary()


def book(connection: Connection, stamp: str | None = None) -> Book:
    """The book as it is now. `stamp`: what is known to be the present one, so that it need not be asked for."""
    if stamp is None:
        [(stamp,)] = connection.execute(statement("cases.stamp")).fetchall()
    known = _known.get(connection)
    if known is None or known.stamp != stamp:
        known = _known[connection] = _read(connection, stamp)
    return known


def working_time(connection: Connection) -> WorkingTime:
    return book(connection).working


_KINDS = frozenset({"filing", "case_codes", "working_time"})


def _read(connection: Connection, stamp: str) -> Book:
    found = rules_in_force(connection, _KINDS)
    rules = [one.rule for one in found]
    bodies = {one.rule_id: one.body for one in in_force(connection) if one.scope == CITY}
    hours = next((WorkingHours(rule.spans) for rule in rules if isinstance(rule, WorkingTimeRule)), USUAL)
    return Book(
        stamp=stamp,
        filings={one.rule.rule_id: one for one in found if isinstance(one.rule, FilingRule)},
        codes=next((rule for rule in rules if isinstance(rule, CodesRule)), None),
        working=WorkingTime(load_calendar(connection), hours),
        internal=frozenset(rule_id for rule_id, body in bodies.items() if is_internal(body)),
        cases={rule_id: case for rule_id, body in bodies.items() if (case := said_case(body.get("case"))) is not None},
    )


def said_case(said: Mapping[str, Any] | None) -> CaseCode | None:
    """What a notice says that its alarm is."""
    return None if said is None else CaseCode.model_validate(said)
