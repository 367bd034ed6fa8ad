"""The line to HTTP receivers: connections kept alive, one time-out for a whole request, and a bounded answer.

httpcore is used under its own name because it is where a deadline can be put: httpx (which is built on it) and its like
know only time-outs from one byte to the next, under which a receiver that drips bytes holds a worker for ever.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from ssl import SSLContext
from typing import Any

import httpcore
import orjson

from underfoot import __version__

LONGEST_ANSWER = 64 * 1024
LONGEST_PAUSE_S = 3600.0
"""A receiver that asks for more (or whose clock is wrong) is asked again after this."""

IDLE_S = 4.0
"""Shorter than any server keeps an idle connection (uvicorn: 5 s), so that one about to be closed is not used again."""


class UnreachedError(Exception):
    """Nothing was sent: refused, not found, no route, no connection in time."""


class UnansweredError(Exception):
    """It was sent, at least in part, and no answer came: the receiver may have it."""


class UntrustedError(Exception):
    """The receiver's certificate is not good, or its address is not one."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""
    body: bytes = b""

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    @cached_property
    def object(self) -> dict[str, Any] | None:
        """The body where it is a JSON object."""
        try:
            parsed = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return parsed if isinstance(parsed, dict) else None

    @property
    def shown(self) -> str:
        """For people: the status, and how the body begins."""
        text = " ".join(self.body[:600].decode("utf-8", "replace").split())[:200]
        return f"HTTP {self.status}: {text}" if text else f"HTTP {self.status}"

    @property
    def retry_after_s(self) -> float | None:
        """`Retry-After` in seconds: a number of them, or a date, read against the answer's own clock if it has one."""
        asked = self.headers.get("retry-after", "").strip()
        if asked.isascii() and asked.isdigit():
            return min(float(asked[:9]), LONGEST_PAUSE_S)
        until = _http_date(asked)
        if until is None:
            return None
        now = _http_date(self.headers.get("date", "")) or datetime.now(UTC)
        return min(max((until - now).total_seconds(), 0.0), LONGEST_PAUSE_S)


def _http_date(text: str) -> datetime | None:
    if not text:
        return None
    try:
        parsed = parsedate_to_datetime(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


class Line:
    """One for all sinks and workers. `timeout_s` is the time a whole request may take."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._deadline = _Deadline()
        self._pool = httpcore.ConnectionPool(
            max_connections=None,
            max_keepalive_connections=128,
            keepalive_expiry=IDLE_S,
            network_backend=_DeadlineBackend(self._deadline),
        )

    def close(self) -> None:
        self._pool.close()

    def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """POST `body` and read the answer, or raise `UnreachedError`, `UnansweredError` or `UntrustedError`."""
        sent: dict[bytes | str, bytes | str] = {
            "User-Agent": f"underfoot/{__version__}",
            "Content-Type": "application/json; charset=utf-8",
            "Accept-Encoding": "identity",
        }
        sent.update(headers or {})
        self._deadline.begin(self.timeout_s)
        try:
            with self._pool.stream("POST", url, headers=sent, content=body) as response:
                return Answer(
                    response.status,
                    {
                        name.decode("ascii", "replace").lower(): value.decode("latin-1")
                        for name, value in response.headers
                    },
                    _bounded(response.iter_stream()),
                )
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise UntrustedError(str(error)) from error
            raise UnreachedError(str(error) or f"no connection in {self.timeout_s:g} s") from error
        except httpcore.TimeoutException as error:
            raise UnansweredError(f"no whole answer in {self.timeout_s:g} s") from error
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
            raise UnansweredError(str(error) or type(error).__name__) from error
        except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, UnicodeError, ValueError) as error:
            raise UntrustedError(str(error)) from error


def _bounded(chunks: Iterable[bytes]) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) >= LONGEST_ANSWER:
            break
    return bytes(body[:LONGEST_ANSWER])


class _Deadline(threading.local):
    """When this thread's request must be over. Requests run wholly in the thread that makes them."""

    at = 0.0

    def begin(self, timeout_s: float) -> None:
        self.at = time.monotonic() + timeout_s

    def left(self, error: type[httpcore.TimeoutException]) -> float:
        left = self.at - time.monotonic()
        if left <= 0:
            raise error
        return left


class _DeadlineBackend(httpcore.NetworkBackend):
    """httpcore's own, with the time that is left as every time-out. Only the name look-up has the resolver's limits."""

    def __init__(self, deadline: _Deadline) -> None:
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"{host}: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for number, address in enumerate(addresses):
            # Each address gets its share of what is left: one that swallows packets leaves time for the next.
            share = self._deadline.left(httpcore.ConnectTimeout) / (len(addresses) - number)
            try:
                stream = self._inner.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses) - 1:
                    raise
            else:
                return _DeadlineStream(stream, self._deadline)
        raise httpcore.ConnectError(f"{host} has no address")


class _DeadlineStream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout)
        return _DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
