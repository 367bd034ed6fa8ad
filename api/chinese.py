"""Numbers, durations and values as operators read them (Chinese). Used by every sentence that the API makes."""

from __future__ import annotations

from typing import Any

from underfoot.alarms import Severity
from underfoot.families import FAMILIES, Column


def number(value: float) -> str:
    return f"{value:g}"


def value_of(value: Any) -> str:
    if isinstance(value, bool):
        return "是" if value else "否"
    return number(value) if isinstance(value, int | float) else str(value)


def with_unit(value: float, unit: str) -> str:
    return f"{number(value)} {unit}" if unit else number(value)


def duration(seconds: float) -> str:
    for unit, name in ((3600, "小时"), (60, "分钟")):
        if seconds >= unit and seconds % unit == 0:
            return f"{number(seconds / unit)} {name}"
    return f"{number(seconds)} 秒"


def percent(share: float) -> str:
    return f"{number(round(share * 100, 6))}%"


def severity(name: str) -> str:
    return Severity[name].label


def choice(column: Column, value: bool | int) -> str:
    names = {value: name for name, value in column.choices.items()}
    return names.get(value, value_of(value)) if column.choices else value_of(value)


def meaning(family: str, field: str, value: bool | int) -> str:
    """`井盖打开 = 是`."""
    column = FAMILIES[family].column[field]
    return f"{column.label} = {choice(column, value)} "
