"""A message as a fleet sends it, with what is to become of it: of protocol v1, or in a vendor's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import orjson

Clock = Callable[[float], int]
"""Seconds since the run began → epoch milliseconds: the time that every device believes in."""

_SHANGHAI = timezone(timedelta(hours=8))


def clock_from(start_ms: int) -> Clock:
    """A clock that runs as fast as life from `start_ms`."""
    return lambda offset_s: start_ms + round(offset_s * 1000)


class Part(NamedTuple):
    """What one device has in a message: reports to keep in which place, and `repeats` of what went before."""

    device_id: str
    kind: str
    stores: int = 1
    quarantines: int = 0
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """`stores` and `quarantines` say how many of its reports the path must keep in which place.

    `timed` is false where its time may be replaced by the time of receipt: then a second copy is rightly kept twice,
    and so is another report with the same bytes.
    """

    device_id: str
    topic: bytes
    payload: bytes
    kind: str
    stores: int = 1
    quarantines: int = 0
    timed: bool = True
    again: bool = False
    """Sent before already, on purpose."""
    repeats: int = 0
    """Reports in it, beside those, that an earlier message has brought already: the path must not keep them again."""
    members: tuple[Part, ...] = ()
    """Of a gateway's batch, whose `device_id` is the gateway's: what each device has in it."""
    push: str = ""
    """The mapping under whose name it is pushed over HTTP; empty: it goes over MQTT. Its topic is then `http/NAME`."""

    @property
    def reports(self) -> int:
        return self.stores + self.quarantines

    @property
    def parts(self) -> tuple[Part, ...]:
        """The same, device by device."""
        return self.members or (Part(self.device_id, self.kind, self.stores, self.quarantines),)


class Due(NamedTuple):
    """A message and when it is to be sent, in seconds since the run began."""

    at_s: float
    message: Message


def encode(ts_ms: int | None, seq: int | None, values: Mapping[str, object], *, as_text: bool = False) -> bytes:
    """One report as protocol v1 writes it; `as_text` gives its time in RFC 3339 instead of epoch milliseconds."""
    report: dict[str, object] = {}
    if ts_ms is not None:
        report["ts"] = rfc3339(ts_ms) if as_text else ts_ms
    if seq is not None:
        report["seq"] = seq
    report["values"] = values
    return orjson.dumps(report)


def rfc3339(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, _SHANGHAI).isoformat(timespec="milliseconds")


def epoch_ms(text: str) -> int:
    """What `rfc3339` wrote."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
