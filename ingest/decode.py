"""Decode: from a message's bytes to the reports in it. Nothing is judged yet.

Protocol v1's JSON is decoded here; what comes under any other topic, or from a device whose ledger entry declares
another codec, by the codec for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import orjson
from pydantic_core import from_json

from ingest.arrival import Arrival
from ingest.codecs.contract import MOST_DEEP, MOST_REPORTS, Codec, Decoded
from ingest.contradiction import again, contradiction, deeper_than, more_names, said_twice
from ingest.reasons import Rejection
from ingest.registry import NOBODY, Registry
from underfoot.reports import canonical
from underfoot.topics import parse_device_topic, parse_forwarded_topic, parse_report_topic

_READ_DEEP = 200
"""As deep as pydantic-core reads at all."""
_DETAIL_TOO_DEEP = f"nested more than {MOST_DEEP} deep"

LARGEST = 1024 * 1024
"""How long a message may be, in bytes; the broker takes none that is longer."""


class Claim(NamedTuple):
    """Whose report this is, by its message: to be held against the ledger. What is None is not claimed."""

    device_id: str
    area: str | None = None
    family: str | None = None
    gateway_id: str | None = None


class Item(NamedTuple):
    """One report of a message, still as JSON. `payload` is its bytes as they came (re-encoded, where it was one of
    several), `raw` its canonical bytes, `place` where among them it stood. `handle` is its device's in the registry,
    where the topic is one whose device has been heard before; else `claim` says whose it is."""

    arrival: Arrival
    report: dict[str, Any]
    payload: bytes
    raw: bytes
    place: int = 0
    handle: int = NOBODY
    claim: Claim | None = None

    @property
    def packet(self) -> bytes:
        """What the report is known by where it has no time of its own: its bytes, at this place of this packet."""
        return self.raw + self.arrival.packet_id.to_bytes(2) + self.place.to_bytes(4)


class Rejected(NamedTuple):
    """What could not be understood, whole: for one report of several, `payload` is that report. `vendor` is its
    device's; `area`, `family` and `gateway_id` are what a codec found it to say of itself, where its topic does not."""

    arrival: Arrival
    payload: bytes
    reason: Rejection
    detail: str
    device_id: str | None = None
    vendor: str | None = None
    area: str | None = None
    family: str | None = None
    gateway_id: str | None = None


class CodecChoice(Protocol):
    def of(self, topic: str, declared: str | None) -> Codec | None:
        """The codec for a topic that is none of a device that sends protocol v1's JSON."""
        ...


def read_ahead(payload: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """The payload, and its canonical bytes, where it is plainly a JSON object with at most one object in it: what can
    be done with a message while nobody knows yet whose it is. None: it needs a closer look."""
    if payload.count(b"{") > 2 or b"[" in payload or len(payload) > LARGEST:
        return None, b""
    try:
        content = orjson.loads(payload)
    except ValueError:
        return None, b""
    raw = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    # Of what says `null` the canonical bytes are others; an exponent above 0 may have been an integer beyond 64 bits.
    if type(content) is not dict or b"null" in raw or b"e+" in raw:
        return None, b""
    if len(raw) != len(payload) and more_names(payload, raw):
        return None, b""
    return content, raw


def decode(arrivals: Iterable[Arrival], registry: Registry, codecs: CodecChoice) -> tuple[list[Item], list[Rejected]]:
    """Every report in these messages, and what is none. An array is taken apart; each of its items stands alone."""
    items: list[Item] = []
    rejected: list[Rejected] = []
    heard = registry.by_topic.get
    for arrival in arrivals:
        handle = heard(arrival.topic, NOBODY)
        claim = _claim(arrival.topic, registry) if handle == NOBODY else None
        if handle == NOBODY and claim is None:
            declared = registry.declared.get(_device_id(arrival.topic))
            _by_codec(arrival, codecs.of(arrival.topic, declared), items, rejected)
        elif arrival.content is not None:
            items.append(Item(arrival, arrival.content, arrival.payload, arrival.raw, 0, handle, claim))
        else:
            _look_closer(arrival, handle, claim, items, rejected)
    return items, rejected


def take_apart(arrival: Arrival) -> tuple[list[Item], list[Rejected]]:
    """The objects of a message that is JSON, whoever they are of: for codecs."""
    items: list[Item] = []
    rejected: list[Rejected] = []
    _look_closer(arrival, NOBODY, None, items, rejected)
    return items, rejected


def _look_closer(
    arrival: Arrival, handle: int, claim: Claim | None, items: list[Item], rejected: list[Rejected]
) -> None:
    payload = arrival.payload

    def reject(reason: Rejection, detail: str) -> None:
        rejected.append(Rejected(arrival, payload, reason, detail))

    if len(payload) > LARGEST:
        return reject(Rejection.too_large, f"{len(payload)} bytes; at most {LARGEST}")
    try:
        content = _read(payload)
    except (ValueError, RecursionError) as error:
        return reject(Rejection.undecodable if payload else Rejection.empty, str(error))
    if isinstance(content, list):
        return _take_apart(arrival, content, handle, claim, items, rejected)
    if not isinstance(content, dict):
        return reject(Rejection.not_an_object, f"JSON of type {type(content).__name__}")
    raw = canonical(content)
    if more_names(payload, raw) and (name := contradiction(again(payload))) is not None:
        return reject(Rejection.undecodable, said_twice(name))
    if _too_deep(content, raw):
        return reject(Rejection.nested_too_deep, _DETAIL_TOO_DEEP)
    items.append(Item(arrival, content, payload, raw, 0, handle, claim))
    return None


def claims(arrivals: Iterable[Arrival], registry: Registry) -> list[Claim]:
    """Of what is not plainly JSON, whose it is by its topic, where that has not been heard yet: the ledger may declare
    another codec for its device."""
    heard = registry.by_topic
    fresh = {arrival.topic for arrival in arrivals if arrival.content is None}.difference(heard)
    parsed = (parse_device_topic(topic) for topic in sorted(fresh))
    return [Claim(topic.device_id, topic.area, topic.family) for topic in parsed if topic is not None]


def _claim(topic: str, registry: Registry) -> Claim | None:
    """Whose report it is, where it is protocol v1's JSON; None: a codec knows. What another shard has forwarded is
    JSON, whatever its device sends."""
    parsed = parse_report_topic(topic)
    if parsed is None or parsed.device_id in registry.declared:
        parsed = parse_forwarded_topic(topic)
    return Claim(parsed.device_id, parsed.area, parsed.family) if parsed is not None else None


def _device_id(topic: str) -> str:
    parsed = parse_device_topic(topic)
    return parsed.device_id if parsed is not None else ""


def _by_codec(arrival: Arrival, codec: Codec | None, items: list[Item], rejected: list[Rejected]) -> None:
    if codec is None:
        rejected.append(Rejected(arrival, arrival.payload, Rejection.unknown_topic, arrival.topic))
        return
    for place, found in enumerate(codec(arrival)):
        if isinstance(found, Decoded):
            claim = Claim(found.device_id, found.area, found.family, found.gateway_id)
            raw = canonical(found.report)
            items.append(Item(arrival, found.report, found.payload, raw, place, NOBODY, claim))
        else:
            rejected.append(Rejected(arrival, found.payload, found.reason, found.detail, found.device_id))


def _read(payload: bytes) -> Any:
    """JSON as devices write it: NaN and Infinity are let in, to be set aside value by value later, and so is half a
    surrogate pair, since the rest of its report may be a hazard."""
    try:
        return from_json(payload, allow_inf_nan=True)
    except ValueError:
        if b"\\ud" not in payload.lower():
            raise
        content = json.loads(payload)
        if deeper_than(content, _READ_DEEP):
            raise ValueError(f"nested more than {_READ_DEEP} deep") from None
        return content


def _too_deep(report: Any, raw: bytes) -> bool:
    return raw.count(b"{") + raw.count(b"[") > MOST_DEEP and deeper_than(report, MOST_DEEP)


def _take_apart(
    arrival: Arrival, content: list[Any], handle: int, claim: Claim | None, items: list[Item], rejected: list[Rejected]
) -> None:
    if len(content) > MOST_REPORTS:
        detail = f"an array of {len(content)} items; at most {MOST_REPORTS}"
        rejected.append(Rejected(arrival, arrival.payload, Rejection.too_large, detail))
        return
    if not content:
        rejected.append(Rejected(arrival, arrival.payload, Rejection.empty, "an array without items"))
        return
    raws = [canonical(report) for report in content]
    said_again = again(arrival.payload) if more_names(arrival.payload, b"[" + b",".join(raws) + b"]") else content
    for place, (report, raw, said) in enumerate(zip(content, raws, said_again, strict=True)):
        if not isinstance(report, dict):
            detail = f"an item of type {type(report).__name__}"
            rejected.append(Rejected(arrival, raw, Rejection.not_an_object, detail))
        elif said_again is not content and (name := contradiction(said)) is not None:
            whole = json.dumps(said, separators=(",", ":")).encode()
            rejected.append(Rejected(arrival, whole, Rejection.undecodable, said_twice(name)))
        elif _too_deep(report, raw):
            rejected.append(Rejected(arrival, raw, Rejection.nested_too_deep, _DETAIL_TOO_DEEP))
        else:
            items.append(Item(arrival, report, raw, raw, place, handle, claim))
