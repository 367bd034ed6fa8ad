"""`underfoot grafana`: lets Grafana read the database, and brings it our dashboards, by its API or as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console

from deploy.grafana.overview import overview
from deploy.grafana.provision import (
    Reader,
    ReaderError,
    datasource,
    export,
    folder,
    let_reader_in,
    reader_in_force,
    view_of_ledger,
)
from deploy.grafana.push import PushError, push
from underfoot.settings import load
from underfoot.terminal import actor

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
_grafana = typer.Typer(no_args_is_help=True, help="Grafana: its access to the database and its dashboards.")
commands.add_typer(_grafana, name="grafana")


@_grafana.command("reader")
def reader_command(
    variables: Annotated[
        bool, typer.Option("--variables", help="Print the variables of the provisioned datasource instead of one URL.")
    ] = False,
) -> None:
    """Give Grafana's read-only role a new password, and print how it logs in. Shown once; the old password ends.

    The role sees the views of schema `dashboard` and nothing else, writes nothing, and may not run a statement longer
    than 15 s. Set UNDERFOOT_GRAFANA_DATABASE_URL to what is printed for `underfoot grafana push`, with the host as
    Grafana reaches it.
    """
    try:
        url = let_reader_in(load().require_database(), actor=actor())
    except ReaderError as error:
        err.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    if not variables:
        typer.echo(url)
        return
    for name, value in Reader.of_url(url).variables.items():
        typer.echo(f"{name}={value}")


@_grafana.command("push")
def push_command(
    url: Annotated[str | None, typer.Option(help="Grafana's address. Unset: UNDERFOOT_GRAFANA_URL.")] = None,
    token: Annotated[
        str | None, typer.Option(help="Token of a service account with the role Admin. Unset: UNDERFOOT_GRAFANA_TOKEN.")
    ] = None,
) -> None:
    """Create or update folder, datasource and dashboards on a Grafana server. Safe to run again.

    Needs the extra `grafana`. The map is centred on the ledger's assets, and the links lead to UNDERFOOT_PUBLIC_URL.
    """
    settings = load(grafana_url=url, grafana_token=SecretStr(token) if token else None)
    if settings.grafana_url is None or settings.grafana_token is None:
        missing = "UNDERFOOT_GRAFANA_URL" if settings.grafana_url is None else "UNDERFOOT_GRAFANA_TOKEN"
        err.print(f"[red]{missing} is not set: set it, or give --url and --token[/red]", highlight=False)
        raise typer.Exit(2)
    reader = reader_in_force(settings)
    dashboard = overview(settings.api_url, view_of_ledger(settings.require_database()))
    try:
        done = push(
            settings.grafana_url, settings.grafana_token.get_secret_value(), folder(), datasource(reader), dashboard
        )
    except PushError as error:
        err.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    for line in done:
        out.print(line, markup=False, highlight=False)
    if not reader.password:
        err.print(
            "The datasource was sent without a password. If Grafana has none yet: `underfoot grafana reader`, set"
            " UNDERFOOT_GRAFANA_DATABASE_URL to what it prints, and push again.",
            style="yellow",
        )


@_grafana.command("export")
def export_command(
    folder_to_write: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where to write: DIR/provisioning and DIR/dashboards.", file_okay=False),
    ],
) -> None:
    """Write the files of Grafana's file provisioning, with our links and map, over those that are there.

    Mount DIR/provisioning at Grafana's provisioning folder and set UNDERFOOT_GRAFANA_DASHBOARDS to where Grafana sees
    DIR/dashboards; `underfoot grafana reader --variables` prints the rest.
    """
    settings = load()
    dashboard = overview(settings.api_url, view_of_ledger(settings.require_database()))
    for path in export(folder_to_write, dashboard):
        out.print(str(path), markup=False, highlight=False)
