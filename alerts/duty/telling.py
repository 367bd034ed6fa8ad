"""Telling: one turn of a level, on record and owed, in the transaction that holds the alarm."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from alerts.duty.watch import Reached
from alerts.record.locked import ENGINE, Alarm, Locked
from alerts.record.owe import notice
from alerts.record.snapshot import EscalationShown
from underfoot.alarms import Reason
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

AGAIN = "/again"
"""Stands for the cause in a row of `escalations` that is the last level's turn once more; it waits since anybody was
told before it, so that each comes once. No sink has such a name."""


@dataclass(frozen=True, slots=True)
class Telling:
    """A level's turn. `cause`: what is waited for beside an acknowledgement, of `sink`; both are empty if it is that.
    `since`: since when. `sinks`: those of `reached` who are told by this very turn. `after`: of the last level's turn
    once more, when somebody was told before it."""

    reason: Reason
    cause: str
    since: datetime
    level: int
    reached: Collection[Reached]
    sinks: Collection[int]
    unanswered: Collection[str] = ()
    delivery_key: int | None = None
    waiting: int = 0
    sink: str = ""
    after: datetime | None = None


def tell(locked: Locked, alarm: Alarm, telling: Telling, now: datetime) -> dict[str, Any]:
    """A transition that changes nothing, and a delivery for each sink. Returns the row of `escalations`."""
    episode = alarm.open
    if episode is None:
        raise LookupError(f"alarm {alarm.alarm_key} is locked and waits for somebody, and yet is not open")
    told = [one.shown() for one in telling.reached]
    turn = f"{telling.level}级{'再次' if telling.after else ''}"
    state = episode.seen.human.value
    number = locked.row(
        alarm,
        "human",
        state,
        state,
        telling.reason,
        ENGINE,
        episode=episode.episode,
        severity=episode.severity,
        event_at=now,
        received_at=now,
        proof={
            "label": f"{turn}：{'、'.join(one.named() for one in telling.reached)}",
            "level": telling.level,
            "told": told,
        },
    )
    owed = notice(
        alarm,
        episode,
        "escalate",
        number=number,
        reason=telling.reason,
        at=now,
        receivers="named",
        sinks=tuple(telling.sinks),
    )
    shown: EscalationShown = {
        "level": telling.level,
        "since": telling.since.isoformat(),
        "told_at": now.isoformat(),
        "unanswered": list(telling.unanswered),
        "sink": telling.sink,
        "delivery_key": telling.delivery_key,
        "waiting": telling.waiting,
    }
    owed.facts["escalation"] = shown
    locked.notices.append(owed)
    return {
        "alarm_key": alarm.alarm_key,
        "episode": episode.episode,
        "cause": telling.cause if telling.after is None else AGAIN,
        "waiting_since": telling.after or telling.since,
        "level": telling.level,
        "severity": episode.severity,
        "told_at": now,
        "told": told,
        "transition_no": number,
    }


def write(connection: Connection, locked: Locked, tellings: list[dict[str, Any]]) -> None:
    locked.write()
    if tellings:
        connection.execute(statement("duty.add_escalations"), {"rows": Jsonb(tellings)})
