"""Handover (交接班): what a shift leaves the next one, from the record: raised, closed, open, what nobody has answered.

It is asked for, by API or `underfoot duty handover`; nothing is sent. What was there at the end of a shift is told as
it was then, also later; only the sinks' state is the present one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import dict_row
from pydantic import BaseModel, Field

from alerts.deliver.breaker import OPENS_AFTER
from alerts.duty.roster import OnDuty, Roster, everybody, running
from underfoot.alarms import SUPPRESSION_LABELS, Severity, Suppression
from underfoot.city_time import CITY_ZONE
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_LINES_AT_MOST = 100
_LOOK_BACK = timedelta(days=8)


class HandoverError(ValueError):
    """There is no such shift to hand over; says why."""


class Window(BaseModel):
    """The shift that is handed over, as far as it has come."""

    shift: str = Field(description="班次；空：按起止时间", examples=["夜班"])
    begins: datetime = Field(examples=["2026-07-01T10:00:00Z"])
    ends: datetime = Field(examples=["2026-07-02T00:00:00Z"])
    until: datetime = Field(description="Till when it is told: its end, or now", examples=["2026-07-01T16:00:00Z"])


class AreaCounts(BaseModel):
    """Of one district; by severity: blue, yellow, orange, red."""

    district: str = Field(description="Empty: what has no area", examples=["410502"])
    name: str = Field(examples=["文峰区"])
    raised: dict[str, int] = Field(examples=[{"red": 3, "orange": 11}])
    closed: dict[str, int] = Field(examples=[{"red": 2, "orange": 9}])
    open: dict[str, int] = Field(examples=[{"red": 1, "orange": 2}])


class Unacknowledged(BaseModel):
    episode_key: int = Field(examples=[4711])
    severity: int = Field(examples=[4])
    title: str = Field(examples=["井盖打开"])
    place: str = Field(examples=["人民大道文峰路口东北角 雨水井0312"])
    raised_at: datetime = Field(examples=["2026-07-01T13:38:05Z"])
    over: bool = Field(description="It has cleared, and nobody has seen it", examples=[False])


class Suppressed(BaseModel):
    kind: Suppression
    label: str = Field(examples=["搁置"])
    title: str = Field(examples=["井盖打开"])
    place: str = Field(examples=["人民大道文峰路口东北角 雨水井0312"])
    reason: str = Field(examples=["施工，7日复位"])
    actor: str = Field(examples=["desk"])
    since: datetime = Field(examples=["2026-07-01T01:00:00Z"])
    until: datetime | None = Field(examples=["2026-07-07T01:00:00Z"])


class IncidentLine(BaseModel):
    incident_key: int = Field(examples=[12])
    title: str = Field(examples=["暴雨险情"])
    area: str = Field(examples=["文峰区"])
    began_at: datetime = Field(examples=["2026-07-01T12:00:00Z"])
    ended_at: datetime | None = Field(examples=[None])


class SinkLine(BaseModel):
    name: str = Field(examples=["shi-pingtai"])
    failing: bool = Field(examples=[True])
    error: str = Field(examples=["timed out"])
    owed: int = Field(examples=[13])
    dead: int = Field(description="Given up in the shift", examples=[0])
    oldest: datetime | None = Field(examples=["2026-07-01T13:38:07Z"])


class NoteLine(BaseModel):
    at: datetime = Field(examples=["2026-07-01T14:00:00Z"])
    actor: str = Field(examples=["desk"])
    text: str = Field(examples=["东风路泵车已到，水位下降"])
    about: str = Field(description="The alarm's title; empty: a note of the shift", examples=["下穿积水"])


class OnDutyLine(BaseModel):
    name: str = Field(examples=["王建国"])
    shift: str = Field(examples=["夜班"])
    level: int = Field(examples=[1])


class Handover(BaseModel):
    window: Window
    leaving: list[OnDutyLine] = Field(description="交班")
    coming: list[OnDutyLine] = Field(description="接班")
    areas: list[AreaCounts]
    unacknowledged: list[Unacknowledged] = Field(description="The oldest first, 100 at most")
    unacknowledged_altogether: int = Field(examples=[4])
    suppressed: list[Suppressed]
    incidents: list[IncidentLine]
    sinks: list[SinkLine] = Field(description="Failing, or with something undelivered; as it is now")
    escalated: dict[int, int] = Field(description="Turns that came, by level", examples=[{"1": 3, "2": 1}])
    notes: list[NoteLine]
    warning: str | None = Field(description="What the answer rests on that is not known", examples=[None])


def window_of(roster: Roster, at: datetime, *, shift: str | None = None, now: datetime | None = None) -> Window:
    """The shift under way at `at` that began last; of the name `shift`, the last one that had begun by then."""
    known = {one.name for one in roster.plan.shifts}
    if shift is not None and shift not in known:
        raise HandoverError(
            f"shift = {shift!r}: there is no such shift; there are {'、'.join(sorted(known)) or 'none'}"
        )
    if shift is None:
        found = [(one.begins, one.ends, one.shift.name) for one in running(roster, at)]
    else:
        found = _occurrences(roster, shift, at)
    if not found:
        what = f"{shift} has not begun in the {_LOOK_BACK.days} days" if shift else "no shift is under way"
        moment = at.astimezone(CITY_ZONE).isoformat(timespec="minutes")
        raise HandoverError(f"at = {moment}: {what}; say from when until when instead")
    begins, ends, name = max(found)
    return Window(shift=name, begins=begins, ends=ends, until=min(ends, max(now or at, begins)))


def _occurrences(roster: Roster, name: str, at: datetime) -> list[tuple[datetime, datetime, str]]:
    [shift] = [one for one in roster.plan.shifts if one.name == name]
    found = []
    for back in range(_LOOK_BACK.days + 1):
        day = (at - timedelta(days=back)).astimezone(CITY_ZONE).date()
        begins, ends = shift.span(day)
        if begins <= at and shift.on(day, roster.calendar):
            found.append((begins, ends, name))
    return found


def handover(
    connection: Connection,
    roster: Roster,
    window: Window,
    *,
    area: str | None = None,
    mine: Sequence[str] | None = None,
) -> Handover:
    """What the shift leaves; of one area only, if one is given. `mine`: the codes of all that the reader may see; of
    what has no area they see nothing."""
    params = {
        "since": window.begins,
        "until": window.until,
        "areas": _asked(connection, area, mine),
        "limit": _LINES_AT_MOST,
        "opens_after": OPENS_AFTER,
    }
    unacknowledged = _rows(connection, "handover.unacknowledged", params)
    there = [one for one in everybody(roster, window.ends) if _concerns(one, mine)]
    years = {window.begins.astimezone(CITY_ZONE).year, window.ends.astimezone(CITY_ZONE).year}
    return Handover(
        window=window,
        leaving=_shown(
            one for one in everybody(roster, window.begins) if window.shift in ("", one.shift) and _concerns(one, mine)
        ),
        coming=_shown([one for one in there if one.begins == window.ends] or there),
        areas=_counts(_rows(connection, "handover.counts", params)),
        unacknowledged=[Unacknowledged.model_validate(row) for row in unacknowledged],
        unacknowledged_altogether=unacknowledged[0]["altogether"] if unacknowledged else 0,
        suppressed=[
            Suppressed.model_validate(row | {"label": SUPPRESSION_LABELS[Suppression(row["kind"])]})
            for row in _rows(connection, "handover.suppressed", params)
        ],
        incidents=[IncidentLine.model_validate(row) for row in _rows(connection, "handover.incidents", params)],
        sinks=[SinkLine.model_validate(row) for row in _rows(connection, "handover.sinks", params)]
        if mine is None
        else [],
        escalated={row["level"]: row["turns"] for row in _rows(connection, "handover.escalations", params)},
        notes=[NoteLine.model_validate(row) for row in _rows(connection, "handover.notes", params)],
        warning=roster.calendar.warning(*years),
    )


def _shown(people: Iterable[OnDuty]) -> list[OnDutyLine]:
    found = dict.fromkeys((one.person.name, one.shift, one.level) for one in people)
    return [OnDutyLine(name=name, shift=shift, level=level) for name, shift, level in found]


def _counts(rows: Sequence[dict[str, Any]]) -> list[AreaCounts]:
    areas: dict[str, AreaCounts] = {}
    for row in rows:
        one = areas.setdefault(
            row["district"], AreaCounts(district=row["district"], name=row["name"], raised={}, closed={}, open={})
        )
        for word in ("raised", "closed", "open"):
            if row[word]:
                getattr(one, word)[Severity(row["severity"]).name] = row[word]
    return list(areas.values())


def _concerns(one: OnDuty, mine: Sequence[str] | None) -> bool:
    return mine is None or not one.areas or not set(mine).isdisjoint(one.areas)


def _asked(connection: Connection, area: str | None, mine: Sequence[str] | None) -> list[str] | None:
    within = _within(connection, area) if area is not None else None
    if mine is None:
        return within
    return list(mine) if within is None else sorted(set(within).intersection(mine))


def _within(connection: Connection, area: str) -> list[str]:
    codes = [code for (code,) in connection.execute(statement("handover.areas_within"), {"code": area})]
    if not codes:
        raise HandoverError(f"area = {area!r}: no area has this code, or one that begins with it")
    return codes


def _rows(connection: Connection, name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        # Never prepared: only a plan made for this very window can choose the index.
        return cursor.execute(statement(name), params, prepare=False).fetchall()
