"""Casework: what becomes of a case is told to whoever is responsible: overdue, sent back, supervised, closed; and why a
person must look at one, to whoever is on duty.

A step of the city's thread. It reads the steps of cases (alerts/cases) that are news and owes each once, by the same
routing as the alarm; whatever of severities a sink does not want to hear, its own case is told. Who was told of the
alarm is told that its case is closed. Who must look is on duty at level 1, or at the next level at which somebody is,
as when a platform gives no receipt (alerts/duty/receipts.py); it is on record by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.duty.store import has_roster
from alerts.duty.watch import Reached, Watch, raise_uncovered
from alerts.record.locked import ENGINE, Episode, Locked
from alerts.record.owe import notice
from alerts.record.snapshot import CaseNews
from alerts.telling.whom import responsible
from underfoot.alarms import Reason
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_TOGETHER = 200


@dataclass(frozen=True, slots=True)
class _News:
    case_step_key: int
    case_key: int
    alarm_key: int
    episode: int
    area: str | None
    state: str
    news: CaseNews


_TO_GO_THERE = frozenset({"closed_while_open", "not_accepted", "no_false_alarm"})
_TO_DUTY = _TO_GO_THERE | {"not_on_platform", "goes_on_there", "worse_after_false_alarm"}
"""For the first, crews go as well; the others are for whoever is on duty, or for crews where there is no roster."""


def step(connection: Connection, now: datetime) -> None:
    """One tick, in its caller's transaction."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("telling.case_news"), {"limit": _TOGETHER}).fetchall()
    if not rows:
        return
    found = [_read(row, now) for row in rows]
    locked = Locked(connection)
    locked.lock_keys(sorted({one.alarm_key for one in found}))
    episodes = locked.episodes({(one.alarm_key, one.episode) for one in found})
    sinks = responsible(connection, [(one.alarm_key, one.episode) for one in found])
    watch = None
    if any(one.news["what"] in _TO_DUTY for one in found) and has_roster(connection):
        watch = Watch.load(connection, now)
    told: list[int] = []
    by_name: dict[int, dict[str, Any]] = {}
    for one in found:
        episode = episodes[one.alarm_key, one.episode]
        to_duty = watch is not None and one.news["what"] in _TO_DUTY
        reached = watch.whom(one.area, 1, episode.severity) if watch is not None and to_duty else []
        to = {each.sink_key for each in reached}
        if not reached or one.news["what"] not in _TO_DUTY - _TO_GO_THERE:
            to |= set(sinks[one.alarm_key, one.episode])
        if to or not to_duty:
            told.append(one.case_step_key)
        if not to:
            continue  # what somebody must look at waits until there is somebody
        number = _owe(locked, one, episode, sorted(to), reached, now)
        if reached:
            by_name[one.case_key] = {
                "alarm_key": one.alarm_key, "episode": one.episode, "cause": f"/case/{one.case_key}",
                "waiting_since": now, "level": reached[0].person.level, "severity": episode.severity,
                "told_at": now, "told": [each.shown() for each in reached], "transition_no": number,
            }  # fmt: skip
    locked.write()
    if by_name:
        connection.execute(statement("duty.add_escalations"), {"rows": Jsonb(list(by_name.values()))})
    connection.execute(statement("telling.note_case_news"), {"case_step_keys": told})
    if watch is not None:
        raise_uncovered(connection, watch)


def _owe(
    locked: Locked, one: _News, episode: Episode, sinks: Sequence[int], reached: Sequence[Reached], now: datetime
) -> int:
    """Returns the number of its line in the alarm's record."""
    alarm = locked[one.alarm_key]
    proof: dict[str, Any] = {"label": one.news["what"], "case_step_key": one.case_step_key}
    if reached:
        proof["told"] = [each.shown() for each in reached]
    number = locked.row(
        alarm, "case", one.state, one.state, Reason.case_told, ENGINE,
        episode=episode.episode, severity=episode.severity, event_at=now, received_at=now, proof=proof,
    )  # fmt: skip
    owed = notice(
        alarm, episode, "case", number=number, reason=Reason.case_told, at=now, receivers="named", sinks=sinks
    )
    owed.facts["news"] = one.news
    locked.notices.append(owed)
    return number


def _read(row: dict[str, Any], now: datetime) -> _News:
    news: CaseNews = {
        "what": row["what"],
        "state": row["to_state"],
        "at": row["at"].isoformat(),
        "told_at": now.isoformat(),
        "by": row["by"].isoformat() if row["by"] is not None else None,
        "note": row["note"],
    }
    return _News(
        row["case_step_key"],
        row["case_key"],
        row["alarm_key"],
        row["episode"],
        row["area_code"],
        row["to_state"],
        news,
    )
