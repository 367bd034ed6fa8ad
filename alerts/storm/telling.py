"""Telling: an incident is an alarm of its own, ('incident', its key); its notices go the way of all others.

Raised at once; changed, at most so often, when what was told is no longer the right picture; ended with the incident.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, LiteralString

from psycopg import sql
from psycopg.types.json import Jsonb

from alerts.judge.outcome import RuleInForce, Transition
from alerts.record.recorder import Recorder
from alerts.rules import StormRule
from alerts.storm import summary as look
from alerts.storm.message import sentence
from alerts.storm.readings import plain_field, sign
from alerts.storm.rule import numbers_of
from alerts.storm.summary import About, Member, Reading, Summary
from underfoot.alarms import Condition, Reason, SubjectKind
from underfoot.families import FAMILIES
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


@dataclass(slots=True)
class Incident:
    """A storm's incident that is not over. `told`: the summary that was last told, None: none was yet."""

    incident_key: int
    area_code: str
    catchment: str
    catchment_name: str
    title: str
    began_at: datetime
    told_at: datetime | None
    told: Summary | None


def tell_now(connection: Connection, incident: Incident, area: str, rule: RuleInForce, now: datetime) -> None:
    """Raise it, or tell what has changed if that is due."""
    numbers = numbers_of(rule)
    if incident.told_at is not None:
        # Told in the future: the clock was set back since, and its alarms must not be kept to themselves for that long.
        ago = now - incident.told_at
        if timedelta() <= ago < timedelta(seconds=numbers.update_every_s):
            return
    members = members_of(connection, incident.incident_key)
    summary = summary_of(connection, about(incident, area), members, numbers, now)
    if incident.told is None:
        reason, before = Reason.incident_began, Condition.normal
    elif look.changed(incident.told, summary, worst_change=numbers.worst_change):
        reason, before = Reason.incident_grew, Condition.active
    else:
        return
    severity_before = look.worst_severity(incident.told) if incident.told is not None else 0
    # Nothing is open at the moment: it stays what it was until the flood is over.
    severity = look.worst_severity(summary) or severity_before
    _record(connection, incident, rule, reason, (before, severity_before), (Condition.active, severity), summary, now)
    connection.execute(
        statement("storm.note_told"), {"incident_key": incident.incident_key, "now": now, "told": Jsonb(summary)}
    )


def tell_end(connection: Connection, incident: Incident, area: str, rule: RuleInForce, now: datetime) -> None:
    """End it. `now` in its summary is what has been told by itself and is still open; `deepest` is of all its time."""
    members = members_of(connection, incident.incident_key, ever=True)
    summary = summary_of(connection, about(incident, area), members, numbers_of(rule), now)
    severity_before = look.worst_severity(incident.told) if incident.told is not None else 0
    over = (Condition.normal, 0)
    _record(connection, incident, rule, Reason.incident_over, (Condition.active, severity_before), over, summary, now)


def about(incident: Incident, area: str) -> About:
    return About(incident.incident_key, incident.area_code, area, incident.catchment_name)


def members_of(connection: Connection, incident_key: int, *, ever: bool = False) -> list[Member]:
    """Its members that are open; `ever`: with those that it no longer has."""
    params = {"incident_key": incident_key, "ever": ever}
    return [Member(*row) for row in connection.execute(statement("storm.members"), params)]


def summary_of(
    connection: Connection,
    incident: About,
    members: Sequence[Member],
    rule: StormRule,
    now: datetime,
    *,
    only: Sequence[int] | None = None,
) -> Summary:
    """The incident with these members; `only`: as if it had these alarms alone, for who may see no others."""
    params = {"incident_key": incident.incident_key, "only": None if only is None else list(only)}
    timeline = connection.execute(statement("storm.timeline"), params).fetchall()
    readings = _readings(connection, members)
    for member in (look.worst(members, readings), look.deepest(members, readings)):
        if member is not None and member.alarm_key in readings:
            readings[member.alarm_key] = replace(
                readings[member.alarm_key], rising=_rising(connection, member, readings[member.alarm_key])
            )
    total = sum(raised for _, raised in timeline)
    return look.summarise(incident, members, readings, rule, total=total, timeline=timeline, at=now)


def _readings(connection: Connection, members: Sequence[Member]) -> dict[int, Reading]:
    """By alarm: the newest value where it is the proof's kind of value, else the proof's."""
    keys = sorted({member.device_key for member in members if member.device_key is not None})
    rows = connection.execute(statement("storm.latest_values"), {"device_keys": keys})
    latest: dict[int, tuple[datetime, dict[str, Any]]] = {key: (ts, values) for key, ts, values in rows}
    found: dict[int, Reading] = {}
    for member in members:
        ts, values = latest.get(member.device_key or 0, (None, {}))
        field = plain_field(member.proof)
        value = values.get(field) if field is not None else None
        if value is not None and not isinstance(value, bool):
            found[member.alarm_key] = Reading(float(value), ts)
        elif member.proof.get("value") is not None:
            found[member.alarm_key] = Reading(float(member.proof["value"]))
    return found


def _rising(connection: Connection, member: Member, reading: Reading) -> bool | None:
    """Whether it has got worse by more than the sensor's step since a quarter of an hour before; None: unknown."""
    family = FAMILIES.get(member.family or "")
    field = plain_field(member.proof)
    if reading.ts is None or field is None or family is None:
        return None
    text: LiteralString = statement("storm.value_before")
    query = sql.SQL(text).format(field=sql.Identifier(field), reports=sql.Identifier(f"report_{family.name}"))
    row = connection.execute(query, {"device_key": member.device_key, "ts": reading.ts}, prepare=False).fetchone()
    if row is None:
        return None
    return bool(sign(member.proof) * (reading.value - row[0]) > (family.column[field].resolution or 0.0))


def _record(
    connection: Connection,
    incident: Incident,
    rule: RuleInForce,
    reason: Reason,
    before: tuple[Condition, int],
    after: tuple[Condition, int],
    summary: Summary,
    now: datetime,
) -> None:
    now_us = microseconds(now)
    proof = {"ts_us": now_us, "received_us": now_us, "field": "", "label": sentence(summary), "summary": summary}
    transition = Transition(
        SubjectKind.incident,
        incident.incident_key,
        rule,
        reason,
        before[0],
        after[0],
        before[1],
        after[1],
        now_us,
        now_us,
        proof,
    )
    Recorder(connection).record([transition])
