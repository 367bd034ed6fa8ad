"""Slopes: how a field of each device has changed of late, by a straight line through its last samples.

Of each device one sample is kept per eighth of the span, the last of it: a device that reports every second needs no
more room than one that reports every minute. What is kept depends on nothing but the samples, so that a restart, which
reads them again, goes on as if never stopped. Devices that never say the field take no room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.judge.rooms import Rooms

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

KEPT = 8
_ROW = KEPT + KEPT // 2
INTERVALS_WITHOUT = 2
"""A longer silence than so many expected intervals breaks the line."""


_LATELY = 4
"""The last part of the span, by which a line is seen to bend: a quarter."""


class Slope(NamedTuple):
    """By report: the change a second, that of late, how many samples say so, over how many seconds. NaN and 0: nothing
    is known."""

    per_s: Floats
    lately_per_s: Floats
    samples: NDArray[np.int64]
    span_s: Floats


@dataclass(frozen=True)
class Kept:
    """The windows of some devices: a row each, of the times and then the values, oldest first; without a time (0) there
    is no sample. In one row, since with a million devices each place that is looked at in memory costs."""

    slots: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def times_us(self) -> NDArray[np.int64]:
        return self.rows[:, :KEPT]

    @property
    def values(self) -> NDArray[np.float32]:
        return self.rows[:, KEPT:].view(np.float32)


class Slopes:
    """One field over one span."""

    def __init__(self, field: str, over_s: float) -> None:
        self.field = field
        self.over_us = int(over_s * 1e6)
        self._bucket_us = max(self.over_us // (KEPT - 1), 1)
        self._rooms = Rooms(_ROW)
        self.grow = self._rooms.grow

    def judge(
        self,
        slots: NDArray[np.int32],
        ts_us: NDArray[np.int64],
        values: Floats,
        rows: Rows,
        interval_s: NDArray[np.int32],
    ) -> tuple[Slope, Kept]:
        """The slope with each of these reports, and the windows as they leave them. `rows` come device by device, each
        device's in turn; what does not say the field is unknown. `interval_s` is by slot."""
        unknown = np.full(len(slots), np.nan)
        slope = Slope(unknown, unknown.copy(), np.zeros(len(slots), np.int64), np.zeros(len(slots)))
        rows = rows[~np.isnan(values[rows])]
        starts = np.flatnonzero(np.append(True, slots[rows][1:] != slots[rows][:-1])) if len(rows) else rows
        devices = slots[rows[starts]].astype(np.int64)
        windows = Kept(devices, self._rooms.of(devices))
        gap_us = INTERVALS_WITHOUT * 1_000_000 * interval_s[devices].astype(np.int64)
        reports = np.diff(np.append(starts, len(rows)))
        for turn in range(int(reports.max(initial=0))):
            which = np.flatnonzero(reports > turn)
            report = rows[starts[which] + turn]
            self._push(windows, which, ts_us[report], values[report], gap_us[which])
            self._line(windows, which, report, slope)
        return slope, windows

    def apply(self, kept: Kept) -> None:
        """Take them over."""
        self._rooms.put(kept.slots, kept.rows)

    def _push(
        self, windows: Kept, which: Rows, ts_us: NDArray[np.int64], values: Floats, gap_us: NDArray[np.int64]
    ) -> None:
        """One more sample of each of these devices."""
        pushed = Kept(windows.slots[which], windows.rows[which])
        times, kept = pushed.times_us, pushed.values
        count = (times != 0).sum(axis=1)
        all_of_them = np.arange(len(which))
        last = times[all_of_them, np.maximum(count - 1, 0)]
        # Nor does a line go back in time: that clock has been set.
        broken = np.flatnonzero((count > 0) & ((ts_us - last > gap_us) | (ts_us < last)))
        times[broken], count[broken] = 0, 0
        same = (count > 0) & (ts_us // self._bucket_us == last // self._bucket_us)
        at = count - same
        full = np.flatnonzero(at == KEPT)
        if len(full):
            times[full, :-1] = times[full, 1:]
            kept[full, :-1] = kept[full, 1:]
            at[full] = KEPT - 1
        times[all_of_them, at] = ts_us
        kept[all_of_them, at] = values
        windows.rows[which] = pushed.rows

    def _line(self, windows: Kept, which: Rows, report: Rows, slope: Slope) -> None:
        """Least squares through what lies within the span; its last two samples always count."""
        here = Kept(windows.slots[which], windows.rows[which])
        times = here.times_us
        count = (times != 0).sum(axis=1)[:, None]
        newest = times[np.arange(len(which)), count[:, 0] - 1][:, None]
        place = np.arange(KEPT)
        ago_us = newest - times
        counts = (place < count) & ((ago_us <= self.over_us) | (place >= count - 2))
        lately = (place < count) & ((ago_us <= self.over_us // _LATELY) | (place >= count - 2))
        x = np.where(counts, ago_us, 0) / -1e6
        slope.per_s[report] = _through(x, here.values, counts)
        slope.lately_per_s[report] = _through(np.where(lately, x, 0.0), here.values, lately)
        slope.samples[report] = counts.sum(axis=1)
        slope.span_s[report] = -x.min(axis=1)


def _through(x: Floats, values: NDArray[np.float32], counts: NDArray[np.bool_]) -> Floats:
    """The rise of the line through those that count; NaN where they lie at one time. `x` is 0 where they don't."""
    y = np.where(counts, values, 0.0).astype(np.float64)
    n = counts.sum(axis=1)
    sum_x, sum_y = x.sum(axis=1), y.sum(axis=1)
    square = n * (x * x).sum(axis=1) - sum_x * sum_x
    with np.errstate(divide="ignore", invalid="ignore"):
        rise: Floats = np.where(square > 0, (n * (x * y).sum(axis=1) - sum_x * sum_y) / square, np.nan)
    return rise
