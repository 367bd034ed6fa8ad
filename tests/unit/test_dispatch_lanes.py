"""The pool that sinks share: nobody occupies it, nothing begins when its lease no longer covers it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from alerts.channels.interface import Delivered, Outcome, Retry
from alerts.deliver.breaker import OPENS_AFTER
from alerts.deliver.lanes import Done, Job, Lanes

GOOD = Delivered({})


def good() -> Outcome:
    return GOOD


@contextmanager
def pool(workers: int) -> Iterator[Lanes]:
    lanes = Lanes(workers, lambda: None)
    lanes.start()
    try:
        yield lanes
    finally:
        lanes.withdraw()
        assert lanes.stop(10)


def jobs(
    lane: int, count: int, send: Callable[[], Outcome] = good, begin_by: float | None = None, first: int = 0
) -> list[Job]:
    by = time.monotonic() + 60 if begin_by is None else begin_by
    return [Job(lane, lane * 1000 + first + number, by, send) for number in range(count)]


def taken(lanes: Lanes, count: int, within_s: float = 5.0) -> list[Done]:
    done: list[Done] = []
    until = time.monotonic() + within_s
    while len(done) < count and time.monotonic() < until:
        done += lanes.take()
        time.sleep(0.002)
    assert len(done) == count
    return done


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_a_sink_that_hangs_leaves_workers_for_others(workers: int) -> None:
    released = threading.Event()

    def hang() -> Outcome:
        released.wait(20)
        return GOOD

    with pool(workers) as lanes:
        try:
            for lane in (1, 2):
                assert lanes.room(lane, failing=False) > 0
            lanes.submit(jobs(1, 50, hang))
            time.sleep(0.05)
            lanes.submit(jobs(2, 30))
            assert {done.job.lane for done in taken(lanes, 30)} == {2}
        finally:
            released.set()


def test_hanging_sinks_together_run_at_most_half_once_they_are_known_to_be_slow() -> None:
    released = threading.Event()
    running = 0
    most = 0
    lock = threading.Lock()

    def hang() -> Outcome:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        released.wait(20)
        with lock:
            running -= 1
        return GOOD

    with pool(4) as lanes:
        try:
            for lane in range(1, 7):
                lanes.room(lane, failing=True)
                lanes.submit(jobs(lane, 5, hang))
            lanes.room(7, failing=False)
            lanes.submit(jobs(7, 20))
            taken(lanes, 20)
            assert most == 2
        finally:
            released.set()


def test_after_five_failures_in_a_row_nothing_more_begins() -> None:
    attempts: list[int] = []

    def refuse() -> Outcome:
        attempts.append(1)
        return Retry("refused")

    with pool(2) as lanes:
        lanes.room(1, failing=False)
        lanes.submit(jobs(1, 60, refuse))
        taken(lanes, OPENS_AFTER)
        time.sleep(0.1)
        assert len(attempts) + len(lanes.withdraw(1)) == 60
        assert OPENS_AFTER <= len(attempts) <= OPENS_AFTER + 1


def test_what_its_lease_no_longer_covers_is_given_back_unbegun() -> None:
    with pool(1) as lanes:
        lanes.room(1, failing=False)
        lanes.submit(jobs(1, 4, begin_by=time.monotonic() - 0.001))
        assert [done.outcome for done in taken(lanes, 4)] == [None] * 4


def test_a_fault_of_ours_is_not_the_sinks_and_the_worker_lives(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Outcome:
        raise KeyError("title")

    with pool(1) as lanes:
        lanes.room(1, failing=False)
        lanes.submit([*jobs(1, 3, broken), *jobs(1, 2, first=3)])
        outcomes = [done.outcome for done in taken(lanes, 5)]
    assert outcomes[:3] == [Retry("KeyError: 'title'", against_sink=False, maybe_received=True)] * 3
    assert outcomes[3:] == [GOOD, GOOD]
    assert "could not be attempted" in caplog.text


def test_stop_waits_for_what_is_under_way_and_begins_nothing_more() -> None:
    begun = threading.Event()

    def slow() -> Outcome:
        begun.set()
        time.sleep(0.2)
        return GOOD

    lanes = Lanes(1, lambda: None)
    lanes.start()
    lanes.room(1, failing=False)
    lanes.submit(jobs(1, 3, slow))
    assert begun.wait(5)
    assert lanes.stop(5)
    assert len(lanes.take()) == 1
    assert len(lanes.withdraw()) == 2
