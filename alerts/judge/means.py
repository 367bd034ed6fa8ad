"""Means: what a field of each device has been on average of late, as air quality is judged: the mean of the means of
the parts of that time, so that an hour with many reports counts as one with few.

Of each part its sum and its count are kept. That depends on nothing but the reports: in which order they came makes no
difference, and a restart, which adds them up again, goes on as if never stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.judge.rooms import Rooms
from alerts.rules.level import PARTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Places = NDArray[np.intp]

_WIDTH = 1 + PARTS + PARTS
_RING = np.arange(PARTS)


class Mean(NamedTuple):
    """By report: the mean, and how many of the parts up to its own have said something. NaN and 0: none has."""

    mean: Floats
    parts: Ints


@dataclass(frozen=True)
class KeptMeans:
    """Of some devices, a row each: the number of the newest part (since 1970), and by part its sum and its count. A
    part stands at its number modulo PARTS."""

    slots: Ints
    rows: Ints

    @property
    def newest(self) -> Ints:
        return self.rows[:, 0]

    @property
    def sums(self) -> Floats:
        return self.rows[:, 1 : 1 + PARTS].view(np.float64)

    @property
    def counts(self) -> Ints:
        return self.rows[:, 1 + PARTS :]


class Means:
    """One field over one time."""

    def __init__(self, field: str, over_s: float) -> None:
        self.field = field
        self.part_us = int(over_s * 1e6) // PARTS
        self._rooms = Rooms(_WIDTH)
        self.grow = self._rooms.grow

    def judge(self, slots: NDArray[np.int32], ts_us: Ints, values: Floats, in_turn: Places) -> tuple[Mean, KeptMeans]:
        """The mean with each of these reports, and the parts as they leave them. A late report counts in its part."""
        found = Mean(np.full(len(slots), np.nan), np.zeros(len(slots), np.int64))
        rows = in_turn[~np.isnan(values[in_turn])]
        starts = np.flatnonzero(np.append(True, slots[rows][1:] != slots[rows][:-1])) if len(rows) else rows
        devices = slots[rows[starts]].astype(np.int64)
        kept = KeptMeans(devices, self._rooms.of(devices))
        reports = np.diff(np.append(starts, len(rows)))
        part = ts_us // self.part_us
        for turn in range(int(reports.max(initial=0))):
            which = np.flatnonzero(reports > turn)
            report = rows[starts[which] + turn]
            one = np.ones(len(which), np.int64)
            here = _add(KeptMeans(kept.slots[which], kept.rows[which]), part[report], values[report], one)
            kept.rows[which] = here.rows
            found.mean[report], found.parts[report] = _mean(here, part[report])
        return found, kept

    def apply(self, kept: KeptMeans) -> None:
        self._rooms.put(kept.slots, kept.rows)

    def add(self, slots: Ints, part: Ints, sums: Floats, counts: Ints) -> None:
        """Parts that were added up elsewhere, of any devices, each part once."""
        for number in np.unique(part):
            here = np.flatnonzero(part == number)
            kept = KeptMeans(slots[here], self._rooms.of(slots[here]))
            self.apply(_add(kept, part[here], sums[here], counts[here]))


def _add(kept: KeptMeans, part: Ints, sums: Floats, counts: Ints) -> KeptMeans:
    """More in one part of each of these devices. What lies before all that is kept counts no more."""
    newest = np.maximum(kept.newest, part)
    # By place in the ring, the number of the part that stands there once the newest is this one.
    standing = newest[:, None] - (newest[:, None] - _RING) % PARTS
    over = standing > kept.newest[:, None]
    kept.sums[over], kept.counts[over] = 0.0, 0
    kept.newest[:] = newest
    place = part % PARTS
    counted = np.flatnonzero(newest - part < PARTS)
    kept.sums[counted, place[counted]] += sums[counted]
    kept.counts[counted, place[counted]] += counts[counted]
    return kept


def _mean(kept: KeptMeans, part: Ints) -> tuple[Floats, Ints]:
    newest = kept.newest[:, None]
    standing = newest - (newest - _RING) % PARTS
    counts = np.where(standing <= part[:, None], kept.counts, 0)
    parts = (counts > 0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(counts > 0, kept.sums / counts, 0.0)
        return means.sum(axis=1) / parts, parts
