"""Picked: whom a scenario strikes in a city, the same for the same seed; and what is said where there is nobody."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.faults.picked import lies, picked
from simulators.faults.struck import Blockage, PumpFailure, Struck
from simulators.message import clock_from
from simulators.network.model import Link, Node, WaterKind
from simulators.scenario.load import ScenarioError
from tests.unit.small_city import START_MS, SmallCity, scenario, site, small_city, street, trunk

CITY = SmallCity((*street(covers=8, lamps=6, pipes=8, roads=2, rains=1, pumps=1),))


def struck_by(faults: str, city: SmallCity = CITY, seed: int = 1, nodes: int = 9) -> Struck:
    return picked(scenario(faults), city, trunk(nodes), seed)


def refusal(faults: str, city: SmallCity = CITY) -> str:
    with pytest.raises(ScenarioError) as told:
        struck_by(faults, city)
    return str(told.value)


def id_of(family: str, serial: int) -> str:
    return site(family, serial).device.device_id


# what comes of it -----------------------------------------------------------------------------------------------------
def test_what_is_forced_is_what_really_is_so() -> None:
    struck = struck_by(
        """
        {fault: open_cover, at: 01:00, until: 02:00, pick: {count: 1}}
        {fault: tilted_cover, at: 01:00, pick: {count: 1}, tilt_deg: 18}
        {fault: vibration, at: 00:30, pick: {count: 1}}
        {fault: failed_lamp, pick: {count: 1}}
        {fault: leakage, pick: {count: 1}, leakage_ma: 45, touch_voltage_v: 30}
        """
    )
    forced = {one.fault: one for each in struck.forced.values() for one in each}
    assert len(struck.forced) == 5, "different devices while there are enough"
    assert forced["open_cover"].values == {"open": 1.0, "tilt_deg": 78.0}
    assert (forced["open_cover"].begins_s, forced["open_cover"].until_s) == (3600, 7200)
    assert forced["tilted_cover"].values == {"tilt_deg": 18.0}
    assert forced["tilted_cover"].until_s == inf
    assert forced["vibration"].values == {"vibration": 1.0}
    assert forced["failed_lamp"].values == {"lamp_failed": 1.0}
    assert forced["leakage"].values == {"leakage_ma": 45.0, "touch_voltage_v": 30.0}


def test_a_pick_is_by_family_place_name_share_or_all() -> None:
    def ids(struck: Struck) -> set[str]:
        return set(struck.on_the_way)

    assert ids(struck_by("{fault: loss, share: 0.1, pick: {}}")) == {one.device.device_id for one in CITY.sites}
    assert ids(struck_by("{fault: loss, share: 0.1, pick: {family: rain}}")) == {id_of("rain", 1)}
    assert len(ids(struck_by("{fault: loss, share: 0.1, pick: {family: cover, share: 0.5}}"))) == 4
    assert len(ids(struck_by("{fault: loss, share: 0.1, pick: {family: rain, share: 0.01}}"))) == 1
    near = ids(struck_by("{fault: loss, share: 0.1, pick: {family: lamp, near: 东风路}}"))
    assert near == {id_of("lamp", serial) for serial in (1, 3, 5)}
    under = replace(site("road", 3), device=replace(site("road", 3).device, kind="2121"))
    city = SmallCity((*CITY.sites, under))
    assert ids(struck_by("{fault: loss, share: 0.1, pick: {family: road, place: underpass}}", city)) == {
        id_of("road", 3)
    }
    by_name = f"{{fault: loss, share: 0.1, pick: {{devices: [{id_of('lamp', 2)}, '{site('lamp', 4).asset_code}']}}}}"
    assert ids(struck_by(by_name)) == {id_of("lamp", 2), id_of("lamp", 4)}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_the_same_seed_picks_the_same_and_nobody_twice_while_there_are_enough(seed: int) -> None:
    faults = """
        {fault: open_cover, at: 01:00, pick: {count: 2}}
        {fault: tilted_cover, pick: {count: 2}}
        {fault: stuck_sensor, pick: {family: cover, count: 2}}
        {fault: blocked_pipe, pick: {count: 1}}
        {fault: drifting_sensor, pick: {family: pipe, count: 2}, field: level_m, per_hour: 0.1}
        {fault: failed_pump, pick: {count: 1}}
        {fault: delay, pick: {family: cover, count: 2}, seconds: 30}
    """
    struck = struck_by(faults, seed=seed)
    assert struck == struck_by(faults, seed=seed)
    covers = [name for each in (struck.forced, struck.sensors, struck.on_the_way) for name in each if "cover" in name]
    assert len(covers) == len(set(covers)) == 8
    (blocked,) = struck.blockages
    number = int(blocked.link[1:])
    assert {id_of("pipe", number), id_of("pipe", number + 1)}.isdisjoint(struck.sensors), "the gauges that tell of it"
    assert any(struck_by(faults, seed=seed + more) != struck for more in range(1, 6))


def test_a_fault_more_at_the_end_strikes_nobody_else_otherwise() -> None:
    first = "{fault: open_cover, pick: {count: 2}}\n{fault: failed_lamp, pick: {count: 1}}"
    assert struck_by(first).forced == struck_by(first + "\n{fault: dead_sensor, pick: {family: pipe, count: 1}}").forced


# pipes ----------------------------------------------------------------------------------------------------------------
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.sets(st.integers(1, 9), min_size=2, max_size=9))
def test_a_blocked_pipe_lies_between_two_gauges(seed: int, gauged: set[int]) -> None:
    city = SmallCity(tuple(site("pipe", number, node=f"J{number}") for number in sorted(gauged)))
    (blocked,) = struck_by("{fault: blocked_pipe, pick: {count: 1}, open_share: 0.1}", city, seed).blockages
    number = int(blocked.link.removeprefix("C"))
    assert blocked == Blockage(f"C{number}", f"GD-{number:03d}", 0.0, inf, 0.1)
    assert min(gauged) <= number < max(gauged)
    if any({each, each + 1} <= gauged for each in gauged):
        assert {number, number + 1} <= gauged, "the nearest gauges there are"


def test_a_pipe_is_not_blocked_where_the_water_goes_round_or_nothing_comes_or_nobody_knows_it() -> None:
    network = trunk()
    bypass = Link("B", "conduit", "J4", "J6", 100.0, 0.5)
    dry = {name: one for name, one in network.subcatchments.items() if one.outlet not in ("J1", "J2")}
    network = replace(network, links={**network.links, "B": bypass}, subcatchments=dry)
    unknown = {f"C{number}": f"GD-{number}" for number in range(1, 10) if number != 5}
    city = SmallCity(CITY.sites, unknown)
    three = scenario("{fault: blocked_pipe, pick: {count: 3}}")
    found = {one.link for seed in range(12) for one in picked(three, city, network, seed).blockages}
    assert found <= {"C3", "C6", "C7", "C8"}
    assert len(found) > 2


def test_a_foul_or_a_storm_pipe_can_be_asked_for() -> None:
    foul: dict[str, WaterKind] = dict.fromkeys(("J1", "J2", "J3", "C1", "C2", "C3"), "foul")
    network = replace(trunk(), water=foul)
    water = {
        kind: {
            one.link
            for seed in range(10)
            for one in picked(
                scenario(f"{{fault: blocked_pipe, pick: {{water: {kind}}}}}"), CITY, network, seed
            ).blockages
        }
        for kind in ("foul", "storm")
    }
    assert water["foul"] <= {"C1", "C2", "C3"}
    assert water["storm"] <= {"C4", "C5", "C6", "C7"}
    assert water["foul"]
    assert water["storm"]


def test_a_named_pipe_is_blocked_wherever_its_gauges_are() -> None:
    struck = struck_by("{fault: blocked_pipe, pick: {pipes: [GD-010, C4]}, open_share: 0}")
    assert [(one.link, one.pipe_id) for one in struck.blockages] == [("C4", "GD-004"), ("SIDE", "GD-010")]


def test_pipes_that_cannot_be_blocked_are_named() -> None:
    assert refusal("{fault: blocked_pipe, pick: {pipes: [GD-04]}}") == (
        "faults.0 (blocked_pipe): pick.pipes = 'GD-04': no such pipe; there are GD-004, GD-010, GD-009, GD-008, GD-007,"
        " GD-006 and 14 more"
    )
    assert "pick.pipes = 'P1': it is of kind pump" in refusal("{fault: blocked_pipe, pick: {pipes: [P1]}}")
    twice = "{fault: blocked_pipe, pick: {pipes: [C4]}}\n{fault: blocked_pipe, pick: {pipes: [GD-004]}}"
    assert "faults.1 (blocked_pipe): pick.pipes = 'GD-004': it is blocked already" in refusal(twice)
    few = refusal("{fault: blocked_pipe, pick: {count: 2}}", small_city(pipes=2))
    assert "wants 2 × pipe with a gauge above and one below; of 10 conduits beside 2 gauges 1 have that" in few
    assert "foul pipe" in refusal("{fault: blocked_pipe, pick: {water: foul}}")
    liar = f"{{fault: dead_sensor, pick: {{devices: [{id_of('pipe', 1)}]}}}}\n{{fault: blocked_pipe, pick: {{}}}}"
    assert "1 have that, and 0 are free of other faults" in refusal(liar, small_city(pipes=2))


def test_a_gauge_that_cannot_say_its_level_is_none() -> None:
    flow_only = SmallCity(tuple(replace(one, speech="dtu-hj212-pipe") for one in street(pipes=8)))
    assert "0 have that" in refusal("{fault: blocked_pipe, pick: {}}", flow_only)


# pumps ----------------------------------------------------------------------------------------------------------------
def test_a_failed_pump_stands_still_and_its_controller_may_say_so() -> None:
    tells = struck_by("{fault: failed_pump, at: 00:30, until: 01:00, pick: {}}")
    assert tells.pump_failures == (PumpFailure("P1", 1800, 3600),)
    assert tells.forced[id_of("pump", 1)][0].values == {"fault": 1.0}
    silent = struck_by("{fault: failed_pump, pick: {pumps: [P1]}, tells: false}")
    assert silent.pump_failures == (PumpFailure("P1", 0, inf),)
    assert not silent.forced
    assert struck_by(f"{{fault: failed_pump, pick: {{pumps: [{id_of('pump', 1)}]}}}}").pump_failures[0].link == "P1"
    bare = struck_by("{fault: failed_pump, pick: {pumps: [P1]}}", small_city(covers=1))
    assert bare.pump_failures == (PumpFailure("P1", 0, inf),)


def test_pumps_that_are_not_there_are_told() -> None:
    assert "wants 2 × pump; the network has 1, 1 with a device" in refusal("{fault: failed_pump, pick: {count: 2}}")
    assert "pick.pumps = 'P9': no such pump; there are P1" in refusal("{fault: failed_pump, pick: {pumps: [P9]}}")
    twice = "{fault: failed_pump, pick: {pumps: [P1]}}\n{fault: failed_pump, at: 01:00, pick: {}}"
    assert "of which 0 are free of faults that contradict" in refusal(twice)


# gateways and mains ---------------------------------------------------------------------------------------------------
def behind(count: int, each: int = 4) -> SmallCity:
    made = [
        site("lamp", number, speech="gateway", gateway_id=f"GW-{1 + (number - 1) // each}")
        for number in range(1, count + 1)
    ]
    return SmallCity(tuple(made))


def test_a_gateway_is_named_or_chosen() -> None:
    city = behind(12)
    named = struck_by("{fault: gateway_outage, gateways: [GW-2], at: 01:00, until: 01:30, keeps: false}", city).gateways
    ((gateway_id, (during,)),) = named.items()
    assert (gateway_id, during.begins_s, during.until_s, during.fault.keeps) == ("GW-2", 3600, 5400, False)
    chosen = {name for seed in range(20) for name in struck_by("{fault: gateway_outage}", city, seed).gateways}
    assert chosen == {"GW-1", "GW-2", "GW-3"}
    rest = struck_by("{fault: gateway_outage, gateways: [GW-2]}\n{fault: gateway_outage, count: 2}", city)
    assert set(rest.gateways) == {"GW-1", "GW-2", "GW-3"}


def test_gateways_that_are_not_there_are_told() -> None:
    assert "equipment.through_gateways says how many" in refusal("{fault: gateway_outage}")
    city = behind(8)
    assert "gateways = 'GW-7': no such gateway; there are GW-2, GW-1" in refusal(
        "{fault: gateway_outage, gateways: [GW-7]}", city
    )
    assert "count = 3: there are 2 gateways, 2 of them free" in refusal("{fault: gateway_outage, count: 3}", city)
    twice = "{fault: gateway_outage, gateways: [GW-1]}\n{fault: gateway_outage, gateways: [GW-1], at: 01:00}"
    assert "gateways = 'GW-1': another outage has it" in refusal(twice, city)


def test_a_power_cut_is_around_one_point_and_takes_pumps_and_gateways_with_it() -> None:
    lamps = behind(12, each=3).sites
    city = SmallCity((*lamps, site("pump", 20, link="P1"), *street(covers=4)))
    struck = struck_by("{fault: power_cut, at: 01:00, until: 02:00, pick: {family: lamp, count: 6}}", city, seed=3)
    serials = sorted(int(name.rpartition("-")[2]) for name in struck.sensors)
    assert serials == list(range(serials[0], serials[0] + 6))
    gone = {f"GW-{gateway}" for gateway in range(1, 5) if sum((n - 1) // 3 == gateway - 1 for n in serials) >= 2}
    assert set(struck.gateways) == gone
    assert all(
        not each.fault.keeps and (each.begins_s, each.until_s) == (3600, 7200) for (each,) in struck.gateways.values()
    )
    everything = struck_by("{fault: power_cut, at: 01:00, pick: {}}", city)
    assert everything.pump_failures == (PumpFailure("P1", 3600, inf),)
    assert len(everything.sensors) == 13, "covers have batteries"
    assert "cover in json (4): on batteries" in refusal("{fault: power_cut, pick: {family: cover}}", city)


def test_an_outage_may_come_where_the_power_was_cut_before() -> None:
    city = behind(4)
    struck = struck_by(
        "{fault: power_cut, until: 01:00, pick: {}}\n{fault: gateway_outage, at: 02:00, until: 02:10}", city
    )
    assert [(one.begins_s, one.fault.keeps) for one in struck.gateways["GW-1"]] == [(0, False), (7200, True)]


def test_storms_of_connections_and_malice_have_their_times() -> None:
    struck = struck_by(
        "{fault: reconnect_storm, at: 01:00}\n{fault: malicious_publisher, at: 00:10, until: 00:20, rate: 2}"
    )
    assert [(one.begins_s, one.fault.within_s) for one in struck.connections] == [(3600, 10.0)]
    assert [(one.begins_s, one.until_s, one.fault.rate) for one in struck.malicious] == [(600, 1200, 2.0)]


# what contradicts -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{fault: open_cover, PICK}", "{fault: tilted_cover, PICK}"),
        ("{fault: open_cover, PICK}", "{fault: vibration, PICK}"),
        ("{fault: open_cover, PICK}", "{fault: dead_sensor, PICK}"),
        ("{fault: open_cover, PICK}", "{fault: stuck_sensor, PICK}"),
        ("{fault: open_cover, PICK}", "{fault: spiking_sensor, field: tilt_deg, size: 5, PICK}"),
        (
            "{fault: stuck_sensor, fields: [battery_pct], PICK}",
            "{fault: drifting_sensor, field: battery_pct, per_hour: 1, PICK}",
        ),
        ("{fault: delay, seconds: 5, PICK}", "{fault: delay, seconds: 9, PICK}"),
    ],
)
def test_what_contradicts_is_refused_when_named_and_avoided_by_choice(one: str, other: str) -> None:
    device = id_of("cover", 1)
    named = "pick: {devices: [" + device + "]}"
    both = f"{one}\n{other}"
    assert f"on {device} at the same time" in refusal(both.replace("PICK", named))
    apart = f"{one.replace('PICK', f'until: 01:00, {named}')}\n{other.replace('PICK', f'at: 01:00, {named}')}"
    struck_by(apart)
    free = both.replace("PICK", "pick: {family: cover, count: 1}")
    for seed in range(5):
        struck = struck_by(free, small_city(covers=2), seed)
        assert len({*struck.forced, *struck.sensors, *struck.on_the_way}) == 2
    told = refusal(free, small_city(covers=1))
    assert "wants 1, and there are 1 that fit, 0 of them free; faults.0 (" in told


def test_what_does_not_contradict_may_befall_one_device() -> None:
    device = "pick: {devices: [" + id_of("cover", 1) + "]}"
    struck = struck_by(
        "\n".join(
            f"{{fault: {fault}, {device}}}"
            for fault in (
                "open_cover",
                "spiking_sensor, field: battery_pct, size: 30",
                "drifting_sensor, field: rsrp_dbm, per_hour: 2",
                "loss, share: 0.5",
                "delay, seconds: 4",
                "wrong_clock, by_s: 60",
            )
        )
    )
    assert [len(each[id_of("cover", 1)]) for each in (struck.forced, struck.sensors, struck.on_the_way)] == [1, 2, 3]


def test_two_that_leave_no_choice_contradict() -> None:
    both = "{fault: dead_sensor, pick: {family: lamp}}\n{fault: failed_lamp, pick: {family: lamp}}"
    assert "faults.1 (failed_lamp): pick: contradicts faults.0 (dead_sensor) on " in refusal(both)


def test_a_share_is_of_those_that_are_left() -> None:
    struck = struck_by(
        "{fault: dead_sensor, pick: {family: lamp, count: 4}}\n{fault: stuck_sensor, pick: {family: lamp, share: 1.0}}"
    )
    assert len(struck.sensors) == 6


# nobody there ---------------------------------------------------------------------------------------------------------
def test_what_there_is_instead_is_told() -> None:
    assert refusal("{fault: failed_lamp, pick: {count: 2}}", small_city(covers=3, pipes=1)) == (
        "faults.0 (failed_lamp): pick: no lamp; there are cover (3), pipe (1)"
    )
    assert "no devices" in refusal("{fault: loss, share: 0.1, pick: {}}", SmallCity(()))
    assert "pick: none at place 'foul'; they are at storm (8)" in refusal("{fault: open_cover, pick: {place: foul}}")
    near = refusal("{fault: open_cover, pick: {near: 人民路}}")
    assert "pick: near '人民路': no name or address has it; there are 东风路1号" in near
    assert "pick: wants 9, and there are 8 that fit, 8 of them free" in refusal("{fault: open_cover, pick: {count: 9}}")
    assert "pick.devices = 'C-99': no such device" in refusal("{fault: open_cover, pick: {devices: [C-99]}}")
    lamp = id_of("lamp", 1)
    assert f"pick.devices = '{lamp}': no cover; there are lamp (1)" in refusal(
        f"{{fault: open_cover, pick: {{devices: [{lamp}]}}}}"
    )


def test_a_device_that_has_no_word_for_it_is_not_chosen() -> None:
    profiles = tuple(replace(one, speech="ctwing-ad19prof") for one in street(covers=3))
    assert "none says tilt_deg; they speak ctwing-ad19prof (3)" in refusal(
        "{fault: tilted_cover, pick: {count: 1}}", SmallCity(profiles)
    )
    assert struck_by("{fault: open_cover, pick: {count: 1}}", SmallCity(profiles)).forced
    for fault in ("wrong_clock, by_s: 60", "duplicate"):
        silent = SmallCity(tuple(replace(one, speech="dtu-modbus-cover") for one in street(covers=3)))
        assert "no time of its own in what it sends" in refusal(f"{{fault: {fault}, pick: {{}}}}", silent)
    assert "none says amount_mm" in refusal(
        "{fault: spiking_sensor, pick: {}, field: amount_mm, size: 3}", small_city(covers=2)
    )


# lies -----------------------------------------------------------------------------------------------------------------
def test_lies_are_what_devices_say_that_is_not_so() -> None:
    struck = struck_by(
        """
        {fault: open_cover, pick: {count: 1}}
        {fault: stuck_sensor, at: 01:00, until: 02:00, pick: {family: pipe, count: 1}, fields: [level_m]}
        {fault: drifting_sensor, pick: {family: road, count: 1}, field: depth_cm, per_hour: 2}
        {fault: dead_sensor, at: 00:30, pick: {family: lamp, count: 1}}
        {fault: wrong_clock, pick: {family: rain}, since_1970: true}
        {fault: loss, pick: {}, share: 0.2}
        """
    )
    told = {one.fault: one for one in lies(struck, clock_from(START_MS))}
    assert set(told) == {"stuck_sensor", "drifting_sensor", "dead_sensor", "wrong_clock"}
    assert told["stuck_sensor"].fields == ("level_m",)
    assert (told["stuck_sensor"].begins_ms, told["stuck_sensor"].ends_ms) == (
        START_MS + 3_600_000,
        START_MS + 7_200_000,
    )
    assert (told["drifting_sensor"].fields, told["drifting_sensor"].ends_ms) == (("depth_cm",), None)
    assert told["dead_sensor"].fields == ()
    assert (told["wrong_clock"].device_id, told["wrong_clock"].fields) == (id_of("rain", 1), ("ts",))


def test_a_subcatchment_may_drain_by_way_of_another() -> None:
    network = trunk()
    chained = {
        name: replace(one, outlet="AJ1") if name == "AJ5" else one for name, one in network.subcatchments.items()
    }
    circle = {
        **chained,
        "X": replace(chained["AJ1"], name="X", outlet="Y"),
        "Y": replace(chained["AJ1"], name="Y", outlet="X"),
    }
    nodes = {**network.nodes, "J0": Node("J0", "junction", 95.0, 3.0)}
    network = replace(network, nodes=nodes, subcatchments=circle)
    assert picked(scenario("{fault: blocked_pipe, pick: {}}"), CITY, network, 1).blockages
