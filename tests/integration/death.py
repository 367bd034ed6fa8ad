"""Dying at any moment, inside one process: a process that is dead says nothing more to the database.

Everything that psycopg says to the server goes through `Connection.wait`. Dying there, before or after the server has
heard it, is dying between any two things that the database could have seen; what a transaction had begun, the server
rolls back. Real processes are killed in the system tests; this can die a thousand times in minutes.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import psycopg
import pytest

HOLDER = ("underfoot-lock-", "underfoot-ingest-")
DISPATCHER = ("underfoot-dispatch",)
"""Whose connections a process has, by the names they go by."""


class Died(BaseException):
    """No `except Exception` outlives a kill -9."""


class Death:
    """Comes at a random one of the next calls, once it is `due`."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._left: int | None = None
        self._after = False
        self._process: tuple[str, ...] = ()
        self._connections: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self._lock = threading.Lock()
        self.dead = False
        self.times = 0

    def due(self, process: tuple[str, ...], within: int) -> None:
        """At one of the next `within` calls of the process; half of the deaths come when the server has heard it, and
        we have not."""
        self._process = process
        self._left = self._draw.randrange(within)
        self._after = self._draw.random() < 0.5

    def revive(self) -> None:
        """The next process begins. It has yet to die."""
        self.dead, self._left = False, None

    def at_call(self, original: Any, connection: psycopg.Connection[Any], args: Any, kwargs: Any) -> Any:
        if not _name(connection).startswith(self._process or "nobody"):
            return original(connection, *args, **kwargs)
        with self._lock:
            self._connections.add(connection)
            dies = not self.dead and self._left == 0
            if self._left is not None and self._left > 0:
                self._left -= 1
        if self.dead:
            connection.pgconn.finish()
            raise Died
        if not dies:
            return original(connection, *args, **kwargs)
        if self._after:
            original(connection, *args, **kwargs)
        self.dead, self._left = True, None
        self.times += 1
        for each in [one for one in self._connections if _name(one).startswith(self._process)]:
            each.pgconn.finish()
        raise Died


def _name(connection: psycopg.Connection[Any]) -> str:
    if connection.closed:
        return ""
    return (connection.pgconn.parameter_status(b"application_name") or b"").decode()


@contextmanager
def mortal(monkeypatch: pytest.MonkeyPatch, draw: random.Random) -> Iterator[Death]:
    """Of our own connections each call may be the last; the test's are spared."""
    death = Death(draw)
    original, excepthook = psycopg.Connection.wait, threading.excepthook

    def wait(self: psycopg.Connection[Any], *args: Any, **kwargs: Any) -> Any:
        return death.at_call(original, self, args, kwargs)

    def quiet(args: threading.ExceptHookArgs, /) -> None:
        # What a dead process's threads meet is nobody's business.
        if args.exc_type is not Died and not death.dead:
            excepthook(args)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "wait", wait)
        patch.setattr(threading, "excepthook", quiet)
        yield death
