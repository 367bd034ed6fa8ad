"""Thousands of devices that come back at once: each connects, publishes what it has kept, and goes.

Bare sockets, one thread: a client library with a thread a device would be what the test measures. A connection that is
refused or lost is tried again, as a device does, with what was not acknowledged yet.
"""

from __future__ import annotations

import errno
import resource
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.system.fleet import Message

_CONNACK, _PUBACK = 2, 4
_SOURCES = [f"127.0.0.{number}" for number in range(2, 12)]
"""Of loopback's own: one address has too few ports for so many connections in a row."""


@dataclass(eq=False)
class _Device:
    client_id: str
    backlog: list[Message]
    acknowledged: set[int] = field(default_factory=set)
    socket: socket.socket | None = None
    unsent: bytes = b""
    unread: bytes = b""
    began: float = 0.0
    attempts: int = 0

    @property
    def done(self) -> bool:
        return len(self.acknowledged) == len(self.backlog)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _packet(first: int, body: bytes) -> bytes:
    length, size = bytearray(), len(body)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes([first]) + bytes(length) + body


def at_once_allowed() -> int:
    """How many connections this process, and a broker with the same limit, may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(min(soft - 200, 4000) // 2, 50)


class Storm:
    """`at_once` devices are connected at any time, until all are through."""

    def __init__(self, port: int, devices: Iterable[tuple[str, list[Message]]], at_once: int) -> None:
        self._port = port
        self._waiting = deque(_Device(client_id, backlog) for client_id, backlog in devices)
        self._at_once = at_once
        self._selector = selectors.DefaultSelector()
        self._open: set[_Device] = set()
        self.connected = 0
        self.tried_again = 0
        self.most_at_once = 0

    def rage(self, seconds: float) -> None:
        """Until every device has been acknowledged all that it had."""
        deadline = time.monotonic() + seconds
        while self._waiting or self._open:
            assert time.monotonic() < deadline, f"{len(self._waiting) + len(self._open)} devices not yet through"
            while self._waiting and len(self._open) < self._at_once:
                self._begin(self._waiting.popleft())
            self.most_at_once = max(self.most_at_once, len(self._open))
            for key, events in self._selector.select(0.1):
                self._go_on(key.data, events)
            for device in [one for one in self._open if time.monotonic() - one.began > 20]:
                self._again(device)
        self._selector.close()

    def _begin(self, device: _Device) -> None:
        number = self.connected
        self.connected += 1
        device.began = time.monotonic()
        device.attempts += 1
        device.unread = b""
        device.socket = link = socket.socket()
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: a port is taken when it connects
        link.bind((_SOURCES[number % len(_SOURCES)], 0))
        device.unsent = _packet(0x10, _text("MQTT") + b"\x04\x02\x00\x3c" + _text(device.client_id))
        for packet_id, message in enumerate(device.backlog, 1):
            if packet_id not in device.acknowledged:
                head = 0x32 | (0x08 if device.attempts > 1 else 0)
                device.unsent += _packet(head, _text(message.topic) + struct.pack(">H", packet_id) + message.payload)
        self._open.add(device)
        self._selector.register(link, selectors.EVENT_READ | selectors.EVENT_WRITE, device)
        if link.connect_ex(("127.0.0.1", self._port)) not in (0, errno.EINPROGRESS):
            self._again(device)

    def _go_on(self, device: _Device, events: int) -> None:
        link = device.socket
        if link is None:
            return
        try:
            if events & selectors.EVENT_WRITE:
                device.unsent = device.unsent[link.send(device.unsent) :]
                if not device.unsent:
                    self._selector.modify(link, selectors.EVENT_READ, device)
            if events & selectors.EVENT_READ:
                data = link.recv(65_536)
                if not data:
                    raise ConnectionResetError
                self._hear(device, device.unread + data)
        except BlockingIOError:
            return
        except OSError:
            self._again(device)
            return
        if device.done:
            link.send(b"\xe0\x00")
            self._end(device)

    def _hear(self, device: _Device, data: bytes) -> None:
        while len(data) >= 4:
            kind, length = data[0] >> 4, data[1]
            assert (kind, length) in ((_CONNACK, 2), (_PUBACK, 2)), f"{device.client_id} hears {data[:8]!r}"
            if kind == _PUBACK:
                device.acknowledged.add(data[2] << 8 | data[3])
            elif data[3]:
                raise ConnectionRefusedError
            data = data[4:]
        device.unread = data

    def _again(self, device: _Device) -> None:
        self.tried_again += 1
        self._end(device)
        self._waiting.append(device)

    def _end(self, device: _Device) -> None:
        self._open.discard(device)
        if device.socket is not None:
            self._selector.unregister(device.socket)
            device.socket.close()
            device.socket = None
