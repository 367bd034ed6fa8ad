"""An MQTT 3.1.1 broker for one subscriber that does exactly what a test says, and writes down every PUBACK."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.system.city import until
from tests.system.fleet import Message

_CONNECT, _PUBLISH, _PUBACK, _SUBSCRIBE, _PINGREQ, _DISCONNECT = 1, 3, 4, 8, 12, 14


class FakeConnection:
    """One connection of the subscriber. What it publishes itself (its probe) comes back to it, as from any broker."""

    def __init__(self, connected: socket.socket, session_present: bool) -> None:
        self.acknowledged: list[int] = []
        self.subscribed = threading.Event()
        self.closed = threading.Event()
        self.probes = 0
        self._socket = connected
        self._session_present = session_present
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="fake-broker", daemon=True)
        self._thread.start()

    def publish(self, packet_id: int, message: Message, *, dup: bool = False, retain: bool = False) -> None:
        head = 0x32 | dup << 3 | retain
        name = message.topic.encode()
        body = struct.pack(">H", len(name)) + name + struct.pack(">H", packet_id) + message.payload
        self._write(bytes([head]) + _length(len(body)) + body)

    def drop(self) -> None:
        """Gone without a word, as when the network fails."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()

    def _write(self, packet: bytes) -> None:
        with self._lock:
            self._socket.sendall(packet)

    def _serve(self) -> None:
        try:
            while True:
                kind, flags, body = self._packet()
                self._answer(kind, flags, body)
        except (EOFError, OSError):
            self.closed.set()

    def _answer(self, kind: int, flags: int, body: bytes) -> None:
        if kind == _CONNECT:
            self._write(bytes([0x20, 2, self._session_present, 0]))
        elif kind == _SUBSCRIBE:
            filters, at = 0, 2
            while at < len(body):
                at += 2 + int.from_bytes(body[at : at + 2], "big") + 1
                filters += 1
            self._write(bytes([0x90, 2 + filters]) + body[:2] + b"\x01" * filters)
            self.subscribed.set()
        elif kind == _PUBACK:
            self.acknowledged.append(int.from_bytes(body[:2], "big"))
        elif kind == _PUBLISH:
            end = 2 + int.from_bytes(body[:2], "big")
            self._write(bytes([0x40, 2]) + body[end : end + 2])
            self.probes += 1
            self.publish(60_000 + self.probes % 1000, Message(body[2:end].decode(), body[end + 2 :]))
        elif kind == _PINGREQ:
            self._write(b"\xd0\0")
        else:
            assert kind == _DISCONNECT, f"packet type {kind}, flags {flags}"

    def _packet(self) -> tuple[int, int, bytes]:
        first = self._read(1)[0]
        length = shift = 0
        while True:
            digit = self._read(1)[0]
            length |= (digit & 127) << shift
            shift += 7
            if not digit & 128:
                return first >> 4, first & 15, self._read(length)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data


class FakeBroker:
    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(30)
        self._accepted: list[FakeConnection] = []
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"

    def accept(self, *, session_present: bool) -> FakeConnection:
        """The subscriber's next connection, once it has subscribed."""
        connected, _ = self._listener.accept()
        connection = FakeConnection(connected, session_present)
        self._accepted.append(connection)
        assert connection.subscribed.wait(10), "no SUBSCRIBE within 10 s"
        return connection

    def close(self) -> None:
        self._listener.close()
        for connection in self._accepted:
            connection.drop()


@contextmanager
def fake_broker() -> Iterator[FakeBroker]:
    broker = FakeBroker()
    try:
        yield broker
    finally:
        broker.close()


def acknowledges(connection: FakeConnection, packet_id: int, seconds: float = 20) -> None:
    until(lambda: packet_id in connection.acknowledged, f"PUBACK of {packet_id}", seconds)


def stays_silent(connection: FakeConnection, packet_id: int, seconds: float = 0.7) -> None:
    """For this long, no PUBACK of this packet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert packet_id not in connection.acknowledged, f"PUBACK of {packet_id}"
        time.sleep(0.02)


def _length(size: int) -> bytes:
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(encoded)
