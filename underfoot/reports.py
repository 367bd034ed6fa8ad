"""A report as it is kept: its digest, the marks on it, and the time it is filed under."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntFlag
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from underfoot.families import Family

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01T00:00:00Z in microseconds since 1970: binary COPY counts from there."""

NO_SEQ = -(2**63)
"""Where a report, or a device, does not count."""

TRUSTED_PAST_US = 7 * 86_400 * 1_000_000
TRUSTED_FUTURE_US = 5 * 60 * 1_000_000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """An aware datetime as whole microseconds since 1970, without going through floating point."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """Microseconds since 1970 as an aware datetime."""
    return _EPOCH + timedelta(microseconds=us)


class Quality(IntFlag):
    """Marks on a stored report (column `quality`)."""

    time_absent = 1
    time_untrusted = 2
    time_unreadable = 4
    clock_stepped = 8
    late = 16
    values_set_aside = 32
    fields_unknown = 64


SUBSTITUTED = Quality.time_absent | Quality.time_untrusted | Quality.time_unreadable | Quality.clock_stepped
"""The report is filed under its time of receipt."""


def canonical(item: object) -> bytes:
    """The report's bytes with keys in order and no white space, so that the same report digests the same."""
    try:
        raw = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):  # an integer beyond 64 bits
        return _canonical_of_any(item)
    # `null` is orjson's word for NaN and Infinity, too, and two reports that differ there differ.
    return raw if b"null" not in raw else _canonical_of_any(item)


def _canonical_of_any(item: object) -> bytes:
    return json.dumps(item, sort_keys=True, separators=(",", ":")).encode()


def digest(raw: bytes) -> int:
    """4 bytes over the canonical raw report, as PostgreSQL's signed int4.

    Two different reports of one device in one second differ here, and both live; the same report twice does not.
    """
    value = zlib.crc32(raw)
    return value - (1 << 32) if value >= 1 << 31 else value


@dataclass(frozen=True)
class Reports:
    """Judged reports of one family, by column; every array and list has one entry a report, in order of arrival.

    `slot` is the device's place in the shard's registry. Times are microseconds since 1970. A `column` holds float64,
    NaN where the report did not carry the field (booleans 0/1). `values` are the same as they were said, unsaid fields
    left out or None; `seq` is NO_SEQ where there is none. `substituted` marks a time that is the received time.
    """

    family: Family
    slot: NDArray[np.int32]
    device_key: NDArray[np.int32]
    ts_us: NDArray[np.int64]
    received_us: NDArray[np.int64]
    digest: NDArray[np.int32]
    substituted: NDArray[np.bool_]
    quality: NDArray[np.int16]
    columns: dict[str, NDArray[np.float64]]
    values: Sequence[dict[str, Any]]
    seq: NDArray[np.int64]
    extra: Sequence[bytes | None]

    def __len__(self) -> int:
        return len(self.slot)

    def take(self, rows: NDArray[np.intp]) -> Reports:
        """The reports at `rows`, in that order."""
        return Reports(
            family=self.family,
            slot=self.slot[rows],
            device_key=self.device_key[rows],
            ts_us=self.ts_us[rows],
            received_us=self.received_us[rows],
            digest=self.digest[rows],
            substituted=self.substituted[rows],
            quality=self.quality[rows],
            columns={name: column[rows] for name, column in self.columns.items()},
            values=[self.values[row] for row in rows],
            seq=self.seq[rows],
            extra=[self.extra[row] for row in rows],
        )
