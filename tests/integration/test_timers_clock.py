"""The database's clock is set back: what waits for its time does not wait for that long again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from alerts.timers import DatabaseClock
from tests.integration.owing import Owing
from underfoot.storage.connect import connect

HOUR_S = 3600
LEASE_S = 20


@pytest.fixture
def owing(database: str) -> Iterator[Owing]:
    owing = Owing(database)
    yield owing
    owing.close()


def ahead_s(owing: Owing, column: str, delivery: int) -> float:
    row = owing.rows(
        f"SELECT extract(epoch FROM {column} - now())::float8 AS s FROM outbox WHERE delivery_key = %s", delivery
    )
    return float(row[0]["s"])


class Machine:
    """A clock that nobody can set. The database's is set back by letting this one get on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def passed_s(self) -> float:
        return time.monotonic() + self.seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def watch(owing: Owing, machine: Machine) -> Iterator[Callable[[], None]]:
    """Looks once more."""
    clock = DatabaseClock(LEASE_S, machine.passed_s)
    with connect(owing.database, "test", autocommit=True) as connection:
        clock.look(connection)
        yield lambda: clock.look(connection)


CHANGE = "UPDATE outbox SET {} = now() + make_interval(secs => %s) WHERE delivery_key = %s"


def test_retries_leases_and_rests_of_the_time_before_are_brought_forward(
    owing: Owing, machine: Machine, watch: Callable[[], None]
) -> None:
    sink = owing.sink("platform", "http://127.0.0.1:9/")
    # As they are after the clock was set back by an hour: a retry due in 10 s, and one whose request was under way.
    waits, leased, soon, done = (owing.owe(sink, owing.alarm(number)) for number in range(4))
    owing.execute(CHANGE.format("next_attempt_at"), HOUR_S + 10, waits)
    owing.execute(CHANGE.format("lease_until"), HOUR_S + LEASE_S, leased)
    owing.execute(CHANGE.format("next_attempt_at"), 200, soon)
    owing.execute(CHANGE.format("next_attempt_at"), HOUR_S, done)
    owing.execute("UPDATE outbox SET state = 'delivered', settled_at = now() WHERE delivery_key = %s", done)
    owing.execute("UPDATE sinks SET open_until = now() + make_interval(secs => %s)", HOUR_S + 30)
    watch()
    assert ahead_s(owing, "next_attempt_at", waits) > HOUR_S, "no clock was set back"

    machine.seconds += HOUR_S
    watch()

    assert ahead_s(owing, "next_attempt_at", waits) <= 0
    assert LEASE_S - 5 < ahead_s(owing, "lease_until", leased) <= LEASE_S
    assert ahead_s(owing, "next_attempt_at", soon) > 190, "a retry that may be so far off"
    assert ahead_s(owing, "next_attempt_at", done) > HOUR_S - 10
    assert owing.sink_row(sink)["closed"] is False


def test_what_had_begun_before_and_is_committed_after_is_brought_forward_too(
    owing: Owing, machine: Machine, watch: Callable[[], None]
) -> None:
    sink = owing.sink("platform", "http://127.0.0.1:9/")
    machine.seconds += HOUR_S
    watch()
    late = owing.owe(sink, owing.alarm(1))
    owing.execute(CHANGE.format("next_attempt_at"), HOUR_S, late)
    watch()
    assert ahead_s(owing, "next_attempt_at", late) > HOUR_S - 10, "not each time that somebody looks"
    machine.seconds += DatabaseClock.AGAIN_AFTER_S[1]
    watch()
    assert ahead_s(owing, "next_attempt_at", late) <= 0
    # What waits for the end of quiet hours, say, is not brought forward for ever.
    machine.seconds += DatabaseClock.AGAIN_AFTER_S[-1]
    watch()
    owing.execute(CHANGE.format("next_attempt_at"), HOUR_S, late)
    machine.seconds += 1
    watch()
    assert ahead_s(owing, "next_attempt_at", late) > HOUR_S - 10


def test_what_was_left_while_nobody_watched_is_brought_forward_at_the_beginning(owing: Owing) -> None:
    sink = owing.sink("platform", "http://127.0.0.1:9/")
    waits = owing.owe(sink, owing.alarm(1))
    owing.execute(CHANGE.format("next_attempt_at"), HOUR_S, waits)
    with connect(owing.database, "test", autocommit=True) as connection:
        DatabaseClock(LEASE_S).look(connection)
    assert ahead_s(owing, "next_attempt_at", waits) <= 0
