"""Acknowledge after commit: seen from the broker's side of the wire, with the database held up when it matters."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.system.city import City, until
from tests.system.evidence import stored_numbers
from tests.system.fake_broker import FakeBroker, acknowledges, fake_broker, stays_silent
from tests.system.fleet import Message, now_ms, report
from tests.system.fleet import fingerprint as fingerprint_of


@pytest.fixture
def broker(city: City) -> Iterator[FakeBroker]:
    with fake_broker() as created:
        city.installation.environment["UNDERFOOT_MQTT_URL"] = created.url
        yield created


def waits_for(city: City, table: str) -> bool:
    """Whether somebody waits to write this table."""
    return bool(
        city.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass", table),
    )


def stopped_between_batches(city: City, pid: int) -> bool:
    """Stop the process; but not inside a transaction, which would hold up its successor as long as it sleeps."""
    os.kill(pid, signal.SIGSTOP)
    idle: bool = city.value(
        "SELECT bool_and(state = 'idle') FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'underfoot-ingest-main'"
    )
    if not idle:
        os.kill(pid, signal.SIGCONT)
    return idle


def cover(number: int, n: int) -> Message:
    return report(f"cover-{number:03d}", now_ms(), n, open=False)


def road(number: int, n: int) -> Message:
    return report(f"road-{number:03d}", now_ms(), n, depth_cm=0.5)


def test_no_puback_before_the_commit(city: City, broker: FakeBroker) -> None:
    city.start("ingest")
    connection = broker.accept(session_present=False)
    with city.locked("books"):
        connection.publish(11, cover(1, 1))
        connection.publish(12, Message(cover(1, 1).topic, b"{nonsense"))
        until(lambda: waits_for(city, "books"), "batch in the database")
        stays_silent(connection, 11)
        stays_silent(connection, 12, 0)
        assert not stored_numbers(city)
    acknowledges(connection, 11)
    assert stored_numbers(city) == {1: 1}
    acknowledges(connection, 12)
    assert city.rows("SELECT reason FROM quarantine") == [("undecodable",)]


@pytest.mark.parametrize("session_present", [False, True], ids=["session lost", "session kept"])
def test_a_late_puback_acknowledges_nothing(city: City, broker: FakeBroker, session_present: bool) -> None:
    """The broker uses a packet id again that an old message has; only the commit of the new message counts."""
    city.start("ingest")
    first = broker.accept(session_present=False)
    with ExitStack() as covers, ExitStack() as roads:
        covers.enter_context(city.locked("report_cover"))
        roads.enter_context(city.locked("report_road"))
        first.publish(7, cover(1, 1))
        until(lambda: waits_for(city, "report_cover"), "batch with the first message")
        first.drop()
        second = broker.accept(session_present=session_present)
        second.publish(7, road(1, 2))
        covers.close()
        until(lambda: stored_numbers(city) == {1: 1}, "commit of the first message")
        until(lambda: waits_for(city, "report_road"), "batch with the second message")
        stays_silent(second, 7)
        assert stored_numbers(city) == {1: 1}
    acknowledges(second, 7)
    assert stored_numbers(city) == {1: 1, 2: 1}


def test_a_redelivered_message_is_stored_once_and_acknowledged_where_it_came_last(
    city: City, broker: FakeBroker
) -> None:
    city.start("ingest")
    first = broker.accept(session_present=False)
    message, without_time = cover(1, 1), report("cover-002", None, 2, open=False)
    with city.locked("report_cover"):
        first.publish(7, message)
        until(lambda: waits_for(city, "report_cover"), "batch with the first message")
        first.publish(8, without_time)  # it will be in one batch with its own repeat
        first.drop()
        second = broker.accept(session_present=True)
        second.publish(7, message, dup=True)
        second.publish(8, without_time, dup=True)
    acknowledges(second, 8)
    acknowledges(second, 7)
    until(lambda: city.value("SELECT sum(received) = 4 FROM books"), "all four in the books")
    assert city.rows("SELECT sum(redelivered), sum(stored), sum(duplicate) FROM books") == [(2, 2, 2)]
    assert stored_numbers(city) == {1: 1, 2: 1}


def test_a_redelivered_report_of_a_stepped_clock_is_the_report_it_was(city: City, broker: FakeBroker) -> None:
    """It was filed under its receipt, then its acknowledgement was lost: the repeat is known by its packet, not by the
    time that it claims; and an hour that is long over raises nothing again."""
    city.start("ingest")
    first = broker.accept(session_present=False)
    behind = now_ms() - 8 * 3_600_000
    told = [
        report("cover-001", now_ms(), 1, 1, open=False),
        report("cover-001", behind, 2, 2, open=True),
        report("cover-001", behind + 1000, 3, 3, open=False),
    ]
    for packet_id, message in enumerate(told, 1):
        first.publish(packet_id, message)
        acknowledges(first, packet_id)
    assert city.open_alarms("cover-001") == {}
    first.drop()
    second = broker.accept(session_present=True)
    for packet_id, message in enumerate(told, 1):
        second.publish(packet_id, message, dup=True)
        acknowledges(second, packet_id)
    assert stored_numbers(city) == {1: 1, 2: 1, 3: 1}
    assert city.open_alarms("cover-001") == {}


def test_the_same_bytes_sent_again_without_a_time_are_news(city: City, broker: FakeBroker) -> None:
    """Dropping never: without a time of its own only a packet marked DUP, under the same id, is a repeat."""
    city.start("ingest")
    connection = broker.accept(session_present=False)
    message = report("cover-001", None, 1, open=False)
    connection.publish(7, message)
    acknowledges(connection, 7)
    connection.publish(8, message)
    acknowledges(connection, 8)
    connection.publish(9, message, dup=True)  # DUP, but its first delivery never came: another packet
    acknowledges(connection, 9)
    assert stored_numbers(city) == {1: 3}


def test_what_was_read_is_kept_when_the_broker_forgets_it(city: City, broker: FakeBroker) -> None:
    city.start("ingest")
    first = broker.accept(session_present=False)
    until(lambda: city.value("SELECT session_known FROM shards"), "session on record")
    with city.locked("report_cover"):
        first.publish(1, cover(1, 1))
        until(lambda: waits_for(city, "report_cover"), "batch with the first message")
        for number in range(2, 30):
            first.publish(number, cover(number, number))
        first.drop()
        second = broker.accept(session_present=False)
    until(lambda: stored_numbers(city).keys() == set(range(1, 30)), "all that was read, in the database")
    until(
        lambda: city.rows("SELECT 1 FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'shard.session_lost'"),
        "alarm that the session was lost",
    )
    second.publish(1, cover(40, 40))
    acknowledges(second, 1)
    assert stored_numbers(city)[40] == 1


def test_a_retained_report_without_a_time_goes_to_quarantine(city: City, broker: FakeBroker) -> None:
    city.start("ingest")
    connection = broker.accept(session_present=False)
    timeless = report("cover-001", None, 1, open=True)
    connection.publish(1, timeless, retain=True)
    connection.publish(2, report("cover-002", now_ms(), 2, open=False), retain=True)
    acknowledges(connection, 1)
    acknowledges(connection, 2)
    assert stored_numbers(city) == {2: 1}
    found = city.rows("SELECT reason, topic, payload, digest, device_id FROM quarantine")
    assert [
        (reason, topic, bytes(payload), bytes(digest), device) for reason, topic, payload, digest, device in found
    ] == [
        (
            "retained_without_time",
            timeless.topic,
            timeless.payload,
            fingerprint_of(timeless.topic, timeless.payload),
            "cover-001",
        )
    ]


def test_one_that_was_fenced_off_stores_nothing_and_acknowledges_nothing(city: City, broker: FakeBroker) -> None:
    """It was stopped while the database gave its shard to another; awake again, it has a message to commit."""
    first = city.start("ingest", log="ingest-1.log")
    old = broker.accept(session_present=False)
    epoch = city.value("SELECT epoch FROM shards")
    until(lambda: stopped_between_batches(city, first.pid), "a moment between two batches")
    message = cover(1, 1)
    old.publish(7, message)
    # What the server does to the sessions of a host that has vanished. The one with the batches it leaves, to be worse.
    city.do(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'underfoot-lock-main'"
    )
    city.start("ingest", log="ingest-2.log")
    new = broker.accept(session_present=True)
    assert city.value("SELECT epoch FROM shards") == epoch + 1
    os.kill(first.pid, signal.SIGCONT)
    until(lambda: "tenure over" in city.log("ingest-1"), "end of the first one's tenure")
    assert old.closed.wait(10), "it keeps its connection to the broker"
    assert 7 not in old.acknowledged
    assert not stored_numbers(city)
    new.publish(7, message, dup=True)
    acknowledges(new, 7)
    assert stored_numbers(city) == {1: 1}
    until(lambda: "held by another process" in city.log("ingest-1"), "the first one waiting")
    assert city.value("SELECT epoch FROM shards") == epoch + 1


def test_the_epoch_alone_is_a_fence(city: City, broker: FakeBroker) -> None:
    """Its lock still seems its own, but a successor has begun: the next batch is rolled back and forgotten."""
    city.start("ingest")
    old = broker.accept(session_present=False)
    until(lambda: city.value("SELECT session_known FROM shards"), "session on record")
    city.do("UPDATE shards SET epoch = epoch + 1")
    message = cover(1, 1)
    old.publish(7, message)
    new = broker.accept(session_present=True)
    assert old.closed.wait(10)
    assert 7 not in old.acknowledged
    assert not stored_numbers(city)
    new.publish(7, message, dup=True)
    acknowledges(new, 7)
    assert stored_numbers(city) == {1: 1}
    assert city.value("SELECT sum(received) FROM books") == 1
