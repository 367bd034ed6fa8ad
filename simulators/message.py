"""A message of protocol v1 as a fleet sends it, with what is to become of it."""

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


@dataclass(frozen=True, slots=True)
class Message:
    """`stores` and `quarantines` say how many of its reports the path must keep in which place.

    `timed` is false where its time may be replaced by the time of receipt: then a second copy is rightly kept twice.
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

    @property
    def reports(self) -> int:
        return self.stores + self.quarantines


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
