"""A message as it came, by whatever way: over MQTT, or through the inbox (HTTP push, TCP, replay, another shard)."""

from __future__ import annotations

from typing import Any, NamedTuple


class Origin(NamedTuple):
    """Where a message of the inbox came from. `topic` of its arrival is the one it would have had over MQTT, or
    `{source}/{mapping or protocol}/…` where it never had one."""

    inbox_key: int
    source: str
    """'http', 'sl651', or 'mqtt' where another shard received it."""
    vendor: str | None = None
    """The vendor account that pushed it: it speaks for devices of that vendor only. None: nobody logged in."""
    quarantine_key: int | None = None
    """It was in quarantine until now, under this key."""


class Arrival(NamedTuple):
    """`generation` is its connection's, without which its packet id means nothing; `qos` 0: nothing to acknowledge."""

    topic: str
    payload: bytes
    packet_id: int
    qos: int
    dup: bool
    retain: bool
    received_us: int
    generation: int
    origin: Origin | None = None
    content: dict[str, Any] | None = None
    """The payload, where it has been read ahead and is plainly a JSON object; `raw`: its canonical bytes."""
    raw: bytes = b""

    @property
    def source(self) -> str:
        return self.origin.source if self.origin is not None else "mqtt"
