"""What a simulated city's devices say in a run: when, over which radio, and what faults make of it."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.rules import NoDataRule, shipped_pack
from simulators.courses import Limit, Stretch, course, together
from simulators.devices.chance import keys_of
from simulators.faults.struck import FOREVER, During, Forced, Struck
from simulators.habits import EVENT, Moments
from simulators.hydraulics.hydrographs import Hydrographs
from simulators.message import Due, Message, encode
from simulators.radio import RETRIES, journeys
from simulators.reporting import reports
from simulators.scenario.faults import DeadSensor, DriftingSensor, PowerCut, SpikingSensor, StuckSensor
from simulators.scenario.model import Radio
from simulators.site import Reported, Site
from tests.unit.sim_street import EVENING_MS, STEP_S, around, dry, site, storm, street
from tests.unit.test_sim_evening import START_MS, Engine

QUIET = Radio(loss=0.0, loss_flooded=0.0)
HOUR_S = 3600.0


def told(
    sites: Sequence[Site],
    hydrographs: Hydrographs,
    struck: Struck | None = None,
    radio: Radio = QUIET,
    seed: int = 1,
    start_ms: int = EVENING_MS,
) -> list[Reported]:
    place = around(sites, hydrographs, struck, start_ms=start_ms)
    return list(reports(sites, place, struck or Struck(), radio, seed, hydrographs.seconds))


def sensor(place: Site, begins_s: float, until_s: float, model: Any, **said: Any) -> Struck:
    fault = model.model_validate(
        {"fault": model.model_fields["fault"].annotation.__args__[0], "pick": {"family": place.device.family}, **said}
    )
    return Struck(sensors={place.device.device_id: (During(fault, begins_s, until_s),)})


def really(place: Site, begins_s: float, until_s: float, **values: float) -> Struck:
    return Struck(forced={place.device.device_id: (Forced("it is so", begins_s, until_s, values),)})


def by_device(made: Sequence[Reported]) -> dict[str, list[Reported]]:
    found: dict[str, list[Reported]] = defaultdict(list)
    for one in made:
        found[one.site.device.device_id].append(one)
    return found


# the whole run -------------------------------------------------------------------------------------------------------
def test_the_same_seed_says_the_same_in_order_of_sending() -> None:
    made = told(street(), storm(), radio=Radio())
    assert made == told(street(), storm(), radio=Radio())
    assert made != told(street(), storm(), radio=Radio(), seed=2)
    assert all(earlier.sent_s <= later.sent_s for earlier, later in itertools.pairwise(made))
    assert all(one.measured_s < one.sent_s < 4 * HOUR_S for one in made)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_another_device_changes_nothing_for_the_others(data: st.DataObject) -> None:
    whole = street()
    kept = data.draw(st.lists(st.sampled_from(range(len(whole))), min_size=1, max_size=4, unique=True))
    fewer = [whole[place] for place in kept]
    everybody, some = by_device(told(whole, storm(2), radio=Radio())), by_device(told(fewer, storm(2), radio=Radio()))
    for device_id, said in some.items():
        assert said == everybody[device_id]


def test_seq_counts_each_devices_reports_and_begins_with_the_clock() -> None:
    made = told(street(), storm(), radio=QUIET)
    for said in by_device(made).values():
        numbers = [one.seq for one in said]
        if said[0].site.device.counts:
            first = EVENING_MS * 100 // 1000 + 1
            assert numbers == list(range(first, first + len(said)))
        else:
            assert set(numbers) == {None}


def test_no_two_reports_of_a_device_are_of_one_moment() -> None:
    for said in by_device(told(street(), storm(8))).values():
        moments = [round(one.measured_s * 1000) for one in said]
        assert len(set(moments)) == len(moments)


def test_sites_that_are_not_those_around_are_refused() -> None:
    sites = street()
    with pytest.raises(ValueError, match="sites: 1; around is of other ones"):
        list(reports(sites[:1], around(sites, dry(1)), Struck(), QUIET, 1, HOUR_S))
    with pytest.raises(ValueError, match="node 'nowhere' of a site is not in the hydrographs"):
        around([replace(sites[0], node="nowhere")], dry(1))


# habits --------------------------------------------------------------------------------------------------------------
def gaps(said: Sequence[Reported], begins_s: float, until_s: float) -> list[float]:
    moments = [one.measured_s for one in said if begins_s <= one.measured_s < until_s]
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


def test_each_device_says_early_that_it_is_there_and_then_keeps_its_interval() -> None:
    sites = street()
    for place, said in zip(sites, map(by_device(told(sites, dry(30))).get, _ids(sites)), strict=True):
        assert said is not None
        interval_s = place.device.interval_s
        assert said[0].measured_s <= min(interval_s, 900)
        assert max(gaps(said, 0, 30 * HOUR_S)) <= interval_s + 1e-6
        if place.device.family not in ("pump", "lamp"):  # which start, stop and are switched beside
            assert {one.kind for one in said} == {"heartbeat"}


def _ids(sites: Sequence[Site]) -> list[str]:
    return [place.device.device_id for place in sites]


def test_a_road_sleeps_until_it_is_wet_and_then_speaks_each_minute() -> None:
    road = site("road")
    said = told([road], storm(8))
    assert set(np.round(gaps(said, 900, 2 * HOUR_S))) == {900}
    wet = gaps(said, 2.3 * HOUR_S, 6.5 * HOUR_S)
    assert max(wet) <= 60.001
    first = next(one for one in said if one.kind == "event")
    rise_cm_per_s = 30 / (2 * HOUR_S)
    assert 0 <= first.measured_s - (2 * HOUR_S + 1 / rise_cm_per_s) <= 30
    assert max(gaps(said, 7 * HOUR_S, 8 * HOUR_S)) <= 900.001


def test_an_event_tells_that_a_limit_is_reached() -> None:
    said = told([site("road")], storm(8))
    events = [one.values["depth_cm"] for one in said if one.kind == "event"]
    assert events == pytest.approx([1, 5, 15, 27, 26, 14, 4, 0.5], abs=1.2)
    cover = told([site("cover")], storm(8))
    events = [one.values["water_below_rim_m"] for one in cover if one.kind == "event"]
    assert events == pytest.approx([2.65, 1, 0.5, 0.3, 0, 0.05, 0.35, 0.55, 1.05, 2.75], abs=0.05)
    assert "event" not in {one.kind for one in told([site("cover", kind="0105")], storm(8))}


def test_levels_in_sewers_come_each_5_minutes_when_they_rise_and_each_minute_when_full() -> None:
    pipe = told([site("pipe")], storm(8))
    assert max(gaps(pipe, 900, 2 * HOUR_S)) == pytest.approx(900)
    full_s = [one.measured_s for one in pipe if one.values["fill_ratio"] > 1.05]
    assert max(gaps(pipe, full_s[0], full_s[-1])) <= 60.001
    foul = told([site("pipe", kind="0102")], storm(8, peak_m=0.5))
    half_s = [one.measured_s for one in foul if one.values["fill_ratio"] > 0.55]
    assert 250 < max(gaps(foul, half_s[0], half_s[-1])) <= 300.001
    calm = told([site("pipe", kind="0102")], storm(8, peak_m=0.27))
    assert min(gaps(calm, 900, 8 * HOUR_S)) == pytest.approx(900)
    cover = told([site("cover")], storm(8))
    for deep_m, every_s in ((2.6, 300), (0.47, 60)):
        near_s = [one.measured_s for one in cover if one.values["water_below_rim_m"] < deep_m]
        assert every_s - 1 < max(gaps(cover, near_s[0], near_s[-1])) <= every_s + 0.001


def test_a_quick_ledger_is_kept_to_even_when_it_is_wet() -> None:
    said = told([site("road", interval_s=3)], storm(1))
    assert max(gaps(said, 0, HOUR_S)) <= 3.001


def test_lamps_say_when_they_are_switched() -> None:
    said = told([site("lamp")], dry(13))
    [event] = [one for one in said if one.kind == "event"]
    assert 11.5 * HOUR_S <= event.measured_s <= 11.5 * HOUR_S + STEP_S + 2
    assert [one.values["on"] for one in said if one.measured_s < 11.5 * HOUR_S - STEP_S] == [True] * 45
    assert not event.values["on"]


def test_pumps_say_when_they_start_and_stop() -> None:
    said = told([site("pump", name="东风路泵站1号泵")], storm(2))
    events = [(round(one.measured_s / 1200), one.values["running"]) for one in said if one.kind == "event"]
    assert events == [(number, number % 2 == 0) for number in range(1, 7)]


def test_rain_is_reported_from_its_first_tip_and_adds_up() -> None:
    said = told([site("rain", interval_s=3600)], storm(8))
    assert said[0].kind == "heartbeat"
    first = next(one for one in said if one.kind == "event")
    assert 0 <= first.measured_s - 1.6 * HOUR_S <= STEP_S + 5
    assert max(gaps(said, first.measured_s, 4 * HOUR_S)) <= 300.001
    assert sum(one.values["amount_mm"] for one in said) == pytest.approx(40 * 2.4, abs=1)


def test_energy_only_grows_and_less_while_the_lamp_or_the_mains_have_failed() -> None:
    lamp = site("lamp")
    failed = really(lamp, 2 * HOUR_S, 74 * HOUR_S, lamp_failed=1.0)
    cut = sensor(lamp, 2 * HOUR_S, 74 * HOUR_S, PowerCut)
    used = []
    for struck in (Struck(), failed, cut):
        counted = [one.values["energy_kwh"] for one in told([lamp], dry(76), struck)]
        assert counted == sorted(counted)
        used.append(counted[-1] - counted[0])
    sound, dark, off = used
    night = 4.5 + 0.6 * 6 + 1
    assert sound == pytest.approx(0.1 * (3 * night + 4) + 0.0026 * 76, abs=0.05)
    assert sound - dark == pytest.approx(0.1 * 3 * night, abs=0.02)
    assert dark - off == pytest.approx(0.0026 * 72, abs=0.02)


# what really happens -------------------------------------------------------------------------------------------------
@settings(max_examples=15, deadline=None)
@given(st.floats(1000, 10_000), st.floats(60, 4000), st.integers(0, 3))
def test_an_opened_cover_says_so_at_once(begins_s: float, lasts_s: float, seed: int) -> None:
    cover = site("cover")
    said = told([cover], dry(4), really(cover, begins_s, begins_s + lasts_s, open=1.0, tilt_deg=78.0), seed=seed)
    opened = [one for one in said if one.values["open"]]
    assert opened[0].kind == "event"
    assert 0.5 <= opened[0].measured_s - begins_s <= 2.5
    assert opened[0].values["tilt_deg"] == pytest.approx(78, abs=0.3)
    closed = next(one for one in said if one.measured_s > begins_s + lasts_s)
    assert (closed.kind, closed.values["open"]) == ("event", False)
    assert closed.measured_s - (begins_s + lasts_s) <= 2.5


def test_a_leaking_pole_reports_each_minute() -> None:
    lamp = site("lamp")
    said = told([lamp], dry(4), really(lamp, HOUR_S, 2 * HOUR_S, leakage_ma=60.0, touch_voltage_v=0.0))
    leaking = [one for one in said if one.values["leakage_ma"] > 30]
    assert leaking[0].kind == "event"
    assert max(gaps(leaking, 0, 4 * HOUR_S)) <= 61
    assert leaking[-1].measured_s > 1.95 * HOUR_S


# sensors that lie or say nothing -------------------------------------------------------------------------------------
@pytest.mark.parametrize("family", ["cover", "road", "pipe", "rain", "lamp", "pump"])
def test_a_dead_sensor_says_nothing_until_it_is_back(family: str) -> None:
    place = site(family, name="东风路泵站1号泵")
    said = told([place], storm(4), sensor(place, HOUR_S, 3 * HOUR_S, DeadSensor))
    assert not [one for one in said if HOUR_S <= one.measured_s < 3 * HOUR_S]
    back = next(one for one in said if one.measured_s >= 3 * HOUR_S)
    assert back.measured_s <= 3 * HOUR_S + 3
    if family == "rain":
        assert back.values["amount_mm"] == 0  # of what fell meanwhile it knows nothing


def test_a_power_cut_silences_what_has_mains_only() -> None:
    for family, heard in (("lamp", False), ("pump", False), ("road", True)):
        place = site(family)
        said = told([place], dry(4), sensor(place, HOUR_S, 2 * HOUR_S, PowerCut))
        assert any(HOUR_S <= one.measured_s < 2 * HOUR_S for one in said) == heard
    lamp = site("lamp")
    said = told([lamp], dry(4), sensor(lamp, HOUR_S, FOREVER, PowerCut))
    assert max(one.measured_s for one in said) < HOUR_S


def test_a_stuck_sensor_shows_what_it_showed() -> None:
    pipe = site("pipe")
    said = told([pipe], storm(4), sensor(pipe, 1.2 * HOUR_S, FOREVER, StuckSensor))
    stuck = [one.values for one in said if one.measured_s >= 1.2 * HOUR_S]
    for name in ("level_m", "fill_ratio", "flow_m3_h", "velocity_m_s"):
        assert len({values[name] for values in stuck}) == 1
    assert len({values["rsrp_dbm"] for values in stuck}) > 3
    assert stuck[0]["level_m"] == pytest.approx(0.05 + 3.15 * 0.2, abs=0.05)
    assert "event" not in {one.kind for one in said if one.measured_s > 1.3 * HOUR_S}  # its own limits are not reached


def test_a_sensor_that_is_stuck_in_one_field_still_sees_the_others() -> None:
    cover = site("cover")
    said = told([cover], storm(4), sensor(cover, 0.0, FOREVER, StuckSensor, fields=["h2s_mg_m3"]))
    assert len({one.values["h2s_mg_m3"] for one in said}) == 1
    assert len({one.values["water_below_rim_m"] for one in said}) > 10


def test_a_drifting_sensor_drifts_and_wakes_by_what_it_believes() -> None:
    road = site("road")
    said = told([road], dry(12), sensor(road, HOUR_S, FOREVER, DriftingSensor, field="depth_cm", per_hour=2.0))
    away = [(one.measured_s / HOUR_S - 1, one.values["depth_cm"]) for one in said if one.measured_s > HOUR_S]
    assert all(depth == pytest.approx(2 * hours, abs=0.6) for hours, depth in away)
    events = [one.values["depth_cm"] for one in said if one.kind == "event"]
    assert events == pytest.approx([1, 5, 15], abs=0.6)
    pipe = site("pipe")
    said = told([pipe], dry(4), sensor(pipe, 0.0, FOREVER, DriftingSensor, field="level_m", per_hour=0.1))
    assert said[-1].values["level_m"] == pytest.approx(0.05 + 0.1 * said[-1].measured_s / HOUR_S, abs=0.03)
    assert said[-1].values["fill_ratio"] == pytest.approx(said[-1].values["level_m"] / 0.6, abs=0.01)


def test_a_spiking_sensor_is_off_now_and_then() -> None:
    rain = site("road", interval_s=10)
    said = told([rain], dry(4), sensor(rain, 0.0, FOREVER, SpikingSensor, field="depth_cm", size=80.0, share=0.1))
    off = [one.values["depth_cm"] for one in said if abs(one.values["depth_cm"]) > 2]
    assert 0.07 < len(off) / len(said) < 0.13
    assert {round(depth, -1) for depth in off} == {80, 0}  # −80 is beyond the range: it shows its end, −5


# radio ---------------------------------------------------------------------------------------------------------------
def test_some_messages_are_lost_many_under_a_flooded_cover_and_events_go_again() -> None:
    sites = [site("cover", number) for number in range(40)]
    made = told(sites, storm(8))
    came = told(sites, storm(8), radio=Radio(loss=0.03, loss_flooded=0.3))
    lost = Counter(one.kind for one in made) - Counter(one.kind for one in came if one.kind != "backlog")
    assert lost["heartbeat"] <= 1
    assert lost["event"] <= 5  # 0.3 to the fifth, of four hundred under water
    flooded = [one for one in made if one.kind == "adaptive" and one.values["water_below_rim_m"] < 0.08]
    heard = {(one.site.device.device_id, one.measured_s) for one in came}
    missed = sum((one.site.device.device_id, one.measured_s) not in heard for one in flooded)
    assert 0.08 < missed / len(flooded) < 0.17  # 30 % of those that do not repeat themselves
    again_s = [one.sent_s - one.measured_s for one in came if one.kind == "event"]
    assert max(again_s) > 10
    assert max(again_s) < 10 * 2**RETRIES + 60


def test_a_battery_pays_for_each_attempt() -> None:
    index = np.array([0] * 5 + [1] * 3)
    made = Moments(index, np.arange(8.0) * 900.0, np.full(8, EVENT), np.zeros(8))
    keys, battery, dry_air = keys_of(1, ["a", "b"]), np.zeros(2, np.bool_), np.zeros(8, np.bool_)
    went = journeys(made, keys, battery, dry_air, QUIET)
    assert went.transmissions.tolist() == [1, 2, 3, 4, 5, 1, 2, 3]
    nothing = journeys(made, keys, battery, dry_air, Radio(loss=1.0))
    assert nothing.transmissions.tolist() == [(RETRIES + 1) * each for each in (1, 2, 3, 4, 5, 1, 2, 3)]
    assert np.isnan(nothing.sent_s).all()
    assert not nothing.backlog.any()


def test_latency_is_lognormal_and_mains_are_quick() -> None:
    roads, lamps = [site("road", number) for number in range(60)], [site("lamp", number) for number in range(60)]
    made = told([*roads, *lamps], dry(12))
    took_s = {
        family: np.array([one.sent_s - one.measured_s for one in made if one.site.device.family == family])
        for family in ("road", "lamp")
    }
    assert np.median(took_s["road"]) == pytest.approx(2.0, rel=0.08)
    assert np.std(np.log(took_s["road"])) == pytest.approx(0.8, rel=0.06)
    assert np.median(took_s["lamp"]) < 0.2


def test_what_could_not_be_sent_comes_with_what_can() -> None:
    cover = site("cover")
    made = told([cover], storm(4))
    came = told([cover], storm(4), radio=Radio(loss=0.0, loss_flooded=0.95))
    backlog = [one for one in came if one.kind == "backlog"]
    assert backlog
    sent = [one.sent_s for one in came]
    for one in backlog:
        newer = [other for other in came if other.measured_s > one.measured_s and other.sent_s < one.sent_s]
        assert newer
        assert one.sent_s - sent[sent.index(newer[-1].sent_s)] < 60
    values = {one.measured_s: one.values for one in made}
    battery = {"battery_pct", "battery_v"}  # which the retries have used
    for one in came:
        assert {name: value for name, value in one.values.items() if name not in battery} == {
            name: value for name, value in values[one.measured_s].items() if name not in battery
        }


def test_nothing_overtakes_what_is_still_sent_again() -> None:
    sites = [site("road", number) for number in range(30)]
    for said in by_device(told(sites, storm(8), radio=Radio(loss=0.2))).values():
        moments = [one.measured_s for one in said if one.kind != "backlog"]
        assert moments == sorted(moments)


def test_a_dead_battery_says_nothing_more() -> None:
    road = site("road")
    low = really(road, 0.0, HOUR_S, battery_pct=3.0)
    assert told([road], dry(2), low)[0].values["battery_v"] < 3.1
    empty = really(road, HOUR_S, FOREVER, battery_pct=0.0)
    said = told([road], dry(2), empty)
    assert said
    assert max(one.measured_s for one in said) < HOUR_S


# against the shipped rules -------------------------------------------------------------------------------------------
def raised(sites: list[Site], hydrographs: Hydrographs, radio: Radio, struck: Struck | None = None) -> set[str]:
    """Which shipped rules judge that something is wrong, and with whom."""
    engine = Engine([place.device for place in sites], 1)
    made = told(sites, hydrographs, struck, radio, start_ms=START_MS)
    messages = []
    for one in made:
        device = one.site.device
        payload = encode(START_MS + round(one.measured_s * 1000), one.seq, one.values)
        messages.append(Due(one.sent_s, Message(device.device_id, device.topic.encode(), payload, one.kind)))
    engine.run(messages, hydrographs.seconds, 300)
    return {rule_id for _, rule_id in engine.raised}


def test_a_healthy_street_raises_nothing_in_dry_weather_even_with_three_per_cent_lost() -> None:
    assert raised(street(), dry(50), Radio(loss=0.03)) == set()


def test_a_storm_raises_what_it_does_and_nothing_else() -> None:
    assert raised(street(), storm(6), Radio(loss=0.03, loss_flooded=0.2)) <= {
        "cover.overflow",
        "cover.overflow_forecast",
        "cover.signal",  # under water an antenna is weak
        "pipe.overflow_forecast",
        "pipe.surcharge",
        "road.ponding",
        "road.rise",
        "road.underpass",
        "rain.hour",
        "rain.three_hours",
        "rain.six_hours",
        "rain.twelve_hours",
    }
    assert raised(street(), storm(6), QUIET) >= {"cover.overflow", "pipe.surcharge", "road.ponding", "road.underpass"}


def test_the_regular_interval_leaves_room_for_what_is_lost() -> None:
    """A regular report is lost with 0.03 to the fifth; the rules miss a device after more than one of its intervals."""
    patience: dict[str, float] = {
        rule.family: rule.intervals for rule in shipped_pack() if isinstance(rule, NoDataRule)
    }
    assert set(patience) == {"cover", "road", "pipe", "pump", "rain", "lamp"}
    sites = street()
    for said in by_device(told(sites, dry(60), radio=Radio(loss=0.03))).values():
        device = said[0].site.device
        heard = [one.sent_s for one in said]
        longest = max(later - earlier for earlier, later in itertools.pairwise(heard))
        assert longest < patience[device.family] * device.interval_s


# courses -------------------------------------------------------------------------------------------------------------
LIMITS = (Limit(1.0, 0.5, 300.0), Limit(2.0, 0.5, 60.0))


def test_a_course_follows_what_rises_and_falls() -> None:
    found = course(np.array([0.0, 0.0, 2.0, 2.5, 1.6, 1.0, 0.0]), 60, LIMITS, 900.0)
    assert found.events == pytest.approx((90, 120, 250, 330))
    assert [stretch.every_s for stretch in found.stretches] == [900, 300, 60, 300, 900]
    assert course(np.array([0.0, 0.9]), 60, LIMITS, 900.0).stretches == (Stretch(0.0, 900.0),)
    assert course(np.array([5.0, 5.0]), 60, LIMITS, 900.0).stretches == (Stretch(0.0, 60.0),)
    assert course(np.array([5.0, 5.0]), 60, LIMITS, 10.0).stretches == (Stretch(0.0, 10.0),)


@given(st.lists(st.floats(-1, 4), min_size=2, max_size=40))
def test_a_course_is_what_a_step_by_step_look_finds(values: list[float]) -> None:
    found = course(np.array(values), 60, LIMITS, 900.0)
    above = [False, False]
    every = []
    for value in values:
        above = [
            value >= limit.at or (was and value > limit.at - limit.dead_band)
            for was, limit in zip(above, LIMITS, strict=True)
        ]
        every.append(min([900.0, *(limit.every_s for limit, on in zip(LIMITS, above, strict=True) if on)]))
    for step, expected in enumerate(every):
        assert [each.every_s for each in found.stretches if each.begins_s <= step * 60][-1] == expected
    assert list(found.events) == sorted(found.events)


def test_who_watches_two_things_keeps_to_the_busier() -> None:
    one = course(np.array([0.0, 3.0, 3.0, 0.0]), 60, LIMITS, 900.0)
    other = course(np.array([0.0, 0.0, 3.0, 3.0]), 60, (Limit(1.5, 0.0, 30.0),), 900.0)
    both = together(one, other)
    assert both.events == tuple(sorted(one.events + other.events))
    assert [each.every_s for each in both.stretches][-1] == 30
