"""A gateway's batch: reports of many devices in one message, each judged alone (docs/protocol.md).

`underfoot/v1/{area}/gateway/{gateway_id}/batch` carries an array of reports, or an object with them under `reports`.
Each says its `device_id`; that the ledger binds it to this gateway is judged afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ingest.arrival import Arrival
from ingest.codecs.contract import MOST_REPORTS, Decoded, Unusable
from ingest.codecs.conversions import shown
from ingest.codecs.json_v1 import objects
from ingest.reasons import Rejection
from underfoot.reports import canonical
from underfoot.topics import DEVICE_ID, parse_gateway_topic

MOST_BYTES = 16 * 2**20
"""Of what all reports of a message may be, each with what the gateway says beside them."""
_TO_WHOM = frozenset({"device_id", "family"})


def decode(arrival: Arrival) -> list[Decoded | Unusable]:
    topic = parse_gateway_topic(arrival.topic)
    if topic is None:
        return [Unusable(arrival.payload, Rejection.unknown_topic, arrival.topic)]
    found: list[Decoded | Unusable] = []
    for part in objects(arrival):
        if isinstance(part, Unusable):
            found.append(part)
        elif "reports" in part.report:
            found.extend(_batch(part.report, part.payload, topic.gateway_id))
        else:
            found.append(_member(part.report, {}, part.payload, topic.gateway_id))
    return found


def _batch(batch: dict[str, Any], payload: bytes, gateway_id: str) -> Iterator[Decoded | Unusable]:
    members = batch["reports"]
    if not isinstance(members, list):
        yield Unusable(payload, Rejection.not_an_object, f"reports = {shown(members)}: a list is needed")
        return
    if not members:
        yield Unusable(payload, Rejection.empty, "reports: a list without items")
        return
    around = {name: value for name, value in batch.items() if name != "reports"}
    if len(members) > MOST_REPORTS or len(canonical(around)) * len(members) + len(payload) > MOST_BYTES:
        detail = f"{len(members)} reports: at most {MOST_REPORTS}, or {MOST_BYTES} bytes with all that is beside them"
        yield Unusable(payload, Rejection.too_large, detail)
        return
    for member in members:
        # As quarantine keeps it, and can replay it: a batch of one.
        alone = canonical({**around, "reports": [member]})
        if isinstance(member, dict):
            yield _member(member, around, alone, gateway_id)
        else:
            yield Unusable(alone, Rejection.not_an_object, f"an item of type {type(member).__name__}")


def _member(member: dict[str, Any], around: dict[str, Any], payload: bytes, gateway_id: str) -> Decoded | Unusable:
    device_id, family = member.get("device_id"), member.get("family")
    if not isinstance(device_id, str) or not DEVICE_ID.fullmatch(device_id):
        detail = f"device_id = {shown(device_id)}: 1 to 64 of A-Z a-z 0-9 _ - are needed"
        return Unusable(payload, Rejection.unknown_device, detail)
    if family is not None and not isinstance(family, str):
        return Unusable(payload, Rejection.family_mismatch, f"family = {shown(family)}: a name is needed", device_id)
    report = {name: value for name, value in member.items() if name not in _TO_WHOM}
    if around:
        report["around"] = around
    return Decoded(device_id, report, payload, None, family, gateway_id)
