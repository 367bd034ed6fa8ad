"""Validate: from decoded reports to rows, each judged alone.

A value that cannot be is set aside and the rest of its report lives; a report that cannot be anyone's is rejected
whole. What is plainly right is judged column by column (`shape`), everything else by the family's declaration itself.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ingest.decode import Claim, Item, Rejected
from ingest.reasons import Rejection
from ingest.registry import NOBODY, SLOT, SLOT_BITS, FamilyDevices, Registry
from ingest.shape import plain_columns, plain_integers
from ingest.whose import Forward, rejected, whose
from underfoot.families import Values
from underfoot.reports import (
    NO_SEQ,
    SUBSTITUTED,
    TRUSTED_FUTURE_US,
    TRUSTED_PAST_US,
    Quality,
    Reports,
    canonical,
    digest,
    microseconds,
)

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


class Judged:
    """A batch's reports by family, with the item each came from; what was rejected, and what is another shard's.

    `families` come with `settle`: until then nothing is held against what their devices have said before."""

    def __init__(self) -> None:
        self._unsettled: list[tuple[FamilyDevices, NDArray[np.int32], list[Item], _Rows]] = []
        self.families: list[tuple[FamilyDevices, Reports, list[Item]]] = []
        self.rejected: list[Rejected] = []
        self.forward: list[Forward] = []
        self.flooding: set[int] = set()
        """device_keys of those over their allowance."""

    def add(self, devices: FamilyDevices, slots: NDArray[np.int32], items: list[Item]) -> None:
        self._unsettled.append((devices, slots, items, _read(devices, slots, items)))

    def settle(self) -> Judged:
        """Once, when all before them is known. Those over their device's allowance are rejected, where there is one."""
        for devices, slots, items, rows in self._unsettled:
            kept, listed = _within_allowance(devices, slots, items, self)
            within = rows if len(listed) == len(items) else _read(devices, kept, listed)
            self.families.append((devices, within.settled(), listed))
        return self


def validate(items: Sequence[Item], registry: Registry) -> Judged:
    """Every report of these, judged but for `settle`: nothing here remembers that it was asked."""
    judged = Judged()
    by_family: list[tuple[list[int], list[Item]]] = [([], []) for _ in registry.by_number]
    for item in items:
        handle = item.handle
        if handle == NOBODY:
            found = whose(item, registry)
            if isinstance(found, Forward):
                judged.forward.append(found)
                continue
            if isinstance(found, Rejected):
                judged.rejected.append(found)
                continue
            handle = found
        report, arrival = item.report, item.arrival
        if type(report.get("values")) is not dict:
            detail = f"values = {report.get('values')!r}"[:200]
            judged.rejected.append(rejected(item, Rejection.values_missing, detail))
        elif arrival.retain and event_time(report.get("ts"), arrival.received_us)[1]:
            detail = f"ts = {report.get('ts')!r}"[:200]
            judged.rejected.append(rejected(item, Rejection.retained_without_time, detail))
        else:
            slots, listed = by_family[handle >> SLOT_BITS]
            slots.append(handle & SLOT)
            listed.append(item)
    for devices, (slots, listed) in zip(registry.by_number, by_family, strict=True):
        if listed:
            judged.add(devices, np.array(slots, np.int32), listed)
    return judged


def _within_allowance(
    devices: FamilyDevices, slots: NDArray[np.int32], items: list[Item], judged: Judged
) -> tuple[NDArray[np.int32], list[Item]]:
    over = devices.allowance.over(slots) if devices.allowance is not None else np.zeros(len(items), np.bool_)
    if not over.any():
        return slots, items
    judged.flooding |= {int(devices.evaluator.device_key[slot]) for slot in slots[over].tolist()}
    judged.rejected += [
        rejected(items[row], Rejection.rate_limited, "over its device's allowance")
        for row in np.flatnonzero(over).tolist()
    ]
    return slots[~over], [items[row] for row in np.flatnonzero(~over).tolist()]


def unknown_ids(claims: Iterable[Claim | None], registry: Registry) -> list[str]:
    """device_ids that are claimed and that the registry does not know."""
    known, elsewhere = registry.by_id, registry.elsewhere
    return sorted(
        {
            claim.device_id
            for claim in claims
            if claim is not None and claim.device_id not in known and claim.device_id not in elsewhere
        }
    )


class _Rows:
    """The rows of one family while they are judged. `extra` by row, of those few that have any."""

    def __init__(self, devices: FamilyDevices, slot: NDArray[np.int32], items: Sequence[Item]) -> None:
        reports = [item.report for item in items]
        self.devices = devices
        self.slot = slot
        self.items = items
        self.values: list[dict[str, Any]] = [report["values"] for report in reports]
        self.received_us = np.array([item.arrival.received_us for item in items], np.int64)
        self.quality = np.zeros(len(items), np.int16)
        self.digest = np.array(list(map(zlib.crc32, [item.raw for item in items])), np.uint32).view(np.int32)
        self.extra: dict[int, dict[str, Any]] = {}
        self.columns, self.doubtful = plain_columns(devices.family, self.values)
        self._read_times(list(map(dict.get, reports, repeat("ts"))))
        self._read_counts(list(map(dict.get, reports, repeat("seq"))))
        self.doubtful |= np.fromiter(map(len, reports), np.int32, len(items)) != 2 + (self.seq != NO_SEQ)

    def _read_times(self, said: list[Any]) -> None:
        ts_ms, odd = plain_integers(said)
        odd |= (ts_ms < -(10**15)) | (ts_ms > 10**15)
        self.ts_us = np.where(odd, self.received_us, ts_ms) * np.where(odd, 1, 1000)
        far = (self.ts_us < self.received_us - TRUSTED_PAST_US) | (self.ts_us > self.received_us + TRUSTED_FUTURE_US)
        self.doubtful |= odd | far

    def _read_counts(self, said: list[Any]) -> None:
        self.seq, odd = plain_integers([NO_SEQ if seq is None else seq for seq in said] if None in said else said)
        self.seq[odd] = NO_SEQ
        self.doubtful |= odd

    def judge_doubtful(self) -> None:
        """By the declaration itself, report by report."""
        for row in np.flatnonzero(self.doubtful).tolist():
            item = self.items[row]
            report = item.report
            extra: dict[str, Any] = {}
            accepted, set_aside = judge_values(self.devices.family.model, report["values"])
            ts_us, quality = event_time(report.get("ts"), item.arrival.received_us)
            if self.seq[row] == NO_SEQ and report.get("seq") is not None:
                extra["seq"] = report["seq"]
            if set_aside:
                quality |= _VALUES_SET_ASIDE
                extra["set_aside"] = set_aside
            if accepted.__pydantic_extra__:
                extra["values"] = accepted.__pydantic_extra__
            if not report.keys() <= _OUR_OWN:
                extra["report"] = {name: value for name, value in report.items() if name not in _OUR_OWN}
            if "values" in extra or "report" in extra:
                quality |= _FIELDS_UNKNOWN
            self.ts_us[row] = ts_us
            self.quality[row] = quality
            self.values[row] = accepted.__dict__
            self.extra[row] = extra
            for name, column in self.columns.items():
                value = accepted.__dict__[name]
                column[row] = np.nan if value is None else value

    def _find_clocks_set_back(self) -> None:
        """A higher `seq` with an older time is news, no backlog, and filed under its receipt."""
        counted = np.flatnonzero(self.seq != NO_SEQ)
        if not len(counted):
            return
        slot, ts_us, seq = self.slot[counted], self.ts_us[counted], self.seq[counted]
        newest_seq, newest_us = self.devices.evaluator.newest_seq[slot], self.devices.evaluator.newest_us[slot]
        suspect = (newest_seq != NO_SEQ) & (seq > newest_seq) & (ts_us < newest_us)
        turn = np.argsort(slot, kind="stable")
        backward = (slot[turn][1:] == slot[turn][:-1]) & (ts_us[turn][1:] < ts_us[turn][:-1])
        if not suspect.any() and not backward.any():
            return
        newest: dict[int, tuple[int, int]] = {}
        for row in counted[np.isin(slot, np.append(slot[suspect], slot[turn][1:][backward]))].tolist():
            self._hold_against(row, newest)

    def _hold_against(self, row: int, newest: dict[int, tuple[int, int]]) -> None:
        slot, ts_us, seq = int(self.slot[row]), int(self.ts_us[row]), int(self.seq[row])
        before = newest.get(slot)
        evaluator = self.devices.evaluator
        if before is None and evaluator.newest_seq[slot] != NO_SEQ:
            before = (int(evaluator.newest_us[slot]), int(evaluator.newest_seq[slot]))
        substituted = int(self.quality[row]) & _SUBSTITUTED
        if before is not None and seq > before[1] and ts_us < before[0] and not substituted:
            self.ts_us[row] = ts_us = int(self.received_us[row])
            self.quality[row] |= _CLOCK_STEPPED
        if before is None or seq > before[1] or ts_us >= before[0]:
            newest[slot] = (ts_us, seq)

    def settled(self) -> Reports:
        self._find_clocks_set_back()
        family, slot = self.devices.family, self.slot
        substituted = self.quality & _SUBSTITUTED != 0
        for row in np.flatnonzero(substituted).tolist():
            item = self.items[row]
            self.digest[row] = digest(item.packet)
            if item.report.get("ts") is not None:
                self.extra.setdefault(row, {})["device_ts"] = item.report["ts"]
        for name, values in self.devices.from_ledger.items():
            column = self.columns[name]
            self.columns[name] = np.where(np.isnan(column), values[slot], column)
        extra: list[bytes | None] = [None] * len(slot)
        for row, kept in self.extra.items():
            extra[row] = storable(kept) if kept else None
        return Reports(
            family=family,
            slot=slot,
            device_key=self.devices.evaluator.device_key[slot].astype(np.int32),
            ts_us=self.ts_us,
            received_us=self.received_us,
            digest=self.digest,
            substituted=substituted,
            quality=self.quality,
            columns=self.columns,
            values=self.values,
            seq=self.seq,
            extra=extra,
        )


def judge(
    devices: FamilyDevices, slot: NDArray[np.int32], items: Sequence[Item], *, doubt_all: bool = False
) -> Reports:
    """The reports of one family's devices, in order of arrival; each has an object of values.

    `doubt_all` leaves every one of them to the declaration itself: the same comes out, more slowly.
    """
    return _read(devices, slot, items, doubt_all=doubt_all).settled()


def _read(devices: FamilyDevices, slot: NDArray[np.int32], items: Sequence[Item], *, doubt_all: bool = False) -> _Rows:
    rows = _Rows(devices, slot, items)
    rows.doubtful |= doubt_all
    rows.judge_doubtful()
    return rows


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
