"""What the inbox has consumed is forgotten after its time; what waits never is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from alerts import timers
from alerts.timers import purge_inbox, run_timers
from underfoot.inbox import Message, post_messages
from underfoot.settings import Settings
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database, "test", autocommit=True) as opened:
        opened.execute(
            "INSERT INTO inbox (shard, kind, payload, key, created_at, consumed_at, outcome)"
            " SELECT 'main', 'message', '{}', n::text, now() - n * interval '1 hour',"
            " CASE WHEN n % 10 > 0 THEN now() - n * interval '1 hour' END, 'done' FROM generate_series(1, 100) n"
        )
        yield opened


def left(connection: Connection) -> list[int]:
    return [int(key) for (key,) in connection.execute("SELECT key FROM inbox ORDER BY key::int")]


def test_only_what_was_consumed_long_ago_is_forgotten(connection: Connection) -> None:
    keep = timedelta(hours=48)
    assert purge_inbox(connection, keep) == len([n for n in range(49, 101) if n % 10]) + 1  # 48 h, to the microsecond
    assert left(connection) == [*range(1, 48), *range(50, 101, 10)]
    assert purge_inbox(connection, keep) == 0


def test_a_batch_is_small_and_the_oldest_go_first(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "_PURGED_TOGETHER", 5)
    assert purge_inbox(connection, timedelta(hours=48)) == 5
    assert [n for n in range(90, 101) if n not in left(connection)] == [95, 96, 97, 98, 99]


def test_a_key_is_known_for_as_long_as_its_row_is_kept(connection: Connection) -> None:
    message = Message("main", "http/x", b"x", 0, "http", "99")
    assert post_messages(connection, [message]) == [False]
    purge_inbox(connection, timedelta(hours=48))
    assert post_messages(connection, [message]) == [True]


def test_a_row_that_somebody_holds_is_left_for_the_next_time(connection: Connection, database: str) -> None:
    with connect(database, "other") as other:
        other.execute("SELECT FROM inbox WHERE key = '99' FOR UPDATE")
        connection.execute("SET lock_timeout = '500ms'")
        purge_inbox(connection, timedelta(hours=48))
        assert 99 in left(connection)
    assert purge_inbox(connection, timedelta(hours=48)) == 1


def test_the_timers_purge_until_nothing_is_left_to(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "_PURGED_TOGETHER", 7)
    settings = Settings(database_url=database, mqtt_url="mqtt://127.0.0.1:1", inbox_keep_h=24, timer_interval_s=0.05)
    stop = threading.Event()
    thread = threading.Thread(target=run_timers, args=(settings, stop))
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while left(connection) != [*range(1, 24), *range(30, 101, 10)]:
            assert time.monotonic() < deadline, left(connection)
            time.sleep(0.05)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def explained(connection: Connection, name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.transaction(force_rollback=True):
        text = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement(name)
        row = connection.execute(text, params, prepare=False).fetchone()
    assert row is not None
    return list(nodes(row[0][0]["Plan"]))


def test_a_purge_reads_what_it_deletes_and_no_more(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO inbox (shard, kind, payload, key, consumed_at)"
        " SELECT 'main', 'message', '{}', 'k' || n, CASE WHEN n > 5000 THEN now() END FROM generate_series(1, 20000) n"
    )
    connection.execute("ANALYZE inbox")
    read = explained(connection, "inbox.purge", {"keep": timedelta(hours=48), "limit": 20})
    scans = [node for node in read if node.get("Relation Name") == "inbox" and "Scan" in node["Node Type"]]
    assert scans
    assert not [node for node in scans if node["Node Type"] == "Seq Scan"], scans
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in scans) <= 60


def test_a_push_finds_its_mapping_by_its_key(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO mappings (name, version, body, created_by)"
        ' SELECT \'m\' || n, v, \'{"http": true, "shard": "main", "reports": []}\', \'x\''
        " FROM generate_series(1, 500) n, generate_series(1, 20) v"
    )
    connection.execute("ANALYZE mappings")
    scans = [
        node for node in explained(connection, "inbox.pushed_mapping", {"name": "m77"})
        if node.get("Relation Name") == "mappings"
    ]  # fmt: skip
    assert [node["Node Type"] for node in scans if "Index" in node["Node Type"]], scans
    assert sum(node["Actual Rows"] for node in scans) == 1
