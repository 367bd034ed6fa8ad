"""kill -9 of ingest, again and again under load: what is on record is what was sent, as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.system import evidence
from tests.system.city import City, until
from tests.system.fleet import Fleet
from tests.system.platform import deliver_quickly, everything_owed_is_delivered, standing_in
from tests.system.publisher import load
from tests.system.verdict import INGEST_MB, all_is_well, peak_mb, silence_is_noticed


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("kills", "per_second"),
    [(12, 500), pytest.param(200, 800, marks=pytest.mark.long)],
    ids=["12 kills", "200 kills"],
)
def test_killed_at_random_moments_under_load(city: City, kills: int, per_second: int) -> None:
    deliver_quickly(city)
    # What waits grows while it is killed again and again: not what a single device sends at most.
    city.installation.environment["UNDERFOOT_DEVICE_BURST"] = "1000000"
    with standing_in(city) as platform:
        fleet = Fleet(seed=kills)
        holders: set[int] = set()
        silence_is_noticed(city, 4)
        city.start_ingest()  # before anything is sent: its session must exist
        with load(city, fleet.message, per_second):
            for kill in range(kills):
                # One works, one waits: so that a kill costs half a second, not the start of a process.
                city.start("ingest")
                pid = until(lambda: _new_holder(city, holders), "new holder of the shard", 60, every=0.01)
                holders.add(pid)
                if kill % 2:
                    # On a slow machine the time until it is killed may not be enough for a first commit.
                    before = evidence.stored_rows(city)
                    until(lambda before=before: evidence.stored_rows(city) > before, "a commit of the new holder", 60)
                time.sleep(city.random.uniform(0, 0.8))
                assert peak_mb(pid) <= INGEST_MB
                os.kill(pid, signal.SIGKILL)
        assert len(holders) == kills
        city.caught_up(seconds=900)
        books = all_is_well(city, fleet)
        assert books["redelivered"] > 0, "no kill came between a commit and its acknowledgement, or before the commit"
        assert everything_owed_is_delivered(city, platform) > 100


def _new_holder(city: City, known: set[int]) -> int | None:
    """The process that holds the shard, once it is another than those killed."""
    holder = city.value("SELECT coalesce(holder, ':0') FROM shards")
    pid = int(holder.rpartition(":")[2])
    return pid if pid and pid not in known else None
