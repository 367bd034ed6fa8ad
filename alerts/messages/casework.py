"""What a crew reads of its case: overdue, sent back, supervised, closed; and whoever must look at one, why: first of
all that it is still open. Chinese, 70 characters, then the link."""

from __future__ import annotations

from datetime import timedelta

from alerts.messages.places import fitted
from alerts.messages.wording import LONGEST, city, clock, cut, plain
from alerts.record.snapshot import CaseNews, Snapshot
from underfoot.alarms import Severity

_LONGEST_TITLE = 16
_LONGEST_NOTE = 16
_PLACE_WORTH_HAVING = 12

_HEADS = {
    "overdue_arrive": "超时",
    "overdue_repair": "超时",
    "rework": "返工",
    "supervised": "督办",
    "closed": "结案",
    "closed_while_open": "未解除",
    "not_accepted": "未解除",
    "no_false_alarm": "未解除",
    "not_on_platform": "待跟进",
    "goes_on_there": "待跟进",
    "worse_after_false_alarm": "待核实",
}
_ACTS = {
    "overdue_arrive": "请立即到场并反馈",
    "overdue_repair": "请立即处置并反馈",
    "rework": "请重新处置",
    "supervised": "请优先处置并反馈",
    "closed": "",
    "closed_while_open": "请到场核实",
    "not_accepted": "请到场核实",
    "no_false_alarm": "请到场核实",
    "not_on_platform": "请电话联系平台",
    "goes_on_there": "请电话联系平台",
    "worse_after_false_alarm": "请重新核实",
}
_ENDED = {"closed": "平台已结案", "forced_close": "平台已强制结案", "cancelled": "平台已撤销案件"}


def casework(snapshot: Snapshot, place: tuple[str, str]) -> str:
    """The text up to where the link follows. `place`: address and name as people say them."""
    news = snapshot.get("news")
    if news is None:
        raise ValueError(f"alarm {snapshot['alarm_key']}: a notice of a case that says nothing of it")
    severity = "" if news["what"] == "closed" else f"·{Severity(snapshot['worst_severity']).label}"
    head = f"【{_HEADS[news['what']]}{severity}】{cut(plain(snapshot['title']), _LONGEST_TITLE)}"
    act = f"{_ACTS[news['what']]}。" if _ACTS[news["what"]] else ""
    whole = len(" ".join(part for part in place if part))
    room = 0
    what = ""
    for what in _said(news):
        room = LONGEST - len(f"{head}｜，{what}。{act}查看▸")
        if room >= min(whole, _PLACE_WORTH_HAVING):
            break
    where = fitted(*place, max(room, 0))
    return f"{head}｜{where}{'，' if where else ''}{what}。{act}查看▸"


def _said(news: CaseNews) -> list[str]:
    """From everything to the bare minimum."""
    at, told_at = city(news["at"]), city(news["told_at"])
    note = cut(plain(news["note"]), _LONGEST_NOTE)
    noted = f"：{note}" if note else ""
    match news["what"]:
        case "overdue_arrive" | "overdue_repair":
            limit = "到场时限" if news["what"] == "overdue_arrive" else "修复时限"
            by = city(news["by"]) if news["by"] else at
            return [
                f"{limit}{clock(by, told_at)}已过{_length(told_at - by)}",
                f"{limit}{clock(by, told_at)}已过",
                f"{limit}已过",
            ]
        case "rework":
            return [f"{clock(at, told_at)}核查未通过{noted}", f"{clock(at, told_at)}核查未通过", "核查未通过"]
        case "supervised":
            return [f"{clock(at, told_at)}平台督办{noted}", f"{clock(at, told_at)}平台督办", "平台督办"]
        case "closed":
            return [f"{clock(at, told_at)}平台结案{noted}", f"{clock(at, told_at)}平台结案", "已结案"]
        case "closed_while_open":
            return _open_still(_ENDED.get(news.get("state", ""), "平台已结案"), noted, clock(at, told_at))
        case "not_accepted":
            return _open_still("平台不予受理", noted, clock(at, told_at))
        case "no_false_alarm":
            return _open_still("误报认定已撤销", noted, clock(at, told_at))
        case "not_on_platform":
            return ["平台上查不到该案件"]
        case "goes_on_there":
            return ["我方已结束，平台仍在办理", "平台仍在办理"]
        case "worse_after_false_alarm":
            return ["认定误报后级别升高"]


def _open_still(ended: str, noted: str, when: str) -> list[str]:
    still = "，传感器显示仍未解除"
    return [f"{when}{ended}{noted}{still}", f"{when}{ended}{still}", f"{ended}{still}", f"{ended}，仍未解除"]


def _length(passed: timedelta) -> str:
    minutes = max(int(passed.total_seconds() // 60), 1)
    if minutes < 60:
        return f"{minutes}分钟"
    hours, rest = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}小时{f'{rest}分' if rest and hours < 10 else ''}"
    return f"{hours // 24}天"
