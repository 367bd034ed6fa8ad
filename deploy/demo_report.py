"""Prints the demo's verdict: the books, what was told, and one sentence, in Chinese and English."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.demo_verdict import Summary

_PASSED = (
    "结论：通过。账目平衡，脚本中的险情全部告警，立案告警各送达平台一次或并入险情，没有多报。\n"
    "Verdict: passed. The books balance; every scripted hazard was raised, every case delivered once or"
    " told with its incident, and nothing else."
)


def print_verdict(console: Console, summary: Summary, file: Path) -> None:
    books = Table("账目 the books", "", show_edge=False, box=None, padding=(0, 3, 0, 0))
    books.columns[1].justify = "right"
    for name, value in (
        ("设备发出（去重） distinct sent", summary.sent),
        ("收到报文 received messages", summary.received),
        ("入库 stored", summary.stored),
        ("重复 duplicate", summary.duplicate),
        ("隔离 quarantined", summary.quarantined),
        ("隔离（去重） distinct quarantined", summary.distinct_quarantined),
    ):
        books.add_row(name, f"{value:,}")
    console.print(books)
    sign = "=" if summary.books_balance else "≠"
    _say(console, f"发出 {summary.sent} {sign} 入库 {summary.stored} + 隔离（去重）{summary.distinct_quarantined}")
    told = Table(
        "",
        "应有 scripted",
        "触发 raised",
        "送达平台 delivered",
        "并入险情 in incidents",
        show_edge=False,
        box=None,
        padding=(0, 3, 0, 0),
    )
    for column in told.columns[1:]:
        column.justify = "right"
    told.add_row(
        "立案告警 alarms that are cases",
        str(summary.alarms_expected),
        str(summary.alarms_raised),
        str(summary.alarms_delivered),
        str(summary.alarms_in_incidents),
    )
    told.add_row(
        "内部告警 internal alarms", str(summary.internal_alarms_expected), str(summary.internal_alarms_raised), "—", "—"
    )
    console.print(told)
    _say(
        console,
        f"平台通知 {summary.platform_notices} 条 notices，班组消息 {summary.crew_messages} 条 messages to crews",
    )
    if summary.publish_to_delivered_p50_ms is not None:
        _say(
            console,
            f"从设备发布到平台收到 from publish to the platform：p50 {summary.publish_to_delivered_p50_ms:.0f} ms，"
            f"p99 {summary.publish_to_delivered_p99_ms:.0f} ms",
        )
    for hazard in summary.hazards_left_out:
        _say(console, f"本次时长内排不下 · no room in a run this short: {hazard}", "dim")
    for fault in summary.faults:
        _say(console, f"✗ {fault}", "red")
    if summary.passed:
        _say(console, _PASSED, "bold green")
    else:
        count = len(summary.faults)
        _say(console, f"结论：未通过，{count} 处不符，见上。\nVerdict: FAILED; faults: {count}, see above.", "bold red")
    _say(console, f"摘要 summary  {file.resolve()}")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
