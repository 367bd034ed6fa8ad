"""Where the MQTT broker is: one URL, which names several hosts where the broker is a cluster.

Written as PostgreSQL writes it: `mqtt://user:password@one:1883,two:1883,three`. Every node of a cluster is as good as
the others; whoever loses one goes to the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:,@\s]+)(?::(?P<port>\d{1,5}))?", re.ASCII)
_PORTS = {"mqtt": 1883, "mqtts": 8883}
EXAMPLE = "mqtt://user:password@host:1883, or mqtt://user:password@host1:1883,host2:1883 for a cluster"


@dataclass(frozen=True)
class Brokers:
    """`hosts` in the order of the URL, each with its port."""

    hosts: tuple[tuple[str, int], ...]
    tls: bool
    username: str | None
    password: str | None

    @classmethod
    def from_url(cls, url: str) -> Brokers:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            raise ValueError(f"a URL like {EXAMPLE}")
        login, _, hosts = parts.netloc.rpartition("@")
        username, colon, password = login.partition(":")
        return cls(
            hosts=tuple(_host(text, _PORTS[parts.scheme]) for text in hosts.split(",")),
            tls=parts.scheme == "mqtts",
            username=unquote(username) if login else None,
            password=unquote(password) if colon else None,
        )


def _host(text: str, default_port: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or default_port) if found else 0
    if found is None or not 1 <= port <= 65_535:
        # Not quoted: written wrongly, a password may be in it.
        raise ValueError(f"after the @ there is what is no HOST:PORT; a URL like {EXAMPLE}")
    return found["host"].strip("[]"), port
