"""A broker of three nodes, one of which is killed under load: nothing acknowledged is lost, and nobody has to help.

After a takeover NATS gives new messages first, and what was delivered and not acknowledged only after its `ack_wait`:
the order is another, and the alarms are the same in the end.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tests.folders import folder_of_servers
from tests.system import evidence
from tests.system.city import LONG, City, signal_and_wait, until
from tests.system.fleet import Fleet
from tests.system.nats import ACK_WAIT_S, Cluster, Node, nats_cluster
from tests.system.platform import SINK, add_platform_sink
from tests.system.publisher import load, publishing
from tests.system.verdict import INGEST_MB, Endures, all_is_well, silence_is_noticed

INGEST = "underfoot-main"


@pytest.fixture
def cluster(city: City) -> Iterator[Cluster]:
    """The city's broker is now a cluster."""
    with folder_of_servers("underfoot-nats-") as folder, nats_cluster(folder) as running:
        city.mqtt_url = running.url
        city.installation.environment |= {
            "UNDERFOOT_MQTT_URL": running.url,
            "UNDERFOOT_REDELIVERY_S": str(ACK_WAIT_S + 1),
        }
        yield running
        city.installation.end_processes()


@pytest.fixture
def fleet(city: City) -> Fleet:
    add_platform_sink(city, SINK, "http://127.0.0.1:9/events")
    made = Fleet(seed=7)
    made.clocks_only()  # what the fleet sends twice can only be told by its time
    return made


def under_way(city: City, reports: int = 500) -> None:
    before = evidence.stored_rows(city)
    until(lambda: evidence.stored_rows(city) > before + reports, "load under way", 60)


def killed(city: City, node: Node) -> None:
    """kill -9; ingest goes on with another node."""
    node.signal(signal.SIGKILL)
    under_way(city)


def all_said(city: City, fleet: Fleet) -> None:
    """After all that is older has come, again too: else it would be late, and somebody had to look."""
    city.caught_up(seconds=180)
    with publishing(city) as publisher:
        for message in fleet.last_words():
            publisher.send(message)
        publisher.acknowledged()


@pytest.mark.parametrize(
    ("rounds", "per_second"),
    [(1, 400), pytest.param(12, 600, marks=pytest.mark.long)],
    ids=["the node of ingest", "12 random nodes"],
)
def test_a_node_is_killed_under_load(city: City, cluster: Cluster, fleet: Fleet, rounds: int, per_second: int) -> None:
    silence_is_noticed(city, 20)
    ingest = city.start_ingest()
    endures = [Endures(ingest, INGEST_MB)]
    with load(city, fleet.message, per_second):
        under_way(city)
        for number in range(rounds):
            node = city.random.choice(cluster.nodes) if number else cluster.node_of(INGEST)
            killed(city, node)
            assert cluster.node_of(INGEST) is not node
            node.start()
            cluster.whole()
            under_way(city)
    all_said(city, fleet)
    all_is_well(city, fleet, endures=endures, resent=True, in_order=False)
    assert not city.rows("SELECT 1 FROM alarms WHERE rule_id = 'shard.session_lost'"), "its session was kept"


def test_what_was_delivered_and_not_committed_comes_again(city: City, cluster: Cluster, fleet: Fleet) -> None:
    """Ingest is killed with hundreds of messages read and none of them committed. The next one gets the newer ones
    first; nothing counts as caught up before the older ones have come again."""
    ingest = city.start_ingest()
    with load(city, fleet.message, 400) as running:
        under_way(city)
        with city.locked("books"):
            time.sleep(1.5)  # 600 messages are read meanwhile
            running.acknowledged()
            waiting = set(fleet.sent.reports)
            assert signal_and_wait(ingest, signal.SIGKILL) == -signal.SIGKILL
        endures = [Endures(city.start_ingest(), INGEST_MB)]  # returns when all is said to be caught up
        missing = waiting - evidence.stored_numbers(city).keys()
        assert not missing, f"{len(missing)} reports still waited when all was said to be caught up"
    all_said(city, fleet)
    books = all_is_well(city, fleet, endures=endures, resent=True, in_order=False)
    assert books["redelivered"] > 100, "nothing was unacknowledged when ingest was killed: this test shows nothing"


@pytest.mark.parametrize(
    ("messages", "redelivery_s"),
    [
        pytest.param(4_000, 0, id="less than the window"),
        pytest.param(20_000, ACK_WAIT_S + 1, id="more than the window", marks=pytest.mark.long),
    ],
)
def test_a_probe_does_not_overtake_what_waits(
    city: City, cluster: Cluster, fleet: Fleet, messages: int, redelivery_s: int
) -> None:
    """NATS keeps a queue for each subscription. What waits for an absent ingest is committed before it is said to be
    caught up; even what NATS had to put back, since the window of the session was full, and gives once more later."""
    city.installation.environment["UNDERFOOT_REDELIVERY_S"] = str(redelivery_s)
    assert signal_and_wait(city.start_ingest(), signal.SIGTERM) == 0
    with publishing(city) as publisher:
        for _ in range(messages):
            publisher.send(fleet.message())
        publisher.acknowledged()
    city.start_ingest()
    missing = fleet.sent.reports - evidence.stored_numbers(city).keys()
    assert not missing, f"{len(missing)} reports still waited when all was said to be caught up"


@pytest.mark.long
def test_most_of_the_cluster_is_gone(city: City, cluster: Cluster, fleet: Fleet) -> None:
    """One node alone acknowledges nothing. With two again, all goes on where it was."""
    silence_is_noticed(city, 60)
    endures = [Endures(city.start_ingest(), INGEST_MB)]
    with load(city, fleet.message, 400):
        under_way(city)
        for node in cluster.nodes[:2]:
            node.signal(signal.SIGKILL)
        time.sleep(20)
        cluster.nodes[0].start()
        under_way(city)
        cluster.nodes[1].start()
        cluster.whole()
    all_said(city, fleet)
    all_is_well(city, fleet, endures=endures, resent=True, in_order=False)


@pytest.mark.long
def test_a_node_hangs(city: City, cluster: Cluster, fleet: Fleet) -> None:
    """It keeps its connections and says nothing: the keepalive tells, and ingest takes another node."""
    city.installation.environment["UNDERFOOT_KEEPALIVE_S"] = "5"
    silence_is_noticed(city, 60)
    endures = [Endures(city.start_ingest(), INGEST_MB)]
    with load(city, fleet.message, 400):
        under_way(city)
        node = cluster.node_of(INGEST)
        node.signal(signal.SIGSTOP)
        try:
            under_way(city)
        finally:
            node.signal(signal.SIGCONT)
        cluster.whole()
    all_said(city, fleet)
    all_is_well(city, fleet, endures=endures, resent=True, in_order=False)


def test_the_load_generator_takes_another_node(city: City, cluster: Cluster) -> None:
    """What it counts as sent was acknowledged, by whichever node; all of that is stored once."""
    city.start_ingest()
    ledger = city.installation.folder / "ledger.csv"
    reports, rate = (40_000, 2000) if LONG else (6_000, 1000)

    def kill() -> None:
        until(lambda: evidence.stored_rows(city) > reports / 4, "load under way", 60)
        cluster.nodes[1].signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    command = ["simulate", "load", "--ledger", str(ledger), "--devices", "94", "--json"]
    done = city.installation.run(*command, "--reports", str(reports), "--rate", str(rate))
    killer.join()
    result = json.loads(done.stdout)
    assert (result["sent"], result["unacknowledged"]) == (reports, 0)
    assert result["reconnects"] > 0, "none of its connections was at the node that was killed"
    city.caught_up()
    assert evidence.stored_rows(city) == reports
    assert city.value("SELECT sum(stored) FROM books") == reports
