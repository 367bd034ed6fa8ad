"""MQTT 3.1.1 clients for tests of a broker's doors: what they are answered, what they receive, when it ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

_PATIENCE_S = 10.0


class Client:
    """One connection. It never connects again by itself: being cut off must show."""

    def __init__(
        self,
        port: int,
        user_name: str | None = None,
        secret: str | None = None,
        *,
        client_id: str = "",
        clean: bool = True,
        ca: Path | None = None,
        certificate: Path | None = None,
    ) -> None:
        self.received: list[str] = []
        self.bodies: list[bytes] = []
        self.code: int | None = None
        self.present = False
        self.cut = threading.Event()
        self._closed = False
        self._granted: list[int] = []
        self._changed = threading.Condition()
        self._acknowledged: set[int] = set()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=clean,
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.username_pw_set(user_name, secret)
        if ca is not None:
            self._client.tls_set(
                str(ca),
                str(certificate) if certificate is not None else None,
                str(certificate.with_suffix(".key")) if certificate is not None else None,
            )
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_publish = self._published
        self._client.on_message = self._arrived
        self._client.on_disconnect = lambda *_: self.cut.set()
        self._client.connect("localhost" if ca is not None else "127.0.0.1", port)
        self._client.loop_start()
        self._wait(lambda: self.code is not None or self.cut.is_set())

    @property
    def accepted(self) -> bool:
        return self.code == 0

    def subscribe(self, *filters: str) -> list[int]:
        """What each filter is answered: a QoS, or 128."""
        self._granted = []
        self._client.subscribe([(each, 1) for each in filters])
        self._wait(lambda: bool(self._granted))
        return self._granted

    def publish(self, topic: str, body: bytes = b"x") -> None:
        """Publish at QoS 1, and wait for the PUBACK: it says nothing about whether anybody was given it."""
        sent = self._client.publish(topic, body, qos=1)
        self._wait(lambda: sent.mid in self._acknowledged)

    def waits_for(self, *topics: str) -> None:
        """Return when exactly these were received, and a moment later no others were."""
        wanted = sorted(topics)
        with contextlib.suppress(AssertionError):
            self._wait(lambda: sorted(self.received) == wanted)
        time.sleep(0.1)
        assert sorted(self.received) == wanted

    def is_cut_within(self, seconds: float) -> bool:
        return self.cut.wait(seconds)

    def close(self) -> None:
        """Again is the same as once."""
        if self._closed:
            return
        self._closed = True
        self._client.disconnect()
        self._client.loop_stop()
        del self._client  # it closes its sockets only when nobody has it any more

    def _connected(self, _c: object, _d: object, flags: mqtt.ConnectFlags, code: object, _p: object) -> None:
        with self._changed:
            self.code = code.value  # type: ignore[attr-defined]
            self.present = flags.session_present
            self._changed.notify_all()

    def _subscribed(self, _c: object, _d: object, _mid: int, codes: Any, _p: object) -> None:
        with self._changed:
            self._granted = [code.value for code in codes]
            self._changed.notify_all()

    def _published(self, _c: object, _d: object, mid: int, _code: object, _p: object) -> None:
        with self._changed:
            self._acknowledged.add(mid)
            self._changed.notify_all()

    def _arrived(self, _c: object, _d: object, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.received.append(message.topic)
            self.bodies.append(bytes(message.payload))
            self._changed.notify_all()

    def _wait(self, done: Callable[[], bool]) -> None:
        with self._changed:
            deadline = time.monotonic() + _PATIENCE_S
            while not done():
                assert not (self.cut.is_set() and self.code is not None), "the broker ended the connection"
                assert time.monotonic() < deadline, "the broker does not answer"
                self._changed.wait(0.05)


@contextlib.contextmanager
def clients() -> Iterator[Callable[..., Client]]:
    """A maker of clients that are closed at the end."""
    made: list[Client] = []

    def make(*arguments: object, **more: object) -> Client:
        client = Client(*arguments, **more)  # type: ignore[arg-type]
        made.append(client)
        return client

    try:
        yield make
    finally:
        for client in made:
            client.close()
