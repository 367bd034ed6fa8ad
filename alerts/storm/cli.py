"""`underfoot incidents …`: what is told as one, and what a storm was."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.storm.paper import duration, paper
from alerts.storm.report import NoSuchIncidentError, StormReport, report_of
from underfoot.city_time import CITY_ZONE
from underfoot.clock import CLOCK
from underfoot.storage.migrate import MigrationError
from underfoot.storage.statements import statement
from underfoot.terminal import connect_migrated

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
incidents = typer.Typer(
    no_args_is_help=True, help="Incidents (险情): alarms that are told as one, and the report of a storm."
)
commands.add_typer(incidents, name="incidents")

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@incidents.command("list")
def incidents_list(
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 50,
    as_json: _Json = False,
) -> None:
    """List incidents, the newest first."""
    with _connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("storm.listed"), {"all": every, "limit": limit}).fetchall()
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=str))
        return
    if not rows:
        out.print("No incident." if every else "No incident is open. `--all` lists those that are over.")
        return
    table = Table("key", "险情", "区县", "开始", "结束", "告警", "未恢复", "红")
    for row in rows:
        table.add_row(
            str(row["incident_key"]),
            Text(row["title"]),
            Text(row["area"]),
            _shown(row["began_at"]),
            _shown(row["ended_at"]) or "进行中",
            str(row["total"]),
            str(row["open"]),
            str(row["red"]),
        )
    out.print(table)


@incidents.command("report")
def incidents_report(
    incident_key: Annotated[int, typer.Argument(help="Its key: see `underfoot incidents list`.", show_default=False)],
    as_json: _Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="On paper, for officials (Chinese).")] = False,
) -> None:
    """What a storm was: how deep, how long, how many alarms, how soon they were answered.

    Of an incident that is not over: what it has been so far.
    """
    if as_json and markdown:
        raise _wrong("--json --markdown: give one of them")
    with _connect() as connection:
        try:
            report = report_of(connection, incident_key, now=CLOCK.now())
        except NoSuchIncidentError as error:
            raise _wrong(str(error)) from None
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    elif markdown:
        typer.echo(paper(report, CLOCK.now()))
    else:
        _print(report)


def _print(report: StormReport) -> None:
    out.print(Text(report.title, style="bold"))
    facts: list[tuple[str, str]] = [
        ("时间", f"{_shown(report.began_at)} — {_shown(report.ended_at) or '进行中'}"),
        ("告警", f"{report.total}（未恢复 {report.still_open}）"),
        ("级别", "，".join(f"{name} {count}" for name, count in report.by_severity.items())),
        ("最深", _deepest(report)),
        ("首次确认", _answered(report.acknowledged)),
        ("首次送达", _answered(report.delivered)),
        ("恢复", _answered(report.cleared)),
    ]
    for name, value in facts:
        out.print(Text(f"{name}: {value}"))
    table = Table("级别", "告警", "地点", "养护单位", "开始", "恢复", "最大值", "确认用时")
    for member in report.members:
        table.add_row(
            member.severity_label,
            Text(member.title),
            Text(member.place),
            Text(member.unit),
            _shown(member.raised_at),
            _shown(member.cleared_at) or "未恢复",
            f"{member.peak.value:g} {member.peak.unit}" if member.peak is not None else "",
            duration(member.acknowledged_after_s),
        )
    out.print(table)


def _deepest(report: StormReport) -> str:
    member = report.deepest
    return f"{member.place} {member.peak.value:g} {member.peak.unit}" if member and member.peak else "—"


def _answered(answer: Any) -> str:
    return f"{answer.known}/{answer.of}，中位 {duration(answer.median_s)}，最长 {duration(answer.longest_s)}"


def _shown(moment: datetime | None) -> str:
    return moment.astimezone(CITY_ZONE).strftime("%m-%d %H:%M") if moment is not None else ""


def _connect() -> Any:
    try:
        return connect_migrated("incidents")
    except MigrationError as error:
        raise _wrong(str(error)) from None


def _wrong(sentence: str) -> typer.Exit:
    err.print(Text(sentence, style="red"))
    return typer.Exit(1)
