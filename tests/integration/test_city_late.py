"""What only late reports show together with what others said then reaches an operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from alerts.city.late import Late
from tests.integration.shard import MINUTE
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


def test_water_that_is_reported_late_beside_a_lamp_that_leaked_is_put_to_an_operator(town: Town) -> None:
    times = leaks(town)
    deep = [times[1] + MINUTE, times[2] + MINUTE]
    for at_us in deep:
        town.shard.commit(town.shard.says("R-9", {"depth_cm": 12.0}, at_us))
    town.shard.look_around()
    town.tick()
    (asked,) = late_hazards(town)
    assert (asked["device_id"], asked["severity"], asked["open"]) == ("L-9", 1, True)
    assert asked["proof"]["of_rule"] == "lamp.leaking_in_water"
    assert asked["proof"]["label"].startswith("积水中灯杆漏电（橙，")
    assert deep[0] // 1000 <= asked["raised_at"].timestamp() * 1000 <= times[3] // 1000 + 1
    assert ("lamp.leaking_in_water", "device") not in town.open(), "nobody has seen it: the rule's own record stays"
    town.tick()
    assert len(late_hazards(town)) == 1
    key = town.one("SELECT episode_key FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'city.late_hazard'")
    town.shard.post("close", {"episode_key": key["episode_key"], "actor": "li", "reason": "已核查"}, "close-1")
    town.shard.look_around()
    assert [one["open"] for one in late_hazards(town)] == [False]


def test_what_is_on_record_is_not_asked_about(town: Town) -> None:
    for _ in range(2):
        town.says(("R-9", {"depth_cm": 12.0}), ("L-9", {"leakage_ma": 15.0}))
        town.tick()
        town.shard.wait(MINUTE)
    assert town.open()["lamp.leaking_in_water", "device"] == 3
    town.shard.commit(town.shard.says("R-9", {"depth_cm": 11.0}, town.shard.now_us - 2 * MINUTE))
    town.shard.look_around()
    assert town.rows("SELECT * FROM late_past") != []
    town.tick()
    assert town.rows("SELECT * FROM late_past") == []
    assert late_hazards(town) == []


def test_a_harmless_past_asks_nothing(town: Town) -> None:
    times = leaks(town)
    town.shard.commit(town.shard.says("R-9", {"depth_cm": 1.0}, times[1] + MINUTE))
    town.shard.look_around()
    town.tick()
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
    town.shard.look_around()
    town.tick()
    assert late_hazards(town) == [], "23 V is below the limit of rain"
    town.shard.commit(town.shard.says("L-1", {"touch_voltage_v": 30.0}, rained + MINUTE))
    town.shard.look_around()
    town.tick()
    (asked,) = late_hazards(town)
    assert (asked["device_id"], asked["proof"]["of_rule"]) == ("L-1", "lamp.touch_voltage_wet")


def test_one_that_cannot_be_looked_at_stops_no_other(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    times = leaks(town)
    town.shard.commit(
        town.shard.says("R-9", {"depth_cm": 12.0}, times[1] + MINUTE),
        town.shard.says("R-9", {"depth_cm": 12.0}, times[2] + MINUTE),
        town.shard.says("N-1", {"amount_mm": 0.0}),
        town.shard.says("N-1", {"amount_mm": 0.0}, times[0]),
    )
    town.shard.look_around()
    real = Late._look_at

    def sometimes(self: Late, connection: Any, device: Any, *more: Any) -> None:
        if device.device_id == "N-1":
            raise ZeroDivisionError("as a fault of ours may")
        real(self, connection, device, *more)

    monkeypatch.setattr(Late, "_look_at", sometimes)
    town.tick()
    assert [one["device_id"] for one in late_hazards(town)] == ["L-9"]
