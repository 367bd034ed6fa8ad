"""`underfoot city`, `simulate` and `standin`: the simulators on the command line."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from simulators.cli import city, load, networks, rehearsal, standin, stations, storm
from simulators.cli.terminal import out, plain_errors
from simulators.scenario.explain import explain
from simulators.scenario.load import read_scenario, shipped

commands = typer.Typer()
commands.add_typer(city.commands)
commands.add_typer(standin.commands)

simulate = typer.Typer(invoke_without_command=True, no_args_is_help=True, rich_markup_mode="rich")
commands.add_typer(simulate, name="simulate")
simulate.add_typer(storm.commands)
simulate.add_typer(networks.commands)
simulate.add_typer(rehearsal.commands)
simulate.add_typer(load.commands)
simulate.add_typer(stations.commands)


@simulate.callback()
def about_scenarios(
    list_all: Annotated[bool, typer.Option("--list", help="List the shipped scenarios, and stop.")] = False,
    explained: Annotated[
        str | None,
        typer.Option("--explain", metavar="SCENARIO", help="Explain a scenario, shipped or a YAML file, and stop."),
    ] = None,
) -> None:
    """Let a city's devices report: through a storm over a drainage network, an exact rehearsal, plain load, or as
    hydrological stations."""
    with plain_errors():
        if list_all:
            _list()
            raise typer.Exit
        if explained is not None:
            chosen = read_scenario(explained)
            out.print(explain(chosen.scenario, chosen.folder))
            raise typer.Exit


def _list() -> None:
    for name in shipped():
        scenario = read_scenario(name).scenario
        strikes = dict.fromkeys(fault.fault.replace("_", " ") for fault in scenario.faults)
        out.print(Text(f"{name}  {scenario.title}  {scenario.hours:g} h", style="bold"))
        out.print(Text(f"    {', '.join(strikes) or 'nothing strikes'}", style="dim"))
