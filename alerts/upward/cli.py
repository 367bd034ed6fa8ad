"""`underfoot upward …` and `underfoot indicators`: the link to the province's platform, and a city's figures."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

import orjson
import typer
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.channels import ChannelError, parse_config
from alerts.channels.platform.city import PlatformConfig
from alerts.upward.indicators import EXCLUDED_LABELS, Indicators, PeriodError, day_of, indicators, month_of
from alerts.upward.stream import Link, Steps, advance, mended, next_item
from underfoot.audit.log import enter
from underfoot.city_time import CITY_ZONE
from underfoot.clock import CLOCK
from underfoot.reports import moment
from underfoot.settings import load
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement
from underfoot.terminal import actor, connect_migrated

out = Console()

commands = typer.Typer()
upward = typer.Typer(no_args_is_help=True, help="The link to the province's or the nation's platform (上联).")
commands.add_typer(upward, name="upward")

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_Sink = Annotated[str, typer.Argument(help="The link's name, a sink with the audience `upward`.")]


@upward.command("status")
def status(as_json: _Json = False) -> None:
    """How far each link has come, what waits, and why it stands if it does."""
    with connect_migrated("upward") as connection:
        rows = _rows(connection, None)
    if as_json:
        kept = [{name: value for name, value in row.items() if name not in ("config", "sink_key")} for row in rows]
        typer.echo(orjson.dumps(kept, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("link", "state", "sent", "newest", "waiting", "since", "next day", "set aside", "error")
    for row in rows:
        table.add_row(
            row["name"],
            row["state"],
            str(row["sent"] or 0),
            _clock(row["sent_at"]),
            str(row["steps"] or 0),
            _clock(row["oldest_at"]),
            str(row["next_day"] or ""),
            str(row["set_aside"]),
            Text(row["error"] or row["last_error"] or ""),
        )
    out.print(table)


@upward.command("resume")
def resume(sink: _Sink) -> None:
    """Try the item again that was refused for good: its configuration, or the platform, has been mended."""
    with connect_migrated("upward") as connection:
        row = _one(connection, sink)
        with connection.transaction():
            if connection.execute(statement("upward.resume"), {"sink_key": row["sink_key"]}).fetchone() is None:
                raise typer.BadParameter(f"{sink}: does not stand; it is {row['state']}")
            mended(connection, row["sink_key"], sink)
            enter(connection, actor(), "upward.resume", f"sink:{sink}", {"error": row["error"]})
    out.print(f"{sink}: goes on.")


@upward.command("skip")
def skip(
    sink: _Sink,
    reason: Annotated[str, typer.Option(help="Why it is not sent. It is kept with the item.")],
) -> None:
    """Set the item aside that was refused for good, and go on with the next. It is kept, and counted."""
    if not reason.strip():
        raise typer.BadParameter("--reason: says nothing")
    now = moment(CLOCK.now_us())
    with connect_migrated("upward") as connection, connection.transaction():
        row = _one(connection, sink)
        if row["stopped_at"] is None:
            raise typer.BadParameter(f"{sink}: does not stand; it is {row['state']}")
        link = _link(row)
        item = next_item(connection, link, Steps().upto(connection, link.step_key), now, load().api_url)
        if item is None:
            raise typer.BadParameter(f"{sink}: there is nothing to send just now; `underfoot upward resume {sink}`")
        kept = {
            "sink_key": row["sink_key"],
            "item": item.name,
            "push_id": item.push_id,
            "body": Jsonb(item.made.core),
            "error": row["error"] or "",
            "reason": reason,
            "actor": actor(),
            "now": now,
        }
        connection.execute(statement("upward.set_aside"), kept)
        if not advance(connection, link, item, now, sent=0):
            raise typer.BadParameter(f"{sink}: has moved meanwhile; look at `underfoot upward status`")
        mended(connection, row["sink_key"], sink)
        told = {"item": item.name, "reason": reason, "error": row["error"]}
        enter(connection, actor(), "upward.skip", f"sink:{sink}", told)
    out.print(f"{sink}: {item.name} is set aside; it goes on.")


@upward.command("rewind")
def rewind(
    sink: _Sink,
    to: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The day from which all is told again.")],
) -> None:
    """Tell again all that happened since a day, under the same keys: the upper platform has lost it."""
    period = day_of(to.date())
    if period.begin > moment(CLOCK.now_us()):
        raise typer.BadParameter(f"--to {period.name}: has not begun")
    with connect_migrated("upward") as connection, connection.transaction():
        row = _one(connection, sink)
        params = {"sink_key": row["sink_key"], "begin": period.begin, "day": to.date()}
        if connection.execute(statement("upward.rewind"), params).fetchone() is None:
            raise typer.BadParameter(f"{sink}: has not begun; `underfoot alerts` begins it")
        mended(connection, row["sink_key"], sink)
        before = {"step_key": row["step_key"], "next_day": str(row["next_day"])}
        enter(connection, actor(), "upward.rewind", f"sink:{sink}", {"to": period.name, "before": before})
    out.print(f"{sink}: begins again with {period.name}.")


@commands.command("indicators")
def show_indicators(
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Of a day, by the city's clock.")] = None,
    month: Annotated[str | None, typer.Option(help="Of a month, like 2026-11.")] = None,
    area: Annotated[list[str] | None, typer.Option(help="Only of this area and below; more than once.")] = None,
    as_json: _Json = False,
) -> None:
    """在线率, 告警处置率, 按期处置率, 完好率 of a day (today) or a month: numerator, denominator, exclusions."""
    if day is not None and month is not None:
        raise typer.BadParameter("--day and --month: one of them")
    now = moment(CLOCK.now_us())
    try:
        period = month_of(month) if month is not None else day_of(_day(day, now))
        with connect_migrated("indicators") as connection:
            found = indicators(connection, period, now, areas=area)
    except PeriodError as error:
        raise typer.BadParameter(str(error)) from None
    if as_json:
        typer.echo(orjson.dumps(found.shown(), option=orjson.OPT_INDENT_2).decode())
        return
    _print(found)


def _day(given: datetime | None, now: datetime) -> date:
    return given.date() if given is not None else now.astimezone(CITY_ZONE).date()


def _print(found: Indicators) -> None:
    table = Table("指标", "数值", "分子", "分母", "不计入", title=found.period.name)
    for one in found.all:
        shown = one.shown()
        left_out = "；".join(f"{EXCLUDED_LABELS[what]} {count:g}" for what, count in one.excluded.items() if count)
        rate = "—" if one.rate is None else f"{100 * one.rate:.2f}%"
        table.add_row(shown["label"], rate, f"{one.numerator:g}", f"{one.denominator:g}", left_out)
    out.print(table)
    if not found.complete:
        out.print(f"统计到 {_clock(found.until)}，本期未结束", style="dim")


def _clock(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(CITY_ZONE):%Y-%m-%d %H:%M}"


def _rows(connection: Connection, name: str | None) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("upward.status"), {"name": name}).fetchall()
    for row in rows:
        row["state"] = _state(row)
    return rows


def _state(row: dict[str, Any]) -> str:
    if not row["enabled"]:
        return "disabled"
    if row["step_key"] is None:
        return "not begun"
    if row["stopped_at"] is not None:
        return "stands"
    return "failing" if row["failures"] else "working"


def _one(connection: Connection, name: str) -> dict[str, Any]:
    rows = _rows(connection, name)
    if not rows:
        known = ", ".join(row["name"] for row in _rows(connection, None)) or "none"
        raise typer.BadParameter(f"{name}: there is no such link; there are: {known}")
    return rows[0]


def _link(row: dict[str, Any]) -> Link:
    try:
        config = parse_config("platform", row["config"])
    except ChannelError as error:
        raise typer.BadParameter(f"{row['name']}: {error}") from None
    if not isinstance(config, PlatformConfig):
        raise TypeError(f"channel platform has {type(config).__name__} for its settings")
    return Link(row["sink_key"], row["name"], config, row["min_severity"], row["step_key"], row["next_day"])
