"""Failing: a rule that cannot judge has an alarm of its own, until it judges again.

It is about the rule and about whoever judges it, a shard's holder or the city: each may fail by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from alerts.judge.outcome import RuleInForce, Transition
from alerts.record.recorder import failure
from underfoot.alarms import Reason, SubjectKind
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

FAILING = "rule.failing"


def failing_now(connection: Connection, judge: str) -> set[str]:
    """The rules whose failing is open for this judge."""
    params = {"judge": judge, "rule_id": FAILING}
    return {rule_id for (rule_id,) in connection.execute(statement("failing.open"), params)}


def rule_failures(
    connection: Connection,
    judge: str,
    rule: RuleInForce,
    failing: Mapping[str, str],
    working: Collection[str],
    at_us: int,
) -> list[Transition]:
    """The beginnings and ends, to be recorded. `rule` is rule.failing; `failing` says why."""
    news = [*failing, *working]
    if not news:
        return []
    rows = connection.execute(statement("failing.keys"), {"rule_ids": news, "judge": judge}).fetchall()
    keys: dict[str, int] = dict(rows)
    return [
        failure(
            SubjectKind.rule,
            keys[rule_id],
            rule,
            Reason.rule_failing if rule_id in failing else Reason.rule_working,
            raised=rule_id in failing,
            at_us=at_us,
            detail=f"{rule_id}：{failing[rule_id]}"[:200] if rule_id in failing else rule_id,
        )
        for rule_id in news
    ]
