"""The `underfoot` command. Each package brings its own sub-commands through the entry-point group `underfoot.commands`.

An entry is named after each command, of the module that has it. So only that module is imported: all of them take a
second or two.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib.metadata import entry_points
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from typer.main import get_group

from underfoot import __version__
from underfoot.audit.log import enter
from underfoot.clock import CLOCK
from underfoot.settings import Settings, SettingsError, load, origins
from underfoot.storage.migrate import MigrationError, migrate
from underfoot.terminal import actor, connect_migrated

out = Console()
err = Console(stderr=True)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="脚底下的安全: the backend with which a city watches what it stands on and walks under.",
    pretty_exceptions_enable=False,
)
db = typer.Typer(no_args_is_help=True, help="The database: bring it up to date.")
app.add_typer(db, name="db")


def _say_version(asked: bool) -> None:
    if asked:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    settings = load()
    logging.getLogger().setLevel(settings.log_level)
    CLOCK.set_going(settings.time_lapse, settings.clock_settles_s)


@db.command("migrate")
def db_migrate() -> None:
    """Create what is missing in the database. Safe to run again; two at once wait for each other."""
    applied = migrate(load().require_database())
    if applied:
        with connect_migrated("migrate") as connection:
            enter(connection, actor(), "database.migrate", "database", {"applied": applied})
    out.print(f"Applied {', '.join(applied)}." if applied else "The database is up to date.")


@app.command("settings")
def show_settings(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Print every setting: its meaning, its value and where the value came from. Secrets are masked."""
    settings = load()
    where, shown = origins(settings), settings.shown()
    rows = [
        {
            "name": f"UNDERFOOT_{name.upper()}",
            "value": shown[f"UNDERFOOT_{name.upper()}"],
            "origin": where[name],
            "meaning": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table(Column("setting", no_wrap=True), Column("value", overflow="fold"), "origin", "meaning")
    for row in rows:
        table.add_row(*(Text(row[column]) for column in ("name", "value", "origin", "meaning")))
    out.print(table)


def mount(asked: str) -> None:
    """Mount the module that has the command `asked`; all of them, where no single one has it."""
    if asked in get_group(app).commands:
        return
    entries = list(entry_points(group="underfoot.commands"))
    wanted = [entry for entry in entries if entry.name == asked] or entries
    for _, entry in sorted({entry.value: entry for entry in wanted}.items()):
        app.add_typer(entry.load())


def main() -> None:
    """Mount what is asked for and run; an expected failure is one red line, not a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        mount(next((argument for argument in sys.argv[1:] if not argument.startswith("-")), ""))
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (SettingsError, MigrationError) as error:
        err.print(Text(str(error), style="red"))
        raise SystemExit(2) from None
    except psycopg.OperationalError as error:
        err.print(Text(f"The database does not answer: {str(error).strip()}", style="red"))
        raise SystemExit(1) from None
