"""What a codec is: from one message's bytes to the reports in it. It judges form only; who may say it, and whether the
values can be, is judged afterwards and alike for all of them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from ingest.arrival import Arrival
from ingest.reasons import Rejection

MOST_REPORTS = 10_000
"""In one message. A megabyte of `[1,1,1,…` is half a million items, each of which would be quarantined for seconds."""


MOST_DEEP = 32
"""Lists and objects within each other: what is kept beside a report is walked through at every step after this one."""


class Decoded(NamedTuple):
    """One report that a codec found in a message, in the shape of protocol v1."""

    device_id: str
    report: dict[str, Any]
    """`values`, and `ts` and `seq` where there are; JSON's own types only."""
    payload: bytes
    """The part of the message that this report is, as quarantine would keep it."""
    area: str | None = None
    family: str | None = None
    """What the message says of its device, to be held against the ledger; None: it says nothing."""
    gateway_id: str | None = None
    """The gateway that speaks for the device: the ledger must say so, too."""


class Unusable(NamedTuple):
    """A message, or a part of it, that a codec makes no report of."""

    payload: bytes
    reason: Rejection
    detail: str
    device_id: str | None = None


class Codec(Protocol):
    def __call__(self, arrival: Arrival) -> list[Decoded | Unusable]:
        """Every report of the message, in its order. Never raises, whatever the bytes; never an empty list."""
        ...
