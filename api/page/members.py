"""Members: the alarms of an incident, the worst first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.storm.summary import Member, ReadingShown, Summary
from api.page.words import at, reading
from underfoot.alarms import Severity
from underfoot.families import FAMILIES

SHOWN_AT_MOST = 60


@dataclass(frozen=True, slots=True)
class MemberLine:
    severity: int
    label: str
    title: str
    place: str
    since: str
    value: str
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class MembersView:
    """`counts`: red first, those that there are."""

    counts: tuple[tuple[int, str, int], ...]
    now: int
    total: int
    unacknowledged: int
    kinds: str
    worst: str
    deepest: str
    lines: tuple[MemberLine, ...]
    more: int


def members_view(summary: Summary, members: Sequence[Member], now: datetime) -> MembersView:
    ordered = sorted(members, key=lambda member: (-member.severity, member.acknowledged, member.raised_at))
    return MembersView(
        counts=tuple(
            (severity.value, severity.label, summary["by_severity"][severity.name])  # type: ignore[index]
            for severity in sorted(Severity, reverse=True)
            if summary["by_severity"][severity.name]  # type: ignore[index]
        ),
        now=summary["now"],
        total=summary["total"],
        unacknowledged=summary["unacknowledged"],
        kinds="、".join(f"{kind['label']} {kind['count']}" for kind in summary["kinds"]),
        worst=_place(summary["worst"]),
        deepest=_place(summary["deepest"]),
        lines=tuple(_line(member, now) for member in ordered[:SHOWN_AT_MOST]),
        more=max(len(ordered) - SHOWN_AT_MOST, 0),
    )


def _line(member: Member, now: datetime) -> MemberLine:
    value, field = member.proof.get("value"), member.proof.get("field") or ""
    column = FAMILIES[member.family].column.get(field) if member.family in FAMILIES else None
    plain = value is not None and (column is None or column.type not in ("boolean", "smallint"))
    return MemberLine(
        severity=member.severity,
        label=Severity(member.severity).label,
        title=member.title,
        place=member.place,
        since=f"{at(member.raised_at, now)} 起",
        value=f"{member.proof.get('label', '')} {reading(value, member.proof.get('unit', ''))}" if plain else "",
        acknowledged=member.acknowledged,
    )


def _place(shown: ReadingShown | None) -> str:
    if shown is None:
        return ""
    value = f" {reading(shown['value'], shown['unit'])}" if shown["value"] is not None else ""
    way = {True: "，仍在加重", False: "，不再加重", None: ""}[shown["rising"]]
    return f"{shown['place']} {shown['title']}{value}{way}"
