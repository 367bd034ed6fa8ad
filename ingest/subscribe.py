"""Subscribe: a shard's persistent MQTT session, read ahead, acknowledged by hand and only on its own connection.

paho keeps the protocol; its socket is wrapped so that one `recv` fetches many packets and the PUBACKs of a batch leave
in one write, and the messages among them never pass through it (`packets`). The loop always reads (a client that stops
reading misses its keepalive); what is unacknowledged, and so memory, is bounded by the broker's in-flight window.
"""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from ingest.arrival import Arrival
from ingest.packets import ReadAhead, publishes, whole_packet
from ingest.tenure import TenureLostError
from underfoot.brokers import Brokers
from underfoot.clock import CLOCK

log = logging.getLogger(__name__)

_READ_AHEAD = 256 * 1024
_PUBLISH = 3
_PUBACK = np.dtype([("type", "u1"), ("length", "u1"), ("packet_id", ">u2")])


class _BufferedSocket:
    """A socket between us and paho: it reads what we hand to it, and what it writes is gathered."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._for_paho = b""
        self._ended = False
        self._out = bytearray()

    def read(self) -> bytes | None:
        """What has come, up to 256 KiB; None when nothing has. At the connection's end b"", and so for paho."""
        try:
            data = self._inner.recv(_READ_AHEAD)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError as error:
            log.warning("broker: %s", error)
            data = b""
        self._ended = not data
        return data

    def hand_over(self, packet: bytes) -> None:
        self._for_paho += packet

    def recv(self, size: int) -> bytes:
        """For paho: of the packets handed over."""
        if not self._for_paho and not self._ended:
            raise BlockingIOError
        piece, self._for_paho = self._for_paho[:size], self._for_paho[size:]
        return piece

    def pending(self) -> int:
        """What a TLS socket has decrypted already, and select does not see."""
        return self._inner.pending() if isinstance(self._inner, ssl.SSLSocket) else 0

    def send(self, data: bytes | bytearray) -> int:
        self._out += data
        return len(data)

    def flush(self) -> bool:
        """Write what has been gathered; False when some of it must wait for the socket."""
        while self._out:
            try:
                sent = self._inner.send(self._out)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
            del self._out[:sent]
        return True

    def fileno(self) -> int:
        return self._inner.fileno()

    def setblocking(self, flag: bool) -> None:
        self._inner.setblocking(flag)

    def settimeout(self, value: float | None) -> None:
        self._inner.settimeout(value)

    def close(self) -> None:
        try:
            self.flush()
        except OSError:
            log.debug("what was still to be written on a closing connection is lost: it will be redelivered")
        self._inner.close()


class _Client(mqtt.Client):
    """paho with the buffered socket."""

    buffered: _BufferedSocket

    def _create_socket(self) -> Any:
        inner: Any = super()._create_socket()
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffered = _BufferedSocket(inner)
        return self.buffered


class Session:
    """One persistent session, in a thread of its own, which also reads payloads ahead (`read_ahead`) while the writer
    waits for the database. `watch` is another file to look at meanwhile (the lock's).

    `surplus` is unsubscribed once `filters` are subscribed; then `on_session` hears whether the broker had the session.
    Before each connect and at least each second `may_serve` is asked: another may hold the shard by now, and two
    clients under one id would throw each other out for ever.
    """

    def __init__(
        self,
        mqtt_url: str,
        client_id: str,
        filters: Iterable[str],
        *,
        keepalive_s: int,
        in_flight: int,
        on_session: Callable[[bool], None],
        read_ahead: ReadAhead = lambda _payload: (None, b""),
        watch: tuple[int, Callable[[], None]] | None = None,
        ca_file: Path | None = None,
        surplus: Iterable[str] = (),
        may_serve: Callable[[], bool] = lambda: True,
    ) -> None:
        self._brokers = Brokers.from_url(mqtt_url)
        # Shards begin at different nodes of a cluster; each takes the next one whenever it has lost its own.
        self._turn = zlib.crc32(client_id.encode())
        self._filters = list(filters)
        self._surplus = list(surplus)
        self._may_serve = may_serve
        self._keepalive_s = keepalive_s
        self._in_flight = in_flight
        self._on_session = on_session
        self._read_ahead = read_ahead
        self._watch = watch
        self._client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        if self._brokers.username:
            self._client.username_pw_set(self._brokers.username, self._brokers.password or "")
        if self._brokers.tls:
            self._client.tls_set(ca_certs=str(ca_file) if ca_file is not None else None)
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_unsubscribe = lambda *_details: self._settled()
        self._client.on_disconnect = self._disconnected
        self._ready = threading.Condition()
        self._arrivals: list[Arrival] = []
        self._acknowledge: list[tuple[int, int]] = []
        self._publish: list[tuple[str, bytes]] = []
        self._poked = False
        self._generation = 0
        self._unfinished = b""
        self._received_us = 0
        self._online = False
        self._present = False
        self._stop = False
        self._failure: BaseException | None = None
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{client_id}", daemon=True)

    # for the writer -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    @property
    def online(self) -> bool:
        return self._online

    @property
    def waiting(self) -> int:
        """How many messages are there to be taken."""
        return len(self._arrivals)

    def take(self, most: int, linger_s: float, wait_s: float) -> list[Arrival]:
        """The next messages: waits up to `wait_s` for a first one, then `linger_s` for company. Empty after `poke`."""
        with self._ready:
            if not self._arrivals and not self._poked:
                self._ready.wait(wait_s)
            until = time.monotonic() + linger_s
            while self._arrivals and len(self._arrivals) < most and not self._stop:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._ready.wait(left)
            self._poked = False
            if isinstance(self._failure, TenureLostError):
                raise self._failure
            if self._failure is not None:
                raise ConnectionError(f"the MQTT loop ended: {self._failure!r}") from self._failure
            taken, self._arrivals = self._arrivals[:most], self._arrivals[most:]
            return taken

    def acknowledge(self, arrivals: Iterable[Arrival]) -> None:
        """PUBACK what is committed. What came on an older connection is left alone: its packet id may be another's."""
        with self._ready:
            self._acknowledge += [(arrival.generation, arrival.packet_id) for arrival in arrivals if arrival.qos]
        self._wake()

    def publish(self, topic: str, payload: bytes) -> None:
        """Send at QoS 1 when next connected; not kept over a reconnect."""
        with self._ready:
            self._publish.append((topic, payload))
        self._wake()

    def poke(self) -> None:
        """Make `take` return now."""
        with self._ready:
            self._poked = True
            self._ready.notify()

    def abandon(self) -> None:
        """Disconnect at once: the shard may be somebody else's by now. Called from the loop's own thread."""
        self._stop = True
        self.poke()

    def close(self) -> None:
        """Disconnect and end the thread. The session itself stays at the broker."""
        self._stop = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join(10)
        self._wake_read.close()
        self._wake_write.close()

    def _wake(self) -> None:
        try:
            self._wake_write.send(b"\0")
        except (BlockingIOError, OSError):
            return

    # the loop's own thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            pause = 0.1
            while self._serving():
                host, port = self._brokers.hosts[self._turn % len(self._brokers.hosts)]
                try:
                    self._client.connect(host, port, self._keepalive_s)
                    pause = 0.1
                    self._serve()
                except (OSError, ssl.SSLError) as error:
                    log.warning("broker %s:%d: %s", host, port, error)
                self._online = False
                self._turn += 1
                if not self._stop:
                    self._idle(pause)
                    pause = min(pause * 2, 5)
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self.poke()

    def _serving(self) -> bool:
        """Whether we go on. Once we may not, nothing more is acknowledged."""
        if not self._stop and not self._may_serve():
            self._failure = TenureLostError("this process has not reached the database for too long")
            self._stop = True
        return not self._stop

    def _idle(self, seconds: float) -> None:
        """Wait between two attempts, still looking at what we watch."""
        until = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            self._register_others(selector)
            while (left := until - time.monotonic()) > 0 and not self._stop:
                self._look_at_others(selector.select(min(left, 1.0)))
                self._serving()

    def _register_others(self, selector: selectors.BaseSelector) -> None:
        selector.register(self._wake_read, selectors.EVENT_READ, "wake")
        if self._watch is not None:
            selector.register(self._watch[0], selectors.EVENT_READ, "watch")

    def _look_at_others(self, events: Iterable[tuple[selectors.SelectorKey, int]]) -> None:
        for key, _ in events:
            if key.data == "wake":
                self._drain_wake()
            elif key.data == "watch" and self._watch is not None:
                self._watch[1]()

    def _drain_wake(self) -> None:
        try:
            while self._wake_read.recv(4096):
                pass
        except BlockingIOError:
            return

    def _serve(self) -> None:
        buffered = self._client.buffered
        self._unfinished = b""
        with selectors.DefaultSelector() as selector:
            selector.register(buffered, selectors.EVENT_READ, "socket")
            self._register_others(selector)
            misc_at = heard_at = time.monotonic()
            while self._client.socket() is not None:
                serving = self._serving()
                self._send_gathered()
                if not serving:
                    self._client.disconnect()
                self._client.loop_write()
                wants = selectors.EVENT_READ if buffered.flush() else selectors.EVENT_READ | selectors.EVENT_WRITE
                if self._client.socket() is None:
                    return
                selector.modify(buffered, wants, "socket")
                events = selector.select(1.0)
                self._look_at_others(events)
                now = time.monotonic()
                if any(key.data == "socket" and mask & selectors.EVENT_READ for key, mask in events):
                    heard_at = now
                    self._read(buffered)
                if now - heard_at > 1.5 * self._keepalive_s:
                    # paho asks after one keepalive of silence, and would give the answer another one.
                    raise ConnectionError(f"nothing heard for {now - heard_at:.0f} s")
                if now - misc_at > 1:
                    misc_at = now
                    self._client.loop_misc()

    def _read(self, buffered: _BufferedSocket) -> None:
        data = buffered.read()
        while data is not None:
            self._take_in(buffered, data)
            if not data or self._client.socket() is None or not buffered.pending():
                return
            data = buffered.read()

    def _take_in(self, buffered: _BufferedSocket, data: bytes) -> None:
        """Messages to us, everything else to paho, in the order in which they came."""
        data = self._unfinished + data if self._unfinished else data
        if not data:
            self._client.loop_read()
            return
        at = 0
        received_us = max(CLOCK.now_us(), self._received_us + 1)
        while True:
            arrivals, at = publishes(data, at, received_us, self._generation, self._read_ahead)
            if arrivals:
                received_us = arrivals[-1].received_us + 1
                with self._ready:
                    self._arrivals += arrivals
                    self._ready.notify()
            end = whole_packet(data, at)
            if not end or data[at] >> 4 == _PUBLISH:
                break
            buffered.hand_over(data[at:end])
            at = end
            if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client.socket() is None:
                break
        self._received_us = received_us - 1
        self._unfinished = data[at:]

    def _send_gathered(self) -> None:
        with self._ready:
            acknowledge, self._acknowledge = self._acknowledge, []
            publish, self._publish = self._publish, []
        if not self._online or self._failure is not None:
            return
        packet_ids = [packet_id for generation, packet_id in acknowledge if generation == self._generation]
        if packet_ids:
            pubacks = np.full(len(packet_ids), np.array((0x40, 2, 0), _PUBACK))
            pubacks["packet_id"] = packet_ids
            self._client.buffered.send(pubacks.tobytes())
        for topic, payload in publish:
            self._client.publish(topic, payload, qos=1)

    def _connected(
        self, client: mqtt.Client, _data: Any, flags: mqtt.ConnectFlags, code: ReasonCode, _properties: Any
    ) -> None:
        if code.is_failure:
            log.warning("broker refused the session: %s", code)
            return
        self._generation += 1
        self._online = True
        self._present = bool(flags.session_present)
        if self._present:
            self._forget_waiting()
        client.subscribe([(topic, 1) for topic in self._filters])
        if self._surplus:
            client.unsubscribe(self._surplus)

    def _subscribed(
        self, _client: mqtt.Client, _data: Any, _packet_id: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        refused = [topic for topic, code in zip(self._filters, codes, strict=False) if code.is_failure]
        if refused:
            raise PermissionError(f"the broker refuses our subscription to {', '.join(refused)}")
        if not self._surplus:
            self._settled()

    def _settled(self) -> None:
        """The broker has done what we asked it for: from now on the session is as it should be."""
        self._on_session(self._present)

    def _forget_waiting(self) -> None:
        """What waits from older connections comes again. A broker may have lost some of it, so it is kept while there
        is room; reconnecting again and again while the database hangs must not fill the memory."""
        with self._ready:
            if len(self._arrivals) > self._in_flight:
                self._arrivals = []

    def _disconnected(self, *_details: Any) -> None:
        self._online = False
        if not self._stop:
            log.warning("broker: connection lost")
