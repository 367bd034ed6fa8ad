"""Devices that have a connection each, on a real broker: all at once, in order, through storms of reconnecting."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from simulators.faults.struck import During, Struck
from simulators.publisher import Login, Publisher
from simulators.scenario.faults import ReconnectStorm
from simulators.wire import Acknowledged, Broker, WireError, frame
from simulators.world.disturbed import reconnect_storms

ROUNDS = 5


class Listener:
    """What came, device by device."""

    def __init__(self, url: str) -> None:
        self.came: dict[str, list[int]] = defaultdict(list)
        self._subscribed = threading.Event()
        broker = Broker.all_from_url(url)[0]
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "listener", clean_session=True)
        self.client.on_connect = self._subscribe
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = self._take
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        assert self._subscribed.wait(10)

    def _subscribe(self, *_: object) -> None:
        self.client.subscribe("own/+", 1)

    def _take(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        self.came[message.topic.removeprefix("own/")].append(int(message.payload))

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def listener(broker: str) -> Iterator[Listener]:
    with closing(Listener(broker)) as made:
        yield made


def until_quiet(publisher: Publisher, patience_s: float = 30) -> list[Acknowledged]:
    done: list[Acknowledged] = []
    deadline = time.monotonic() + patience_s
    while publisher.waiting + publisher.in_flight or publisher.connected < publisher.lanes:
        assert time.monotonic() < deadline, f"{publisher.connected} of {publisher.lanes} are connected"
        done += publisher.turn(0.05)
    return done


def offer(publisher: Publisher, devices: list[str], number: int) -> None:
    for device in devices:
        publisher.offer(publisher.lane_of(device), frame(f"own/{device}".encode(), b"%d" % number, (device, number)))


def devices_have_a_connection_each(broker: str, listener: Listener, count: int) -> None:
    devices = [f"D-{number:05d}" for number in range(count)]
    with closing(Publisher(broker, connections=0, own=devices)) as publisher:
        publisher.open()
        assert publisher.connected == publisher.lanes == count
        assert len({publisher.lane_of(device) for device in devices}) == count
        for number in range(ROUNDS):
            offer(publisher, devices, number)
        assert len(until_quiet(publisher)) == ROUNDS * count

        storm = Struck(connections=(During(ReconnectStorm(fault="reconnect_storm", share=1.0, within_s=30), 0, 1),))
        (happening,) = reconnect_storms(storm, publisher, speed=30, seed=1)
        offer(publisher, devices, ROUNDS)
        publisher.turn(0)  # some are in flight when it comes
        began = time.monotonic()
        happening.act()
        assert publisher.connected < count / 10
        offer(publisher, devices, ROUNDS + 1)
        until_quiet(publisher)
        assert 0.8 < time.monotonic() - began < 15
        assert publisher.reconnects == count
        resent = set(publisher.take_resent())
        assert resent <= {(device, ROUNDS) for device in devices}
    deadline = time.monotonic() + 10
    while sum(map(len, listener.came.values())) < count * (ROUNDS + 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert listener.came.keys() == set(devices)
    for device, numbers in listener.came.items():
        once = list(dict.fromkeys(numbers))
        assert once == list(range(ROUNDS + 2)), f"{device}: {numbers}"
        assert len(numbers) - len(once) <= ((device, ROUNDS) in resent)


def test_devices_with_a_connection_each_report_in_order_through_a_reconnect_storm(
    broker: str, listener: Listener
) -> None:
    devices_have_a_connection_each(broker, listener, 200)


@pytest.mark.long
def test_two_thousand_devices_with_a_connection_each(broker: str, listener: Listener) -> None:
    devices_have_a_connection_each(broker, listener, 2000)


def test_a_part_of_the_connections_drops_where_a_storm_strikes_a_share(broker: str) -> None:
    devices = [f"D-{number:05d}" for number in range(40)]
    with closing(Publisher(broker, connections=0, own=devices)) as publisher:
        publisher.open()
        fault = ReconnectStorm(fault="reconnect_storm", share=0.25, within_s=60)
        storm = Struck(connections=(During(fault, 0, 1),))
        (happening,) = reconnect_storms(storm, publisher, speed=1, seed=1)
        happening.act()
        assert publisher.connected == 30


def test_each_device_logs_in_with_its_own_secret() -> None:
    logins = {"D-1": Login("410502/cover/D-1", "ufd_1")}
    with closing(Publisher("mqtt://all:secret@127.0.0.1:1", connections=0, own=["D-1", "D-2"], logins=logins)) as made:
        said = {lane.connection.client_id: lane.connection.broker for lane in made._lanes}
    assert (said["D-1"].username, said["D-1"].password) == ("410502/cover/D-1", "ufd_1")
    assert (said["D-2"].username, said["D-2"].password) == ("all", "secret")


def test_more_connections_than_this_process_may_have_are_refused(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.publisher.resource.getrlimit", lambda _: (256, 1024))
    devices = [f"D-{number}" for number in range(1000)]
    said = pytest.raises(WireError, match=r"1000 connections need 1064 open files; this process may have 1024")
    with closing(Publisher(broker, connections=0, own=devices)) as publisher, said:
        publisher.open()
