"""Swallow: an incident that is a case tells its members' story: their own cases end in it (并案). A step of the city.

Only those to which nobody is on the way yet, and never red ones. Should a member have to be told by itself again (it
gets red, or the incident lets it go), alerts/cases/filing.py opens a case of its own for it.
"""

from __future__ import annotations

from datetime import datetime

from alerts.cases.acts import act_all
from alerts.cases.events import Merged
from alerts.cases.record import Happened
from alerts.cases.states import BEFORE_DISPATCH
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_TOGETHER = 200


def step(connection: Connection, now: datetime) -> None:
    """One tick. What has been dispatched meanwhile refuses, and goes on as it is."""
    alarm_keys = [alarm_key for _, alarm_key, _ in _to_merge(connection, None)]
    if not alarm_keys:
        return
    connection.execute(statement("alarms.lock_alarms_by_key"), {"alarm_keys": alarm_keys})
    # Asked again once the alarms are held: what got red a moment ago is not merged.
    found = _to_merge(connection, alarm_keys)
    happened = [Happened(case_key, Merged(into), now) for case_key, _, into in found]
    act_all(connection, happened, actor="engine", cause="engine")


def _to_merge(connection: Connection, alarm_keys: list[int] | None) -> list[tuple[int, int, int]]:
    params = {"before_dispatch": sorted(BEFORE_DISPATCH), "alarm_keys": alarm_keys, "limit": _TOGETHER}
    return connection.execute(statement("cases.to_merge"), params, prepare=False).fetchall()
