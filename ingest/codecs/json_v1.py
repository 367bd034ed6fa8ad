"""JSON, for codecs: a message's reports in their order, as the decode step takes them apart.

The hot path (a report topic of a device without a declared codec) does not come here.
"""

from __future__ import annotations

from ingest import decode as native
from ingest.arrival import Arrival
from ingest.codecs.contract import Decoded, Unusable
from ingest.reasons import Rejection
from underfoot.topics import parse_report_topic


def objects(arrival: Arrival) -> list[native.Item | Unusable]:
    """Every JSON object of the message (itself, or its array's items), and in its place what is none."""
    items, rejected = native.take_apart(arrival)
    at: dict[int, native.Item] = {item.place: item for item in items}
    refused = (Unusable(part.payload, part.reason, part.detail) for part in rejected)
    # What was rejected fills, in its order, the places that no item has.
    return [at[place] if place in at else next(refused) for place in range(len(items) + len(rejected))]


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
