"""The operators' region of one episode as pure functions: who has acknowledged it, and what takes that back.

No clock, no I/O. An acknowledgement says that a person, here or on the city's platform, has taken notice; it stops
escalation. It ends nothing: an episode that clears unseen stays listed until somebody acknowledges it. Anchors:
ISA-18.2 / IEC 62682 (unacknowledged, acknowledged, returned to normal unacknowledged, re-alarming).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from underfoot.alarms import Human, Reason


@dataclass(frozen=True, slots=True)
class Seen:
    """The region's state. `by` and `at` are of the acknowledgement in force."""

    human: Human = Human.unacknowledged
    by: str | None = None
    at: datetime | None = None


PLATFORM = "platform:"
"""Before the sink's name: as whom a city's platform acts."""

UNSEEN = Seen()
"""Every episode begins so."""


@dataclass(frozen=True, slots=True)
class Change:
    """One transition of the region."""

    reason: Reason
    after: Seen


def by_platform(actor: str | None) -> bool:
    return actor is not None and actor.startswith(PLATFORM)


def acknowledge(seen: Seen, actor: str, at: datetime) -> Change | None:
    """Somebody has taken notice. Who was first stays on record: again is the same as once. Only that a person of ours
    takes the place of the platform, which files a case and sends nobody."""
    if seen.human is Human.acknowledged and (by_platform(actor) or not by_platform(seen.by)):
        return None
    return Change(Reason.acknowledged, Seen(Human.acknowledged, actor, at))


def unacknowledge(seen: Seen) -> Change | None:
    """It was acknowledged by mistake, or nobody can see to it after all."""
    return _taken_back(seen, Reason.unacknowledged)


def severity_rose(seen: Seen) -> Change | None:
    """What was acknowledged was something less."""
    return _taken_back(seen, Reason.severity_rose)


def realarm(seen: Seen, *, is_open: bool, after: timedelta | None, now: datetime) -> Change | None:
    """Acknowledged, and `after` that it is there still. None: it isn't reminded of."""
    if not is_open or after is None or seen.at is None or now - seen.at < after:
        return None
    return _taken_back(seen, Reason.realarm)


def _taken_back(seen: Seen, reason: Reason) -> Change | None:
    return Change(reason, UNSEEN) if seen.human is Human.acknowledged else None
