"""The fleet's own books: what it sent, counted exactly. A message counts as sent once the broker has acknowledged it.

Distinct is by topic and bytes: what the path must hold once. A repeat is what was sent on purpose a second time; a
redelivery is what went out again because its connection was lost, which the broker may or may not have twice. What has
no time of its own is another report each time that it is said, and only a repeat where it is meant as one.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from simulators.message import Message
from simulators.wire import Acknowledged


@dataclass
class Account:
    """All numbers are of reports unless they say messages: an array of three is one message, three reports."""

    messages: int = 0
    sent: int = 0
    """Distinct reports."""
    to_store: int = 0
    to_quarantine: int = 0
    repeats: int = 0
    untimed_repeats: int = 0
    """Of repeats and redeliveries, those that may rightly be stored again: their time is the time of receipt."""
    redelivered_messages: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    by_device: Counter[str] = field(default_factory=Counter)
    stored_by_device: Counter[str] = field(default_factory=Counter)
    """Of `by_device`, what the path must store."""
    puback_s: array[float] = field(default_factory=lambda: array("f"))
    """From a message's first writing to the broker's acknowledgement."""
    _seen: set[bytes] = field(default_factory=set)

    def acknowledged(self, done: Iterable[Acknowledged], now_s: float) -> None:
        for message, sent_at in done:
            self._count(message)
            self.puback_s.append(now_s - sent_at)

    def redelivered(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.redelivered_messages += 1
            if not message.timed:
                self.untimed_repeats += message.stores

    def _count(self, message: Message) -> None:
        self.messages += 1
        self.repeats += message.repeats
        identity = hashlib.blake2b(message.topic + b"\0" + message.payload, digest_size=12).digest()
        if identity in self._seen and (message.timed or message.again or message.quarantines):
            self.repeats += message.reports
            if not message.timed:
                self.untimed_repeats += message.stores
            return
        self._seen.add(identity)
        self.sent += message.reports
        self.to_store += message.stores
        self.to_quarantine += message.quarantines
        for part in message.parts:
            reports = part.stores + part.quarantines
            self.by_kind[part.kind] += reports
            self.by_device[part.device_id] += reports
            self.stored_by_device[part.device_id] += part.stores


def percentiles_ms(seconds: array[float]) -> dict[str, float]:
    """p50, p99 and the worst, in milliseconds; empty where nothing was measured."""
    if not seconds:
        return {}
    shown = np.percentile(np.frombuffer(seconds, np.float32), [50, 99, 100]) * 1000
    return {name: round(float(value), 3) for name, value in zip(("p50", "p99", "max"), shown, strict=True)}
