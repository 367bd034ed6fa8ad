"""Turns: the order in which a batch's reports count, and which of them are late."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from underfoot.reports import NO_SEQ, Reports

Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]


class Arrived(NamedTuple):
    """What is needed of reports to say in which order they count; each array has one entry a report, as they came."""

    slot: NDArray[np.int32]
    ts_us: NDArray[np.int64]
    received_us: NDArray[np.int64]
    substituted: Flags


def in_turn(reports: Arrived | Reports, newest_us: NDArray[np.int64]) -> tuple[Rows, Flags]:
    """The reports device by device in the order in which they count, and which of them are late. `newest_us` is that of
    each report's device before the batch.

    Messages count in order of arrival, wherever a batch ends; the reports of one message (an array) by their time.
    After a report whose time was substituted nothing older speaks, however far ahead its clock was.
    """
    ts_us, substituted = reports.ts_us, reports.substituted
    by_device: Rows = np.argsort(reports.slot, kind="stable")
    slots, times = reports.slot[by_device], ts_us[by_device]
    older = ts_us < newest_us
    late, set_back = older & ~substituted, older & substituted
    backward = (slots[1:] == slots[:-1]) & (times[1:] < times[:-1])
    if not set_back.any() and not backward.any():
        return by_device, late
    received = reports.received_us[by_device]
    message = np.cumsum(np.append(True, received[1:] != received[:-1]) | substituted[by_device])
    turn: Rows = by_device[np.lexsort((times, message, slots))]
    mixed = turn[np.isin(reports.slot[turn], np.append(slots[1:][backward], reports.slot[set_back]))]
    newest: dict[int, int] = {}
    for row, slot in zip(mixed.tolist(), reports.slot[mixed].tolist(), strict=True):
        late[row] = ts_us[row] < newest.get(slot, newest_us[row]) and not substituted[row]
        if not late[row]:
            newest[slot] = int(ts_us[row])
    return turn, late


def backlog(reports: Reports, turn: Rows, late: Flags, newest_seq: NDArray[np.int64]) -> Flags:
    """Late reports that their device had counted before what it has said since: no wrong clock, but an old report.
    `newest_seq` is that of each report's device before the batch."""
    found = np.zeros(len(reports), np.bool_)
    if not (late & (reports.seq != NO_SEQ)).any():
        return found
    newest: dict[int, int] = {}
    for row in turn.tolist():
        slot, seq = int(reports.slot[row]), int(reports.seq[row])
        before = newest.get(slot, int(newest_seq[row]))
        if late[row]:
            found[row] = NO_SEQ not in (seq, before) and seq < before
        elif seq != NO_SEQ:
            newest[slot] = seq
    return found
