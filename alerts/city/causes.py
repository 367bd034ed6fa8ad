"""Causes: an alarm that explains others. While it is open nobody is told of them; when it is over, of what is left.

What explains is never suppressed by what it explains, and red speaks for itself: it is told whatever its cause.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from alerts.record.locked import Locked, Subject
from alerts.regions.suppress import suppress, unsuppress
from underfoot.alarms import Reason, Severity, Suppression
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


def alarm_keys(connection: Connection, subjects: Collection[Subject]) -> dict[Subject, int]:
    """The alarms of these subjects, locked; those that have never been are made: they may be explained beforehand."""
    if not subjects:
        return {}
    locked = Locked(connection)
    locked.lock_subjects(subjects)
    return {alarm.subject: alarm.alarm_key for alarm in locked}


def explain(
    connection: Connection, cause: Subject, consequences: Collection[Subject], reason: str, now: datetime
) -> int:
    """What follows from an open alarm: these, raised or not; no longer what did before. Returns how many are new."""
    [cause_key] = alarm_keys(connection, [cause]).values()
    name = f"alarm:{cause_key}"
    locked = Locked(connection)
    if consequences:
        locked.lock_subjects(consequences)
    explained = {
        alarm.alarm_key
        for alarm in locked
        if alarm.alarm_key != cause_key and (alarm.open is None or alarm.open.severity < Severity.red)
    }
    rows = connection.execute(statement("city.suppressed_by_design"), {"cause": name}).fetchall()
    already = {key for (key,) in rows}
    more = suppress(connection, sorted(explained - already), Suppression.by_design, cause=name, reason=reason, at=now)
    unsuppress(
        connection,
        alarm_keys=sorted(already - explained),
        kind=Suppression.by_design,
        cause=name,
        reason=Reason.explained_no_more,
        at=now,
    )
    return more


def release(connection: Connection, now: datetime) -> None:
    """What is over explains nothing any more."""
    for (cause,) in connection.execute(statement("city.causes_over")).fetchall():
        unsuppress(connection, kind=Suppression.by_design, cause=cause, reason=Reason.explained_no_more, at=now)
