"""kill -9 of alerts, again and again while deliveries flow: nothing owed is lost, and repeats have equal keys."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.system import evidence
from tests.system.city import City, until
from tests.system.fleet import Fleet
from tests.system.platform import deliver_quickly, everything_owed_is_delivered, standing_in
from tests.system.publisher import load


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("kills", "per_second"),
    [(12, 150), pytest.param(120, 200, marks=pytest.mark.long)],
    ids=["12 kills", "120 kills"],
)
def test_killed_at_random_moments_while_deliveries_flow(city: City, kills: int, per_second: int) -> None:
    deliver_quickly(city)
    with standing_in(city) as platform:
        platform.tell("delay", delay_s=0.05, share=0.5)
        platform.tell("lose_answer", delay_s=0.1, share=0.02)
        fleet = Fleet(seed=kills)
        city.start_ingest()
        works: subprocess.Popen[str] = city.start("alerts")
        holder = until(lambda: _holder(city), "holder of the alerts' lock")
        with load(city, fleet.message, per_second):
            for _ in range(kills):
                # As for ingest, the next one waits already; there is only one, so it is the one to take over.
                waits = city.start("alerts")
                until(lambda: _waiting(city) == 1, "next one waiting", every=0.01)
                time.sleep(city.random.uniform(0, 0.6))
                os.kill(works.pid, signal.SIGKILL)
                works = waits
                before = holder
                holder = until(lambda before=before: _holder(city, before), "takeover", every=0.01)
        city.caught_up()
        platform.behave()
        assert everything_owed_is_delivered(city, platform) > 100
        assert platform.records("repeat"), "no kill came between the platform's answer and our note of it"
        evidence.everything_is_kept(city, fleet.sent)
        evidence.the_alarms_are_right(city, fleet.sent)
        evidence.the_record_is_whole(city)


def _holder(city: City, before: int | None = None) -> int | None:
    """The server's process that holds the lock of `underfoot alerts`, once it is another than `before`."""
    found = city.rows(
        "SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
        " AND a.datname = current_database() AND a.application_name = 'underfoot-lock-alerts'"
    )
    return found[0][0] if found and found[0][0] != before else None


def _waiting(city: City) -> int:
    count: int = city.value(
        "SELECT count(*) FROM pg_stat_activity a WHERE a.datname = current_database()"
        " AND a.application_name = 'underfoot-lock-alerts'"
        " AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted)"
    )
    return count
