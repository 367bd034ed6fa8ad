"""MQTT connections that devices share, or have each to themselves, kept up whatever the broker does.

What is offered is sent in order per device, and stays ours until the broker has acknowledged it. Single-threaded: the
caller gives it time by `turn`, and no connection waits for another. Between `play` (which says what is due) and `wire`.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import resource
import secrets
import selectors
import socket
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from simulators.wire import Acknowledged, Broker, Connection, ConnectionLost, Frame, WireError

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 5.0
_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 2.0
_CONNECTING_AT_ONCE = 100
"""What a broker's listen queue takes (mosquitto: 100) before the kernel begins to drop."""

_OWN_WINDOW = 20
"""Unacknowledged messages of a device that has a connection to itself: it is no gateway."""

_OTHER_FILES = 64


class Login(NamedTuple):
    """With what one client logs in."""

    username: str
    password: str


@dataclass(eq=False)
class _Lane:
    connection: Connection
    brokers: list[Broker]
    retry_s: float = _FIRST_RETRY_S
    give_up_at: float = 0.0
    """When connecting has taken too long."""

    @property
    def up(self) -> bool:
        return self.connection.up

    def take_another_node(self) -> None:
        """Of a cluster: the next one. What is in flight goes again there."""
        self.connection.broker = self.brokers[(self.brokers.index(self.connection.broker) + 1) % len(self.brokers)]


@dataclass
class _Losses:
    """Connections lost in one turn, told in one line."""

    connections: int = 0
    messages: int = 0
    why: set[str] = field(default_factory=set)


class Publisher:
    """`connections` MQTT sessions that are shared, like gateways, each with at most `window` messages unacknowledged;
    and one for each name in `own`, whose client id it is. `logins`: by name, where they have credentials of their own.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 4,
        window: int = 2_000,
        keepalive_s: int = 30,
        name: str = "fleet",
        own: Sequence[str] = (),
        logins: Mapping[str, Login] | None = None,
        authority: Path | None = None,
    ) -> None:
        if connections < (0 if own else 1):
            raise ValueError(f"connections: {connections}; at least 1, where nobody has one of his own")
        brokers = Broker.all_from_url(url, authority)
        unique = secrets.token_hex(4)  # two fleets at once must not take each other's sessions
        self._lanes: list[_Lane] = []
        for number in range(connections):
            self._add_lane(brokers, f"underfoot-{name}-{unique}-{number}", window, keepalive_s)
        self._shared = connections
        self._own: dict[str, int] = {}
        for client_id in own:
            login = (logins or {}).get(client_id)
            theirs = brokers if login is None else [replace(broker, **login._asdict()) for broker in brokers]
            self._own[client_id] = len(self._lanes)
            self._add_lane(theirs, client_id, min(window, _OWN_WINDOW), keepalive_s)
        self._selector = selectors.DefaultSelector()
        self._to_write: dict[_Lane, None] = {}
        self._down: list[tuple[float, int, _Lane]] = []
        self._connecting: dict[_Lane, None] = {}
        self._numbers = itertools.count()
        self._waiting = self._unacknowledged = 0
        self._looks_after = min(keepalive_s / 4, 1.0)
        self._looked_at = 0.0
        self._losses = _Losses()
        self.reconnects = 0

    def _add_lane(self, brokers: list[Broker], client_id: str, window: int, keepalive_s: int) -> None:
        broker = brokers[len(self._lanes) % len(brokers)]
        self._lanes.append(_Lane(Connection(broker, client_id, window=window, keepalive_s=keepalive_s), brokers))

    def open(self) -> None:
        """Connect all, side by side, or say why not: a fleet that cannot begin should not pretend to."""
        _room_for(len(self._lanes))
        left = deque((lane, len(lane.brokers)) for lane in self._lanes)
        tries: dict[_Lane, int] = {}
        while left or self._connecting:
            while left and len(self._connecting) < _CONNECTING_AT_ONCE:
                lane, nodes = left.popleft()
                tries[lane] = nodes - 1
                self._start_or(lane, tries, left)
            for key, _ in self._selector.select(0.2):
                lane = key.data
                if lane in self._connecting:
                    try:
                        self._advance(lane)
                    except OSError as error:
                        self._not_opened(lane, error, tries, left)
            now = time.monotonic()
            for lane in [lane for lane in self._connecting if lane.give_up_at < now]:
                self._not_opened(lane, TimeoutError("timed out"), tries, left)

    def _start_or(self, lane: _Lane, tries: dict[_Lane, int], left: deque[tuple[_Lane, int]]) -> None:
        try:
            self._start(lane)
        except OSError as error:
            self._not_opened(lane, error, tries, left)

    def _not_opened(self, lane: _Lane, error: OSError, tries: dict[_Lane, int], left: deque[tuple[_Lane, int]]) -> None:
        self._forget_socket(lane)
        if lane.connection.has_untried_address:
            self._start_or(lane, tries, left)
        elif tries[lane]:
            lane.take_another_node()
            left.appendleft((lane, tries[lane]))
        else:
            broker = lane.connection.broker
            raise WireError(f"no MQTT broker answers at {broker.host}:{broker.port}: {error}") from error

    def lane_of(self, device_id: str) -> int:
        """Which connection carries this device: always the same, so that its order is kept."""
        own = self._own.get(device_id)
        if own is not None:
            return own
        if not self._shared:
            raise ValueError(f"{device_id}: has no connection of its own, and none is shared")
        return zlib.crc32(device_id.encode()) % self._shared

    def offer(self, lane: int, frame: Frame) -> None:
        offered_to = self._lanes[lane]
        offered_to.connection.waiting.append(frame)
        self._to_write[offered_to] = None
        self._waiting += 1

    @property
    def lanes(self) -> int:
        return len(self._lanes)

    @property
    def connected(self) -> int:
        return len(self._lanes) - len(self._down) - len(self._connecting)

    @property
    def waiting(self) -> int:
        """Offered, not sent yet."""
        return self._waiting

    @property
    def in_flight(self) -> int:
        """Sent, not acknowledged yet."""
        return self._unacknowledged

    def take_resent(self) -> list[Any]:
        """The tags of what has been sent again since the last call, because a connection was lost."""
        tags: list[Any] = []
        if self.reconnects:
            for lane in self._lanes:
                if lane.connection.resent:
                    tags += lane.connection.resent
                    lane.connection.resent = []
        return tags

    def forget_waiting(self) -> int:
        """Drop what was offered and never sent; returns how many."""
        dropped = self._waiting
        for lane in self._lanes:
            lane.connection.waiting.clear()
        self._waiting = 0
        return dropped

    def hang_up(self, lanes: Iterable[int], back_after_s: Iterable[float]) -> int:
        """Drop these connections as if the network had; each comes back after its time. Returns how many were up."""
        dropped = 0
        for number, after_s in zip(lanes, back_after_s, strict=True):
            lane = self._lanes[number]
            if lane.up:
                self._forget_socket(lane)
                self._try_again(lane, after_s)
                dropped += 1
        return dropped

    def turn(self, timeout_s: float) -> list[Acknowledged]:
        """Write what can be written, and return what was acknowledged. Waits up to `timeout_s` for something to do."""
        acknowledged: list[Acknowledged] = []
        now = time.monotonic()
        if now - self._looked_at > self._looks_after:
            self._look_after_all(now)
        while self._down and self._down[0][0] <= now and len(self._connecting) < _CONNECTING_AT_ONCE:
            self._reconnect(heapq.heappop(self._down)[2])
        offered, self._to_write = self._to_write, {}
        for lane in offered:
            self._write(lane)
        timeout_s = max(timeout_s, 0.0)
        if self._down:
            timeout_s = min(timeout_s, max(self._down[0][0] - now, 0.001))
        if not self._selector.get_map():
            time.sleep(timeout_s)
            return acknowledged
        for key, events in self._selector.select(timeout_s):
            lane = key.data
            if lane in self._connecting:
                self._go_on_connecting(lane)
                continue
            try:
                if events & selectors.EVENT_READ:
                    lane.connection.read(acknowledged)
            except ConnectionLost as lost:
                self._lost(lane, lost)
            self._write(lane)
        self._unacknowledged -= len(acknowledged)
        if self._losses.connections:
            self._tell_losses()
        return acknowledged

    def close(self) -> None:
        for lane in self._lanes:
            if lane.connection.socket is not None:
                self._selector.unregister(lane.connection.socket)
                lane.connection.close()
        self._selector.close()

    def _write(self, lane: _Lane) -> None:
        if lane.up:
            self._tend(lane, lane.connection.write)

    def _tend(self, lane: _Lane, act: Callable[[], None]) -> None:
        """Do what may send some of what waits, and keep count of it."""
        connection = lane.connection
        waiting = len(connection.waiting)
        try:
            act()
        except ConnectionLost as lost:
            self._lost(lane, lost)
        else:
            self._watch(lane, selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_to_write else 0))
        written = waiting - len(connection.waiting)
        self._waiting -= written
        self._unacknowledged += written

    def _look_after_all(self, now: float) -> None:
        """What time alone asks for: pings, connections that have died in silence, and those that never come up."""
        self._looked_at = now
        for lane in self._lanes:
            if lane.up:
                self._tend(lane, partial(lane.connection.keep_alive, now))
        for lane in [lane for lane in self._connecting if lane.give_up_at < now]:
            self._not_reconnected(lane, TimeoutError("timed out"))

    # coming up and going down ---------------------------------------------------------------------------------------

    def _start(self, lane: _Lane) -> None:
        lane.connection.start()
        lane.give_up_at = time.monotonic() + _CONNECT_TIMEOUT_S
        self._connecting[lane] = None
        self._selector.register(_socket(lane), selectors.EVENT_WRITE, lane)

    def _advance(self, lane: _Lane) -> None:
        wants = lane.connection.advance()
        if lane.up:
            del self._connecting[lane]
            lane.retry_s = _FIRST_RETRY_S
            self._to_write[lane] = None
        self._watch(lane, selectors.EVENT_READ if wants == "read" else selectors.EVENT_WRITE)

    def _go_on_connecting(self, lane: _Lane) -> None:
        try:
            self._advance(lane)
        except OSError as error:
            self._not_reconnected(lane, error)
            return
        if lane.up:
            self.reconnects += 1

    def _reconnect(self, lane: _Lane) -> None:
        try:
            self._start(lane)
        except OSError as error:
            self._not_reconnected(lane, error)

    def _not_reconnected(self, lane: _Lane, error: OSError) -> None:
        log.debug("%s: the broker does not answer: %s", lane.connection.client_id, error)
        self._forget_socket(lane)
        if lane.connection.has_untried_address:
            self._reconnect(lane)
            return
        self._try_again(lane, lane.retry_s)
        lane.retry_s = min(lane.retry_s * 2, _LONGEST_RETRY_S)
        lane.take_another_node()

    def _lost(self, lane: _Lane, why: ConnectionLost) -> None:
        self._losses.connections += 1
        self._losses.messages += lane.connection.in_flight
        self._losses.why.add(str(why))
        self._forget_socket(lane)
        lane.take_another_node()
        self._try_again(lane, lane.retry_s)

    def _tell_losses(self) -> None:
        lost, self._losses = self._losses, _Losses()
        why = "; ".join(sorted(lost.why))
        log.warning("%d connections lost: %s; %d messages go again", lost.connections, why, lost.messages)

    def _try_again(self, lane: _Lane, after_s: float) -> None:
        heapq.heappush(self._down, (time.monotonic() + after_s, next(self._numbers), lane))

    def _forget_socket(self, lane: _Lane) -> None:
        self._connecting.pop(lane, None)
        if lane.connection.socket is not None:
            self._selector.unregister(lane.connection.socket)
        lane.connection.lose()

    def _watch(self, lane: _Lane, wanted: int) -> None:
        connection = _socket(lane)
        if self._selector.get_key(connection).events != wanted:
            self._selector.modify(connection, wanted, lane)


def _socket(lane: _Lane) -> socket.socket:
    connection = lane.connection.socket
    if connection is None:
        raise ConnectionLost(f"{lane.connection.client_id} is not connected")
    return connection


def _room_for(connections: int) -> None:
    """Raise this process's limit of open files, as far as it may itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise WireError(
            f"{connections} connections need {wanted} open files; this process may have {hard} (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
