"""Protocol v1's topics: what a device or a gateway publishes under, and what a shard's own probe uses
(docs/protocol.md)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

ROOT = "underfoot/v1"
DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
DISTRICT = re.compile(r"[0-9]{6}", re.ASCII)
_TOPIC = re.compile(rf"{ROOT}/({DISTRICT.pattern})/([^/]*)/({DEVICE_ID.pattern})/([a-z]+)", re.ASCII)


class ReportTopic(NamedTuple):
    """`underfoot/v1/{area}/{family}/{device_id}/report`; `area` is the 6-digit district."""

    area: str
    family: str
    device_id: str

    def __str__(self) -> str:
        return f"{ROOT}/{self.area}/{self.family}/{self.device_id}/report"

    @property
    def forwarded(self) -> str:
        return f"{ROOT}/{self.area}/{self.family}/{self.device_id}/forwarded"


def parse_report_topic(topic: str) -> ReportTopic | None:
    """The topic's parts, or None where it is not a report topic of protocol v1."""
    return _parse(topic, "report")


def parse_forwarded_topic(topic: str) -> ReportTopic | None:
    """The same device's report topic, where this is what one shard forwards a report to another under."""
    return _parse(topic, "forwarded")


def parse_device_topic(topic: str) -> ReportTopic | None:
    """The same, whatever a device publishes under."""
    return _parse(topic, topic.rpartition("/")[2]) if topic.endswith(("/report", "/cbor", "/forwarded")) else None


def parse_cbor_topic(topic: str) -> ReportTopic | None:
    """The same device's report topic, where this is `underfoot/v1/{area}/{family}/{device_id}/cbor`."""
    return _parse(topic, "cbor")


def _parse(topic: str, last: str) -> ReportTopic | None:
    found = _TOPIC.fullmatch(topic)
    return ReportTopic(*found.groups()[:3]) if found is not None and found[4] == last else None


@dataclass(frozen=True, slots=True)
class GatewayTopic:
    """`underfoot/v1/{area}/gateway/{gateway_id}/batch`; `area` is the 6-digit district of the gateway."""

    area: str
    gateway_id: str

    def __str__(self) -> str:
        return f"{ROOT}/{self.area}/gateway/{self.gateway_id}/batch"


def parse_gateway_topic(topic: str) -> GatewayTopic | None:
    """The topic's parts, or None where it is not a gateway's batch topic of protocol v1."""
    parsed = _parse(topic, "batch")
    if parsed is None or parsed.family != "gateway":
        return None
    return GatewayTopic(parsed.area, parsed.device_id)


REPORT_FILTER = f"{ROOT}/+/+/+/report"
CBOR_FILTER = f"{ROOT}/+/+/+/cbor"
GATEWAY_FILTER = f"{ROOT}/+/gateway/+/batch"


def filters_of(districts: Collection[str] | None) -> list[str]:
    """What the shard of these districts subscribes to; None: of all there are. Of disjoint districts, disjoint ones."""
    everywhere = (REPORT_FILTER, CBOR_FILTER, GATEWAY_FILTER)
    if districts is None:
        return list(everywhere)
    return [each.replace("+", district, 1) for district in sorted(districts) for each in everywhere]


_PROBE_LEVEL = "~probe"
"""No id may have a tilde."""


def probe_topics(filters: Iterable[str]) -> list[str]:
    """Where a shard publishes its probes to itself: a topic for each of its filters, which matches that filter and none
    of a device's. A broker may keep a queue for each subscription: a probe proves only what came by the same one.

    A filter without a wildcard has none."""
    return [
        "/".join(_PROBE_LEVEL if level in ("+", "#") else level for level in topic_filter.split("/"))
        for topic_filter in filters
        if not {"+", "#"}.isdisjoint(topic_filter.split("/"))
    ]


def is_probe(topic: str) -> bool:
    """Whoever sent it: while a district moves, two shards may be subscribed to it, and each gets the other's probes."""
    return _PROBE_LEVEL in topic and _PROBE_LEVEL in topic.split("/")


def shard_filter(shard: str) -> str:
    """What a shard's session is subscribed to beside what it takes reports by, so that it has a probe even then when it
    takes none: its last district has gone to another shard."""
    return f"{ROOT}/shard/{shard}/+"


PROBE_FILTERS = (
    f"{ROOT}/+/{_PROBE_LEVEL}/{_PROBE_LEVEL}/report",
    f"{ROOT}/+/{_PROBE_LEVEL}/{_PROBE_LEVEL}/cbor",
    f"{ROOT}/+/gateway/{_PROBE_LEVEL}/batch",
    f"{ROOT}/shard/+/{_PROBE_LEVEL}",
)
"""The probes' topics but for those of mappings, whatever the shard and its districts."""
