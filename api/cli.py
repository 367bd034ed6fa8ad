"""The commands `underfoot api` and `underfoot keys`."""

from __future__ import annotations

import json
import logging
import re
import signal
import threading
import time
from datetime import datetime, timedelta
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api import keys
from api.keys import KeyExistsError, UnknownKeyError
from api.people.rights import RightsError
from api.roles import Role
from underfoot.audit.log import note_settings
from underfoot.city_time import CITY_ZONE
from underfoot.clock import CLOCK
from underfoot.collector import spare_the_collector
from underfoot.settings import Settings, load
from underfoot.storage.connect import connect
from underfoot.terminal import actor, connect_migrated

log = logging.getLogger(__name__)
out = Console()
err = Console(stderr=True)

commands = typer.Typer()
keys_commands = typer.Typer(no_args_is_help=True, help="API keys: make, list and revoke them.")
commands.add_typer(keys_commands, name="keys")

_NOTED_AGAIN_S = 5.0
_SPAN = re.compile(r"([1-9][0-9]{0,4})([hd])", re.ASCII)
_SPANS = {"h": "hours", "d": "days"}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@commands.command("api")
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Unset: UNDERFOOT_API_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. Unset: UNDERFOOT_API_PORT")] = None,
) -> None:
    """Serve the HTTP API until told to stop (SIGTERM, Ctrl-C); calls under way are answered first."""
    # Here and not above: `underfoot keys` needs no router, and importing them (pandas) takes longer than its work.
    from api.app import create_app
    from api.serving import http_server

    settings = load(api_host=host, api_port=port)
    logging.getLogger("underfoot").setLevel(settings.log_level)
    application = create_app(settings)

    def stop(_number: int, _frame: Any) -> None:
        raise SystemExit(0)

    # At SIGTERM uvicorn ends its calls and raises the signal again for whoever had it before: here, an orderly end.
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_note_settings, args=(settings,), name="settings", daemon=True).start()
    spare_the_collector()
    http_server(application, settings.api_host, settings.api_port, settings.api_proxies).run()


def _note_settings(settings: Settings) -> None:
    """Enter in the audit log by what this process goes, as soon as the database is there: we serve without it, too."""
    while True:
        try:
            with connect(settings.require_database(), "api-settings") as connection:
                note_settings(connection, "api", settings)
        except psycopg.Error as error:
            log.warning("api: its settings are not in the audit log yet: %s", str(error).strip())
            time.sleep(_NOTED_AGAIN_S)
        else:
            return


@keys_commands.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who or what uses it; the actor in the audit log. Never used twice.")],
    role: Annotated[
        Role,
        typer.Option(
            help="viewer reads; operator also acknowledges and closes; crew does its part of that; integrator sees to"
            " devices, newcomers, quarantine; administrator does it all (docs/people.md); broker is for an MQTT broker"
            " that asks who may come in, and for nothing else."
        ),
    ],
    area: Annotated[list[str] | None, typer.Option(help="Only this area and below; may be repeated.")] = None,
    unit: Annotated[list[str] | None, typer.Option(help="Only of this 养护单位; may be repeated.")] = None,
    expires: Annotated[
        str | None,
        typer.Option(help="Until when it is good: a time like 2027-01-01T00:00:00+08:00, or like 90d or 12h."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print its secret, this once."""
    if not _NAME.fullmatch(name):
        err.print(Text(f"NAME = {name!r}: 1 to 64 of A-Z a-z 0-9 _ . - are allowed", style="red"))
        raise typer.Exit(2)
    try:
        with connect_migrated("keys") as connection:
            until = _until(expires)
            key = keys.create(connection, name, role, actor(), areas=area, units=unit, expires_at=until)
    except KeyExistsError as error:
        err.print(Text(f"NAME: {error}", style="red"))
        raise typer.Exit(1) from None
    except RightsError as error:
        err.print(Text(str(error), style="red"))
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(key.model_dump_json(indent=2))
        return
    typer.echo(key.secret)
    err.print(f"The key {name} ({role.value}). It is shown only now: keep it where its user finds it.", highlight=False)


def _until(text: str | None) -> datetime | None:
    if text is None:
        return None
    if (span := _SPAN.fullmatch(text)) is not None:
        return CLOCK.now() + timedelta(**{_SPANS[span[2]]: int(span[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RightsError("--expires", text, "a time like 2027-01-01T00:00:00+08:00, or like 90d or 12h") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=CITY_ZONE)


@keys_commands.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List keys, revoked ones among them. Secrets are not kept, so none is shown."""
    found: list[keys.ApiKey] = []
    with connect_migrated("keys") as connection:
        while page := keys.listed(connection, found[-1].name if found else "", 1000):
            found += page
    if as_json:
        typer.echo(json.dumps([key.model_dump(mode="json") for key in found], indent=2))
        return
    table = Table("name", "role", "where", "revoked or expires")
    table.columns[0].no_wrap = True
    for key in found:
        shown = key.model_dump(mode="json")
        where = "; ".join(", ".join(part) for part in (key.areas, key.units) if part)
        over = f"revoked {shown['revoked_at']}" if key.revoked_at is not None else shown["expires_at"] or ""
        table.add_row(key.name, key.role.value, where or "the whole city", over)
    out.print(table)


@keys_commands.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="The key's name.")], as_json: AsJson = False) -> None:
    """Make a key useless: it opens nothing any more after 5 seconds at most."""
    try:
        with connect_migrated("keys") as connection:
            key = keys.revoke(connection, name, actor())
    except UnknownKeyError as error:
        err.print(Text(f"NAME: {error}; `underfoot keys list` shows them", style="red"))
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(key.model_dump_json(indent=2))
        return
    out.print(f"The key {name} is revoked.", highlight=False)
