"""`underfoot cases list|show|verify|…`: cases at the desk, and what an operator does to one. For who types, the whole
city's: the database's owner is bound by no scope.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import typer
from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.cases.acts import act, judged, refile
from alerts.cases.clocks import reading_of
from alerts.cases.events import (
    EVENT_LABELS,
    Arrived,
    Cancelled,
    CaseEvent,
    ClockName,
    Duplicate,
    Handled,
    Noted,
    Resumed,
    Supervised,
    Suspended,
    Verified,
)
from alerts.cases.lifecycle import REFUSAL_LABELS, Refused
from alerts.cases.record import Happened, NoSuchCaseError
from alerts.cases.states import CaseState, Need, state_said
from underfoot.alarms import Severity
from underfoot.audit.log import enter
from underfoot.city_time import CITY_ZONE
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection
from underfoot.storage.migrate import MigrationError
from underfoot.storage.statements import statement
from underfoot.terminal import actor, connect_migrated

out = Console()
err = Console(stderr=True)

_STYLE = {1: "blue", 2: "yellow", 3: "dark_orange", 4: "red"}
_CAUSES = {"callback": "平台回传", "engine": "系统", "operator": "人工", "reconcile": "对账", "receipt": "平台回执"}

_Key = Annotated[int, typer.Argument(help="Its key: see `underfoot cases list`.", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_Note = Annotated[str, typer.Option("--note", help="Kept with the case.")]
_Reason = Annotated[str, typer.Argument(help="Why: kept with the case; the platform is told.", show_default=False)]


class Show(StrEnum):
    open = "open"
    overdue = "overdue"
    needs_person = "needs_person"
    ended = "ended"
    all = "all"


def list_cases(
    show: Annotated[Show, typer.Option(help="Which.")] = Show.open,
    area: Annotated[str | None, typer.Option(help="Only in this area (code) and below.")] = None,
    unit: Annotated[str | None, typer.Option(help="Only of this maintenance unit (养护单位).")] = None,
    filing: Annotated[str | None, typer.Option(help="Only by this 立案条件, e.g. filing.cover_open.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 50,
    as_json: _Json = False,
) -> None:
    """List cases, the newest first, with how their clocks stand."""
    params = {
        "open": {Show.open: True, Show.overdue: True, Show.ended: False}.get(show),
        "needs_person": show is Show.needs_person,
        "overdue": show is Show.overdue,
        "area": area,
        "unit": unit,
        "filing": filing,
        "limit": limit,
    }
    with _connected() as connection:
        rows = _rows(connection, "cases.at_desk", {"case_key": None, **params})
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=str))
        return
    if not rows:
        out.print("没有这样的案件")
        return
    now = CLOCK.now()
    table = Table("案件", "级别", "立案条件", "位置", "状态", "到场", "处置", "平台编号")
    for row in rows:
        table.add_row(
            str(row["case_key"]),
            Text(Severity(row["severity"]).label, style=_STYLE[row["severity"]]),
            Text(f"{row['condition_name']}\n{row['code']} {row['code_name']}".rstrip()),
            Text("\n".join(part for part in (row["address"], row["asset_name"]) if part)),
            Text(_state(row)),
            _clock_text(row, "arrive", now),
            _clock_text(row, "repair", now),
            Text(row["platform_no"] or ""),
        )
    out.print(table)


def show_case(case_key: _Key, as_json: _Json = False) -> None:
    """Show a case: its clocks, and every step of its life."""
    with _connected() as connection:
        row = _one(connection, case_key)
        steps = _rows(connection, "api_cases.steps_of", {"case_key": case_key, "limit": 1000})
    if as_json:
        typer.echo(json.dumps(row | {"steps": steps}, ensure_ascii=False, indent=2, default=str))
        return
    now = CLOCK.now()
    table = Table(show_header=False, title=f"案件 {case_key}：{row['condition_name']}")
    for name, value in _facts(row, now):
        table.add_row(name, value)
    out.print(table)
    record = Table("步", "时间", "事项", "状态", "来源", "说明")
    for step in reversed(steps):
        moved = step["from_state"] != step["to_state"]
        record.add_row(
            str(step["step_no"]),
            _at(step["at"]),
            EVENT_LABELS.get(step["event"], step["event"]),
            CaseState(step["to_state"]).label if moved else "—",
            Text(f"{_CAUSES[step['cause']]} {step['actor']}"),
            Text(_said(step)),
        )
    out.print(record)


def _facts(row: Mapping[str, Any], now: datetime) -> Iterator[tuple[str, Text]]:
    yield (
        "告警",
        Text(f"【{Severity(row['severity']).label}】{row['title']}（告警号 {row['alarm_key']}-{row['episode']}）"),
    )
    yield "位置", Text(" ".join(part for part in (row["address"], row["asset_name"]) if part) or "—")
    yield "养护单位", Text(row["maintenance_unit"] or "—")
    yield "大小类", Text(f"{row['code']} {row['code_name']}（{row['code_scheme']}）")
    yield "等级", Text(("一般", "重要", "重大")[row["level"]])
    yield "状态", Text(_state(row))
    yield "到场期限", _clock_text(row, "arrive", now)
    yield "处置期限", _clock_text(row, "repair", now)
    yield "平台编号", Text(row["platform_no"] or "—")
    marks = [f"返工{row['rework']}次"] if row["rework"] else []
    marks += ["督办"] if row["supervised"] else []
    marks += [f"与 {row['duplicate_of']} 重复"] if row["duplicate_of"] else []
    marks += [f"并入案件 {row['merged_into']}"] if row["merged_into"] else []
    marks += [f"前一案件 {row['follows']} 尚未办结"] if row["follows"] else []
    if marks:
        yield "标记", Text("，".join(marks))


def _state(row: Mapping[str, Any]) -> str:
    said = state_said(CaseState(row["state"]), row["ended_how"])
    return f"{said}\n{Need(row['needs_person']).label}" if row["needs_person"] is not None else said


def _clock_text(row: Mapping[str, Any], name: ClockName, now: datetime) -> Text:
    """How a clock stands, in few words: until when, and how long that is."""
    reading = reading_of(row, name, now)
    if reading is None:
        return Text("不限")
    if reading.done_at is not None:
        return Text("已超时完成" if reading.overdue else "按时", style="red" if reading.overdue else "green")
    if reading.stopped_since is not None:
        return Text(f"暂停，余{_long(reading.remaining)}")
    if reading.overdue:
        return Text(f"{_at(reading.clock.by)}\n超时{_long(-reading.remaining)}", style="red")
    return Text(f"{_at(reading.clock.by)}\n余{_long(reading.remaining)}")


def _long(span: timedelta) -> str:
    minutes = max(int(span.total_seconds()) // 60, 0)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    if days:
        return f"{days}天{hours}小时"
    return f"{hours}小时{minutes}分" if hours else f"{minutes}分"


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(CITY_ZONE):%m-%d %H:%M}"


def _said(step: Mapping[str, Any]) -> str:
    said = [step["note"]] if step["note"] else []
    skipped = step["detail"].get("skipped")
    if skipped:
        said.append(f"未收到：{'、'.join(CaseState(one).label for one in skipped)}")
    if "unmoved" in step["detail"]:
        said.append(
            {"older": "早于已知情况", "behind": "落后于现场", "after_end": "已办结"}.get(
                step["detail"]["unmoved"], "不影响状态"
            )
        )
    return "；".join(said)


# acts ----------------------------------------------------------------------------------------------------------------


def verify(
    case_key: _Key,
    false_alarm: Annotated[bool, typer.Option("--false-alarm", help="There is nothing (误报).")] = False,
    note: _Note = "",
) -> None:
    """Say that it is there (核实): a case that waits for it goes to the platform. Or that it is a false alarm."""
    with _connected() as connection, connection.transaction():
        row, now = _one(connection, case_key), CLOCK.now()
        if not false_alarm:
            _act(connection, case_key, Verified(), note)
        else:
            judged(connection, row["episode_key"], False, actor=actor(), at=now, note=note)
        said = {"episode_key": row["episode_key"], "confirmed": not false_alarm, "actor": actor(), "at": now}
        if connection.execute(statement("human.confirm"), said).rowcount:
            verdict = {"verdict": "false" if false_alarm else "real", "case_key": case_key}
            enter(connection, actor(), "alarm.verdict", f"episode:{row['episode_key']}", verdict)
        _say(connection, case_key)


def arrive(case_key: _Key, note: _Note = "") -> None:
    """Say that somebody is there (到场)."""
    _do(case_key, Arrived(), note)


def handled(case_key: _Key, note: _Note = "") -> None:
    """Say that it is repaired (处置完成)."""
    _do(case_key, Handled(), note)


def suspend(case_key: _Key, reason: _Reason) -> None:
    """Suspend it (挂账): what its 立案条件 names (as shipped, the repair clock) stands still until it goes on."""
    _do(case_key, Suspended(), reason)


def resume(case_key: _Key, note: _Note = "") -> None:
    """Go on with what was suspended: its clocks run again from where they stood."""
    _do(case_key, Resumed(), note)


def supervise(
    case_key: _Key, off: Annotated[bool, typer.Option("--off", help="No more.")] = False, note: _Note = ""
) -> None:
    """Supervise it (督办): it is marked, and the platform is told."""
    _do(case_key, Supervised(not off), note)


def cancel(case_key: _Key, reason: _Reason) -> None:
    """Cancel it (撤案), before anybody was sent. The alarm goes on."""
    _do(case_key, Cancelled(), reason)


def file_again(case_key: _Key, note: _Note = "") -> None:
    """File it again (再次立案), where it is over and its alarm is not: a new case, told to the platform."""
    with _connected() as connection, connection.transaction():
        try:
            done = refile(connection, case_key, actor=actor(), at=CLOCK.now(), note=note)
        except NoSuchCaseError:
            _fail(_NONE.format(case_key))
        if isinstance(done, Refused):
            _fail(f"{case_key}: {REFUSAL_LABELS[done.reason]}")
        _say(connection, done.case_key)


def duplicate(
    case_key: _Key,
    of: Annotated[str, typer.Argument(help="The citizen's case, by its number on the platform.", show_default=False)],
    note: _Note = "",
) -> None:
    """Say that a citizen's case is about the same: ours ends, linked to it. The alarm goes on."""
    _do(case_key, Duplicate(of), note)


def note_on(
    case_key: _Key,
    text: Annotated[str, typer.Argument(help="Kept with the case; the platform is not told.", show_default=False)],
    settles: Annotated[bool, typer.Option("--settles", help="What a person had to look at is seen to.")] = False,
) -> None:
    """Say something about it: kept with the case, told to nobody."""
    _do(case_key, Noted(settles), text)


def _do(case_key: int, event: CaseEvent, note: str) -> None:
    with _connected() as connection, connection.transaction():
        _act(connection, case_key, event, note)
        _say(connection, case_key)


def _act(connection: Connection, case_key: int, event: CaseEvent, note: str) -> None:
    try:
        applied = act(connection, Happened(case_key, event, CLOCK.now(), note), actor=actor())
    except NoSuchCaseError:
        _fail(_NONE.format(case_key))
    if applied.refused is not None:
        _fail(f"{case_key}: {REFUSAL_LABELS[applied.refused]}")


_NONE = "{}: there is no such case; `underfoot cases list --show all` lists them"


def _say(connection: Connection, case_key: int) -> None:
    row = _one(connection, case_key)
    out.print(f"案件 {case_key} {row['condition_name']}：{_state(row)}")


def _one(connection: Connection, case_key: int) -> dict[str, Any]:
    nothing = {"open": None, "needs_person": False, "overdue": False, "area": None, "unit": None, "filing": None}
    rows = _rows(connection, "cases.at_desk", {"case_key": case_key, **nothing, "limit": 1})
    if not rows:
        _fail(_NONE.format(case_key))
    return rows[0]


def _rows(connection: Connection, name: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), params, prepare=False).fetchall()


@contextmanager
def _connected() -> Iterator[Connection]:
    try:
        connection = connect_migrated("cases")
    except MigrationError as error:
        _fail(str(error))
    with connection:
        yield connection


def _fail(why: str) -> NoReturn:
    err.print(why, style="red", markup=False, highlight=False)
    raise typer.Exit(1)


def add_to(cases: typer.Typer) -> None:
    """Every command of the desk."""
    for name, command in (
        ("list", list_cases),
        ("show", show_case),
        ("verify", verify),
        ("arrive", arrive),
        ("handled", handled),
        ("suspend", suspend),
        ("resume", resume),
        ("supervise", supervise),
        ("cancel", cancel),
        ("duplicate", duplicate),
        ("refile", file_again),
        ("note", note_on),
    ):
        cases.command(name)(command)
