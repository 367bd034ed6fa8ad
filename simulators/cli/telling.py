"""How a run ended, told in the terminal: the account, the books, one clear sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from simulators.cli.terminal import err, out
from simulators.world.folder import RunFolder
from simulators.world.run import Ended

_KINDS_SHOWN = 12


def tell(ended: Ended, folder: RunFolder, as_json: bool) -> None:
    """The account to standard output (as JSON for programs), the verdict to standard error."""
    if as_json:
        typer.echo(json.dumps(ended.summary, ensure_ascii=False, indent=2))
    else:
        table = Table("账目 the books", "", show_edge=False, box=None, padding=(0, 3, 0, 0))
        table.columns[1].justify = "right"
        for name, value in _rows(ended.summary):
            table.add_row(name, f"{value:,}" if isinstance(value, int) else value)
        out.print(table)
    for text, style in _verdict(ended):
        err.print(Text(text, style=style), soft_wrap=True)
    err.print(Text(f"运行目录 run  {folder.path}\n评分 score  underfoot score {folder.path}"), soft_wrap=True)


def _rows(summary: dict[str, Any]) -> Iterator[tuple[str, int | str]]:
    yield "设备 devices", summary["devices"]
    yield "连接 connections", summary["connections"]
    yield "设备产生上报 reports made", summary["made"]
    for why, count in summary["lost"].items():
        yield f"  未到达 never came: {why}", count
    yield "发出（去重） distinct sent", summary["sent"]
    for kind, count in sorted(summary["by_kind"].items(), key=lambda each: -each[1])[:_KINDS_SHOWN]:
        yield f"  {kind}", count
    yield "有意重发 sent again on purpose", summary["repeats"]
    yield "断线重发报文 redelivered messages", summary["redelivered_messages"]
    yield "报文 messages", summary["messages"]
    yield "速率 messages/s", f"{summary['messages_per_s']:,}"
    yield "最大滞后 furthest behind", f"{summary['furthest_behind_s']:.1f} s"
    if load := summary["load"]:
        yield "背景负载设备 devices of the load", load["registry"]
        yield "  要求速率 asked for", f"{load['rate']:,.0f}/s"
        yield "  实际速率 sent at", f"{load['achieved_rate']:,.0f}/s"
        yield "  发出 sent", load["sent"]
        yield "  确认 p99 acknowledged after", f"{load['puback_ms'].get('p99', 0):,.0f} ms"
    books = summary["books"]
    if books is not None:
        yield "接入速率 taken in", f"{summary['taken_in_per_s']:,.0f}/s"
        yield "入库 stored", books["stored"]
        if books["stored_of_others"] and not summary["load"]:
            yield "  他人入库 stored of others", books["stored_of_others"]
        yield "重复 duplicate", books["duplicate"]
        yield "隔离（去重） distinct quarantined", books["distinct_quarantined"]
        if books["discarded"]:
            yield "超限未留存 counted, not kept", books["discarded"]


def _verdict(ended: Ended) -> Iterator[tuple[str, str]]:
    summary, books = ended.summary, ended.comparison
    if not summary["finished"]:
        yield "提前结束 · ended early", "yellow"
    if summary["load"] and summary["load"]["unacknowledged"]:
        count = summary["load"]["unacknowledged"]
        yield f"✗ 背景负载 {count} 条未获确认 · of the load were never acknowledged by the broker", "red"
    if summary["unacknowledged_messages"]:
        count = summary["unacknowledged_messages"]
        yield f"✗ {count} 条报文未获确认 · messages were never acknowledged by the broker", "red"
    for why, count in summary["refused_pushes"].items():
        yield f"✗ 推送被拒 {count} 次 · pushes refused: {why}", "red"
    if books is None:
        yield "未核对账目（没有数据库） · the books were not compared: no database", "yellow"
        return
    for fault in books.faults:
        yield f"✗ {fault}", "red"
    sign = "=" if books.balance else "≠"
    yield f"发出 {books.sent} {sign} 入库 {books.stored} + 隔离（去重）{books.distinct_quarantined}", ""
    if ended.well:
        yield "结论：账目相符。\nVerdict: the books balance.", "bold green"
    elif books.balance:
        yield "结论：账目相符，但有报文未送达，见上。\nVerdict: the books balance, but not all has arrived.", "bold red"
    else:
        yield "结论：账目不符，见上。\nVerdict: the books do NOT balance, see above.", "bold red"
