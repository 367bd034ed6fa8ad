"""The database's clock is set back: what waits for its time does not wait for that long again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from alerts.timers import mind_the_clock
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


def test_retries_leases_and_rests_of_the_time_before_are_brought_forward(owing: Owing) -> None:
    sink = owing.sink("platform", "http://127.0.0.1:9/")
    # As they are after the clock was set back by an hour: a retry due in 10 s, and one whose request was under way.
    waits, leased, soon, done = (owing.owe(sink, owing.alarm(number)) for number in range(4))
    change = "UPDATE outbox SET {} = now() + make_interval(secs => %s) WHERE delivery_key = %s"
    owing.execute(change.format("next_attempt_at"), HOUR_S + 10, waits)
    owing.execute(change.format("lease_until"), HOUR_S + LEASE_S, leased)
    owing.execute(change.format("next_attempt_at"), 200, soon)
    owing.execute(change.format("next_attempt_at"), HOUR_S, done)
    owing.execute("UPDATE outbox SET state = 'delivered', settled_at = now() WHERE delivery_key = %s", done)
    owing.execute("UPDATE sinks SET open_until = now() + make_interval(secs => %s)", HOUR_S + 30)

    with connect(owing.database, "test", autocommit=True) as connection:
        before = mind_the_clock(connection, float("-inf"), LEASE_S)
        assert ahead_s(owing, "next_attempt_at", waits) > HOUR_S, "no clock was set back"
        assert mind_the_clock(connection, before, LEASE_S) == pytest.approx(before, abs=1)
        assert ahead_s(owing, "next_attempt_at", waits) > HOUR_S, "no clock was set back"
        after = mind_the_clock(connection, before + HOUR_S, LEASE_S)

    assert after == pytest.approx(before, abs=1)
    assert after == pytest.approx(time.time() - time.monotonic(), abs=5)
    assert ahead_s(owing, "next_attempt_at", waits) <= 0
    assert LEASE_S - 5 < ahead_s(owing, "lease_until", leased) <= LEASE_S
    assert ahead_s(owing, "next_attempt_at", soon) > 190, "a retry that may be so far off"
    assert ahead_s(owing, "next_attempt_at", done) > HOUR_S - 10
    assert owing.sink_row(sink)["closed"] is False
