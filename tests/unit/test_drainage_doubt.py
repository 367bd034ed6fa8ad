"""Which gauges are doubted: on networks small enough to see through, with true water and with gauges that lie."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.drainage.doubt import Course, judge_doubts
from alerts.drainage.graph import DrainageGraph, bore
from alerts.drainage.hydraulics import capacity_m3_s
from alerts.drainage.params import BlockageParams, DoubtParams
from alerts.drainage.readings import Reading
from tests.unit.networks import NOW_US, fills, graph_of, row_of

# 1 → 2 → 3 → 4 → 5, foul DN300, each 50 m, falling 0.25 m: 7.5 cm are what two gauges may be apart by.
ROW = graph_of(row_of(1, 2, 3, 4, 5))
CAPACITY = capacity_m3_s(bore(ROW.pipes[34]))
MINUTE_US = 60_000_000


def nobody(device_keys: Collection[int]) -> Mapping[int, Course]:
    return {}


def gauges(graph: DrainageGraph, levels: Mapping[int, float | None], flow: float | None = None) -> list[Reading]:
    """Pipe gauges of which each node's has its number as device key; `flow` as a share of the capacity."""
    measured = None if flow is None else flow * CAPACITY
    return [replace(one, device_key=one.node, of_pipe=True, flow_m3_s=measured) for one in fills(graph, levels)]


def doubts(
    readings: list[Reading],
    courses: Callable[[Collection[int]], Mapping[int, Course]] = nobody,
    graph: DrainageGraph = ROW,
    **more: Any,
) -> dict[int, bool | None]:
    belongs = dict.fromkeys(graph.nodes, max(graph.nodes))
    found = judge_doubts(
        graph, readings, DoubtParams(), BlockageParams(), courses, now_us=NOW_US, belongs=belongs, **more
    )
    return {one.node: one.doubted for one in found}


def doubted(levels: Mapping[int, float | None], flow: float | None = None, **more: Any) -> set[int]:
    return {node for node, one in doubts(gauges(ROW, levels, flow), **more).items() if one}


@pytest.mark.parametrize(
    "levels",
    [
        {1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.2},  # as every day
        {1: 0.9, 2: 0.9, 3: 0.9, 4: 0.9, 5: 0.9},  # a wet day: high throughout
        {1: 2.0, 2: 3.0, 3: 0.2, 4: 0.2, 5: 0.2},  # blocked between 2 and 3: the pool reaches 1
        {2: 3.0, 3: 0.2, 4: 0.2, 5: 0.2},  # blocked, and nobody above it: that is for the rule of blockages
        {1: 0.2, 2: 0.2, 3: 1.0, 4: 1.9, 5: 2.7},  # backed up from below
        {1: 0.2, 2: 0.9, 3: 3.0, 4: 0.2},  # the next above stands over its sensor: it cannot see how high
        {1: 0.2, 2: None, 3: 1.0, 4: 0.2, 5: None},  # node 1 lies above the pool
        {3: 3.0},  # alone
        {},
    ],
)
def test_who_is_not_doubted(levels: dict[int, float | None]) -> None:
    assert doubted(levels) == set()


def test_a_level_that_the_next_gauge_above_does_not_have_is_doubted() -> None:
    """Node 3 says that its water stands 1.4 m deep; at node 2 it would be 1.2 m deep, and is 6 cm."""
    [found] = [
        one
        for one in judge_doubts(
            ROW,
            gauges(ROW, {1: 0.2, 2: 0.2, 3: 4.8, 4: 0.2}),
            DoubtParams(),
            BlockageParams(),
            nobody,
            now_us=NOW_US,
            belongs={},
        )
        if one.doubted
    ]
    assert (found.node, found.device_key, found.fill, found.against) == (3, 3, 4.8, (2,))


def test_a_cover_is_a_witness_and_is_not_judged() -> None:
    readings = gauges(ROW, {2: 0.2, 3: 4.8, 4: 0.2})
    covers = [replace(one, of_pipe=one.node == 3) for one in readings]
    assert doubts(covers) == {3: True}


def test_one_branch_that_has_its_water_bears_it_out() -> None:
    fork = graph_of([*row_of(1, 2, 3, 9), *row_of(4, 3, start_m=99.75)])
    levels: dict[int, float | None] = {2: 0.2, 4: 3.9, 3: 4.8, 9: 0.2}
    assert doubts(gauges(fork, levels), graph=fork)[3] is False
    assert doubts(gauges(fork, levels | {4: 0.2}), graph=fork)[3] is True


def test_who_said_it_before_is_no_witness() -> None:
    """When node 2 last spoke, the water may not have been there yet."""

    def with_node_2(minutes_before: int) -> bool | None:
        readings = gauges(ROW, {2: 0.2, 3: 4.8, 4: 0.2})
        old = readings[0].at_us - minutes_before * MINUTE_US
        return doubts([replace(readings[0], at_us=old), *readings[1:]])[3]

    assert with_node_2(5) is True
    assert with_node_2(6) is None


def test_who_is_doubted_himself_is_no_witness() -> None:
    readings = gauges(ROW, {2: 0.2, 3: 4.8, 4: 0.2})
    assert doubts(readings, doubted=[2])[3] is None


def test_two_that_drift_bear_each_other_out_by_chance_only() -> None:
    """Node 2 stands 10 cm over node 3, and a pool would lie level."""
    apart = gauges(ROW, {1: 0.2, 2: 4.3, 3: 4.8, 4: 0.2})
    assert doubts(apart)[3] is False
    assert doubts(apart, doubted=[2])[3] is None
    pool = gauges(ROW, {1: 3.0, 2: 3.95, 3: 4.8, 4: 0.2})
    assert doubts(pool, doubted=[2])[3] is False, "water finds its level"
    assert doubts(pool, doubted=[2, 3]) == {1: False, 2: False, 3: False, 4: False}


def test_a_level_that_what_flows_needs_is_not_doubted() -> None:
    assert 3 in doubted({2: 0.2, 3: 1.8, 4: 0.2}, flow=0.1)
    assert 3 not in doubted({2: 0.2, 3: 1.1, 4: 0.2}, flow=0.95)
    assert 3 not in doubted({2: 0.2, 3: 4.8, 4: 0.2}, flow=1.2), "more than it carries: whatever it says may be"


def test_where_it_flows_as_elsewhere_and_runs_low_below_a_high_level_is_doubted() -> None:
    """Nobody above: a tenth of the capacity flows at node 1 as at its neighbours, and it says that it is full."""
    levels: dict[int, float | None] = {1: 1.0, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.2}
    assert doubted(levels, flow=0.1) == {1}
    less = [replace(one, flow_m3_s=0.02 * CAPACITY) if one.node == 1 else one for one in gauges(ROW, levels, 0.1)]
    assert doubts(less)[1] is None, "less than elsewhere: it may be blocked below"


def test_a_level_that_rises_for_hours_while_it_flows_as_before_is_doubted() -> None:
    levels: dict[int, float | None] = {1: 1.0, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.2}
    less = [replace(one, flow_m3_s=0.02 * CAPACITY) if one.node == 1 else one for one in gauges(ROW, levels, 0.1)]

    def after(risen_m: float, least: float, most: float) -> bool | None:
        asked: list[int] = []

        def courses(device_keys: Collection[int]) -> Mapping[int, Course]:
            asked.extend(device_keys)
            return {1: Course(risen_m, least * CAPACITY, most * CAPACITY)}

        found = doubts(less, courses)[1]
        assert asked == [1], "those of which neighbours tell are not asked"
        return found

    assert after(0.12, 0.02, 0.03) is True
    assert after(0.05, 0.02, 0.03) is None, "no more than gauges are apart by"
    assert after(0.12, 0.01, 0.03) is None, "what flows got less: it may be blocked"
    assert after(0.12, 0.0, 0.0) is None, "nothing flows: there is nothing to go by"


def test_what_nobody_needs_to_know_is_not_doubted() -> None:
    assert doubts(gauges(ROW, {2: 0.0, 3: 0.29, 4: 0.0})) == {2: False, 3: False, 4: False}


@given(depth_m=st.floats(0.0, 3.0), node=st.sampled_from([2, 3, 4]), data=st.data())
def test_still_water_that_all_gauges_have_is_never_doubted(depth_m: float, node: int, data: st.DataObject) -> None:
    """A pool above any node, as high as it may be, with gauges good to 2 cm: nobody is doubted, whoever speaks."""
    surface_m = ROW.pipes[45].invert_down_m + depth_m
    levels: dict[int, float | None] = {}
    for key in (1, 2, 3, 4, 5):
        invert_m = ROW.invert_m(key)
        assert invert_m is not None
        error_m = data.draw(st.floats(-0.02, 0.02))
        levels[key] = max(surface_m - invert_m + error_m, 0.0) / 0.3 if key <= node else 0.1
    silent = data.draw(st.sets(st.sampled_from([1, 2, 3, 4, 5])))
    assert doubted({key: fill for key, fill in levels.items() if key not in silent}) == set()
