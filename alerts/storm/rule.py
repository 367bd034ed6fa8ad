"""The storm rule in force: its numbers for the city, and for a district that has its own."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from alerts.judge.outcome import RuleInForce
from alerts.rulebook.book import rules_in_force
from alerts.rules import StormRule
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

RULE_ID = "storm.incident"

_known: WeakKeyDictionary[Connection, tuple[int, RuleInForce | None]] = WeakKeyDictionary()
"""By connection: the rule's newest version when it was read, and what it said. It is asked for at each tick."""


def storm_rule(connection: Connection) -> RuleInForce | None:
    """The rule with its variants; None where the city has withdrawn it."""
    [(version,)] = connection.execute(statement("storm.rule_version"), {"rule_id": RULE_ID}).fetchall()
    known = _known.get(connection)
    if known is None or known[0] != version:
        in_force = [one for one in rules_in_force(connection) if one.rule.rule_id == RULE_ID]
        known = _known[connection] = (version, in_force[0] if in_force else None)
    return known[1]


def rule_for(rule: RuleInForce, area_code: str) -> RuleInForce | None:
    """What holds in this district; None: there it is switched off."""
    variant = rule.variant_for(device_id="", area_code=area_code, tags=())
    if variant is None:
        return rule
    return rule.within(variant) if variant.enabled else None


def numbers_of(rule: RuleInForce) -> StormRule:
    if not isinstance(rule.rule, StormRule):
        raise TypeError(f"{rule.rule.rule_id} is of kind {rule.rule.kind}, not storm")
    return rule.rule
