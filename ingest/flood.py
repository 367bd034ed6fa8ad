"""Flood: a device that sends far more than any sensor does is held to its allowance, so that others are not harmed.

An allowance is a token bucket a device, by seconds as they pass (no clock that anybody can set): a backlog of days
passes, a device gone mad does not. What is over it goes to quarantine, of that only as much as the budget grants; what
its device says within it is judged as ever, so a hazard is still seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from underfoot.clock import CLOCK


class Allowance:
    """By slot, how many reports a device may still send now: `burst` at most, `rate_per_s` more each second."""

    def __init__(self, rate_per_s: float, burst: int, clock: Callable[[], float] = CLOCK.passed_s) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._clock = clock
        self._left = np.zeros(0)
        self._at_s = np.zeros(0)

    def over(self, slots: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of these reports, in their order, are over their device's allowance; the others are taken off it."""
        over = np.zeros(len(slots), np.bool_)
        if not len(slots):
            return over
        self._grow(int(slots.max()) + 1)
        now = self._clock()
        devices, counts = np.unique(slots, return_counts=True)
        left = np.minimum(self._left[devices] + (now - self._at_s[devices]) * self._rate_per_s, self._burst)
        self._left[devices] = np.maximum(left - counts, left % 1)
        self._at_s[devices] = now
        for place in np.flatnonzero(left < counts).tolist():
            over[np.flatnonzero(slots == devices[place])[int(left[place]) :]] = True
        return over

    def _grow(self, slots: int) -> None:
        more = slots - len(self._left)
        if more > 0:
            more = max(more, len(self._left))
            self._left = np.append(self._left, np.full(more, self._burst))
            self._at_s = np.append(self._at_s, np.full(more, self._clock()))


class Flooding:
    """The devices that are over their allowance now, each until it has kept to it for a while."""

    def __init__(self, over_after_s: float = 600.0, clock: Callable[[], float] = CLOCK.passed_s) -> None:
        self._over_after_s = over_after_s
        self._clock = clock
        self._seen_at: dict[int, float] = {}

    def seen(self, device_key: int) -> bool:
        """It is over its allowance. Whether that is news."""
        news = device_key not in self._seen_at
        self._seen_at[device_key] = self._clock()
        return news

    def ended(self) -> list[int]:
        """Those that are no longer; they are forgotten here."""
        now = self._clock()
        quiet = [key for key, seen_at in self._seen_at.items() if now - seen_at >= self._over_after_s]
        for key in quiet:
            del self._seen_at[key]
        return quiet
