"""MQTT 3.1.1 as a publisher needs it: packets as bytes, and one connection that writes and acknowledges in bulk.

Own code instead of a client library, because a load generator must not be what a benchmark measures: a packet costs
1 to 2 µs here. Below `publisher`, which holds several connections and keeps them up.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import struct
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from underfoot.brokers import Brokers

_CONNACK_REFUSALS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not like our client id",
    3: "it is not available",
    4: "user name or password is wrong",
    5: "we are not allowed in",
}
_PINGREQ = b"\xc0\x00"
_DISCONNECT = b"\xe0\x00"
_PUBLISH_QOS1 = b"\x32"
_PUBLISH_QOS1_DUP = b"\x3a"
_LAST_PACKET_ID = 65_535
_PACKET_ID = [number.to_bytes(2, "big") for number in range(_LAST_PACKET_ID + 1)]
_WRITE_FRAMES = 2_000
_READ_BYTES = 262_144
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Wants = Literal["read", "write"]
_Stage = Literal["down", "connecting", "shaking hands", "asking", "up"]


class WireError(Exception):
    """The broker cannot be used as things are; says why."""


class ConnectionLost(Exception):  # noqa: N818 - an event that is expected, not a fault of ours
    """The connection is gone; what it had not acknowledged is to be sent again."""


class Frame(NamedTuple):
    """One PUBLISH at QoS 1, encoded but for its packet id, which stands between `head` and `tail`.

    `tag` is the caller's own; it comes back when the broker has acknowledged the packet.
    """

    head: bytes
    tail: bytes
    tag: Any


class Acknowledged(NamedTuple):
    tag: Any
    sent_at: float
    """When it was written to the socket (monotonic seconds); the first time, if it was sent again."""


def frame(topic: bytes, payload: bytes, tag: object = None) -> Frame:
    if len(topic) > _LAST_PACKET_ID:
        raise ValueError(f"topic: {len(topic)} bytes; MQTT allows {_LAST_PACKET_ID}")
    head = _PUBLISH_QOS1 + _remaining_length(len(topic) + len(payload) + 4) + len(topic).to_bytes(2, "big") + topic
    return Frame(head, payload, tag)


def _remaining_length(length: int) -> bytes:
    if length > 268_435_455:
        raise ValueError(f"packet: {length} bytes; MQTT allows 268435455")
    encoded = bytearray()
    while True:
        length, digit = divmod(length, 128)
        if not length:
            encoded.append(digit)
            return bytes(encoded)
        encoded.append(digit | 128)


@dataclass(frozen=True)
class Broker:
    """Where a broker is, or one node of it. `authority`: of which its certificate must be; None: the system's."""

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None
    authority: Path | None = None

    @classmethod
    def all_from_url(cls, url: str, authority: Path | None = None) -> list[Broker]:
        """One, or the nodes of a cluster."""
        try:
            found = Brokers.from_url(url)
        except ValueError as error:
            raise WireError(f"{url!r} is no broker's URL: {error}") from error
        return [cls(host, port, found.tls, found.username, found.password, authority) for host, port in found.hosts]

    def addresses(self) -> list[tuple[socket.AddressFamily, Any]]:
        """Where the host's name leads, in the order in which to try."""
        return _addresses(self.host, self.port)

    def connect_packet(self, client_id: str, keepalive_s: int) -> bytes:
        # A clean session: at QoS 1 the broker keeps nothing for a publisher, so none is left behind on it.
        flags = 0x02
        fields = [client_id]
        if self.username is not None:
            flags |= 0x80
            fields.append(self.username)
        if self.password is not None:
            flags |= 0x40
            fields.append(self.password)
        body = b"\x00\x04MQTT\x04" + bytes([flags]) + keepalive_s.to_bytes(2, "big")
        for text in fields:
            encoded = text.encode()
            body += len(encoded).to_bytes(2, "big") + encoded
        return b"\x10" + _remaining_length(len(body)) + body


class Connection:
    """One MQTT connection. `waiting` is not sent yet; what was sent stays in flight until the broker acknowledges it.

    A lost connection keeps both: after `open` everything in flight is sent again, with DUP, in its first order, before
    anything new.
    """

    def __init__(self, broker: Broker, client_id: str, *, window: int, keepalive_s: int) -> None:
        if not 1 <= window <= _LAST_PACKET_ID:
            raise ValueError(f"window: {window}; packet ids allow 1 to {_LAST_PACKET_ID}")
        self.broker = broker
        self.client_id = client_id
        self.window = window
        self.keepalive_s = keepalive_s
        self.socket: socket.socket | None = None
        self.waiting: deque[Frame] = deque()
        self.resent: list[Any] = []
        """The tags of what was sent again after a connection was lost: the broker may have it twice."""
        self._stage: _Stage = "down"
        self._untried: list[tuple[socket.AddressFamily, Any]] = []
        self._in_flight: dict[int, tuple[Frame, float]] = {}
        self._out = bytearray()
        self._in = b""
        self._last_id = 0
        self._read_at = self._written_at = 0.0

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def up(self) -> bool:
        """Accepted by the broker."""
        return self._stage == "up"

    @property
    def wants_to_write(self) -> bool:
        return bool(self._out)

    @property
    def has_untried_address(self) -> bool:
        """Whether the broker's name leads somewhere else, too (IPv4 beside IPv6)."""
        return bool(self._untried)

    def start(self) -> None:
        """Begin to connect, without waiting; `advance` goes on. Raises OSError where that is impossible."""
        if not self._untried:
            self._untried = list(self.broker.addresses())
        family, address = self._untried.pop(0)
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        refused = made.connect_ex(address)
        if refused not in (0, errno.EINPROGRESS):
            made.close()
            raise OSError(refused, os.strerror(refused))
        self.socket, self._stage = made, "connecting"
        self._in, self._out = b"", bytearray()

    def advance(self) -> Wants:
        """Go on connecting, as far as that is possible now; `up` when the broker has accepted us. Returns for what the
        socket is to be watched. Raises OSError (try again later) or WireError (of no use to try again)."""
        if self._stage == "connecting":
            refused = self._socket().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if refused:
                raise OSError(refused, os.strerror(refused))
            self._stage = "shaking hands"
            if self.broker.tls:
                context = _tls(self.broker.authority)
                self.socket = context.wrap_socket(
                    self._socket(), server_hostname=self.broker.host, do_handshake_on_connect=False
                )
        if self._stage == "shaking hands":
            connection = self._socket()
            if isinstance(connection, ssl.SSLSocket):
                try:
                    connection.do_handshake()
                except ssl.SSLWantReadError:
                    return "read"
                except ssl.SSLWantWriteError:
                    return "write"
            self._out += self.broker.connect_packet(self.client_id, self.keepalive_s)
            self._stage = "asking"
        if self._stage == "asking":
            self._send_out()
            if self._out:
                return "write"
            if not self._is_accepted():
                return "read"
            self._stage = "up"
            self._untried = []
            self._in = b""
            self._read_at = self._written_at = time.monotonic()
            for packet_id, (sent, _) in self._in_flight.items():
                self._out += _PUBLISH_QOS1_DUP + sent.head[1:] + _PACKET_ID[packet_id] + sent.tail
                self.resent.append(sent.tag)
        return "read"

    def _is_accepted(self) -> bool:
        """Whether the broker's answer is there, and says so."""
        while len(self._in) < 4:
            try:
                more = self._socket().recv(4 - len(self._in))
            except _NOT_NOW:
                return False
            if not more:
                raise ConnectionResetError("the broker closed the connection before it accepted us")
            self._in += more
        if self._in[:2] != b"\x20\x02":
            raise WireError(f"{self.broker.host}:{self.broker.port} does not answer like an MQTT broker")
        code = self._in[3]
        if code == 3:
            raise ConnectionRefusedError(_CONNACK_REFUSALS[3])
        if code:
            why = _CONNACK_REFUSALS.get(code, f"code {code}")
            whom = "us" if self.broker.username is None else f"user {self.broker.username!r}"
            raise WireError(f"the broker at {self.broker.host}:{self.broker.port} refuses {whom}: {why}")
        return True

    def lose(self) -> None:
        """Forget the socket, keep what is owed."""
        if self._stage == "connecting":
            _addresses.cache_clear()  # the name may lead elsewhere meanwhile
        self._stage = "down"
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def close(self) -> None:
        """Say goodbye in order."""
        if self.socket is not None and self.up:
            with suppress(OSError):  # gone already, which is what was wanted
                self.socket.settimeout(2)
                self.socket.sendall(bytes(self._out) + _DISCONNECT)
        self.lose()

    def write(self) -> None:
        """Send as much as the window and the socket take."""
        while True:
            if not self._out and self.waiting:
                self._fill()
            if not self._out:
                return
            try:
                self._send_out()
            except OSError as error:
                raise ConnectionLost(str(error)) from error
            if self._out:
                return

    def _send_out(self) -> None:
        """Write what is encoded, as far as the socket takes it."""
        try:
            sent = self._socket().send(self._out)
        except _NOT_NOW:
            return
        self._written_at = time.monotonic()
        if sent < len(self._out):
            del self._out[:sent]
        else:
            self._out = bytearray()

    def read(self, acknowledged: list[Acknowledged]) -> None:
        """Append what the broker has acknowledged meanwhile; what came before the connection was lost counts."""
        while True:
            try:
                data = self._socket().recv(_READ_BYTES)
            except _NOT_NOW:
                return
            except OSError as error:
                raise ConnectionLost(str(error)) from error
            if not data:
                raise ConnectionLost("the broker closed the connection")
            self._read_at = time.monotonic()
            acknowledged += self._acknowledge(self._in + data)
            if len(data) < _READ_BYTES and not self.broker.tls:
                return

    def keep_alive(self, now: float) -> None:
        if now - self._written_at > self.keepalive_s / 2:
            self._out += _PINGREQ
            self._written_at = now
            self.write()
        if now - self._read_at > self.keepalive_s * 1.5:
            raise ConnectionLost(f"the broker has said nothing for {now - self._read_at:.0f} s")

    def _fill(self) -> None:
        count = min(self.window - len(self._in_flight), len(self.waiting), _WRITE_FRAMES)
        if count <= 0:
            return
        now = time.monotonic()
        parts: list[bytes] = []
        next_frame, in_flight, packet_id = self.waiting.popleft, self._in_flight, self._last_id
        for _ in range(count):
            sending = next_frame()
            packet_id = packet_id % _LAST_PACKET_ID + 1
            while packet_id in in_flight:
                packet_id = packet_id % _LAST_PACKET_ID + 1
            in_flight[packet_id] = (sending, now)
            parts += (sending.head, _PACKET_ID[packet_id], sending.tail)
        self._last_id = packet_id
        self._out += b"".join(parts)

    def _acknowledge(self, data: bytes) -> list[Acknowledged]:
        in_flight = self._in_flight
        done: list[Acknowledged] = []
        at, end = 0, len(data)
        if end % 4 == 0 and data[0::4] == b"\x40" * (end // 4) and data[1::4] == b"\x02" * (end // 4):
            packet_ids: tuple[int, ...] | list[int] = struct.unpack(f">{end // 2}H", data)[1::2]
            at = end
        else:
            packet_ids = []
            while end - at >= 2:
                kind, length = data[at], data[at + 1]
                if (kind, length) not in ((0x40, 2), (0xD0, 0)):
                    raise ConnectionLost(
                        f"the broker sent a packet that a publisher does not get: {data[at : at + 8]!r}"
                    )
                if end - at < 2 + length:
                    break
                if length:
                    packet_ids.append(data[at + 2] << 8 | data[at + 3])
                at += 2 + length
        self._in = data[at:]
        for packet_id in packet_ids:
            sent = in_flight.pop(packet_id, None)
            if sent is not None:
                done.append(Acknowledged(sent[0].tag, sent[1]))
        return done

    def _socket(self) -> socket.socket:
        if self.socket is None:
            raise ConnectionLost("not connected")
        return self.socket


@cache
def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


@cache
def _tls(authority: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)
