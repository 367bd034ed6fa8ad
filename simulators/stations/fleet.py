"""The fleet: each station on a connection of its own, sending the next report when the last ones are acknowledged.

What is not acknowledged in time goes again, the same bytes; after some tries over a new connection. Single-threaded.
"""

from __future__ import annotations

import itertools
import selectors
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from threading import Event
from typing import Any

from simulators.account import percentiles_ms
from simulators.stations.frames import HEARTBEAT, NAMES, read_acknowledgements
from simulators.stations.life import Sent, Station

_MARK = 0x7E
_PAUSE_S = 0.02
_TURN_S = 0.05


class StationsError(ValueError):
    """A fleet that cannot be: says which value, and what is allowed."""


@dataclass(frozen=True)
class Habits:
    """How stations and their network behave. Shares are of the reports."""

    rate: float | None = None
    window: int = 1
    corrupt: float = 0.0
    split: float = 0.0
    repeat: float = 0.0
    retry_s: float = 10.0
    tries: int = 3
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("corrupt", "split", "repeat"):
            if not 0 <= getattr(self, name) <= 1:
                raise StationsError(f"{name}: {getattr(self, name)}; a share, 0 to 1")
        if self.rate is not None and not self.rate > 0:
            raise StationsError(f"rate: {self.rate}; reports a second, above 0")
        if self.window < 1 or self.tries < 1 or self.retry_s <= 0:
            raise StationsError("window, tries and retry_s: above 0")


@dataclass
class _Waiting:
    sent: Sent
    first_at: float
    last_at: float
    tries: int = 1


@dataclass(eq=False)
class _Line:
    life: Iterator[Sent]
    socket: socket.socket | None = None
    retry_at: float = 0.0
    out: deque[bytes] = field(default_factory=deque)
    came: bytearray = field(default_factory=bytearray)
    waiting: dict[int, _Waiting] = field(default_factory=dict)
    pause_until: float = 0.0
    over: bool = False


class Fleet:
    def __init__(self, stations: Sequence[Station], host: str, port: int, habits: Habits, seed: int) -> None:
        self._address = (host, port)
        self._habits = habits
        self._random = Random(f"stations {seed}")
        self._lines = [_Line(station.life()) for station in stations]
        self._selector = selectors.DefaultSelector()
        self._counts: Counter[str] = Counter()
        self._by_function: Counter[str] = Counter()
        self._ack_s = array("f")
        self._due = 0

    def run(self, stop: Event, on_progress: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Until every station's life is told and acknowledged, or nobody has answered for long, or `stop`."""
        began, heard = time.monotonic(), time.monotonic()
        acknowledged = 0
        for line in self._lines:
            self._connect(line)
        while not all(line.over for line in self._lines):
            now = time.monotonic()
            for line in self._lines:
                if not line.over:
                    self._tend(line, now, now - began, stop.is_set())
            self._turn()
            if self._counts["acknowledged"] != acknowledged:
                acknowledged, heard = self._counts["acknowledged"], time.monotonic()
                if on_progress is not None:
                    on_progress(acknowledged)
            if time.monotonic() - heard > (5.0 if stop.is_set() else self._habits.patience_s):
                break
        seconds = max((heard if acknowledged else time.monotonic()) - began, 1e-9)
        unacknowledged = sum(len(line.waiting) for line in self._lines)
        for line in self._lines:
            self._drop(line)
        self._selector.close()
        return {
            "stations": len(self._lines),
            "sent": self._counts["sent"],
            "acknowledged": acknowledged,
            "unacknowledged": unacknowledged,
            "corrupted": self._counts["corrupted"],
            "resent": self._counts["resent"],
            "repeats": self._counts["repeats"],
            "heartbeats": self._counts["heartbeats"],
            "reconnects": self._counts["reconnects"],
            "by_function": dict(self._by_function),
            "rain_reports": self._counts["rain_reports"],
            "level_reports": self._counts["level_reports"],
            "rain_mm": round(self._counts["tenths_mm"] / 10, 1),
            "seconds": round(seconds, 3),
            "achieved_rate": round(acknowledged / seconds, 1),
            "acknowledgement_ms": percentiles_ms(self._ack_s),
        }

    # a line ---------------------------------------------------------------------------------------------------------

    def _tend(self, line: _Line, now: float, elapsed: float, stopping: bool) -> None:
        if line.socket is None:
            if now >= line.retry_at:
                self._connect(line)
                for waiting in line.waiting.values():
                    self._again(line, waiting, now)
            return
        for waiting in list(line.waiting.values()):
            if now - waiting.last_at > self._habits.retry_s:
                if waiting.tries >= self._habits.tries:
                    self._lost(line)
                    return
                self._again(line, waiting, now)
        while len(line.waiting) < self._habits.window and self._may_send(elapsed):
            sent = None if stopping else next(line.life, None)
            if sent is None:
                line.over = not line.waiting and not line.out
                break
            self._send(line, sent, now)
        self._write(line, now)

    def _may_send(self, elapsed: float) -> bool:
        return self._habits.rate is None or self._due < elapsed * self._habits.rate

    def _send(self, line: _Line, sent: Sent, now: float) -> None:
        if sent.function == HEARTBEAT:
            self._counts["heartbeats"] += 1
            line.out.append(sent.data)
            return
        self._due += 1
        if self._random.random() < self._habits.corrupt and _MARK not in sent.data[2:]:
            self._counts["corrupted"] += 1
            line.out.append(self._damaged(sent.data))
        line.waiting[sent.serial] = _Waiting(sent, now, now)
        self._counts["sent"] += 1
        line.out += self._cut(sent.data)
        if self._random.random() < self._habits.repeat:
            self._counts["repeats"] += 1
            line.out.append(sent.data)

    def _again(self, line: _Line, waiting: _Waiting, now: float) -> None:
        self._counts["resent"] += 1
        waiting.last_at = now
        waiting.tries += 1
        line.out.append(waiting.sent.data)

    def _damaged(self, data: bytes) -> bytes:
        """One bit of its text is wrong."""
        place = self._random.choice([at for at in range(14, len(data) - 3) if data[at] ^ 1 != _MARK])
        return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]

    def _cut(self, data: bytes) -> list[bytes]:
        if self._random.random() >= self._habits.split:
            return [data]
        places = [0, *sorted(self._random.sample(range(1, len(data)), self._random.randint(1, 3))), len(data)]
        return [data[first:last] for first, last in itertools.pairwise(places)]

    # sockets --------------------------------------------------------------------------------------------------------

    def _connect(self, line: _Line) -> None:
        try:
            line.socket = socket.create_connection(self._address, timeout=5)
        except OSError:
            line.retry_at = time.monotonic() + 0.5
            return
        line.socket.setblocking(False)
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(line.socket, selectors.EVENT_READ, line)

    def _write(self, line: _Line, now: float) -> None:
        """One piece at a time where frames are cut, so that they arrive cut."""
        if not line.out or line.socket is None or now < line.pause_until:
            return
        if self._habits.split:
            data = line.out.popleft()
            line.pause_until = now + _PAUSE_S if line.out else 0.0
        else:
            data = b"".join(line.out)
            line.out.clear()
        try:
            taken = line.socket.send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._lost(line)
            return
        if taken < len(data):
            line.out.appendleft(data[taken:])

    def _turn(self) -> None:
        idle = self._habits.rate is None and not self._habits.split and not any(line.out for line in self._lines)
        for key, _ in self._selector.select(_TURN_S if idle else 0.001):
            line: _Line = key.data
            try:
                data = line.socket.recv(65_536) if line.socket is not None else b""
            except OSError:
                data = b""
            if not data:
                self._lost(line)
                continue
            line.came += data
            found, taken = read_acknowledgements(bytes(line.came))
            del line.came[:taken]
            now = time.monotonic()
            for serial, function, _end in found:
                waiting = line.waiting.pop(serial, None)
                if waiting is None or waiting.sent.function != function:
                    self._counts["unasked"] += 1
                    continue
                self._acknowledged(waiting, now)

    def _acknowledged(self, waiting: _Waiting, now: float) -> None:
        sent = waiting.sent
        self._counts["acknowledged"] += 1
        self._counts["rain_reports"] += sent.rain_reports
        self._counts["level_reports"] += sent.level_reports
        self._counts["tenths_mm"] += sent.tenths_mm
        self._by_function[NAMES[sent.function]] += 1
        self._ack_s.append(now - waiting.first_at)

    def _lost(self, line: _Line) -> None:
        self._counts["reconnects"] += 1
        self._drop(line)
        line.retry_at = time.monotonic() + 0.5
        for waiting in line.waiting.values():
            waiting.tries = 0

    def _drop(self, line: _Line) -> None:
        if line.socket is not None:
            self._selector.unregister(line.socket)
            line.socket.close()
            line.socket = None
        line.out.clear()
        line.came.clear()
