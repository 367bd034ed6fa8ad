"""Nobody: raises of which somebody was to be told, and there was nobody: no sink, nobody on duty, no platform.

A step of the city's thread. Each is tried again until there is somebody (a shift begins, a sink is added), or until it
is over or acknowledged. Meanwhile it is an alarm of its own, one a district, that whoever looks at the list sees.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from alerts.duty.store import top_area
from alerts.record.locked import Locked
from alerts.record.owe import notice
from alerts.record.recorder import Recorder, failure
from alerts.rulebook.book import rule_as_last_known
from alerts.telling.whom import Wanted, whom
from underfoot.alarms import Reason, SubjectKind
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

NOBODY = "duty.nobody"
_TOGETHER = 2000
_DISTRICT_DIGITS = 6


@dataclass(frozen=True, slots=True)
class _Waiting:
    alarm_key: int
    episode: int
    area: str | None
    wanted: Wanted


def step(connection: Connection, now: datetime) -> None:
    """One tick, in its caller's transaction."""
    connection.execute(statement("telling.drop_unrouted"), {"alarm_keys": []})
    rows = connection.execute(statement("telling.unrouted"), {"limit": _TOGETHER}).fetchall()
    waiting = [
        _Waiting(key, episode, area, Wanted(key, worst, has_case)) for key, episode, area, worst, has_case in rows
    ]
    found = whom(connection, [one.wanted for one in waiting])
    left = [one for one, decided in zip(waiting, found, strict=True) if decided.nobody]
    told = [one for one, decided in zip(waiting, found, strict=True) if not decided.nobody]
    if told:
        _tell(connection, told, now)
    _say(connection, left, now)


def _tell(connection: Connection, told: list[_Waiting], now: datetime) -> None:
    """There is somebody now: they are told of the episode as it is."""
    locked = Locked(connection)
    locked.lock_keys(sorted(one.alarm_key for one in told))
    for one in told:
        alarm = locked[one.alarm_key]
        if alarm.open is not None and alarm.open.episode == one.episode and not alarm.region:
            number = alarm.transition_no
            locked.notices.append(
                notice(alarm, alarm.open, "raise", number=number, reason=Reason.somebody, at=now, receivers="untold")
            )
    connection.execute(statement("telling.drop_unrouted"), {"alarm_keys": [one.alarm_key for one in told]})
    locked.write()


def _say(connection: Connection, left: list[_Waiting], now: datetime) -> None:
    """Raise and end the alarm of each district."""
    districts = Counter(int((one.area or top_area(connection))[:_DISTRICT_DIGITS]) for one in left)
    opened = {int(key) for (key,) in connection.execute(statement("telling.nobody_open"))}
    begun = sorted(districts.keys() - opened)
    over = sorted(opened - districts.keys())
    if not begun and not over:
        return
    rule = rule_as_last_known(connection, NOBODY)
    for key in begun:
        log.warning("telling: nobody to tell of %d alarms in area %s", districts[key], key)
    Recorder(connection).record(
        [
            *(
                failure(
                    SubjectKind.area, key, rule, Reason.nobody, raised=True, at_us=microseconds(now),
                    detail=f"{districts[key]}条告警无推送目标、无值班人员",
                )
                for key in begun
            ),
            *(
                failure(SubjectKind.area, key, rule, Reason.somebody, raised=False, at_us=microseconds(now), detail="")
                for key in over
            ),
        ]
    )  # fmt: skip
