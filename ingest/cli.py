"""`underfoot ingest`."""

from __future__ import annotations

import signal
import threading

import typer

from ingest.workforce import work
from underfoot.settings import load

commands = typer.Typer()


@commands.command()
def ingest() -> None:
    """Take reports from the broker into the database, and evaluate the rules on the way. Runs until SIGTERM or Ctrl-C.

    Any number may run: they divide the shards among them, and take over from each other (docs/workers.md).
    """
    settings = load()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    work(settings, stop)
