"""What is around ingest fails under load: the database stops, hangs, is killed; the broker restarts; a twin takes over.

Nothing that the broker had acknowledged is lost, and nobody has to help.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.system import evidence
from tests.system.city import DEVICES, LONG, City, until
from tests.system.fleet import Fleet, encoded, now_ms, report
from tests.system.fleet import Message as Sent
from tests.system.platform import SINK, add_platform_sink, deliver_quickly, everything_is_delivered, standing_in
from tests.system.publisher import load, probes_of, publishing, send
from tests.system.verdict import ALERTS_MB, INGEST_MB, Endures, all_is_well, silence_is_noticed

SILENCE_S = 4
"""At the rates of these tests no device is silent for longer, but through our fault."""


@pytest.fixture
def fleet(city: City) -> Fleet:
    add_platform_sink(city, SINK, "http://127.0.0.1:9/events")
    return Fleet(seed=4)


@pytest.mark.parametrize(
    ("seconds", "per_second"),
    [(20, 400), pytest.param(60, 2000, marks=pytest.mark.long)],
    ids=["20 s", "60 s"],
)
def test_the_database_is_stopped(city: City, seconds: float, per_second: int) -> None:
    deliver_quickly(city)
    with standing_in(city) as platform:
        fleet = Fleet(seed=4)
        alerts = silence_is_noticed(city, SILENCE_S)
        endures = [Endures(city.start_ingest(), INGEST_MB), Endures(alerts, ALERTS_MB)]
        with load(city, fleet.message, per_second):
            until(lambda: evidence.stored_rows(city) > 500, "load under way")
            city.installation.stop_server("postgres")
            time.sleep(seconds)  # the fault itself
            city.installation.start_server("postgres")
            city.caught_up(seconds=max(90, 4 * seconds))
        all_is_well(city, fleet, endures=endures)
        everything_is_delivered(city, platform)


def test_the_database_is_killed(city: City, fleet: Fleet) -> None:
    silence_is_noticed(city, SILENCE_S)
    endures = [Endures(city.start_ingest(), INGEST_MB)]
    with load(city, fleet.message, 500):
        for _ in range(10 if LONG else 2):
            before = evidence.stored_rows(city)
            until(lambda before=before: evidence.stored_rows(city) > before + 300, "load under way")
            city.installation.kill_server("postgres")
            city.installation.start_server("postgres")
            city.caught_up(seconds=90)
    all_is_well(city, fleet, endures=endures)


def test_the_database_hangs(city: City, fleet: Fleet) -> None:
    """It answers nothing and breaks nothing off. Ingest goes on reading, so that the broker does not cut it off, and
    what it has read is bounded by the broker's window."""
    city.installation.environment["UNDERFOOT_KEEPALIVE_S"] = "5"
    silence_is_noticed(city, SILENCE_S)
    endures = [Endures(city.start_ingest(), INGEST_MB)]
    with load(city, fleet.message, 900):
        with city.locked("books"):
            time.sleep(9)  # the fault itself: more than the 1.5 × 5 s after which the broker gives a silent client up
        city.caught_up(seconds=90)
    assert "connection lost" not in city.log("ingest")
    assert "tenure over" not in city.log("ingest")
    all_is_well(city, fleet, endures=endures)


def test_the_broker_is_restarted(city: City, fleet: Fleet) -> None:
    fleet.clocks_only()  # what the fleet sends twice can only be told by its time
    silence_is_noticed(city, 10)  # the fleet itself cannot send meanwhile
    endures = [Endures(city.start_ingest(), INGEST_MB)]
    with load(city, fleet.message, 500):
        for _ in range(5 if LONG else 1):
            before = evidence.stored_rows(city)
            until(lambda before=before: evidence.stored_rows(city) > before + 300, "load under way")
            city.installation.stop_server("mosquitto")
            city.installation.start_server("mosquitto")
            city.caught_up(seconds=90)
    all_is_well(city, fleet, endures=endures, resent=True)
    assert not city.rows("SELECT 1 FROM alarms WHERE rule_id = 'shard.session_lost'"), "its session was kept"


def test_the_broker_forgets_every_session(city: City, fleet: Fleet) -> None:
    """What waited at the broker just then is gone, and that is said. What came before and what comes after is not."""
    fleet.clocks_only()
    city.start_ingest()
    lost = "FROM episodes e JOIN alarms USING (alarm_key) WHERE rule_id = 'shard.session_lost'"
    with load(city, fleet.message, 300) as running:
        until(lambda: evidence.stored_rows(city) > 300, "load under way")
        before = set(fleet.sent.reports)
        running.acknowledged()
        city.caught_up()
        city.installation.stop_server("mosquitto", "--forget-sessions")
        city.installation.start_server("mosquitto")
        until(lambda: city.rows(f"SELECT 1 {lost}"), "alarm that the session was lost")
        until(lambda: city.rows(f"SELECT 1 {lost} AND cleared_at IS NOT NULL"), "its end: a probe came through")
        running.acknowledged()
        by_then = set(fleet.sent.reports)
        until(lambda: len(fleet.sent.reports) > len(by_then) + 300, "load under way")
    city.caught_up()
    assert city.rows(f"SELECT e.severity, e.clear_reason {lost}") == [(3, "session_restored")]
    stored = evidence.stored_numbers(city)
    assert before <= stored.keys()
    assert fleet.sent.reports - by_then <= stored.keys()
    assert set(stored.values()) == {1}
    assert city.value("SELECT sum(stored) FROM books") == len(stored)
    evidence.the_record_is_whole(city)


def test_a_second_ingest_waits_and_takes_over(city: City, fleet: Fleet) -> None:
    silence_is_noticed(city, SILENCE_S)
    first = city.start_ingest()
    epoch = city.value("SELECT epoch FROM shards")
    second = city.start("ingest", log="ingest-2.log")
    until(lambda: "held by another process" in city.log("ingest-2"), "second one waiting")
    with load(city, fleet.message, 400):
        until(lambda: evidence.stored_rows(city) > 400, "load under way")
        assert city.value("SELECT epoch FROM shards") == epoch
        os.kill(first.pid, signal.SIGKILL)
        killed = time.time()
        until(lambda: city.value("SELECT epoch FROM shards") == epoch + 1, "next tenure", 5)
        city.caught_up(killed, seconds=10)
        assert time.time() - killed < 10
    assert city.value("SELECT holder FROM shards").endswith(f":{second.pid}")
    all_is_well(city, fleet)


def test_one_that_was_stopped_for_a_while_goes_on(city: City, fleet: Fleet) -> None:
    """SIGSTOP, for longer than the broker waits for a sign of life, but not than its twin does."""
    city.installation.environment |= {"UNDERFOOT_KEEPALIVE_S": "5", "UNDERFOOT_TAKEOVER_AFTER_S": "30"}
    first = city.start_ingest()
    city.start("ingest", log="ingest-2.log")
    until(lambda: "held by another process" in city.log("ingest-2"), "second one waiting")
    with load(city, fleet.message, 300):
        until(lambda: evidence.stored_rows(city) > 200, "load under way")
        os.kill(first.pid, signal.SIGSTOP)
        time.sleep(9)  # the fault itself
        os.kill(first.pid, signal.SIGCONT)
        city.caught_up(seconds=60)
    assert "ingest.subscribe" in city.log("ingest"), "the broker had not given it up: this test shows nothing"
    assert "epoch" not in city.log("ingest-2")
    all_is_well(city, fleet)


def test_one_that_was_stopped_and_replaced_under_load(city: City, fleet: Fleet) -> None:
    """SIGSTOP; meanwhile the server gives its sessions up, and the twin takes over. Then it wakes up in mid-work."""
    first = city.start_ingest()
    epoch = city.value("SELECT epoch FROM shards")
    sessions = [
        pid
        for (pid,) in city.rows(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND starts_with(application_name, 'underfoot-')"
        )
    ]
    city.start("ingest", log="ingest-2.log")
    until(lambda: "held by another process" in city.log("ingest-2"), "second one waiting")
    with load(city, fleet.message, 500):
        until(lambda: evidence.stored_rows(city) > 300, "load under way")
        time.sleep(city.random.uniform(0, 0.3))
        os.kill(first.pid, signal.SIGSTOP)
        # As the server's own time-outs do when a machine vanishes: all sessions of that process.
        city.do("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS s (pid)", sessions)
        until(lambda: city.value("SELECT epoch FROM shards") == epoch + 1, "next tenure", 20)
        city.caught_up()
        os.kill(first.pid, signal.SIGCONT)
        until(lambda: "tenure over" in city.log("ingest"), "end of the first one's tenure")
        city.caught_up()
    assert city.value("SELECT epoch FROM shards") == epoch + 1
    all_is_well(city, fleet)


def test_the_server_too_notices_that_a_holder_has_vanished(city: City) -> None:
    """Its sessions have short keepalives on the server's side: else the lock of a machine that lost its power would be
    kept for hours."""
    city.start_ingest()
    ports = city.rows(
        "SELECT client_port FROM pg_stat_activity WHERE datname = current_database() AND application_name IN"
        " ('underfoot-lock-main', 'underfoot-ingest-main')"
    )
    assert len(ports) == 2
    server_port = int(city.database_url.rpartition("/")[0].rpartition(":")[2])
    for (port,) in ports:
        until(lambda port=port: _keepalive_within(server_port, port, 15), f"short keepalive timer for port {port}", 5)


def _keepalive_within(local_port: int, remote_port: int, seconds: float) -> bool:
    """Whether the kernel will ask the peer of this connection for a sign of life that soon (/proc/net/tcp, timer 2)."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{local_port:04X}") and fields[2].endswith(f":{remote_port:04X}"):
            timer, _, when = fields[5].partition(":")
            return timer == "02" and int(when, 16) / os.sysconf("SC_CLK_TCK") <= seconds
    return False


def test_a_ledger_import_under_way_holds_no_report_up(city: City) -> None:
    """Half a million devices take minutes, in one transaction; meanwhile covers open."""
    city.start_ingest()
    with city.connected(autocommit=False) as importing:
        importing.execute(
            "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
            " SELECT 'new-' || n, 'cover', '410502', 1, 86400 FROM generate_series(1, 100) AS n"
        )
        send(city, report(DEVICES["cover"][0], now_ms(), 1, open=True))
        city.caught_up(seconds=10)
        assert city.open_alarms(DEVICES["cover"][0]) == {"cover.open": 4}
        importing.commit()


def test_silence_proves_nothing_against_a_report_in_the_same_batch(city: City) -> None:
    """A tilt is about to be believed as nothing contrary has come; the contrary report is committed with that timer."""
    city.start_ingest()
    cover, began = DEVICES["cover"][0], now_ms()
    send(city, report(cover, began, 1, tilt_deg=12.0))
    until(lambda: city.rows("SELECT 1 FROM conditions WHERE due_at IS NOT NULL"), "silence that is waited for")
    probes = probes_of(city)
    with city.locked("books"):
        send(city, report(DEVICES["rain"][0], now_ms(), 2, amount_mm=0.0))
        until(
            lambda: city.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'books'::regclass"),
            "batch that is held up",
        )
        until(lambda: city.value("SELECT due_at < now() FROM conditions"), "due time")
        with publishing(city) as publisher:
            publisher.send(report(cover, began + 1000, 3, tilt_deg=1.0))  # before the tilt had held for long enough
            for probe in probes:
                now = {"sent_us": time.time_ns() // 1000}
                publisher.send(Sent(probe.topic, encoded(json.loads(probe.payload) | now)))
            publisher.acknowledged()
        city.do("INSERT INTO inbox (shard, kind, payload, key) VALUES ('main', 'timers', '{}', 'by the test')")
        city.do("NOTIFY underfoot_inbox, 'main'")
        time.sleep(0.3)  # the notification is on its way; should it come too late, the test is only weaker
    until(lambda: city.value("SELECT consumed_at IS NOT NULL FROM inbox"), "end of the command")
    city.caught_up()
    assert city.open_alarms(cover) == {}
    send(city, report(cover, now_ms(), 4, tilt_deg=1.0))
    city.caught_up()
    assert city.open_alarms(cover) == {}
    assert city.rows("SELECT 1 FROM conditions WHERE due_at IS NOT NULL") == []
    assert city.rows("SELECT 1 FROM episodes") == []
