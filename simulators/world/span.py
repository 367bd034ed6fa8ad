"""When a run is: its seconds, how much faster than life they pass, and where its end lies in time."""

from __future__ import annotations

from dataclasses import dataclass

from simulators.message import Clock, clock_from
from simulators.world.folder import RunError

FASTEST = 3600.0
DEFAULT_SPEED = 60.0


@dataclass(frozen=True)
class Span:
    """`seconds` of the run, `speed` of them in each real one, the last of them at `ends_ms` of event time.

    Played so that it ends when `ends_ms` is the present, event time has caught up with the present then, and is never
    ahead of it. An installation in lapsed time (UNDERFOOT_TIME_LAPSE) of the same speed and end agrees all along.
    """

    seconds: float
    speed: float
    ends_ms: int

    def __post_init__(self) -> None:
        if not 0 < self.speed <= FASTEST:
            raise RunError(f"speed: {self.speed:g}; above 0, to {FASTEST:g}")
        if not self.seconds >= 60:
            raise RunError(f"seconds: {self.seconds:g}; a run lasts a minute at least")

    @classmethod
    def ending_at_the_present(cls, seconds: float, speed: float, now_ms: int) -> Span:
        """Played from now on."""
        return cls(seconds, speed, now_ms + round(seconds / speed * 1000) if speed > 0 else now_ms)

    @property
    def begins_ms(self) -> int:
        return self.ends_ms - round(self.seconds * 1000)

    @property
    def clock(self) -> Clock:
        return clock_from(self.begins_ms)

    @property
    def real_s(self) -> float:
        """How long it takes to play."""
        return self.seconds / self.speed

    def due_in_s(self, now_ms: int) -> float:
        """In how long it has to be played, so that it ends then; below 0 where that is over already."""
        return (self.ends_ms - now_ms) / 1000 - self.real_s

    def wait_s(self, now_ms: int) -> float:
        """The same; 0 where it is over."""
        return max(self.due_in_s(now_ms), 0.0)
