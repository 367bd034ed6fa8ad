"""What every command of the simulators shares: options, the end by Ctrl-C, an error as one line, the summary."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from simulators.city import CityError
from simulators.hazards import RehearsalError
from simulators.hydraulics.inp import HydraulicsError
from simulators.load import LoadError
from simulators.misbehaviour import MisbehaviourError
from simulators.network.model import NetworkError
from simulators.platform.course import CourseError
from simulators.platform.serve import ServeError
from simulators.play import Progress as RunProgress
from simulators.rain.spread import RainError
from simulators.scenario.load import ScenarioError
from simulators.stations.fleet import StationsError
from simulators.wire import WireError
from simulators.world.books import BooksError
from simulators.world.folder import RunError
from underfoot.identity.credentials import CredentialError
from underfoot.ledger.columns import LedgerError
from underfoot.settings import load as load_settings

_EXPECTED = (
    BooksError,
    CityError,
    CourseError,
    CredentialError,
    HydraulicsError,
    LedgerError,
    LoadError,
    MisbehaviourError,
    NetworkError,
    RainError,
    RehearsalError,
    RunError,
    ScenarioError,
    ServeError,
    StationsError,
    WireError,
)

out = Console()
err = Console(stderr=True)

Ledger = Annotated[
    Path | None,
    typer.Option("--ledger", help="The ledger (CSV or XLSX) whose devices report; `underfoot city` makes one."),
]
Mqtt = Annotated[
    str | None, typer.Option("--mqtt", help="The broker, like mqtt://host:1883. By default UNDERFOOT_MQTT_URL.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same run.")]
Connections = Annotated[int, typer.Option(min=1, max=256, help="MQTT connections; each carries many devices.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for programs.")]
SummaryFile = Annotated[Path | None, typer.Option("--summary", help="Write the summary to this file, as JSON.")]


def broker(mqtt: str | None) -> str:
    return mqtt if mqtt is not None else load_settings().require_mqtt()


def authority() -> Path | None:
    """Of which the certificate of a broker with TLS must be."""
    return load_settings().mqtt_ca


def writable(summary: Path | None) -> None:
    """Said before the run, not after it."""
    if summary is not None and (summary.is_dir() or not summary.resolve().parent.is_dir()):
        raise LoadError(f"summary: {summary} cannot be written: there is no such folder, or it is one")


def deliver(result: dict[str, Any], summary: Path | None, as_json: bool) -> None:
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
def plain_errors() -> Iterator[None]:
    """An expected failure is one red line, not a traceback."""
    try:
        yield
    except _EXPECTED as error:
        err.print(Text(str(error), style="red"), soft_wrap=True)
        raise typer.Exit(2) from None


@contextmanager
def stoppable() -> Iterator[Event]:
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
def run_progress(seconds: float) -> Iterator[Callable[[RunProgress], None]]:
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
def count_progress(reports: int) -> Iterator[Callable[[int], None]]:
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.completed:.0f} / {task.total:.0f}"))
    with Progress(*columns, console=err, refresh_per_second=4) as progress:
        task = progress.add_task("", total=reports)
        yield lambda sent: progress.update(task, completed=sent)
