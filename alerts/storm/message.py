"""What people read of a storm: one digest in place of its many alarms, and its end. Chinese, one link, 70 characters.

When it gets tight, the least useful goes first: kinds from the least severe on, then the deepest place's name from its
beginning. How many of what severity, and how many nobody has answered, always stand.
"""

from __future__ import annotations

from alerts.messages.wording import LONGEST, city, cut, kept_end, number, plain
from alerts.storm.summary import ReadingShown, Summary
from underfoot.alarms import Severity

_TAIL = "。查看▸"
_LONGEST_AREA = 8
_LONGEST_CATCHMENT = 10
_SHORTEST_PLACE = 4


def digest(summary: Summary) -> str:
    """【暴雨汇总21:40】龙安区 红3橙11，未接单4：下穿封2、井盖开1、泵停1。最深东风路42cm仍涨。查看▸"""
    head = f"【暴雨汇总{city(summary['at']):%H:%M}】{_where(summary)} {severities(summary)}"
    if summary["unacknowledged"]:
        head += f"，未接单{summary['unacknowledged']}"
    return _with_kinds(head, summary)


def ending(summary: Summary) -> str:
    """【暴雨解除23:10】龙安区 共412条，未恢复5条已逐条通知。最深东风路42cm。查看▸"""
    head = f"【暴雨解除{city(summary['at']):%H:%M}】{_where(summary)} 共{summary['total']}条"
    head += f"，未恢复{summary['now']}条已逐条通知" if summary["now"] else "，均已恢复"
    return head + _worst(summary, LONGEST - len(head) - len(_TAIL)) + _TAIL


def sentence(summary: Summary) -> str:
    """The same for a record, of any length."""
    kinds = "、".join(f"{kind['label']}{kind['count']}" for kind in summary["kinds"])
    parts = [_named(summary), severities(summary), f"未确认{summary['unacknowledged']}", kinds]
    return "，".join(part for part in parts if part) + _worst(summary, 1000)


def severities(summary: Summary) -> str:
    """红3橙11; without these two, all there is."""
    counts = {Severity[name]: count for name, count in summary["by_severity"].items() if count}
    shown = [severity for severity in (Severity.red, Severity.orange) if severity in counts] or sorted(counts)[::-1]
    return "".join(f"{severity.label}{counts[severity]}" for severity in shown) or "暂无未恢复"


def _named(summary: Summary) -> str:
    area, catchment = plain(summary["area"]), plain(summary["catchment"])
    return catchment if catchment.startswith(area) else area + catchment


def _where(summary: Summary) -> str:
    area, catchment = plain(summary["area"]), plain(summary["catchment"])
    return cut(area, _LONGEST_AREA) + ("" if catchment == area else kept_end(catchment, _LONGEST_CATCHMENT))


def _with_kinds(head: str, summary: Summary) -> str:
    kinds = [f"{kind['label']}{kind['count']}" for kind in summary["kinds"]]
    needed = len(_TAIL) + len(_worst(summary, LONGEST))
    for shown in range(len(kinds), 0, -1):
        text = f"{head}：{'、'.join(kinds[:shown])}{'等' if shown < len(kinds) else ''}"
        if len(text) + needed <= LONGEST or (shown == 1 and len(text) + len(_TAIL) <= LONGEST):
            return text + _worst(summary, LONGEST - len(text) - len(_TAIL)) + _TAIL
    return head + _worst(summary, LONGEST - len(head) - len(_TAIL)) + _TAIL


def _worst(summary: Summary, room: int) -> str:
    """。最深东风路42cm仍涨; nothing where there is no room for it."""
    reading, word = summary["deepest"], "最深"
    if reading is None:
        reading, word = summary["worst"], "最重"
    if reading is None:
        return ""
    before, whole, after = f"。{word}", plain(reading["place"]), _value(reading)
    if whole[-1:].isdigit() and after[0].isdigit():
        after = f" {after}"
    place = kept_end(whole, room - len(before) - len(after))
    return before + place + after if len(place) >= min(len(whole), _SHORTEST_PLACE) else ""


def _value(reading: ReadingShown) -> str:
    rising = "仍涨" if reading["rising"] else ""
    if reading["value"] is None or not reading["unit"]:
        return f"{plain(reading['title'])}{rising}"
    return f"{number(reading['value'])}{plain(reading['unit'])}{rising}"
