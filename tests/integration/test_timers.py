"""Timers: what becomes true because nothing came, judged by `caught_up_to`; nobody is offline for our own outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from alerts.timers import post_due, run_timers
from ingest.offline import MOST_AT_ONCE
from tests.integration.shard import HOUR, MINUTE, SECOND, Shard, shard_of
from underfoot.storage.connect import Connection, connect


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    """Its ledger is from a month ago, but only C-1 and U-1 are in service."""
    with shard_of(module_database) as made:
        made.ask.execute("UPDATE devices SET created_at = now() - interval '30 days'")
        made.ask.execute("UPDATE devices SET status = 'retired' WHERE device_id NOT IN ('C-1', 'U-1')")
        made.restart()
        yield made


@pytest.fixture
def timers(module_database: str) -> Iterator[Connection]:
    with connect(module_database, "timers", autocommit=True) as connection:
        yield connection


def hear_all(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": False}), shard.says("U-1", {"running": True}))


def offline(shard: Shard) -> list[str]:
    rows = shard.rows(
        "SELECT device_id FROM episodes JOIN alarms USING (alarm_key) JOIN devices USING (device_key)"
        " WHERE cleared_at IS NULL AND rule_id LIKE '%%.offline' ORDER BY device_id"
    )
    return [row["device_id"] for row in rows]


def look(shard: Shard) -> int:
    """How many more are offline."""
    before = len(offline(shard))
    shard.look_around()
    return len(offline(shard)) - before


def test_offline_after_its_own_interval(shard: Shard) -> None:
    """A pump each 60 s: three intervals and 120 s. A cover each day: a day and a half."""
    hear_all(shard)
    shard.wait(5 * MINUTE - SECOND)
    shard.catch_up()
    assert look(shard) == 0
    shard.wait(2 * SECOND)
    shard.catch_up()
    assert look(shard) == 1
    assert offline(shard) == ["U-1"]
    shard.wait(36 * HOUR)
    shard.catch_up()
    look(shard)
    assert offline(shard) == ["C-1", "U-1"]
    assert look(shard) == 0, "who is offline already is not called again"
    hear_all(shard)
    assert offline(shard) == []


def test_nobody_is_offline_before_we_have_ever_caught_up(shard: Shard) -> None:
    hear_all(shard)
    shard.ask.execute("UPDATE latest_cover SET received_at = received_at - interval '20 days'")
    assert look(shard) == 0


def test_nobody_is_offline_for_our_own_outage(shard: Shard) -> None:
    """We were away for two days and everybody went on reporting. Their reports wait at the broker before our probe."""
    hear_all(shard)
    shard.catch_up()
    waiting = []
    for _ in range(48):
        shard.wait(HOUR)
        waiting += [shard.says("C-1", {"open": False}), shard.says("U-1", {"running": True})]
    shard.restart()
    probe = shard.probe()
    assert look(shard) == 0, "away for two days: but caught up only until we left"
    for arrival in waiting[:-2]:
        # Received only now, but what the queue held is stored before the probe that was sent after it.
        shard.commit(arrival._replace(received_us=shard.now_us))
        assert look(shard) == 0
    shard.commit(*waiting[-2:], *probe)
    assert look(shard) == 0
    assert offline(shard) == []


def test_who_was_silent_through_our_outage_is_offline_once_we_caught_up(shard: Shard) -> None:
    hear_all(shard)
    shard.wait(48 * HOUR)
    shard.commit(shard.says("U-1", {"running": True}))
    assert look(shard) == 0
    shard.catch_up()
    assert look(shard) == 1
    assert offline(shard) == ["C-1"]


def test_device_that_never_reported_counts_from_its_registration(shard: Shard) -> None:
    shard.ask.execute("UPDATE devices SET created_at = now() WHERE device_id = 'C-1'")
    shard.restart()
    shard.wait(35 * HOUR)
    shard.catch_up()
    look(shard)
    assert offline(shard) == ["U-1"], "registered a month ago and never heard"
    shard.wait(2 * HOUR)
    shard.catch_up()
    look(shard)
    assert offline(shard) == ["C-1", "U-1"]


@pytest.mark.parametrize("status", ["maintenance", "retired"])
def test_device_out_of_service_is_not_missed(shard: Shard, status: str) -> None:
    shard.ask.execute("UPDATE devices SET status = %s", [status])
    shard.wait(48 * HOUR)
    shard.catch_up()
    assert look(shard) == 0


def test_many_silent_devices_come_bit_by_bit(shard: Shard) -> None:
    shard.ask.execute(
        "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s, created_at)"
        " SELECT 'X-' || n, 'lamp', '410502', (SELECT min(asset_key) FROM assets), 60, now() - interval '9 days'"
        " FROM generate_series(1, 2100) n"
    )
    shard.restart()
    shard.catch_up()
    assert [look(shard), look(shard), look(shard), look(shard)] == [MOST_AT_ONCE, MOST_AT_ONCE, 102, 0]
    assert len(offline(shard)) == 2102


@pytest.mark.parametrize("behind", ["main", "410599", "a message"])
def test_who_may_report_another_way_is_not_missed_while_that_is_behind(shard: Shard, behind: str) -> None:
    """C-1's gateway stands in another shard's district; pushed messages come by main, through an inbox."""
    shard.ask.execute("INSERT INTO gateways (gateway_id, district) VALUES ('G-1', '410599')")
    shard.ask.execute(
        "UPDATE devices SET gateway_key = (SELECT min(gateway_key) FROM gateways) WHERE device_id = 'C-1'"
    )
    shard.ask.execute(
        "INSERT INTO shards (shard, filters, districts, caught_up_to)"
        " VALUES ('east', '{}', '{410599}', now() + interval '1 year')"
    )
    shard.restart()
    hear_all(shard)
    shard.wait(48 * HOUR)
    if behind == "410599":
        shard.ask.execute("UPDATE shards SET caught_up_to = now() WHERE shard = 'east'")
    elif behind == "a message":
        shard.ask.execute("INSERT INTO inbox (shard, kind, payload, key) VALUES ('east', 'message', '{}', 'waits')")
    shard.commit(*shard.probe())
    if behind == "main":
        shard.ask.execute("UPDATE shards SET caught_up_to = NULL WHERE shard = 'main'")
    look(shard)
    missed = {"main": [], "410599": ["U-1"], "a message": []}[behind]
    assert offline(shard) == missed
    shard.ask.execute("DELETE FROM inbox WHERE key = 'waits'")
    shard.ask.execute("UPDATE shards SET caught_up_to = now() + interval '1 year' WHERE shard = 'east'")
    shard.wait(MINUTE)
    shard.catch_up()
    look(shard)
    assert offline(shard) == ["C-1", "U-1"]


def test_due_silence_is_posted_once_for_what_is_caught_up(shard: Shard, timers: Connection) -> None:
    shard.commit(shard.says("C-1", {"tilt_deg": 23.0}))
    shard.wait(2 * SECOND)
    shard.catch_up()
    assert post_due(timers) == 0, "held for 2 s of 3"
    shard.wait(2 * SECOND)
    shard.catch_up()
    assert [post_due(timers), post_due(timers)] == [1, 0]
    shard.look_around()
    assert shard.open("C-1") == {"cover.tilt": 3}
    shard.catch_up()
    assert post_due(timers) == 0


def test_shard_is_woken_by_what_is_posted(shard: Shard, timers: Connection) -> None:
    with connect(shard.database, "listener", autocommit=True) as listener:
        listener.execute("LISTEN underfoot_inbox")
        shard.catch_up()
        shard.commit(shard.says("C-1", {"tilt_deg": 23.0}))
        shard.wait(4 * SECOND)
        shard.catch_up()
        assert post_due(timers) == 1
        (notify,) = list(listener.notifies(timeout=5, stop_after=1))
        assert notify.payload == "main"


def test_rule_of_a_city_decides_how_long_is_silent(shard: Shard) -> None:
    shard.ask.execute(
        """INSERT INTO rules (rule_id, version, body, created_by)
           SELECT rule_id, 2, body || '{"intervals": 10}', 'li' FROM rules WHERE rule_id = 'pump.offline'"""
    )
    shard.restart()
    hear_all(shard)
    shard.wait(11 * MINUTE)
    shard.catch_up()
    assert look(shard) == 0
    shard.wait(2 * MINUTE)
    shard.catch_up()
    assert look(shard) == 1


def test_timers_wait_out_the_databases_absence(shard: Shard) -> None:
    """The process itself: it posts what is due, loses its connection, and goes on."""
    settings = shard.settings.model_copy(update={"timer_interval_s": 0.05})
    stop = threading.Event()
    thread = threading.Thread(target=run_timers, args=(settings, stop))
    thread.start()
    try:
        for device_id in ("C-1", "C-2"):
            shard.commit(shard.says(device_id, {"tilt_deg": 23.0}))
            shard.wait(4 * SECOND)
            shard.commit(shard.says("U-1", {"running": True}), *shard.probe())
            end = time.monotonic() + 10
            while f"cover.tilt of {device_id}" not in {f"cover.tilt of {d}" for d in tilted(shard)}:
                assert time.monotonic() < end
                shard.look_around()
                time.sleep(0.05)
            shard.ask.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'underfoot-timers' AND datname = current_database()"
            )
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def tilted(shard: Shard) -> list[str]:
    rows = shard.rows(
        "SELECT device_id FROM episodes JOIN alarms USING (alarm_key) JOIN devices USING (device_key)"
        " WHERE cleared_at IS NULL AND rule_id = 'cover.tilt'"
    )
    return [row["device_id"] for row in rows]
