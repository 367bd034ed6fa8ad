"""The time of day by which we say when something came: it does not jump while we work.

Whoever says when something was asks it. What we wait for ourselves (a batch, a lease, an answer) is measured by the
machine's monotonic clock instead.

It runs with the machine's boot clock, which nobody can set. Is the machine's clock set forward, we follow at once: most
often the machine had been paused, and the new time is the right one. Is it set back, we follow when it has stayed so
for a while; until then our time goes on, so that nothing appears to have come before what it followed.

Whoever judges silence asks `steps`: when it has grown, what was heard before must not be compared with what is now.

An installation that watches a fleet played faster than life lives in lapsed time with it: see `TimeLapse`.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

log = logging.getLogger(__name__)

_NOT_A_STEP_US = 2_000_000
_SLEW_US = 1000
_SETTLES_S = 600.0
_FASTEST = 1000.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAPSE = re.compile(r"(?P<speed>\d+(?:\.\d+)?)x until (?P<until>\S+)")


@dataclass(frozen=True, slots=True)
class TimeLapse:
    """Our clock runs `speed` times as fast as the machine's, behind it, and meets it `until` then; from there it is the
    machine's. It never jumps."""

    speed: float
    until: datetime

    @classmethod
    def parse(cls, text: str) -> TimeLapse:
        """`60x until 2026-11-22T14:00:00+08:00`."""
        found = _LAPSE.fullmatch(text.strip())
        if found is None:
            raise ValueError("how fast and until when, like '60x until 2026-11-22T14:00:00+08:00'")
        speed = float(found["speed"])
        if not 1 <= speed <= _FASTEST:
            raise ValueError(f"{found['speed']}x: from 1x to {_FASTEST:g}x")
        try:
            until = datetime.fromisoformat(found["until"])
        except ValueError:
            raise ValueError(f"{found['until']!r}: a moment like 2026-11-22T14:00:00+08:00") from None
        if until.tzinfo is None:
            raise ValueError(f"{found['until']!r}: say the time zone too, like 2026-11-22T14:00:00+08:00")
        return cls(speed, until)

    def ours_us(self, machine_us: int) -> int:
        """What our clock says when the machine's says this."""
        left_us = self.until_us - machine_us
        return machine_us if left_us <= 0 else self.until_us - round(left_us * self.speed)

    @property
    def until_us(self) -> int:
        return (self.until - _EPOCH) // timedelta(microseconds=1)

    def __str__(self) -> str:
        return f"{self.speed:g}x until {self.until.isoformat()}"


class Clock:
    """The process's own; `CLOCK` is the one in use."""

    def __init__(self, lapse: TimeLapse | None = None) -> None:
        self._lock = threading.Lock()
        self._offset_us = _wall_us() - _boot_us()
        self._behind_since_us: int | None = None
        self.steps = 0
        self.noted: dict[str, int] = {}
        """By shard: how many of the steps its record knows of."""
        self.set_going(lapse)

    def set_going(self, lapse: TimeLapse | None, settles_s: float = _SETTLES_S) -> None:
        """In lapsed time or the machine's; once, before anybody has asked. `settles_s` is of `now`'s looks."""
        self.lapse = lapse
        self._settles_s = settles_s
        self._meets_at_boot_us = lapse.until_us - self._offset_us if lapse is not None else 0

    def now_us(self) -> int:
        machine_us = _boot_us() + self._offset_us
        return machine_us if self.lapse is None else self.lapse.ours_us(machine_us)

    def now(self) -> datetime:
        """For whoever asks now and then only, and does not look otherwise."""
        self.look(self._settles_s)
        return _EPOCH + timedelta(microseconds=self.now_us())

    @property
    def speed(self) -> float:
        """How many of our seconds pass in one of the machine's."""
        return 1.0 if self.lapse is None or _boot_us() >= self._meets_at_boot_us else self.lapse.speed

    def passed_s(self) -> float:
        """Our seconds as they pass, counted from anywhere: whatever the machine's clock is set to."""
        boot_us = _boot_us()
        if self.lapse is not None:
            boot_us -= round(max(self._meets_at_boot_us - boot_us, 0) * (self.lapse.speed - 1))
        return boot_us / 1e6

    def machine_s(self, ours_s: float, least_s: float) -> float:
        """How long by the machine's clock so many seconds of ours take; where that is less than `least_s`, rather
        that, so that looking often does not become looking all the time."""
        return max(ours_s / self.speed, min(ours_s, least_s))

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
