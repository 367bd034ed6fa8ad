"""Validate: from decoded reports to rows, each judged alone.

A value that cannot be is set aside and the rest of its report lives; a report that cannot be anyone's is rejected
whole. pydantic judges the values by the family's declaration; here is who sent them, and when it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
from pydantic import ValidationError

from ingest.decode import Item, Rejected
from ingest.reasons import Rejection
from ingest.registry import FamilyDevices, Registry
from underfoot.families import Values
from underfoot.reports import (
    SUBSTITUTED,
    TRUSTED_FUTURE_US,
    TRUSTED_PAST_US,
    Quality,
    Reports,
    canonical,
    digest,
    microseconds,
)
from underfoot.topics import DEVICE_ID, parse_report_topic

# Plain integers: an enum's own operators would cost more than all the rest of a report's judging.
_TIME_ABSENT = int(Quality.time_absent)
_TIME_UNTRUSTED = int(Quality.time_untrusted)
_TIME_UNREADABLE = int(Quality.time_unreadable)
_CLOCK_STEPPED = int(Quality.clock_stepped)
_VALUES_SET_ASIDE = int(Quality.values_set_aside)
_FIELDS_UNKNOWN = int(Quality.fields_unknown)
_SUBSTITUTED = int(SUBSTITUTED)
_OUR_OWN = frozenset({"ts", "seq", "values"})
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class _Rows:
    """The rows of one family as they gather."""

    def __init__(self, devices: FamilyDevices) -> None:
        self.devices = devices
        self.items: list[Item] = []
        self.slot: list[int] = []
        self.ts_us: list[int] = []
        self.digest: list[int] = []
        self.quality: list[int] = []
        self.values: list[dict[str, Any]] = []
        self.seq: list[int | None] = []
        self.extra: list[bytes | None] = []
        self.newest: dict[int, tuple[int, int]] = {}

    def reports(self) -> Reports:
        family = self.devices.family
        slot = np.array(self.slot, np.int32)
        columns = {}
        for name in family.fields:
            column = np.array([values[name] for values in self.values], np.float64)
            if name in self.devices.from_ledger:
                column = np.where(np.isnan(column), self.devices.from_ledger[name][slot], column)
            columns[name] = column
        quality = np.array(self.quality, np.int16)
        substituted = quality & _SUBSTITUTED != 0
        return Reports(
            family=family,
            slot=slot,
            device_key=self.devices.evaluator.device_key[slot].astype(np.int32),
            ts_us=np.array(self.ts_us, np.int64),
            received_us=np.array([item.arrival.received_us for item in self.items], np.int64),
            digest=np.array(self.digest, np.int32),
            substituted=substituted,
            quality=quality,
            columns=columns,
            values=self.values,
            seq=self.seq,
            extra=self.extra,
        )


class Judged:
    """A batch's reports by family, with the item each came from, and what was rejected."""

    def __init__(self) -> None:
        self.families: list[tuple[FamilyDevices, Reports, list[Item]]] = []
        self.rejected: list[Rejected] = []


def validate(items: Iterable[Item], registry: Registry) -> Judged:
    judged = Judged()
    rows: dict[str, _Rows] = {}
    for item in items:
        rejected = _judge(item, registry, rows)
        if rejected is not None:
            judged.rejected.append(rejected)
    judged.families = [
        (gathered.devices, gathered.reports(), gathered.items) for gathered in rows.values() if gathered.items
    ]
    return judged


def unknown_ids(items: Iterable[Item], registry: Registry) -> list[str]:
    """device_ids in these items' topics that the registry does not know."""
    known = registry.by_id
    unknown = set()
    for item in items:
        parts = item.arrival.topic.split("/")
        if len(parts) == 6 and parts[4] not in known and DEVICE_ID.fullmatch(parts[4]):
            unknown.add(parts[4])
    return sorted(unknown)


def _judge(item: Item, registry: Registry, rows: dict[str, _Rows]) -> Rejected | None:
    topic = parse_report_topic(item.arrival.topic)
    if topic is None:
        return _reject(item, Rejection.unknown_topic, item.arrival.topic)
    known = registry.by_id.get(topic.device_id)
    if known is None:
        return _reject(item, Rejection.unknown_device, topic.device_id, topic.device_id)
    family = known.family.family.name
    if topic.family != family:
        return _reject(item, Rejection.family_mismatch, f"topic says {topic.family}, it is {family}", topic.device_id)
    if topic.area != known.family.district[known.slot]:
        detail = f"topic says {topic.area}, it is in {known.family.district[known.slot]}"
        return _reject(item, Rejection.area_mismatch, detail, topic.device_id)
    values = item.report.get("values")
    if not isinstance(values, dict):
        return _reject(item, Rejection.values_missing, f"values = {values!r}"[:200], topic.device_id)
    if item.arrival.retain and event_time(item.report.get("ts"), item.arrival.received_us)[1]:
        return _reject(item, Rejection.retained_without_time, f"ts = {item.report.get('ts')!r}"[:200], topic.device_id)
    gathered = rows.get(family)
    if gathered is None:
        gathered = rows[family] = _Rows(known.family)
    _add_row(gathered, known.slot, item, values)
    return None


def _reject(item: Item, reason: Rejection, detail: str, device_id: str | None = None) -> Rejected:
    return Rejected(item.arrival, item.payload, reason, detail, device_id)


def _add_row(rows: _Rows, slot: int, item: Item, values: dict[str, Any]) -> None:
    report, arrival = item.report, item.arrival
    extra: dict[str, Any] = {}
    accepted, set_aside = judge_values(rows.devices.family.model, values)
    ts_us, quality = event_time(report.get("ts"), arrival.received_us)
    seq = report.get("seq")
    if not isinstance(seq, int) or isinstance(seq, bool) or not -(2**63) <= seq < 2**63:
        if seq is not None:
            extra["seq"] = seq
        seq = None
    ts_us, quality = _stepped(rows, slot, ts_us, quality, seq, arrival.received_us)
    if quality & _SUBSTITUTED and report.get("ts") is not None:
        extra["device_ts"] = report["ts"]
    if set_aside:
        quality |= _VALUES_SET_ASIDE
        extra["set_aside"] = set_aside
    if accepted.__pydantic_extra__:
        extra["values"] = accepted.__pydantic_extra__
    if not report.keys() <= _OUR_OWN:
        extra["report"] = {name: value for name, value in report.items() if name not in _OUR_OWN}
    if "values" in extra or "report" in extra:
        quality |= _FIELDS_UNKNOWN
    rows.items.append(item)
    rows.slot.append(slot)
    rows.ts_us.append(ts_us)
    rows.digest.append(digest(item.packet if quality & _SUBSTITUTED else item.raw))
    rows.quality.append(quality)
    rows.values.append(accepted.__dict__)
    rows.seq.append(seq)
    rows.extra.append(storable(extra) if extra else None)


def judge_values(model: type[Values], values: dict[str, Any]) -> tuple[Values, dict[str, Any]]:
    """The values that can be, and those that cannot, as they came."""
    try:
        return model.model_validate(values), {}
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        bad = {str(problem["loc"][0]) for problem in problems if problem["loc"]}
    # At a name that is half a surrogate pair it says no more than that: what else is wrong is found without it.
    bad = bad or {name for name in values if _HALF_A_PAIR.search(name)}
    rest, set_aside = judge_values(model, {name: value for name, value in values.items() if name not in bad})
    return rest, set_aside | {name: values[name] for name in sorted(bad)}


def event_time(ts: Any, received_us: int) -> tuple[int, int]:
    """When it was, in µs since 1970, and the mark on it: the device's word where it can be trusted, else its receipt.

    `ts` is epoch milliseconds or RFC 3339 text. Trusted inside [received − 7 d, received + 5 min].
    """
    if ts is None:
        return received_us, _TIME_ABSENT
    ts_us = _read_time(ts)
    if ts_us is None:
        return received_us, _TIME_UNREADABLE
    if not received_us - TRUSTED_PAST_US <= ts_us <= received_us + TRUSTED_FUTURE_US:
        return received_us, _TIME_UNTRUSTED
    return ts_us, 0


def _read_time(ts: Any) -> int | None:
    if isinstance(ts, (int, float)) and not isinstance(ts, bool):
        return int(ts * 1000) if -1e15 < ts < 1e15 else 0
    if isinstance(ts, str):
        try:
            parsed = datetime.fromisoformat(ts.upper())
            if parsed.tzinfo is not None:
                return microseconds(parsed)
        except (ValueError, OverflowError):
            return None
    return None


def _stepped(rows: _Rows, slot: int, ts_us: int, quality: int, seq: int | None, received_us: int) -> tuple[int, int]:
    """A clock that was set back: a higher `seq` with an older time is news, no backlog, and filed under its receipt."""
    if seq is None:
        return ts_us, quality
    before = rows.newest.get(slot)
    if before is None and slot in rows.devices.newest_seq:
        before = (int(rows.devices.evaluator.newest_us[slot]), rows.devices.newest_seq[slot])
    if before is not None and seq > before[1] and ts_us < before[0] and not quality & _SUBSTITUTED:
        ts_us, quality = received_us, quality | _CLOCK_STEPPED
    if before is None or seq > before[1] or ts_us >= before[0]:
        rows.newest[slot] = (ts_us, seq)
    return ts_us, quality


def storable(extra: dict[str, Any]) -> bytes:
    """JSON that jsonb takes: what it has no place for (NUL, half a surrogate pair, NaN) is kept as its visible text."""
    return canonical(_visible(extra))


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\\u0000").encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {_visible(name): _visible(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_visible(inner) for inner in value]
    return value
