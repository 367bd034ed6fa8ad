"""MQTT packets as the specification has them (MQTT 3.1.1, sections 2.2.3, 3.1, 3.3)."""

from __future__ import annotations

import pytest

from simulators.wire import Broker, Connection, ConnectionLost, WireError, frame


@pytest.mark.parametrize(
    ("payload", "head"),
    [
        (b"x", b"\x32\x06\x00\x01t"),
        (b"x" * 122, b"\x32\x7f\x00\x01t"),
        (b"x" * 123, b"\x32\x80\x01\x00\x01t"),
        (b"x" * 16_378, b"\x32\xff\x7f\x00\x01t"),
        (b"x" * 16_379, b"\x32\x80\x80\x01\x00\x01t"),
    ],
)
def test_a_publish_carries_its_length(payload: bytes, head: bytes) -> None:
    made = frame(b"t", payload, "mine")
    assert (made.head, made.tail, made.tag) == (head, payload, "mine")


def test_a_topic_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="65536 bytes"):
        frame(b"t" * 65_536, b"")


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://host", Broker("host", 1883, False, None, None)),
        ("mqtts://host", Broker("host", 8883, True, None, None)),
        ("mqtt://me:p%40ss@10.0.0.1:77", Broker("10.0.0.1", 77, False, "me", "p@ss")),
    ],
)
def test_urls(url: str, broker: Broker) -> None:
    assert Broker.all_from_url(url)[0] == broker


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(WireError, match="http://host"):
        Broker.all_from_url("http://host")


def test_connect() -> None:
    assert (
        Broker("h", 1, False, None, None).connect_packet("id", 30) == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x1e\x00\x02id"
    )
    assert Broker("h", 1, False, "u", "p").connect_packet("id", 30) == (
        b"\x10\x14\x00\x04MQTT\x04\xc2\x00\x1e\x00\x02id\x00\x01u\x00\x01p"
    )


def connection(window: int = 10) -> Connection:
    return Connection(Broker("h", 1, False, None, None), "id", window=window, keepalive_s=30)


def sent(link: Connection, *payloads: bytes) -> None:
    link.waiting.extend(frame(b"t", payload, payload) for payload in payloads)
    link._fill()


def acknowledged(link: Connection, data: bytes) -> list[object]:
    return [done.tag for done in link._acknowledge(data)]


def test_acknowledgements_in_bulk_and_in_pieces() -> None:
    link = connection()
    sent(link, b"a", b"b", b"c")
    assert bytes(link._out) == b"\x32\x06\x00\x01t\x00\x01a\x32\x06\x00\x01t\x00\x02b\x32\x06\x00\x01t\x00\x03c"
    assert acknowledged(link, b"\x40\x02\x00\x01\x40\x02\x00\x02") == [b"a", b"b"]
    assert acknowledged(link, b"\x40\x02\x00") == []
    assert acknowledged(link, link._in + b"\x03") == [b"c"]
    assert link.in_flight == 0


def test_acknowledgements_between_ping_answers_and_out_of_order() -> None:
    link = connection()
    sent(link, b"a", b"b", b"c")
    assert acknowledged(link, b"\xd0\x00\x40\x02\x00\x03\xd0\x00\x40\x02\x00\x01") == [b"c", b"a"]
    assert acknowledged(link, b"\x40\x02\x00\x01") == []  # twice: nothing more to acknowledge
    assert link.in_flight == 1


def test_what_a_publisher_never_gets_loses_the_connection() -> None:
    with pytest.raises(ConnectionLost, match="a publisher does not get"):
        connection()._acknowledge(b"\x30\x03\x00\x01t")


def test_the_window_bounds_what_is_unacknowledged() -> None:
    link = connection(window=2)
    sent(link, b"a", b"b", b"c")
    assert (link.in_flight, len(link.waiting)) == (2, 1)
    link._acknowledge(b"\x40\x02\x00\x01")
    link._fill()
    assert (link.in_flight, len(link.waiting)) == (2, 0)


def test_packet_ids_in_flight_are_not_used_again() -> None:
    link = connection(window=65_535)
    sent(link, b"first")
    for _ in range(65_533):
        sent(link, b"x")
        packet_id = link._last_id
        link._acknowledge(b"\x40\x02" + packet_id.to_bytes(2, "big"))
    sent(link, b"y", b"z")
    assert link._last_id == 2  # 1 is still in flight
    assert link.in_flight == 3


def test_a_window_beyond_the_packet_ids_is_refused() -> None:
    with pytest.raises(ValueError, match="window: 65536"):
        connection(window=65_536)
