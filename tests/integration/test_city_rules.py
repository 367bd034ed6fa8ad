"""Rules over several devices, from committed reports to alarms: raised, over, frozen by silence, and over a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.shard import HOUR, MINUTE, SECOND
from tests.integration.town import Town, town_of
from underfoot.reports import moment


@pytest.fixture
def town(module_database: str) -> Iterator[Town]:
    with town_of(module_database) as made:
        yield made


def dry(town: Town, *gauges: str) -> None:
    town.says(*((gauge, {"amount_mm": 0.0}) for gauge in gauges or ("N-1",)))
    town.tick()


# weather ------------------------------------------------------------------------------------------------------------


def test_weather_of_a_district_and_its_history(town: Town) -> None:
    town.tick()
    assert town.weather() == "unknown", "nobody has said anything"
    dry(town)
    assert town.weather() == "dry"
    town.shard.wait(5 * MINUTE)
    town.says(("N-1", {"amount_mm": 0.2}))
    town.tick()
    assert town.weather() == "wet"
    town.shard.wait(5 * MINUTE)
    town.says(("N-1", {"amount_mm": 20.0}))
    town.tick()
    assert town.weather() == "storm"
    town.shard.wait(61 * MINUTE)
    town.tick()
    assert town.weather() == "unknown", "the gauge has said nothing for over an hour"
    history = town.rows("SELECT state, since, until, gauges, most_mm_1h FROM area_weather ORDER BY since")
    assert [row["state"] for row in history] == ["unknown", "dry", "wet", "storm", "unknown"]
    assert [row["until"] for row in history[:-1]] == [row["since"] for row in history[1:]]
    assert [row["gauges"] for row in history] == [0, 1, 1, 1, 0]
    assert history[3]["most_mm_1h"] == pytest.approx(20.2)


def test_a_clock_that_is_set_back_leaves_the_history_in_order(town: Town) -> None:
    dry(town)
    town.says(("N-1", {"amount_mm": 2.0}))
    town.city.tick(moment(town.shard.now_us - HOUR))
    assert town.weather() == "wet", "what is judged each ten seconds does not wait for an hour"
    spans = town.rows("SELECT since, until FROM area_weather ORDER BY since")
    assert len(spans) == 2
    assert spans[0]["since"] < spans[0]["until"] == spans[1]["since"]


def test_a_district_without_a_gauge_that_speaks_asks_the_nearest(town: Town) -> None:
    town.ask.execute("INSERT INTO areas (code, name, level) VALUES ('410503', '北关区', 'district')")
    town.device("N-9", "rain", east_m=3000, area="410503")
    town.device("L-9", "lamp", area="410502")
    town.ask.execute("UPDATE assets SET lon = 114.5, lat = 36.2 WHERE area_code = '410502'")
    town.ask.execute("UPDATE devices SET status = 'retired' WHERE device_id = 'N-1'")
    town.shard.restart()
    town.shard.commit(
        town.shard.message(
            "underfoot/v1/410503/rain/N-9/report",
            b'{"ts": %d, "values": {"amount_mm": 1.0}}' % (town.shard.now_us // 1000),
        )
    )
    town.tick()
    assert town.weather() == "wet"


# limits by weather --------------------------------------------------------------------------------------------------


def lamp(town: Town, volts: float) -> None:
    town.says(("L-1", {"touch_voltage_v": volts}))
    town.tick()


def test_a_limit_depends_on_the_rain(town: Town) -> None:
    dry(town)
    lamp(town, 30.0)
    assert town.open() == {("lamp.touch_voltage", "device"): 3}, "in dry weather the absolute limits are all there is"
    town.says(("N-1", {"amount_mm": 2.0}))
    town.tick()
    assert town.weather() == "wet"
    assert town.open()["lamp.touch_voltage_wet", "device"] == 4, "the same value, and now it rains"
    assert town.suppressed("lamp.touch_voltage") == ["by_design"], "one alarm is enough"
    assert town.suppressed("lamp.touch_voltage_wet") == [""]
    lamp(town, 5.0)
    assert town.open() == {}
    town.tick()
    assert town.suppressed("lamp.touch_voltage") == [""]


def test_without_rain_gauges_the_more_sensitive_limit_counts(town: Town) -> None:
    lamp(town, 25.0)
    assert town.weather() == "unknown"
    assert town.open()["lamp.touch_voltage_wet", "device"] == 4


def test_standing_water_beside_the_pole_counts_before_the_weather(town: Town) -> None:
    town.device("L-9", "lamp")
    town.device("R-9", "road", east_m=60)
    town.device("R-8", "road", east_m=90)
    town.shard.restart()
    dry(town)
    town.says(("R-9", {"depth_cm": 2.9}), ("R-8", {"depth_cm": 30.0}), ("L-9", {"touch_voltage_v": 13.0}))
    town.tick()
    assert ("lamp.touch_voltage_wet", "device") not in town.open(), "only the nearest gauge is asked"
    town.says(("R-9", {"depth_cm": 3.0}))
    town.tick()
    assert town.open()["lamp.touch_voltage_wet", "device"] == 4
    proof = town.one(
        "SELECT proof FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'lamp.touch_voltage_wet'"
    )["proof"]
    assert (proof["value"], proof["limit"], proof["limits_of"], proof["water_depth_cm"]) == (
        13,
        12,
        "standing_water",
        3,
    )


def test_missing_data_freezes_and_a_restart_forgets_nothing(town: Town) -> None:
    """A pipe full in dry weather, believed after half an hour: begun before a restart, believed after it."""
    dry(town)
    town.says(("P-1", {"fill_ratio": 0.78, "network": 0}))
    town.tick()
    assert [row["state"]["level"] for row in town.conditions("pipe.dry_weather_foul")] == [0]
    town.begin()
    for _ in range(3):
        town.shard.wait(15 * MINUTE)
        town.says(("P-1", {"fill_ratio": 0.78, "network": 0}), ("N-1", {"amount_mm": 0.0}))
        town.tick()
        town.tick()
    assert town.open() == {("pipe.dry_weather_foul", "device"): 1}
    raised = town.one(
        "SELECT e.raised_at - t.event_at AS held FROM episodes e JOIN transitions t USING (alarm_key)"
        " WHERE t.to_state = 'pending'"
    )
    assert raised["held"].total_seconds() == pytest.approx(1800, abs=60), "in event time"
    town.shard.wait(24 * HOUR)
    town.begin()
    town.tick()
    assert town.open() == {("pipe.dry_weather_foul", "device"): 1}, "silence is no all-clear"
    for _ in range(2):
        town.says(("P-1", {"fill_ratio": 0.5, "network": 0}), ("N-1", {"amount_mm": 0.0}))
        town.tick()
    assert town.open() == {}


def test_an_edited_rule_is_judged_at_once(town: Town) -> None:
    dry(town)
    town.says(("N-1", {"amount_mm": 2.0}))
    lamp(town, 25.0)
    assert town.open()["lamp.touch_voltage_wet", "device"] == 4
    town.ask.execute(
        "INSERT INTO rules (rule_id, version, body, created_by) SELECT rule_id, version + 1,"
        " jsonb_set(body, '{wet,0,limit}', '30'), 'test' FROM rules WHERE rule_id = 'lamp.touch_voltage_wet'"
    )
    town.tick()
    assert ("lamp.touch_voltage_wet", "device") not in town.open()
    assert town.shard.reasons("lamp.touch_voltage_wet")[-1] == "rule_changed"


def test_what_begins_and_ends_at_every_report_flaps(town: Town) -> None:
    dry(town)
    town.says(("N-1", {"amount_mm": 2.0}))
    for number in range(10):
        lamp(town, 5.0 if number % 2 else 30.0)
        town.shard.wait(10 * SECOND)
    assert town.suppressed("lamp.touch_voltage_wet") == ["flapping"]
    town.shard.restart()
    assert town.suppressed("lamp.touch_voltage_wet") == ["flapping"], "it is the city's to say when it is over"
    town.shard.wait(30 * SECOND)
    town.shard.catch_up()
    town.tick()
    assert town.suppressed("lamp.touch_voltage_wet") == ["flapping"]
    town.shard.wait(MINUTE)
    town.shard.catch_up()
    town.tick()
    assert town.suppressed("lamp.touch_voltage_wet") == [""], "it may be red: nobody is kept in the dark for longer"
    held = town.one(
        "SELECT max(event_at) - max(event_at) FILTER (WHERE region = 'condition') AS calm FROM transitions"
        " JOIN alarms USING (alarm_key) WHERE rule_id = 'lamp.touch_voltage_wet'"
    )["calm"]
    assert held.total_seconds() == 60, "by the device's own time, as of a rule over one device"


# composite ----------------------------------------------------------------------------------------------------------


def wade(town: Town, depth_cm: float, milliamperes: float = 15.0) -> None:
    town.says(("R-9", {"depth_cm": depth_cm}), ("L-9", {"leakage_ma": milliamperes}))
    town.tick()


@pytest.fixture
def street(town: Town) -> Town:
    town.device("L-9", "lamp")
    town.device("R-9", "road", east_m=50)
    town.shard.restart()
    return town


LEAKING = ("lamp.leaking_in_water", "device")


def test_two_devices_together_raise_and_end_an_alarm(street: Town) -> None:
    wade(street, 10.0)
    assert LEAKING not in street.open()
    wade(street, 10.0)
    assert street.open()[LEAKING] == 3
    alarm = street.one(
        "SELECT device_id, proof FROM episodes JOIN alarms USING (alarm_key) JOIN devices USING (device_key)"
        " WHERE rule_id = 'lamp.leaking_in_water'"
    )
    assert alarm["device_id"] == "L-9"
    assert alarm["proof"]["inputs"] == {
        "leaking": {"holds": True, "value": 15.0},
        "standing_water": {"holds": True, "value": 10.0},
    }
    wade(street, 1.0)
    assert LEAKING not in street.open()
    assert street.shard.reasons("lamp.leaking_in_water") == ["condition_met", "condition_met", "condition_over"]


def test_an_input_that_fell_silent_neither_raises_nor_ends(street: Town) -> None:
    wade(street, 10.0)
    wade(street, 10.0)
    street.shard.wait(3 * HOUR)
    street.says(("L-9", {"leakage_ma": 15.0}))
    street.tick()
    assert LEAKING in street.open(), "the water may stand there still"
    street.says(("L-9", {"leakage_ma": 1.0}))
    street.tick()
    assert LEAKING not in street.open(), "what is known decides alone: without leakage there is no danger"
    street.says(("L-9", {"leakage_ma": 15.0}))
    street.tick()
    street.says(("L-9", {"leakage_ma": 15.0}))
    street.tick()
    assert LEAKING not in street.open(), "nobody knows of water now"


def test_restart_while_pending(street: Town) -> None:
    wade(street, 10.0)
    assert [row["state"]["rising"][0]["samples"] for row in street.conditions("lamp.leaking_in_water")] == [1]
    street.begin()
    street.tick()
    street.tick()
    assert LEAKING not in street.open(), "the same reports again are no second sample"
    wade(street, 10.0)
    assert LEAKING in street.open()


def test_closed_by_hand_it_comes_again_only_with_something_new(street: Town) -> None:
    wade(street, 10.0)
    wade(street, 10.0)
    street.shard.catch_up()
    key = street.one(
        "SELECT episode_key FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'lamp.leaking_in_water'"
    )["episode_key"]
    street.shard.post("close", {"episode_key": key, "actor": "王", "reason": "已断电"}, "close-1")
    street.shard.look_around()
    assert LEAKING not in street.open()
    street.tick()
    street.begin()
    street.tick()
    assert LEAKING not in street.open()
    wade(street, 10.0)
    wade(street, 10.0)
    assert street.open()[LEAKING] == 3
    assert street.one("SELECT max(episode) AS episodes FROM alarms WHERE rule_id = 'lamp.leaking_in_water'")[
        "episodes"
    ] == 2  # fmt: skip


def test_high_water_in_a_manhole_without_rain(town: Town) -> None:
    """A cover speaks once and sleeps: that nothing else came proves it, once all that was sent is committed."""
    dry(town)
    town.says(("C-2", {"water_below_rim_m": 0.4}))
    town.shard.catch_up()
    town.tick()
    for _ in range(6):
        assert ("cover.dry_weather_high", "device") not in town.open()
        town.shard.wait(5 * MINUTE)
        dry(town)
    assert ("cover.dry_weather_high", "device") not in town.open(), "nobody has caught up since"
    town.shard.catch_up()
    town.tick()
    assert town.open()["cover.dry_weather_high", "device"] == 2


def test_rising_water_with_the_pump_off_nearby(town: Town) -> None:
    town.device("R-9", "road")
    town.device("U-9", "pump", north_m=200)
    town.shard.restart()
    for minute in range(6):
        town.says(("U-9", {"running": False}), ("R-9", {"depth_cm": 6.0 + minute}))
        town.tick(after_us=SECOND)
        town.shard.wait(MINUTE - SECOND)
    assert town.open()["road.rising_pump_off", "device"] == 3
    town.says(("U-9", {"running": True}))
    town.tick()
    town.shard.wait(6 * MINUTE)
    town.says(("U-9", {"running": True}), ("R-9", {"depth_cm": 11.0}))
    town.tick()
    assert ("road.rising_pump_off", "device") not in town.open()


# stuck --------------------------------------------------------------------------------------------------------------


def hours_of(town: Town, levels: dict[str, tuple[float, ...]], reports: int = 26) -> None:
    """A report each 15 minutes, its level the next of these in turn."""
    for number in range(reports):
        town.says(*((device, {"level_m": said[number % len(said)]}) for device, said in levels.items()))
        town.shard.wait(15 * MINUTE)
    town.shard.wait(-14 * MINUTE)
    town.tick()


def test_a_gauge_that_stands_still_while_its_neighbour_moves(town: Town) -> None:
    town.device("P-8", "pipe")
    town.device("P-9", "pipe", east_m=500)
    town.shard.restart()
    hours_of(town, {"P-8": (0.400, 0.401), "P-9": (0.40, 0.42)})
    assert ("pipe.stuck", "device") not in town.open(), "all is calm"
    hours_of(town, {"P-8": (0.400, 0.401), "P-9": (0.40, 0.50)})
    stuck = town.rows("SELECT device_id FROM alarms JOIN devices USING (device_key) WHERE rule_id = 'pipe.stuck'")
    assert [row["device_id"] for row in stuck] == ["P-8"]
    assert town.open()["pipe.stuck", "device"] == 1
    hours_of(town, {"P-8": (0.400, 0.401), "P-9": (0.40, 0.40)})
    assert ("pipe.stuck", "device") in town.open(), "that its neighbour is calm again does not mend it"
    hours_of(town, {"P-8": (0.400, 0.450)}, reports=2)
    assert ("pipe.stuck", "device") not in town.open()


# gateways -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def gateway(town: Town) -> Town:
    key = town.one("INSERT INTO gateways (gateway_id, district) VALUES ('G-1', '410502') RETURNING gateway_key")
    for number in range(10):
        town.device(f"L-{80 + number}", "lamp", gateway=key["gateway_key"])
    town.ask.execute("UPDATE devices SET status = 'retired' WHERE gateway_key IS NULL")
    town.shard.restart()
    return town


def lamps(town: Town, count: int) -> None:
    town.says(*((f"L-{80 + number}", {"voltage_v": 220.0}) for number in range(count)))
    town.shard.catch_up()


OUTAGE = ("gateway.outage", "gateway")


def test_a_silent_gateway_is_one_alarm_and_explains_its_devices(gateway: Town) -> None:
    town = gateway
    lamps(town, 10)
    town.tick()
    assert town.open() == {}
    town.shard.wait(31 * MINUTE)
    lamps(town, 8)
    town.tick()
    assert town.open() == {}, "two of ten are no outage"
    town.shard.wait(32 * MINUTE)
    town.tick()
    assert town.open() == {}, "silence is judged against what is caught up, not against now"
    lamps(town, 2)
    town.tick()
    assert town.open() == {OUTAGE: 2}
    offline = town.rows("SELECT suppressed, episode FROM alarms WHERE rule_id = 'lamp.offline'")
    assert [(row["suppressed"], row["episode"]) for row in offline] == [(["by_design"], 0)] * 10, (
        "before they are raised"
    )
    assert town.suppressed("gateway.outage") == [""], "what names the cause is told"

    town.shard.wait(20 * MINUTE)
    town.shard.catch_up()
    town.shard.look_around()
    assert town.open()["lamp.offline", "device"] == 1
    withheld = town.rows("SELECT withheld FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'lamp.offline'")
    assert len(withheld) >= 8
    assert all(row["withheld"] for row in withheld)

    lamps(town, 9)
    town.tick()
    assert OUTAGE not in town.open()
    town.tick()
    assert set(town.suppressed("lamp.offline")) == {""}
    still = town.rows(
        "SELECT device_id, withheld FROM episodes JOIN alarms USING (alarm_key) JOIN devices USING (device_key)"
        " WHERE cleared_at IS NULL"
    )
    assert [(row["device_id"], row["withheld"]) for row in still] == [("L-89", False)], (
        "the one still silent is told of"
    )


def test_a_gateway_whose_shard_has_not_caught_up_is_unknown(gateway: Town) -> None:
    lamps(gateway, 10)
    gateway.tick()
    gateway.shard.wait(2 * HOUR)
    lamps(gateway, 0)
    gateway.tick()
    assert gateway.open() == {OUTAGE: 2}
    gateway.ask.execute("UPDATE shards SET caught_up_to = NULL")
    gateway.says(*((f"L-{80 + number}", {"voltage_v": 220.0}) for number in range(10)))
    gateway.tick()
    assert gateway.open() == {OUTAGE: 2}, "frozen"
    gateway.shard.restart()
    lamps(gateway, 10)
    gateway.tick()
    assert gateway.open() == {}
