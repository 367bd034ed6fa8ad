"""A device's past judged again from the database, through the worker's own batches: what late data changes, what it
must never change (promise 8), and that input in any order comes to the same record."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from alerts.deliver.outbox import claim
from alerts.deliver.verdict import Verdict, judge
from alerts.rulebook.book import put
from alerts.rules import parse_rule
from alerts.timers import post_due
from tests.integration.shard import HOUR, MINUTE, SECOND, Shard, shard_of
from underfoot.storage.connect import connect

DAY = 24 * HOUR


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database, replay_settle_s=0) as made:
        # The shipped rules have always been; what this module's tests change of them is put back by `shard_of`.
        made.sink("platform", "platform")
        made.sink("crew", "crew")
        yield made


def corrected(shard: Shard, rule_id: str | None = None) -> list[tuple[str, str, Any, Any, int]]:
    """The corrected record: device, rule, raised, cleared, worst."""
    return [
        (row["device_id"], row["rule_id"], row["raised_at"], row["cleared_at"], row["worst_severity"])
        for row in shard.rows(
            "SELECT device_id, rule_id, raised_at, cleared_at, worst_severity"
            " FROM corrected_episodes JOIN alarms USING (alarm_key) JOIN devices USING (device_key)"
            " WHERE rule_id = coalesce(%s, rule_id) ORDER BY device_id, rule_id, raised_at, cleared_at",
            rule_id,
        )
    ]


def verdicts(shard: Shard, rule_id: str) -> list[tuple[int, str]]:
    query = "SELECT corrections.episode, verdict FROM corrections JOIN alarms USING (alarm_key) WHERE rule_id = %s"
    rows = shard.rows(query + " ORDER BY correction_key", rule_id)
    return [(row["episode"], row["verdict"]) for row in rows]


def minutes(shard: Shard, rule_id: str, now_us: int) -> list[tuple[int | None, int | None, int]]:
    """The corrected record of a rule in whole minutes before `now_us`."""

    def ago(at: Any) -> int | None:
        return None if at is None else round((now_us / 1e6 - at.timestamp()) / 60)

    return [(ago(raised), ago(cleared), worst) for _, _, raised, cleared, worst in corrected(shard, rule_id)]


# what was missed ----------------------------------------------------------------------------------------------------


def test_a_hazard_that_was_missed_and_is_over_goes_on_record_and_to_no_crew(shard: Shard) -> None:
    """A backlog behind a live report: its device counts, so that nobody need be asked."""
    now = shard.now_us
    shard.commit(shard.says("C-1", {"open": False}, seq=9))
    shard.commit(
        shard.says("C-1", {"open": True}, now - 60 * MINUTE, seq=7),
        shard.says("C-1", {"open": False}, now - 30 * MINUTE, seq=8),
    )
    assert shard.open() == {}
    shard.look_around()
    assert shard.open() == {}
    assert minutes(shard, "cover.open", now) == [(60, 30, 4)]
    assert verdicts(shard, "cover.open") == [(1, "missed")]
    assert shard.reasons("cover.open") == ["late_data", "late_data"]
    assert shard.owed("platform") == [("cover.open", "raise", 4), ("cover.open", "clear", 4)]
    told = shard.one(
        "SELECT snapshot FROM outbox JOIN sinks USING (sink_key) WHERE name = 'platform' AND notice = 'raise'"
    )
    assert told["snapshot"]["cleared_at"] is not None, "the platform is told at once that it is over"
    with connect(shard.database, "test") as connection:
        crew = shard.one("SELECT sink_key FROM sinks WHERE name = 'crew'")["sink_key"]
        (claimed,) = claim(connection, {crew: 10}, 60)
        assert judge(claimed.facts(to_crew=True)) is Verdict.over_in_backlog
    assert shard.rows("SELECT * FROM late_windows") == []


def test_what_is_still_open_by_the_backlog_is_raised_now(shard: Shard) -> None:
    now = shard.now_us
    shard.commit(shard.says("C-1", {"battery_pct": 80}, seq=9))
    shard.commit(shard.says("C-1", {"open": True}, now - 20 * MINUTE, seq=8))
    assert shard.open() == {}, "an old report by its device's own count asks nobody"
    shard.look_around()
    assert shard.open() == {"cover.open": 4}
    assert minutes(shard, "cover.open", now) == [(20, None, 4)]
    assert shard.reasons("cover.open") == ["late_data"]
    assert shard.owed("crew") == [("cover.open", "raise", 4)]
    shard.restart()
    shard.commit(shard.says("C-1", {"open": False}, seq=10))
    assert shard.open() == {}


def test_a_missed_episode_beside_one_that_is_open(shard: Shard) -> None:
    now = shard.now_us
    shard.commit(shard.says("C-1", {"open": True}, seq=9))
    shard.commit(
        shard.says("C-1", {"open": True}, now - 60 * MINUTE, seq=6),
        shard.says("C-1", {"open": False}, now - 30 * MINUTE, seq=7),
    )
    shard.look_around()
    assert shard.open() == {"cover.open": 4}
    assert minutes(shard, "cover.open", now) == [(60, 30, 4), (0, None, 4)]
    assert shard.owed("platform") == [("cover.open", notice, 4) for notice in ("raise", "raise", "clear")]
    shard.wait(MINUTE)
    shard.commit(shard.says("C-1", {"open": False}, seq=10))
    assert shard.open() == {}
    assert [(row["episode"], row["notice"]) for row in shard.rows(
        "SELECT episode, notice FROM outbox JOIN sinks USING (sink_key) WHERE name = 'platform' ORDER BY transition_no"
    )] == [(1, "raise"), (2, "raise"), (2, "clear"), (1, "clear")]  # fmt: skip


# what was otherwise -------------------------------------------------------------------------------------------------


def test_an_episode_that_ended_earlier_is_corrected_and_the_platform_told(shard: Shard) -> None:
    now = shard.now_us
    shard.commit(shard.says("C-1", {"open": True}, now - 60 * MINUTE, seq=1))
    shard.commit(shard.says("C-1", {"open": False}, seq=4))
    shard.commit(shard.says("C-1", {"open": False}, now - 40 * MINUTE, seq=2))
    shard.look_around()
    assert minutes(shard, "cover.open", now) == [(60, 40, 4)]
    assert verdicts(shard, "cover.open") == [(1, "changed")]
    kept = shard.one("SELECT * FROM episodes")
    assert (kept["cleared_at"] - kept["raised_at"]).total_seconds() == pytest.approx(3600, abs=1), "the row stays"
    assert shard.owed("platform") == [("cover.open", notice, 4) for notice in ("raise", "clear", "correct")]
    assert shard.owed("crew") == [("cover.open", notice, 4) for notice in ("raise", "clear")]
    told = shard.one("SELECT snapshot FROM outbox WHERE notice = 'correct'")["snapshot"]["proof"]
    assert told["correction"]["verdict"] == "changed"
    shard.commit(shard.says("C-1", {"open": False}, now - 20 * MINUTE, seq=3))
    shard.look_around()
    assert len(verdicts(shard, "cover.open")) == 1, "what is right already is not said again"


def test_what_should_never_have_been_raised_is_ended_and_the_crew_told(shard: Shard) -> None:
    """Two samples in a row, but for the one between them that came late."""
    now = shard.now_us
    shard.commit(shard.says("L-1", {"leakage_ma": 40.0}, now - 30 * MINUTE, seq=1))
    shard.commit(shard.says("L-1", {"leakage_ma": 40.0}, seq=3))
    assert shard.open() == {"lamp.leakage": 3}
    shard.commit(shard.says("L-1", {"leakage_ma": 1.0}, now - 15 * MINUTE, seq=2))
    shard.look_around()
    assert shard.open() == {}
    assert corrected(shard) == []
    assert verdicts(shard, "lamp.leakage") == [(1, "unfounded")]
    notices = [("lamp.leakage", notice, 3) for notice in ("raise", "clear", "correct")]
    assert shard.owed("platform") == notices
    assert shard.owed("crew") == notices, "it may be on its way"
    assert shard.rows("SELECT state FROM conditions WHERE rule_id = 'lamp.leakage'") != [], "one sample is on its way"
    shard.wait(MINUTE)
    shard.commit(shard.says("L-1", {"leakage_ma": 40.0}, seq=4))
    assert shard.open() == {"lamp.leakage": 3}, "what was on its way was taken over"


def test_two_episodes_that_were_one(shard: Shard) -> None:
    now = shard.now_us
    shard.commit(
        shard.says("P-1", {"fill_ratio": 0.9, "network": 0}, now - 60 * MINUTE, seq=1),
        shard.says("P-1", {"fill_ratio": 0.9, "network": 0}, now - 50 * MINUTE, seq=2),
        shard.says("P-1", {"fill_ratio": 0.5, "network": 0}, now - 40 * MINUTE, seq=3),
        shard.says("P-1", {"fill_ratio": 0.5, "network": 0}, now - 30 * MINUTE, seq=5),
    )
    assert shard.open() == {}
    shard.commit(
        shard.says("P-1", {"fill_ratio": 0.9, "network": 0}, now - 20 * MINUTE, seq=6),
        shard.says("P-1", {"fill_ratio": 0.9, "network": 0}, now - 10 * MINUTE, seq=7),
    )
    assert shard.open() == {"pipe.foul_full": 2}
    shard.commit(shard.says("P-1", {"fill_ratio": 0.9, "network": 0}, now - 35 * MINUTE, seq=4))
    shard.look_around()
    assert shard.open() == {"pipe.foul_full": 2}
    assert minutes(shard, "pipe.foul_full", now) == [(50, None, 2)]
    assert sorted(verdicts(shard, "pipe.foul_full")) == [(1, "merged"), (2, "changed")]


def test_late_rain_counts_in_its_place(shard: Shard) -> None:
    now = shard.now_us
    for number in range(4):
        at_us = now - (50 - 10 * number) * MINUTE
        shard.commit(shard.says("N-1", {"amount_mm": 4.0}, at_us, seq=2 * number))
    assert shard.open("N-1") == {}
    shard.commit(shard.says("N-1", {"amount_mm": 9.0}, now - 45 * MINUTE, seq=1))
    shard.look_around()
    assert shard.open("N-1")["rain.hour"] == 1, "20 mm in an hour, with what came late"


# what people have done ----------------------------------------------------------------------------------------------


def test_what_was_closed_by_hand_stays_closed(shard: Shard) -> None:
    now = shard.now_us
    shard.commit(shard.says("C-1", {"open": True}, now - 30 * MINUTE, seq=3))
    episode_key = shard.one("SELECT episode_key FROM episodes")["episode_key"]
    shard.post("close", {"episode_key": episode_key, "actor": "ops", "reason": "已复位"}, "close:1")
    shard.look_around()
    assert shard.open() == {}
    shard.commit(shard.says("C-1", {"open": True}, now - 50 * MINUTE, seq=2))
    shard.look_around()
    assert shard.open() == {}, "the report that raised it had come before it was closed"
    assert [raised for raised, _, _ in minutes(shard, "cover.open", now)] == [50]
    shard.wait(HOUR)
    shard.commit(shard.says("C-1", {"open": True}, seq=4))
    assert shard.open() == {"cover.open": 4}, "and what says so afterwards raises it again"


def test_a_rule_judges_only_what_came_since_it_is_what_it_is(shard: Shard) -> None:
    now = shard.now_us
    shard.commit(shard.says("L-1", {"tilt_deg": 4.0}, now - 50 * MINUTE, seq=1))
    shard.commit(shard.says("L-1", {"tilt_deg": 4.0}, now - 40 * MINUTE, seq=3))
    assert shard.open("L-1") == {"lamp.tilt": 2}
    with connect(shard.database, "test") as connection:
        body = shard.one("SELECT body FROM rules WHERE rule_id = 'lamp.tilt' ORDER BY version DESC LIMIT 1")["body"]
        body["levels"][0]["limit"] = 4.5
        put(connection, parse_rule(body), actor="ops")
        connection.commit()
    shard.restart()
    shard.commit(shard.says("L-1", {"tilt_deg": 0.0}, now - 45 * MINUTE, seq=2))
    shard.look_around()
    assert verdicts(shard, "lamp.tilt") == [], "by the old limit it was right, and the new one was not there"


# marks --------------------------------------------------------------------------------------------------------------


def test_a_week_of_backlog_is_one_window_and_survives_a_restart(shard: Shard) -> None:
    now = shard.now_us
    shard.end()
    shard.settings = shard.settings.model_copy(update={"replay_settle_s": 30})
    shard.begin()
    shard.commit(shard.says("R-1", {"depth_cm": 0.0}, seq=1000))
    for hours in range(160, 0, -16):
        shard.commit(
            *(
                shard.says(
                    "R-1", {"depth_cm": 20.0 if hours == 32 else 0.0}, now - (hours - n) * HOUR, seq=1000 - hours + n
                )
                for n in range(4)
            ),
            look_around=True,
        )
    mark = shard.one("SELECT since FROM late_windows")
    assert mark["since"].timestamp() == pytest.approx(now / 1e6 - 160 * 3600, abs=1)
    assert shard.rows("SELECT * FROM corrections") == []
    shard.settings = shard.settings.model_copy(update={"replay_settle_s": 0})
    shard.restart()
    shard.look_around()
    assert shard.rows("SELECT * FROM late_windows") == []
    assert len(shard.rows("SELECT * FROM corrections")) == 1, "once"


def test_the_past_is_judged_bit_by_bit_while_the_shard_goes_on(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.hindsight.REPORTS_TOGETHER", 1)
    for device_id in ("C-1", "C-2", "R-1"):
        values = {"depth_cm": 0.0} if device_id == "R-1" else {"open": False}
        shard.commit(shard.says(device_id, values, seq=2))
        shard.commit(shard.says(device_id, values, shard.now_us - HOUR, seq=1))
    for left in (2, 1, 0):
        shard.worker._look_around.clear()
        shard.look_around()
        assert len(shard.rows("SELECT * FROM late_windows")) == left
        assert shard.worker._look_around.is_set() == (left > 0), "it goes on as soon as nothing else waits"


def test_a_device_that_moved_takes_its_window_along(shard: Shard) -> None:
    key = shard.device_key("C-1")
    shard.ask.execute("INSERT INTO shards (shard, filters) VALUES ('other', '{}')")
    shard.ask.execute("INSERT INTO late_windows (device_key, shard, since) VALUES (%s, 'other', now())", [key])
    shard.ask.execute("INSERT INTO silences (device_key, until) VALUES (%s, now())", [key])
    shard.restart()
    assert shard.one("SELECT shard FROM late_windows")["shard"] == "main"
    known = shard.tenure.device(key)
    assert known.family.silence_us[known.slot] > 0


# promise 8 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq", [True, False])
@pytest.mark.parametrize("off_us", [-20_000 * DAY, 8 * HOUR, -8 * HOUR, -DAY], ids=["1970", "+8h", "-8h", "-1d"])
def test_no_replay_hides_an_open_cover_whatever_its_clock_says(shard: Shard, off_us: int, seq: bool) -> None:
    """As test_worker's, with the past judged again after each report."""
    numbers = iter(range(1, 99))

    def says(is_open: bool, off: int) -> None:
        shard.wait(MINUTE)
        more = {"seq": next(numbers)} if seq else {}
        shard.commit(shard.says("C-1", {"open": is_open}, shard.now_us + off, **more))
        shard.look_around()

    trusted = seq or abs(off_us) > 7 * DAY or off_us > 0
    says(False, 0)
    for _ in range(2):
        says(True, off_us)
        assert shard.open("C-1") == ({"cover.open": 4} if trusted else {"cover.late_hazard": 1})
    shard.restart()
    says(True, 0)
    assert shard.open("C-1") == {"cover.open": 4}
    says(True, off_us)
    assert shard.open("C-1") == {"cover.open": 4}
    if not trusted:
        says(False, off_us)
        assert shard.open("C-1") == {"cover.open": 4}, "what is older says nothing of now"
    says(False, 0)
    assert shard.open("C-1") == {}
    if not trusted:
        says(True, off_us)
        assert shard.open("C-1") == {"cover.late_hazard": 1}, "what a replay has recorded answers nothing"


@pytest.mark.parametrize("seq", [True, False])
def test_clock_ahead_then_corrected(shard: Shard, seq: bool) -> None:
    shard.commit(shard.says("C-1", {"open": False}, shard.now_us + 4 * MINUTE, **({"seq": 1} if seq else {})))
    shard.wait(10 * SECOND)
    shard.commit(shard.says("C-1", {"open": True}, **({"seq": 2} if seq else {})))
    shard.look_around()
    assert shard.open() == ({"cover.open": 4} if seq else {"cover.late_hazard": 1})
    shard.wait(SECOND)
    shard.commit(shard.says("C-1", {"battery_pct": 50}, **({"seq": 3} if seq else {})))
    shard.look_around()
    assert shard.open() == ({"cover.open": 4} if seq else {"cover.late_hazard": 1})


def test_after_a_time_that_was_substituted_nothing_from_a_clock_ahead_speaks(shard: Shard) -> None:
    """Closed by a clock four minutes ahead, then open by one that says 1970: it is open, and no replay hides it."""
    shard.commit(shard.says("C-1", {"open": False}, shard.now_us + 4 * MINUTE))
    shard.wait(10 * SECOND)
    shard.commit(shard.says("C-1", {"open": True}, 0))
    assert shard.open() == {"cover.open": 4}
    shard.commit(shard.says("C-1", {"tilt_deg": 3.0}, shard.now_us - HOUR))
    shard.look_around()
    assert shard.open() == {"cover.open": 4}
    assert verdicts(shard, "cover.open") == []


def test_true_backlog_without_count_asks_and_is_recorded(shard: Shard) -> None:
    now = shard.now_us
    shard.commit(shard.says("C-1", {"open": False}))
    shard.commit(
        shard.says("C-1", {"open": True}, now - 60 * MINUTE), shard.says("C-1", {"open": False}, now - 30 * MINUTE)
    )
    shard.look_around()
    assert shard.open() == {"cover.late_hazard": 1}, "only a newer report answers it"
    assert minutes(shard, "cover.open", now) == [(60, 30, 4)]
    shard.wait(MINUTE)
    shard.commit(shard.says("C-1", {"open": False}))
    assert shard.open() == {}


# any order ----------------------------------------------------------------------------------------------------------


_SAYS: dict[str, dict[str, list[Any]]] = {
    "C-1": {"open": [True, False, False], "tilt_deg": [3.0, 14.0, 19.0, 40.0]},
    "C-2": {"h2s_mg_m3": [5.0, 12.0, 25.0], "water_below_rim_m": [2.0, 0.4, -0.1]},
    "R-1": {"depth_cm": [0.0, 4.0, 12.0, 28.0]},
    "P-1": {"fill_ratio": [0.3, 0.9, 1.1], "network": [0]},
    "N-1": {"amount_mm": [0.0, 2.0, 6.0]},
}


def _day(chance: random.Random, begin_us: int) -> list[tuple[str, dict[str, Any], int, int]]:
    """What these devices say in half an hour: device, values, event time, count."""
    said = []
    for device_id, choices in _SAYS.items():
        at_us = begin_us
        for number in itertools.count(1):
            at_us += chance.choice([5, 30, 60, 61, 200]) * SECOND
            if at_us > begin_us + 30 * MINUTE:
                break
            values = {name: chance.choice(among) for name, among in choices.items()}
            said.append((device_id, values, at_us // 1000 * 1000, number))
    return sorted(said, key=lambda one: one[2])


def _fed(
    database: str, said: list[tuple[str, dict[str, Any], int, int]], receipts: list[int], restart_at: int | None
) -> Any:
    """What is open and what stands in the corrected record when these have come in the order of their receipt."""
    with (
        psycopg.connect(database, autocommit=True) as looking,
        shard_of(database, replay_settle_s=0) as shard,
    ):
        begin_us = shard.now_us = min(receipts)
        coming = sorted(zip(receipts, said, strict=True), key=lambda one: one[0])
        last_us = max(receipts) + MINUTE
        ticks = [*range(begin_us, last_us, MINUTE), *range(last_us, last_us + 2 * HOUR, 20 * MINUTE)]
        for tick, now_us in enumerate(ticks):
            batch = []
            while coming and coming[0][0] <= now_us:
                received_us, (device_id, values, ts_us, number) = coming.pop(0)
                shard.now_us = received_us - 1000
                batch.append(shard.says(device_id, values, ts_us, seq=number))
            shard.now_us = now_us
            shard.commit(*batch, *shard.probe(now_us))
            post_due(looking)
            shard.look_around()
            if tick == restart_at:
                shard.restart()
        corrections = len(shard.rows("SELECT * FROM corrections"))
        return shard.open(), corrected(shard), corrections


def test_three_times_and_shuffled_is_as_in_order(module_database: str) -> None:
    chance = random.Random(20260701)
    with shard_of(module_database) as shard:
        begin_us = (shard.now_us - 5 * HOUR) // 1000 * 1000
    said = _day(chance, begin_us)
    in_order = _fed(module_database, said, [ts_us + SECOND for _, _, ts_us, _ in said], None)
    assert in_order[2] == 0
    thrice = [one for one in said for _ in range(3)]
    shuffled = _fed(
        module_database,
        thrice,
        [ts_us + SECOND + chance.randrange(15 * MINUTE) for _, _, ts_us, _ in thrice],
        restart_at=20,
    )
    assert shuffled[2] > 10, "much of it came late"
    assert shuffled[0] == in_order[0]
    assert shuffled[1] == in_order[1]
    assert len(in_order[1]) > 10


def test_a_past_that_cannot_be_judged_stops_nothing(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    shard.commit(shard.says("C-1", {"open": False}, seq=2))
    shard.commit(shard.says("C-1", {"open": True}, shard.now_us - HOUR, seq=1))

    def fails(*_args: object, **_more: object) -> None:
        raise ArithmeticError("as told to")

    monkeypatch.setattr("ingest.hindsight.replay", fails)
    shard.commit(shard.says("C-2", {"open": True}), look_around=True)
    assert shard.open() == {"cover.open": 4}
    assert shard.rows("SELECT * FROM late_windows") == []
