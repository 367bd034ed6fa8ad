"""`underfoot simulate load`: plain load, counted exactly."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from simulators.city import City
from simulators.cli.terminal import (
    Connections,
    Json,
    Ledger,
    Mqtt,
    Seed,
    SummaryFile,
    authority,
    broker,
    count_progress,
    deliver,
    err,
    plain_errors,
    stoppable,
    writable,
)
from simulators.load import Load, LoadError, run_load
from simulators.publisher import Publisher
from simulators.roster import RosterDevice, read_roster, roster_of

commands = typer.Typer()


@commands.command("load")
def simulate_load(
    reports: Annotated[
        int | None, typer.Option(min=1, help="How many reports. By default what --rate gives in --seconds.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Reports a second. By default as fast as the broker takes them.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="With --rate and without --reports: how long.")] = 10,
    ledger: Ledger = None,
    devices: Annotated[
        int, typer.Option(min=1, help="How many devices: the first of the ledger, or of a made-up city without one.")
    ] = 600,
    garbage: Annotated[
        float, typer.Option(help="Share of all messages that is no report, sent beside them: 0.5 for as much again.")
    ] = 0.0,
    seed: Seed = 1,
    connections: Connections = 8,
    window: Annotated[
        int, typer.Option(min=1, max=65_535, help="Unacknowledged messages a connection at most.")
    ] = 2_000,
    mqtt: Mqtt = None,
    summary: SummaryFile = None,
    as_json: Json = False,
) -> None:
    """Send ordinary reports at a constant rate or at full speed, and count them exactly.

    Every report is distinct. Without --ledger the devices are those of `underfoot city --devices N --seed N`.
    """
    with plain_errors(), stoppable() as stop:
        if reports is None:
            if rate is None:
                raise LoadError("reports: say how many, or give --rate (and --seconds)")
            reports = max(round(rate * seconds), 1)
        roster = _load_roster(ledger, devices, seed)
        plan = Load(reports, rate, seed, garbage)
        writable(summary)
        with closing(
            Publisher(broker(mqtt), connections=connections, window=window, name="load", authority=authority())
        ) as publisher:
            publisher.open()
            with count_progress(reports + plan.garbage_before(reports)) as show:
                result = run_load(plan, roster, publisher, stop=stop, on_progress=show)
        deliver({"devices": len(roster), "rate": rate, **asdict(result)}, summary, as_json)
    if result.unacknowledged:
        err.print(f"[red]{result.unacknowledged} messages were never acknowledged by the broker[/red]")
        raise typer.Exit(1)


def _load_roster(ledger: Path | None, devices: int, seed: int) -> list[RosterDevice]:
    if ledger is None:
        return roster_of(City(devices, seed, bare_covers_per_cover=0).rows())
    roster = read_roster(ledger)
    if len(roster) < devices:
        raise LoadError(f"devices: {devices}; {ledger} has {len(roster)}")
    return roster[:devices]
