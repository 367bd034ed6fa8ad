"""The listener for SL 651 stations, in a thread, on a database of the test's."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from deploy.ports import any_free
from ingest.listen import listen
from underfoot.settings import load


def until(condition: Callable[[], Any], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.02)


class Listener:
    """`listen` in a thread."""

    def __init__(self, database_url: str, **settings: Any) -> None:
        self.port = any_free()
        self.stop = threading.Event()
        self._url = database_url
        made = load(database_url=database_url, stations_port=self.port, **settings)
        self._thread = threading.Thread(target=listen, args=(made, self.stop))
        self._thread.start()
        until(self._listens, "listener")

    def _listens(self) -> bool:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        return False

    @contextmanager
    def station(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), 5) as connected:
            yield connected

    def rows(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._url) as connection:
            query = "SELECT shard, kind, payload->>'topic', payload->>'source', body FROM inbox ORDER BY inbox_key"
            return connection.execute(query).fetchall()

    def bodies(self) -> list[bytes]:
        return [row[-1] for row in self.rows()]

    def end(self) -> float:
        """Seconds that it took."""
        began = time.monotonic()
        self.stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        return time.monotonic() - began


@contextmanager
def listener_on(database_url: str, **settings: Any) -> Iterator[Listener]:
    made = Listener(database_url, **settings)
    try:
        yield made
    finally:
        made.end()
