"""`underfoot simulate stations`: hydrological stations over TCP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from simulators.cli.terminal import (
    Json,
    Seed,
    SummaryFile,
    count_progress,
    deliver,
    err,
    plain_errors,
    stoppable,
    writable,
)
from simulators.stations.fleet import Fleet, Habits
from simulators.stations.life import CHINA, Station, lives_from
from underfoot.settings import load as load_settings

commands = typer.Typer()


@commands.command("stations")
def simulate_stations(
    stations: Annotated[int, typer.Option(min=1, max=20_000, help="How many stations, each on its connection.")] = 20,
    steps: Annotated[
        int, typer.Option(min=1, max=1440, help="How many steps of five minutes each lives through, up to now.")
    ] = 24,
    first: Annotated[int, typer.Option(min=0, help="The first station's number; the others follow.")] = 41_050_001,
    rate: Annotated[
        float | None, typer.Option(help="Frames a second, of all. By default as fast as they are acknowledged.")
    ] = None,
    window: Annotated[int, typer.Option(min=1, max=64, help="Unacknowledged frames a station at most.")] = 1,
    corrupt: Annotated[float, typer.Option(help="Share of frames before which a damaged one comes.")] = 0.0,
    split: Annotated[float, typer.Option(help="Share of frames that arrive in pieces.")] = 0.0,
    repeat: Annotated[float, typer.Option(help="Share of frames that are sent twice.")] = 0.0,
    retry_s: Annotated[float, typer.Option(help="After how long without an answer a frame is sent again.")] = 10.0,
    patience_s: Annotated[float, typer.Option(help="After how long without any answer the fleet gives up.")] = 60.0,
    host: Annotated[
        str | None, typer.Option(help="Where `underfoot stations` listens. By default its setting.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Its port. By default its setting.")] = None,
    seed: Seed = 1,
    summary: SummaryFile = None,
    as_json: Json = False,
) -> None:
    """Let hydrological stations (rain and level) report over TCP in SL 651-2014: timed, additional, hourly, heartbeats.

    A frame counts as acknowledged by the centre's answer, and is sent again without one.
    """
    with plain_errors(), stoppable() as stop:
        habits = Habits(rate, window, corrupt, split, repeat, retry_s, patience_s=patience_s)
        writable(summary)
        settings = load_settings()
        began = lives_from(datetime.now(CHINA), steps)
        lives = [Station(f"{first + number:010d}", began, steps, seed) for number in range(stations)]
        fleet = Fleet(lives, host or settings.stations_host, port or settings.stations_port, habits, seed)
        with count_progress(stations * steps) as show:
            result = fleet.run(stop, show)
        deliver(result, summary, as_json)
    if result["unacknowledged"]:
        err.print(f"[red]{result['unacknowledged']} frames were never acknowledged[/red]")
        raise typer.Exit(1)
