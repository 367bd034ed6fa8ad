"""What happened: each kind of hazard, read from hydrographs and faults that were made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simulators.faults.struck import Blockage, During, Forced, OfSensor, PumpFailure, Struck
from simulators.network.model import Link
from simulators.scenario.faults import DeadSensor, GatewayOutage, Loss, Pick, PowerCut, StuckSensor
from simulators.truth import TrueHazard, Truth
from tests.unit.hand_made_run import BEGINS_MS, at_s, hydrographs, network, site, truth_of

LINE = network([("1-2", "1", "2"), ("2-3", "2", "3"), ("3-4", "3", "4")])
ROAD = site("R1", "road", "2")
HILL = [*np.linspace(0, 0.3, 31), *np.linspace(0.3, 0, 31)]
"""In metres: 0 to 30 cm in half an hour, and down again."""
PICK = Pick(devices=("D",))
FOR_EVER = float("inf")


def of_kind(truth: Truth, kind: str) -> list[TrueHazard]:
    return [hazard for hazard in truth.hazards if hazard.kind == kind]


def the(truth: Truth, kind: str) -> TrueHazard:
    (one,) = of_kind(truth, kind)
    return one


# roads ---------------------------------------------------------------------------------------------------------------
def test_a_flooded_road_by_its_limits() -> None:
    flooded = the(truth_of(LINE, hydrographs(LINE, 120, ponding_m={"2": HILL}), ROAD), "road_flooding")
    assert at_s(flooded.begins_ms) == pytest.approx(300, abs=1)
    assert at_s(flooded.ends_ms) == pytest.approx(61 * 60 - 300, abs=1)
    assert flooded.peak == pytest.approx(30, abs=0.01)
    assert flooded.severity == 3
    assert at_s(flooded.peak_ms) == 1800
    assert (flooded.device_id, flooded.asset_code, flooded.node, flooded.watched) == ("R1", "A-2", "2", True)


def test_an_underpass_is_closed_sooner() -> None:
    gauge = site("U1", "road", "2", asset_name="东风路下穿")
    assert the(truth_of(LINE, hydrographs(LINE, 120, ponding_m={"2": HILL}), gauge), "road_flooding").severity == 4


def test_a_peak_within_the_gauges_accuracy_is_true_but_need_not_be_told() -> None:
    almost = [*np.linspace(0, 0.055, 31), *np.linspace(0.055, 0, 31)]
    assert the(truth_of(LINE, hydrographs(LINE, 120, ponding_m={"2": almost}), ROAD), "road_flooding").severity == 0
    less = [*np.linspace(0, 0.035, 31), *np.linspace(0.035, 0, 31)]
    assert not of_kind(truth_of(LINE, hydrographs(LINE, 120, ponding_m={"2": less}), ROAD), "road_flooding")


def test_a_road_that_is_dry_for_less_than_the_clearing_time_is_one_hazard() -> None:
    twice = [0, 0.2, 0.2, 0.2, 0.2, 0.2, *[0.0] * 8, 0.2, 0.2, 0.2, 0.2, 0.2, 0]
    apart = [0, 0.2, 0.2, 0.2, 0.2, 0.2, *[0.0] * 12, 0.2, 0.2, 0.2, 0.2, 0.2, 0]
    assert len(of_kind(truth_of(LINE, hydrographs(LINE, 60, ponding_m={"2": twice}), ROAD), "road_flooding")) == 1
    assert len(of_kind(truth_of(LINE, hydrographs(LINE, 60, ponding_m={"2": apart}), ROAD), "road_flooding")) == 2


def test_what_still_lasts_has_no_end() -> None:
    rising = truth_of(LINE, hydrographs(LINE, 30, ponding_m={"2": HILL[:31]}), ROAD)
    assert the(rising, "road_flooding").ends_ms is None


def test_a_rise_is_true_and_need_not_be_told() -> None:
    jump = [0.0] * 10 + [0.01, 0.02, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03, 0.02, 0.01, 0]
    rose = the(truth_of(LINE, hydrographs(LINE, 60, ponding_m={"2": jump}), ROAD), "road_rising")
    assert rose.severity == 0
    assert rose.peak == pytest.approx(3)


# sewers --------------------------------------------------------------------------------------------------------------
def test_water_at_the_rim_is_an_overflow_whoever_sees_it() -> None:
    depth = [1.0] * 10 + [3.0] * 20 + [1.0]
    out = [0.0] * 10 + [0.1] * 20 + [0.0]
    water = hydrographs(LINE, 60, depth_m={"2": depth, "3": depth}, flooding_m3_s={"2": out, "3": out})
    seen, unseen = of_kind(truth_of(LINE, water, site("C1", "cover", "2")), "overflow")
    assert (seen.node, seen.severity, seen.watched, seen.asset_code, seen.device_id) == ("2", 4, True, "A-2", "")
    assert (unseen.node, unseen.watched) == ("3", False)
    assert at_s(seen.begins_ms) == pytest.approx(600, abs=60)


def test_a_sealed_node_may_stand_higher_than_its_rim() -> None:
    water = hydrographs(LINE, 60, depth_m={"2": [1.0] * 10 + [60.0] * 20 + [1.0]})
    assert the(truth_of(LINE, water, site("C1", "cover", "2")), "overflow").peak == pytest.approx(57, abs=0.01)


def test_where_only_a_pipes_gauge_stands_an_overflow_is_worth_what_that_can_tell() -> None:
    water = hydrographs(LINE, 60, depth_m={"2": [1.0] * 10 + [3.0] * 30 + [1.0]})
    assert the(truth_of(LINE, water, site("P1", "pipe", "2")), "overflow").severity == 2
    shallow = site("P1", "pipe", "2", diameter_m=2.9)
    assert the(truth_of(LINE, water, shallow), "overflow").severity == 1
    foul = site("P1", "pipe", "2", kind="0102")
    assert the(truth_of(LINE, water, foul), "overflow").severity == 3


def test_high_water_under_a_cover_by_its_distance_from_the_rim() -> None:
    for depth_m, severity in ((2.2, 1), (2.6, 2), (2.8, 3), (2.02, 0)):
        water = hydrographs(LINE, 60, depth_m={"2": [1.0] * 10 + [depth_m] * 20 + [1.0]})
        high = the(truth_of(LINE, water, site("C1", "cover", "2")), "surcharge")
        assert (high.severity, high.device_id) == (severity, "C1"), depth_m


def test_the_dry_bed_of_a_shallow_shaft_is_no_hazard() -> None:
    shallow = network([("1-2", "1", "2")], depth_m=0.9)
    cover = site("C1", "cover", "1", rim_m=0.9)
    assert the(truth_of(shallow, hydrographs(shallow, 60), cover), "surcharge").severity == 0


def test_a_cover_that_is_over_no_sewer_sees_no_water() -> None:
    water = hydrographs(LINE, 60, depth_m={"2": [3.0] * 30 + [1.0]})
    told = truth_of(LINE, water, site("C1", "cover", "2", kind="0105"))
    assert not of_kind(told, "surcharge")
    assert not the(told, "overflow").watched


def test_foul_and_storm_sewers_differ() -> None:
    for kind, fill, severity in (("0102", 0.9, 2), ("0102", 1.1, 3), ("0103", 1.3, 1), ("0103", 2.1, 2)):
        water = hydrographs(LINE, 60, depth_m={"2": [0.2] * 10 + [fill] * 25 + [0.2]})
        full = the(truth_of(LINE, water, site("P1", "pipe", "2", kind=kind)), "surcharge")
        assert full.severity == severity, (kind, fill)
    water = hydrographs(LINE, 60, depth_m={"2": [0.2] * 10 + [1.1] * 25 + [0.2]})
    assert not of_kind(truth_of(LINE, water, site("P1", "pipe", "2", kind="0103")), "surcharge")


def test_a_gauge_counts_from_its_zero() -> None:
    water = hydrographs(LINE, 60, depth_m={"2": [0.2] * 10 + [1.1] * 25 + [0.2]})
    assert not of_kind(truth_of(LINE, water, site("P1", "pipe", "2", kind="0102", zero_m=0.5)), "surcharge")


def test_what_is_too_short_for_the_gauges_habit_need_not_be_told() -> None:
    water = hydrographs(LINE, 60, depth_m={"2": [0.2] * 10 + [1.1] * 10 + [0.2]})
    assert the(truth_of(LINE, water, site("P1", "pipe", "2", kind="0102")), "surcharge").severity == 0


def test_water_in_a_storm_sewer_in_dry_weather_only() -> None:
    full = {"2": [0.05] * 10 + [0.5]}
    gauge = site("P1", "pipe", "2")
    dry = truth_of(LINE, hydrographs(LINE, 240, depth_m=full), gauge)
    assert the(dry, "dry_weather_water").severity == 0
    rained = truth_of(LINE, hydrographs(LINE, 240, depth_m=full, rain_mm_h={"G": [5.0]}), gauge)
    assert not of_kind(rained, "dry_weather_water")


# pump stations -------------------------------------------------------------------------------------------------------
PUMPED = replace(LINE, links={**LINE.links, "pump": Link("pump", "pump", "2", "3")}, name="pumped")
DEEP = replace(PUMPED, nodes={name: replace(node, max_depth_m=8.0) for name, node in PUMPED.nodes.items()})
PUMP = site("W1", "pump", "2", link="pump", asset_name="东风路泵站1号")
RUNS: dict[str, Any] = {"setting": {"pump": [1.0]}, "flow_m3_s": {"pump": [0.2]}}


def test_a_high_forebay_with_its_pump_at_rest() -> None:
    level = {"2": [2.0] * 10 + [4.0] * 20 + [2.0]}
    high = the(truth_of(DEEP, hydrographs(DEEP, 60, depth_m=level), PUMP), "forebay_high")
    assert (high.severity, high.device_id) == (3, "W1")
    assert high.peak == pytest.approx(4)
    running = truth_of(DEEP, hydrographs(DEEP, 60, depth_m=level, **RUNS), PUMP)
    assert not of_kind(running, "forebay_high")
    over = hydrographs(DEEP, 60, depth_m={"2": [2.0] * 10 + [5.2] * 20 + [2.0]}, **RUNS)
    assert the(truth_of(DEEP, over, PUMP), "forebay_high").severity == 3


def test_a_second_pump_has_no_gauge() -> None:
    second = replace(PUMP, device=replace(PUMP.device, asset_name="东风路泵站2号"))
    water = hydrographs(DEEP, 60, depth_m={"2": [2.0] * 10 + [4.0] * 20 + [2.0]})
    assert not of_kind(truth_of(DEEP, water, second), "forebay_high")


def test_running_without_a_drop() -> None:
    water = hydrographs(DEEP, 60, depth_m={"2": [2.0]}, **RUNS)
    assert the(truth_of(DEEP, water, PUMP), "no_drop").severity == 0
    falling = hydrographs(DEEP, 60, depth_m={"2": list(np.linspace(4, 1, 61))}, **RUNS)
    assert not of_kind(truth_of(DEEP, falling, PUMP), "no_drop")


def test_a_failed_pump_is_seen_when_it_tells_or_when_its_forebay_rises() -> None:
    level = {"2": [2.0] * 30 + [4.0] * 20 + [2.0]}
    fails = Struck(pump_failures=(PumpFailure("pump", 600, 3000),))
    tells = replace(fails, forced={"W1": (Forced("failed_pump", 600, 3000, {"fault": 1.0}),)})
    told = the(truth_of(DEEP, hydrographs(DEEP, 60, depth_m=level), PUMP, struck=tells), "pump_failed")
    assert (at_s(told.begins_ms), at_s(told.ends_ms), told.severity, told.watched) == (600, 3000, 3, True)
    silent = the(truth_of(DEEP, hydrographs(DEEP, 60, depth_m=level), PUMP, struck=fails), "pump_failed")
    assert (at_s(silent.begins_ms), silent.watched) == (1800, True)
    unseen = the(truth_of(DEEP, hydrographs(DEEP, 60, depth_m={"2": [2.0]}), PUMP, struck=fails), "pump_failed")
    assert (unseen.severity, unseen.watched) == (0, False)


# blockages -----------------------------------------------------------------------------------------------------------
BLOCKED = Struck(blockages=(Blockage("2-3", "P-2-3", 600, FOR_EVER, 0.0),))
HELD_UP = {"1": [0.1] * 20 + [1.8], "2": [0.1] * 15 + [2.5], "3": [0.1], "4": [0.1]}


def test_a_blockage_that_holds_the_water_up() -> None:
    gauges = (site("P1", "pipe", "1"), site("P3", "pipe", "3"))
    held = the(truth_of(LINE, hydrographs(LINE, 120, depth_m=HELD_UP), *gauges, struck=BLOCKED), "blockage")
    assert (held.pipe_id, held.severity, held.watched, held.ends_ms) == ("P-2-3", 3, True, None)
    assert at_s(held.begins_ms) == pytest.approx(15 * 60, abs=60)
    assert held.peak == pytest.approx(2.5, abs=0.3)


@pytest.mark.parametrize("gauges", [("P1",), ("P3",), ()])
def test_without_a_gauge_above_and_one_below_nobody_sees_a_blockage(gauges: tuple[str, ...]) -> None:
    sites = [site(name, "pipe", name[1]) for name in gauges]
    held = the(truth_of(LINE, hydrographs(LINE, 120, depth_m=HELD_UP), *sites, struck=BLOCKED), "blockage")
    assert (held.severity, held.watched) == (3, False)


def test_a_gauge_above_that_the_pool_does_not_reach_sees_nothing() -> None:
    steep = replace(LINE, nodes={**LINE.nodes, "1": replace(LINE.nodes["1"], invert_m=110.0)})
    steep = replace(steep, links={**steep.links, "1-2": replace(steep.links["1-2"], up_m=110.0)})
    gauges = (site("P1", "pipe", "1"), site("P3", "pipe", "3"))
    held = the(truth_of(steep, hydrographs(steep, 120, depth_m=HELD_UP), *gauges, struck=BLOCKED), "blockage")
    assert not held.watched


def test_a_blocked_pipe_through_which_everything_passes_is_no_hazard_yet() -> None:
    gauges = (site("P1", "pipe", "1"), site("P3", "pipe", "3"))
    dry = the(truth_of(LINE, hydrographs(LINE, 120, depth_m={"2": [0.3]}), *gauges, struck=BLOCKED), "blockage")
    assert (dry.severity, dry.watched, at_s(dry.begins_ms)) == (0, False, 600)


def test_a_pipe_that_stands_full_for_its_own_flow_is_not_held_up() -> None:
    """1.6 m³/s in a pipe that carries 2.4 full, the water below as high: that much head is needed."""
    deep = {"2": [1.6], "3": [1.5], "4": [1.5]}
    water = hydrographs(LINE, 120, depth_m=deep, flow_m3_s={"2-3": [2.0]})
    gauges = (site("P1", "pipe", "1"), site("P3", "pipe", "3"))
    assert the(truth_of(LINE, water, *gauges, struck=BLOCKED), "blockage").severity == 0


# rain ----------------------------------------------------------------------------------------------------------------
def test_heavy_rain_by_its_sums() -> None:
    station = site("Y1", "rain", gage="G")
    for rain_mm_h, severity in ((30.0, 1), (35.0, 2), (60.0, 3)):
        water = hydrographs(LINE, 240, rain_mm_h={"G": [rain_mm_h] * 60 + [0.0]})
        heavy = the(truth_of(LINE, water, station), "heavy_rain")
        assert heavy.severity == severity, rain_mm_h
        assert heavy.peak == pytest.approx(rain_mm_h, rel=0.02)
    drizzle = hydrographs(LINE, 240, rain_mm_h={"G": [15.0] * 60 + [0.0]})
    assert not of_kind(truth_of(LINE, drizzle, station), "heavy_rain")
    burst = hydrographs(LINE, 240, rain_mm_h={"G": [0.0] * 10 + [140.0] * 6 + [0.0]})
    assert the(truth_of(LINE, burst, station), "heavy_rain").severity == 2


# things in the street ------------------------------------------------------------------------------------------------
def forced(device_id: str, values: dict[str, float], begins_s: float = 600, until_s: float = 7800) -> Struck:
    return Struck(forced={device_id: (Forced("by hand", begins_s, until_s, values),)})


def test_open_tilted_and_shaken_covers() -> None:
    water, cover = hydrographs(LINE, 240), site("C1", "cover", "2")
    opened = the(truth_of(LINE, water, cover, struck=forced("C1", {"open": 1.0, "tilt_deg": 78.0})), "cover_open")
    assert (opened.severity, at_s(opened.begins_ms), at_s(opened.ends_ms)) == (4, 600, 7800)
    for tilt_deg, severity in ((14.0, 2), (20.0, 3), (40.0, 4), (12.0, 0)):
        tilted = the(truth_of(LINE, water, cover, struck=forced("C1", {"tilt_deg": tilt_deg})), "cover_tilted")
        assert tilted.severity == severity, tilt_deg
    assert the(truth_of(LINE, water, cover, struck=forced("C1", {"vibration": 1.0})), "vibration").severity == 1


def test_a_lamp_has_failed_only_while_it_should_burn() -> None:
    """The run begins at 22:13 of the city's time; at 6:00 it is day."""
    water, lamp = hydrographs(LINE, 12 * 60), site("L1", "lamp")
    struck = forced("L1", {"lamp_failed": 1.0}, 0, FOR_EVER)
    failed = the(truth_of(LINE, water, lamp, struck=struck), "lamp_failed")
    assert failed.severity == 2
    assert at_s(failed.ends_ms) == pytest.approx((6 * 3600 - BEGINS_MS / 1000 - 8 * 3600) % 86_400, abs=60)
    assert not of_kind(truth_of(LINE, water, lamp, struck=struck, daylight="day"), "lamp_failed")
    short = forced("L1", {"lamp_failed": 1.0}, 0, 1800)
    assert the(truth_of(LINE, water, lamp, struck=short), "lamp_failed").severity == 0


def test_leakage_by_current_and_by_touch_voltage() -> None:
    water, lamp = hydrographs(LINE, 240), site("L1", "lamp")
    for values, severity in (
        ({"leakage_ma": 60.0}, 3),
        ({"leakage_ma": 15.0}, 2),
        ({"leakage_ma": 60.0, "touch_voltage_v": 50.0}, 4),
        ({"touch_voltage_v": 15.0}, 2),
    ):
        assert the(truth_of(LINE, water, lamp, struck=forced("L1", values)), "leakage").severity == severity, values


# silence, and who can see --------------------------------------------------------------------------------------------
def dead(device_id: str, begins_s: float = 600, until_s: float = FOR_EVER) -> Struck:
    return Struck(sensors={device_id: (During(DeadSensor(fault="dead_sensor", pick=PICK), begins_s, until_s),)})


def test_a_silence_counts_when_it_is_longer_than_its_kind_may_be_silent() -> None:
    """A road's gauge: three intervals of 15 min and 5 min."""
    water = hydrographs(LINE, 240)
    long = the(truth_of(LINE, water, ROAD, struck=dead("R1")), "silence")
    assert (long.severity, at_s(long.begins_ms), long.ends_ms, long.device_id) == (1, 600, None, "R1")
    almost = truth_of(LINE, water, ROAD, struck=dead("R1", 600, 600 + 3000 - 60))
    assert the(almost, "silence").severity == 0
    assert not of_kind(truth_of(LINE, water, ROAD, struck=dead("R1", 600, 600 + 1100)), "silence")


def test_a_power_cut_silences_what_lives_on_mains() -> None:
    cut: During[OfSensor] = During(PowerCut(fault="power_cut", pick=PICK), 600, FOR_EVER)
    struck = Struck(sensors={"L1": (cut,), "R1": (cut,)})
    silent = of_kind(truth_of(LINE, hydrographs(LINE, 240), site("L1", "lamp"), ROAD, struck=struck), "silence")
    assert [one.device_id for one in silent] == ["L1"]


def test_nobody_watches_where_the_gauge_is_dead_or_stuck() -> None:
    water = hydrographs(LINE, 120, ponding_m={"2": HILL})
    assert not the(truth_of(LINE, water, ROAD, struck=dead("R1", 0)), "road_flooding").watched
    for fields, watched in (((), False), (("depth_cm",), False), (("battery_pct",), True)):
        fault = StuckSensor(fault="stuck_sensor", pick=PICK, fields=fields)
        stuck = Struck(sensors={"R1": (During(fault, 0, FOR_EVER),)})
        assert the(truth_of(LINE, water, ROAD, struck=stuck), "road_flooding").watched is watched, fields
    assert the(truth_of(LINE, water, ROAD, struck=dead("R1", 1200)), "road_flooding").watched, "it lived long enough"
    assert the(truth_of(LINE, water, ROAD, struck=dead("R1", 0, 1200)), "road_flooding").watched


def test_a_gateway_that_is_out_and_the_silence_behind_it() -> None:
    behind = [site(f"R{number}", "road", "2", gateway_id="GW") for number in range(4)]
    out = GatewayOutage(fault="gateway_outage", gateways=("GW",), keeps=False)
    struck = Struck(gateways={"GW": (During(out, 600, 9000),)})
    told = truth_of(LINE, hydrographs(LINE, 240), *behind, struck=struck)
    outage = the(told, "gateway_outage")
    assert (outage.gateway_id, outage.severity, outage.watched) == ("GW", 2, True)
    assert {(one.severity, one.gateway_id) for one in of_kind(told, "silence")} == {(0, "GW")}
    few = truth_of(LINE, hydrographs(LINE, 240), *behind[:2], struck=struck)
    assert not the(few, "gateway_outage").watched
    assert {one.severity for one in of_kind(few, "silence")} == {1}, "nobody else tells of them"


def test_devices_that_are_dead_behind_a_gateway_are_its_outage_too() -> None:
    behind = [site(f"R{number}", "road", "2", gateway_id="GW") for number in range(10)]
    struck = Struck(
        sensors={f"R{number}": dead(f"R{number}", 600 + 60 * number).sensors[f"R{number}"] for number in range(3)}
    )
    told = truth_of(LINE, hydrographs(LINE, 240), *behind, struck=struck)
    assert at_s(the(told, "gateway_outage").begins_ms) == 720
    assert [one.severity for one in of_kind(told, "silence")] == [1, 1, 1], "each is dead all the same"
    less = Struck(sensors={name: struck.sensors[name] for name in ("R0", "R1")})
    assert not of_kind(truth_of(LINE, hydrographs(LINE, 240), *behind, struck=less), "gateway_outage")


def test_who_reports_once_a_day_is_not_missed_behind_a_gateway() -> None:
    """Of its twelve devices two report often enough to be missed: they are told of themselves."""
    covers = [site(f"C{number}", "cover", gateway_id="GW") for number in range(10)]
    roads = [site(f"R{number}", "road", "2", gateway_id="GW") for number in range(2)]
    out = GatewayOutage(fault="gateway_outage", gateways=("GW",), keeps=True)
    struck = Struck(gateways={"GW": (During(out, 600, 9000),)})
    told = truth_of(LINE, hydrographs(LINE, 240), *covers, *roads, struck=struck)
    assert the(told, "gateway_outage").severity == 0
    assert [one.device_id for one in of_kind(told, "silence") if one.severity] == ["R0", "R1"]


def test_what_a_gateway_keeps_is_seen_later() -> None:
    water = hydrographs(LINE, 120, ponding_m={"2": HILL})
    gauge = replace(ROAD, gateway_id="GW")
    for keeps in (True, False):
        out = GatewayOutage(fault="gateway_outage", gateways=("GW",), keeps=keeps)
        struck = Struck(gateways={"GW": (During(out, 0, FOR_EVER),)})
        assert the(truth_of(LINE, water, gauge, struck=struck), "road_flooding").watched is keeps


# the whole -----------------------------------------------------------------------------------------------------------
def test_lies_are_told_with_the_truth() -> None:
    struck = dead("R1")
    struck = replace(struck, on_the_way={"R1": (During(Loss(fault="loss", pick=PICK, share=0.5), 60, 120),)})
    lies = truth_of(LINE, hydrographs(LINE, 60), ROAD, struck=struck).lies
    assert {(lie.fault, lie.device_id, at_s(lie.begins_ms)) for lie in lies} == {
        ("dead_sensor", "R1", 600),
        ("loss", "R1", 60),
    }


def test_the_same_run_has_the_same_truth_and_it_is_kept(tmp_path: Any) -> None:
    water = hydrographs(LINE, 120, ponding_m={"2": HILL}, depth_m=HELD_UP)
    gauges = (ROAD, site("P1", "pipe", "1"), site("P3", "pipe", "3"))
    first, again = (truth_of(LINE, water, *gauges, struck=BLOCKED) for _ in range(2))
    assert first == again
    assert len({hazard.hazard_id for hazard in first.hazards}) == len(first.hazards) > 3
    assert first.devices == 3
    assert first.device_days == pytest.approx(3 * 2 / 24)
    first.save(tmp_path / "truth.json")
    assert Truth.load(tmp_path / "truth.json") == first
