"""One MQTT connection against a broker that does what real ones rarely do: hang up, ignore, acknowledge late."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from simulators.publisher import Publisher
from simulators.wire import Acknowledged, WireError, frame

CONNECT, PUBLISH, PINGREQ, DISCONNECT = 1, 3, 12, 14
ACCEPTED = b"\x20\x02\x00\x00"


class ScriptedBroker:
    """Listens; `accept` gives the next connection, whose packets the test reads and answers itself."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self.listening.getsockname()[1]}"
        self.peers: list[Peer] = []

    def accept(self, answer: bytes = ACCEPTED) -> Peer:
        connection, _ = self.listening.accept()
        peer = Peer(connection)
        self.peers.append(peer)
        assert peer.packet()[0] >> 4 == CONNECT
        peer.connection.sendall(answer)
        return peer

    def close(self) -> None:
        for peer in self.peers:
            peer.connection.close()
        self.listening.close()


class Peer:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.connection.settimeout(10)

    def packet(self) -> bytes:
        head = self._read(1)
        length = shift = 0
        while True:
            digit = self._read(1)
            head += digit
            length |= (digit[0] & 127) << shift
            shift += 7
            if digit[0] < 128:
                return head + self._read(length)

    def publish(self) -> tuple[bool, int, bytes]:
        """DUP, packet id and payload of the next PUBLISH (of a topic of one letter)."""
        packet = self.packet()
        assert packet[0] >> 4 == PUBLISH
        assert packet[0] & 0b0111 == 0b0010  # QoS 1, not retained
        body = packet[2:]
        assert body[:3] == b"\x00\x01t"
        return bool(packet[0] & 8), int.from_bytes(body[3:5], "big"), body[5:]

    def acknowledge(self, *packet_ids: int) -> None:
        self.connection.sendall(b"".join(b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in packet_ids))

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self.connection.recv(length - len(data))
            assert more, "the publisher hung up"
            data += more
        return data


@pytest.fixture
def scripted() -> Iterator[ScriptedBroker]:
    with closing(ScriptedBroker()) as broker:
        yield broker


def opened(broker: ScriptedBroker, window: int = 10, keepalive_s: int = 30) -> tuple[Publisher, Peer]:
    publisher = Publisher(broker.url, connections=1, window=window, keepalive_s=keepalive_s)
    accepted: list[Peer] = []
    thread = threading.Thread(target=lambda: accepted.append(broker.accept()))
    thread.start()
    publisher.open()
    thread.join()
    return publisher, accepted[0]


def turn_until(publisher: Publisher, acknowledged: int, patience_s: float = 5) -> list[Acknowledged]:
    done: list[Acknowledged] = []
    deadline = time.monotonic() + patience_s
    while len(done) < acknowledged and time.monotonic() < deadline:
        done += publisher.turn(0.02)
    return done


def offer(publisher: Publisher, *payloads: bytes) -> None:
    for payload in payloads:
        publisher.offer(0, frame(b"t", payload, payload))


def accept_meanwhile(broker: ScriptedBroker, publisher: Publisher) -> Peer:
    accepted: list[Peer] = []
    thread = threading.Thread(target=lambda: accepted.append(broker.accept()))
    thread.start()
    before = publisher.reconnects
    deadline = time.monotonic() + 5
    # The broker has accepted before the publisher has read so.
    while (thread.is_alive() or publisher.reconnects == before) and time.monotonic() < deadline:
        publisher.turn(0.02)
    thread.join()
    return accepted[0]


def test_what_was_not_acknowledged_goes_again_first_in_order_with_dup(scripted: ScriptedBroker) -> None:
    publisher, peer = opened(scripted)
    with closing(publisher):
        offer(publisher, b"a", b"b", b"c")
        publisher.turn(0)
        assert [peer.publish() for _ in range(3)] == [(False, 1, b"a"), (False, 2, b"b"), (False, 3, b"c")]
        peer.acknowledge(2)
        assert [done.tag for done in turn_until(publisher, 1)] == [b"b"]
        peer.connection.close()
        peer = accept_meanwhile(scripted, publisher)
        offer(publisher, b"d")
        publisher.turn(0)
        assert [peer.publish() for _ in range(3)] == [(True, 1, b"a"), (True, 3, b"c"), (False, 4, b"d")]
        assert publisher.take_resent() == [b"a", b"c"]
        assert publisher.take_resent() == []
        peer.acknowledge(1, 3, 4)
        assert [done.tag for done in turn_until(publisher, 3)] == [b"a", b"c", b"d"]
        assert (publisher.in_flight, publisher.waiting, publisher.reconnects) == (0, 0, 1)


def test_acknowledgements_just_before_the_end_of_a_connection_count(scripted: ScriptedBroker) -> None:
    publisher, peer = opened(scripted)
    with closing(publisher):
        offer(publisher, b"a", b"b")
        publisher.turn(0)
        assert [peer.publish()[1] for _ in range(2)] == [1, 2]
        peer.acknowledge(1)
        peer.connection.close()
        assert [done.tag for done in turn_until(publisher, 1)] == [b"a"]
        peer = accept_meanwhile(scripted, publisher)
        publisher.turn(0)
        assert peer.publish() == (True, 2, b"b")


def test_no_more_than_the_window_is_ever_unacknowledged(scripted: ScriptedBroker) -> None:
    publisher, peer = opened(scripted, window=2)
    with closing(publisher):
        offer(publisher, b"a", b"b", b"c")
        for _ in range(5):
            publisher.turn(0.01)
        assert (publisher.in_flight, publisher.waiting) == (2, 1)
        assert [peer.publish()[1] for _ in range(2)] == [1, 2]
        peer.connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            peer.packet()
        peer.connection.settimeout(5)
        peer.acknowledge(1)
        turn_until(publisher, 1)
        assert peer.publish() == (False, 3, b"c")


def test_an_idle_connection_is_kept_alive_and_a_dead_one_given_up(scripted: ScriptedBroker) -> None:
    publisher, peer = opened(scripted, keepalive_s=1)
    with closing(publisher):
        began = time.monotonic()
        pings = 0
        while pings < 2:
            publisher.turn(0.02)
            peer.connection.setblocking(False)
            try:
                pings += peer.connection.recv(64).count(b"\xc0\x00")
                peer.connection.sendall(b"\xd0\x00")
            except BlockingIOError:
                assert time.monotonic() - began < 5
        assert publisher.reconnects == 0
        accept_meanwhile(scripted, publisher)  # no answer any more: it comes anew
        assert publisher.reconnects == 1


def test_partial_writes_arrive_whole(scripted: ScriptedBroker) -> None:
    publisher, peer = opened(scripted, window=100)
    with closing(publisher):
        payloads = [bytes([65 + number]) * 100_000 for number in range(20)]
        offer(publisher, *payloads)
        publisher.turn(0)
        got: list[bytes] = []

        def read() -> None:
            for _ in payloads:
                packet = peer.packet()
                got.append(packet[-100_000:])
                at = packet.index(b"\x00\x01t") + 3
                peer.acknowledge(int.from_bytes(packet[at : at + 2], "big"))

        thread = threading.Thread(target=read)
        thread.start()
        assert len(turn_until(publisher, 20, 10)) == 20
        thread.join()
        assert got == payloads


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\x20\x02\x00\x04", "user name or password is wrong"),
        (b"\x20\x02\x00\x05", "we are not allowed in"),
        (b"HTTP/1.1 400", "does not answer like an MQTT broker"),
        (b"\x20\x02\x00\x03", "no MQTT broker answers"),
    ],
)
def test_a_broker_that_does_not_want_us_says_why(scripted: ScriptedBroker, answer: bytes, said: str) -> None:
    thread = threading.Thread(target=lambda: scripted.accept(answer))
    thread.start()
    with closing(Publisher(scripted.url, connections=1)) as publisher, pytest.raises(WireError, match=said):
        publisher.open()
    thread.join()


def test_no_broker_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = pytest.raises(WireError, match=f"no MQTT broker answers at 127.0.0.1:{port}")
    with closing(Publisher(f"mqtt://127.0.0.1:{port}", connections=1)) as publisher, said:
        publisher.open()


def test_what_a_ping_takes_along_is_counted(scripted: ScriptedBroker) -> None:
    """A connection that has nothing to send but its ping sends what waits with it, too."""
    publisher, peer = opened(scripted, window=1, keepalive_s=1)
    with closing(publisher):
        offer(publisher, b"a", b"b")
        publisher.turn(0)
        assert peer.publish()[1] == 1
        time.sleep(0.6)
        publisher._lanes[0].connection.window = 2
        done = turn_until(publisher, 1, 0.2)
        assert (done, publisher.in_flight, publisher.waiting) == ([], 2, 0)
        peer.acknowledge(1, 2)
        assert len(turn_until(publisher, 2)) == 2
        assert (publisher.in_flight, publisher.waiting) == (0, 0)
