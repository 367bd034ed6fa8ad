"""Publishes over MQTT at QoS 1, and knows of every message whether the broker has acknowledged it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt

from tests.system.city import City, until
from tests.system.fleet import Message


class Publisher:
    """One connection. A lost one is made again, and what it had not acknowledged is sent again."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"fleet-{time.time_ns()}")
        self._client.max_inflight_messages_set(500)
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._acknowledged
        self._sent = self._pubacks = 0
        self._client.connect("127.0.0.1", port, keepalive=10)
        self._client.loop_start()

    def _acknowledged(self, *_: Any) -> None:
        self._pubacks += 1

    def send(self, message: Message) -> None:
        self._client.publish(message.topic, message.payload, qos=1)
        self._sent += 1

    def acknowledged(self, seconds: float = 60) -> None:
        """Wait until the broker has acknowledged everything sent by now."""
        sent = self._sent
        until(lambda: self._pubacks >= sent, "PUBACK for everything sent", seconds)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def publishing(city: City) -> Iterator[Publisher]:
    publisher = Publisher(city.broker_port)
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
