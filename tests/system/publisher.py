"""Publishes over MQTT at QoS 1, and knows of every message whether the broker has acknowledged it."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.system.city import City, until
from tests.system.fleet import Message


class Publisher:
    """One connection. A lost one is made again, to a cluster's next node, and what it had not acknowledged is sent
    again. The order is that of `send`, whatever happens: nothing new goes out before all of that is acknowledged."""

    _WINDOW = 400

    def __init__(self, *ports: int) -> None:
        self._ports = itertools.cycle(ports)
        self._waiting: deque[Message] = deque()
        self._sent = self._published = self._pubacks = 0
        self._lost = False
        self._wake = threading.Event()
        self._closed = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"fleet-{time.time_ns()}")
        self._client.max_inflight_messages_set(2 * self._WINDOW)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._acknowledged
        self._client.on_disconnect = self._client.on_connect_fail = self._take_another_node
        self._client.connect("127.0.0.1", next(self._ports), keepalive=10)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, name="publisher")
        self._thread.start()

    def _take_another_node(self, *_: Any) -> None:
        self._lost = True
        self._client.connect_async("127.0.0.1", next(self._ports), keepalive=10)

    def _acknowledged(self, *_: Any) -> None:
        # paho holds its lock of what is in flight: to publish from here would wait for ever.
        self._pubacks += 1
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(0.05)
            self._wake.clear()
            if self._lost and self._pubacks == self._published and self._client.is_connected():
                self._lost = False
            while self._waiting and not self._lost and self._published - self._pubacks < self._WINDOW:
                message = self._waiting.popleft()
                self._published += 1
                self._client.publish(message.topic, message.payload, qos=1)

    def send(self, message: Message) -> None:
        self._waiting.append(message)
        self._sent += 1
        self._wake.set()

    def acknowledged(self, seconds: float = 60) -> None:
        """Wait until the broker has acknowledged everything sent by now."""
        sent = self._sent
        until(lambda: self._pubacks >= sent, "PUBACK for everything sent", seconds)

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def publishing(city: City) -> Iterator[Publisher]:
    publisher = Publisher(*city.broker_ports)
    try:
        yield publisher
    finally:
        publisher.close()


def send(city: City, *messages: Message) -> None:
    """Publish these, in this order; when this returns the broker has them."""
    with publishing(city) as publisher:
        for message in messages:
            publisher.send(message)
        publisher.acknowledged()


def probes_of(city: City) -> list[Message]:
    """What the shard's holder sends itself just now, by each of its filters."""
    seen: dict[str, bytes] = {}
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"listener-{time.time_ns()}")

    def on_connect(*_: object) -> None:
        rests = ("~probe/~probe/report", "~probe/~probe/cbor", "gateway/~probe/batch")
        client.subscribe([(f"underfoot/v1/+/{rest}", 1) for rest in rests])

    client.on_connect = on_connect
    client.on_message = lambda _client, _data, message: seen.update({message.topic: bytes(message.payload)})
    client.connect("127.0.0.1", city.broker_port)
    client.loop_start()
    try:
        until(lambda: len(seen) == 3, "probe by each filter")
    finally:
        client.disconnect()
        client.loop_stop()
    return [Message(where, payload) for where, payload in seen.items()]


class Load:
    """Sends what `next_message` makes, `per_second`, from a thread of its own, until it is told to stop."""

    def __init__(self, publisher: Publisher, next_message: Callable[[], Message], per_second: float) -> None:
        self._publisher = publisher
        self._next = next_message
        self._per_second = per_second
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")
        self.sent = 0

    def start(self) -> None:
        self._thread.start()

    def acknowledged(self) -> None:
        """Wait until the broker has all that was sent by now; more goes out meanwhile."""
        self._publisher.acknowledged()

    def halt(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            while not self._stop.wait(0.01):
                due = int((time.monotonic() - began) * self._per_second)
                while self.sent < due and not self._stop.is_set():
                    self._publisher.send(self._next())
                    self.sent += 1
        except BaseException as error:
            self._failure = error
            raise

    def end(self) -> None:
        """No more; returns when the broker has acknowledged all."""
        self.halt()
        assert self._failure is None, self._failure
        self._publisher.acknowledged()


@contextmanager
def load(city: City, next_message: Callable[[], Message], per_second: float) -> Iterator[Load]:
    """Under way inside the block; at its end everything sent is acknowledged by the broker."""
    with publishing(city) as publisher:
        running = Load(publisher, next_message, per_second)
        running.start()
        try:
            yield running
            running.end()
        finally:
            running.halt()
