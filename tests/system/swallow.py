"""A way to a server that can be made to swallow: whatever is sent into it vanishes, in both directions, while every
connection goes on looking alive. What has been swallowed never comes: after `heal` only new connections get through."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_PIECE = 65_536


class Swallow:
    """Listens on a port of its own and passes everything on to `port`, in one thread."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._pairs: list[_Pair] = []
        self._swallowing = self._stop = False
        self.swallowed = 0
        self._thread = threading.Thread(target=self._run, name=f"swallow-{self.port}", daemon=True)
        self._thread.start()

    def swallow(self) -> None:
        """From now on nothing gets through, neither on connections there are nor on new ones."""
        self._swallowing = True

    def heal(self) -> None:
        """New connections get through. Those that were there go on looking alive, and leading nowhere."""
        self._swallowing = False

    def close(self) -> None:
        self._stop = True
        self._thread.join(10)

    # its own thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop:
            if self._swallowing:
                for pair in self._pairs:
                    pair.dead = True
            for key, _ in self._selector.select(0.05):
                if key.data is None:
                    self._accept()
                else:
                    self._pass_on(*key.data)
        for pair in self._pairs:
            pair.close()
        self._listener.close()
        self._selector.close()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        pair = _Pair(near, socket.create_connection(("127.0.0.1", self._server)), dead=self._swallowing)
        self._pairs.append(pair)
        for end in (pair.near, pair.far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end, selectors.EVENT_READ, (pair, end))

    def _pass_on(self, pair: _Pair, end: socket.socket) -> None:
        if pair not in self._pairs:
            return  # its other end was the first to go, in this very round
        try:
            piece = end.recv(_PIECE)
        except OSError:
            piece = b""
        if pair.dead or self._swallowing:
            pair.dead = True
            self.swallowed += len(piece)
            if not piece:
                self._selector.unregister(end)  # not even its end is passed on
            return
        other = pair.far if end is pair.near else pair.near
        with suppress(OSError):
            if piece:
                other.sendall(piece)
                return
        for each in (pair.near, pair.far):
            with suppress(KeyError):
                self._selector.unregister(each)
        pair.close()
        self._pairs.remove(pair)


class _Pair:
    def __init__(self, near: socket.socket, far: socket.socket, *, dead: bool) -> None:
        self.near, self.far, self.dead = near, far, dead

    def close(self) -> None:
        self.near.close()
        self.far.close()


@contextmanager
def swallowing(url: str) -> Iterator[tuple[Swallow, str]]:
    """A way to the server of `url`, and the URL that leads over it."""
    parts = urlsplit(url)
    assert parts.port is not None
    way = Swallow(parts.port)
    try:
        yield way, url.replace(f":{parts.port}", f":{way.port}", 1)
    finally:
        way.close()
