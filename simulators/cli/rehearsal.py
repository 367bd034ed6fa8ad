"""`underfoot simulate rehearsal`: the scripted evening, whose alarms are known before."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated

import typer

from simulators.cli.terminal import (
    Connections,
    Json,
    Ledger,
    Mqtt,
    Seed,
    SummaryFile,
    authority,
    broker,
    deliver,
    err,
    plain_errors,
    run_progress,
    stoppable,
    writable,
)
from simulators.fleet import Fleet
from simulators.hazards import load_rehearsal, shipped_rehearsals
from simulators.load import LoadError
from simulators.message import clock_from
from simulators.misbehaviour import Misbehaviour
from simulators.plan import Plan, lay_out
from simulators.play import play
from simulators.publisher import Publisher
from simulators.roster import read_roster
from simulators.summary import summary_of

QUIET = "quiet"

commands = typer.Typer()


@commands.command()
def rehearsal(
    ledger: Ledger = None,
    scenario: Annotated[
        str,
        typer.Option(
            help=f"What happens: {', '.join(shipped_rehearsals())}, a YAML file of your own, or {QUIET}: nothing."
        ),
    ] = "rehearsal",
    seconds: Annotated[float, typer.Option(min=1, help="How long the evening takes, in seconds.")] = 600,
    rate: Annotated[
        float | None, typer.Option(help="Reports a second, on average. By default as often as the ledger expects.")
    ] = None,
    pace: Annotated[
        float,
        typer.Option(help="How many times shorter than shipped the delays of the rules in force are (for demos)."),
    ] = 1.0,
    misbehave: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE",
            help="What goes wrong on the way, e.g. duplicate=0.02, poison=0.01, clock_1970=0.01, no_ts=0.01,"
            " backlog=0.01, shuffle=20 (messages). Can be given several times; docs/simulators.md has all.",
        ),
    ] = None,
    seed: Seed = 1,
    connections: Connections = 4,
    mqtt: Mqtt = None,
    summary: SummaryFile = None,
    as_json: Json = False,
) -> None:
    """Rehearse the path exactly: devices report through an evening whose every alarm is scripted, and known before.

    At the end it says exactly how many distinct reports the broker has acknowledged, and which alarms must come of
    them. Ctrl-C ends it early; the summary is written all the same.

    There is no water in it: `underfoot simulate storm` lets a drainage network flood.
    """
    if ledger is None:
        raise typer.BadParameter("name the ledger whose devices are to report", param_hint="--ledger")
    with plain_errors(), stoppable() as stop:
        roster = read_roster(ledger)
        plan = (
            Plan(seconds)
            if scenario == QUIET
            else lay_out(load_rehearsal(scenario), roster, seconds=seconds, seed=seed, pace=pace)
        )
        misbehaviour = Misbehaviour.parse(misbehave or (), spare=frozenset(plan.befalling))
        if rate is not None and not rate > 0:
            raise LoadError(f"rate: {rate}; reports a second, above 0")
        writable(summary)
        with closing(Publisher(broker(mqtt), connections=connections, authority=authority())) as publisher:
            publisher.open()
            started_ms = int(time.time() * 1000)
            fleet = Fleet(roster, plan, seed=seed, clock=clock_from(started_ms), rate=rate)
            with run_progress(seconds) as show:
                played = play(misbehaviour.apply(fleet.messages(), seed), publisher, stop=stop, on_progress=show)
        result = summary_of(played, plan, devices=len(roster), seed=seed, started_ms=started_ms)
        deliver(result, summary, as_json)
    if played.unacknowledged_messages:
        err.print(f"[red]{played.unacknowledged_messages} messages were never acknowledged by the broker[/red]")
        raise typer.Exit(1)
