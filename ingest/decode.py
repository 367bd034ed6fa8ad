"""Decode: from a message's bytes to the reports in it. Nothing is judged yet."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic_core import from_json

from ingest.arrival import Arrival
from ingest.reasons import Rejection
from underfoot.reports import canonical


class Item(NamedTuple):
    """One report of a message, still as JSON. `payload` is its bytes as they came (re-encoded, where it was one of an
    array), `raw` its canonical bytes, `place` where in the array it stood."""

    arrival: Arrival
    report: dict[str, Any]
    payload: bytes
    raw: bytes
    place: int = 0

    @property
    def packet(self) -> bytes:
        """What the report is known by where it has no time of its own: its bytes, at this place of this packet."""
        return self.raw + self.arrival.packet_id.to_bytes(2) + self.place.to_bytes(4)


class Rejected(NamedTuple):
    """What could not be understood, whole: for an item of an array, `payload` is that item. `vendor` is its device's;
    `area`, `family` and `gateway_id` are what a codec found it to say of itself, where its topic does not."""

    arrival: Arrival
    payload: bytes
    reason: Rejection
    detail: str
    device_id: str | None = None
    vendor: str | None = None
    area: str | None = None
    family: str | None = None
    gateway_id: str | None = None


class _Contradiction(dict[str, Any]):
    """An object that says `name` twice, with different values: nobody can tell which of them is meant. Keeps both."""

    def __init__(self, name: str, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.name = name
        self._pairs = pairs

    def items(self) -> Any:
        return self._pairs


def decode(arrivals: Iterable[Arrival]) -> tuple[list[Item], list[Rejected]]:
    """Every report in these messages, and what is none. An array is taken apart; each of its items stands alone."""
    items: list[Item] = []
    rejected: list[Rejected] = []
    for arrival in arrivals:
        try:
            content = _read(arrival.payload)
        except (ValueError, RecursionError) as error:
            reason = Rejection.undecodable if arrival.payload else Rejection.empty
            rejected.append(Rejected(arrival, arrival.payload, reason, str(error)))
            continue
        if isinstance(content, dict):
            raw = canonical(content)
            again = _again(arrival.payload) if _more_names(arrival.payload, raw) else content
            if again is not content and (name := _contradiction(again)) is not None:
                rejected.append(Rejected(arrival, arrival.payload, Rejection.undecodable, _said_twice(name)))
                continue
            items.append(Item(arrival, content, arrival.payload, raw))
        elif isinstance(content, list):
            _take_apart(arrival, content, items, rejected)
        else:
            detail = f"JSON of type {type(content).__name__}"
            rejected.append(Rejected(arrival, arrival.payload, Rejection.not_an_object, detail))
    return items, rejected


def _read(payload: bytes) -> Any:
    """JSON as devices write it: NaN and Infinity are let in, to be set aside value by value later, and so is half a
    surrogate pair, since the rest of its report may be a hazard."""
    try:
        return from_json(payload, allow_inf_nan=True)
    except ValueError:
        if b"\\ud" not in payload.lower():
            raise
        return json.loads(payload)


def _take_apart(arrival: Arrival, content: list[Any], items: list[Item], rejected: list[Rejected]) -> None:
    if not content:
        rejected.append(Rejected(arrival, arrival.payload, Rejection.empty, "an array without items"))
        return
    raws = [canonical(report) for report in content]
    again = _again(arrival.payload) if _more_names(arrival.payload, b"[" + b",".join(raws) + b"]") else content
    for place, (report, raw, said) in enumerate(zip(content, raws, again, strict=True)):
        if not isinstance(report, dict):
            detail = f"an item of type {type(report).__name__}"
            rejected.append(Rejected(arrival, raw, Rejection.not_an_object, detail))
        elif again is not content and (name := _contradiction(said)) is not None:
            whole = json.dumps(said, separators=(",", ":")).encode()
            rejected.append(Rejected(arrival, whole, Rejection.undecodable, _said_twice(name)))
        else:
            items.append(Item(arrival, report, raw, raw, place))


def _more_names(payload: bytes, raw: bytes) -> bool:
    """Whether a payload may have more names than were taken from it; at no cost where it is canonical but for order."""
    return len(payload) != len(raw) and payload.count(b'":') + payload.count(b'" :') > raw.count(b'":')


def _again(payload: bytes) -> Any:
    """Decoded once more, with a `_Contradiction` for each object that contradicts itself."""

    def judged(pairs: list[tuple[str, Any]]) -> Any:
        said: dict[str, Any] = {}
        for name, value in pairs:
            if name in said and said[name] != value:
                return _Contradiction(name, pairs)
            said[name] = value
        return said

    return json.loads(payload, object_pairs_hook=judged)


def _contradiction(value: Any) -> str | None:
    """The name that stands twice anywhere in it."""
    if isinstance(value, _Contradiction):
        return value.name
    inner: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((name for part in inner if (name := _contradiction(part)) is not None), None)


def _said_twice(name: str) -> str:
    return f"{name!r} stands there twice with different values"
