"""Where a blockage is: on networks small enough to see through, and on many random ones with known water in them."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.drainage.blockage import Judgement, Suspicion, judge_blockage
from alerts.drainage.graph import DrainageGraph, bore
from alerts.drainage.hydraulics import capacity_m3_s, normal_fill
from alerts.drainage.params import BlockageParams
from alerts.drainage.readings import Reading
from tests.unit.networks import NOW_US, fills, graph_of, pipe, row_of
from underfoot.ledger.pipes import Pipe

PARAMS = BlockageParams()

# 1 → 2 → 3 → 4 → 5, foul DN300, each 50 m, falling 0.25 m
ROW = graph_of(row_of(1, 2, 3, 4, 5))

# 1 → 2 → 3 → 9 and 4 → 3: two branches, 3 has no gauge unless given
FORK = graph_of([*row_of(1, 2, 3, 9), pipe(43, 4, 3, up=99.75)])


def judge(
    graph: DrainageGraph, levels: Mapping[int, float | None], standing: Collection[int] = (), **changes: Any
) -> Judgement:
    params = PARAMS.model_copy(update=changes)
    return judge_blockage(graph, fills(graph, levels), params, now_us=NOW_US, standing=standing)


def only(judgement: Judgement) -> Suspicion:
    [suspicion] = judgement.suspicions
    return suspicion


# one way ------------------------------------------------------------------------------------------------------------


def test_high_above_and_flat_below_is_a_blockage_between() -> None:
    found = only(judge(ROW, {1: 2.0, 2: 3.0, 3: 0.2, 4: 0.2}))
    assert (found.pipe_key, found.upstream_node, found.downstream_node) == (23, 2, 3)
    assert found.ranked_pipes == (23,)
    assert (found.fill_up, found.fill_down) == (3.0, 0.2)
    # Sound, the flow that still passes would stand 6 cm deep at node 2; it stands 90 cm.
    assert found.expected_head_m == pytest.approx(99.75 + 0.06, abs=0.01)
    assert found.excess_m == pytest.approx(0.84, abs=0.01)
    assert found.head_up_m - found.expected_head_m == found.excess_m
    assert found.explained_nodes == (2, 1)
    assert found.at_us == NOW_US - 60_000_000


@pytest.mark.parametrize(
    "levels",
    [
        {1: 0.3, 2: 0.3, 3: 0.3, 4: 0.3},  # as every day
        {1: 0.9, 2: 0.9, 3: 0.9, 4: 0.9, 5: 0.9},  # a wet day: high throughout
        {1: 0.3, 2: 0.3, 3: 3.0, 4: 3.0, 5: 3.0},  # backed up from below: whatever stops it is beyond
        {1: 0.2, 2: 0.2, 3: 0.9, 4: 0.9},
        {1: 0.85, 2: 0.85, 3: 0.5},  # a little high, and the flow that arrives needs most of it
        {1: 3.0, 2: 3.0},  # nobody below says anything
        {3: 0.1, 4: 0.1},  # nobody above
        {},
    ],
)
def test_what_is_none(levels: dict[int, float | None]) -> None:
    assert judge(ROW, levels) == Judgement((), {})


def test_between_gauges_the_first_pipe_below_the_high_one_is_named_and_the_others_follow() -> None:
    found = only(judge(ROW, {1: 3.0, 5: 0.1}))
    assert found.ranked_pipes == (12, 23, 34, 45)
    assert (found.upstream_node, found.downstream_node) == (1, 5)


def test_a_steep_pipe_below_a_level_one_is_no_blockage() -> None:
    """The same flow fills the level pipe to 0.85 and the steep one to 0.35: the head is what the flow needs."""
    level, steep = pipe(12, 1, 2, up=100, down=99.95), pipe(23, 2, 3, up=99.95, down=97.45)
    graph = graph_of([level, steep])
    flow = 0.95 * capacity_m3_s(bore(level))
    fill = normal_fill(bore(steep), flow)
    assert fill is not None
    assert fill < PARAMS.flat_fill
    assert judge(graph, {1: 0.85, 2: fill}).suspicions == ()
    assert only(judge(graph, {1: 3.0, 2: fill / 3})).pipe_key == 12


def test_a_drop_inside_a_manhole_is_no_head_held_up() -> None:
    graph = graph_of([pipe(12, 1, 2, up=103), pipe(23, 2, 3, up=100)])
    assert judge(graph, {1: 0.3, 2: 0.3}).suspicions == ()
    # 2.45 m lie between the two water levels of a sound network: 0.9 full is high, but stands no 0.2 m too high.
    assert judge(graph, {1: 0.9, 2: 0.3}).suspicions == ()
    assert only(judge(graph, {1: 2.0, 2: 0.3})).excess_m == pytest.approx(0.5, abs=0.03)


def test_a_storm_sewer_runs_full_by_design() -> None:
    storm = graph_of([replace(each, kind="storm") for each in ROW.pipes.values()])
    levels: dict[int, float | None] = {1: 0.95, 2: 0.95, 3: 0.05}
    assert judge(storm, levels).suspicions == ()
    assert only(judge(ROW, levels)).pipe_key == 23
    assert only(judge(storm, {**levels, 2: 1.7})).pipe_key == 23


def test_an_overloaded_storm_sewer_that_runs_into_a_half_empty_trunk_is_not_blocked() -> None:
    """The trunk carries more than the side sewer would under this head: all of it may have come from there."""
    trunk = {"kind": "storm", "diameter_mm": 1500}
    graph = graph_of(
        [
            pipe(12, 1, 2, kind="storm", up=100, down=99.75),
            pipe(32, 3, 2, **trunk, up=99, down=98.9),
            pipe(24, 2, 4, **trunk, up=98.9),
        ]
    )
    assert judge(graph, {1: 4.0, 2: 0.3}, standing=[12]) == Judgement((), {12: None})
    assert only(judge(graph, {1: 4.0, 2: 0.02})).pipe_key == 12


def test_a_measured_flow_counts_more_than_the_fill() -> None:
    readings = fills(ROW, {2: 1.5, 3: 0.3})
    below = readings[1]
    capacity = capacity_m3_s(bore(ROW.pipes[23]))

    def found(flow: float | None) -> tuple[Suspicion, ...]:
        now = [readings[0], replace(below, flow_m3_s=flow)]
        return judge_blockage(ROW, now, PARAMS, now_us=NOW_US).suspicions

    assert found(None)
    assert found(0.1 * capacity)
    assert found(-0.5 * capacity)  # backflow: nothing arrives from above
    assert not found(1.5 * capacity)


# gauges that lie ----------------------------------------------------------------------------------------------------


def test_a_gauge_that_is_stuck_low_in_a_flood_names_no_pipe() -> None:
    """Node 3 says flat while the water stands over it at the next node: it would run back."""
    assert judge(ROW, {1: 4.0, 2: 4.0, 3: 0.2, 4: 4.0}, standing=[23]) == Judgement((), {23: None}, frozenset({23}))
    assert only(judge(ROW, {1: 4.0, 2: 4.0, 3: 0.2, 4: 0.3})).pipe_key == 23
    # What stands lower than node 3's own pipe does not come back to it.
    assert only(judge(ROW, {1: 4.0, 2: 4.0, 3: 0.2, 4: 0.9})).pipe_key == 23


def test_a_gauge_that_drifts_high_alone_names_no_pipe() -> None:
    """Node 3 says that the water stands 1.4 m over its pipe; at node 2 it would be 1.2 m deep, and is 6 cm."""
    assert judge(ROW, {1: 0.2, 2: 0.2, 3: 4.8, 4: 0.2}, standing=[34]) == Judgement((), {34: None}, frozenset({34}))
    assert only(judge(ROW, {1: 0.2, 2: 3.9, 3: 4.8, 4: 0.2})).pipe_key == 34
    assert only(judge(ROW, {3: 4.8, 4: 0.2})).pipe_key == 34


def test_a_gauge_above_that_cannot_see_how_high_it_is_contradicts_nobody() -> None:
    """Water over its sensor: it says 0.9 full, its most, where the pool stands 60 cm over it."""
    assert only(judge(ROW, {2: 0.9, 3: 4.8, 4: 0.2})).pipe_key == 34


def test_an_echo_from_below_the_pipe_is_no_level() -> None:
    assert judge(ROW, {2: 3.0, 3: -0.8}, standing=[23]) == Judgement((), {23: None})


def test_where_as_much_flows_as_elsewhere_a_high_gauge_lies() -> None:
    """Node 3 says that it is four times full. A tenth of the capacity flows at its neighbours; what matters is how much
    flows at node 3 itself."""
    levels: dict[int, float | None] = {1: 0.2, 2: None, 3: 4.8, 4: 0.2, 5: 0.2}
    belongs = dict.fromkeys(range(1, 6), 5)
    tenth = 0.1 * capacity_m3_s(bore(ROW.pipes[34]))

    def found(flow_m3_s: float | None, others: float | None = tenth) -> tuple[Suspicion, ...]:
        readings = [replace(each, flow_m3_s=flow_m3_s if each.node == 3 else others) for each in fills(ROW, levels)]
        params = PARAMS.model_copy(update={"reach_s": 60})
        return judge_blockage(ROW, readings, params, now_us=NOW_US, belongs=belongs).suspicions

    assert found(None)
    assert found(0.2 * tenth)
    assert not found(tenth)
    assert not found(0.0, others=0.0), "nothing flows anywhere, and nothing is held up"
    assert found(tenth, others=None), "nobody to hold it against"


def test_one_of_two_branches_that_has_the_pool_is_enough() -> None:
    assert only(judge(FORK, {2: 0.2, 4: 3.6, 3: 4.8, 9: 0.2})).pipe_key == 39


# several ways -------------------------------------------------------------------------------------------------------


def test_two_high_branches_and_a_flat_trunk_name_the_pipe_that_explains_both() -> None:
    found = only(judge(FORK, {2: 3.0, 4: 3.0, 9: 0.1}))
    assert found.pipe_key == 39
    assert found.ranked_pipes == (39, 23, 43)
    assert set(found.explained_nodes) == {1, 2, 3, 4}


def test_a_flat_branch_beside_it_speaks_against_the_trunk() -> None:
    found = only(judge(FORK, {2: 3.0, 4: 0.1, 9: 0.1}))
    assert found.ranked_pipes == (23,)
    assert set(found.explained_nodes) == {1, 2}


def test_a_flat_branch_that_lies_above_the_pool_says_nothing() -> None:
    high_up = graph_of([*row_of(1, 2, 3, 9), pipe(43, 4, 3, up=103.0, down=99.5)])
    assert only(judge(high_up, {2: 3.0, 4: 0.1, 9: 0.1})).ranked_pipes == (23, 39)


def test_two_blockages_are_two_suspicions() -> None:
    graph = graph_of([*row_of(1, 2, 3, 4, 5), *row_of(11, 12, 13, start_m=50)])
    found = judge(graph, {1: 3.0, 2: 0.2, 3: 1.3, 4: 0.2, 11: 2.0, 12: 0.1}).suspicions
    assert [each.pipe_key for each in found] == [12, 34, 122]
    apart = judge(FORK, {2: 3.0, 4: 3.0, 3: 0.2, 9: 0.2}).suspicions
    assert [each.pipe_key for each in apart] == [23, 43]


def test_where_the_network_divides_the_way_to_a_high_gauge_is_open() -> None:
    """1 → 2, and from there to 3 and to 4: 3 is high too, so water passes 2; what is flat is behind the pipe to 4."""
    graph = graph_of([*row_of(1, 2, 3), pipe(24, 2, 4, up=99.75)])
    found = only(judge(graph, {1: 3.0, 3: 3.5, 4: 0.1}))
    assert found.ranked_pipes == (24,)
    assert judge(graph, {1: 3.0, 3: 3.5, 4: 0.1}, standing=[12]).verdicts == {12: False, 24: True}


def test_of_two_gauges_at_a_node_the_newest_that_is_known_counts() -> None:
    good = fills(ROW, {2: 3.0, 3: 0.2})
    older = replace(good[1], head_m=101.0, fill_ratio=5.0, at_us=good[1].at_us - 60_000_000)
    silent = replace(good[1], head_m=None, fill_ratio=None, at_us=good[1].at_us + 1)
    for readings in ([*good, older], [older, silent, *good], [silent, *good]):
        assert judge_blockage(ROW, readings, PARAMS, now_us=NOW_US).suspicions


# consequences -------------------------------------------------------------------------------------------------------


def test_the_pool_explains_what_lies_below_it_and_no_more() -> None:
    graph = graph_of(row_of(1, 2, 3, 4, 5, 6))  # inverts 100, 99.75, 99.5, 99.25, 99, 98.75
    found = only(judge(graph, {4: 1.5, 5: 0.1}))  # a pool at 99.25 + 0.45 = 99.7
    assert found.explained_nodes == (4, 3, 2)  # 2 lies 5 cm above it, within the tolerance; 1 does not
    assert only(judge(graph, {4: 1.5, 5: 0.1}, backwater_tolerance_m=0.0)).explained_nodes == (4, 3)


def test_a_node_above_the_pool_is_explained_while_it_is_high_with_nothing_lower_between() -> None:
    graph = graph_of(row_of(1, 2, 3, 4, 5))
    high: dict[int, float | None] = {1: 1.0, 2: 1.0, 3: 1.0, 4: 0.1}
    assert only(judge(graph, high)).explained_nodes == (3, 2, 1)
    assert only(judge(graph, {**high, 2: 0.6})).explained_nodes == (3,)


def test_beyond_the_travel_time_nothing_is_explained() -> None:
    graph = graph_of(row_of(1, 2, 3, 4, 5, 6))
    levels: dict[int, float | None] = {1: 4.0, 2: 4.0, 3: 4.0, 4: 4.0, 5: 4.0, 6: 0.1}
    assert only(judge(graph, levels)).explained_nodes == (5, 4, 3, 2, 1)
    assert only(judge(graph, levels, reach_s=120)).explained_nodes == (5, 4, 3)  # some 52 s a pipe


# what is not known --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("age_s", [PARAMS.max_age_s + 1, -301])
def test_a_reading_of_another_time_is_unknown(age_s: float) -> None:
    old = fills(ROW, {3: 0.2}, age_s=age_s)
    new = fills(ROW, {2: 3.0})
    assert judge_blockage(ROW, [*old, *new], PARAMS, now_us=NOW_US, standing=[23]) == Judgement((), {23: None})


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ({2: 3.0, 3: 0.2}, True),
        ({2: 0.3, 3: 0.3}, False),
        ({2: 0.3, 3: None}, False),  # no pool above it, whatever is below
        ({2: 0.3}, False),
        ({2: None, 3: 0.2}, None),
        ({2: 3.0, 3: None}, None),
        ({2: 3.0}, None),
        ({3: 0.2}, None),
        ({}, None),
        ({2: 3.0, 3: 0.7}, None),  # high above, neither flat nor high below, and still too much head
        ({2: 3.0, 3: 3.5}, False),  # backed up from below: no head is lost between
    ],
)
def test_an_unknown_never_clears(levels: dict[int, float | None], verdict: bool | None) -> None:
    assert judge(ROW, levels, standing=[23]).verdicts == {23: verdict}


def test_it_takes_every_gauge_above_to_clear() -> None:
    """Of a trunk that two branches end at: one gauge that is silent leaves it open."""
    assert judge(FORK, {2: 0.2, 4: 0.2, 9: 0.2}, standing=[39]).verdicts == {39: False}
    assert judge(FORK, {2: 0.2, 4: None, 9: 0.2}, standing=[39]).verdicts == {39: None}


def test_a_gauge_that_falls_silent_does_not_move_the_blockage() -> None:
    """Without it the last high gauge is further up; the pipe named until now is still among the likely ones."""
    assert only(judge(ROW, {1: 4.0, 3: 3.0, 4: 0.1})).pipe_key == 34
    silent: dict[int, float | None] = {1: 4.0, 3: None, 4: 0.1}
    assert only(judge(ROW, silent)).pipe_key == 12
    again = judge(ROW, silent, standing=[34])
    assert (only(again).pipe_key, only(again).ranked_pipes, again.verdicts) == (34, (34, 12, 23), {34: True})


def test_better_evidence_moves_it_and_ends_what_stood() -> None:
    """Named on one branch until the other one filled up too: now the trunk explains both."""
    moved = judge(FORK, {2: 3.0, 4: 3.0, 9: 0.1}, standing=[23])
    assert only(moved).pipe_key == 39
    assert moved.verdicts == {39: True, 23: False}


def test_what_stands_ends_only_beyond_the_dead_band() -> None:
    def verdict(up: float, down: float) -> bool | None:
        return judge(ROW, {2: up, 3: down}, standing=[23], excess_m=0.1).verdicts[23]

    assert judge(ROW, {2: 0.78, 3: 0.1}, excess_m=0.1).suspicions == ()
    assert verdict(0.78, 0.1) is True
    assert verdict(0.74, 0.1) is False
    assert verdict(1.5, 0.53) is True
    assert verdict(1.5, 0.56) is None


def test_pipes_that_are_no_more_are_not_answered_for() -> None:
    assert judge(ROW, {2: 3.0, 3: 0.2}, standing=[999]).verdicts == {23: True}


def test_gauges_off_the_network_are_left_alone() -> None:
    stray = Reading(777, 5.0, 9.0, NOW_US)
    assert judge_blockage(ROW, [stray, *fills(ROW, {2: 0.2})], PARAMS, now_us=NOW_US).suspicions == ()


# many networks ------------------------------------------------------------------------------------------------------


class Water:
    """A random tree with water in it: every pipe carries its normal depth, but above the blocked one stands a pool.

    It knows nothing of how blockages are looked for.
    """

    def __init__(self, chance: random.Random, *, blocked: bool = True) -> None:
        self.chance = chance
        count = chance.randint(8, 25)
        lower = {key: chance.choice(range(max(1, key - 4), key)) for key in range(2, count + 1)}
        inflow = {key: chance.uniform(0.0005, 0.003) for key in lower}
        through = dict(inflow)
        for key in sorted(lower, reverse=True):
            if lower[key] in through:
                through[lower[key]] += through[key]
        invert = {1: 50.0}
        pipes: dict[int, Pipe] = {}
        for key in sorted(lower):
            length, slope = chance.uniform(30, 80), chance.uniform(0.003, 0.012)
            invert[key] = invert[lower[key]] + length * slope
            size = next(
                size
                for size in (300, 400, 500, 600, 800, 1000)
                if (normal_fill(bore(self._pipe(key, lower, invert, length, size)), through[key]) or 1) < 0.4
            )
            pipes[key] = self._pipe(key, lower, invert, length, size)
        self.graph = graph_of(pipes.values())
        self.blocked = chance.choice(sorted(pipes)) if blocked else None
        self.head = {1: invert[1] + 0.05}
        pool_m = invert[self.blocked] + chance.uniform(0.8, 3.0) if self.blocked else 0.0
        above = self.graph.upstream(self.blocked) | {self.blocked} if self.blocked else set()
        held_back = through[self.blocked] * chance.uniform(0.8, 1.0) if self.blocked else 0.0
        below = self.graph.downstream(self.blocked) if self.blocked else set()
        for key, each in pipes.items():
            flow = through[key] - (held_back if key in below else 0.0)
            depth = (normal_fill(bore(each), flow) or 0.0) * each.diameter_mm / 1000
            self.head[key] = max(invert[key] + depth, pool_m if key in above else 0.0)

    @staticmethod
    def _pipe(key: int, lower: dict[int, int], invert: dict[int, float], length: float, size: int) -> Pipe:
        ends = {"up": invert[key], "down": invert[lower[key]]}
        return pipe(key, key, lower[key], **ends, length_m=length, diameter_mm=size)

    def readings(self, share: float) -> list[Reading]:
        """Of a share of the nodes, each good to a centimetre."""
        found = []
        for key in self.head:
            outlet, invert = self.graph.outlet(key), self.graph.invert_m(key)
            if outlet is not None and invert is not None and self.chance.random() < share:
                head = self.head[key] + self.chance.gauss(0, 0.01)
                found.append(Reading(key, head, (head - invert) / (outlet.diameter_mm / 1000), NOW_US))
        return found

    def can_be_seen(self, readings: list[Reading]) -> bool:
        """There is a gauge in the pool, and one below the blockage."""
        gauged = {reading.node for reading in readings}
        assert self.blocked is not None
        above = self.graph.upstream(self.blocked) | {self.blocked}
        high = {reading.node for reading in readings if (reading.fill_ratio or 0) >= PARAMS.high_fill_foul}
        return bool(gauged & self.graph.downstream(self.blocked)) and bool(high & above)

    def apart(self, named: int) -> int:
        """How many pipes lie between the named pipe and the blocked one; 0: it is the one."""
        undirected = self.graph.digraph.to_undirected()
        assert self.blocked is not None
        if named == self.blocked:
            return 0
        ends = [(self.graph.pipes[key].from_asset, self.graph.pipes[key].to_asset) for key in (named, self.blocked)]
        return 1 + int(min(nx.shortest_path_length(undirected, one, other) for one in ends[0] for other in ends[1]))


@pytest.mark.parametrize(("share", "within_one", "exact"), [(0.7, 0.95, 0.75), (1.0, 1.0, 0.98)])
def test_in_random_networks_the_named_pipe_is_the_blocked_one_or_its_neighbour(
    share: float, within_one: float, exact: float
) -> None:
    apart = []
    for seed in range(150):
        water = Water(random.Random(f"{share} {seed}"))
        readings = water.readings(share)
        if not water.can_be_seen(readings):
            continue
        suspicions = judge_blockage(water.graph, readings, PARAMS, now_us=NOW_US).suspicions
        apart.append(min((water.apart(each.pipe_key) for each in suspicions), default=99))
    assert len(apart) > 100
    assert sum(hops <= 1 for hops in apart) >= within_one * len(apart), sorted(apart)
    assert sum(hops == 0 for hops in apart) >= exact * len(apart), sorted(apart)


@given(st.integers(0, 10**9), st.floats(0.2, 1.0))
def test_sound_networks_are_never_suspected(seed: int, share: float) -> None:
    water = Water(random.Random(seed), blocked=False)
    assert judge_blockage(water.graph, water.readings(share), PARAMS, now_us=NOW_US).suspicions == ()


@given(st.integers(0, 10**9), st.floats(0.2, 1.0), st.data())
def test_gauges_that_fall_silent_suspect_nothing_new_beside_the_blockage(
    seed: int, share: float, data: st.DataObject
) -> None:
    """Whatever falls silent: what is named stays between a gauge that is high and one that is flat, and what stood is
    not cleared but by what is known."""
    water = Water(random.Random(seed))
    readings = water.readings(share)
    stood = {each.pipe_key for each in judge_blockage(water.graph, readings, PARAMS, now_us=NOW_US).suspicions}
    silent = data.draw(st.sets(st.sampled_from([each.node for each in readings]))) if readings else set()
    fewer = [replace(each, head_m=None, fill_ratio=None) if each.node in silent else each for each in readings]
    judgement = judge_blockage(water.graph, fewer, PARAMS, now_us=NOW_US, standing=stood)
    assert len(judgement.suspicions) <= len(readings)
    for each in judgement.suspicions:
        assert not {each.upstream_node, each.downstream_node} & silent
        assert each.downstream_node in water.graph.downstream(each.upstream_node)
        assert each.ranked_pipes[0] == each.pipe_key
        assert each.excess_m >= PARAMS.excess_m - PARAMS.dead_band_m
        assert set(each.explained_nodes) & water.graph.downstream(each.pipe_key) == set()
    everything_silent = [replace(each, head_m=None) for each in readings]
    nothing = judge_blockage(water.graph, everything_silent, PARAMS, now_us=NOW_US, standing=stood)
    assert nothing == Judgement((), dict.fromkeys(stood))
