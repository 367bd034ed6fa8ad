"""Shelves: what was suppressed until a time is told of again when it has come. A step of the city's engine."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from functools import partial

from alerts.record.locked import Alarm
from alerts.regions.suppress import end_where
from alerts.regions.suppression import Region, expired, of_kind
from underfoot.alarms import Reason, Suppression
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_TOGETHER = 500
"""More wait for the next tick, so that no transaction holds too many alarms."""

_OVER: dict[Suppression, Reason] = {
    Suppression.shelved: Reason.shelf_expired,
    Suppression.by_design: Reason.explained_no_more,
    Suppression.out_of_service: Reason.in_service_again,
    Suppression.flapping: Reason.flapping_over,
}


def step(connection: Connection, now: datetime) -> None:
    """End what was to last until now at most."""
    by_kind: dict[Suppression, set[int]] = defaultdict(set)
    for alarm_key, kind in connection.execute(statement("suppression.expired"), {"now": now, "most": _TOGETHER}):
        by_kind[Suppression(kind)].add(alarm_key)
    for kind, alarm_keys in by_kind.items():
        end_where(connection, sorted(alarm_keys), partial(_over, kind, now), reason=_OVER[kind], at=now)


def _over(kind: Suppression, now: datetime, alarm: Alarm) -> Region:
    return expired(of_kind(alarm.region, kind), now)
