"""What surrounds every call: security headers, a log line without secrets, counting, an answer to every failure."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from time import perf_counter
from typing import Any
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.exposition import Exposition
from api.problems import Problem, respond

log = logging.getLogger("underfoot.api")

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_ONLY_TLS = "max-age=31536000"


class Envelope:
    """ASGI middleware. The log has the path but no query string, and the caller's name but no header.

    `longer` says where bodies may be longer than `max_body_bytes`, by the beginning of the path. `tls`: browsers come
    by https, whatever we see of it behind a proxy.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, longer: Mapping[str, int], *, tls: bool = False) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._longer = longer
        self._tls = tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        status = 0

        async def send_sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self._tls or scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", _ONLY_TLS)
            await send(message)

        try:
            await self._app(scope, _bounded(receive, self._most(scope["path"])), send_sealed)
        except Exception:
            incident = uuid.uuid4().hex[:12]
            log.exception("%s %s: error %s", scope["method"], _logged(scope["path"]), incident)
            if status:
                raise
            problem = Problem("internal", f"The log has it under {incident}.", more={"incident": incident})
            await respond(problem, scope["path"])(scope, receive, send_sealed)
        finally:
            self._note(scope, status, perf_counter() - began)

    def _most(self, path: str) -> int:
        return next((most for begin, most in self._longer.items() if path.startswith(begin)), self._max_body_bytes)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        template = route.path if route is not None else "(none)"
        exposition: Exposition = scope["app"].state.exposition
        exposition.count_request(scope["method"], template, status, seconds)
        state = scope.get("state", {})
        caller: Any = state.get("caller") or state.get("account")
        log.info(
            "%s %s %s %.1f ms %s",
            scope["method"],
            _logged(scope["path"]),
            status,
            seconds * 1000,
            caller.name if caller is not None else "-",
        )


def _logged(path: str) -> str:
    """A link's token is a secret as a key is."""
    return "/a/…" if path.startswith("/a/") else quote(path)


def _bounded(receive: Receive, most: int) -> Receive:
    """`receive` that gives up with 413 once the body is too large, whatever its headers say."""
    taken = 0

    async def receive_bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise HTTPException(413, f"A body may have at most {most} bytes.")
        return message

    return receive_bounded
