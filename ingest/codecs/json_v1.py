"""JSON, for codecs: a message's reports in their order, as the decode step takes them apart.

The hot path (a report topic of a device without a declared codec) does not come here.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from ingest import decode as native
from ingest.arrival import Arrival
from ingest.codecs.contract import MOST_DEEP, MOST_REPORTS, Decoded, Unusable
from ingest.reasons import Rejection
from underfoot.topics import parse_report_topic


def objects(arrival: Arrival) -> list[native.Item | Unusable]:
    """Every JSON object of the message (itself, or its array's items), and in its place what is none."""
    if arrival.payload.count(b",") >= MOST_REPORTS and _items(arrival.payload) > MOST_REPORTS:
        return [Unusable(arrival.payload, Rejection.too_large, f"more than {MOST_REPORTS} items in one message")]
    items, rejected = native.take_apart(arrival)
    at = {item.place: _not_too_deep(item) for item in items}
    refused = (Unusable(part.payload, part.reason, part.detail) for part in rejected)
    # What was rejected fills, in its order, the places that no item has.
    return [at[place] if place in at else next(refused) for place in range(len(items) + len(rejected))]


def _not_too_deep(item: native.Item) -> native.Item | Unusable:
    if item.raw.count(b"[") + item.raw.count(b"{") > MOST_DEEP and _deeper(item.report):
        return Unusable(item.payload, Rejection.nested_too_deep, f"nested more than {MOST_DEEP} deep")
    return item


def _deeper(report: Any) -> bool:
    within: list[Any] = [report]
    for _ in range(MOST_DEEP):
        within = [
            inner
            for outer in within
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(within)


def _items(payload: bytes) -> int:
    """How many items the array has; 0 where it is none, or what is wrong with it is told elsewhere."""
    try:
        content = from_json(payload, allow_inf_nan=True)
    except ValueError:
        return 0
    return len(content) if isinstance(content, list) else 0


def decode(arrival: Arrival) -> list[Decoded | Unusable]:
    """Protocol v1 in JSON, under the report topic of a device whose ledger says `json`."""
    topic = parse_report_topic(arrival.topic)
    if topic is None:
        return [Unusable(arrival.payload, Rejection.unknown_topic, arrival.topic)]
    return [
        Decoded(topic.device_id, part.report, part.payload, topic.area, topic.family)
        if isinstance(part, native.Item)
        else part._replace(device_id=topic.device_id)
        for part in objects(arrival)
    ]
