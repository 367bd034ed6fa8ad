"""`underfoot stations`."""

from __future__ import annotations

import signal
import threading

import typer

from ingest.listen import listen
from underfoot.settings import load

commands = typer.Typer()


@commands.command()
def stations() -> None:
    """Take frames of SL 651-2014 stations (水文遥测站: 雨量, 水位) over TCP. Runs until SIGTERM or Ctrl-C.

    A frame is acknowledged when it is in the inbox, from where `underfoot ingest` takes it.
    """
    settings = load()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    listen(settings, stop)
