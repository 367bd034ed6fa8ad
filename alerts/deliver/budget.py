"""Budget: how many messages a robot takes, so that none is ever refused, and red is never held back for long.

The first half of a minute's messages may be about anything. The second half is red's alone, and goes at an even pace,
each message with all the red that has gathered: with 20 a minute none waits more than 6 s for the budget's sake.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

WINDOW_S = 61.0
"""A minute, and a second for messages that take longer on their way than those after them."""
_SECOND_S = 1.1


@dataclass(frozen=True, slots=True)
class Slots:
    """How many messages may go now: about red, and about the rest. What goes for one is gone for the other."""

    red: int
    other: int

    @property
    def none(self) -> bool:
        return self.red < 1 and self.other < 1


class Budget:
    """One robot's, whoever's sinks it serves. Times are monotonic seconds. Safe to use from several threads."""

    def __init__(self, per_minute: int, per_second: int | None = None) -> None:
        self.per_minute = per_minute
        self.per_second = per_second
        self._lock = threading.Lock()
        self._started: deque[float] = deque()
        self._promised = 0
        self._last_kept_at = float("-inf")

    def limit(self, per_minute: int, per_second: int | None) -> None:
        """It takes so many from now on; what it has been sent counts as before."""
        with self._lock:
            self.per_minute, self.per_second = per_minute, per_second

    @property
    def _kept(self) -> int:
        """For red."""
        return self.per_minute // 2

    @property
    def pace_s(self) -> float:
        """How far apart messages of the half that is kept for red are."""
        return WINDOW_S / self._kept if self._kept else WINDOW_S

    def slots(self, now: float, planned: int = 0) -> Slots:
        """What may be promised now, beside what is `planned`."""
        with self._lock:
            self._forget(now)
            left = self.per_minute - self._used - planned
            soon = left
            if self.per_second is not None:
                recent = sum(1 for at in self._started if at > now - _SECOND_S)
                soon = self.per_second - recent - self._promised - planned
            open_to_all = max(min(left - self._kept, soon), 0)
            if open_to_all:
                return Slots(open_to_all, open_to_all)
            paced = self._promised + planned == 0 and now >= self._last_kept_at + self.pace_s
            return Slots(int(left > 0 and soon > 0 and paced), 0)

    def next_in_s(self, now: float) -> float:
        """In how many seconds there may be a slot again."""
        with self._lock:
            self._forget(now)
            over = self._used - (self.per_minute - self._kept)
            frees = [self._started[over] + WINDOW_S - now] if 0 <= over < len(self._started) else []
            frees.append(self._last_kept_at + self.pace_s - now)
            return min((after for after in frees if after > 0), default=_SECOND_S)

    def promise(self) -> None:
        """A message is about to be sent."""
        with self._lock:
            self._promised += 1

    def withdraw(self) -> None:
        """… and is not, after all."""
        with self._lock:
            self._promised -= 1

    def start(self, now: float) -> None:
        """… and is sent now."""
        with self._lock:
            self._forget(now)
            self._promised -= 1
            if self._used >= self.per_minute - self._kept:
                self._last_kept_at = now
            self._started.append(now)

    def sent_before(self, ago_s: Iterable[float], now: float) -> None:
        """What an earlier process has sent, so that a restart does not begin a new minute."""
        with self._lock:
            self._started.extend(sorted(now - ago for ago in ago_s))

    @property
    def _used(self) -> int:
        return len(self._started) + self._promised

    def _forget(self, now: float) -> None:
        while self._started and self._started[0] <= now - WINDOW_S:
            self._started.popleft()
