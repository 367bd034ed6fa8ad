"""The time of day by which we say when something came: it does not jump while we work.

It runs with the machine's boot clock, which nobody can set. Is the machine's clock set forward, we follow at once: most
often the machine had been paused, and the new time is the right one. Is it set back, we follow when it has stayed so
for a while; until then our time goes on, so that nothing appears to have come before what it followed.

Whoever judges silence asks `steps`: when it has grown, what was heard before must not be compared with what is now.
"""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger(__name__)

_NOT_A_STEP_US = 2_000_000
_SLEW_US = 1000


class Clock:
    """The process's own; `CLOCK` is the one in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset_us = _wall_us() - _boot_us()
        self._behind_since_us: int | None = None
        self.steps = 0
        self.noted: dict[str, int] = {}
        """By shard: how many of the steps its record knows of."""

    def now_us(self) -> int:
        return _boot_us() + self._offset_us

    def look(self, settles_s: float) -> None:
        """Compare with the machine's clock; to be called every second or so."""
        with self._lock:
            boot_us = _boot_us()
            ahead_us = _wall_us() - boot_us - self._offset_us
            if ahead_us > -_NOT_A_STEP_US:
                self._behind_since_us = None
                if ahead_us > _NOT_A_STEP_US:
                    self._follow(ahead_us)
                else:
                    # What little they differ is made up for unseen, and slowly where we are ahead.
                    self._offset_us += max(ahead_us, -_SLEW_US)
                return
            if self._behind_since_us is None:
                self._behind_since_us = boot_us
                log.error("the machine's clock was set back by %.0f s: not followed yet", -ahead_us / 1e6)
            elif boot_us - self._behind_since_us > settles_s * 1e6:
                self._behind_since_us = None
                self._follow(ahead_us)

    def _follow(self, ahead_us: int) -> None:
        log.error("our clock follows the machine's, by %+.0f s: silence counts anew", ahead_us / 1e6)
        self._offset_us += ahead_us
        self.steps += 1


def _wall_us() -> int:
    return time.time_ns() // 1000


def _boot_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


CLOCK = Clock()
