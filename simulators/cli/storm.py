"""`underfoot simulate storm`: a network that rains, floods and fails, its devices reporting, the truth written down.

What it takes is imported when it is asked for: SWMM's packages are an extra.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simulators.cli.terminal import Json, Mqtt, Seed, plain_errors
from simulators.world.folder import RunError
from simulators.world.span import DEFAULT_SPEED, FASTEST

commands = typer.Typer()


@commands.command()
def storm(
    network: Annotated[
        Path | None,
        typer.Option(help="The drainage network, a SWMM file (.inp). By default the demo city's, made from the seed."),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="What the network's file does not say (docs/networks.md). By default FILE.yaml beside it."),
    ] = None,
    scenario: Annotated[
        str, typer.Option(help="A shipped scenario (`underfoot simulate --list`), or a YAML file of your own.")
    ] = "evening-storm",
    seed: Seed = 1,
    speed: Annotated[
        float | None,
        typer.Option(
            help=f"Seconds of the storm in a real one, to {FASTEST:g}; it ends at the present.",
            show_default=f"{DEFAULT_SPEED:g}, or the installation's time lapse",
        ),
    ] = None,
    ends: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT",
            help="When it ends in event time, like '2026-07-01 18:00' (the city's time). By default the present.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="The run's folder: what it was, its truth, its account. By default in UNDERFOOT_HOME/runs."),
    ] = None,
    register: Annotated[
        bool | None,
        typer.Option(
            "--register/--no-register",
            help="Put assets, devices and pipes into the registry first.",
            show_default="where a database is configured",
        ),
    ] = None,
    books: Annotated[
        bool | None,
        typer.Option(
            "--books/--no-books",
            help="Hold the installation's books against what was sent.",
            show_default="where a database is configured",
        ),
    ] = None,
    connections: Annotated[
        int, typer.Option(min=1, max=256, help="MQTT connections; each carries many devices, like a gateway.")
    ] = 4,
    own_connections: Annotated[
        bool, typer.Option("--own-connections", help="A connection for each device or gateway, its id the client id.")
    ] = False,
    credentials: Annotated[
        Path | None,
        typer.Option(help="With --own-connections: the secrets, as `underfoot credentials issue … --csv` wrote them."),
    ] = None,
    rate_limit: Annotated[
        float | None, typer.Option(min=0.1, help="Messages a second at most; what is due beyond that waits its turn.")
    ] = None,
    api: Annotated[
        str | None, typer.Option(help="The API, for devices whose platform pushes over HTTP. By default its setting.")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=1, help="How long to wait for an ingest that does not get any further (seconds).")
    ] = 60,
    dry_run: Annotated[
        Path | None, typer.Option("--dry-run", metavar="FILE", help="Send nothing: write the messages, one a line.")
    ] = None,
    mqtt: Mqtt = None,
    as_json: Json = False,
) -> None:
    """Let a storm cross a drainage network: its water by EPA SWMM, its devices by their habits, faults as scripted.

    The network becomes a city first (assets, devices, pipes in the registry), then it rains. At the end the fleet's own
    account is held against the installation's books, and `underfoot score RUN` tells how well the alarms have done.

    Exit code 0: all that was sent is stored or in quarantine. Ctrl-C ends it early; account and books are done all the
    same.
    """
    with plain_errors():
        try:
            from simulators.cli.storming import Options, storm_through
        except ModuleNotFoundError as error:
            raise RunError(f"{error.name} is not installed: pip install 'underfoot[simulators]'") from None
        options = Options(
            network=network,
            mapping=mapping,
            scenario=scenario,
            seed=seed,
            speed=speed,
            ends=ends,
            run=run,
            register=register,
            books=books,
            connections=connections,
            own_connections=own_connections,
            credentials=credentials,
            rate_limit=rate_limit,
            api=api,
            patience_s=patience,
            dry_run=dry_run,
            mqtt=mqtt,
            as_json=as_json,
        )
        well = storm_through(options)
    if not well:
        raise typer.Exit(1)
