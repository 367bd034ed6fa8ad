"""Taking a shard over in the real database: whose sessions are ended, whose are not, and the lease's own row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ingest.lease import Lease
from ingest.tenure import Applicant, Stale, hold
from tests.integration.shard import Shard, shard_of
from underfoot.settings import Settings
from underfoot.storage.connect import Connection, connect


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        yield made


@contextmanager
def claimed(shard: Shard, stale: Stale) -> Iterator[tuple[list[int], threading.Event]]:
    """Somebody else tries to take the shard, as from a holder of whom it has seen this; the epochs it comes to."""
    said = iter([stale])
    epochs: list[int] = []
    stop, done = threading.Event(), threading.Event()

    def run() -> None:
        applicant = Applicant(stale=lambda: next(said, None))
        with hold(shard.database, "main", stop, applicant) as tenure:
            if tenure is not None:
                epochs.append(tenure.epoch)
            done.set()
            stop.wait()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield epochs, done
    finally:
        stop.set()
        thread.join(10)


def add_worker(shard: Shard, beat: int) -> int:
    key = shard.one("INSERT INTO workers (name, beat) VALUES ('elsewhere:1', %s) RETURNING worker_key", beat)
    shard.ask.execute("UPDATE shards SET worker_key = %s", [key["worker_key"]])
    return int(key["worker_key"])


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within 10 s"
        time.sleep(0.02)


def alive(connection: Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_sessions_of_one_that_no_longer_lives_are_ended_both_of_them(shard: Shard) -> None:
    """In the midst of a batch, which is rolled back."""
    add_worker(shard, beat=5)
    shard.tenure.begin()
    shard.tenure.connection.execute("DELETE FROM rules")
    with claimed(shard, Stale(shard.tenure.epoch, beat=5)) as (epochs, done):
        assert done.wait(10)
        assert epochs == [shard.tenure.epoch + 1]
        assert not alive(shard.tenure.lock)
        assert not alive(shard.tenure.connection)
    assert shard.one("SELECT count(*) FROM rules")["count"] > 0


@pytest.mark.parametrize("seen", [Stale(1, beat=4), Stale(0, beat=5)], ids=["has beaten since", "another has begun"])
def test_one_that_lives_is_left_alone(shard: Shard, seen: Stale) -> None:
    assert shard.tenure.epoch == 1
    add_worker(shard, beat=5)
    with claimed(shard, seen) as (epochs, done):
        assert not done.wait(1.5)
        assert alive(shard.tenure.lock)
        assert alive(shard.tenure.connection)
    assert epochs == []


@contextmanager
def leased(shard: Shard, **settings: object) -> Iterator[Lease]:
    lease = Lease(Settings(database_url=shard.database, takeover_after_s=1.5, **settings))  # type: ignore[arg-type]
    lease.start()
    try:
        until(lambda: lease.view is not None, "look")
        yield lease
    finally:
        lease.close()


def workers(shard: Shard) -> list[dict[str, object]]:
    return shard.rows("SELECT worker_key, beat, may_hold FROM workers ORDER BY worker_key")


def test_a_lease_beats_and_takes_its_row_with_it(shard: Shard) -> None:
    with leased(shard, shards=("east", "main")) as lease:
        (row,) = workers(shard)
        assert (row["worker_key"], row["may_hold"]) == (lease.worker_key, ["east", "main"])
        until(lambda: workers(shard)[0]["beat"] != row["beat"], "beat")
        view = lease.view
        assert view is not None
        assert view.workers[lease.worker_key].present
        assert view.division.shards["main"].locked, "the test's own tenure has it"
        pledge = lease.term.pledge()
        assert pledge()
    assert workers(shard) == []


def test_one_that_was_taken_for_dead_comes_back_as_another(shard: Shard) -> None:
    with leased(shard) as lease:
        before, pledge = lease.worker_key, lease.term.pledge()
        shard.ask.execute("DELETE FROM workers")
        until(lambda: lease.worker_key != before, "new row")
        assert not pledge()
        until(lease.term.pledge(), "term")
        until(lambda: [row["worker_key"] for row in workers(shard)] == [lease.worker_key], "single row")


def test_a_lease_outlives_its_session_and_its_term_too(shard: Shard) -> None:
    with leased(shard) as lease:
        key, pledge = lease.worker_key, lease.term.pledge()
        shard.ask.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'underfoot-worker'"
            " AND datname = current_database()"
        )
        beat = workers(shard)[0]["beat"]
        until(lambda: workers(shard)[0]["beat"] != beat, "beat")
        assert (lease.worker_key, pledge()) == (key, True)


def test_rows_of_those_who_are_gone_are_cleaned_once_others_have_their_shards(shard: Shard) -> None:
    gone = add_worker(shard, beat=9)
    shard.ask.execute("INSERT INTO workers (name, beat) VALUES ('elsewhere:2', 3)")
    with leased(shard) as lease:
        until(lambda: {row["worker_key"] for row in workers(shard)} == {gone, lease.worker_key}, "cleaning")
        until(lambda: lease.view is not None and gone in lease.view.gone, "end of the one that still has a shard")
        shard.ask.execute("UPDATE shards SET worker_key = NULL")
        until(lambda: [row["worker_key"] for row in workers(shard)] == [lease.worker_key], "cleaning of it too")


def test_a_session_that_answers_nothing_is_given_up(shard: Shard) -> None:
    """Its statement waits for ever; the connection looks alive."""
    with leased(shard) as lease:
        key = lease.worker_key
        with connect(shard.database, "test") as blocking:
            blocking.execute("SELECT 1 FROM workers FOR UPDATE")
            pledge = lease.term.pledge()
            until(lambda: not pledge(), "end of the term")
            first = lease._connection
            deadline = time.monotonic() + 10
            while lease._connection is first:
                lease.break_off_if_hung()
                assert time.monotonic() < deadline, "it still waits on the same connection"
                time.sleep(0.05)
        until(lease.term.running, "new term")
        assert lease.worker_key == key
        assert not pledge()
