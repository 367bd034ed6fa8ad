"""The sockets' thread: accepts stations, reads their lines, and sends them their answers once these are earned."""

from __future__ import annotations

import errno
import itertools
import logging
import selectors
import socket
import time
from collections import Counter, deque
from dataclasses import dataclass

from ingest.stations.line import Line, Taken
from ingest.stations.post import Queue, Waiting
from underfoot.clock import CLOCK
from underfoot.settings import Settings

log = logging.getLogger(__name__)

_READ = 8192
_UNANSWERED = 256
_MOST_OUT = 65_536
_TURN_S = 0.25
_LOOK_S = 1.0
_FRAME_S = 20.0
"""How long the rest of a frame may take; what comes later begins anew."""
_HELD = 67_108_864
"""Bytes of unfinished messages that all stations together may have us hold."""
_GOODBYE_S = 2.0
_TELL_S = 60.0


@dataclass(eq=False)
class _Station:
    """One connection. `unanswered` are its messages on their way to the inbox."""

    number: int
    socket: socket.socket
    peer: str
    line: Line
    heard: float
    out: bytearray
    unanswered: int = 0
    ended: bool = False
    watched: int = 0


class Sockets:
    """Runs in one thread; `committed` alone may be called from another."""

    def __init__(self, settings: Settings, queue: Queue) -> None:
        self._settings = settings
        self._queue = queue
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(
            (settings.stations_host, settings.stations_port), backlog=1024, reuse_port=False
        )
        self._listener.setblocking(False)
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stations: dict[int, _Station] = {}
        self._numbers = itertools.count(1)
        self._committed: deque[list[Waiting]] = deque()
        self._waits = False
        self._stopping = False
        self._looked = self._told = time.monotonic()
        self._counts: Counter[str] = Counter()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()[:2]
        return host, port

    # from the poster's thread ---------------------------------------------------------------------------------------

    def committed(self, batch: list[Waiting]) -> None:
        self._committed.append(batch)
        self.wake()

    def wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except BlockingIOError:
            return  # it is awake already

    # the loop -------------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Wait a moment for something to do, and do it."""
        for key, events in self._selector.select(_TURN_S):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._woken:
                self._drain_wakes()
            else:
                station: _Station = key.data
                if events & selectors.EVENT_READ and not self._waits:
                    self._read(station)
                if events & selectors.EVENT_WRITE and station.number in self._stations:
                    self._write(station)
        self._answer()
        if self._waits and not self._queue.half_full:
            self._go_on()
        now = time.monotonic()
        if now - self._looked >= _LOOK_S:
            self._looked = now
            self._look_after(now)

    def stop_reading(self) -> None:
        """Nobody is accepted or read from any more; answers still go out."""
        self._stopping = True
        self._selector.unregister(self._listener)
        self._listener.close()
        for station in self._stations.values():
            self._watch(station)

    def flush(self) -> None:
        """Send the answers that are left, to those who take them."""
        give_up = time.monotonic() + _GOODBYE_S
        self._answer()
        while any(station.out for station in self._stations.values()) and time.monotonic() < give_up:
            for key, events in self._selector.select(0.1):
                if key.data is not None and events & selectors.EVENT_WRITE:
                    self._write(key.data)

    def close(self) -> None:
        for station in list(self._stations.values()):
            self._close(station, "the listener ends")
        if not self._stopping:
            self._listener.close()
        self._selector.close()
        self._woken.close()
        self._waker.close()
        self._tell()

    # its steps ------------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        settings = self._settings
        for _ in range(64):
            try:
                connected, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED):
                    raise
                log.warning("a station could not be accepted: %s", error)
                return
            if len(self._stations) >= settings.stations_connections:
                self._counts["refused"] += 1
                connected.close()
                continue
            connected.setblocking(False)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = Line(
                longest=settings.stations_frame_bytes,
                most_bytes=settings.stations_buffer_bytes,
                stay_online=settings.stations_stay_online,
            )
            number, peer = next(self._numbers), f"{address[0]}:{address[1]}"
            station = _Station(number, connected, peer, line, time.monotonic(), bytearray())
            self._stations[number] = station
            self._counts["accepted"] += 1
            self._watch(station)

    def _read(self, station: _Station) -> None:
        try:
            data = station.socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(station, str(error))
            return
        if not data:
            # It may have closed only its own direction, and wait for an answer.
            station.ended = True
            self._offer(station, station.line.end())
            if not station.unanswered and not station.out:
                self._close(station, "it has closed")
            else:
                self._watch(station)
            return
        station.heard = time.monotonic()
        self._offer(station, station.line.feed(data))
        if station.line.hopeless:
            self._end(station, "what it sends is no SL 651")
        elif station.line.replies:
            station.out += station.line.replies
            station.line.replies.clear()
            self._write(station)

    def _offer(self, station: _Station, taken: list[Taken]) -> None:
        if not taken:
            return
        received_us = CLOCK.now_us()
        station.unanswered += len(taken)
        self._counts["messages"] += len(taken)
        self._queue.put([Waiting(station.number, message, received_us) for message in taken])
        if self._queue.full and not self._waits:
            log.warning("%d messages wait for the database: no station is read from meanwhile", len(self._queue))
            self._waits = True
            for other in self._stations.values():
                self._watch(other)
        elif station.unanswered >= _UNANSWERED:
            self._watch(station)

    def _go_on(self) -> None:
        self._waits = False
        now = time.monotonic()
        for station in self._stations.values():
            station.heard = now
            self._watch(station)

    def _answer(self) -> None:
        """What is committed may be acknowledged, each to its own connection."""
        answered: dict[int, _Station] = {}
        while self._committed:
            for number, taken, _ in self._committed.popleft():
                station = self._stations.get(number)
                if station is None:
                    self._counts["gone"] += 1
                    continue
                station.unanswered -= 1
                station.out += taken.answer
                self._counts["acknowledged"] += bool(taken.answer)
                answered[number] = station
        for station in answered.values():
            self._write(station)

    def _write(self, station: _Station) -> None:
        if station.out:
            try:
                del station.out[: station.socket.send(station.out)]
            except BlockingIOError:
                pass
            except OSError as error:
                self._close(station, str(error))
                return
        if len(station.out) > _MOST_OUT:
            self._close(station, "it does not take its answers")
        elif station.ended and not station.out and not station.unanswered:
            self._close(station, "it has closed")
        else:
            self._watch(station)

    def _watch(self, station: _Station) -> None:
        wanted = 0
        if not (self._waits or self._stopping or station.ended) and station.unanswered < _UNANSWERED:
            wanted |= selectors.EVENT_READ
        if station.out:
            wanted |= selectors.EVENT_WRITE
        if wanted == station.watched:
            return
        if not station.watched:
            self._selector.register(station.socket, wanted, station)
        elif not wanted:
            self._selector.unregister(station.socket)
        else:
            self._selector.modify(station.socket, wanted, station)
        station.watched = wanted

    def _look_after(self, now: float) -> None:
        CLOCK.look(self._settings.clock_settles_s)
        held = 0
        for station in list(self._stations.values()):
            quiet = now - station.heard
            if not self._waits and quiet > self._settings.stations_idle_s:
                self._end(station, f"nothing for {quiet:.0f} s")
            elif station.line.begun and quiet > _FRAME_S and not self._waits:
                self._offer(station, station.line.settle())
            held += station.line.held
        while held > _HELD:
            heaviest = max(self._stations.values(), key=lambda station: station.line.held)
            held -= heaviest.line.held
            self._end(heaviest, "unfinished messages of all stations take too much memory")
        if now - self._told >= _TELL_S:
            self._told = now
            self._tell()

    def _drain_wakes(self) -> None:
        try:
            while self._woken.recv(4096):
                pass
        except BlockingIOError:
            return

    def _end(self, station: _Station, why: str) -> None:
        """Close it from our side; what it had begun is kept."""
        self._offer(station, station.line.end())
        self._close(station, why)

    def _close(self, station: _Station, why: str) -> None:
        if self._stations.pop(station.number, None) is None:
            return
        log.debug("station %s at %s: closed: %s", station.line.station, station.peer, why)
        self._counts["malformed"] += station.line.malformed
        self._counts["heartbeats"] += station.line.heartbeats
        if station.watched:
            self._selector.unregister(station.socket)
        station.socket.close()

    def _tell(self) -> None:
        counts = self._counts
        alive = list(self._stations.values())
        log.info(
            "stations: %d connected, %d accepted, %d refused; %d messages, %d malformed; %d answers; %d heartbeats",
            len(alive),
            counts["accepted"],
            counts["refused"],
            counts["messages"],
            counts["malformed"] + sum(station.line.malformed for station in alive),
            counts["acknowledged"],
            counts["heartbeats"] + sum(station.line.heartbeats for station in alive),
        )
