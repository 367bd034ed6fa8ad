"""The rules in force, as versioned data in the database; the shipped pack is their first version."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from alerts.outcome import RuleInForce
from alerts.rules import parse_rule, shipped_pack
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

SHIPPED = "shipped"


def install_shipped(connection: Connection) -> int:
    """Add shipped rules that are new or changed as new versions; a city's own edits stay. Returns how many are new."""
    newest = {row[0]: row[1:] for row in connection.execute(statement("alarms.newest_rules"))}
    added = 0
    for rule in shipped_pack():
        body = rule.model_dump(mode="json")
        version, known, author = newest.get(rule.rule_id, (0, None, SHIPPED))
        if known == body or author != SHIPPED:
            continue
        cursor = connection.execute(
            statement("alarms.add_rule_version"),
            {"rule_id": rule.rule_id, "version": version + 1, "body": Jsonb(body), "created_by": SHIPPED},
        )
        added += cursor.rowcount
    return added


def rules_in_force(connection: Connection) -> list[RuleInForce]:
    return [
        RuleInForce(parse_rule(body), version)
        for _, version, body in connection.execute(statement("alarms.rules_in_force"))
    ]


def rule_as_last_known(connection: Connection, rule_id: str) -> RuleInForce:
    """The newest version of a rule, withdrawn or not."""
    row = connection.execute(statement("alarms.newest_version"), {"rule_id": rule_id}).fetchone()
    if row is None:
        raise KeyError(f"there has never been a rule {rule_id}")
    return RuleInForce(parse_rule(row[1]), row[0])
