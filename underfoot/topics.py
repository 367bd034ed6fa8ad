"""Protocol v1's topics: what a device publishes under, and what a shard's own probe uses (docs/protocol.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass

ROOT = "underfoot/v1"
DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
DISTRICT = re.compile(r"[0-9]{6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReportTopic:
    """`underfoot/v1/{area}/{family}/{device_id}/report`; `area` is the 6-digit district."""

    area: str
    family: str
    device_id: str

    def __str__(self) -> str:
        return f"{ROOT}/{self.area}/{self.family}/{self.device_id}/report"


def parse_report_topic(topic: str) -> ReportTopic | None:
    """The topic's parts, or None where it is not a report topic of protocol v1."""
    parts = topic.split("/")
    if len(parts) != 6 or parts[0] != "underfoot" or parts[1] != "v1" or parts[5] != "report":
        return None
    if not DISTRICT.fullmatch(parts[2]) or not DEVICE_ID.fullmatch(parts[4]):
        return None
    return ReportTopic(parts[2], parts[3], parts[4])


REPORT_FILTER = f"{ROOT}/+/+/+/report"


def probe_topic(shard: str) -> str:
    """Where a shard publishes its probe to itself. No device's topic has this shape."""
    return f"{ROOT}/shard/{shard}/probe"
