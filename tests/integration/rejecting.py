"""Rejected messages as the holder makes them, and a connection to keep them by."""

from __future__ import annotations

import itertools
from typing import Any

from psycopg.rows import dict_row

from ingest.arrival import Arrival, Origin
from ingest.decode import Rejected
from ingest.quarantine import Budget, Kept, quarantine
from ingest.reasons import Rejection
from underfoot.storage.connect import Connection, connect

BEGAN_US = 1_782_878_400_000_000  # 2026-07-01 12:00 in the city
_numbers = itertools.count(1)

LEDGER = """
INSERT INTO areas (code, name, parent_code, level) VALUES
    ('41', '河南省', NULL, 'province'), ('4105', '安阳市', '41', 'city'), ('410502', '文峰区', '4105', 'district');
INSERT INTO assets (asset_code, kind, name, area_code) VALUES
    ('4105020103000312', '0103', '雨水井0312', '410502');
"""


class Quarantine:
    """A fresh database's quarantine. `reject` makes a message; `keep` is the holder's step."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.connection: Connection = connect(database, "test", autocommit=True)
        self.budget = Budget(200, 10_000)

    def close(self) -> None:
        self.connection.close()

    def reject(
        self,
        device_id: str | None = "X-1",
        reason: Rejection = Rejection.unknown_device,
        *,
        topic: str | None = None,
        payload: bytes | None = None,
        at_s: float | None = None,
        origin: Origin | None = None,
        dup: bool = False,
        packet_id: int | None = None,
        detail: str = "because",
        **more: Any,
    ) -> Rejected:
        number = next(_numbers)
        received_us = BEGAN_US + (number if at_s is None else round(at_s * 1_000_000))
        topic = topic or f"underfoot/v1/410502/cover/{device_id}/report"
        payload = b'{"n": %d}' % number if payload is None else payload
        packet = number % 65_535 if packet_id is None else packet_id
        arrival = Arrival(topic, payload, packet, 1, dup, False, received_us, 1, origin)
        return Rejected(arrival, payload, reason, detail, device_id, **more)

    def keep(self, *rejected: Rejected) -> Kept:
        with self.connection.transaction():
            return quarantine(self.connection, "main", rejected, self.budget)

    def again(self, key: int, reason: Rejection = Rejection.unknown_device, **more: Any) -> Rejected:
        """The replay of a row, rejected once more."""
        return self.reject(reason=reason, origin=Origin(1, "mqtt", None, key), **more)

    def run(self, query: str, *params: Any) -> None:
        self.connection.execute(query.encode(), params)

    def rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), params).fetchall()

    def kept(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM quarantine ORDER BY quarantine_key")

    def keys(self) -> list[int]:
        return [row["quarantine_key"] for row in self.kept()]

    def inbox(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM inbox ORDER BY inbox_key")

    def consume(self) -> None:
        """As the holder does once it has looked at what waits."""
        self.run("UPDATE inbox SET consumed_at = clock_timestamp(), outcome = 'done' WHERE consumed_at IS NULL")
