"""The database goes by our clock in lapsed time too, and by its own without."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.integration.shard import HOUR, MINUTE, shard_of
from underfoot.clock import CLOCK, TimeLapse
from underfoot.storage.connect import connect

_CLOCKS = "SELECT our_clock(), our_now(), clock_timestamp(), now()"


@pytest.fixture
def lapse() -> Iterator[TimeLapse]:
    """Ours is an hour behind the machine's, and runs 60 times as fast."""
    made = TimeLapse(60, datetime.now(UTC) + timedelta(hours=1) / 59)
    CLOCK.set_going(made)
    yield made
    CLOCK.set_going(None)


def test_without_a_lapse_our_clock_is_the_databases_own(database: str) -> None:
    with connect(database, "test") as connection:
        before, now, after, their_now = connection.execute(_CLOCKS).fetchall()[0]
    assert now == their_now
    assert before <= after < before + timedelta(seconds=1)


def test_our_clock_is_the_same_in_the_database_as_in_python(database: str, lapse: TimeLapse) -> None:
    with connect(database, "test") as connection:
        before = CLOCK.now()
        clock, now, _, theirs = connection.execute(_CLOCKS).fetchall()[0]
        after = CLOCK.now()
        assert before - timedelta(seconds=1) <= clock <= after + timedelta(seconds=1)
        assert now == lapse.until - (lapse.until - theirs) * 60
    # Met: from here on the machine's.
    CLOCK.set_going(TimeLapse(60, datetime.now(UTC) - timedelta(seconds=1)))
    with connect(database, "test") as connection:
        _, now, _, theirs = connection.execute(_CLOCKS).fetchall()[0]
        assert now == theirs


def test_what_is_on_record_has_the_time_of_our_clock(database: str, lapse: TimeLapse) -> None:
    """A cover opens: the device was registered, the alarm committed and the minute booked by our clock."""
    with shard_of(database) as shard:
        shard.now_us = CLOCK.now_us()
        shard.commit(shard.says("C-1", {"open": True}))
        row = shard.one("SELECT raised_at, raised_received_at, committed_at FROM episodes")
        assert row["raised_at"] <= row["raised_received_at"] <= row["committed_at"] <= CLOCK.now()
        assert shard.one("SELECT minute FROM books")["minute"] <= CLOCK.now()
        assert shard.open("C-1") == {"cover.open": 4}


def test_a_gauge_that_falls_silent_in_lapsed_time_is_missed(database: str, lapse: TimeLapse) -> None:
    with shard_of(database) as shard:
        shard.ask.execute("UPDATE devices SET created_at = now() - interval '1 day'")
        shard.restart()
        shard.now_us = CLOCK.now_us() - 2 * HOUR
        shard.commit(shard.says("N-1", {"amount_mm": 0.0}))
        shard.wait(14 * MINUTE)
        shard.commit(*shard.probe(), look_around=True)
        assert shard.open("N-1") == {}
        shard.wait(CLOCK.now_us() - shard.now_us)
        shard.commit(*shard.probe(), look_around=True)
        assert "rain.offline" in shard.open("N-1")


def test_a_device_registered_in_lapsed_time_is_registered_then(database: str, lapse: TimeLapse) -> None:
    with connect(database, "test", autocommit=True) as connection:
        for statement in (
            "INSERT INTO areas (code, name, level) VALUES ('410502', '文峰区', 'district')",
            "INSERT INTO assets (asset_code, kind, name, area_code) VALUES ('1', '0103', '井', '410502')",
            (
                "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
                " SELECT 'C-1', 'cover', '410502', asset_key, 3600 FROM assets"
            ),
        ):
            connection.execute(statement.encode())
        [(created_at,)] = connection.execute("SELECT created_at FROM devices").fetchall()
    assert abs(created_at - CLOCK.now()) < timedelta(minutes=1)
    with psycopg.connect(database) as stranger:
        [(theirs,)] = stranger.execute("SELECT now()").fetchall()
    assert theirs - created_at > timedelta(minutes=50)
