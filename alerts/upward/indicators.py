"""Indicators: what a city reports of a day or a month, each with what stands above and below its line, and what does
not count. Days are the city's. One cohort is above and below the line (docs/upward.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

from underfoot.city_time import CITY_ZONE
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

Name = Literal["online", "handled", "on_time", "intact"]

LABELS: dict[str, str] = {
    "online": "设备在线率",
    "handled": "告警处置率",
    "on_time": "按期处置率",
    "intact": "设施完好率",
}
MEANINGS: dict[str, str] = {
    "online": "在线设备时数 ÷ 应在线设备时数（在用设备；经批准的检修时段不计）",
    "handled": "期末前已处置的案件 ÷ 处置期限在本期内的案件",
    "on_time": "在各自期限前处置的案件 ÷ 处置期限在本期内的案件",
    "intact": "期末完好的设施 ÷ 期末有监测设备的设施",
}
EXCLUDED_LABELS: dict[str, str] = {
    "maintenance_hours": "检修时数",
    "maintenance_devices": "检修中的设备",
    "retired_devices": "停用设备",
    "cancelled": "撤销",
    "not_accepted": "不予受理",
    "merged": "并入险情案件",
    "duplicate": "与市民上报重复",
    "false_alarm": "误报",
    "suspended": "挂账",
    "unmonitored_assets": "无监测设备的设施",
    "abandoned_assets": "废弃设施",
}


class PeriodError(ValueError):
    """A day or a month that is none, or has not begun."""


@dataclass(frozen=True, slots=True)
class Period:
    """Of the city's time. `name`: 2026-11-22 or 2026-11."""

    name: str
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Indicator:
    name: Name
    numerator: float
    denominator: float
    excluded: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """None: there was nothing to count."""
        return self.numerator / self.denominator if self.denominator else None

    def excluded_text(self) -> str:
        return "；".join(f"{EXCLUDED_LABELS[what]} {count:g}" for what, count in self.excluded.items() if count)

    def shown(self) -> dict[str, Any]:
        words = {"label": LABELS[self.name], "meaning": MEANINGS[self.name], "rate": self.rate}
        return {**asdict(self), **words}


@dataclass(frozen=True, slots=True)
class Indicators:
    """`until`: what had happened by then is counted; `complete`: the period was over."""

    period: Period
    until: datetime
    complete: bool
    all: tuple[Indicator, ...]

    def __getitem__(self, name: Name) -> Indicator:
        return next(one for one in self.all if one.name == name)

    def shown(self) -> dict[str, Any]:
        return {
            "period": self.period.name,
            "begin": self.period.begin,
            "end": self.period.end,
            "until": self.until,
            "complete": self.complete,
            "indicators": [one.shown() for one in self.all],
        }


def day_of(day: date) -> Period:
    begin = datetime.combine(day, datetime.min.time(), CITY_ZONE)
    return Period(day.isoformat(), begin, begin + timedelta(days=1))


def month_of(text: str) -> Period:
    """`text`: 2026-11."""
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=CITY_ZONE)
    except ValueError:
        raise PeriodError(f"month = {text!r}: a month like 2026-11 is needed") from None
    return Period(f"{first:%Y-%m}", first, (first + timedelta(days=32)).replace(day=1))


def indicators(
    connection: Connection,
    period: Period,
    now: datetime,
    *,
    areas: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
) -> Indicators:
    """Of the whole city, or of some areas (beginnings of their codes) and maintenance units. Raises PeriodError."""
    if period.begin > now:
        raise PeriodError(f"{period.name}: has not begun; it is {now.astimezone(CITY_ZONE):%Y-%m-%d %H:%M}")
    until = min(period.end, now)
    params = {
        "begin": period.begin,
        "end": until,
        "areas": None if areas is None else list(areas),
        "units": None if units is None else list(units),
    }
    [(online_h, should_h, maintained_h, _, in_maintenance, retired)] = connection.execute(
        statement("indicators.online"), params
    ).fetchall()
    [(due, handled, on_time, left_out)] = connection.execute(statement("indicators.handled"), params).fetchall()
    [(assets, intact, unmonitored, abandoned)] = connection.execute(statement("indicators.intact"), params).fetchall()
    maintenance = {
        "maintenance_hours": round(maintained_h, 2),
        "maintenance_devices": in_maintenance,
        "retired_devices": retired,
    }
    return Indicators(
        period,
        until,
        until == period.end,
        (
            Indicator("online", round(online_h, 2), round(should_h, 2), maintenance),
            Indicator("handled", handled, due, left_out),
            Indicator("on_time", on_time, due, left_out),
            Indicator("intact", intact, assets, {"unmonitored_assets": unmonitored, "abandoned_assets": abandoned}),
        ),
    )
