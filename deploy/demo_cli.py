"""`underfoot demo` on the command line."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from deploy.children import ChildEndedError
from deploy.demo import demo
from deploy.demo_setup import STORM_S, Options
from deploy.errors import StackError

out = Console()
err = Console(stderr=True)

commands = typer.Typer()


@commands.command("demo")
def demo_command(
    seconds: Annotated[
        float | None,
        typer.Option(
            min=30,
            max=86_400,
            help="How long the storm takes; then the demo ends by itself.",
            show_default=f"a storm of {STORM_S:.0f} s, then calm until Ctrl-C",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same city and the same storm.")] = 1,
    rate: Annotated[float, typer.Option(min=10, max=20_000, help="Reports a second, on average.")] = 200,
) -> None:
    """Watch an evening storm cross a city: covers open, an underpass fills, lamps fail, and everybody is told, once.

    Starts everything it needs, on servers of its own, with a made-up city: TimescaleDB, the broker, ingest, alerts,
    the API, a stand-in for the city's 一网统管 platform and its crews' robots, and a fleet of 600 devices.

    At the end it opens the books and says whether they balance, and whether every scripted hazard was raised and
    delivered and nothing else was; demo-summary.json has it in numbers. Exit code 0 only if all of that is so.

    Ctrl-C ends it, and leaves no process behind.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every request would tear the picture
    try:
        code = demo(Options(seconds, seed, rate), out)
    except (StackError, ChildEndedError) as error:
        err.print(Text(str(error), style="red"), soft_wrap=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)
