"""From an alarm to the platform, with every process on the way killed or misbehaving: each notice once, in order."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from tests.system import evidence
from tests.system.city import City, until
from tests.system.fleet import Fleet
from tests.system.platform import Platform, add_platform_sink, everything_is_delivered
from tests.system.publisher import load

SINK = "platform"

_HOLDER = (
    "SELECT coalesce(max(l.pid), 0) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'underfoot-lock-alerts'"
    " AND a.datname = current_database()"
)


@pytest.fixture
def platform(city: City) -> Platform:
    started = Platform(city)
    add_platform_sink(city, SINK, f"{started.url}/events")
    city.installation.environment["UNDERFOOT_DELIVERY_RETRY_BASE_S"] = "0.2"
    return started


@pytest.mark.parametrize(
    ("kills", "per_second"), [(20, 300), pytest.param(120, 500, marks=pytest.mark.long)], ids=["20 kills", "120 kills"]
)
def test_alerts_killed_at_random_moments_under_load(
    city: City, platform: Platform, kills: int, per_second: int
) -> None:
    city.start_ingest()
    fleet = Fleet(seed=kills + 1)
    holder = 0
    working = city.start("alerts")
    with load(city, fleet.message, per_second):
        for _ in range(kills):
            # One works, one waits: so that a kill costs half a second, not the start of a process.
            waiting = city.start("alerts")
            known = holder
            holder = until(lambda known=known: _other_holder(city, known), "new holder of the lock", 60, every=0.02)
            time.sleep(city.random.uniform(0, 0.8))
            os.kill(working.pid, signal.SIGKILL)
            working.wait(10)
            working = waiting
    city.caught_up()

    evidence.everything_is_kept(city, fleet.sent)
    evidence.the_alarms_are_right(city, fleet.sent)
    owed = evidence.everything_is_owed(city, SINK)
    outcomes = everything_is_delivered(city, platform, SINK)
    assert outcomes["accepted"] == owed > 100


def _other_holder(city: City, known: int) -> int | None:
    """The database's session that holds the lock, once it is another."""
    pid = int(city.value(_HOLDER))
    return pid if pid and pid != known else None


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ({"kind": "refuse", "status": 503, "count": 8}, "refuse"),
        ({"kind": "error_code", "code": 500, "share": 0.3, "count": 30}, "error_code"),
        ({"kind": "lose_answer", "delay_s": 0, "share": 0.3, "count": 20}, "repeat"),
        ({"kind": "time_out", "delay_s": 3, "count": 4}, "time_out"),
    ],
    ids=["refuses, then accepts", "answers 200 with an error code", "its answer is lost", "times out"],
)
def test_the_platform_misbehaves(city: City, platform: Platform, told: dict[str, Any], outcome: str) -> None:
    city.installation.environment["UNDERFOOT_DELIVERY_TIMEOUT_S"] = "1.5"
    fleet = Fleet(seed=7)
    platform.tell("/behaviour", told)
    city.start_ingest()
    city.start("alerts")
    with load(city, fleet.message, 200):
        time.sleep(4)
    city.caught_up()
    owed = evidence.everything_is_owed(city, SINK)
    outcomes = everything_is_delivered(city, platform, SINK, seconds=150)
    assert outcomes["accepted"] == owed > 20
    assert outcomes[outcome] > 0


def test_the_token_expires(city: City, platform: Platform) -> None:
    """401 is the sink's failure: nothing is dead-lettered, an operator is told, and the renewed token ends it."""
    fleet = Fleet(seed=8)
    platform.tell("/behaviour", {"kind": "expire_token"})
    city.start_ingest()
    city.start("alerts")
    with load(city, fleet.message, 200):
        time.sleep(3)
    city.caught_up()
    failing = (
        "SELECT count(*) FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'sink.failing' AND cleared_at IS"
    )
    until(lambda: city.value(f"{failing} NULL") == 1, "alarm of the failing sink", 60)
    assert city.value("SELECT count(*) FROM outbox WHERE state <> 'owed'") == 0
    platform.tell("/token")
    everything_is_delivered(city, platform, SINK)
    until(lambda: city.value(f"{failing} NOT NULL") == 1, "end of the sink's alarm", 30)
