"""Whose: a message's claim held against the ledger. The broker's word is never enough."""

from __future__ import annotations

from typing import NamedTuple

from ingest.decode import Claim, Item, Rejected
from ingest.reasons import Rejection
from ingest.registry import FAMILY_NAMES, Elsewhere, Registry
from underfoot.topics import ReportTopic, parse_gateway_topic, parse_report_topic


class Forward(NamedTuple):
    """A report whose device another shard holds, and the topic it has there."""

    shard: str
    topic: str
    item: Item


def whose(item: Item, registry: Registry) -> int | Forward | Rejected:
    """The handle of the device that this report is of, or where it belongs, or why it is nobody's."""
    claim = item.claim
    if claim is None:
        return rejected(item, Rejection.unknown_topic, item.arrival.topic)
    handle = registry.by_id.get(claim.device_id)
    if handle is None:
        there = registry.elsewhere.get(claim.device_id)
        if there is None:
            detail = f"no device {claim.device_id} is registered"
            return rejected(item, Rejection.unknown_device, detail)
        refusal = _refusal(item, claim, registry, there)
        topic = ReportTopic(there.district, there.family, claim.device_id).forwarded
        return refusal or Forward(there.shard, topic, item)
    devices, slot = registry.at(handle)
    vendor = registry.vendors[devices.vendor_no[slot]]
    here = Elsewhere("", str(devices.district[slot]), devices.family.name, int(devices.gateway_key[slot]), vendor)
    refusal = _refusal(item, claim, registry, here)
    if refusal is not None:
        return refusal
    topic = item.arrival.topic
    if claim.area is not None and claim.family is not None and claim.gateway_id is None and item.arrival.origin is None:
        parsed = parse_report_topic(topic)
        if parsed is not None and claim.device_id not in registry.declared:
            registry.by_topic[topic] = handle
    return handle


def _refusal(item: Item, claim: Claim, registry: Registry, device: Elsewhere) -> Rejected | None:
    origin = item.arrival.origin
    if claim.family is not None and claim.family != device.family:
        detail = f"the message says {claim.family}, it is {device.family}"
        if claim.family not in FAMILY_NAMES:
            detail = f"there is no family {claim.family}, it is {device.family}"
        return rejected(item, Rejection.family_mismatch, detail, device.vendor)
    if claim.area is not None and claim.area != device.district:
        detail = f"the message says {claim.area}, it is in {device.district}"
        return rejected(item, Rejection.area_mismatch, detail, device.vendor)
    if claim.gateway_id is not None:
        gateway_key, district = registry.gateways.get(claim.gateway_id, (None, ""))
        if gateway_key is None:
            detail = f"no gateway {claim.gateway_id} is registered"
            return rejected(item, Rejection.unknown_gateway, detail, device.vendor)
        topic = parse_gateway_topic(item.arrival.topic)
        if topic is not None and topic.area != district:
            detail = f"the topic says {topic.area}, gateway {claim.gateway_id} is in {district}"
            return rejected(item, Rejection.area_mismatch, detail, device.vendor)
        if gateway_key != device.gateway_key:
            detail = f"{claim.device_id} is not bound to gateway {claim.gateway_id}"
            return rejected(item, Rejection.not_of_gateway, detail, device.vendor)
    if origin is not None and origin.vendor is not None and origin.vendor != device.vendor:
        detail = f"pushed by {origin.vendor}, it is of {device.vendor or 'no vendor'}"
        return rejected(item, Rejection.vendor_mismatch, detail, device.vendor)
    return None


def rejected(item: Item, reason: Rejection, detail: str, vendor: str | None = None) -> Rejected:
    claim = item.claim
    if claim is not None:
        said = (claim.area, claim.family, claim.gateway_id)
        return Rejected(item.arrival, item.payload, reason, detail, claim.device_id, vendor, *said)
    topic = parse_report_topic(item.arrival.topic)
    device_id = topic.device_id if topic is not None else None
    return Rejected(item.arrival, item.payload, reason, detail, device_id, vendor)
