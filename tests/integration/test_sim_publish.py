"""Fleet and load on a real broker: what they count as sent is what a subscriber gets, whatever the broker does."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import orjson
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from deploy import stack
from deploy.ports import any_free
from deploy.stack import Ports
from simulators.city import City
from simulators.fleet import Fleet
from simulators.load import Load, run_load
from simulators.message import clock_from
from simulators.misbehaviour import CLOCKS, Misbehaviour
from simulators.plan import Plan
from simulators.play import Played, play
from simulators.publisher import Publisher
from simulators.roster import roster_of
from simulators.wire import Broker
from underfoot.settings import load as load_settings

ROSTER = roster_of(City(devices=120, pace=300).rows())
EVERYTHING = (
    "duplicate=0.1",
    "poison=0.1",
    "no_ts=0.02",
    "backlog=0.05",
    "shuffle=10",
    *(f"{name}=0.02" for name in CLOCKS),
)


class Subscriber:
    """Counts what comes, on a session that survives the broker."""

    def __init__(self, url: str) -> None:
        broker = Broker.all_from_url(url)[0]
        self.got: Counter[tuple[str, bytes]] = Counter()
        self.subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "counter", clean_session=False, protocol=mqtt.MQTTv311)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._subscribe
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._count
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        assert self.subscribed.wait(10)

    def _subscribe(self, *_: object) -> None:
        self.client.subscribe("underfoot/v1/#", 1)

    def _count(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        self.got[message.topic, bytes(message.payload)] += 1

    def wait_for(self, distinct: int) -> Counter[tuple[str, bytes]]:
        """Everything that came, once `distinct` messages have and nothing has been coming for a while."""
        deadline = time.monotonic() + 30
        while len(self.got) < distinct and time.monotonic() < deadline:
            time.sleep(0.05)
        total = -1
        while total != (total := self.got.total()):
            time.sleep(0.3)
        return self.got

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def subscriber(url: str) -> Iterator[Subscriber]:
    with closing(Subscriber(url)) as counting:
        yield counting


@pytest.fixture
def broker_home() -> Iterator[tuple[Path, str]]:
    """A broker alone, which the test may stop, kill and start."""
    with tempfile.TemporaryDirectory(prefix="underfoot-test-") as folder:
        home = Path(folder) / "home"
        try:
            ports = Ports(mqtt=any_free())
            started = stack.up(home, ports, servers=("mosquitto",), ready_rootfs=load_settings().rootfs)
            yield home, started["mqtt_url"]
        finally:
            stack.down(home)


def play_fleet(url: str, seconds: float, rate: float, *misbehave: str, stop: threading.Event | None = None) -> Played:
    with closing(Publisher(url, connections=3, window=500)) as publisher:
        publisher.open()
        clock = clock_from(int(time.time() * 1000))
        fleet = Fleet(ROSTER, Plan(seconds), seed=8, clock=clock, rate=rate)
        return play(Misbehaviour.parse(misbehave).apply(fleet.messages(), 8), publisher, stop=stop)


def test_the_account_is_what_a_subscriber_gets(broker: str) -> None:
    with subscriber(broker) as counting:
        played = play_fleet(broker, 4, 250, *EVERYTHING)
        account = played.account
        got = counting.wait_for(account.messages - account.repeats)
    assert played.finished
    assert (played.unacknowledged_messages, played.unsent_messages, played.reconnects) == (0, 0, 0)
    assert got.total() == account.messages
    twice = [key for key, times in got.items() if times > 1]
    assert len(twice) > 30
    assert account.repeats >= len(twice)  # an array that comes twice is three reports
    assert account.sent == account.to_store + account.to_quarantine == sum(account.by_kind.values())
    assert account.sent == sum(account.by_device.values())
    assert len(account.puback_s) == account.messages
    assert account.untimed_repeats == 0
    assert 4 <= played.seconds < 8  # a repeat may come up to 2 s after its original


def test_each_devices_messages_come_in_order(broker: str) -> None:
    order: list[tuple[str, int]] = []
    with subscriber(broker) as counting:
        counting.client.on_message = lambda client, userdata, message: order.append(
            (message.topic, orjson.loads(message.payload).get("seq"))
        )
        sent = play_fleet(broker, 3, 300).account.sent
        deadline = time.monotonic() + 10
        while len(order) < sent and time.monotonic() < deadline:
            time.sleep(0.05)
    assert len(order) == sent
    newest: dict[str, int] = {}
    for topic, seq in order:
        if seq is not None:
            assert seq == newest.get(topic, seq - 1) + 1
            newest[topic] = seq


def test_a_broker_that_restarts_loses_nothing_that_it_acknowledged(broker_home: tuple[Path, str]) -> None:
    home, url = broker_home
    with subscriber(url) as counting:
        done: list[Played] = []
        thread = threading.Thread(target=lambda: done.append(play_fleet(url, 8, 300, "duplicate=0.05")))
        thread.start()
        for _ in range(2):
            time.sleep(1.5)
            stack.stop(home, "mosquitto")
            time.sleep(0.5)
            stack.start(home, "mosquitto", ready_rootfs=load_settings().rootfs)
        thread.join()
        played = done[0]
        got = counting.wait_for(played.account.sent)
    assert played.finished
    assert played.unacknowledged_messages == 0
    assert played.reconnects >= 2 * 3
    assert len(got) == played.account.sent
    assert played.account.messages == played.account.sent + played.account.repeats
    # Beyond what was repeated on purpose, only what was sent again can have come again (here, or to the subscriber).
    assert got.total() >= played.account.messages


def test_a_broker_that_is_killed_gets_what_it_had_not_acknowledged_again(broker_home: tuple[Path, str]) -> None:
    home, url = broker_home
    with closing(Publisher(url, connections=2, window=200)) as publisher:
        publisher.open()
        killer = threading.Timer(0.3, lambda: stack.stop(home, "mosquitto", kill=True))
        starter = threading.Timer(1.5, lambda: stack.start(home, "mosquitto", ready_rootfs=load_settings().rootfs))
        killer.start()
        starter.start()
        result = run_load(Load(reports=4_000, rate=2_000), ROSTER, publisher)
        killer.join()
        starter.join()
    assert result.sent == 4_000
    assert result.unacknowledged == 0
    assert result.reconnects >= 2


def test_a_fleet_can_be_stopped_and_accounts_for_what_it_sent(broker: str) -> None:
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    with subscriber(broker) as counting:
        began = time.monotonic()
        played = play_fleet(broker, 60, 200, stop=stop)
        assert time.monotonic() - began < 10
        got = counting.wait_for(played.account.sent)
    assert not played.finished
    assert played.unacknowledged_messages == 0
    assert got.total() == played.account.sent > 50


def test_load_at_full_speed_is_counted_exactly(broker: str) -> None:
    with subscriber(broker) as counting, closing(Publisher(broker, connections=4)) as publisher:
        publisher.open()
        seen: list[int] = []
        result = run_load(Load(reports=10_000), ROSTER, publisher, on_progress=seen.append)
        got = counting.wait_for(10_000)
    assert result.sent == len(got) == got.total() == seen[-1] == 10_000
    assert (result.unacknowledged, result.resent, result.reconnects) == (0, 0, 0)
    times = [orjson.loads(payload)["ts"] for _, payload in got]
    assert (min(times), max(times)) == (result.first_ts_ms, result.last_ts_ms)
    assert max(times) <= time.time() * 1000


def test_load_keeps_its_rate_and_says_when_each_report_was_due(broker: str) -> None:
    with subscriber(broker) as counting, closing(Publisher(broker, connections=4)) as publisher:
        publisher.open()
        result = run_load(Load(reports=1_500, rate=500), ROSTER, publisher)
        got = counting.wait_for(1_500)
    assert got.total() == result.sent == 1_500
    assert result.seconds == pytest.approx(3, abs=0.5)
    times = sorted(orjson.loads(payload)["ts"] for _, payload in got)
    assert times == [result.first_ts_ms + number * 2 for number in range(1_500)]


def test_load_says_what_a_report_costs(broker: str) -> None:
    with closing(Publisher(broker, connections=8)) as publisher:
        publisher.open()
        result = run_load(Load(reports=60_000), ROSTER, publisher)
    assert result.sent == 60_000
    spent_s = result.cpu_us_per_report * result.sent / 1e6
    assert 0 < spent_s <= result.seconds * (os.cpu_count() or 1)
