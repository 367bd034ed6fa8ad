"""A TCP proxy between a process and its server, which can be told to behave like a bad network, each way by itself."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Mode = Literal["pass", "swallow", "delay"]
Way = Literal["up", "down"]
"""`up`: from the process to its server."""

_PIECE = 65_536


@dataclass(eq=False)
class _Flow:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    way: Way
    connection: _Connection
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)


@dataclass(eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket
    damaged: bool = False
    """Something of it was swallowed: whatever comes after would make no sense to the other side."""


class Proxy:
    """Listens on `port`, connects to `target`. Single-threaded; what it is told holds from the next byte on.

    `swallow`: bytes are taken and go nowhere, new connections are accepted and hear nothing. As on a half-open
    connection, neither side is told. `delay`: they arrive later, in order.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._mode: dict[Way, Mode] = {"up": "pass", "down": "pass"}
        self._delay_s = 0.0
        self._connections: set[_Connection] = set()
        self._flows: dict[socket.socket, _Flow] = {}
        self._orders: deque[str] = deque()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stop = False
        self.accepted = 0
        self.swallowed = 0
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    # what a test says -----------------------------------------------------------------------------------------------

    def swallow(self, *ways: Way) -> None:
        """Both ways, or only these."""
        for way in ways or ("up", "down"):
            self._mode[way] = "swallow"

    def delay(self, seconds: float) -> None:
        self._delay_s = seconds
        self._mode = {"up": "delay", "down": "delay"}

    def heal(self, *, reset: bool = True) -> None:
        """As a network should be. What has lost something is reset; or, without `reset`, goes on looking alive and
        leading nowhere for ever."""
        self._mode = {"up": "pass", "down": "pass"}
        if reset:
            self._orders.append("reset the damaged")

    def cut(self) -> None:
        """Reset every connection; new ones are let through."""
        self._orders.append("reset all")

    def instead_of(self, url: str) -> str:
        """The server's URL, over this proxy."""
        return url.replace(f":{self._target}", f":{self.port}", 1)

    @property
    def connections(self) -> int:
        return len(self._connections)

    def close(self) -> None:
        self._stop = True
        self._thread.join(10)
        for connection in list(self._connections):
            self._end(connection)
        self._listener.close()
        self._selector.close()

    # its own thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop:
            for key, _ in self._selector.select(0.01):
                if key.fileobj is self._listener:
                    self._accept()
                elif (flow := self._flows.get(key.fileobj)) is not None:  # type: ignore[call-overload]
                    self._take(flow)
            while self._orders:
                everything = self._orders.popleft() == "reset all"
                for connection in [one for one in self._connections if everything or one.damaged]:
                    self._end(connection)
            now = time.monotonic()
            for flow in list(self._flows.values()):
                self._give(flow, now)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self.accepted += 1
        server = socket.socket()
        connection = _Connection(client, server)
        try:
            server.connect(("127.0.0.1", self._target))
        except OSError:
            self._end(connection)
            return
        self._connections.add(connection)
        for source, sink, way in ((client, server, "up"), (server, client, "down")):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._flows[source] = _Flow(source, sink, way, connection)  # type: ignore[arg-type]
            self._selector.register(source, selectors.EVENT_READ)

    def _take(self, flow: _Flow) -> None:
        try:
            data = flow.source.recv(_PIECE)
        except OSError:
            data = b""
        if self._mode[flow.way] == "swallow" or flow.connection.damaged:
            # That a side is gone does not come through either.
            flow.connection.damaged = True
            self.swallowed += len(data)
            if not data:
                self._selector.unregister(flow.source)
                del self._flows[flow.source]
        elif not data:
            self._end(flow.connection)
        else:
            later = self._delay_s if self._mode[flow.way] == "delay" else 0.0
            flow.waiting.append((time.monotonic() + later, data))

    def _give(self, flow: _Flow, now: float) -> None:
        while flow.waiting and flow.waiting[0][0] <= now:
            try:
                flow.sink.settimeout(10)
                flow.sink.sendall(flow.waiting.popleft()[1])
            except OSError:
                self._end(flow.connection)
                return

    def _end(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        for side in (connection.client, connection.server):
            if self._flows.pop(side, None) is not None:
                self._selector.unregister(side)
            with suppress(OSError):
                # At once, and as a reset.
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            side.close()


@contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    """A way to the server of `url`."""
    port = urlsplit(url).port
    assert port is not None
    made = Proxy(port)
    try:
        yield made
    finally:
        made.close()
