"""How the page words times, spans and readings. Chinese; times are the city's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from alerts.messages.wording import clock
from underfoot.alarms import Severity
from underfoot.city_time import CITY_ZONE
from underfoot.families import FAMILIES

SEVERITY_WORDS: dict[Severity, str] = {
    Severity.red: "红色 · 最高级",
    Severity.orange: "橙色 · 次高级",
    Severity.yellow: "黄色 · 较低级",
    Severity.blue: "蓝色 · 最低级",
}


def at(moment: datetime, now: datetime) -> str:
    """By the city's clock, with the day where it is not today."""
    return clock(moment.astimezone(CITY_ZONE), now.astimezone(CITY_ZONE))


def lasting(span: timedelta) -> str:
    """`23 分钟`, `2 小时 5 分`, `3 天 4 小时`."""
    minutes = int(max(span, timedelta(0)) // timedelta(minutes=1))
    if minutes < 1:
        return "不到 1 分钟"
    if minutes < 60:
        return f"{minutes} 分钟"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} 小时 {minutes} 分" if minutes else f"{hours} 小时"
    days, hours = divmod(hours, 24)
    return f"{days} 天 {hours} 小时" if hours else f"{days} 天"


def left(until: datetime, now: datetime) -> str:
    """What a countdown says. page.js says the same between two refreshes."""
    return f"还剩 {lasting(until - now)}" if until > now else f"已超时 {lasting(now - until)}"


def figure(value: float) -> str:
    """As exact as it matters: 25.1, 3.25, 0.125, 1300."""
    places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{round(value, places):g}"


def reading(value: Any, unit: str) -> str:
    if isinstance(value, bool):
        return "是" if value else "否"
    if not isinstance(value, int | float):
        return str(value)
    return f"{figure(value)}{'' if unit in ('', '°', '%') else ' '}{unit}"


def state_words(field: str, family: str | None) -> tuple[str, str]:
    """What a yes/no field is called when it is so, and when not."""
    known = _STATES.get(field)
    if known is not None:
        return known
    column = FAMILIES[family].column.get(field) if family in FAMILIES else None
    return (column.label if column is not None else field, "否")


_STATES = {
    "open": ("打开", "关闭"),
    "door_open": ("打开", "关闭"),
    "on": ("开灯", "关灯"),
    "vibration": ("振动", "正常"),
}
