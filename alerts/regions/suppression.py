"""The suppression region of one alarm as pure functions: what is in force, what begins, what ends it, what that means.

No clock, no I/O. A suppressed alarm is evaluated and recorded as any; only nobody is told for now. Kinds hold side by
side, and one kind may hold for several causes (two orders on one cover): it is over with the last of them. Anchors:
ISA-18.2 / IEC 62682 shelved, suppressed by design, out of service.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from underfoot.alarms import Reason, Severity, Suppression


@dataclass(frozen=True, slots=True)
class InForce:
    """One thing that suppresses an alarm. `severity`: the episode's when it began; None: there was no episode yet."""

    kind: Suppression
    cause: str = ""
    severity: int | None = None
    until: datetime | None = None
    reason: str = ""


Region = tuple[InForce, ...]
"""What suppresses one alarm, in the order in which it began; at most one of each kind and cause."""

BEGUN: dict[Suppression, Reason] = {
    Suppression.shelved: Reason.shelved,
    Suppression.by_design: Reason.explained,
    Suppression.out_of_service: Reason.out_of_service,
    Suppression.flapping: Reason.flapping_began,
}
"""Why the region changed when a kind begins."""

_UNTIL_IT_GETS_WORSE = (Suppression.shelved, Suppression.by_design)
_EXPLAINABLE = Severity.orange


def kinds(region: Iterable[InForce]) -> tuple[Suppression, ...]:
    """The kinds in force, in order of name: `alarms.suppressed`."""
    return tuple(sorted({one.kind for one in region}))


def state(region: Iterable[InForce]) -> str:
    """The region as its transitions name it: `none`, `shelved`, `by_design+shelved`, …"""
    return "+".join(kinds(region)) or NONE


NONE = "none"


def found(region: Region, kind: Suppression, cause: str) -> InForce | None:
    return next((one for one in region if (one.kind, one.cause) == (kind, cause)), None)


def begun(region: Region, new: InForce) -> Region:
    """`new` is in force, instead of what was for the same kind and cause."""
    return (*(one for one in region if (one.kind, one.cause) != (new.kind, new.cause)), new)


def of_kind(region: Region, kind: Suppression, cause: str | None = None) -> Region:
    """What is in force of this kind; for this cause alone, if one is given."""
    return tuple(one for one in region if one.kind is kind and cause in (None, one.cause))


def without(region: Region, ended: Region) -> Region:
    return tuple(one for one in region if one not in ended)


def outgrown(region: Region, severity: int) -> Region:
    """What ends by itself since the alarm is now worse than what was shelved or explained. An explanation given before
    there was an episode holds up to orange: red speaks for itself."""
    return tuple(one for one in region if one.kind in _UNTIL_IT_GETS_WORSE and severity > _bearable(one))


def _bearable(one: InForce) -> int:
    if one.severity is not None:
        return one.severity
    return _EXPLAINABLE if one.kind is Suppression.by_design else Severity.red


def expired(region: Region, now: datetime) -> Region:
    return tuple(one for one in region if one.until is not None and one.until <= now)
