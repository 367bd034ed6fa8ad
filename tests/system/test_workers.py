"""Several ingests share the shards, and are killed, stopped and cut off under load: what is on record is what was sent,
in order, and none that was taken for dead commits or acknowledges anything."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.system import evidence
from tests.system.city import DISTRICTS, City, signal_and_wait, spread, topic, until
from tests.system.fleet import Fleet, Message, now_ms, report
from tests.system.platform import SINK, add_platform_sink
from tests.system.publisher import load, send
from tests.system.workers import Crew, Ingest, crew_of, nobody_commits_who_was_fenced_off, write_down_commits

FAULTS = ("kill", "pause", "cut")


@pytest.fixture
def divided(spread_city: City) -> City:
    """Five districts, each a shard, and `main`."""
    spread_city.installation.run("shards", "split")
    assert spread_city.value("SELECT count(*) FROM shards") == len(DISTRICTS) + 1
    return spread_city


@pytest.mark.parametrize(
    ("size", "faults", "per_second"),
    [
        (2, 3, 250),
        (4, 3, 250),
        pytest.param(2, 60, 400, marks=pytest.mark.long),
        pytest.param(4, 60, 400, marks=pytest.mark.long),
    ],
    ids=["2 workers", "4 workers", "2 workers, long", "4 workers, long"],
)
def test_workers_are_killed_stopped_and_cut_off_at_random(
    divided: City, size: int, faults: int, per_second: int
) -> None:
    city = divided
    add_platform_sink(city, SINK, "http://127.0.0.1:9/events")
    write_down_commits(city)
    fleet = Fleet(seed=size * faults, home=spread)
    with crew_of(city, size) as crew:
        crew.shared_evenly()
        city.caught_up()  # every session exists before anything is sent
        with load(city, fleet.message, per_second):
            for number in range(faults):
                time.sleep(city.random.uniform(0, 1))
                befall(crew, FAULTS[number % 3], city.random.choice(crew.members))
                crew.shared_evenly()
        city.caught_up(seconds=120)
        evidence.everything_is_kept(city, fleet.sent)
        books = evidence.the_books_balance(city, fleet.sent)
        assert books["redelivered"] > 0, "no fault came between a commit and its acknowledgement, or before the commit"
        evidence.the_alarms_are_right(city, fleet.sent)
        evidence.the_record_is_whole(city)
        assert evidence.everything_is_owed(city, SINK) > 100
        assert nobody_commits_who_was_fenced_off(city) > len(DISTRICTS) + faults // 2
        assert city.value("SELECT count(*) FROM workers") == size, "rows of workers that are no more"
        thrown_out = sum(city.log(path.stem).count("ingest.subscribe") for path in crew.logs())
        assert thrown_out <= 2 * city.value("SELECT sum(epoch) FROM shards"), "two have fought over a session"


def befall(crew: Crew, fault: str, member: Ingest) -> None:
    """It happens, others take over, and it is mended: by a new process, by going on, by a network that works again."""
    if fault == "kill":
        crew.kill(member)
        crew.join()
    elif fault == "pause":
        os.kill(member.pid, signal.SIGSTOP)
        crew.holds_nothing(member)
        os.kill(member.pid, signal.SIGCONT)
    else:
        member.way.swallow()
        crew.holds_nothing(member)
        assert member.way.swallowed, "it has said nothing meanwhile: this shows nothing"
        member.way.heal(reset=False)


def test_shares_follow_those_that_are_there_and_stay_when_nothing_happens(divided: City) -> None:
    city = divided
    with crew_of(city, 1) as crew:
        crew.shared_evenly()
        crew.join()
        crew.shared_evenly()
        crew.join()
        crew.shared_evenly()
        epochs = city.rows("SELECT shard, epoch FROM shards ORDER BY shard")
        assert max(epoch for _, epoch in epochs) <= 3, "more has changed hands than must"
        time.sleep(3)
        assert city.rows("SELECT shard, epoch FROM shards ORDER BY shard") == epochs
        leaving = crew.members.pop()
        asked = time.monotonic()
        assert signal_and_wait(leaving.process, signal.SIGTERM) == 0
        crew.shared_evenly(10)
        assert time.monotonic() - asked < 10
        assert city.value("SELECT count(*) FROM workers") == 2
        held = city.installation.run("shards", "list", "--json").stdout
        assert held.count('"held": true') == len(DISTRICTS) + 1


def test_one_holds_only_what_it_may(divided: City) -> None:
    with crew_of(divided, 0) as crew:
        only = crew.join(UNDERFOOT_SHARDS="main,410502")
        until(lambda: crew.held() == {only.pid: 2}, "both shards that it may hold")
        other = crew.join()
        until(lambda: crew.held() == {only.pid: 2, other.pid: 4}, "the others, with the other")


def test_one_that_was_cut_off_alone_goes_on_by_itself(divided: City) -> None:
    """Nobody takes over: its own sessions, which the database still believes in, stand in its way."""
    city = divided
    with crew_of(city, 1) as crew:
        crew.shared_evenly()
        city.caught_up()
        (member,) = crew.members
        epochs = city.value("SELECT sum(epoch) FROM shards")
        member.way.swallow()
        until(lambda: "letting go of 6 shards" in city.log("ingest-1"), "end of its tenures")
        member.way.heal(reset=False)
        until(lambda: city.value("SELECT sum(epoch) FROM shards") == epochs + 6, "next tenures", 30)
        crew.shared_evenly()
        city.caught_up()
        assert member.process.poll() is None


def opened(device_id: str) -> Message:
    return Message(topic(device_id, district=spread(device_id)), report(device_id, now_ms(), open=True).payload)


def test_a_shard_that_cannot_be_loaded_harms_no_other(divided: City) -> None:
    city = divided
    sick, well = (next(f"cover-{n:03d}" for n in range(1, 20) if spread(f"cover-{n:03d}") == d) for d in DISTRICTS[:2])
    # What no version of ours would write.
    city.do(
        "INSERT INTO conditions (subject_kind, subject_key, rule_id, shard, state)"
        " SELECT 'device', device_key, 'cover.open', shard, '{\"level\": \"high\"}' FROM devices WHERE device_id = %s",
        sick,
    )
    with crew_of(city, 1):
        until(lambda: "tenure over" in city.log("ingest-1"), "failure of the one shard")
        until(lambda: city.value("SELECT count(*) FROM shards WHERE session_known") == 5, "sessions of the others")
        send(city, opened(well))
        until(lambda: city.open_alarms(well) == {"cover.open": 4}, "alarm of another shard")
        city.do("DELETE FROM conditions")
        until(lambda: city.value("SELECT count(*) FROM shards WHERE session_known") == 6, "the mended shard", 15)
        send(city, opened(sick))
        until(lambda: city.open_alarms(sick) == {"cover.open": 4}, "alarm of the mended shard")
