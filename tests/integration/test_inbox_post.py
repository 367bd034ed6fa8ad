"""Messages posted to the inbox: whole, in order, once, and their holder is woken at commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from underfoot.inbox import Message, post_messages
from underfoot.storage.connect import Connection, connect


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database, "test", autocommit=True) as opened:
        opened.execute("INSERT INTO shards (shard, filters) VALUES ('410502', '{}')")
        yield opened


def message(key: str, body: bytes = b"{}", shard: str = "main", **more: Any) -> Message:
    return Message(shard, "http/ctwing", body, 1_782_878_400_000_001, "http", key, **more)


def rows(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT shard, kind, key, payload, body FROM inbox ORDER BY inbox_key").fetchall()


def test_a_message_is_posted_whole(connection: Connection) -> None:
    every_byte = bytes(range(256))
    assert post_messages(connection, [message("a", every_byte, vendor="甲厂", quarantine_key=7)]) == [True]
    where_from = {
        "topic": "http/ctwing",
        "received_us": 1_782_878_400_000_001,
        "source": "http",
        "vendor": "甲厂",
        "quarantine_key": 7,
    }
    assert rows(connection) == [("main", "message", "a", where_from, every_byte)]


def test_many_are_posted_in_their_order_and_each_key_once(connection: Connection) -> None:
    assert post_messages(connection, [message("2", b"two"), message("1", b"one")]) == [True, True]
    again = [message("3"), message("1", b"other"), message("3", b"again"), message("0", b"")]
    assert post_messages(connection, again) == [True, False, False, True]
    assert [(row[2], row[4]) for row in rows(connection)] == [("2", b"two"), ("1", b"one"), ("3", b"{}"), ("0", b"")]
    assert post_messages(connection, []) == []


def test_order_is_kept_over_thousands(connection: Connection) -> None:
    wanted = [f"{number * 7919 % 5000:04}" for number in range(5000)]
    assert all(post_messages(connection, [message(key) for key in wanted]))
    assert [row[2] for row in rows(connection)] == wanted


def test_what_is_rolled_back_was_not_posted_and_may_be_posted_again(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        assert post_messages(connection, [message("a")]) == [True]
    assert rows(connection) == []
    assert post_messages(connection, [message("a")]) == [True]


def test_holders_are_woken_once_each_at_commit_and_only_for_news(connection: Connection, database: str) -> None:
    with connect(database, "listener", autocommit=True) as listener:
        listener.execute("LISTEN underfoot_inbox")
        with connection.transaction():
            post_messages(connection, [message("a"), message("b"), message("c", shard="410502")])
            assert list(listener.notifies(timeout=0.3)) == [], "not before the commit"
        heard = [notify.payload for notify in listener.notifies(timeout=5, stop_after=2)]
        assert sorted(heard) == ["410502", "main"]
        post_messages(connection, [message("a")])
        assert list(listener.notifies(timeout=0.3)) == []


def test_a_topic_that_json_cannot_hold_harms_no_neighbour(connection: Connection) -> None:
    bad = message("bad")._replace(topic="a\0b\ud800")
    assert post_messages(connection, [message("a"), bad, message("b")]) == [True, True, True]
    assert [row[3]["topic"] for row in rows(connection)] == ["http/ctwing", "a\\0b\\ud800", "http/ctwing"]


def test_a_shard_that_does_not_exist_is_an_error(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        post_messages(connection, [message("a", shard="nowhere")])
