"""Plays a fleet in real time: hands every message to the wire when it is due, and keeps the account.

Last step of the fleet's side. A broker that is away does not stop the evening: what is due waits, with its own time,
and goes out when the broker is back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event

from simulators.account import Account
from simulators.message import Due
from simulators.publisher import Publisher
from simulators.wire import frame

_MOST_WAITING = 20_000
_TURN_S = 0.05
_AT_ONCE = 500


@dataclass
class Progress:
    """How far a run is; `behind_s` is how late the newest message went out."""

    elapsed_s: float = 0.0
    behind_s: float = 0.0
    furthest_behind_s: float = 0.0
    waiting: int = 0
    in_flight: int = 0
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
    stop: Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    drain_s: float = 30.0,
) -> Played:
    """Send every message when it is due and wait until all are acknowledged, `drain_s` at most after the last.

    `stop` ends it early: what is not sent yet is dropped, what was sent is waited for (5 s at most).
    """
    stop = stop or Event()
    progress = Progress()
    began = time.monotonic()
    due = next(messages, None)
    while due is not None and not stop.is_set():
        now_s = time.monotonic() - began
        handed = 0
        while due is not None and due.at_s <= now_s and handed < _AT_ONCE and publisher.waiting < _MOST_WAITING:
            publisher.offer(
                publisher.lane_of(due.message.device_id), frame(due.message.topic, due.message.payload, due.message)
            )
            progress.behind_s = now_s - due.at_s
            handed += 1
            due = next(messages, None)
        progress.furthest_behind_s = max(progress.furthest_behind_s, progress.behind_s)
        if handed == _AT_ONCE:
            pause_s = 0.0
        elif due is None or publisher.waiting >= _MOST_WAITING:
            pause_s = _TURN_S
        else:
            pause_s = min(max(due.at_s - now_s, 0.0), _TURN_S)
        _turn(publisher, progress, pause_s, began, on_progress)
    unsent = 0 if due is None else 1
    if stop.is_set():
        unsent += publisher.forget_waiting()
        drain_s = min(drain_s, 5.0)
    give_up = time.monotonic() + drain_s
    while publisher.waiting + publisher.in_flight and time.monotonic() < give_up:
        _turn(publisher, progress, _TURN_S, began, on_progress)
    return Played(
        account=progress.account,
        seconds=time.monotonic() - began,
        finished=due is None and not stop.is_set(),
        unacknowledged_messages=publisher.in_flight,
        unsent_messages=unsent + publisher.waiting,
        reconnects=publisher.reconnects,
        furthest_behind_s=progress.furthest_behind_s,
    )


def _turn(
    publisher: Publisher,
    progress: Progress,
    pause_s: float,
    began: float,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    done = publisher.turn(pause_s)
    now = time.monotonic()
    progress.account.acknowledged(done, now)
    progress.account.redelivered(publisher.take_resent())
    progress.elapsed_s = now - began
    progress.waiting, progress.in_flight = publisher.waiting, publisher.in_flight
    if on_progress is not None:
        on_progress(progress)
