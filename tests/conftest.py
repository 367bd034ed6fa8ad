"""What every test may ask for: a fresh migrated database, a fresh broker, a whole stack of its own to break.

All of it is the real thing, started when the first test asks and always ended again.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from psycopg import sql

from deploy import stack
from deploy.ports import any_free
from deploy.stack import Ports, ServerName
from tests.folders import folder_of_servers
from underfoot.settings import load
from underfoot.storage.migrate import migrate

_TEMPLATE = "underfoot_template"
_numbers = itertools.count(1)


# A machine that is busy is no reason to fail; the full count is for `make test-long`.
hypothesis.settings.register_profile("short", max_examples=60, deadline=None)
hypothesis.settings.register_profile("long", max_examples=3000, deadline=None)
hypothesis.settings.load_profile("long" if os.environ.get("UNDERFOOT_TEST_LONG") == "1" else "short")


def pytest_configure(config: pytest.Config) -> None:
    # Ended by a time limit or a supervisor: tear down as at Ctrl-C, so that no server is left behind.
    signal.signal(signal.SIGTERM, lambda number, frame: pytest.exit("terminated", returncode=143))


@dataclass(frozen=True)
class OwnStack:
    """A TimescaleDB and a broker that one test alone uses, and may stop, kill and start again."""

    home: Path
    database_url: str
    mqtt_url: str

    def stop(self, name: ServerName, *, kill: bool = False, forget_sessions: bool = False) -> None:
        stack.stop(self.home, name, kill=kill, forget_sessions=forget_sessions)

    def start(self, name: ServerName) -> None:
        stack.start(self.home, name, ready_rootfs=load().rootfs)

    def status(self) -> dict[str, Any]:
        return stack.status(self.home)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of the maintenance database of one TimescaleDB for the whole session."""
    with _home() as home:
        started = _up(home, servers=("postgres",))
        yield _in_database(started["database_url"], "postgres")


@pytest.fixture(scope="session")
def database_template(postgres_server: str) -> str:
    """A migrated database that nobody is connected to: copying it takes a fraction of migrating anew."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        migrate(_in_database(postgres_server, _TEMPLATE))
        # TimescaleDB's scheduler keeps a session in every database it finds; one with sessions can't be copied.
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(_TEMPLATE)))
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [_TEMPLATE]
        )
    return _TEMPLATE


@pytest.fixture
def database(postgres_server: str, database_template: str) -> Iterator[str]:
    """The URL of a fresh migrated database, dropped after the test."""
    with _copied(postgres_server, database_template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database(postgres_server: str, database_template: str) -> Iterator[str]:
    """The same for all tests of a module, which empties it itself: for many small tests."""
    with _copied(postgres_server, database_template) as url:
        yield url


@contextmanager
def _copied(postgres_server: str, database_template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(database_template)
            )
        )
        yield _in_database(postgres_server, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def broker() -> Iterator[str]:
    """The URL of a fresh mosquitto that no other test has seen."""
    with _home() as home:
        yield _up(home, servers=("mosquitto",))["mqtt_url"]


@pytest.fixture
def own_stack() -> Iterator[OwnStack]:
    """A stack for a fault test, its database migrated."""
    with _home() as home:
        started = _up(home)
        migrate(started["database_url"])
        yield OwnStack(home, started["database_url"], started["mqtt_url"])


def _up(home: Path, servers: tuple[ServerName, ...] = stack.BOTH) -> dict[str, Any]:
    return stack.up(home, Ports(any_free(), any_free()), servers=servers, ready_rootfs=load().rootfs)


@contextmanager
def _home() -> Iterator[Path]:
    """A stack's home that is taken down and removed at the end."""
    with folder_of_servers("underfoot-test-") as folder:
        try:
            yield folder / "home"
        finally:
            stack.down(folder / "home")


def _in_database(url: str, database: str) -> str:
    return f"{url.rpartition('/')[0]}/{database}"
