"""Paper: the report of a storm as officials read and file it (Chinese, Markdown)."""

from __future__ import annotations

from datetime import datetime

from alerts.messages.wording import number
from alerts.storm.report import Answer, ReportedMember, StormReport
from underfoot.alarms import Severity
from underfoot.city_time import CITY_ZONE


def paper(report: StormReport, made_at: datetime) -> str:
    lines = [f"# {_cell(report.title)}总结报告", ""]
    lines += [f"- {name}：{value}" for name, value in _facts(report)]
    lines += ["", "## 告警分级", "", "| 级别 | 数量 |", "|---|---|"]
    lines += [f"| {Severity[name].label} | {count} |" for name, count in report.by_severity.items()]
    lines += ["", "## 告警分类", "", "| 类别 | 数量 |", "|---|---|"]
    lines += [f"| {_cell(kind.name)} | {kind.count} |" for kind in report.by_title]
    lines += ["", "## 处置时效", "", "| 项目 | 已有/应有 | 中位用时 | 最长用时 |", "|---|---|---|---|"]
    for name, answer in (("确认", report.acknowledged), ("送达", report.delivered), ("恢复", report.cleared)):
        lines.append(_answer(name, answer))
    lines += ["", "用时自告警产生（事件时间）起算；只统计已有结果的告警，分母为全部告警。", ""]
    lines += [
        "## 告警清单",
        "",
        "| 序号 | 级别 | 类别 | 地点 | 养护单位 | 开始 | 恢复 | 最大值 | 确认用时 | 送达用时 |",
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    lines += [_line(nth, member) for nth, member in enumerate(report.members, start=1)]
    lines += ["", f"生成时间：{_clock(made_at)}", ""]
    return "\n".join(lines)


def duration(seconds: float | None) -> str:
    """3分20秒; what is not known is a dash."""
    if seconds is None:
        return "—"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}秒"
    minutes, left = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}分{left}秒" if left else f"{minutes}分"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}小时{minutes}分" if minutes else f"{hours}小时"


def _facts(report: StormReport) -> list[tuple[str, str]]:
    facts = [
        ("区域", _cell(f"{report.area} {report.catchment}" if report.catchment != report.area else report.area)),
        ("起止时间", f"{_clock(report.began_at)} 至 {_clock(report.ended_at) if report.ended_at else '今（进行中）'}"),
    ]
    if report.first_raised_at is not None and report.last_raised_at is not None:
        facts.append(("首末告警", f"{_clock(report.first_raised_at)}，{_clock(report.last_raised_at)}"))
    if report.last_cleared_at is not None:
        facts.append(("最后恢复", _clock(report.last_cleared_at)))
    facts.append(("告警总数", f"{report.total}条，未恢复{report.still_open}条"))
    if report.flood_peak is not None:
        facts.append(("告警高峰", f"一个统计窗口内{report.flood_peak}条"))
    if report.deepest is not None:
        facts.append(("最大积水", f"{_cell(report.deepest.place)}，{_peak(report.deepest)}"))
    return facts


def _answer(name: str, answer: Answer) -> str:
    return f"| {name} | {answer.known}/{answer.of} | {duration(answer.median_s)} | {duration(answer.longest_s)} |"


def _line(nth: int, member: ReportedMember) -> str:
    cells = [
        str(nth),
        member.severity_label,
        member.title,
        member.place,
        member.unit or "—",
        _clock(member.raised_at),
        _clock(member.cleared_at) if member.cleared_at is not None else "未恢复",
        _peak(member),
        duration(member.acknowledged_after_s),
        duration(member.delivered_after_s),
    ]
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _peak(member: ReportedMember) -> str:
    return f"{number(member.peak.value)}{member.peak.unit}" if member.peak is not None else "—"


def _cell(text: str) -> str:
    """What stands in a ledger must not break a table."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def _clock(moment: datetime) -> str:
    return moment.astimezone(CITY_ZONE).strftime("%Y-%m-%d %H:%M")
