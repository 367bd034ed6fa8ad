"""Devices' physics: what sensors show of what is there, within their range, in their steps, and with their faults."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.devices import PROFILES, Profiles, sighted
from simulators.devices.faulty import touched
from simulators.devices.powered import PCT_PER_TRANSMISSION
from simulators.scenario.faults import DriftingSensor, StuckSensor
from simulators.site import Circumstances, Site
from tests.unit.sim_street import DIAMETER_M, INVERT_M, RIM_M, site, street
from underfoot.families import FAMILIES

CALM = Circumstances(at_s=60.0, hour=12.0, dark=False, air_c=25.0)
SHAFT_M = RIM_M - INVERT_M


def said(place: Site, *seen: Circumstances, seed: int = 1, **history: list[float]) -> list[dict[str, float]]:
    return Profiles([place], seed).report(sighted([(0, each) for each in seen], **history))


def water(*levels_m: float, **more: Any) -> list[Circumstances]:
    return [replace(CALM, at_s=60.0 * number, water_m=level, **more) for number, level in enumerate(levels_m)]


FORCED = st.dictionaries(
    st.sampled_from(
        ["open", "vibration", "fault", "lamp_failed", "powerless", "tilt_deg", "leakage_ma", "battery_pct"]
    ),
    st.floats(0, 1000),
    max_size=4,
)
ANYTHING = st.builds(
    Circumstances,
    at_s=st.floats(0, 1e6),
    hour=st.floats(0, 24, exclude_max=True),
    dark=st.booleans(),
    air_c=st.floats(-30, 50),
    rain_mm_h=st.floats(0, 1000),
    fallen_mm=st.floats(0, 5000),
    water_m=st.floats(-1, 80),
    ponding_cm=st.floats(0, 900),
    fill_m=st.floats(0, 3),
    flow_m3_s=st.floats(-50, 50),
    running=st.booleans(),
    forced=st.none() | FORCED,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ANYTHING, min_size=1, max_size=4), st.integers(0, 5))
def test_values_are_within_the_familys_range_and_in_its_steps_whatever_is_around(
    seen: list[Circumstances], seed: int
) -> None:
    sites = street()
    rows = [(unit, each) for unit in range(len(sites)) for each in seen]
    for (unit, _), values in zip(rows, Profiles(sites, seed).report(sighted(rows)), strict=True):
        family = FAMILIES[sites[unit].device.family]
        assert family.model.model_validate(values).__pydantic_extra__ == {}
        for name, value in values.items():
            resolution = family.column[name].resolution
            if resolution is not None:
                assert value == round(value, max(-math.floor(math.log10(resolution)), 0))


def test_a_device_says_the_same_whoever_else_is_there() -> None:
    alone, others = site("cover", 7), street()
    rows = [(0, each) for each in water(0.5, 1.0, 1.5)]
    among = [(len(others), each) for _, each in rows]
    assert Profiles([alone], 3).report(sighted(rows)) == Profiles([*others, alone], 3).report(sighted(among))
    assert Profiles([alone], 3).report(sighted(rows)) != Profiles([alone], 4).report(sighted(rows))


def test_noise_is_there_and_bounded() -> None:
    levels = [values["level_m"] for values in said(site("pipe"), *water(*[0.4] * 400))]
    assert len(set(levels)) > 4
    assert max(levels) - min(levels) <= 2 * 0.004 + 2 * 0.003 + 0.001
    assert np.std(levels) < 0.003
    assert abs(np.mean(levels) - 0.4) < 0.02


def test_a_pressure_gauge_sees_what_stands_over_the_rim_up_to_its_range() -> None:
    below = [values["water_below_rim_m"] for values in said(site("cover"), *water(0.0, 2.0, 3.4, 60.0))]
    assert below == pytest.approx([SHAFT_M, 1.0, -0.4, max(SHAFT_M - 10.0, -5.0)], abs=0.03)
    sealed = [values["level_m"] for values in said(site("pipe"), *water(9.5, 60.0))]
    assert sealed == pytest.approx([9.5, 10.0], abs=0.03)


def test_an_ultrasonic_gauge_is_blind_near_its_face_and_talks_nonsense_under_water() -> None:
    place = site("cover", model="AX-200")
    below = [values["water_below_rim_m"] for values in said(place, *water(1.0, 2.6, 2.8, 2.9))]
    assert below[:2] == pytest.approx([2.0, 0.4], abs=0.03)
    assert below[2:] == [0.25, 0.25]
    drowned = [values["water_below_rim_m"] for values in said(place, *water(*[3.5] * 300))]
    assert min(drowned) == 0.25
    assert 0.03 < sum(shown > 0.25 for shown in drowned) / len(drowned) < 0.2


def test_an_ultrasonic_gauge_without_an_echo_says_nothing_of_the_level() -> None:
    deep = replace(site("pipe", model="AX-310"), rim_m=INVERT_M + 12.0)
    near, far = said(deep, *water(6.0, 0.2))
    assert near["level_m"] == pytest.approx(6.0, abs=0.03)
    assert "level_m" not in far
    assert "fill_ratio" not in far
    assert far["flow_m3_h"] == 0


def test_a_gauges_zero_is_where_it_hangs() -> None:
    hung = replace(site("pipe"), zero_m=0.3)
    [values] = said(hung, *water(0.9, fill_m=0.3, flow_m3_s=0.1))
    assert values["level_m"] == pytest.approx(0.6, abs=0.03)
    assert values["fill_ratio"] == pytest.approx(0.6 / DIAMETER_M, abs=0.06)
    assert values["flow_m3_h"] == pytest.approx(360, rel=0.03)
    assert values["velocity_m_s"] == pytest.approx(0.1 / (math.pi * DIAMETER_M**2 / 8), rel=0.03)


def test_a_pipe_gauge_needs_a_diameter() -> None:
    with pytest.raises(ValueError, match=r"410502-pipe-1: diameter_m 0.0"):
        Profiles([replace(site("pipe"), diameter_m=0.0)], 1)


def test_tips_add_up_to_what_fell() -> None:
    fell = [0.0, 0.35, 0.55, 7.0, 7.0, 23.5]
    seen = [replace(CALM, at_s=300.0 * number, fallen_mm=mm) for number, mm in enumerate(fell)]
    coarse = said(site("rain"), *seen, fallen_before_mm=[0.0, *fell[:-1]])
    fine = said(site("rain", model="ZY-T01"), *seen, fallen_before_mm=[0.0, *fell[:-1]])
    assert [values["amount_mm"] for values in coarse] == pytest.approx([0, 0.2, 0.2, 6.6, 0, 16.4])
    assert sum(values["amount_mm"] for values in fine) == pytest.approx(23.5)
    assert all(round(values["amount_mm"] / 0.2, 6).is_integer() for values in coarse)


def test_a_battery_keeps_its_voltage_and_then_falls_off_a_cliff() -> None:
    place = site("road")
    full = Profiles([place], 1).of_family["road"].charge_pct[0]  # type: ignore[attr-defined]
    left_pct = [30.0, 12.0, 8.0, 4.0, 2.0]
    sent = [(full - left) / PCT_PER_TRANSMISSION for left in left_pct]
    volts = [values["battery_v"] for values in said(place, *[CALM] * len(sent), transmissions=sent)]
    assert volts[0] - volts[1] < 0.1
    assert volts[1] - volts[2] > 0.05
    assert volts[2] - volts[4] > 0.5
    assert volts == sorted(volts, reverse=True)
    dead = sighted([(0, CALM)], transmissions=[full / PCT_PER_TRANSMISSION + 1])
    assert Profiles([place], 1).dead(dead).all()
    assert not Profiles([place], 1).dead(sighted([(0, CALM)])).any()


def test_a_cold_cell_shows_less() -> None:
    cold, warm = said(site("road"), replace(CALM, air_c=-20.0), CALM)
    assert cold["battery_v"] < warm["battery_v"] - 0.03


def test_a_flooded_cover_is_hard_to_hear() -> None:
    dry, flooded = said(site("cover"), *water(1.0, SHAFT_M))
    assert flooded["rsrp_dbm"] < dry["rsrp_dbm"]
    strengths = [values["rsrp_dbm"] for values in said(site("cover"), *water(*[1.0] * 50, *[SHAFT_M] * 50))]
    assert np.mean(strengths[:50]) - np.mean(strengths[50:]) == pytest.approx(11, abs=5)


def test_gas_comes_with_warmth_and_thins_with_water() -> None:
    foul = site("cover", kind="0102")
    winter, summer = said(foul, replace(CALM, air_c=-10.0), replace(CALM, air_c=35.0))
    assert winter["h2s_mg_m3"] < summer["h2s_mg_m3"] < 10
    empty, full = said(foul, *water(0.0, SHAFT_M))
    assert full["ch4_lel_pct"] < empty["ch4_lel_pct"]
    assert "h2s_mg_m3" not in said(site("cover", kind="0105"), CALM)[0]


def test_a_lamp_is_dimmed_after_eleven_and_a_failed_one_draws_nothing() -> None:
    lamp = site("lamp")
    seen = [
        replace(CALM, at_s=60.0 * number, hour=hour, dark=hour >= 18.5 or hour < 6, forced=forced)
        for number, (hour, forced) in enumerate(
            [(12.0, None), (20.0, None), (1.0, None), (20.0, {"lamp_failed": 1.0}), (20.0, {"powerless": 1.0})]
        )
    ]
    noon, evening, night, failed, powerless = said(lamp, *seen)
    assert (noon["on"], evening["on"], night["on"], failed["on"]) == (False, True, True, True)
    assert [each["dimming_pct"] for each in (noon, evening, night)] == [0, 100, 60]
    assert evening["current_a"] == pytest.approx(100 / (229 * 0.95), rel=0.06)
    assert night["current_a"] == pytest.approx(0.6 * evening["current_a"], rel=0.05)
    assert failed["current_a"] < 0.05
    assert powerless["current_a"] == powerless["voltage_v"] == 0


def test_a_wet_pole_leaks_harmlessly_and_a_faulted_one_does_not() -> None:
    dry, wet, faulted = said(
        site("lamp"), CALM, replace(CALM, rain_mm_h=60.0), replace(CALM, forced={"leakage_ma": 60.0})
    )
    assert dry["leakage_ma"] < wet["leakage_ma"] < 10
    assert faulted["leakage_ma"] == pytest.approx(60, abs=0.4)


def test_pumps_draw_current_only_where_they_run() -> None:
    pump = site("pump", name="东风路泵站1号泵")
    seen = [replace(CALM, running=True, water_m=2.0), replace(CALM), replace(CALM, running=True, forced={"fault": 1.0})]
    running, resting, failed = said(pump, *seen)
    assert running["current_a"] > 25
    assert running["forebay_level_m"] == pytest.approx(2.0, abs=0.03)
    assert (resting["running"], resting["current_a"]) == (False, 0)
    assert (failed["running"], failed["current_a"], failed["fault"], failed["fault_code"]) == (False, 0, True, 17)
    assert "forebay_level_m" not in said(site("pump", name="东风路泵站2号泵"), CALM)[0]


def test_what_no_physics_start_from_can_be_forced_by_its_name() -> None:
    [values] = said(site("lamp"), replace(CALM, forced={"pm2_5_ug_m3": 180.0}))
    assert values["pm2_5_ug_m3"] == 180


def test_one_sensor_gives_level_and_fill() -> None:
    pipe = PROFILES["pipe"]
    stuck = StuckSensor.model_validate({"fault": "stuck_sensor", "pick": {}, "fields": ["level_m"]})
    assert touched(pipe, stuck) == ["fill_ratio", "level_m"]
    everything = StuckSensor.model_validate({"fault": "stuck_sensor", "pick": {}})
    assert touched(pipe, everything) == ["fill_ratio", "flow_m3_h", "level_m", "velocity_m_s"]
    assert touched(PROFILES["rain"], everything) == ["amount_mm", "intensity_mm_h"]
    drifting = DriftingSensor.model_validate(
        {"fault": "drifting_sensor", "pick": {"family": "road"}, "field": "depth_cm", "per_hour": 1}
    )
    assert touched(PROFILES["road"], drifting) == ["depth_cm"]
