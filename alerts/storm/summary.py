"""Summary: an incident in one look. How many, how severe, who has not been answered, the worst and the deepest, where.

Pure: what it says follows from the members and the readings that it is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict

from alerts.messages.places import address_and_name, joined
from alerts.rules import StormRule
from underfoot.alarms import Severity

SeverityLabel = Literal["red", "orange", "yellow", "blue"]


class KindShown(TypedDict):
    """What stands in the digest as 下穿封2."""

    label: str
    count: int
    severity: int


class ReadingShown(TypedDict):
    """A member and its value now. `rising`: null where too few readings tell."""

    alarm_key: int
    episode: int
    rule_id: str
    place: str
    title: str
    severity: int
    label: str
    value: float | None
    unit: str
    rising: bool | None


class Bucket(TypedDict):
    at: str
    raised: int


class Summary(TypedDict):
    """`now`: members that are open; `total`: all there ever were. `extent`: west, south, east, north."""

    incident_key: int
    area_code: str
    area: str
    catchment: str
    at: str
    now: int
    total: int
    by_severity: dict[SeverityLabel, int]
    unacknowledged: int
    kinds: list[KindShown]
    worst: ReadingShown | None
    deepest: ReadingShown | None
    extent: list[float] | None
    timeline: list[Bucket]


@dataclass(frozen=True, slots=True)
class Member:
    """An open episode that an incident has."""

    alarm_key: int
    episode: int
    rule_id: str
    title: str
    severity: int
    acknowledged: bool
    raised_at: datetime
    family: str | None
    device_key: int | None
    proof: Mapping[str, Any]
    address: str
    name: str
    asset_code: str
    device_id: str
    area_name: str
    lon: float | None
    lat: float | None

    @property
    def place(self) -> str:
        codes = {self.asset_code, self.device_id} - {""}
        return joined(*address_and_name(self.address, self.name, area=self.area_name, codes=codes))


@dataclass(frozen=True, slots=True)
class Reading:
    """A member's value now. `ts`: of its report; None: it is the proof's. `rising`: whether it gets worse."""

    value: float
    ts: datetime | None = None
    rising: bool | None = None


@dataclass(frozen=True, slots=True)
class About:
    """Which incident it is."""

    incident_key: int
    area_code: str
    area: str
    catchment: str


def summarise(
    about: About,
    members: Sequence[Member],
    readings: Mapping[int, Reading],
    rule: StormRule,
    *,
    total: int,
    timeline: Sequence[tuple[datetime, int]],
    at: datetime,
) -> Summary:
    """`readings`: by alarm."""
    severities = Counter(Severity(member.severity) for member in members)
    bad, deep = worst(members, readings), deepest(members, readings)
    return {
        "incident_key": about.incident_key,
        "area_code": about.area_code,
        "area": about.area,
        "catchment": about.catchment,
        "at": at.isoformat(),
        "now": len(members),
        "total": total,
        "by_severity": {severity.name: severities[severity] for severity in sorted(Severity, reverse=True)},  # type: ignore[misc]
        "unacknowledged": sum(not member.acknowledged for member in members),
        "kinds": _kinds(members, rule),
        "worst": shown(bad, readings) if bad is not None else None,
        "deepest": shown(deep, readings) if deep is not None else None,
        "extent": extent([(m.lon, m.lat) for m in members if m.lon is not None and m.lat is not None]),
        "timeline": [{"at": began.isoformat(), "raised": raised} for began, raised in timeline],
    }


def worst(members: Sequence[Member], readings: Mapping[int, Reading]) -> Member | None:
    return max(members, key=lambda member: _rank(member, readings), default=None)


def deepest(members: Sequence[Member], readings: Mapping[int, Reading]) -> Member | None:
    """The member where water stands highest on a road; None: on none is it known."""
    depths = [(reading.value, m) for m in members if m.family == "road" and (reading := readings.get(m.alarm_key))]
    return max(depths, key=lambda pair: pair[0])[1] if depths else None


def shown(member: Member, readings: Mapping[int, Reading]) -> ReadingShown:
    reading = readings.get(member.alarm_key)
    return {
        "alarm_key": member.alarm_key,
        "episode": member.episode,
        "rule_id": member.rule_id,
        "place": member.place,
        "title": member.title,
        "severity": member.severity,
        "label": member.proof.get("label") or "",
        "value": reading.value if reading is not None else member.proof.get("value"),
        "unit": member.proof.get("unit") or "",
        "rising": reading.rising if reading is not None else None,
    }


def extent(points: Sequence[tuple[float, float]]) -> list[float] | None:
    """The map's frame: west, south, east, north."""
    if not points:
        return None
    lons, lats = zip(*points, strict=True)
    return [min(lons), min(lats), max(lons), max(lats)]


def worst_severity(summary: Summary) -> int:
    """0: nothing is open."""
    return max((Severity[name].value for name, count in summary["by_severity"].items() if count), default=0)


def changed(told: Summary, now: Summary, *, worst_change: float) -> bool:
    """Whether what was told no longer gives the right picture. That somebody has acknowledged disturbs nobody."""
    for part in ("by_severity", "kinds"):
        if told[part] != now[part]:
            return True
    return any(_other(told[name], now[name], worst_change) for name in ("worst", "deepest"))


def _other(told: ReadingShown | None, now: ReadingShown | None, worst_change: float) -> bool:
    if told is None or now is None:
        return told is not now
    if told["alarm_key"] != now["alarm_key"]:
        return True
    before, value = told["value"], now["value"]
    if before is None or value is None:
        return before != value
    return abs(value - before) > worst_change * abs(before)


def _rank(member: Member, readings: Mapping[int, Reading]) -> tuple[int, bool, float, float]:
    """The most severe; of these water on a road, the deepest; else what has stood longest."""
    reading = readings.get(member.alarm_key)
    deep = member.family == "road" and reading is not None
    return (member.severity, deep, reading.value if deep and reading else 0.0, -member.raised_at.timestamp())


def _kinds(members: Sequence[Member], rule: StormRule) -> list[KindShown]:
    groups = rule.group
    found: dict[str, KindShown] = {}
    for member in members:
        group = groups.get(member.rule_id)
        label = group.short if group is not None else member.title
        if group is not None and member.severity == Severity.red:
            label = group.short_red or group.short
        kind = found.setdefault(label, {"label": label, "count": 0, "severity": 0})
        kind["count"] += 1
        kind["severity"] = max(kind["severity"], member.severity)
    return sorted(found.values(), key=lambda kind: (-kind["severity"], -kind["count"], kind["label"]))
