"""The path from an arrival to its commit: books, clocks, commands, restarts, fencing. Against the real database; the
test is the broker, and so decides what arrives when (the real one comes at the end)."""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from alerts.rules import parse_rule
from alerts.timers import post_due
from ingest.arrival import Arrival
from ingest.flood import Flooding
from ingest.tenure import TenureLostError, hold, watch_lock
from ingest.worker import Worker
from ingest.workforce import work
from tests.conftest import OwnStack
from tests.integration.shard import HOUR, MINUTE, SECOND, Shard, shard_of
from underfoot.reports import Quality

DAY = 24 * HOUR
LONG = os.environ.get("UNDERFOOT_TEST_LONG") == "1"


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        yield made


# the books ----------------------------------------------------------------------------------------------------------


def test_books_balance_over_everything_that_can_come(shard: Shard) -> None:
    good = shard.says("C-1", {"tilt_deg": 3.0})
    array = shard.message(
        shard.topic("C-2"),
        json.dumps([{"ts": shard.now_us // 1000, "values": {"tilt_deg": n}} for n in range(3)]).encode(),
    )
    mixed = shard.message(shard.topic("C-1"), b'[{"values": {"open": false}}, 5, {"ts": 1}]')
    bad = shard.message(shard.topic("C-1"), b"{")
    unknown = shard.says("C-9", {"tilt_deg": 3.0})
    arrivals = [good, array, mixed, bad, unknown]
    shard.commit(*arrivals)
    once = {"received": 5, "redelivered": 0, "unpacked": 4, "stored": 5, "duplicate": 0, "quarantined": 4, "late": 0}
    assert shard.books() == once
    shard.commit(*(shard.redelivered(arrival) for arrival in arrivals))
    assert shard.books() == once | {"received": 10, "redelivered": 5, "unpacked": 8, "duplicate": 9}
    assert sorted(shard.quarantined()) == ["not_an_object", "undecodable", "unknown_device", "values_missing"]
    assert shard.one("SELECT count(*) FROM report_cover")["count"] == 5
    whole = shard.one("SELECT topic, payload, device_id FROM quarantine WHERE reason = 'unknown_device'")
    assert (whole["topic"], bytes(whole["payload"]), whole["device_id"]) == (unknown.topic, unknown.payload, "C-9")


def test_same_bad_bytes_sent_again_are_kept_again(shard: Shard) -> None:
    """Only a packet that the broker marks as redelivered is the same packet."""
    shard.commit(shard.message(shard.topic("C-1"), b"{", packet_id=7))
    shard.commit(shard.message(shard.topic("C-1"), b"{", packet_id=8))
    shard.commit(shard.message(shard.topic("C-1"), b"{", packet_id=8, dup=True))
    assert shard.quarantined() == ["undecodable"] * 2
    assert shard.books()["duplicate"] == 1


def test_odd_topic_and_payload_do_no_harm(shard: Shard) -> None:
    shard.commit(
        shard.message("underfoot/v1/410502/cover/a\0b/report", b"{}"),
        shard.message("underfoot/v1/\ufffd/cover/C-1/report", b"\0\xff"),
        shard.says("C-1", {"note\0": "a\0b", "\\u0000": "\\"}, fw="\0"),
        shard.says("C-2", {"tilt_deg": float("nan")}),
    )
    assert shard.books()["stored"] == 2
    extra = shard.rows("SELECT extra FROM report_cover ORDER BY device_key")
    assert extra[0]["extra"] == {"values": {"note\\u0000": "a\\u0000b", "\\u0000": "\\"}, "report": {"fw": "\\u0000"}}
    assert extra[1]["extra"] == {"set_aside": {"tilt_deg": "nan"}}


def test_late_reports_are_counted(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"tilt_deg": 3.0}))
    shard.commit(shard.says("C-1", {"tilt_deg": 4.0}, shard.now_us - HOUR))
    assert (shard.books()["stored"], shard.books()["late"]) == (2, 1)
    latest = shard.one("SELECT * FROM device_latest")
    assert latest["values"] == {"tilt_deg": 3.0}, "never overwritten by an older report"
    assert latest["received_at"].timestamp() == pytest.approx(shard.now_us / 1e6), "but it has been heard"


def test_latest_keeps_what_a_report_does_not_say(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"tilt_deg": 3.0, "battery_pct": 80}))
    shard.wait(SECOND)
    shard.commit(shard.says("C-1", {"open": True}))
    assert shard.one("SELECT values FROM device_latest")["values"] == {
        "tilt_deg": 3.0,
        "battery_pct": 80.0,
        "open": True,
    }


# clocks (promise 8) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq", [True, False])
@pytest.mark.parametrize("off_us", [-20_000 * DAY, 8 * HOUR, -8 * HOUR, -DAY], ids=["1970", "+8h", "-8h", "-1d"])
def test_wrong_clock_never_hides_an_open_cover(shard: Shard, off_us: int, seq: bool) -> None:
    numbers = iter(range(1, 9))

    def says(is_open: bool, off: int) -> None:
        shard.wait(MINUTE)
        more = {"seq": next(numbers)} if seq else {}
        shard.commit(shard.says("C-1", {"open": is_open}, shard.now_us + off, **more))

    says(False, 0)
    says(True, off_us)
    trusted = seq or abs(off_us) > 7 * DAY or off_us > 0
    assert shard.open("C-1") == ({"cover.open": 4} if trusted else {"cover.late_hazard": 1})
    says(True, off_us)
    assert len(shard.open("C-1")) == 1
    says(True, 0)
    assert shard.open("C-1") == {"cover.open": 4}
    says(False, 0)
    assert shard.open("C-1") == {}
    kept = shard.rows("SELECT extra, quality, ts, received_at FROM report_cover ORDER BY received_at")[1]
    if trusted:
        assert kept["ts"] == kept["received_at"]
        assert kept["extra"]["device_ts"] is not None
        assert kept["quality"] in (Quality.time_untrusted, Quality.clock_stepped)


@pytest.mark.parametrize("one_batch", [True, False])
@pytest.mark.parametrize("seq", [True, False])
def test_clock_four_minutes_ahead_then_corrected(shard: Shard, seq: bool, one_batch: bool) -> None:
    ahead = shard.says("C-1", {"open": False}, shard.now_us + 4 * MINUTE, **({"seq": 1} if seq else {}))
    shard.wait(10 * SECOND)
    corrected = shard.says("C-1", {"open": True}, **({"seq": 2} if seq else {}))
    for batch in [[ahead, corrected]] if one_batch else [[ahead], [corrected]]:
        shard.commit(*batch)
    assert shard.open() == ({"cover.open": 4} if seq else {"cover.late_hazard": 1})


def test_true_backlog_is_told_as_it_was(shard: Shard) -> None:
    """An hour offline: then everything at once, in order; the hazard in it is long over."""
    backlog = [(60, False), (40, True), (20, False), (0, False)]
    shard.commit(
        *(
            shard.says("C-1", {"open": is_open}, shard.now_us - ago * MINUTE, seq=n)
            for n, (ago, is_open) in enumerate(backlog)
        )
    )
    episode = shard.one("SELECT * FROM episodes")
    assert (episode["cleared_at"] - episode["raised_at"]).total_seconds() == pytest.approx(20 * 60, abs=0.01)
    assert shard.books()["late"] == 0


def test_backlog_behind_a_live_report_changes_no_condition(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": False}, seq=9))
    shard.commit(
        shard.says("C-1", {"open": True}, shard.now_us - HOUR, seq=7),
        shard.says("C-1", {"open": False}, shard.now_us - HOUR // 2, seq=8),
    )
    assert shard.open() == {}, "its count says that it is old: history decides"
    shard.commit(shard.says("C-1", {"open": True}, shard.now_us - HOUR // 3))
    assert shard.open() == {"cover.late_hazard": 1}, "without one nobody can tell, so an operator is asked"
    shard.wait(MINUTE)
    shard.commit(shard.says("C-1", {"open": False}, seq=10))
    assert shard.open() == {}
    assert shard.reasons("cover.late_hazard") == ["late_hazard", "newer_report_normal"]
    assert shard.reasons("cover.open") == []


def test_late_hazard_on_record_is_not_asked_again(shard: Shard) -> None:
    """The missing middle of an episode that is over; but what no episode covers is asked, though it came with it."""
    shard.commit(shard.says("C-1", {"open": True, "ch4_lel_pct": 1.0}, shard.now_us - 60 * MINUTE))
    shard.commit(shard.says("C-1", {"open": False, "ch4_lel_pct": 1.0}, shard.now_us - 20 * MINUTE))
    shard.commit(shard.says("C-1", {"open": True}, shard.now_us - 40 * MINUTE))
    assert shard.open() == {}
    shard.commit(shard.says("C-1", {"open": True, "ch4_lel_pct": 30.0}, shard.now_us - 39 * MINUTE))
    assert shard.open() == {"cover.late_hazard": 1}
    assert shard.one("SELECT proof FROM episodes WHERE cleared_at IS NULL")["proof"]["of_rule"] == "cover.ch4"
    shard.restart()
    shard.commit(shard.says("C-1", {"open": True}, shard.now_us - 70 * MINUTE))
    shard.commit(shard.says("C-1", {"ch4_lel_pct": 1.0}))
    shard.restart()
    assert shard.open() == {"cover.late_hazard": 1}, "whether it is closed now nobody has said"
    shard.commit(shard.says("C-1", {"open": False, "ch4_lel_pct": 1.0}))
    assert shard.open() == {}


def test_report_without_time_is_never_dropped_but_as_redelivered(shard: Shard) -> None:
    beat = json.dumps({"values": {"open": True}}).encode()
    first = shard.message(shard.topic("C-1"), beat)
    shard.commit(first, shard.message(shard.topic("C-1"), beat))
    shard.commit(shard.redelivered(first))
    shard.restart()
    shard.commit(shard.redelivered(first))
    never_seen = shard.message(shard.topic("C-1"), beat, dup=True, packet_id=999)
    shard.commit(never_seen)
    assert shard.books() | {"late": 0} == {
        "received": 5, "redelivered": 3, "unpacked": 0, "stored": 3, "duplicate": 2, "quarantined": 0, "late": 0,
    }  # fmt: skip


# newcomers ----------------------------------------------------------------------------------------------------------


def test_device_registered_right_before_its_first_report(shard: Shard) -> None:
    first = shard.says("C-9", {"open": True})
    shard.commit(first)
    assert shard.quarantined() == ["unknown_device"]
    shard.ask.execute(
        "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
        " SELECT 'C-9', 'cover', '410502', min(asset_key), 600 FROM assets"
    )
    shard.commit(shard.says("C-9", {"open": True}), shard.says("C-1", {"open": True}))
    assert shard.books()["stored"] == 2
    assert shard.open("C-9") == {"cover.open": 4}
    shard.restart()
    assert shard.open("C-9") == {"cover.open": 4}
    shard.commit(shard.says("C-9", {"open": False}))
    assert shard.open("C-9") == {}


def test_ledger_change_counts_from_its_notification(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"tilt_deg": 13.5}))
    assert shard.open() == {}, "10.5° from a baseline of 3, for 3 s: not yet believed"
    shard.ask.execute("""UPDATE devices SET baseline = '{"tilt_deg": 13}', updated_at = clock_timestamp()""")
    shard.ask.execute("NOTIFY underfoot_registry")
    until = time.monotonic() + 5
    while not shard.worker._registry_changed.is_set() and time.monotonic() < until:
        shard.worker._on_lock()
        time.sleep(0.01)
    shard.commit(shard.says("C-1", {"tilt_deg": 13.5}))
    assert shard.rows("SELECT * FROM conditions") == []


# silence ------------------------------------------------------------------------------------------------------------


def timers(shard: Shard) -> int:
    with psycopg.connect(shard.database, autocommit=True) as connection:
        return post_due(connection)


def test_silence_is_proof_only_once_all_until_then_is_committed(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"tilt_deg": 23.0}))
    shard.wait(10 * SECOND)
    assert timers(shard) == 0, "whatever the clock says: nothing tells that we are caught up"
    shard.catch_up()
    assert timers(shard) == 1
    shard.look_around()
    assert shard.open() == {"cover.tilt": 3}
    assert shard.reasons("cover.tilt") == ["limit_reached", "held_in_silence"]
    assert timers(shard) == 0


def test_contrary_report_in_the_same_batch_as_the_timer(shard: Shard) -> None:
    """The command is judged by what this batch says, not by what was so before it."""
    shard.commit(shard.says("C-1", {"tilt_deg": 23.0}))
    shard.wait(4 * SECOND)
    shard.catch_up()
    assert timers(shard) == 1
    shard.commit(shard.says("C-1", {"tilt_deg": 3.0}), *shard.probe(), look_around=True)
    assert shard.open() == {}
    assert shard.reasons("cover.tilt") == ["limit_reached", "held_in_silence", "below_limit"], "by its own times"
    evaluator = shard.tenure.registry.families["cover"].evaluator
    assert [state.level for _, _, state in evaluator.unsettled()] == [0], "only what flapping is seen by"


def test_report_in_the_same_batch_as_what_shows_it_missing(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": False}))
    shard.wait(3 * DAY)
    shard.commit(shard.says("C-1", {"open": False}), *shard.probe(), look_around=True)
    assert shard.open("C-1") == {}
    assert shard.open("C-2") == {"cover.offline": 1}


def test_offline_ends_with_the_next_report_even_over_a_restart(shard: Shard) -> None:
    shard.wait(3 * DAY)
    shard.catch_up()
    shard.look_around()
    assert shard.open("C-1") == {"cover.offline": 1}
    shard.restart()
    shard.catch_up()
    shard.look_around()
    assert shard.reasons("cover.offline") == ["no_data", "no_data"], "each cover once"
    shard.commit(shard.says("C-1", {"open": False}))
    assert shard.reasons("cover.offline") == ["no_data", "no_data", "data_again"]
    assert shard.open("C-1") == {}


NOT_OURS: tuple[dict[str, Any], ...] = ({"sent_us": "now"}, {"sent_us": 7.5}, {"mark": "00000000"}, {"mark": 7})


def test_probe_of_somebody_else_proves_nothing(shard: Shard) -> None:
    ours = json.loads(shard.probe()[0].payload)
    for made in (json.dumps(ours | more).encode() for more in NOT_OURS):
        shard.commit(shard.message("underfoot/v1/~probe/~probe/~probe/report", made))
        shard.commit(shard.message("underfoot/v1/410502/~probe/~probe/report", made))
    shard.commit(*shard.probe(shard.now_us + 6 * DAY), *shard.probe(shard.now_us - 8 * DAY))
    assert shard.one("SELECT caught_up_to FROM shards")["caught_up_to"] is None
    assert shard.rows("SELECT * FROM quarantine") == [], "nor is it a message"
    probe = "underfoot/v1/410502/~probe/~probe/report"
    others = [shard.message(probe, payload) for payload in (b"{", b"[]", b"{}", b"7")]
    shard.commit(*others, *shard.probe(shard.now_us + 6 * DAY))
    assert shard.books()["quarantined"] == 4, "what has no probe's form is one"
    shard.commit(*shard.probe(shard.now_us - SECOND), *shard.probe(shard.now_us - 5 * SECOND))
    caught_up = shard.one("SELECT caught_up_to FROM shards")["caught_up_to"].timestamp()
    assert caught_up == pytest.approx(shard.now_us / 1e6 - 1, abs=0.1)
    shard.commit(*shard.probe(shard.now_us - HOUR))
    assert shard.one("SELECT caught_up_to FROM shards")["caught_up_to"].timestamp() == caught_up, "it never goes back"


# commands -----------------------------------------------------------------------------------------------------------


def episode_key(shard: Shard, rule_id: str) -> int:
    row = shard.one(
        "SELECT episode_key FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = %s AND cleared_at IS NULL",
        rule_id,
    )
    return int(row["episode_key"])


def test_close_by_hand(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": True}))
    payload = {"episode_key": episode_key(shard, "cover.open"), "actor": "wang", "reason": "现场确认已复位"}
    shard.post("close", payload, "close:1")
    shard.post("close", payload, "close:2")
    shard.look_around()
    assert (shard.outcome("close:1"), shard.outcome("close:2")) == ("done", "already over")
    assert shard.open() == {}
    last = shard.rows("SELECT * FROM transitions ORDER BY transition_key")[-1]
    assert (last["reason"], last["actor"], last["from_state"], last["to_state"], last["severity"]) == (
        "closed_by_hand", "wang", "active", "normal", 4,
    )  # fmt: skip
    assert last["proof"]["label"] == "现场确认已复位"
    shard.wait(MINUTE)
    shard.commit(shard.says("C-1", {"open": True}))
    assert shard.open() == {"cover.open": 4}, "it is open still: a new episode"
    assert [row["episode"] for row in shard.rows("SELECT episode FROM episodes ORDER BY episode_key")] == [1, 2]


def test_close_of_what_a_report_of_the_same_batch_ended(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": True}))
    payload = {"episode_key": episode_key(shard, "cover.open"), "actor": "wang", "reason": ""}
    shard.post("close", payload, "close:1")
    shard.commit(shard.says("C-1", {"open": False}), look_around=True)
    assert shard.outcome("close:1") == "already over"
    assert shard.reasons("cover.open") == ["limit_reached", "below_limit"]


def test_sink_failing_and_working(shard: Shard) -> None:
    shard.sink("city", "platform")
    shard.post("sink_failing", {"sink": "city", "error": "401"}, "sink:1")
    shard.look_around()
    assert shard.open() == {"sink.failing": 3}
    shard.post("sink_failing", {"sink": "city", "error": "401"}, "sink:2")
    shard.post("sink_working", {"sink": "city"}, "sink:3")
    shard.post("sink_working", {"sink": "city"}, "sink:4")
    shard.look_around()
    assert shard.open() == {}
    assert shard.reasons("sink.failing") == ["sink_failing", "sink_failing", "sink_working"]


NONSENSE = [
    ("dance", {}),
    ("close", {}),
    ("close", []),
    ("close", {"episode_key": "x", "actor": "a", "reason": "r"}),
    ("close", {"episode_key": {"a": 1}, "actor": "a", "reason": "r"}),
    ("close", {"episode_key": [1], "actor": "a", "reason": "r"}),
    ("close", {"episode_key": 1e300, "actor": "a", "reason": "r"}),
    ("sink_failing", {"sink": "nobody's"}),
    ("sink_failing", {"sink": ["a"]}),
    ("sink_working", {"sink": "a\\u0000b"}),
]


def test_nonsense_in_the_inbox_stops_nothing(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": True}))
    close = {"episode_key": episode_key(shard, "cover.open"), "actor": "wang", "reason": "x"}
    for number, (kind, payload) in enumerate(NONSENSE):
        shard.post(kind, payload, f"nonsense:{number}")
    shard.post("close", close, "close:1")
    shard.look_around()
    outcomes = [str(shard.outcome(f"nonsense:{number}")) for number in range(len(NONSENSE))]
    assert all(outcome.startswith("failed: ") or outcome == "already over" for outcome in outcomes), outcomes
    assert shard.outcome("close:1") == "done"
    assert shard.open() == {}


def test_timer_that_has_nothing_to_do(shard: Shard) -> None:
    shard.post("timers", {}, "timers:1")
    shard.look_around()
    assert shard.outcome("timers:1") == "done"


# restarts -----------------------------------------------------------------------------------------------------------


def test_restart_while_pending(shard: Shard) -> None:
    """By samples: two reports 60 s apart, with a restart between them; memory is what is committed."""
    high = {"forebay_level_m": 4.0, "running": False}
    shard.commit(shard.says("U-1", high))
    shard.restart()
    shard.wait(61 * SECOND)
    shard.commit(shard.says("U-1", high))
    assert shard.open() == {"pump.forebay_idle": 3}
    assert shard.reasons("pump.forebay_idle") == ["limit_reached", "limit_reached"]


def test_restart_while_pending_by_silence(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"tilt_deg": 23.0}))
    shard.restart()
    shard.wait(4 * SECOND)
    shard.catch_up()
    shard.restart()
    assert timers(shard) == 1
    shard.restart()
    shard.look_around()
    assert shard.open() == {"cover.tilt": 3}


def test_restart_while_clearing(shard: Shard) -> None:
    """An underpass drains past one level, is dry, and sleeps; every step is followed by a restart."""
    for depth_cm in (30.0, 18.0, 0.0):
        shard.commit(shard.says("R-1", {"depth_cm": depth_cm}))
        shard.restart()
        shard.wait(MINUTE)
    assert shard.open() == {"road.underpass": 4}
    assert shard.one("SELECT condition FROM episodes")["condition"] == "clearing"
    shard.wait(8 * MINUTE)
    shard.catch_up()
    timers(shard)
    shard.look_around()
    shard.restart()
    assert shard.open("R-1") == {"road.underpass": 3}, "10 min below 25, not yet below 15"
    shard.wait(MINUTE)
    shard.catch_up()
    timers(shard)
    shard.look_around()
    assert shard.open("R-1") == {}
    assert shard.reasons("road.underpass") == ["limit_reached", "below_limit", "severity_fell", "clear_in_silence"]


def test_restart_keeps_the_hour_of_rain(shard: Shard) -> None:
    for _ in range(4):
        shard.commit(shard.says("N-1", {"amount_mm": 4.5}))
        shard.restart()
        shard.wait(5 * MINUTE)
    assert shard.open() == {}
    shard.commit(shard.says("N-1", {"amount_mm": 4.5}))
    assert shard.open() == {"rain.hour": 1}


def test_rain_of_a_backlog_is_summed_with_what_fell_before_the_outage(shard: Shard) -> None:
    """We were away for two days. The sum goes on from each gauge's newest report, not from now."""
    then = shard.now_us - 2 * DAY
    shard.commit(shard.says("N-1", {"amount_mm": 18.0}, then))
    shard.restart()
    shard.commit(shard.says("N-1", {"amount_mm": 4.0}, then + 10 * MINUTE))
    assert shard.open() == {"rain.hour": 1}


def test_restart_knows_the_newest_seq_and_time(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": False}, seq=5))
    shard.restart()
    shard.commit(shard.says("C-1", {"open": True}, shard.now_us - DAY, seq=6))
    assert shard.open() == {"cover.open": 4}
    shard.restart()
    shard.commit(shard.says("C-1", {"open": False}, shard.now_us - HOUR, seq=4))
    assert shard.open() == {"cover.open": 4}, "a backlog ends nothing"


def test_duplicates_are_known_after_a_restart(shard: Shard) -> None:
    report = shard.says("C-1", {"open": True})
    shard.commit(report)
    shard.restart()
    shard.commit(shard.redelivered(report))
    assert shard.books()["duplicate"] == 1
    assert shard.reasons("cover.open") == ["limit_reached"]


VALUES: dict[str, list[dict[str, Any]]] = {
    "C-1": [
        {"tilt_deg": 3.0},
        {"tilt_deg": 15.0},
        {"tilt_deg": 23.0},
        {"tilt_deg": 60.0},
        {"open": True},
        {"open": False},
    ],
    "C-2": [{"water_below_rim_m": depth} for depth in (2.0, 0.9, 0.45, 0.2, -0.1)]
    + [{"ch4_lel_pct": 30}, {"ch4_lel_pct": 1}],
    "R-1": [{"depth_cm": depth} for depth in (0.0, 4.0, 6.0, 12.0, 18.0, 30.0)],
    "U-1": [{"forebay_level_m": level, "running": runs} for level in (2.0, 4.0, 5.5) for runs in (True, False)],
    "N-1": [{"amount_mm": amount} for amount in (0.0, 0.2, 4.0, 9.0)],
}


def told(shard: Shard, began_us: int, seed: int, most: int, *, restarts: bool) -> list[tuple[object, ...]]:
    """A random evening, in batches of up to `most`: every transition it makes."""
    chance, fate = random.Random(seed), random.Random(seed)
    waiting: list[Arrival] = []
    shard.now_us = began_us

    def commit() -> None:
        shard.commit(*waiting)
        waiting.clear()
        if restarts and fate.random() < 0.3:
            shard.restart()

    for number in range(90):
        shard.wait(chance.choice([SECOND, SECOND, 30 * SECOND, 5 * MINUTE]))
        device_id = chance.choice(list(VALUES))
        off_us = chance.choice([0, 0, 0, 0, -2 * SECOND, -HOUR, 4 * MINUTE, -30 * DAY])
        seq = {"seq": number} if device_id in ("C-1", "U-1") else {}
        waiting.append(shard.says(device_id, chance.choice(VALUES[device_id]), shard.now_us + off_us, **seq))
        if len(waiting) == most:
            commit()
        if chance.random() < 0.15:
            commit()
            shard.catch_up()
            timers(shard)
            shard.look_around()
    commit()
    rows = shard.rows(
        "SELECT device_id, rule_id, t.episode, t.from_state, t.to_state, t.severity,"
        " t.reason, t.event_at, t.received_at, t.proof"
        " FROM transitions t JOIN alarms USING (alarm_key) JOIN devices USING (device_key)"
        " WHERE rule_id NOT LIKE '%%.late_hazard' AND t.region = 'condition'"
        " ORDER BY device_id, rule_id, t.transition_no"
    )
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize("seed", range(40 if LONG else 2))
def test_batches_and_restarts_change_nothing(module_database: str, seed: int) -> None:
    """One after another with restarts between them, or many together without one: the same transitions, all of them."""
    began_us = time.time_ns() // 1000 - DAY
    stories = []
    for most, restarts in ((1, True), (40, False), (5, False)):
        with shard_of(module_database, replay_settle_s=60) as shard:
            stories.append(told(shard, began_us, seed, most, restarts=restarts))
    assert len(stories[0]) > 20
    assert stories[0] == stories[1] == stories[2]


# fencing ------------------------------------------------------------------------------------------------------------


def test_second_tenure_fences_off_the_first(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": True}))
    before = shard.books()
    shard.tenure.lock.close()
    with hold(shard.database, "main", threading.Event()) as second:
        assert second is not None
        assert second.epoch == shard.tenure.epoch + 1
        with pytest.raises(TenureLostError, match="epoch"):
            shard.commit(shard.says("C-1", {"open": False}), *shard.probe(), look_around=True)
        assert (shard.books(), shard.open()) == (before, {"cover.open": 4})
        assert shard.one("SELECT count(*) FROM report_cover")["count"] == 1
        assert shard.one("SELECT caught_up_to FROM shards")["caught_up_to"] is None


def test_only_one_holds_the_shard(shard: Shard) -> None:
    stop = threading.Event()
    stop.set()
    with hold(shard.database, "main", stop) as second:
        assert second is None


def test_lost_lock_is_noticed(shard: Shard) -> None:
    shard.ask.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'underfoot-lock-main' AND datname = current_database()"
    )

    def watch() -> None:
        for _ in range(100):
            watch_lock(shard.tenure)
            time.sleep(0.01)

    with pytest.raises((TenureLostError, psycopg.OperationalError)):
        watch()


def test_batch_that_fails_leaves_nothing(shard: Shard) -> None:
    """An error at the very end of the transaction: no rows, no alarms, no books; the next tenure starts clean."""
    report = shard.says("C-1", {"open": True})
    shard.ask.execute("ALTER TABLE books ADD CONSTRAINT refuse CHECK (received < 1)")
    with pytest.raises(psycopg.errors.CheckViolation):
        shard.commit(report)
    for table in ("report_cover", "device_latest", "alarms", "episodes", "transitions", "conditions", "books"):
        assert shard.one(f"SELECT count(*) FROM {table}")["count"] == 0
    shard.ask.execute("ALTER TABLE books DROP CONSTRAINT refuse")
    shard.restart()
    shard.commit(shard.redelivered(report))
    assert (shard.books()["stored"], shard.open()) == (1, {"cover.open": 4})


# the session --------------------------------------------------------------------------------------------------------


def test_lost_session_is_an_alarm_until_a_probe_is_back(shard: Shard) -> None:
    shard.worker._on_session(False)
    shard.look_around()
    assert shard.open() == {}, "the first session of a shard was never there before"
    shard.restart()
    shard.worker._on_session(True)
    shard.look_around()
    assert shard.open() == {}
    shard.worker._on_session(False)
    shard.look_around()
    assert shard.open() == {"shard.session_lost": 3}
    shard.restart()
    shard.worker._on_session(False)
    shard.look_around()
    assert shard.open() == {"shard.session_lost": 3}
    shard.catch_up()
    assert shard.open() == {}
    assert shard.reasons("shard.session_lost")[-1] == "session_restored"
    shard.catch_up()
    assert shard.reasons("shard.session_lost").count("session_restored") == 1


# rules --------------------------------------------------------------------------------------------------------------


def withdraw(shard: Shard, *rule_ids: str) -> None:
    shard.ask.execute(
        "INSERT INTO rules (rule_id, version, body, withdrawn, created_by)"
        " SELECT rule_id, version + 1, body, true, 'li' FROM rules WHERE rule_id = ANY(%s)",
        [list(rule_ids)],
    )


def test_withdrawn_rules_end_what_is_open_under_them(shard: Shard) -> None:
    shard.wait(3 * DAY)
    shard.catch_up()
    shard.look_around()
    shard.commit(shard.says("C-1", {"open": True, "tilt_deg": 3.0}), shard.says("R-1", {"depth_cm": 12.0}))
    shard.commit(shard.says("U-1", {"forebay_level_m": 4.0, "running": False}))
    shard.commit(shard.says("P-1", {"fill_ratio": 0.5}))
    shard.commit(shard.says("L-1", {"leakage_ma": 200.0}))
    shard.commit(shard.says("L-1", {"touch_voltage_v": 40.0}, shard.now_us - HOUR))
    assert shard.open() == {
        "cover.offline": 1, "cover.open": 4, "road.underpass": 2, "lamp.leakage": 4, "lamp.late_hazard": 1,
        "rain.offline": 1,
    }  # fmt: skip
    withdraw(shard, "cover.offline", "cover.open", "pump.forebay_idle", "lamp.late_hazard")
    shard.restart()
    assert shard.open() == {"road.underpass": 2, "lamp.leakage": 4, "rain.offline": 1}
    ends = {
        row["rule_id"]: (row["from_state"], row["to_state"], row["severity"])
        for row in shard.rows("SELECT * FROM transitions JOIN alarms USING (alarm_key) WHERE reason = 'rule_withdrawn'")
    }
    assert ends == {
        "cover.offline": ("active", "normal", 1),
        "cover.open": ("active", "normal", 4),
        "pump.forebay_idle": ("pending", "normal", 0),
        "lamp.late_hazard": ("active", "normal", 1),
    }
    assert {row["rule_id"] for row in shard.rows("SELECT rule_id FROM conditions")} == {
        "road.underpass",
        "lamp.leakage",
    }
    shard.commit(shard.says("C-1", {"open": True}), shard.says("U-1", {"forebay_level_m": 9.0, "running": False}))
    assert "cover.open" not in shard.open()
    shard.restart()
    assert shard.reasons("cover.open") == ["limit_reached", "rule_withdrawn"]


def test_new_version_of_a_rule_carries_on(shard: Shard) -> None:
    shard.commit(shard.says("R-1", {"depth_cm": 30.0}))
    body = shard.one("SELECT body FROM rules WHERE rule_id = 'road.underpass'")["body"]
    body["levels"] = body["levels"][:2]
    parse_rule(body)
    shard.ask.execute(
        "INSERT INTO rules (rule_id, version, body, created_by) VALUES ('road.underpass', 2, %s, 'li')",
        [json.dumps(body)],
    )
    shard.restart()
    assert shard.open() == {"road.underpass": 2}, "the worst that the new version has"
    shard.wait(MINUTE)
    shard.commit(shard.says("R-1", {"depth_cm": 0.0}))
    shard.wait(10 * MINUTE)
    shard.catch_up()
    timers(shard)
    shard.look_around()
    assert shard.open("R-1") == {}


def test_city_keeps_its_own_rules_over_a_restart(shard: Shard) -> None:
    body = shard.one("SELECT body FROM rules WHERE rule_id = 'cover.open'")["body"] | {"title": "井盖被打开"}
    shard.ask.execute(
        "INSERT INTO rules (rule_id, version, body, created_by) VALUES ('cover.open', 2, %s, 'li')", [json.dumps(body)]
    )
    shard.restart()
    shard.restart()
    assert shard.one("SELECT count(*) FROM rules WHERE rule_id = 'cover.open'")["count"] == 2
    shard.commit(shard.says("C-1", {"open": True}))
    row = shard.one("SELECT title, rule_version FROM episodes")
    assert (row["title"], row["rule_version"]) == ("井盖被打开", 2)


def test_shipped_rule_that_changed_becomes_a_new_version(shard: Shard) -> None:
    """As after an upgrade: what was shipped then is not what is shipped now."""
    shard.ask.execute("""UPDATE rules SET body = body || '{"title": "井盖"}' WHERE rule_id = 'cover.open'""")
    shard.restart()
    shard.restart()
    rows = shard.rows(
        "SELECT version, body ->> 'title' AS title FROM rules WHERE rule_id = 'cover.open' ORDER BY version"
    )
    assert [tuple(row.values()) for row in rows] == [(1, "井盖"), (2, "井盖打开")]
    assert shard.tenure.rules["cover.open"].version == 2
    shard.ask.execute("DELETE FROM rules WHERE rule_id = 'cover.open' AND version = 1")
    shard.ask.execute("UPDATE rules SET version = 1 WHERE rule_id = 'cover.open'")


def test_device_that_moved_to_another_shard_stops_nobody(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": True}), shard.says("C-2", {"open": True}))
    shard.ask.execute("INSERT INTO shards (shard, filters) VALUES ('east', ARRAY['underfoot/v1/410503/+/+/report'])")
    shard.ask.execute("UPDATE devices SET shard = 'east' WHERE device_id = 'C-1'")
    shard.restart()
    shard.commit(shard.says("C-2", {"open": False}))
    assert shard.open() == {"cover.open": 4}
    with hold(shard.database, "east", threading.Event()) as east:
        assert east is not None
        assert shard.one("SELECT count(*) FROM conditions WHERE shard = 'east'")["count"] == 1
        worker = Worker(shard.settings, east)
        worker.commit([shard.says("C-1", {"open": False})], look_around=False)
        worker._session.close()
    assert shard.open() == {}


# the real broker ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def publisher(mqtt_url: str) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="a-test")
    host, port = mqtt_url.removeprefix("mqtt://").split(":")
    client.connect(host, int(port))
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


@contextlib.contextmanager
def running(shard: Shard) -> Iterator[None]:
    """The worker's own loop, as `underfoot ingest` runs it."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            shard.worker.run(stop)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
    assert errors == []


def until(shard: Shard, holds: str, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not shard.one(f"SELECT ({holds}) AS holds")["holds"]:
        assert time.monotonic() < end, f"still not: {holds}"
        time.sleep(0.05)


def test_from_broker_to_commit_and_over_a_restart(own_stack: OwnStack) -> None:
    """Acknowledged means committed: what came while nobody held the shard waits at the broker, and comes then."""
    with shard_of(own_stack.database_url, own_stack.mqtt_url, probe_interval_s=0.2) as shard:
        with running(shard), publisher(own_stack.mqtt_url) as client:
            until(shard, "SELECT session_known FROM shards")
            until(shard, "SELECT caught_up_to IS NOT NULL FROM shards")
            for n in range(50):
                client.publish(shard.topic("C-1"), json.dumps({"values": {"tilt_deg": n % 5}}), qos=1)
            client.publish(shard.topic("C-1"), b"{", qos=1).wait_for_publish(5)
            until(shard, "SELECT sum(stored) = 50 AND sum(quarantined) = 1 FROM books")
        shard.restart()
        with publisher(own_stack.mqtt_url) as client:
            client.publish(shard.topic("C-2"), json.dumps({"values": {"open": True}}), qos=1).wait_for_publish(5)
        with running(shard):
            until(shard, "SELECT sum(stored) = 51 FROM books")
        assert shard.open() == {"cover.open": 4}
        books = shard.books()
        assert books["received"] == 52
        assert books["duplicate"] == 0, "all that was committed had been acknowledged"


def test_shard_is_taken_again_whatever_ended_the_tenure(database: str, broker: str) -> None:
    """All its connections are cut, again and again; what is published meanwhile is stored once."""
    with shard_of(database, broker, probe_interval_s=0.2) as shard:
        shard.end()
        stop = threading.Event()
        thread = threading.Thread(target=work, args=(shard.settings, stop))
        thread.start()
        try:
            until(shard, "SELECT session_known FROM shards")
            with publisher(broker) as client:
                for number in range(60):
                    report = {"ts": shard.now_us // 1000 + number, "values": {"tilt_deg": number / 2}}
                    client.publish(shard.topic("C-1"), json.dumps(report), qos=1)
                    if number % 20 == 10:
                        shard.ask.execute(
                            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                            " WHERE application_name LIKE 'underfoot-%' AND datname = current_database()"
                        )
                    time.sleep(0.02)
            until(shard, "SELECT count(*) = 60 FROM report_cover", 30)
            until(shard, "SELECT sum(stored) = 60 AND sum(received) = sum(stored) + sum(duplicate) FROM books")
        finally:
            stop.set()
            thread.join(20)
        assert not thread.is_alive()
        assert shard.one("SELECT epoch FROM shards")["epoch"] > 2
        assert shard.reasons("shard.session_lost") == []


def test_broker_that_lost_its_sessions(own_stack: OwnStack) -> None:
    with shard_of(own_stack.database_url, own_stack.mqtt_url, probe_interval_s=60) as shard, running(shard):
        until(shard, "SELECT session_known FROM shards")
        own_stack.stop("mosquitto", forget_sessions=True)
        own_stack.start("mosquitto")
        until(
            shard,
            "SELECT count(*) = 1 FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'shard.session_lost'",
        )


# floods -------------------------------------------------------------------------------------------------------------


def test_a_device_gone_mad_is_held_to_its_allowance_and_reported(database: str) -> None:
    with shard_of(database, device_burst=3, device_rate_per_s=0.001) as shard:
        flood = [shard.says("C-1", {"open": n > 0}) for n in range(6)]
        shard.commit(*flood, shard.says("C-2", {"open": True}))
        assert shard.open("C-1") == {"cover.open": 4, "device.flooding": 2}, "the hazard within it is seen"
        assert shard.open("C-2") == {"cover.open": 4}, "others are not harmed"
        assert shard.quarantined() == ["rate_limited"] * 3
        shard.commit(shard.says("C-1", {"open": False}))
        assert shard.reasons("device.flooding") == ["flooding"], "told once"
        shard.restart()
        shard.commit(*(shard.says("C-1", {"open": True}) for _ in range(4)))
        assert shard.reasons("device.flooding") == ["flooding"], "known after a restart"
        shard.tenure.flooding = Flooding(0.0)
        shard.tenure.flooding.seen(shard.device_key("C-1"))
        shard.look_around()
        assert "device.flooding" not in shard.open("C-1")
        assert shard.reasons("device.flooding") == ["flooding", "flood_over"]
