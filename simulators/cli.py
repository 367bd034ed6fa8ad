"""`underfoot city`, `simulate` and `platform`: the simulators on the command line."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from simulators.city import City, CityError
from simulators.fleet import Fleet
from simulators.hazards import ScenarioError, load_scenario, shipped_scenarios
from simulators.load import Load, LoadError, run_load
from simulators.message import clock_from
from simulators.misbehaviour import Misbehaviour, MisbehaviourError
from simulators.plan import Plan, lay_out
from simulators.platform.access import Access
from simulators.platform.app import PlatformSettings
from simulators.platform.serve import ServeError, serve
from simulators.play import Progress as RunProgress
from simulators.play import play
from simulators.publisher import Publisher
from simulators.roster import RosterDevice, read_roster, roster_of
from simulators.stations.fleet import Fleet as StationFleet
from simulators.stations.fleet import Habits, StationsError
from simulators.stations.life import CHINA, Station, lives_from
from simulators.summary import summary_of
from simulators.wire import WireError
from underfoot.families import FAMILIES
from underfoot.ledger.columns import LedgerError
from underfoot.settings import load as load_settings

QUIET = "quiet"

_EXPECTED = (
    CityError,
    LedgerError,
    LoadError,
    MisbehaviourError,
    ScenarioError,
    ServeError,
    StationsError,
    WireError,
)

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
simulate = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")
commands.add_typer(simulate, name="simulate")

_Ledger = Annotated[
    Path | None,
    typer.Option("--ledger", help="The ledger (CSV or XLSX) whose devices report; `underfoot city` makes one."),
]
_Mqtt = Annotated[
    str | None, typer.Option("--mqtt", help="The broker, like mqtt://host:1883. By default UNDERFOOT_MQTT_URL.")
]
_Seed = Annotated[int, typer.Option(help="The same seed gives the same run.")]
_Connections = Annotated[int, typer.Option(min=1, max=256, help="MQTT connections; each carries many devices.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for programs.")]
_Summary = Annotated[Path | None, typer.Option("--summary", help="Write the summary to this file, as JSON.")]


@commands.command()
def city(
    file: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    devices: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many sensors the city has.")] = 600,
    seed: _Seed = 1,
    bare: Annotated[
        float, typer.Option(min=0, max=20, help="Covers without a sensor, for each cover that has one.")
    ] = 2.0,
    pace: Annotated[
        float, typer.Option(help="How many times faster than life its devices are expected to report (for demos).")
    ] = 1.0,
    area_names: Annotated[
        bool, typer.Option("--area-names", help="Add a column area_name, so that an import names the areas, too.")
    ] = False,
) -> None:
    """Write the ledger of a made-up city: covers, low roads, underpasses, pipes, pumps, rain gauges, lampposts.

    The same seed and size give the same file. Import it with `underfoot devices import`, and let it report with
    `underfoot simulate`.
    """
    with _plain_errors():
        try:
            counts = City(devices, seed, bare, pace).write(file, with_area_names=area_names)
        except OSError as error:
            raise CityError(f"{file}: cannot be written: {error.strerror}") from None
    shown = "、".join(f"{FAMILIES[name].label} {count}" for name, count in sorted(counts.items()) if name)
    out.print(f"{file}: {shown}；无传感器部件 {counts['']}", highlight=False)


@simulate.callback()
def simulate_city(
    context: typer.Context,
    ledger: _Ledger = None,
    scenario: Annotated[
        str,
        typer.Option(
            help=f"What happens: {', '.join(shipped_scenarios())}, a YAML file of your own, or {QUIET}: nothing."
        ),
    ] = "evening-storm",
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
    seed: _Seed = 1,
    connections: _Connections = 4,
    mqtt: _Mqtt = None,
    summary: _Summary = None,
    as_json: _Json = False,
) -> None:
    """Let a city's devices report over MQTT, through a storm in which things go wrong as scripted.

    At the end it says exactly how many distinct reports the broker has acknowledged, and which alarms must come of
    them. Ctrl-C ends it early; the summary is written all the same.

    `underfoot simulate load` sends plain load for benchmarks instead.
    """
    if context.invoked_subcommand is not None:
        return
    if ledger is None:
        raise typer.BadParameter("name the ledger whose devices are to report", param_hint="--ledger")
    with _plain_errors(), _stoppable() as stop:
        roster = read_roster(ledger)
        plan = (
            Plan(seconds)
            if scenario == QUIET
            else lay_out(load_scenario(scenario), roster, seconds=seconds, seed=seed, pace=pace)
        )
        misbehaviour = Misbehaviour.parse(misbehave or (), spare=frozenset(plan.befalling))
        if rate is not None and not rate > 0:
            raise LoadError(f"rate: {rate}; reports a second, above 0")
        _writable(summary)
        with closing(Publisher(_broker(mqtt), connections=connections)) as publisher:
            publisher.open()
            started_ms = int(time.time() * 1000)
            fleet = Fleet(roster, plan, seed=seed, clock=clock_from(started_ms), rate=rate)
            with _run_progress(seconds) as show:
                played = play(misbehaviour.apply(fleet.messages(), seed), publisher, stop=stop, on_progress=show)
        result = summary_of(played, plan, devices=len(roster), seed=seed, started_ms=started_ms)
        _deliver(result, summary, as_json)
    if played.unacknowledged_messages:
        err.print(f"[red]{played.unacknowledged_messages} messages were never acknowledged by the broker[/red]")
        raise typer.Exit(1)


@simulate.command("load")
def simulate_load(
    reports: Annotated[
        int | None, typer.Option(min=1, help="How many reports. By default what --rate gives in --seconds.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Reports a second. By default as fast as the broker takes them.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="With --rate and without --reports: how long.")] = 10,
    ledger: _Ledger = None,
    devices: Annotated[
        int, typer.Option(min=1, help="How many devices: the first of the ledger, or of a made-up city without one.")
    ] = 600,
    garbage: Annotated[
        float, typer.Option(help="Share of all messages that is no report, sent beside them: 0.5 for as much again.")
    ] = 0.0,
    seed: _Seed = 1,
    connections: _Connections = 8,
    window: Annotated[
        int, typer.Option(min=1, max=65_535, help="Unacknowledged messages a connection at most.")
    ] = 2_000,
    mqtt: _Mqtt = None,
    summary: _Summary = None,
    as_json: _Json = False,
) -> None:
    """Send ordinary reports at a constant rate or at full speed, and count them exactly.

    Every report is distinct. Without --ledger the devices are those of `underfoot city --devices N --seed N`.
    """
    with _plain_errors(), _stoppable() as stop:
        if reports is None:
            if rate is None:
                raise LoadError("reports: say how many, or give --rate (and --seconds)")
            reports = max(round(rate * seconds), 1)
        roster = _load_roster(ledger, devices, seed)
        plan = Load(reports, rate, seed, garbage)
        _writable(summary)
        with closing(Publisher(_broker(mqtt), connections=connections, window=window, name="load")) as publisher:
            publisher.open()
            with _count_progress(reports + plan.garbage_before(reports)) as show:
                result = run_load(plan, roster, publisher, stop=stop, on_progress=show)
        _deliver({"devices": len(roster), "rate": rate, **asdict(result)}, summary, as_json)
    if result.unacknowledged:
        err.print(f"[red]{result.unacknowledged} messages were never acknowledged by the broker[/red]")
        raise typer.Exit(1)


@simulate.command("stations")
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
    seed: _Seed = 1,
    summary: _Summary = None,
    as_json: _Json = False,
) -> None:
    """Let hydrological stations (rain and level) report over TCP in SL 651-2014: timed, additional, hourly, heartbeats.

    A frame counts as acknowledged by the centre's answer, and is sent again without one.
    """
    with _plain_errors(), _stoppable() as stop:
        habits = Habits(rate, window, corrupt, split, repeat, retry_s, patience_s=patience_s)
        _writable(summary)
        settings = load_settings()
        began = lives_from(datetime.now(CHINA), steps)
        lives = [Station(f"{first + number:010d}", began, steps, seed) for number in range(stations)]
        fleet = StationFleet(lives, host or settings.stations_host, port or settings.stations_port, habits, seed)
        with _count_progress(stations * steps) as show:
            result = fleet.run(stop, show)
        _deliver(result, summary, as_json)
    if result["unacknowledged"]:
        err.print(f"[red]{result['unacknowledged']} frames were never acknowledged[/red]")
        raise typer.Exit(1)


@commands.command()
def platform(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: any free one.")] = 58090,
    record: Annotated[
        Path | None,
        typer.Option(help="Append everything that comes to this file (JSONL); started again on it, it goes on."),
    ] = None,
    token: Annotated[str | None, typer.Option(help="Ask for this bearer token.")] = None,
    gateway_token: Annotated[
        str | None, typer.Option(help="Ask for x-tif-* or x-rio-* signatures made with this token.")
    ] = None,
    robot_per_minute: Annotated[
        int, typer.Option(min=0, help="Messages a minute that each robot takes; 0: no limit.")
    ] = 20,
    seed: _Seed = 1,
) -> None:
    """Stand in for a city's 一网统管 platform and for its crews' WeCom robots.

    It takes events at /events and messages at /cgi-bin/webhook/send?key=…, checks that each event comes once and in
    order, and shows what came at /records, /violations and /stats. It can be told to misbehave at /behaviour; /docs
    describes all of it.
    """
    with _plain_errors():
        settings = PlatformSettings(record, Access(token, gateway_token), robot_per_minute, seed)
        serve(
            settings,
            host,
            port,
            lambda url: out.print(f"一网统管 stand-in: {url}/events   {url}/docs", highlight=False),
        )


def _load_roster(ledger: Path | None, devices: int, seed: int) -> list[RosterDevice]:
    if ledger is None:
        return roster_of(City(devices, seed, bare_covers_per_cover=0).rows())
    roster = read_roster(ledger)
    if len(roster) < devices:
        raise LoadError(f"devices: {devices}; {ledger} has {len(roster)}")
    return roster[:devices]


def _broker(mqtt: str | None) -> str:
    return mqtt if mqtt is not None else load_settings().require_mqtt()


def _writable(summary: Path | None) -> None:
    """Said before the run, not after it."""
    if summary is not None and (summary.is_dir() or not summary.resolve().parent.is_dir()):
        raise LoadError(f"summary: {summary} cannot be written: there is no such folder, or it is one")


def _deliver(result: dict[str, Any], summary: Path | None, as_json: bool) -> None:
    text = json.dumps(result, ensure_ascii=False, indent=2)
    if summary is not None:
        summary.write_text(text + "\n", encoding="utf-8")
    if as_json:
        typer.echo(text)
        return
    table = Table("what", "value", show_edge=False)
    for name, value in result.items():
        if name == "by_device":
            continue
        if isinstance(value, list):
            value = len(value)
        table.add_row(name, json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value))
    out.print(table)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """An expected failure is one red line, not a traceback."""
    try:
        yield
    except _EXPECTED as error:
        err.print(Text(str(error), style="red"))
        raise typer.Exit(2) from None


@contextmanager
def _stoppable() -> Iterator[Event]:
    """An event that Ctrl-C or SIGTERM sets; a second one ends the process as usual."""
    stop = Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()
        for signum, handler in before.items():
            signal.signal(signum, handler)

    before = {signum: signal.signal(signum, end) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def _run_progress(seconds: float) -> Iterator[Any]:
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=err, refresh_per_second=4) as progress:
        task = progress.add_task("", total=seconds, said="")

        def show(run: RunProgress) -> None:
            account = run.account
            said = f"{account.sent} 条上报已确认，{account.repeats} 重复，{run.waiting + run.in_flight} 在途"
            if run.behind_s > 1:
                said += f"，滞后 {run.behind_s:.0f} s"
            progress.update(task, completed=min(run.elapsed_s, seconds), said=said)

        yield show


@contextmanager
def _count_progress(reports: int) -> Iterator[Any]:
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.completed:.0f} / {task.total:.0f}"))
    with Progress(*columns, console=err, refresh_per_second=4) as progress:
        task = progress.add_task("", total=reports)
        yield lambda sent: progress.update(task, completed=sent)
