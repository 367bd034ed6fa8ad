"""`underfoot up`, `down`, `status`: the local stack for people and for tests."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from deploy import stack
from deploy.errors import StackError
from deploy.rootfs import Say
from deploy.stack import ServerName
from underfoot.brokers import Brokers
from underfoot.settings import Settings, load, origins
from underfoot.storage.migrate import migrate

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
_one_server = typer.Typer(
    no_args_is_help=True, help="Stop and start one server of the local stack alone, for fault tests."
)
commands.add_typer(_one_server, name="stack", hidden=True)

_URL_OF: dict[ServerName, str] = {"postgres": "database_url", "mosquitto": "mqtt_url"}
_TITLES: dict[ServerName, str] = {"postgres": "TimescaleDB", "mosquitto": "MQTT broker"}
_Name = Annotated[ServerName, typer.Argument(help="Which one.")]


@commands.command()
def up(
    secure: Annotated[
        bool,
        typer.Option(
            "--secure", help="The broker asks for credentials, and listens for TLS with an authority of its own."
        ),
    ] = False,
) -> None:
    """Start the local TimescaleDB and MQTT broker, bring the database up to date, and print where they are.

    Needs no Docker and no root. What runs already is left alone; data is kept from one time to the next, under
    UNDERFOOT_HOME. Whoever has set UNDERFOOT_DATABASE_URL or UNDERFOOT_MQTT_URL uses their own server.
    """
    settings = load()
    own = _their_own(settings)
    with _saying() as say:
        if secure and "mosquitto" in own:
            raise StackError("--secure is for the local broker; UNDERFOOT_MQTT_URL is set, so yours is used")
        wanted = tuple(name for name in stack.BOTH if name not in own)
        # A broker that asks for credentials needs the accounts first, and so the database.
        first = tuple(name for name in wanted if name == "postgres") if secure else wanted
        settings = _started(settings, first, None, say)
        say("Bringing the database up to date")
        applied = migrate(settings.require_database())
        if secure:
            settings = _started(settings, ("mosquitto",), settings.require_database(), say)
    for name in own:
        out.print(f"{_TITLES[name]}: UNDERFOOT_{_URL_OF[name].upper()} is set, so yours is used and none is started.")
    if applied:
        out.print(f"The database was brought up to date ({', '.join(applied)}).")
    _print_status(_status(settings))


def _started(settings: Settings, servers: tuple[ServerName, ...], accounts_in: str | None, say: Say) -> Settings:
    """The settings once these servers run."""
    if not servers:
        return settings
    stack.up(
        settings.home,
        stack.Ports(postgres=settings.postgres_port, mqtt=settings.mqtt_port),
        servers=servers,
        accounts_in=accounts_in,
        ready_rootfs=settings.rootfs,
        say=say,
    )
    return load()


@commands.command()
def down() -> None:
    """Stop the local TimescaleDB and MQTT broker. Their data is kept."""
    home = load().home
    with _saying() as say:
        say("Stopping the local stack")
        stack.down(home, say)
    out.print("The local stack is down.")


@commands.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="For programs, passwords included.")] = False) -> None:
    """Tell what runs, and where: the database, the broker, the API's address."""
    with _saying():
        found = _status(load())
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        _print_status(found)


@_one_server.command("stop")
def stop_one(
    name: _Name,
    kill: Annotated[bool, typer.Option("--kill", help="As a power cut would: nothing is saved.")] = False,
    forget_sessions: Annotated[
        bool, typer.Option("--forget-sessions", help="mosquitto: also remove its session store.")
    ] = False,
) -> None:
    """Stop one server alone."""
    with _saying():
        stack.stop(load().home, name, kill=kill, forget_sessions=forget_sessions)


@_one_server.command("start")
def start_one(name: _Name) -> None:
    """Start one server again, on the port that it had."""
    settings = load()
    with _saying() as say:
        stack.start(settings.home, name, ready_rootfs=settings.rootfs, say=say)


def _their_own(settings: Settings) -> list[ServerName]:
    """The servers whose URL the user has set."""
    where = origins(settings)
    return [name for name in stack.BOTH if where[_URL_OF[name]] in ("environment", "file")]


def _status(settings: Settings) -> dict[str, Any]:
    found = stack.status(settings.home)
    for name in _their_own(settings):
        url = settings.require_database() if name == "postgres" else settings.require_mqtt()
        found[_URL_OF[name]] = url
        found[name] = {"running": _answers(name, url), "configured": True}
    found["api_url"] = settings.api_url
    return found


def _answers(name: ServerName, url: str) -> bool:
    try:
        if name == "postgres":
            psycopg.connect(url, connect_timeout=3).close()
        else:
            return any(_listens(address) for address in Brokers.from_url(url).hosts)
    except psycopg.OperationalError:
        return False
    return True


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=3).close()
    except OSError:
        return False
    return True


def _print_status(found: dict[str, Any]) -> None:
    table = Table("server", "state", Column("where", overflow="fold"), "process")
    for name in stack.BOTH:
        server = found[name]
        state = "[green]runs[/green]" if server["running"] else "[yellow]does not run[/yellow]"
        process = "yours" if server.get("configured") else str(server["pid"] or "")
        table.add_row(_TITLES[name], state, _without_password(found[_URL_OF[name]]), process)
    closed = found["mosquitto"].get("secure")
    if closed is not None:
        for listener in ("devices", "certificates", "services"):
            table.add_row(f"  TLS for {listener}", "", f"mqtts://localhost:{closed[listener]}", "")
    table.add_row("API", "", found["api_url"], "")
    out.print(table)
    out.print("The URLs with their passwords: `underfoot status --json`", style="dim", highlight=False)


def _without_password(url: str | None) -> str:
    if url is None:
        return ""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":********@")))


@contextmanager
def _saying() -> Iterator[Say]:
    """Shows what is being done, and an expected failure as one red message."""
    try:
        with err.status("...") as spinner:

            def say(text: str) -> None:
                spinner.update(f"{text} ...")
                if not err.is_terminal:
                    err.print(f"{text} ...", highlight=False)

            yield say
    except StackError as error:
        err.print(Text(str(error), style="red"))
        raise typer.Exit(1) from None
