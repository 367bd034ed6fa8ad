"""One connection to an HTTP receiver, under a deadline: part of the line.

`http.client` knows only time-outs from one byte to the next, under which a receiver that drips bytes holds a worker for
ever. So it is given a socket that has, at each step, no more than what is left of the time for the whole request.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
from collections.abc import Mapping
from functools import cache
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING, NamedTuple

import certifi

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Origin(NamedTuple):
    secure: bool
    host: str
    port: int


class Kept:
    """Connects at once, by `until` (monotonic); then `ask` as often as `reusable` says."""

    def __init__(self, origin: Origin, until: float) -> None:
        self._stream = _Stream(_connected(origin, until), until)
        self._http = HTTPConnection(origin.host, origin.port)
        self._http.sock = self._stream
        self.idle_since = 0.0
        self.reusable = False

    def send(self, method: str, target: str, body: bytes, headers: Mapping[str, str], until: float) -> None:
        self.reusable = False
        self._stream.until = until
        self._http.request(method, target, body, dict(headers))
        self._stream.flush()

    def answer(self, longest: int) -> tuple[HTTPResponse, bytes]:
        """What comes back, of its body at most so much."""
        response = self._http.getresponse()
        body = response.read(longest)
        if len(body) < longest and response.length:
            raise ConnectionError(f"the answer broke off {response.length} bytes before its end")
        self.reusable = response.isclosed() and not self._stream.given_up
        self.idle_since = time.monotonic()
        return response, body

    def still_open(self) -> bool:
        """An idle connection with something to read has been closed, or is out of step."""
        return not self._stream.readable()

    def close(self) -> None:
        self._stream.end()


def _connected(origin: Origin, until: float) -> socket.socket:
    found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    for number, (family, address) in enumerate(addresses):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            # Each address gets its share of what is left: one that swallows packets leaves time for the next.
            connection.settimeout(_left(until) / (len(addresses) - number))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            connection.close()
            if number == len(addresses) - 1:
                raise
        else:
            return _secured(connection, origin.host, until) if origin.secure else connection
    raise OSError(f"{origin.host} has no address")


def _secured(connection: socket.socket, host: str, until: float) -> socket.socket:
    try:
        connection.settimeout(_left(until))
        return _trust().wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


@cache
def _trust() -> ssl.SSLContext:
    """The machine's certificates, and Mozilla's for a machine that has none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Stream:
    """All of a socket that `http.client` uses. It closes a connection that ends with its answer before it has read
    that; here only `end` does. It sends head and body apart; here they leave together.
    """

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._socket = connection
        self._unsent = bytearray()
        self._readable = select.poll()
        self._readable.register(connection, select.POLLIN)
        self.until = until
        self.given_up = False

    def sendall(self, data: bytes) -> None:
        self._unsent += data

    def flush(self) -> None:
        left, self._unsent = memoryview(self._unsent), bytearray()
        while left:
            self._socket.settimeout(_left(self.until))
            left = left[self._socket.send(left) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self))

    def receive(self, buffer: WriteableBuffer) -> int:
        self._socket.settimeout(_left(self.until))
        return self._socket.recv_into(buffer)

    def readable(self) -> bool:
        return bool(self._readable.poll(0))

    def close(self) -> None:
        self.given_up = True

    def end(self) -> None:
        self._socket.close()


class _Reading(io.RawIOBase):
    """What an answer is read from; one an answer, over the same stream."""

    def __init__(self, stream: _Stream) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._stream.receive(buffer)
