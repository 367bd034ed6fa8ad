"""Load for benchmarks: ordinary reports at a constant rate, or as fast as the broker takes them.

Not a city's evening, but protocol v1 all the same: every report is distinct, from a device of the ledger, with its time
and values. At a rate, a report's `ts` is the moment at which it was to be sent, so that what is late counts as late.
"""

from __future__ import annotations

import itertools
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event

import orjson

from simulators.account import percentiles_ms
from simulators.publisher import Publisher
from simulators.roster import RosterDevice
from simulators.stage import ordinary_values
from simulators.wire import Frame, frame

_VARIANTS = 32
_MOMENTS_S = [60.0 * number for number in range(_VARIANTS)]
_ENCODED_BEFOREHAND = 300_000
_TURN_S = 0.02
_BLOCK = 2_000


class LoadError(ValueError):
    """A load that cannot be: says which value, and what is allowed."""


@dataclass(frozen=True)
class Load:
    """`reports` in all, by the devices in turn; `rate` a second, or None: as fast as they are taken. Between them goes
    garbage, so much that it is this share of all messages."""

    reports: int
    rate: float | None = None
    seed: int = 1
    garbage: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.reports <= 1_000_000_000:
            raise LoadError(f"reports: {self.reports}; 1 to 1000000000")
        if self.rate is not None and not 0 < self.rate <= 1_000_000:
            raise LoadError(f"rate: {self.rate}; above 0, to 1000000")
        if not 0 <= self.garbage < 1:
            raise LoadError(f"garbage: {self.garbage}; from 0 to below 1")

    def garbage_before(self, number: int) -> int:
        """How many pieces of it precede that report."""
        return int(number * self.garbage / (1 - self.garbage) + 1e-9)


@dataclass(frozen=True)
class LoadResult:
    """`sent` were acknowledged, all distinct; of what was sent, `garbage` were no reports. `began_at` is the moment of
    the first byte, in seconds since 1970; `puback_ms`: from writing to acknowledgement."""

    began_at: float
    sent: int
    garbage: int
    unacknowledged: int
    resent: int
    reconnects: int
    seconds: float
    achieved_rate: float
    cpu_us_per_report: float
    furthest_behind_ms: float
    puback_ms: dict[str, float]
    first_ts_ms: int
    last_ts_ms: int


class _Encoder:
    """Reports of a roster in turn. All of one kind share a few sets of ordinary values, made by the kind's profile."""

    def __init__(self, roster: Sequence[RosterDevice], load: Load, lane_of: Callable[[str], int]) -> None:
        self.devices = [(lane_of(device.device_id), device.topic.encode()) for device in roster]
        kinds = {(device.family, device.place): device for device in reversed(roster)}
        said = [orjson.dumps(values) + b"}" for values in ordinary_values(list(kinds.values()), load.seed, _MOMENTS_S)]
        pools = {kind: said[at * _VARIANTS : (at + 1) * _VARIANTS] for at, kind in enumerate(kinds)}
        self.values = [pools[device.family, device.place] for device in roster]
        self.first_seq = int(time.time() * 100)
        self.load = load

    def encode(self, number: int, ts_ms: int) -> Sequence[tuple[int, Frame]]:
        """That report, and the garbage before it."""
        report = self._report(number, ts_ms)
        if not self.load.garbage:
            return (report,)
        pieces = range(self.load.garbage_before(number), self.load.garbage_before(number + 1))
        return (*map(self._garbage, pieces), report)

    def _garbage(self, piece: int) -> tuple[int, Frame]:
        """Broken off from a device of the ledger, or sound from one that nobody knows."""
        lane, topic = self.devices[piece % len(self.devices)]
        if piece % 2:
            return lane, frame(topic, b'{"seq":%d,"values":{"tilt_deg":1' % piece)
        base, _, last = topic.rpartition(b"/")
        return lane, frame(b"%b-nobody/%b" % (base, last), b'{"seq":%d,"values":{}}' % piece)

    def _report(self, number: int, ts_ms: int) -> tuple[int, Frame]:
        turn, place = divmod(number, len(self.devices))
        lane, topic = self.devices[place]
        values = self.values[place][(turn + place) % _VARIANTS]
        return lane, frame(topic, b'{"ts":%d,"seq":%d,"values":%b' % (ts_ms, self.first_seq + turn, values))


def run_load(
    load: Load,
    roster: Sequence[RosterDevice],
    publisher: Publisher,
    *,
    stop: Event | None = None,
    on_progress: Callable[[int], None] | None = None,
    drain_s: float = 60.0,
) -> LoadResult:
    """Send it all and wait for every acknowledgement. `on_progress` is told how many there are."""
    if not roster:
        raise LoadError("devices: none to send")
    run = _Run(publisher, stop or Event(), on_progress)
    encoder = _Encoder(roster, load, publisher.lane_of)
    if load.rate is None:
        first_ts_ms, last_ts_ms = run.at_full_speed(encoder, load.reports, len(roster))
    else:
        first_ts_ms, last_ts_ms = run.at_rate(encoder, load.reports, load.rate)
    run.drain(5.0 if run.stop.is_set() else drain_s)
    return run.result(first_ts_ms, last_ts_ms, load.garbage_before(load.reports))


class _Run:
    def __init__(self, publisher: Publisher, stop: Event, on_progress: Callable[[int], None] | None) -> None:
        self.publisher = publisher
        self.stop = stop
        self.on_progress = on_progress
        self.sent = self.resent = 0
        self.behind_s = 0.0
        self.puback_s = array("f")
        self.began_at = time.time()
        self.began = self.ended = time.monotonic()
        self.cpu_began = time.process_time()

    def begin(self) -> None:
        self.began = self.ended = time.monotonic()
        self.began_at = time.time()
        self.cpu_began = time.process_time()

    def at_full_speed(self, encoder: _Encoder, reports: int, devices: int) -> tuple[int, int]:
        rounds = -(-reports // devices)
        first_ts_ms = int(time.time() * 1000) - rounds  # a millisecond a round: distinct, and never in the future

        def encoded(numbers: range) -> Iterator[tuple[int, Frame]]:
            for number in numbers:
                yield from encoder.encode(number, first_ts_ms + number // devices)

        beforehand = min(reports, _ENCODED_BEFOREHAND)
        ready = list(encoded(range(beforehand)))
        self.begin()
        self._send(itertools.chain(ready, encoded(range(beforehand, reports))))
        return first_ts_ms, first_ts_ms + rounds - 1

    def _send(self, frames: Iterator[tuple[int, Frame]]) -> None:
        offer = self.publisher.offer
        most_waiting = 4 * _BLOCK
        while not self.stop.is_set():
            block = list(itertools.islice(frames, _BLOCK))
            for lane, ready in block:
                offer(lane, ready)
            self.turn(0.0)
            if len(block) < _BLOCK:
                return
            while self.publisher.waiting > most_waiting and not self.stop.is_set():
                self.turn(_TURN_S)

    def at_rate(self, encoder: _Encoder, reports: int, rate: float) -> tuple[int, int]:
        self.begin()
        first_ts_ms = int(time.time() * 1000)
        number = 0
        while number < reports and not self.stop.is_set():
            now_s = time.monotonic() - self.began
            due = min(int(now_s * rate) + 1, reports, number + _BLOCK)
            if due > number:
                self.behind_s = max(self.behind_s, now_s - number / rate)
            for each in range(number, due):
                for lane, ready in encoder.encode(each, first_ts_ms + int(each * 1000 / rate)):
                    self.publisher.offer(lane, ready)
            number = due
            self.turn(min(max(number / rate - (time.monotonic() - self.began), 0.0), _TURN_S))
        return first_ts_ms, first_ts_ms + int((number - 1) * 1000 / rate)

    def drain(self, patience_s: float) -> None:
        if self.stop.is_set():
            self.publisher.forget_waiting()
        give_up = time.monotonic() + patience_s
        while self.publisher.waiting + self.publisher.in_flight and time.monotonic() < give_up:
            self.turn(_TURN_S)

    def turn(self, pause_s: float) -> None:
        done = self.publisher.turn(pause_s)
        self.resent += len(self.publisher.take_resent())
        if not done:
            return
        self.ended = time.monotonic()
        self.sent += len(done)
        self.puback_s.extend([self.ended - sent_at for _, sent_at in done])
        if self.on_progress is not None:
            self.on_progress(self.sent)

    def result(self, first_ts_ms: int, last_ts_ms: int, garbage: int) -> LoadResult:
        seconds = max(self.ended - self.began, 1e-9)
        return LoadResult(
            began_at=self.began_at,
            sent=self.sent,
            garbage=garbage,
            unacknowledged=self.publisher.in_flight + self.publisher.waiting,
            resent=self.resent,
            reconnects=self.publisher.reconnects,
            seconds=round(seconds, 6),
            achieved_rate=round(self.sent / seconds, 1),
            cpu_us_per_report=round((time.process_time() - self.cpu_began) / max(self.sent, 1) * 1e6, 3),
            furthest_behind_ms=round(self.behind_s * 1000, 3),
            puback_ms=percentiles_ms(self.puback_s),
            first_ts_ms=first_ts_ms,
            last_ts_ms=last_ts_ms,
        )
