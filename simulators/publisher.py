"""A few MQTT connections that many devices share, kept up whatever the broker does.

What is offered is sent in order per device, and stays ours until the broker has acknowledged it. Single-threaded: the
caller gives it time by `turn`. Between `play` (which says what is due) and `wire`.
"""

from __future__ import annotations

import logging
import secrets
import selectors
import socket
import time
import zlib
from dataclasses import dataclass
from typing import Any

from simulators.wire import Acknowledged, Broker, Connection, ConnectionLost, Frame, WireError

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 5.0
_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 2.0


@dataclass(eq=False)
class _Lane:
    connection: Connection
    brokers: list[Broker]
    retry_at: float = 0.0
    retry_s: float = _FIRST_RETRY_S

    @property
    def up(self) -> bool:
        return self.connection.socket is not None

    def take_another_node(self) -> None:
        """Of a cluster: the next one. What is in flight goes again there."""
        self.connection.broker = self.brokers[(self.brokers.index(self.connection.broker) + 1) % len(self.brokers)]


class Publisher:
    """`connections` MQTT sessions, like gateways; each has at most `window` messages unacknowledged."""

    def __init__(
        self, url: str, *, connections: int = 4, window: int = 2_000, keepalive_s: int = 30, name: str = "fleet"
    ) -> None:
        if connections < 1:
            raise ValueError(f"connections: {connections}; at least 1")
        brokers = Broker.all_from_url(url)
        unique = secrets.token_hex(4)  # two fleets at once must not take each other's sessions
        self._lanes = [
            _Lane(
                Connection(
                    brokers[number % len(brokers)],
                    f"underfoot-{name}-{unique}-{number}",
                    window=window,
                    keepalive_s=keepalive_s,
                ),
                brokers,
            )
            for number in range(connections)
        ]
        self._selector = selectors.DefaultSelector()
        self.reconnects = 0

    def open(self) -> None:
        """Connect all, or say why not: a fleet that cannot begin should not pretend to."""
        for lane in self._lanes:
            for left in reversed(range(len(lane.brokers))):
                try:
                    lane.connection.open(_CONNECT_TIMEOUT_S)
                    break
                except OSError as error:
                    if not left:
                        broker = lane.connection.broker
                        raise WireError(f"no MQTT broker answers at {broker.host}:{broker.port}: {error}") from error
                    lane.take_another_node()
            self._watch(lane)

    def lane_of(self, device_id: str) -> int:
        """Which connection carries this device: always the same, so that its order is kept."""
        return zlib.crc32(device_id.encode()) % len(self._lanes)

    def offer(self, lane: int, frame: Frame) -> None:
        self._lanes[lane].connection.waiting.append(frame)

    @property
    def lanes(self) -> int:
        return len(self._lanes)

    @property
    def waiting(self) -> int:
        """Offered, not sent yet."""
        return sum(len(lane.connection.waiting) for lane in self._lanes)

    @property
    def in_flight(self) -> int:
        """Sent, not acknowledged yet."""
        return sum(lane.connection.in_flight for lane in self._lanes)

    def take_resent(self) -> list[Any]:
        """The tags of what has been sent again since the last call, because a connection was lost."""
        tags: list[Any] = []
        for lane in self._lanes:
            if lane.connection.resent:
                tags += lane.connection.resent
                lane.connection.resent = []
        return tags

    def forget_waiting(self) -> int:
        """Drop what was offered and never sent; returns how many."""
        dropped = self.waiting
        for lane in self._lanes:
            lane.connection.waiting.clear()
        return dropped

    def turn(self, timeout_s: float) -> list[Acknowledged]:
        """Write what can be written, and return what was acknowledged. Waits up to `timeout_s` for something to do."""
        acknowledged: list[Acknowledged] = []
        timeout_s = max(timeout_s, 0.0)
        now = time.monotonic()
        for lane in self._lanes:
            if not lane.up and lane.retry_at <= now:
                self._reconnect(lane)
            self._write(lane)
            if not lane.up:
                timeout_s = min(timeout_s, max(lane.retry_at - now, 0.001))
        if not self._selector.get_map():
            time.sleep(timeout_s)
            return acknowledged
        for key, events in self._selector.select(timeout_s):
            lane = key.data
            try:
                if events & selectors.EVENT_READ:
                    lane.connection.read(acknowledged)
            except ConnectionLost as lost:
                self._lost(lane, lost)
            self._write(lane)
        return acknowledged

    def close(self) -> None:
        for lane in self._lanes:
            if lane.up:
                self._unwatch(lane)
                lane.connection.close()
        self._selector.close()

    def _write(self, lane: _Lane) -> None:
        if not lane.up:
            return
        try:
            lane.connection.write()
            lane.connection.keep_alive(time.monotonic())
        except ConnectionLost as lost:
            self._lost(lane, lost)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if lane.connection.wants_to_write else 0)
        if self._selector.get_key(_socket(lane)).events != wanted:
            self._selector.modify(_socket(lane), wanted, lane)

    def _reconnect(self, lane: _Lane) -> None:
        try:
            lane.connection.open(_CONNECT_TIMEOUT_S)
        except OSError as error:
            lane.retry_at = time.monotonic() + lane.retry_s
            lane.retry_s = min(lane.retry_s * 2, _LONGEST_RETRY_S)
            log.debug("%s: the broker does not answer: %s", lane.connection.client_id, error)
            lane.take_another_node()
            return
        lane.retry_s = _FIRST_RETRY_S
        self.reconnects += 1
        self._watch(lane)

    def _lost(self, lane: _Lane, why: ConnectionLost) -> None:
        log.warning(
            "%s: connection lost: %s; %s messages go again", lane.connection.client_id, why, lane.connection.in_flight
        )
        self._unwatch(lane)
        lane.connection.lose()
        lane.take_another_node()
        lane.retry_at = time.monotonic() + lane.retry_s

    def _watch(self, lane: _Lane) -> None:
        self._selector.register(_socket(lane), selectors.EVENT_READ, lane)

    def _unwatch(self, lane: _Lane) -> None:
        self._selector.unregister(_socket(lane))


def _socket(lane: _Lane) -> socket.socket:
    connection = lane.connection.socket
    if connection is None:
        raise ConnectionLost(f"{lane.connection.client_id} is not connected")
    return connection
