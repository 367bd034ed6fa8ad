"""Between ingest and its servers a network that swallows: connections stand and nothing comes through.

No side is told of it. Ingest finds out by itself, and what was under way is neither lost nor counted twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.system import evidence
from tests.system.city import LONG, City, until
from tests.system.fleet import Fleet
from tests.system.platform import SINK, add_platform_sink
from tests.system.proxy import Proxy, Way, proxy_to
from tests.system.publisher import load
from tests.system.verdict import ALERTS_MB, INGEST_MB, Endures, all_is_well, silence_is_noticed

KEEPALIVE_S = 5


@pytest.fixture
def fleet(city: City) -> Fleet:
    add_platform_sink(city, SINK, "http://127.0.0.1:9/events")
    return Fleet(seed=11)


@pytest.fixture
def to_broker(city: City) -> Iterator[Proxy]:
    """Ingest reaches the broker through this one only; the fleet reaches it directly."""
    broker = f"mqtt://127.0.0.1:{city.broker_port}"
    with proxy_to(broker) as proxy:
        settings = {"UNDERFOOT_MQTT_URL": proxy.instead_of(broker), "UNDERFOOT_KEEPALIVE_S": str(KEEPALIVE_S)}
        city.installation.environment |= settings
        yield proxy
        city.installation.end_processes()


@pytest.fixture
def to_database(city: City) -> Iterator[Proxy]:
    """A way to the database; the test itself reaches it directly. Who is started after `over` goes by it."""
    with proxy_to(city.database_url) as proxy:
        yield proxy
        city.installation.end_processes()


def over(city: City, proxy: Proxy) -> None:
    city.installation.environment["UNDERFOOT_DATABASE_URL"] = proxy.instead_of(city.database_url)


def under_way(city: City, reports: int = 300) -> None:
    before = evidence.stored_rows(city)
    until(lambda: evidence.stored_rows(city) > before + reports, "load under way", 60)


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param((), id="both ways"),
        pytest.param(("up",), id="to the broker", marks=pytest.mark.long),
        pytest.param(("down",), id="from the broker", marks=pytest.mark.long),
    ],
)
def test_the_network_to_the_broker_swallows(city: City, fleet: Fleet, to_broker: Proxy, ways: tuple[Way, ...]) -> None:
    """Ingest gives the connection up by its own keepalive, 1.5 times that, whatever the broker does. It goes on as soon
    as the network does, and what was unacknowledged comes again."""
    silence_is_noticed(city, 4)
    endures = [Endures(city.start_ingest(), INGEST_MB)]
    with load(city, fleet.message, 400):
        under_way(city)
        to_broker.swallow(*ways)
        began = time.monotonic()
        until(lambda: "connection lost" in city.log("ingest") or "nothing heard" in city.log("ingest"), "notice", 20)
        assert time.monotonic() - began < 1.5 * KEEPALIVE_S + 2
        time.sleep(3)
        to_broker.heal()
        under_way(city)
    assert to_broker.swallowed > 0
    books = all_is_well(city, fleet, endures=endures)
    assert books["redelivered"] > 0, "nothing was unacknowledged: this test shows nothing"
    assert "tenure over" not in city.log("ingest"), "its shard was its own all the time"


def test_the_broker_is_far_away(city: City, fleet: Fleet, to_broker: Proxy) -> None:
    """A slow network delays, and nothing else: nothing comes twice, nobody reconnects."""
    silence_is_noticed(city, 6)
    to_broker.delay(0.3)
    endures = [Endures(city.start_ingest(), INGEST_MB)]
    with load(city, fleet.message, 400):
        under_way(city, 2000)
    books = all_is_well(city, fleet, endures=endures)
    assert books["redelivered"] == 0
    assert to_broker.accepted == 1


def test_connections_to_the_broker_are_cut_again_and_again(city: City, fleet: Fleet, to_broker: Proxy) -> None:
    silence_is_noticed(city, 6)
    endures = [Endures(city.start_ingest(), INGEST_MB)]
    cuts = 60 if LONG else 8
    with load(city, fleet.message, 500):
        under_way(city)
        for _ in range(cuts):
            time.sleep(city.random.uniform(0, 1))
            to_broker.cut()
    books = all_is_well(city, fleet, endures=endures)
    assert books["redelivered"] > 0
    assert to_broker.accepted > cuts / 2


@pytest.mark.parametrize(
    ("ways", "reset"),
    [
        pytest.param((), False, id="both ways, and stays dead"),
        pytest.param((), True, id="both ways", marks=pytest.mark.long),
        pytest.param(("down",), True, id="from the database", marks=pytest.mark.long),
    ],
)
def test_the_network_to_the_database_swallows(
    city: City, fleet: Fleet, to_database: Proxy, ways: tuple[Way, ...], reset: bool
) -> None:
    """A batch is sent, and no answer ever comes; whether it was committed nobody knows. When the network is back, so is
    ingest, in a new tenure that asks the database what it has."""
    if reset:
        over(city, to_database)
    alerts = silence_is_noticed(city, 4)
    over(city, to_database)
    endures = [Endures(city.start_ingest(), INGEST_MB), Endures(alerts, ALERTS_MB)]
    with load(city, fleet.message, 400):
        under_way(city)
        to_database.swallow(*ways)
        time.sleep(25 if LONG else 12)  # the fault itself
        to_database.heal(reset=reset)
        under_way(city)
    assert to_database.swallowed > 0
    all_is_well(city, fleet, endures=endures)


def test_connections_to_the_database_are_cut_again_and_again(city: City, fleet: Fleet, to_database: Proxy) -> None:
    over(city, to_database)
    alerts = silence_is_noticed(city, 6)
    endures = [Endures(city.start_ingest(), INGEST_MB), Endures(alerts, ALERTS_MB)]
    with load(city, fleet.message, 400):
        under_way(city)
        for _ in range(30 if LONG else 4):
            time.sleep(city.random.uniform(0, 2))
            to_database.cut()
    all_is_well(city, fleet, endures=endures)
