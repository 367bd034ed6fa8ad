"""Suppress: nobody is told of an alarm for now, with a reason; and the end of that, which tells the present state.

Shelving by an operator, an explanation by an incident or by an upstream cause, an order on the asset, flapping: all of
them begin and end here, in their caller's transaction. What a region is, is alerts/regions/suppression.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from alerts.record.locked import ENGINE, Alarm, Locked
from alerts.record.owe import present_state
from alerts.regions.suppression import BEGUN, InForce, Region, begun, found, of_kind, state, without
from underfoot.alarms import Reason, Severity, Suppression
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


def suppress(
    connection: Connection,
    alarm_keys: Sequence[int],
    kind: Suppression,
    *,
    cause: str = "",
    reason: str,
    actor: str = ENGINE,
    until: datetime | None = None,
    up_to: Severity | None = None,
    instead_of: str | None = None,
    at: datetime,
) -> int:
    """Suppress these alarms. Again for the same cause: only what has changed counts. Returns for how many it is new.

    `up_to`: shelved or by design, it ends by itself beyond this severity; None: beyond the present one. `instead_of`:
    a cause of the same kind that this one takes over from, so that nobody is told in between."""
    if not alarm_keys:
        return 0
    locked = Locked(connection)
    locked.lock_keys(alarm_keys)
    severities = _last_severities(locked)
    new = 0
    for alarm in locked:
        severity = up_to if up_to is not None else severities.get(alarm.alarm_key)
        new += begin(locked, alarm, InForce(kind, cause, severity, until, reason), actor, at)
        former = found(alarm.region, kind, instead_of) if instead_of is not None else None
        if former is not None:
            alarm.region = without(alarm.region, (former,))
            locked.end(alarm, former, BEGUN[kind], actor, at)
    locked.write()
    return new


def unsuppress(
    connection: Connection,
    *,
    alarm_keys: Sequence[int] | None = None,
    kind: Suppression,
    cause: str | None = None,
    reason: Reason,
    actor: str = ENGINE,
    at: datetime,
) -> int:
    """End what of this kind (and of this cause, if one is given) suppresses these alarms; without keys, every alarm
    that the cause suppresses. Returns for how many alarms it ended something."""
    if alarm_keys is None:
        if cause is None:
            raise ValueError("alarm_keys = None, cause = None: say which alarms, or which cause has ended")
        rows = connection.execute(statement("suppression.suppressed_by"), {"cause": cause, "kind": kind.value})
        alarm_keys = [alarm_key for (alarm_key,) in rows]
    return end_where(
        connection, alarm_keys, lambda alarm: of_kind(alarm.region, kind, cause), reason=reason, actor=actor, at=at
    )


def end_where(
    connection: Connection,
    alarm_keys: Sequence[int],
    which: Callable[[Alarm], Region],
    *,
    reason: Reason,
    actor: str = ENGINE,
    at: datetime,
) -> int:
    """End what `which` says of each of these alarms, asked once they are locked. Returns for how many it did."""
    if not alarm_keys:
        return 0
    locked = Locked(connection)
    locked.lock_keys(alarm_keys)
    ended = 0
    for alarm in locked:
        over = which(alarm)
        if over:
            ended += 1
            number = leave(locked, alarm, over, reason=reason, actor=actor, at=at, received_at=at)
            tell_if_over(locked, alarm, number=number, reason=reason, at=at)
    locked.write()
    return ended


def leave(
    locked: Locked, alarm: Alarm, over: Region, *, reason: Reason, actor: str, at: datetime, received_at: datetime
) -> int:
    """What has ended leaves the region, on record. Returns the transition's number."""
    before, alarm.region = alarm.region, without(alarm.region, over)
    for one in over:
        locked.end(alarm, one, reason, actor, received_at)
    return _record(locked, alarm, before, over[0], reason, actor, at, received_at)


def tell_if_over(
    locked: Locked,
    alarm: Alarm,
    *,
    number: int,
    reason: Reason,
    at: datetime,
    proof: dict[str, Any] | None = None,
) -> None:
    """With the last suppression ended, what was kept back is told: the open episode as it is now."""
    episode = alarm.open
    if alarm.region or episode is None or not episode.withheld:
        return
    episode.withheld = False
    alarm.touched[episode.episode] = episode
    locked.notices += present_state(alarm, episode, number=number, reason=reason, at=at, proof=proof)


def begin(locked: Locked, alarm: Alarm, one: InForce, actor: str, at: datetime) -> bool:
    """It begins, on record. Whether that is new."""
    before, known = alarm.region, found(alarm.region, one.kind, one.cause)
    if known is not None:
        one = replace(one, severity=known.severity) if one.kind is not Suppression.shelved else one
        if one.kind is not Suppression.shelved:
            if one.until != known.until:
                alarm.region = begun(alarm.region, one)
                locked.prolong(alarm, one)
            return False
        if one == known:
            return False
        locked.end(alarm, known, Reason.shelved, actor, at)
    alarm.region = begun(alarm.region, one)
    locked.begin(alarm, one, actor, at)
    _record(locked, alarm, before, one, BEGUN[one.kind], actor, at, at)
    return known is None


def _record(
    locked: Locked,
    alarm: Alarm,
    before: Region,
    one: InForce,
    reason: Reason,
    actor: str,
    at: datetime,
    received_at: datetime,
) -> int:
    opened = alarm.open
    proof = {"label": one.reason, "cause": one.cause, "until": one.until}
    return locked.row(
        alarm,
        "suppression",
        state(before),
        state(alarm.region),
        reason,
        actor,
        episode=opened.episode if opened is not None else max(alarm.episode, 1),
        severity=opened.severity if opened is not None else 0,
        event_at=at,
        received_at=received_at,
        proof={name: value for name, value in proof.items() if value},
    )


def _last_severities(locked: Locked) -> dict[int, int]:
    keys = [alarm.alarm_key for alarm in locked if alarm.open is None and alarm.episode]
    found_now = {alarm.alarm_key: alarm.open.severity for alarm in locked if alarm.open is not None}
    if not keys:
        return found_now
    rows = locked.connection.execute(statement("suppression.last_severities"), {"alarm_keys": keys}).fetchall()
    return found_now | dict(rows)
