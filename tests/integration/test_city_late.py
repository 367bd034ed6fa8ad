"""What only late reports show together with what others said then reaches an operator."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from alerts.city import late
from alerts.city.concerned import Concerned
from tests.integration.shard import HOUR, MINUTE, SECOND
from tests.integration.town import Town, town_of


@pytest.fixture
def town(module_database: str) -> Iterator[Town]:
    with town_of(module_database, replay_settle_s=0) as made:
        made.device("L-9", "lamp")
        made.device("R-9", "road", east_m=20)
        made.shard.restart()
        yield made


def late_hazards(town: Town) -> list[dict[str, Any]]:
    return town.rows(
        "SELECT device_id, severity, proof, raised_at, cleared_at IS NULL AS open FROM episodes"
        " JOIN alarms USING (alarm_key) JOIN devices USING (device_key) WHERE rule_id = 'city.late_hazard'"
        " ORDER BY episode_key"
    )


def leaks(town: Town) -> list[int]:
    """A lamp that leaks 15 mA all the time, with a dry road beside it; when it said so."""
    times = []
    for _ in range(4):
        times.append(town.shard.now_us)
        town.says(("L-9", {"leakage_ma": 15.0}), ("R-9", {"depth_cm": 0.0}))
        town.tick()
        town.shard.wait(10 * MINUTE)
    assert ("lamp.leaking_in_water", "device") not in town.open()
    return times


def rejudged(town: Town) -> None:
    """Tick until nothing of the past is to be judged again."""
    town.shard.look_around()
    for _ in range(100):
        if not town.rows("SELECT * FROM late_past"):
            return
        town.tick()
    raise AssertionError("the past is never done with")


def past(town: Town, rule_id: str) -> list[tuple[str, int | None, bool]]:
    """What late data has shown of a rule's episodes: verdict, worst, whether it is over."""
    return [
        (row["verdict"], row["worst_severity"], row["cleared_at"] is not None)
        for row in town.rows(
            "SELECT verdict, worst_severity, cleared_at FROM corrections JOIN alarms USING (alarm_key)"
            " WHERE rule_id = %s ORDER BY correction_key",
            rule_id,
        )
    ]


def test_water_that_is_reported_late_beside_a_lamp_that_leaked_goes_on_record_and_is_put_to_an_operator(
    town: Town,
) -> None:
    town.shard.sink("platform", "platform")
    town.shard.sink("crew", "crew")
    times = leaks(town)
    deep = [times[1] + MINUTE, times[1] + 2 * MINUTE]
    for at_us in deep:
        town.shard.commit(town.shard.says("R-9", {"depth_cm": 12.0}, at_us))
    rejudged(town)
    assert past(town, "lamp.leaking_in_water") == [("missed", 3, True)]
    missed = town.one("SELECT * FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'lamp.leaking_in_water'")
    assert round(missed["raised_at"].timestamp() * 1e6) == deep[1] // 1000 * 1000
    assert missed["cleared_at"].timestamp() * 1e6 == pytest.approx(times[2], abs=5000)
    notices = [("lamp.leaking_in_water", "raise", 3), ("lamp.leaking_in_water", "clear", 3)]
    assert [one for one in town.shard.owed("platform") if one[0] == "lamp.leaking_in_water"] == notices
    (asked,) = late_hazards(town)
    assert (asked["device_id"], asked["severity"], asked["open"]) == ("L-9", 1, True)
    assert asked["proof"]["of_rule"] == "lamp.leaking_in_water"
    assert asked["proof"]["label"].startswith("积水中灯杆漏电（橙，")
    assert ("lamp.leaking_in_water", "device") not in town.open()
    town.tick()
    assert len(late_hazards(town)) == 1
    key = town.one("SELECT episode_key FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'city.late_hazard'")
    town.shard.post("close", {"episode_key": key["episode_key"], "actor": "li", "reason": "已核查"}, "close-1")
    town.shard.look_around()
    assert [one["open"] for one in late_hazards(town)] == [False]


def test_a_newer_report_answers_what_an_operator_was_asked(town: Town) -> None:
    times = leaks(town)
    for minutes in (1, 2):
        town.shard.commit(town.shard.says("R-9", {"depth_cm": 12.0}, times[1] + minutes * MINUTE))
    rejudged(town)
    town.tick()
    assert [one["open"] for one in late_hazards(town)] == [True]
    town.says(("R-9", {"depth_cm": 0.0}))
    town.tick()
    assert [one["open"] for one in late_hazards(town)] == [False]
    assert town.shard.reasons("city.late_hazard") == ["late_hazard", "newer_report_normal"]


def test_a_device_that_numbers_its_reports_is_known_to_be_late_and_nobody_is_asked(town: Town) -> None:
    times = leaks(town)
    town.says(("L-9", {"leakage_ma": 1.0}))
    for minutes in (1, 2):
        town.shard.commit(town.shard.says("R-9", {"depth_cm": 12.0}, times[1] + minutes * MINUTE, seq=minutes))
    town.ask.execute("UPDATE report_road SET seq = 0 WHERE seq IS NULL")
    rejudged(town)
    assert past(town, "lamp.leaking_in_water") == [("missed", 3, True)]
    assert late_hazards(town) == []


def test_an_alarm_that_should_not_have_been_is_ended_and_whoever_was_told_is_told_that(town: Town) -> None:
    """The pole had stopped leaking between the two samples that proved it; that is known only now."""
    town.shard.sink("platform", "platform")
    town.shard.sink("crew", "crew")
    town.says(("R-9", {"depth_cm": 12.0}), ("L-9", {"leakage_ma": 15.0}))
    town.tick()
    stopped = town.shard.now_us
    town.shard.wait(20 * MINUTE)
    town.says(("L-9", {"leakage_ma": 15.0}), ("R-9", {"depth_cm": 12.0}))
    town.tick()
    assert town.open()["lamp.leaking_in_water", "device"] == 3
    sent = town.rows("SELECT delivery_key, notice, snapshot FROM outbox ORDER BY delivery_key")
    town.shard.commit(town.shard.says("L-9", {"leakage_ma": 1.0}, stopped))
    rejudged(town)
    assert ("lamp.leaking_in_water", "device") not in town.open()
    assert past(town, "lamp.leaking_in_water") == [("unfounded", None, False)]
    for sink in ("platform", "crew"):
        told = [notice for rule, notice, _ in town.shard.owed(sink) if rule == "lamp.leaking_in_water"]
        assert told == ["raise", "clear", "correct"], sink
    kept = town.rows("SELECT delivery_key, notice, snapshot FROM outbox ORDER BY delivery_key")
    assert kept[: len(sent)] == sent, "what was said stays said"
    town.says(("L-9", {"leakage_ma": 15.0}))
    town.tick()
    assert town.open()["lamp.leaking_in_water", "device"] == 3, "its next sample is the second"


def test_what_holds_still_by_what_came_late_is_raised_now(town: Town) -> None:
    town.says(("R-9", {"depth_cm": 0.0}))
    town.tick()
    dry = town.shard.now_us
    town.shard.wait(HOUR)
    began = town.shard.now_us
    town.says(("L-9", {"leakage_ma": 15.0}))
    for _ in range(2):
        town.shard.wait(10 * MINUTE)
        town.says(("L-9", {"leakage_ma": 15.0}))
        town.tick()
    assert ("lamp.leaking_in_water", "device") not in town.open()
    town.shard.commit(town.shard.says("R-9", {"depth_cm": 12.0}, dry + HOUR))
    rejudged(town)
    assert town.open()["lamp.leaking_in_water", "device"] == 3
    raised = town.one(
        "SELECT raised_at FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id LIKE 'lamp.leaking%%'"
    )
    assert began <= raised["raised_at"].timestamp() * 1e6 <= began + 11 * MINUTE


def test_a_backlog_in_its_order_is_judged_with_what_others_said_then(town: Town) -> None:
    """Its gateway was away: nothing of it is late for its own device, and the city has seen only the last of it."""
    town.says(("R-9", {"depth_cm": 0.0}))
    times = []
    for _ in range(4):
        town.shard.wait(10 * MINUTE)
        times.append(town.shard.now_us)
        town.says(("L-9", {"leakage_ma": 15.0}))
        town.tick()
    town.shard.commit(
        *(town.shard.says("R-9", {"depth_cm": 12.0}, at_us + MINUTE, seq=1 + n) for n, at_us in enumerate(times[:2])),
        town.shard.says("R-9", {"depth_cm": 0.0}, times[2] + MINUTE, seq=3),
        town.shard.says("R-9", {"depth_cm": 0.0}, seq=4),
    )
    assert town.shard.books()["late"] == 0
    rejudged(town)
    assert past(town, "lamp.leaking_in_water") == [("missed", 3, True)]


def test_what_is_on_record_is_not_asked_about(town: Town) -> None:
    for _ in range(2):
        town.says(("R-9", {"depth_cm": 12.0}), ("L-9", {"leakage_ma": 15.0}))
        town.tick()
        town.shard.wait(MINUTE)
    assert town.open()["lamp.leaking_in_water", "device"] == 3
    town.shard.commit(town.shard.says("R-9", {"depth_cm": 11.0}, town.shard.now_us - 2 * MINUTE))
    rejudged(town)
    assert past(town, "lamp.leaking_in_water") == [("changed", 3, False)], "its second sample was the late one"
    assert late_hazards(town) == []


def test_a_harmless_past_asks_nothing(town: Town) -> None:
    times = leaks(town)
    town.shard.commit(town.shard.says("R-9", {"depth_cm": 1.0}, times[1] + MINUTE))
    rejudged(town)
    assert past(town, "lamp.leaking_in_water") == []
    assert late_hazards(town) == []


def test_a_value_that_came_late_is_held_against_the_weather_of_its_time(town: Town) -> None:
    """30 V on a pole: in dry weather a level rule's matter, and red in the rain that there was."""
    town.says(("N-1", {"amount_mm": 2.0}))
    town.tick()
    rained = town.shard.now_us
    for _ in range(2):
        town.shard.wait(50 * MINUTE)
        town.says(("N-1", {"amount_mm": 0.0}))
        town.tick()
    assert town.weather() == "dry"
    town.says(("L-1", {"touch_voltage_v": 1.0}))
    town.shard.commit(town.shard.says("L-1", {"touch_voltage_v": 23.0}, rained))
    rejudged(town)
    assert late_hazards(town) == [], "23 V is below the limit of rain"
    town.shard.commit(town.shard.says("L-1", {"touch_voltage_v": 30.0}, rained + MINUTE))
    rejudged(town)
    (asked,) = late_hazards(town)
    assert (asked["device_id"], asked["proof"]["of_rule"]) == ("L-1", "lamp.touch_voltage_wet")


def test_a_rule_that_cannot_be_judged_again_stops_no_other(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    times = leaks(town)
    for minutes in (1, 2):
        town.shard.commit(town.shard.says("R-9", {"depth_cm": 12.0}, times[1] + minutes * MINUTE))
    real = Concerned._asking

    def sometimes(self: Concerned, connection: Any, rule: Any, *more: Any) -> list[int]:
        if rule.rule_id in ("road.rising_pump_off", "lamp.touch_voltage_wet"):
            raise ZeroDivisionError("as a fault of ours may")
        return real(self, connection, rule, *more)

    monkeypatch.setattr(Concerned, "_asking", sometimes)
    rejudged(town)
    assert past(town, "lamp.leaking_in_water") == [("missed", 3, True)]


def test_after_a_time_that_was_substituted_nothing_from_a_clock_ahead_speaks(town: Town) -> None:
    """A clock four minutes ahead said that all is well, then one that says 1970 that it leaks: no replay hides that."""
    town.says(("R-9", {"depth_cm": 12.0}))
    town.shard.commit(town.shard.says("L-9", {"leakage_ma": 1.0}, town.shard.now_us + 4 * MINUTE))
    town.tick()
    for _ in range(2):
        town.shard.commit(town.shard.says("L-9", {"leakage_ma": 15.0}, 0))
        town.tick()
    assert town.open()["lamp.leaking_in_water", "device"] == 3
    town.shard.commit(town.shard.says("R-9", {"depth_cm": 11.0}, town.shard.now_us - 3 * MINUTE))
    rejudged(town)
    assert town.open()["lamp.leaking_in_water", "device"] == 3
    assert past(town, "lamp.leaking_in_water") == []


def test_a_clock_that_is_hours_behind_is_no_lateness(town: Town) -> None:
    """It is heard when it speaks; judging the past again must not take what it says for of another time."""
    behind = 8 * HOUR
    for _ in range(3):
        town.shard.commit(town.shard.says("L-9", {"leakage_ma": 15.0}, town.shard.now_us - behind))
        town.says(("R-9", {"depth_cm": 12.0}))
        town.tick()
        town.shard.wait(10 * MINUTE)
    assert town.open()["lamp.leaking_in_water", "device"] == 3
    rejudged(town)
    assert town.open()["lamp.leaking_in_water", "device"] == 3
    assert [one[0] for one in past(town, "lamp.leaking_in_water") if one[0] != "changed"] == []


# a little each tick -------------------------------------------------------------------------------------------------


def test_the_past_is_gone_through_a_little_each_tick_and_from_the_beginning_after_a_restart(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day of a lamp each minute, of which one report at its beginning came late."""
    begin_us = town.shard.now_us
    town.shard.wait(24 * HOUR)
    lamps = [
        town.shard.says("L-9", {"leakage_ma": 15.0}, begin_us + minute * MINUTE, seq=minute)
        for minute in range(0, 24 * 60, 2)
    ]
    roads = [
        town.shard.says("R-9", {"depth_cm": 0.0}, begin_us + minute * MINUTE, seq=minute) for minute in (0, 120, 1439)
    ]
    town.shard.commit(*lamps, *roads)
    monkeypatch.setattr(late, "EACH_TICK_S", 60.0)
    rejudged(town)
    assert past(town, "lamp.leaking_in_water") == []
    monkeypatch.setattr(late, "EACH_TICK_S", 0.02)
    deep = [town.shard.says("R-9", {"depth_cm": 12.0}, begin_us + minute * MINUTE, seq=minute) for minute in (30, 60)]
    town.shard.commit(*deep)
    town.shard.look_around()
    took = []
    for tick in range(400):
        town.tick()
        took.append(
            town.one("SELECT state -> 'steps' -> 'late' AS late FROM engines WHERE name = 'city'")["late"]["last_s"]
        )
        if not town.rows("SELECT * FROM late_past"):
            break
        if tick == 3:
            town.begin()
    assert len(took) > 5, "it takes many ticks"
    assert statistics.median(took) < 0.1, took
    assert past(town, "lamp.leaking_in_water") == [("missed", 3, True)]


def test_what_is_closed_by_hand_while_its_past_is_judged_stays_closed(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.shard.now_us -= HOUR
    began_us = town.shard.now_us
    for _ in range(3):
        town.says(("R-9", {"depth_cm": 12.0}), ("L-9", {"leakage_ma": 15.0}))
        town.tick()
        town.shard.wait(MINUTE)
    assert town.open()["lamp.leaking_in_water", "device"] == 3
    town.shard.commit(town.shard.says("R-9", {"depth_cm": 11.0}, began_us + 30 * SECOND))
    town.shard.look_around()
    monkeypatch.setattr(late, "EACH_TICK_S", 0.0)
    for _ in range(5):
        town.tick()
    assert town.rows("SELECT * FROM late_past") != [], "it is under way"
    key = town.one("SELECT episode_key FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id LIKE '%%in_water'")
    town.shard.post("close", {"episode_key": key["episode_key"], "actor": "li", "reason": "已处置"}, "close-2")
    monkeypatch.setattr(late, "EACH_TICK_S", 5.0)
    rejudged(town)
    town.tick()
    assert ("lamp.leaking_in_water", "device") not in town.open()
    assert [one for one in past(town, "lamp.leaking_in_water") if one[0] == "missed"] == []
