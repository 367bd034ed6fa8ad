"""`underfoot platform …`: connect a city's platform. docs/platforms.md."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.channels.interface import Delivered
from alerts.channels.line import Line
from alerts.channels.platform import judged
from alerts.channels.platform.fields import FIELDS, PICTURE_FIELDS
from alerts.channels.platform.request import request
from alerts.channels.platform.shipped import shipped, texts
from alerts.channels.platform.trial import Shown, TrialError, configuration, delivery_of, meaning, shown
from underfoot.settings import load
from underfoot.terminal import connect_migrated

out = Console()

commands = typer.Typer()
platform = typer.Typer(no_args_is_help=True, help="The city's 一网统管 platform (平台对接): try a configuration.")
commands.add_typer(platform, name="platform")

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@platform.command("configs")
def configs(as_json: _Json = False) -> None:
    """List the configurations that ship: a city's own is based on one of them."""
    rows = [{"name": name, "about": str(config.get("about", ""))} for name, config in shipped().items()]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table("name", "about")
    for row in rows:
        table.add_row(row["name"], Text(row["about"]))
    out.print(table)


@platform.command("show")
def show(name: Annotated[str, typer.Argument(help="Its name in `underfoot platform configs`.")]) -> None:
    """Print a shipped configuration, as the beginning of one's own."""
    if name not in texts():
        raise typer.BadParameter(f"{name!r} does not ship; there are {', '.join(texts())}")
    typer.echo(texts()[name], nl=False)


@platform.command("fields")
def fields(as_json: _Json = False) -> None:
    """List our fields, which a template puts under the platform's names."""
    rows = [
        {
            "name": name,
            "kind": field.kind,
            "values": list(field.values),
            "meaning": field.meaning,
        }
        for name, field in (FIELDS | PICTURE_FIELDS).items()
    ]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table("field", "kind", "meaning")
    for row in rows:
        table.add_row(str(row["name"]), str(row["kind"]), Text(str(row["meaning"])))
    out.print(table)


@platform.command("try")
def try_config(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a configuration that ships.")],
    alarm: Annotated[int, typer.Option(help="The alarm's id, as /api/v1/alarms and messages have it.")],
    url: Annotated[str | None, typer.Option(help="In place of the configuration's url.", show_default=False)] = None,
    send: Annotated[bool, typer.Option("--send", help="Send it, and say what the answer means.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show secrets too.")] = False,
    as_json: _Json = False,
) -> None:
    """Show the exact request that a platform would be sent for an alarm. Nothing is sent without --send.

    The delivery's key begins with `try-`, so a platform that tells repeats by it takes the real one later; one that
    goes by the event's own number takes it for the same event.
    """
    settings = load()
    try:
        parsed = configuration(config, {} if url is None else {"url": url})
        with connect_migrated("platform") as connection:
            delivery = delivery_of(connection, alarm, settings.api_url)
    except TrialError as error:
        raise typer.BadParameter(str(error)) from None
    made = request(delivery, parsed)
    seen = shown(made, parsed, reveal=reveal)
    outcome = None
    if send:
        line = Line(settings.delivery_timeout_s)
        try:
            outcome = judged(made, parsed, line)
        finally:
            line.close()
    if as_json:
        answer = None if outcome is None else {"outcome": type(outcome).__name__, **asdict(outcome)}
        typer.echo(json.dumps({"request": asdict(seen), "answer": answer}, ensure_ascii=False, indent=2))
    else:
        _print(seen)
        said = "Not sent; --send sends it." if outcome is None else meaning(outcome)
        out.print(Text(said, style="" if outcome is None else "green" if isinstance(outcome, Delivered) else "red"))
    if outcome is not None and not isinstance(outcome, Delivered):
        raise typer.Exit(1)


def _print(seen: Shown) -> None:
    out.print(Text(f"{seen.method} {seen.url}", style="bold"))
    for name, value in seen.headers.items():
        out.print(Text(f"{name}: {value}"))
    out.print(Text(seen.body))
    if seen.message is not None:
        out.print(Text("before it was signed:", style="bold"))
        out.print(Text(seen.message))
    known = seen.known_by or "nothing: where an answer is lost, the platform may have it twice (upsert_key)"
    out.print(Text(f"a repeat is known by: {known}", style="dim"))
    for line in seen.signed:
        out.print(Text(f"signed: {line}", style="dim"))
