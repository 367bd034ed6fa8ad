"""Which port a server of the local stack listens on."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass

from underfoot.settings import SettingsError

_LOWEST, _EPHEMERAL = 20_000, 32_768
_given: set[int] = set()


@dataclass(frozen=True)
class Wanted:
    """What may decide a port: the user's setting, what was recorded at the last start, the default."""

    setting: str
    configured: int | None
    recorded: int | None
    default: int


def choose(wanted: Wanted) -> int:
    """A port that is free now. A configured one is taken or refused, never replaced; the others give way."""
    if wanted.configured is not None:
        why_not = refusal(wanted.configured)
        if why_not is not None:
            raise SettingsError(
                f"{wanted.setting} = {wanted.configured}: cannot listen on 127.0.0.1:{wanted.configured}: {why_not};"
                " choose another port, or leave it unset and a free one is taken"
            )
        return wanted.configured
    for port in (wanted.recorded, wanted.default):
        if port is not None and refusal(port) is None:
            return port
    return any_free()


def refusal(port: int) -> str | None:
    """Why nobody new can listen on this port of 127.0.0.1; None if it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as both servers do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
        return None


def any_free() -> int:
    """A port that is free, and stays so until its server starts, or starts again: from below the range in which the
    kernel finds ports for connections, and none that was given before."""
    while True:
        port = _LOWEST + secrets.randbelow(_EPHEMERAL - _LOWEST)
        if port not in _given and refusal(port) is None:
            _given.add(port)
            return port
