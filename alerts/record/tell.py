"""Tell: what is owed although no condition has changed. A correction goes to whoever was told what is now known to have
been otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.record.locked import ENGINE, Episode, Locked
from alerts.record.owe import notice
from underfoot.alarms import Reason


@dataclass(frozen=True, slots=True)
class Correction:
    """The record of an episode has been corrected (reason, proof): whoever was told of it is told that, if it is worth
    telling; crews only where what they were told to do is wrong now."""

    alarm_key: int
    episode: int
    at: datetime
    proof: dict[str, Any]
    reason: Reason = Reason.late_data
    crews: bool = True
    told: bool = True


def add(locked: Locked, one: Correction, episode: Episode, actor: str = ENGINE) -> int:
    """A correction of a locked alarm; owed when that is written, suppressed or not. Returns its transition's number."""
    alarm, state = locked[one.alarm_key], episode.condition.value
    number = locked.row(
        alarm,
        "condition",
        state,
        state,
        one.reason,
        actor,
        episode=episode.episode,
        severity=episode.severity,
        event_at=one.at,
        received_at=one.at,
        proof=one.proof,
    )
    if one.told:
        locked.notices.append(
            notice(
                alarm,
                episode,
                "correct",
                number=number,
                reason=one.reason,
                at=one.at,
                proof=one.proof,
                receivers="told" if one.crews else "told_but_crews",
            )
        )
    return number
