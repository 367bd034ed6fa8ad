"""Plays a fleet in real time, or faster: hands every message to the wire when it is due, and keeps the account.

Last step of the fleet's side. A broker that is away does not stop the evening: what is due waits, with its own time,
and goes out in order when the broker is back.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Literal, NamedTuple

from simulators.account import Account
from simulators.faults.malicious import MALICIOUS
from simulators.message import Due, Message
from simulators.publisher import Publisher
from simulators.push import Pusher
from simulators.wire import frame

_MOST_WAITING = 20_000
_TURN_S = 0.05
_AT_ONCE = 500
_BEHIND_S = 1.0

HeldBy = Literal["", "broker", "rate limit", "this machine"]
"""What keeps messages from going out in time: the broker does not take them, the caller's own limit, or they cannot be
made any faster here."""


class Happening(NamedTuple):
    """Something that is done at a moment of the run, between two messages."""

    at_s: float
    act: Callable[[], None]


@dataclass
class Progress:
    """How far a run is: `at_s` in its own seconds, everything else in real ones. `behind_s` is how late the newest
    message went out."""

    at_s: float = 0.0
    elapsed_s: float = 0.0
    behind_s: float = 0.0
    furthest_behind_s: float = 0.0
    held_by: HeldBy = ""
    waiting: int = 0
    in_flight: int = 0
    reconnects: int = 0
    account: Account = field(default_factory=Account)


@dataclass(frozen=True)
class Played:
    """How a run ended. Messages that were never acknowledged count nowhere else."""

    account: Account
    seconds: float
    finished: bool
    unacknowledged_messages: int
    unsent_messages: int
    reconnects: int
    furthest_behind_s: float


def play(
    messages: Iterator[Due],
    publisher: Publisher,
    *,
    pusher: Pusher | None = None,
    speed: float = 1.0,
    starts_at: float | None = None,
    rate_limit: float | None = None,
    happenings: Iterable[Happening] = (),
    stop: Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    drain_s: float = 30.0,
) -> Played:
    """Send every message when it is due and wait until all are acknowledged, `drain_s` at most after the last.

    `speed`: seconds of the run in a real one. `starts_at`: when the run begins, in monotonic seconds, which may be over
    already; now, unless it is given. `rate_limit`: messages a second at most; what is due beyond that waits.
    `pusher` takes what goes by HTTP. `stop` ends it early: what is not sent yet is dropped, what was sent is waited for
    (5 s at most).
    """
    run = _Run(publisher, pusher, speed, rate_limit, happenings, stop or Event(), on_progress)
    return run.play(messages, starts_at, drain_s)


class _Run:
    def __init__(
        self,
        publisher: Publisher,
        pusher: Pusher | None,
        speed: float,
        rate_limit: float | None,
        happenings: Iterable[Happening],
        stop: Event,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        if not speed > 0:
            raise ValueError(f"speed: {speed}; above 0")
        if rate_limit is not None and not rate_limit > 0:
            raise ValueError(f"rate_limit: {rate_limit}; messages a second, above 0")
        self.publisher = publisher
        self.pusher = pusher
        self.speed = speed
        self.rate_limit = rate_limit
        numbers = itertools.count()
        self.happenings = [(happening.at_s, next(numbers), happening.act) for happening in happenings]
        heapq.heapify(self.happenings)
        self.stop = stop
        self.on_progress = on_progress
        self.progress = Progress()
        self.saved = self.saved_at = 0.0
        self.began = time.monotonic()

    def play(self, messages: Iterator[Due], starts_at: float | None, drain_s: float) -> Played:
        self.saved_at = time.monotonic()
        self.began = self.saved_at if starts_at is None else starts_at
        due = next(messages, None)
        while due is not None and not self.stop.is_set():
            now_s = (time.monotonic() - self.began) * self.speed
            self._let_happen(min(now_s, due.at_s))
            due, pause_s = self._hand_over(messages, due, now_s)
            self._turn(pause_s)
        unsent = 0 if due is None else 1
        if self.stop.is_set():
            unsent += self.publisher.forget_waiting()
            drain_s = min(drain_s, 5.0)
        give_up = time.monotonic() + drain_s
        while self.publisher.waiting + self.publisher.in_flight + self._pushes and time.monotonic() < give_up:
            self._turn(_TURN_S)
        return Played(
            account=self.progress.account,
            seconds=time.monotonic() - self.began,
            finished=due is None and not self.stop.is_set(),
            unacknowledged_messages=self.publisher.in_flight + self._pushes,
            unsent_messages=unsent + self.publisher.waiting,
            reconnects=self.publisher.reconnects,
            furthest_behind_s=self.progress.furthest_behind_s,
        )

    def _let_happen(self, until_s: float) -> None:
        while self.happenings and self.happenings[0][0] <= until_s:
            heapq.heappop(self.happenings)[2]()

    def _hand_over(self, messages: Iterator[Due], due: Due | None, now_s: float) -> tuple[Due | None, float]:
        """Hand over what is due by now; returns the first that is not, and how long there is nothing to do."""
        progress = self.progress
        room = min(_AT_ONCE, self._allowed())
        handed = 0
        while due is not None and due.at_s <= now_s and handed < room and self._waiting < _MOST_WAITING:
            self._offer(due.message)
            progress.at_s = due.at_s
            progress.behind_s = (now_s - due.at_s) / self.speed
            handed += 1
            due = next(messages, None)
        self.saved -= handed
        held = due is not None and due.at_s <= now_s
        if not held:
            progress.at_s = max(now_s, progress.at_s) if due is not None else progress.at_s
            progress.behind_s = progress.behind_s if handed else 0.0
        elif due is not None:
            progress.behind_s = max(progress.behind_s, (now_s - due.at_s) / self.speed)
        progress.furthest_behind_s = max(progress.furthest_behind_s, progress.behind_s)
        full = self._waiting >= _MOST_WAITING
        progress.held_by = self._held_by(full, limited=room < _AT_ONCE) if held else ""
        if full or due is None:
            return due, _TURN_S
        if held:
            return due, 0.0 if handed == _AT_ONCE else min(1.0 / (self.rate_limit or 1.0), _TURN_S)
        return due, min(max((due.at_s - now_s) / self.speed, 0.0), _TURN_S)

    def _offer(self, message: Message) -> None:
        if not message.push:
            lane = self.publisher.lane_of(MALICIOUS if message.kind.startswith(MALICIOUS) else message.device_id)
            self.publisher.offer(lane, frame(message.topic, message.payload, message))
        elif self.pusher is not None:
            self.pusher.offer(message)
        else:
            raise ValueError(f"{message.device_id}: is pushed over HTTP as {message.push}, and nothing here does that")

    @property
    def _pushes(self) -> int:
        return 0 if self.pusher is None else self.pusher.waiting

    @property
    def _waiting(self) -> int:
        return self.publisher.waiting + self._pushes

    def _allowed(self) -> int:
        """How many messages the rate limit lets go now: what it has been saving, a tenth of a second's at most."""
        if self.rate_limit is None:
            return _AT_ONCE
        now = time.monotonic()
        saved = self.saved + (now - self.saved_at) * self.rate_limit
        self.saved, self.saved_at = min(saved, max(self.rate_limit / 10, 1.0)), now
        return int(self.saved)

    def _held_by(self, full: bool, *, limited: bool) -> HeldBy:
        if self.progress.behind_s < _BEHIND_S:
            return ""
        if full:
            return "broker"
        return "rate limit" if limited else "this machine"

    def _turn(self, pause_s: float) -> None:
        done = self.publisher.turn(pause_s)
        if self.pusher is not None:
            done += self.pusher.take_acknowledged()
        now = time.monotonic()
        progress = self.progress
        progress.account.acknowledged(done, now)
        progress.account.redelivered(self.publisher.take_resent())
        progress.elapsed_s = now - self.began
        progress.waiting, progress.in_flight = self.publisher.waiting, self.publisher.in_flight + self._pushes
        progress.reconnects = self.publisher.reconnects
        if self.on_progress is not None:
            self.on_progress(progress)
