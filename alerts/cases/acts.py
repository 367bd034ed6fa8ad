"""Acts: what people (or an incident) do to cases, and the platforms that have them are told of it, in one transaction.

The alarm is locked before its case, as everywhere; what is told is a line of the alarm's record, so that a platform's
notices of one alarm stay in one order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from alerts.cases.events import FalseAlarm, Merged, NoFalseAlarm, Noted, Refiled, Verified
from alerts.cases.filing import Filed, shown
from alerts.cases.lifecycle import Refusal, Refused
from alerts.cases.record import Applied, Cause, Happened, NoSuchCaseError, apply_all
from alerts.record.locked import Alarm, Episode, Locked
from alerts.record.owe import Addressed, Refiling, notice
from alerts.record.snapshot import CaseShown
from alerts.record.snapshot import Notice as NoticeName
from underfoot.alarms import Reason
from underfoot.audit.log import enter
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_REASON: dict[NoticeName, Reason] = {
    "raise": Reason.case_verified,
    "cancel": Reason.case_ended,
    "progress": Reason.case_progress,
}


def act(connection: Connection, one: Happened, *, actor: str) -> Applied:
    """Somebody does something to a case. What is refused is in the answer. Raises NoSuchCaseError."""
    [applied] = act_all(connection, [one], actor=actor)
    return applied


def act_all(
    connection: Connection, happened: Sequence[Happened], *, actor: str, cause: Cause = "operator"
) -> list[Applied]:
    """The same for several cases, one event each."""
    if not happened:
        return []
    alarms = _alarms_of(connection, [one.case_key for one in happened])
    locked = Locked(connection)
    locked.lock_keys(sorted(set(alarms.values())))
    done = apply_all(connection, happened, actor=actor, cause=cause)
    told = {one.case_key: name for one in done if (name := _told(one)) is not None}
    if told:
        episodes = locked.episodes([(one.alarm_key, one.episode) for one in done])
        said = _said(connection, list(told))
        for applied, one in zip(done, happened, strict=True):
            if applied.case_key in told:
                episode = episodes[applied.alarm_key, applied.episode]
                _tell(locked, applied, one, told[applied.case_key], episode, said[applied.case_key], actor)
        locked.write()
    return done


def judged(
    connection: Connection, episode_key: int, confirmed: bool | None, *, actor: str, at: datetime, note: str = ""
) -> None:
    """People have said whether an alarm was real (or have taken that back): what that means for its case."""
    row = connection.execute(statement("cases.of_episode"), {"episode_key": episode_key}).fetchone()
    if row is not None:
        event = FalseAlarm() if confirmed is False else NoFalseAlarm()
        act(connection, Happened(row[0], event, at, note), actor=actor)


def refile(connection: Connection, case_key: int, *, actor: str, at: datetime, note: str = "") -> Refiled | Refused:
    """Somebody files the alarm of a case again that is over, though the alarm is not (再次立案): it has a new case, and
    the platform is told a raise. A verdict of 误报 is taken back by it. Raises NoSuchCaseError."""
    alarm_key = _alarms_of(connection, [case_key])[case_key]
    locked = Locked(connection)
    locked.lock_keys([alarm_key])
    alarm = locked[alarm_key]
    with connection.cursor(row_factory=dict_row) as cursor:
        [newest] = cursor.execute(statement("cases.newest_beside"), {"case_key": case_key}).fetchall()
    if alarm.open is None or alarm.open.episode != newest["episode"]:
        return Refused(Refusal.alarm_over)
    if newest["open"] or newest["in_incident"]:
        return Refused(Refusal.still_open if newest["open"] else Refusal.in_incident)
    with connection.transaction() as attempt:
        if newest["judged_false"]:
            _take_back(connection, newest["episode_key"], actor, at, note)
        number = locked.row(
            alarm, "case", newest["state"], newest["state"], Reason.case_refiled, actor,
            episode=alarm.open.episode, severity=alarm.open.severity, event_at=at, received_at=at,
            proof={"label": note or Reason.case_refiled.label, "cause": f"case:{newest['case_key']}"},
        )  # fmt: skip
        told = notice(alarm, alarm.open, "raise", number=number, reason=Reason.case_refiled, at=at, receivers="named")
        told.facts["proof"] = _proof(alarm.open)
        told.refiling = Refiling(actor, note)
        locked.notices.append(told)
        locked.write()
        case = told.filed.case if told.filed is not None else None
        if case is None or case["case_key"] in (None, newest["case_key"]):
            raise psycopg.Rollback(attempt)
        return Refiled(case["case_key"])
    return Refused(Refusal.files_nothing)


def _take_back(connection: Connection, episode_key: int, actor: str, at: datetime, note: str) -> None:
    judged(connection, episode_key, None, actor=actor, at=at, note=note)
    said = {"episode_key": episode_key, "confirmed": None, "actor": actor, "at": at}
    if connection.execute(statement("human.confirm"), said).rowcount:
        enter(connection, actor, "alarm.verdict", f"episode:{episode_key}", {"verdict": None, "note": note})


def _alarms_of(connection: Connection, case_keys: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = dict(
        connection.execute(statement("cases.alarms_of"), {"case_keys": list(case_keys)}).fetchall()
    )
    for case_key in case_keys:
        if case_key not in found:
            raise NoSuchCaseError(case_key)
    return found


def _told(applied: Applied) -> NoticeName | None:
    """What the platforms that have the case are told; None: it is no matter of theirs, or they know."""
    before, after = applied.before, applied.after
    if applied.step_no is None or before == after or not after.filed or isinstance(applied.event, Noted | NoFalseAlarm):
        return None
    if isinstance(applied.event, Verified):
        return "raise"
    if before.ended:
        return None
    if isinstance(applied.event, FalseAlarm):
        return "cancel"
    return "cancel" if after.ended and after.ended_how != "closed" else "progress"


def _said(connection: Connection, case_keys: Sequence[int]) -> dict[int, CaseShown]:
    rows = connection.execute(statement("cases.shown"), {"case_keys": list(case_keys)})
    found: dict[int, CaseShown] = {}
    for case, merged_into, duplicate_of in rows:
        found[case["case_key"]] = shown(case)
        found[case["case_key"]] |= {
            "platform_no": case["platform_no"],
            "merged_into": merged_into,
            "duplicate_of": duplicate_of,
        }
    return found


def _tell(
    locked: Locked,
    applied: Applied,
    one: Happened,
    name: NoticeName,
    episode: Episode,
    said: CaseShown,
    actor: str,
) -> None:
    alarm = locked[applied.alarm_key]
    if isinstance(applied.event, Merged) and alarm.region and alarm.open is not None:
        # Should the incident let it go while it is open, nobody else tells of it any more.
        alarm.open.withheld = True
        alarm.touched[alarm.open.episode] = alarm.open
    said["act"] = applied.event_name
    said["note"] = one.note
    number = _line(locked, alarm, episode, applied, one, _REASON[name], actor)
    told = notice(
        alarm,
        episode,
        name,
        number=number,
        reason=_REASON[name],
        at=one.at,
        addressed=Addressed(None, None),
        receivers="named",
    )
    told.facts["proof"] = _proof(episode)
    told.filed = Filed(said, name, "all" if name == "raise" else "told")
    locked.notices.append(told)


def _proof(episode: Episode) -> Mapping[str, Any] | None:
    return episode.proof if isinstance(episode.proof, Mapping) else None


def _line(
    locked: Locked, alarm: Alarm, episode: Episode, applied: Applied, one: Happened, reason: Reason, actor: str
) -> int:
    proof = {"label": one.note or reason.label, "cause": f"case:{applied.case_key}"}
    return locked.row(
        alarm,
        "case",
        applied.before.state,
        applied.after.state,
        reason,
        actor,
        episode=episode.episode,
        severity=episode.severity,
        event_at=one.at,
        received_at=one.at,
        proof=proof,
    )
