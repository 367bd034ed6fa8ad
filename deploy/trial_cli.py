"""`underfoot trial` on the command line."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from deploy.children import ChildEndedError
from deploy.errors import StackError
from deploy.fresh import saying

screen = Console()
err = Console(stderr=True)
_SHOWN = 15

commands = typer.Typer()


@commands.command("trial")
def trial_command(
    scenario: Annotated[str, typer.Argument(help="A shipped scenario (`underfoot simulate --list`), or a YAML file.")],
    network: Annotated[
        Path | None,
        typer.Option(help="A drainage network (.inp). By default one is made, by --style, --nodes.", dir_okay=False),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="What its file does not say. By default FILE.yaml beside it.", dir_okay=False)
    ] = None,
    style: Annotated[str, typer.Option(help="Of a network that is made, as of `underfoot simulate network`.")] = "demo",
    nodes: Annotated[int, typer.Option(help="Its size.")] = 240,
    network_seed: Annotated[
        int | None, typer.Option(help="The seed it is made from.", show_default="that of the run")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same city, faults and reports.")] = 1,
    speed: Annotated[float, typer.Option(min=1, max=600, help="Seconds of the scenario in a real one.")] = 60,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder: truth, account, alarms, score, logs.", show_default="trials/… in this folder"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the score as JSON, for programs.")] = False,
) -> None:
    """Try the alert engine: a scenario plays over a network, and its alarms are held against what really happened.

    Everything is started for it and ended with it: TimescaleDB, the broker, ingest, alerts and the API live in lapsed
    time (UNDERFOOT_TIME_LAPSE), as fast as the fleet plays. Several trials may be under way at once.

    The score's picture: `underfoot score RUN --picture score.svg`.
    """
    # Here and not above: `underfoot up` needs none of it, nor the packages that it stands on (extra `simulators`).
    from deploy.trial import Material, trial
    from simulators.cli.terminal import plain_errors
    from simulators.score.table import show

    logging.getLogger("httpx").setLevel(logging.WARNING)
    material = Material(
        scenario, network, mapping, style, nodes, network_seed if network_seed is not None else seed, seed
    )
    folder = out if out is not None else Path("trials") / material.name
    try:
        with plain_errors(), saying(err) as say:
            code, score = trial(material, speed, folder, say)
    except (ChildEndedError, StackError) as error:
        err.print(Text(str(error), style="red"), soft_wrap=True)
        raise typer.Exit(1) from None
    if score is None:
        raise typer.Exit(code)
    err.print(Text(f"运行目录 run  {folder}"), soft_wrap=True)
    if as_json:
        typer.echo(score.model_dump_json(indent=1))
    else:
        show(score, screen, _SHOWN)
