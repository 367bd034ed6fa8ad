"""What somebody on duty reads when nobody has answered: who has not, since when, what, where. Chinese, 70 characters.

The severity, the danger and the act stand always; the place keeps its end; names go before the place gets too short.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from alerts.messages.places import fitted
from alerts.messages.wording import LONGEST, city, clock, cut, plain
from alerts.record.snapshot import EscalationShown, Snapshot
from underfoot.alarms import Reason, Severity

_LONGEST_TITLE = 16
_LONGEST_NAMES = 12
_PLACE_WORTH_HAVING = 12
_NOBODY = "值班席"
AT_ONCE = timedelta(minutes=1)


def escalation(snapshot: Snapshot, place: tuple[str, str]) -> str:
    """The text up to where the link follows. `place`: address and name as people say them."""
    told = snapshot["escalation"]
    head = f"【{Severity(snapshot['severity']).label}】{cut(plain(snapshot['title']), _LONGEST_TITLE)}"
    act = f"请电话核实{_named(told['sink'])}。" if told["sink"] else "请立即确认。"
    room = 0
    whole = len(" ".join(part for part in place if part))
    for what in _said(told, "无反馈" if snapshot["reason"] == Reason.no_callback else "无回执"):
        room = LONGEST - len(f"{head}｜，{what}。{act}查看▸")
        if room >= min(whole, _PLACE_WORTH_HAVING):
            break
    where = fitted(*place, max(room, 0))
    return f"{head}｜{where}{'，' if where else ''}{what}。{act}查看▸"


def _said(told: EscalationShown, missing: str) -> list[str]:
    """What to say of who has not answered, from everything to the bare minimum. `missing`: what a sink owes."""
    since, now = city(told["since"]), city(told["told_at"])
    waited = _waited(since, now)
    if told["sink"]:
        sink, more = _named(told["sink"]), told["waiting"] - 1
        beside = f"，另{more}条" if more > 0 else ""
        return [
            f"{clock(since, now)}起{sink}{waited}{missing}{beside}",
            f"{sink}{waited}{missing}{beside}",
            f"{waited}{missing}",
        ]
    if now - since < AT_ONCE:
        return [f"{clock(since, now)}起，待确认（第{told['level']}级）", "待确认"]
    names = cut("、".join(plain(name) for name in told["unanswered"]) or _NOBODY, _LONGEST_NAMES)
    first = names.partition("、")[0]
    return [
        f"{clock(since, now)}起{waited}，{names}未确认（第{told['level']}级）",
        f"{clock(since, now)}起{waited}，{first}未确认",
        f"{waited}未确认",
    ]


def _waited(since: datetime, now: datetime) -> str:
    minutes = max(int((now - since).total_seconds() // 60), 0)
    if minutes < 60:
        return f"{minutes}分钟"
    hours, rest = divmod(minutes, 60)
    return f"{hours}小时{f'{rest}分' if rest and hours < 10 else ''}"


def _named(sink: str) -> str:
    return cut(plain(sink), _LONGEST_NAMES)
