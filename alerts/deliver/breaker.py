"""The circuit breaker of a sink and the patience with a delivery, as pure functions; their state lives in the database.

Five failures in a row open the breaker; then one delivery every 30 s tries whether the sink works again. From the
second failure in a row on, the sink is given time before the next: else a storm's deliveries would fail five times in
the one second in which a platform restarts, and all of them wait for the probe.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from alerts.channels.interface import BadMessage, Delivered, Outcome, Retry, SinkFailure

OPENS_AFTER = 5
PROBE_EVERY_S = 30.0
RETRY_FOR = timedelta(hours=72)
LONGEST_BACKOFF_S = 300.0


class SinkEvent(StrEnum):
    """What the shard's holder is told by an inbox command of this kind."""

    failing = "sink_failing"
    working = "sink_working"


@dataclass(frozen=True, slots=True)
class Breaker:
    """`failures` in a row; nothing is sent for `closed_for_s` (the sink's breaker is open, or it asked for a pause)."""

    failures: int
    closed_for_s: float

    @property
    def open(self) -> bool:
        return self.failures >= OPENS_AFTER


def after(breaker: Breaker, outcomes: Iterable[Outcome], base_s: float, draw: random.Random) -> Breaker:
    """The breaker when these outcomes have come in, in this order. `base_s`: the least pause, doubling, jittered."""
    failures, closed_for_s = breaker.failures, max(breaker.closed_for_s, 0.0)
    for outcome in outcomes:
        match outcome:
            case Delivered() | BadMessage():
                # It answers, and what it says makes sense: it works.
                closed_for_s = 0.0 if failures else closed_for_s
                failures = 0
            case Retry(against_sink=False, after_s=after_s):
                closed_for_s = max(closed_for_s, after_s or 0.0)
            case Retry(after_s=after_s):
                failures += 1
                closed_for_s = max(closed_for_s, after_s or 0.0)
            case SinkFailure():
                failures += 1
        if failures >= OPENS_AFTER:
            closed_for_s = max(closed_for_s, PROBE_EVERY_S)
        elif failures >= 2:
            closed_for_s = max(closed_for_s, backoff_s(failures - 1, base_s, draw))
    return Breaker(failures, closed_for_s)


def event(before: Breaker, now: Breaker) -> SinkEvent | None:
    if now.open and not before.open:
        return SinkEvent.failing
    if before.open and not now.open:
        return SinkEvent.working
    return None


def backoff_s(attempt: int, base_s: float, draw: random.Random) -> float:
    """Full jitter: anywhere up to base × 2^(attempt − 1), at most 5 min. `attempt` counts from 1."""
    return draw.uniform(0.0, min(base_s * 2.0 ** min(attempt - 1, 30), LONGEST_BACKOFF_S))
