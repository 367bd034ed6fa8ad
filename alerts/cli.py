"""`underfoot alerts` on the command line."""

from __future__ import annotations

import logging
import signal
import threading

import psycopg
import typer

from alerts.cases.reconciling import run_reconciling
from alerts.city.engine import run_city, take_over
from alerts.deliver.dispatch import Dispatcher
from alerts.timers import run_timers
from alerts.upward.run import run_upward
from underfoot.audit.log import note_settings
from underfoot.settings import Settings, load
from underfoot.storage.connect import connect
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

commands = typer.Typer()


@commands.command()
def alerts() -> None:
    """Judge what takes several devices, run the timers (silence, offline devices) and deliver what is owed.
    Runs until SIGTERM or Ctrl-C.

    Any number may run: one works, the others wait to take over.
    """
    settings = load()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            _work_under_lock(settings, stop)
        except psycopg.OperationalError as error:
            log.warning("alerts: %s", str(error).strip())
            stop.wait(1)


def _work_under_lock(settings: Settings, stop: threading.Event) -> None:
    """Work while this process holds the lock of which there is one."""
    with connect(settings.require_database(), "lock-alerts", autocommit=True) as lock:
        while not _locked(lock):
            if stop.wait(0.5):
                return
        epoch = take_over(lock)
        note_settings(lock, "alerts", settings)
        over = threading.Event()
        threads = [
            threading.Thread(target=run_timers, args=(settings, over), name="timers"),
            threading.Thread(target=run_city, args=(settings, epoch, over), name="city"),
            threading.Thread(target=run_upward, args=(settings, over), name="upward"),
            threading.Thread(target=run_reconciling, args=(settings, over), name="reconciling"),
            threading.Thread(
                target=Dispatcher(settings.require_database(), settings).run, args=(over,), name="dispatch"
            ),
        ]
        for thread in threads:
            thread.start()
        try:
            while not stop.wait(0.5):
                lock.execute("SELECT 1")
                if not all(thread.is_alive() for thread in threads):
                    raise RuntimeError("a thread of alerts has ended; see its error above")
        finally:
            over.set()
            for thread in threads:
                thread.join()


def _locked(lock: psycopg.Connection[tuple[object, ...]]) -> bool:
    row = lock.execute(statement("alarms.try_lock_alerts")).fetchone()
    return row is not None and bool(row[0])
