"""A fresh installation that a demo or a trial has for itself: servers of its own, an empty database, its processes.

A real installation on this machine never sees its reports, and its books begin at nothing. Only the servers' programs
come from the settings.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
from psycopg import sql
from rich.console import Console
from rich.text import Text

from deploy import stack
from deploy.children import Interrupted, Signals
from deploy.errors import StackError
from deploy.locks import exclusive, held
from deploy.ports import any_free
from deploy.rootfs import Say
from underfoot.settings import load
from underfoot.storage.connect import Connection
from underfoot.storage.migrate import migrate
from underfoot.storage.statements import statement

READY_WITHIN_S = 60


@dataclass(frozen=True)
class Fresh:
    """Where it is."""

    home: Path
    database_url: str
    mqtt_url: str

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are told: nothing that is set for another installation."""
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("UNDERFOOT_")}
        return inherited | {
            "UNDERFOOT_HOME": str(self.home),
            "UNDERFOOT_DATABASE_URL": self.database_url,
            "UNDERFOOT_MQTT_URL": self.mqtt_url,
            # Minutes stand for hours here: what is looked at every 10 s in life is looked at every second.
            "UNDERFOOT_PROBE_INTERVAL_S": "1",
        }


def fresh_servers(home: Path, database: str, say: Say) -> Fresh:
    """Both servers at work, the broker without anybody's queue, and a database of this name with nothing in it."""
    say("启动 TimescaleDB 与消息代理 · starting TimescaleDB and the broker")
    stack.down(home)
    stack.stop(home, "mosquitto", forget_sessions=True)
    started = stack.up(home, stack.Ports(any_free(), any_free()), ready_rootfs=load().rootfs, say=say)
    say("新建数据库 · a fresh database")
    with psycopg.connect(_in_database(started["database_url"], "postgres"), autocommit=True) as connection:
        name = sql.Identifier(database)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    database_url = _in_database(started["database_url"], database)
    migrate(database_url)
    return Fresh(home, database_url, started["mqtt_url"])


def caught_up(connection: Connection) -> bool:
    """Whether ingest holds every shard and reads."""
    row = connection.execute(statement("demo.shards")).fetchone()
    return bool(row and row[0])


def answers(url: str) -> bool:
    """Whether whoever is there says that all is well."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        time.sleep(0.05)
        return False


def undoing(home: Path, what: str, act: Callable[[Signals, ExitStack], int]) -> int:
    """Do it; whatever ends it, what `undo` was told of is undone. 130 or 143: somebody ended it before its answer."""
    with Signals() as signals, _alone(home, what):
        undo = ExitStack()
        try:
            try:
                return act(signals, undo)
            finally:
                with signals.held():
                    undo.close()
        except Interrupted as interruption:
            return interruption.exit_code


@contextmanager
def saying(console: Console) -> Iterator[Say]:
    """Tells what is being done: a line each, or one that changes where somebody looks on."""
    if not console.is_terminal:
        yield lambda text: console.print(Text(f"{text} …"), soft_wrap=True)
        return
    with console.status("…") as spinner:
        yield lambda text: spinner.update(Text(f"{text} …"))


def _in_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@contextmanager
def _alone(home: Path, what: str) -> Iterator[None]:
    lock = home / "demo.lock"
    if held(lock):
        raise StackError(
            f"此处已有{what}在运行 · one is already playing in {home}; end it first, or choose another place"
        )
    with exclusive(lock, patience=1):
        yield
