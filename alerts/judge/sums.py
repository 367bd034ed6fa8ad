"""Sums: how much of a field has fallen in the time before each report, by device."""

from __future__ import annotations

from bisect import bisect_right, insort

import numpy as np
from numpy.typing import NDArray

from underfoot.reports import TRUSTED_FUTURE_US, Reports

Floats = NDArray[np.float64]
Window = list[tuple[int, float]]


class Sums:
    """One field, over all the spans (seconds) that rules ask for."""

    def __init__(self, field: str, spans_s: set[float]) -> None:
        self.field = field
        self.spans_s = spans_s
        self.longest_us = int(max(spans_s) * 1e6)
        self.windows: dict[int, Window] = {}

    def judge(self, reports: Reports, in_turn: NDArray[np.intp]) -> tuple[dict[float, Floats], dict[int, Window]]:
        """By span, the sum with each report, NaN where it does not say; and the windows as the reports leave them. A
        late report counts in its place."""
        amounts = reports.columns[self.field]
        summed = {span: np.full(len(reports), np.nan) for span in self.spans_s}
        windows: dict[int, Window] = {}
        for row in in_turn[~np.isnan(amounts[in_turn])].tolist():
            slot = int(reports.slot[row])
            window = windows.get(slot)
            if window is None:
                window = windows[slot] = list(self.windows.get(slot, ()))
            ts_us = int(reports.ts_us[row])
            insort(window, (ts_us, float(amounts[row])))
            for span, values in summed.items():
                values[row] = sum_over(window, ts_us, int(span * 1e6))
            oldest = window[-1][0] - self.longest_us - TRUSTED_FUTURE_US  # its newest may come from a clock ahead
            del window[: bisect_right(window, (oldest, float("inf")))]
        return summed, windows


def sum_over(window: Window, until_us: int, span_us: int) -> float:
    """The sum of what fell in (until − span, until]."""
    first = bisect_right(window, (until_us - span_us, float("inf")))
    last = bisect_right(window, (until_us, float("inf")))
    return sum(amount for _, amount in window[first:last])
