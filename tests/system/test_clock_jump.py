"""The clock of our own machine is set an hour forward, or back, under load, and later put right.

Devices know the right time all the while. None of them is called offline for it, no report is lost or misjudged, and
whatever was waited for still comes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.system import evidence
from tests.system.city import DEVICES, PROBE_S, City, until, write_ledger
from tests.system.clock import WrongClock
from tests.system.fleet import Fleet, now_ms, report
from tests.system.installation import Installation
from tests.system.platform import SINK, add_platform_sink, deliver_quickly, everything_is_delivered, standing_in
from tests.system.publisher import load, publishing, send
from tests.system.verdict import ALERTS_MB, INGEST_MB, Endures, all_is_well, silence_is_noticed

SILENCE_S = 4
LONGER_THAN_ALLOWED_S = 8
"""Than a cover may be silent, at that interval."""

FORWARD = pytest.param(1, id="an hour forward")
BACK = pytest.param(-1, id="an hour back")


@pytest.fixture
def clock(city: City) -> Iterator[WrongClock]:
    """Every process of the city has this clock."""
    made = WrongClock(city.installation.folder)
    city.installation.environment |= made.environment
    yield made
    city.installation.end_processes()


def under_way(city: City, reports: int = 300) -> None:
    before = evidence.stored_rows(city)
    until(lambda: evidence.stored_rows(city) > before + reports, "load under way", 60)


def offline(city: City) -> list[str]:
    """Who has ever been called that."""
    rows = city.rows(
        "SELECT DISTINCT d.device_id FROM episodes JOIN alarms al USING (alarm_key) JOIN devices d USING (device_key)"
        " WHERE al.rule_id LIKE '%%.offline'"
    )
    return [device_id for (device_id,) in rows]


def the_marks_are_right(city: City) -> None:
    """A device's own time is set aside exactly where it is not within what is believed of the time of receipt."""
    for family in DEVICES:
        wrong = city.rows(
            "WITH told AS (SELECT extra #>> '{report,n}' AS n, ts <> received_at AS believed, received_at,"
            " coalesce(to_timestamp((extra ->> 'device_ts')::float8 / 1000), ts) AS own"
            f" FROM report_{family} WHERE coalesce(jsonb_typeof(extra -> 'device_ts'), 'number') = 'number'"
            " AND NOT (extra ? 'device_ts' AND extra ->> 'device_ts' IS NULL))"
            " SELECT n, own, received_at FROM told"
            " WHERE believed AND own NOT BETWEEN received_at - interval '7 days' AND received_at + interval '5 minutes'"
        )
        assert wrong == [], f"{family}: {wrong[:3]}"


@pytest.mark.parametrize("hours", [FORWARD, pytest.param(-1, id="an hour back", marks=pytest.mark.long)])
def test_the_clock_of_our_processes_is_set(city: City, clock: WrongClock, hours: int) -> None:
    deliver_quickly(city)
    with standing_in(city) as platform:
        fleet = Fleet(seed=12)
        ingest = city.start_ingest()
        alerts = silence_is_noticed(city, SILENCE_S)
        endures = [Endures(ingest, INGEST_MB), Endures(alerts, ALERTS_MB)]
        with load(city, fleet.message, 300):
            under_way(city)
            for wrong_by in (hours, 0):
                clock.set(wrong_by)
                time.sleep(LONGER_THAN_ALLOWED_S)
                assert offline(city) == []
            under_way(city)
        # What has once been set forward stays so for a while, when it is put right.
        all_is_well(city, fleet, endures=endures, clock_ahead_s=max(hours, 0) * 3600)
        the_marks_are_right(city)
        everything_is_delivered(city, platform)


@pytest.mark.long
@pytest.mark.parametrize("hours", [FORWARD, BACK])
def test_the_clock_of_everything_is_set(installation: Installation, hours: int) -> None:
    """The database's and the broker's, too. Deliveries that wait for their next attempt get it."""
    clock = WrongClock(installation.folder)
    before = dict(installation.environment)
    installation.environment |= clock.servers_too() | {"UNDERFOOT_PROBE_INTERVAL_S": str(PROBE_S)}
    installation.run("up")
    installation.environment["PATH"] = before["PATH"]
    ledger = installation.folder / "ledger.csv"
    write_ledger(ledger)
    installation.run("devices", "import", str(ledger))
    status = installation.status()
    installation.environment |= clock.environment
    with closing(City(installation, status["database_url"], status["mqtt_url"])) as city, standing_in(city) as platform:
        deliver_quickly(city)
        fleet = Fleet(seed=13)
        ingest = city.start_ingest()
        alerts = silence_is_noticed(city, SILENCE_S)
        endures = [Endures(ingest, INGEST_MB), Endures(alerts, ALERTS_MB)]
        with load(city, fleet.message, 300):
            under_way(city)
            platform.tell("refuse", status=503)
            under_way(city)
            for wrong_by in (hours, 0):
                clock.set(wrong_by)
                until(lambda wrong_by=wrong_by: _wrong_by(city) == wrong_by, "clock of the database", 10)
                time.sleep(LONGER_THAN_ALLOWED_S)
                assert offline(city) == []
            platform.behave()
            under_way(city)
        all_is_well(city, fleet, endures=endures, clock_ahead_s=max(hours, 0) * 3600)
        everything_is_delivered(city, platform)


def _wrong_by(city: City) -> int:
    return round((float(city.value("SELECT extract(epoch FROM clock_timestamp())")) - time.time()) / 3600)


@pytest.mark.parametrize("hours", [pytest.param(1, id="an hour forward", marks=pytest.mark.long), BACK])
def test_what_waits_for_silence_still_comes(city: City, clock: WrongClock, hours: int) -> None:
    """A tilt has to be held for 3 s without a contrary word; just then the clock is set. Nothing else is ever said."""
    add_platform_sink(city, SINK, "http://127.0.0.1:9/events")
    city.installation.environment["UNDERFOOT_TIMER_INTERVAL_S"] = "0.1"
    city.start_ingest()
    city.start("alerts")
    cover = DEVICES["cover"][0]
    send(city, report(cover, now_ms(), 1, tilt_deg=12.0))
    clock.set(hours)
    until(lambda: city.open_alarms(cover) == {"cover.tilt": 2}, "alarm that silence has proven", 20)


@pytest.mark.long
@pytest.mark.parametrize("hours", [FORWARD, BACK])
def test_a_clock_that_stays_as_it_was_set(city: City, clock: WrongClock, hours: int) -> None:
    """What stays is believed: from then on devices that fall silent are called offline, and no others."""
    city.installation.environment["UNDERFOOT_CLOCK_SETTLES_S"] = "2"
    city.do("UPDATE devices SET created_at = now() - interval '1 day', updated_at = clock_timestamp()")
    city.start_ingest()
    talking, silent = DEVICES["cover"][:10], DEVICES["cover"][10]
    with publishing(city) as publisher:

        def say(*devices: str) -> None:
            for device_id in devices:
                publisher.send(report(device_id, now_ms(), open=False))
            publisher.acknowledged()
            time.sleep(0.5)

        say(*talking, silent)
        city.caught_up()
        silence_is_noticed(city, SILENCE_S, [*talking, silent], heard_of=True)
        clock.set(hours)
        set_at = time.monotonic()
        while time.monotonic() - set_at < 3:
            say(*talking, silent)
        believed = "SELECT abs(extract(epoch FROM caught_up_to) - %s) < 60 FROM shards"
        while not city.value(believed, time.time() + hours * 3600):
            assert time.monotonic() - set_at < 30, "the new time is never believed"
            say(*talking, silent)
        for _ in range(6):
            say(*talking, silent)
        assert offline(city) == []
        for _ in range(30):
            say(*talking)
        # Set back: by the new time it was heard of in the future, so that its silence is noticed an hour later.
        assert offline(city) == ([silent] if hours > 0 else [])
