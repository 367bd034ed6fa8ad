"""The line to HTTP receivers: connections kept alive, one time-out for a whole request, and a bounded answer.

Over `http.client`, with a deadline of ours (alerts/channels/kept.py): what is made for everybody costs three times as
much a request, and knows no time-out for the whole of it.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import orjson

from alerts.channels.kept import Kept, Origin
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
    """One for all sinks and workers. `timeout_s` is the time a whole request may take; of an answer `longest` bytes are
    read."""

    def __init__(self, timeout_s: float, longest: int = LONGEST_ANSWER) -> None:
        self.timeout_s = timeout_s
        self._longest = longest
        self._idle: dict[Origin, list[Kept]] = {}
        self._lock = threading.Lock()
        self._swept_at = time.monotonic()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("POST", url, body, headers)

    def request(self, method: str, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Send `body` and read the answer, or raise `UnreachedError`, `UnansweredError` or `UntrustedError`."""
        until = time.monotonic() + self.timeout_s
        origin, target = _parts(url)
        connection = self._connection(origin, until)
        try:
            self._send(connection, method, target, body, {**_HEADERS, **(headers or {})}, until)
            response, answered = self._answer(connection)
        finally:
            self._put_back(origin, connection)
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, answered)

    def _send(
        self, connection: Kept, method: str, target: str, body: bytes, headers: Mapping[str, str], until: float
    ) -> None:
        try:
            connection.send(method, target, body, headers, until)
        except TimeoutError as error:
            raise UnansweredError(f"not taken whole in {self.timeout_s:g} s") from error
        except OSError as error:
            raise UnansweredError(str(error) or type(error).__name__) from error
        except (HTTPException, ValueError) as error:
            raise UntrustedError(str(error)) from error

    def _answer(self, connection: Kept) -> tuple[HTTPResponse, bytes]:
        try:
            return connection.answer(self._longest)
        except TimeoutError as error:
            raise UnansweredError(f"no whole answer in {self.timeout_s:g} s") from error
        except (OSError, HTTPException) as error:
            raise UnansweredError(str(error) or type(error).__name__) from error

    # connections ------------------------------------------------------------------------------------------------------

    def _connection(self, origin: Origin, until: float) -> Kept:
        while (kept := self._take_idle(origin)) is not None:
            if time.monotonic() - kept.idle_since < IDLE_S and kept.still_open():
                return kept
            kept.close()
        try:
            return Kept(origin, until)
        except ssl.SSLCertVerificationError as error:
            raise UntrustedError(str(error)) from error
        except TimeoutError as error:
            raise UnreachedError(f"no connection in {self.timeout_s:g} s") from error
        except OSError as error:
            raise UnreachedError(f"{origin.host}: {error}") from error
        except ValueError as error:  # a name that is none
            raise UntrustedError(str(error)) from error

    def _take_idle(self, origin: Origin) -> Kept | None:
        with self._lock:
            idle = self._idle.get(origin)
            return idle.pop() if idle else None

    def _put_back(self, origin: Origin, connection: Kept) -> None:
        if not connection.reusable:
            connection.close()
            return
        with self._lock:
            self._idle.setdefault(origin, []).append(connection)
            over = self._over()
        for old in over:
            old.close()

    def _over(self) -> list[Kept]:
        """What has been idle too long, also of receivers that nothing more is sent to; looked for now and then."""
        now = time.monotonic()
        if now - self._swept_at < IDLE_S:
            return []
        self._swept_at = now
        over = [one for idle in self._idle.values() for one in idle if now - one.idle_since >= IDLE_S]
        left = {origin: [one for one in idle if now - one.idle_since < IDLE_S] for origin, idle in self._idle.items()}
        self._idle = {origin: idle for origin, idle in left.items() if idle}
        return over


_HEADERS = {
    "User-Agent": f"underfoot/{__version__}",
    "Content-Type": "application/json; charset=utf-8",
}


def _parts(url: str) -> tuple[Origin, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise UntrustedError(str(error)) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UntrustedError("an http:// or https:// URL is needed")
    origin = Origin(parts.scheme == "https", parts.hostname, port)
    return origin, f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
