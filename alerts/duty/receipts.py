"""Receipts: a delivery that its sink has not taken in time, or a case of which its platform has said nothing since;
then a person is told to telephone.

Looked for every half minute. Each sink is complained of by its worst and oldest delivery, no more often than its
patience, and once a delivery: a dead platform in a storm is one telephone call, not a thousand.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.duty.telling import Telling, tell, write
from alerts.duty.watch import Watch
from alerts.record.locked import Locked
from alerts.rules import EscalationRule
from underfoot.alarms import Reason, Severity
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_EVERY = timedelta(seconds=30)


def without_receipt(connection: Connection, rule: EscalationRule, now: datetime) -> list[dict[str, Any]]:
    """For each sink the delivery to telephone about; none when it was looked for a moment ago."""
    if not rule.no_receipt_min and not rule.no_callback_min:
        return []
    turn = connection.execute(statement("duty.look_for_receipts"), {"now": now, "every": _EVERY}).fetchone()
    if turn is None:
        return []
    found: list[dict[str, Any]] = []
    with connection.cursor(row_factory=dict_row) as cursor:
        for name, reason, limits in (
            ("duty.without_receipt", Reason.no_receipt, rule.no_receipt_min),
            ("receipts.without_callback", Reason.no_callback, rule.no_callback_min),
        ):
            patience = [
                {"severity": Severity[name].value, "wait": f"{minutes} minutes"} for name, minutes in limits.items()
            ]
            rows = cursor.execute(statement(name), {"now": now, "patience": Jsonb(patience)}).fetchall()
            found += [{"reason": reason, **row} for row in rows]
    return found


def tell_to_telephone(connection: Connection, watch: Watch, found: list[dict[str, Any]]) -> None:
    """Level 1 is told; where nobody is, whoever is told in its place."""
    if not found:
        return
    locked = Locked(connection)
    locked.lock_keys(sorted({row["alarm_key"] for row in found}))
    tellings = []
    for row in found:
        alarm = locked[row["alarm_key"]]
        reached = watch.whom(row["area_code"], 1, row["severity"])
        if not reached or alarm.open is None or alarm.open.episode != row["episode"]:
            continue
        no_word = row["reason"] is Reason.no_callback
        telling = Telling(
            row["reason"],
            f"{row['sink']}/callback" if no_word else row["sink"],
            row["owed_since"],
            1,
            reached,
            [one.sink_key for one in reached],
            delivery_key=row.get("delivery_key"),
            waiting=row["waiting"],
            sink=row["sink"],
        )
        tellings.append(tell(locked, alarm, telling, watch.now))
    write(connection, locked, tellings)
