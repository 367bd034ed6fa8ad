"""Report: what a storm was, once it is over (or so far): how deep, how long, how many, and how soon it was answered.

Values are the worst of each member's stored reports; where retention has deleted these, the worst that its record has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from statistics import median
from typing import Any, Literal

from psycopg import sql
from psycopg.rows import dict_row
from pydantic import BaseModel, Field

from alerts.messages.places import address_and_name, joined
from alerts.storm.readings import plain_field, sign
from underfoot.alarms import Severity
from underfoot.families import FAMILIES
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


class NoSuchIncidentError(LookupError):
    """There is no incident of this key."""


class Peak(BaseModel):
    """A member's worst reading."""

    label: str = Field(examples=["积水深度"])
    value: float = Field(examples=[42.0])
    unit: str = Field(examples=["cm"])


class ReportedMember(BaseModel):
    """One episode, from its raise to its end. Times to answer are seconds since the raise; null: not (yet)."""

    alarm_key: int = Field(examples=[12])
    episode: int = Field(examples=[1])
    episode_key: int = Field(description="Its key in /api/v1/alarms", examples=[4711])
    rule_id: str = Field(examples=["road.underpass"])
    title: str = Field(examples=["下穿积水"])
    severity: int = Field(description="Its worst: 1 蓝, 2 黄, 3 橙, 4 红", examples=[4])
    severity_label: str = Field(examples=["红"])
    place: str = Field(examples=["东风路铁路桥下"])
    unit: str = Field(description="养护单位", examples=["排水管理所"])
    alone: bool = Field(description="It was told by itself, beside the digest", examples=[True])
    raised_at: datetime = Field(examples=["2026-07-01T13:38:00Z"])
    cleared_at: datetime | None = Field(examples=["2026-07-01T15:10:00Z"])
    acknowledged_after_s: float | None = Field(examples=[180.0])
    delivered_after_s: float | None = Field(examples=[2.5])
    cleared_after_s: float | None = Field(examples=[5400.0])
    peak: Peak | None


class Answer(BaseModel):
    """How soon, over those of which it is known (seconds). `of`: how many there were in all."""

    known: int = Field(examples=[38])
    of: int = Field(examples=[412])
    median_s: float | None = Field(examples=[240.0])
    longest_s: float | None = Field(examples=[1900.0])


class Counted(BaseModel):
    name: str = Field(examples=["下穿积水"])
    count: int = Field(examples=[2])


class StormReport(BaseModel):
    """What an incident was. While it is open, what it has been so far."""

    incident_key: int = Field(examples=[3])
    kind: Literal["storm", "cause"]
    title: str = Field(examples=["文峰区宝莲寺街道暴雨险情"])
    area_code: str = Field(examples=["410502"])
    area: str = Field(examples=["文峰区"])
    catchment: str = Field(examples=["宝莲寺街道"])
    began_at: datetime = Field(examples=["2026-07-01T13:38:00Z"])
    ended_at: datetime | None = Field(examples=["2026-07-01T15:10:00Z"])
    first_raised_at: datetime | None = Field(examples=["2026-07-01T15:10:00Z"])
    last_raised_at: datetime | None = Field(examples=["2026-07-01T15:10:00Z"])
    last_cleared_at: datetime | None = Field(examples=["2026-07-01T15:10:00Z"])
    flood_peak: int | None = Field(description="Most raises in one window while it lasted", examples=[87])
    total: int = Field(examples=[412])
    still_open: int = Field(examples=[0])
    by_severity: dict[Literal["red", "orange", "yellow", "blue"], int] = Field(
        examples=[{"red": 3, "orange": 11, "yellow": 150, "blue": 248}]
    )
    by_title: list[Counted]
    deepest: ReportedMember | None = Field(description="Where water stood highest on a road")
    acknowledged: Answer
    delivered: Answer
    cleared: Answer
    members: list[ReportedMember] = Field(description="The worst first")


def report_of(
    connection: Connection, incident_key: int, *, now: datetime, only: Container[int] | None = None
) -> StormReport:
    """`now`: until when the readings of what is still open count. `only`: as if it had had these alarms alone."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(statement("storm.incident"), {"incident_key": incident_key}).fetchone()
        if found is None:
            raise NoSuchIncidentError(f"incident_key = {incident_key}: there is no such incident")
        rows = cursor.execute(statement("storm.reported_members"), {"incident_key": incident_key}).fetchall()
    if only is not None:
        rows = [row for row in rows if row["alarm_key"] in only]
    peaks = _peaks(connection, rows, now)
    [(flood_peak,)] = connection.execute(
        statement("storm.flood_peak"),
        {"area_code": found["area_code"], "since": found["began_at"], "until": found["ended_at"] or now},
    ).fetchall()
    return compiled(found, rows, peaks, flood_peak)


def compiled(
    incident: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    peaks: Mapping[tuple[int, int], float],
    flood_peak: int | None,
) -> StormReport:
    """The report of what the database knows. Pure."""
    members = [_member(row, peaks.get((row["alarm_key"], row["episode"]), row["worst"])) for row in rows]
    severities = Counter(Severity(member.severity).name for member in members)
    titles = Counter(member.title for member in members)
    roads = [m for row, m in zip(rows, members, strict=True) if row["family"] == "road" and m.peak is not None]
    cleared = [member.cleared_at for member in members if member.cleared_at is not None]
    return StormReport(
        **{name: incident[name] for name in ("incident_key", "kind", "title", "area_code", "began_at", "ended_at")},
        area=incident["name"],
        catchment=incident["catchment_name"],
        first_raised_at=min((member.raised_at for member in members), default=None),
        last_raised_at=max((member.raised_at for member in members), default=None),
        last_cleared_at=max(cleared, default=None),
        flood_peak=flood_peak,
        total=len(members),
        still_open=len(members) - len(cleared),
        by_severity={severity.name: severities[severity.name] for severity in sorted(Severity, reverse=True)},
        by_title=[Counted(name=name, count=count) for name, count in titles.most_common()],
        deepest=max(roads, key=lambda member: member.peak.value if member.peak else 0.0, default=None),
        acknowledged=_answer(member.acknowledged_after_s for member in members),
        delivered=_answer(member.delivered_after_s for member in members),
        cleared=_answer(member.cleared_after_s for member in members),
        members=members,
    )


def _member(row: Mapping[str, Any], worst: float | None) -> ReportedMember:
    proof: Mapping[str, Any] = row["proof"] or {}
    codes = {row["asset_code"], row["device_id"]} - {""}
    names = ("alarm_key", "episode", "episode_key", "rule_id", "title", "unit", "alone", "raised_at", "cleared_at")
    peak = None
    if worst is not None and proof.get("unit"):  # a state has none, and no worst either
        peak = Peak(label=proof.get("label") or "", value=worst, unit=proof["unit"])
    return ReportedMember(
        **{name: row[name] for name in names},
        severity=row["worst_severity"],
        severity_label=Severity(row["worst_severity"]).label,
        place=joined(*address_and_name(row["address"], row["name"], area=row["area_name"] or "", codes=codes)),
        acknowledged_after_s=_after(row["raised_at"], row["acknowledged_at"]),
        delivered_after_s=_after(row["raised_at"], row["delivered_at"]),
        cleared_after_s=_after(row["raised_at"], row["cleared_at"]),
        peak=peak,
    )


def _after(raised_at: datetime, moment: datetime | None) -> float | None:
    return max((moment - raised_at).total_seconds(), 0.0) if moment is not None else None


def _answer(seconds: Iterable[float | None]) -> Answer:
    listed = list(seconds)
    known = [one for one in listed if one is not None]
    return Answer(
        known=len(known), of=len(listed), median_s=median(known) if known else None, longest_s=max(known, default=None)
    )


def _peaks(connection: Connection, rows: Sequence[Mapping[str, Any]], now: datetime) -> dict[tuple[int, int], float]:
    """The worst reading of each member whose proof is a plain value of one field, by family and field."""
    wanted = [(where, row) for row in rows if (where := _column(row)) is not None]
    found: dict[tuple[int, int], float] = {}
    for (family, field), pairs in groupby(sorted(wanted, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
        listed = [row for _, row in pairs]
        query = sql.SQL(statement("storm.peaks")).format(
            field=sql.Identifier(field), reports=sql.Identifier(f"report_{family}")
        )
        params = {
            "alarm_keys": [row["alarm_key"] for row in listed],
            "episodes": [row["episode"] for row in listed],
            "device_keys": [row["device_key"] for row in listed],
            "signs": [sign(row["proof"]) for row in listed],
            "since": [row["raised_at"] for row in listed],
            "until": [row["cleared_at"] or now for row in listed],
        }
        for alarm_key, episode, worst in connection.execute(query, params, prepare=False):
            if worst is not None:
                found[alarm_key, episode] = float(worst)
    return found


def _column(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Family and field of a member whose proof is a plain reading; what any other was, its record alone tells."""
    family, field = FAMILIES.get(row["family"] or ""), plain_field(row["proof"] or {})
    if row["device_key"] is None or family is None or field is None or field not in family.column:
        return None
    measured = family.column[field].type in ("real", "double precision")
    return (family.name, field) if measured else None
