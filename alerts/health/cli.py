"""`underfoot alarms health`: what the engine itself is measured by."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.health.figures import WINDOW, Figure, figures
from underfoot.city_time import CITY_ZONE, read_moment
from underfoot.clock import CLOCK
from underfoot.terminal import connect_migrated

out = Console()

commands = typer.Typer()
alarms = typer.Typer(no_args_is_help=True, help="Alarms (告警) as a whole: how healthy alerting is.")
commands.add_typer(alarms, name="alarms")


@alarms.callback()
def _alarms() -> None:
    """Alarms (告警) as a whole."""


@alarms.command("health")
def health(
    since: Annotated[
        str | None, typer.Option("--from", help="From this time on (the city's).", show_default="24 hours before --to")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this time.", show_default="now")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Print the figures of ISA-18.2, each with its limit (rule health.alarms), and whether it is kept."""
    end = _moment("to", until) or CLOCK.now()
    begin = _moment("from", since) or end - WINDOW
    with connect_migrated("health") as connection:
        try:
            found = figures(connection, begin, end)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    if as_json:
        body = {"from": begin.isoformat(), "to": end.isoformat(), "figures": [asdict(figure) for figure in found]}
        typer.echo(json.dumps(body, ensure_ascii=False, indent=2))
        return
    out.print(f"{begin.astimezone(CITY_ZONE):%Y-%m-%d %H:%M} 至 {end.astimezone(CITY_ZONE):%Y-%m-%d %H:%M}")
    table = Table("", "值", "限值", "", "")
    for figure in found:
        table.add_row(figure.label, _value(figure), figure.limit, _verdict(figure), figure.detail)
    out.print(table)


def _value(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    if figure.unit:
        return (
            f"{figure.value:.10g}{figure.unit}"
            if figure.value == int(figure.value)
            else f"{figure.value:.2f}{figure.unit}"
        )
    return f"{figure.value:.1%}"


def _verdict(figure: Figure) -> Text:
    if figure.kept is None:
        return Text("")
    return Text("达标", style="green") if figure.kept else Text("超限", style="red")


def _moment(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else read_moment(text)
    except ValueError as error:
        raise typer.BadParameter(f"--{option} {error}") from None
