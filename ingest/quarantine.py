"""Quarantine: what could not be understood is kept whole, with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ingest.decode import Rejected
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


def quarantine(connection: Connection, shard: str, rejected: Sequence[Rejected]) -> int:
    """Keep them; returns how many were new. A redelivered packet that is there already is not kept twice."""
    if not rejected:
        return 0
    suspects = [(one.arrival.packet_id, _digest(one)) for one in rejected if one.arrival.dup]
    known: set[tuple[int, bytes]] = set()
    if suspects:
        found = connection.execute(statement("quarantine.known"), {"digests": [digest for _, digest in suspects]})
        known = {(packet_id, bytes(digest)) for packet_id, digest in found}
    rows = [
        {
            "shard": shard,
            "received_us": one.arrival.received_us,
            "topic": one.arrival.topic.replace("\0", "\\0"),
            "payload": one.payload,
            "digest": _digest(one),
            "packet_id": one.arrival.packet_id,
            "reason": one.reason.value,
            "detail": one.detail.replace("\0", "\\0")[:1000],
            "device_id": one.device_id,
        }
        for one in rejected
        if not (one.arrival.dup and (one.arrival.packet_id, _digest(one)) in known)
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(statement("quarantine.add"), rows)
    return len(rows)


def _digest(one: Rejected) -> bytes:
    return hashlib.sha256(one.arrival.topic.encode("utf-8", "backslashreplace") + b"\0" + one.payload).digest()
