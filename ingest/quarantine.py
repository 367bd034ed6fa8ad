"""Quarantine: what could not be understood is kept whole, with its reason; of a flood, as much as the budget grants."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import NamedTuple

from ingest.decode import Rejected
from ingest.pack import COPY_HEADER, COPY_TRAILER
from underfoot.clock import CLOCK
from underfoot.reports import POSTGRES_EPOCH_US
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_EXAMPLE_EVERY_S = 60.0
_LONGEST_DETAIL = 1000
_LONGEST_DEVICE_ID = 200
_COLUMNS = (11).to_bytes(2)
_NULL = (-1).to_bytes(4, signed=True)


class Kept(NamedTuple):
    """What became of rejected messages; the three counts are all of them. `added` are those kept as new."""

    quarantined: int
    duplicates: int
    """In quarantine already: redelivered packets, and replays that were rejected again."""
    discarded: int
    added: list[Rejected]


@dataclass
class _Bucket:
    tokens: float
    filled_at: float
    granted_at: float


class Budget:
    """How much of a flood is kept: a token bucket for each reason and source, on a clock that nobody can set.

    However long a flood lasts, at least one example a minute is granted.
    """

    def __init__(self, rate_per_s: float, burst: int, clock: Callable[[], float] = CLOCK.passed_s) -> None:
        self._rate = rate_per_s
        self._burst = float(burst)
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def grant(self, reason: str, source: str, wanted: int) -> int:
        """How many of `wanted` may be kept now."""
        now = self._clock()
        bucket = self._buckets.get((reason, source))
        if bucket is None:
            bucket = self._buckets[reason, source] = _Bucket(self._burst, now, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._rate)
        bucket.filled_at = now
        granted = min(wanted, int(bucket.tokens))
        bucket.tokens -= granted
        if granted == 0 and wanted and now - bucket.granted_at >= _EXAMPLE_EVERY_S:
            granted = 1
        if granted:
            bucket.granted_at = now
        return granted


def quarantine(connection: Connection, shard: str, rejected: Sequence[Rejected], budget: Budget) -> Kept:
    """Keep them, in the caller's transaction. A redelivered packet that is there already is not kept twice; a replay
    that is rejected again stays the row that it was, with the new reason, and is never discarded."""
    if not rejected:
        return Kept(0, 0, 0, [])
    again = _rejected_again(connection, shard, rejected)
    known = _known_packets(connection, rejected)
    suspicious = any(one.arrival.dup for one in rejected)
    fresh: dict[tuple[str, str], list[int]] = defaultdict(list)
    kept: list[int] = []
    duplicates = 0
    for place, one in enumerate(rejected):
        origin = one.arrival.origin
        if origin is not None and origin.quarantine_key is not None:
            if origin.quarantine_key in again:
                duplicates += 1
            else:
                kept.append(place)
        elif one.arrival.dup and (one.arrival.packet_id, _digest(one)) in known:
            duplicates += 1
        else:
            if suspicious:
                # What came before the connection was lost may be in one batch with its redelivery.
                known.add((one.arrival.packet_id, _digest(one)))
            fresh[one.reason.value, one.arrival.source].append(place)
    discarded = 0
    for (reason, source), places in fresh.items():
        granted = budget.grant(reason, source, len(places))
        discarded += len(places) - granted
        kept += places if granted == len(places) else _most_various(rejected, places, granted)
    added = [rejected[place] for place in sorted(kept)]
    _add(connection, shard, added)
    return Kept(len(added), duplicates, discarded, added)


def released(connection: Connection, quarantine_keys: Iterable[int]) -> None:
    """These messages were replayed and understood now, every part of them: what they say is stored, or was already.

    Of a replay of which any part was rejected again, the key must not be among them.
    """
    keys = sorted(set(quarantine_keys))
    if keys:
        connection.execute(statement("quarantine.release"), {"quarantine_keys": keys})


def _rejected_again(connection: Connection, shard: str, rejected: Sequence[Rejected]) -> set[int]:
    """Renew the rows of replays; the keys of those that are still there."""
    replays: dict[int, list[Rejected]] = defaultdict(list)
    for one in rejected:
        if one.arrival.origin is not None and one.arrival.origin.quarantine_key is not None:
            replays[one.arrival.origin.quarantine_key].append(one)
    if not replays:
        return set()
    first = [parts[0] for parts in replays.values()]
    more = [len(parts) - 1 for parts in replays.values()]
    params = {
        "shard": shard,
        "quarantine_keys": list(replays),
        "reasons": [one.reason.value for one in first],
        "details": [
            _text(f"{one.detail} (and {others} more of this message)" if others else one.detail, _LONGEST_DETAIL)
            for one, others in zip(first, more, strict=True)
        ],
        "device_ids": [_device_id(one) for one in first],
        "vendors": [_vendor(one) for one in first],
    }
    return {key for (key,) in connection.execute(statement("quarantine.reject_again"), params)}


def _known_packets(connection: Connection, rejected: Sequence[Rejected]) -> set[tuple[int, bytes]]:
    digests = [_digest(one) for one in rejected if one.arrival.dup]
    if not digests:
        return set()
    found = connection.execute(statement("quarantine.known"), {"digests": digests})
    return {(packet_id, bytes(digest)) for packet_id, digest in found}


def _most_various(rejected: Sequence[Rejected], places: list[int], granted: int) -> list[int]:
    """Of a flood, the first of each topic before the second of any: one mad device hides no other."""
    if not granted:
        return []
    seen: Counter[str] = Counter()
    ranked = []
    for place in places:
        topic = rejected[place].arrival.topic
        ranked.append((seen[topic], place))
        seen[topic] += 1
    return [place for _, place in nsmallest(granted, ranked)]


def _add(connection: Connection, shard: str, added: Sequence[Rejected]) -> None:
    if not added:
        return
    shard_field = _field(shard.encode())
    with connection.cursor() as cursor, cursor.copy(statement("quarantine.add")) as copy:
        copy.write(b"".join([COPY_HEADER, *(_row(shard_field, one) for one in added), COPY_TRAILER]))


def _row(shard: bytes, one: Rejected) -> bytes:
    """As binary COPY has it, in the order of `quarantine.add`."""
    device_id = _device_id(one)
    return b"".join(
        (
            _COLUMNS,
            shard,
            _field((one.arrival.received_us - POSTGRES_EPOCH_US).to_bytes(8, signed=True)),
            _field(_text(one.arrival.topic).encode()),
            _field(one.payload),
            _field(_digest(one)),
            _field(one.arrival.packet_id.to_bytes(4)),
            _field(one.reason.value.encode()),
            _field(_text(one.detail, _LONGEST_DETAIL).encode()),
            _NULL if device_id is None else _field(device_id.encode()),
            _field(_text(one.arrival.source).encode()),
            _field(_vendor(one).encode()),
        )
    )


def _field(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value


def _vendor(one: Rejected) -> str:
    """The account's that pushed it, else the device's."""
    account = one.arrival.origin.vendor if one.arrival.origin is not None else None
    return _text(account or one.vendor or "")


def _device_id(one: Rejected) -> str | None:
    return None if one.device_id is None else _text(one.device_id, _LONGEST_DEVICE_ID)


def _text(value: str, longest: int | None = None) -> str:
    """What a text column has no place for (NUL, half a surrogate pair) stays visible."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:longest]


def _digest(one: Rejected) -> bytes:
    return hashlib.sha256(one.arrival.topic.encode("utf-8", "backslashreplace") + b"\0" + one.payload).digest()
