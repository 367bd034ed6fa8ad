"""Runs the stand-in until it is interrupted."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable

import uvicorn

from simulators.platform.app import PlatformSettings, create_app


class ServeError(Exception):
    """The stand-in cannot listen where it was told to; says why."""


def serve(settings: PlatformSettings, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Listen; tell `ready` the URL, which matters where the port was 0; return after SIGINT or SIGTERM."""
    listening = listen(host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
        )
    )

    def end(*_: object) -> None:
        server.should_exit = True

    # uvicorn ends in order at these, and then raises them again: that is to be no failure. And one that comes before
    # it listens to them ends it, too.
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ready(f"http://{host}:{listening.getsockname()[1]}")
        server.run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listening.close()


def listen(host: str, port: int) -> socket.socket:
    # With its protocol named: only then asyncio turns Nagle's delay off, which would cost 40 ms an answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise ServeError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listening
