"""A broker's URL with several hosts: whoever does not answer is passed over, whoever is lost is left for the next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from api.readiness import ask_broker
from deploy import stack
from deploy.ports import any_free
from deploy.stack import Ports
from simulators.publisher import Publisher
from simulators.wire import WireError, frame
from underfoot.settings import load

TOPIC = b"underfoot/v1/410502/cover/C-1/report"


@contextmanager
def mosquitto() -> Iterator[tuple[Path, str]]:
    """One broker, by its home and its host:port."""
    with TemporaryDirectory(prefix="underfoot-test-") as folder:
        home = Path(folder) / "home"
        try:
            started = stack.up(home, Ports(mqtt=any_free()), servers=("mosquitto",), ready_rootfs=load().rootfs)
            yield home, started["mqtt_url"].removeprefix("mqtt://")
        finally:
            stack.down(home)


def acknowledged(publisher: Publisher, wanted: int, within_s: float = 20) -> set[int]:
    tags: set[int] = set()
    deadline = time.monotonic() + within_s
    while len(tags) < wanted:
        assert time.monotonic() < deadline, f"{len(tags)} of {wanted} acknowledged"
        tags |= {done.tag for done in publisher.turn(0.05)}
    return tags


def nobody() -> str:
    return f"127.0.0.1:{any_free()}"


def test_a_publisher_goes_from_node_to_node() -> None:
    with mosquitto() as (first_home, first), mosquitto() as (_, second):
        with closing(Publisher(f"mqtt://{nobody()},{first},{second}", connections=3)) as publisher:
            publisher.open()
            for number in range(300):
                publisher.offer(number % 3, frame(TOPIC, b"%d" % number, number))
            assert acknowledged(publisher, 300) == set(range(300))
            stack.stop(first_home, "mosquitto", kill=True)
            for number in range(300, 600):
                publisher.offer(number % 3, frame(TOPIC, b"%d" % number, number))
            assert acknowledged(publisher, 300) == set(range(300, 600))
            assert publisher.reconnects >= 1
        assert ask_broker(f"mqtt://{first},{second}") is None
        assert ask_broker(f"mqtt://{first}") == "does not answer"


def test_a_cluster_of_which_nobody_answers() -> None:
    publisher = Publisher(f"mqtt://{nobody()},{nobody()}", connections=1)
    with closing(publisher), pytest.raises(WireError, match="no MQTT broker answers"):
        publisher.open()
