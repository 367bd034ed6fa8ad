"""How often somebody may call: a token bucket each, in this process's memory. Several processes each have their own."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from time import monotonic


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """Buckets of `burst` tokens, refilled with `rate_per_s`. The longest unused is forgotten first."""

    AT_MOST = 20_000

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate = rate_per_s
        self._burst = burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = Lock()

    def take(self, name: str, now: float | None = None) -> float:
        """Take one. 0: there was one; else how long until there is (seconds)."""
        now = monotonic() if now is None else now
        with self._lock:
            bucket = self._buckets.get(name)
            if bucket is None:
                bucket = self._buckets[name] = _Bucket(self._burst, now)
                if len(self._buckets) > self.AT_MOST:
                    self._buckets.popitem(last=False)
            else:
                self._buckets.move_to_end(name)
            bucket.tokens = min(self._burst, bucket.tokens + max(0.0, now - bucket.at) * self._rate)
            bucket.at = now
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return 0.0
            return (1 - bucket.tokens) / self._rate
