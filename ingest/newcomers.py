"""Newcomers: of what went to quarantine because the ledger does not have its device, those devices are noted that are
in an area where unknown devices may wait for approval."""

from __future__ import annotations

from collections.abc import Iterable

from ingest.decode import Rejected
from ingest.reasons import Rejection
from underfoot.families import FAMILIES
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement
from underfoot.topics import DEVICE_ID, DISTRICT, parse_report_topic


def note_newcomers(connection: Connection, rejected: Iterable[Rejected], most: int) -> None:
    """Put unknown devices on the list, or renew what is known of them; in the caller's transaction. No more than `most`
    wait in one district: a flood of invented ids fills the list and no more."""
    said: dict[str, list[Rejected]] = {}
    for one in rejected:
        if one.reason is Rejection.unknown_device and one.device_id is not None and DEVICE_ID.fullmatch(one.device_id):
            said.setdefault(one.device_id, []).append(one)
    rows = []
    for device_id, reports in said.items():
        family, district = _claimed(reports[-1])
        if family in FAMILIES and (not district or DISTRICT.fullmatch(district)):
            received = [report.arrival.received_us for report in reports]
            rows.append((device_id, family, district, reports[-1], min(received), max(received), len(reports)))
    if not rows or connection.execute(statement("newcomers.nobody_waits")).fetchone():
        return
    newest = [row[3] for row in rows]
    params = {
        "device_ids": [row[0] for row in rows],
        "families": [row[1] for row in rows],
        "districts": [row[2] for row in rows],
        "vendors": [(one.arrival.origin.vendor if one.arrival.origin is not None else None) or "" for one in newest],
        "gateway_ids": [one.gateway_id for one in newest],
        "sources": [one.arrival.source for one in newest],
        "first_us": [row[4] for row in rows],
        "last_us": [row[5] for row in rows],
        "reports": [row[6] for row in rows],
        "most": most,
    }
    connection.execute(statement("newcomers.note"), params)


def _claimed(one: Rejected) -> tuple[str | None, str]:
    """The family and the district that a report claims for its device: by its codec, else by its topic. Most vendors'
    messages say no district."""
    topic = parse_report_topic(one.arrival.topic)
    if topic is None:
        return one.family, one.area or ""
    return one.family or topic.family, one.area or topic.area
