"""`underfoot platform …`: connect a city's platform. docs/platforms.md."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.cases.callbacks import RefusedError, platform_sink
from alerts.cases.reconcile import DONE_LABELS, WHAT_LABELS, BusyError, Outcome, reconcile
from alerts.channels.interface import Delivered
from alerts.channels.line import Line
from alerts.channels.platform import judged
from alerts.channels.platform.fields import FIELDS, INDICATOR_FIELDS, PICTURE_FIELDS
from alerts.channels.platform.query import QueryError
from alerts.channels.platform.request import request
from alerts.channels.platform.shipped import SHIPPED
from alerts.channels.platform.trial import Shown, TrialError, configuration, delivery_of, meaning, shown
from underfoot.settings import load
from underfoot.terminal import actor, connect_migrated

out = Console()

commands = typer.Typer()
platform = typer.Typer(no_args_is_help=True, help="The city's 一网统管 platform (平台对接): try a configuration.")
commands.add_typer(platform, name="platform")

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@platform.command("configs")
def configs(as_json: _Json = False) -> None:
    """List the configurations that ship: a city's own is based on one of them."""
    rows = [{"name": name, "about": str(config.get("about", ""))} for name, config in SHIPPED.configs.items()]
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
    if name not in SHIPPED.texts:
        raise typer.BadParameter(f"{name!r} does not ship; there are {', '.join(SHIPPED.texts)}")
    typer.echo(SHIPPED.texts[name], nl=False)


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
        for name, field in (FIELDS | PICTURE_FIELDS | INDICATOR_FIELDS).items()
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


@platform.command("reconcile")
def reconcile_sink(
    sink: Annotated[str, typer.Argument(help="Its name in `underfoot sinks list`.")],
    only_open: Annotated[bool, typer.Option("--open", help="Only cases that are open.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what differs, and mend nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Mend also where its list has implausibly few of our cases.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Compare what we pushed to a platform with what it has, and mend what differs (对账).

    What it has not is sent again under the same key; what it says of a case is taken as a callback would be.
    Where more than half of the open cases are missing, nothing is mended without --force.
    """
    settings = load()
    try:
        with connect_migrated("platform") as connection:
            found = platform_sink(connection, sink)
        outcome = reconcile(
            settings.require_database(),
            found,
            "open" if only_open else "all",
            actor=actor(),
            timeout_s=settings.delivery_timeout_s,
            dry_run=dry_run,
            force=force,
        )
    except RefusedError as error:
        raise typer.BadParameter(str(error)) from None
    except (BusyError, QueryError) as error:
        typer.echo(f"{sink}: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(outcome.shown(), ensure_ascii=False, indent=2))
    else:
        _print_outcome(outcome)


def _print_outcome(outcome: Outcome) -> None:
    out.print(f"平台 {outcome.listed} 件，本系统 {outcome.ours} 件，对上 {outcome.matched} 件", highlight=False)
    if not outcome.found:
        out.print("双方一致", style="green")
        return
    table = Table("差异", "件数", "举例")
    for what, count in sorted(outcome.found.items()):
        examples = "\n".join(
            "，".join(f"{name} {value}" for name, value in one.items()) for one in outcome.examples[what][:5]
        )
        table.add_row(WHAT_LABELS[what], str(count), Text(examples))
    out.print(table)
    if outcome.error is not None:
        out.print(Text(outcome.error, style="red"))
    if outcome.dry_run:
        out.print("--dry-run: nothing was mended.", style="dim")
    else:
        said = "，".join(f"{DONE_LABELS[what]} {count}" for what, count in sorted(outcome.done.items()))
        out.print(f"已处理：{said}", highlight=False)


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
