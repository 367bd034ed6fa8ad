"""The network as a graph: who is above and below whom, how long water takes, where it ends, what a gauge's head is."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.drainage.graph import DrainageGraph, bore, catchments, outfalls
from alerts.drainage.hydraulics import Slowest, travel_time_s
from alerts.drainage.readings import reading_of
from tests.unit.networks import NOW_US, STATION, graph_of, node, pipe, row_of
from underfoot.ledger.pipes import GAUGE_ZERO_ATTRIBUTES, RIM_ATTRIBUTES, metres

# 1 → 2 → 3 → 9, 4 → 3; and on its own 5 → 6
TREE = [*row_of(1, 2, 3, 9), pipe(43, 4, 3), pipe(56, 5, 6)]


def test_what_is_above_and_below() -> None:
    graph = graph_of(TREE)
    assert graph.upstream(3) == {1, 2, 4}
    assert graph.downstream(1) == {2, 3, 9}
    assert graph.upstream(1) == graph.downstream(9) == frozenset()
    assert graph.upstream(77) == frozenset()
    assert 77 not in graph
    assert nx.is_directed_acyclic_graph(graph.digraph)


def test_times_are_of_the_quickest_way_and_end_where_asked() -> None:
    graph = graph_of([*row_of(1, 2, 3), pipe(13, 1, 3, length_m=70, up=100, down=99.5)])
    one = travel_time_s(bore(graph.pipes[12]), 0.6)
    short = travel_time_s(bore(graph.pipes[13]), 0.6)
    assert short < 2 * one
    assert graph.downstream_times(1) == {1: 0, 2: pytest.approx(one), 3: pytest.approx(short)}
    assert graph.upstream_times(3, within_s=one * 1.01) == {3: 0, 2: pytest.approx(one)}


def test_a_pipe_without_fall_is_passed_at_the_least_design_velocity() -> None:
    graph = graph_of([pipe(12, 1, 2, up=100, down=100), pipe(23, 2, 3, up=100, down=100.2, kind="storm")])
    assert graph.downstream_times(1) == {1: 0, 2: pytest.approx(50 / 0.6), 3: pytest.approx(50 / 0.6 + 50 / 0.75)}
    slow = Slowest(foul_m_s=0.5, storm_m_s=1)
    assert graph.downstream_times(1, slowest=slow)[3] == pytest.approx(150)


def test_the_outlet_is_the_lowest_then_widest_pipe_that_leaves() -> None:
    graph = graph_of([pipe(1, 1, 2, up=100), pipe(2, 1, 3, up=99.8), pipe(3, 1, 4, up=99.8, diameter_mm=500)])
    outlet = graph.outlet(1)
    assert outlet is not None
    assert (outlet.pipe_key, graph.invert_m(1)) == (3, 99.8)
    assert graph.invert_m(2) == 99.75
    assert graph.outlet(77) is None
    assert graph.invert_m(77) is None


def test_catchments_are_named_after_their_outfall() -> None:
    graph = graph_of(TREE, n9={"name": "洹河北岸排口"}, n6={"name": "东风路雨水泵站"})
    assert outfalls(graph) == {1: 9, 2: 9, 3: 9, 4: 9, 9: 9, 5: 6, 6: 6}
    assert set(catchments(graph).values()) == {"洹河北岸排口汇水区", "东风路雨水泵站汇水区"}
    alike = graph_of(TREE, n9={"name": "污水井盖"}, n6={"name": "污水井盖"})
    assert catchments(alike)[1] == "污水井盖（J9）汇水区"
    assert catchments(alike)[5] == "污水井盖（J6）汇水区"


def test_where_the_network_divides_a_node_belongs_to_the_outfall_that_it_reaches_first() -> None:
    near, far = pipe(12, 1, 2, up=100, down=99, length_m=20), pipe(13, 1, 3, up=100, down=99, length_m=400)
    assert outfalls(graph_of([near, far, pipe(51, 5, 1, up=101)])) == {1: 2, 2: 2, 3: 3, 5: 2}


def test_a_circle_reaches_no_outfall() -> None:
    graph = graph_of([pipe(12, 1, 2), pipe(21, 2, 1), pipe(34, 3, 4)])
    assert set(outfalls(graph)) == set(catchments(graph)) == {3, 4}
    assert graph.downstream_times(1).keys() == {1, 2}


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=30))
def test_every_node_belongs_to_an_outfall_that_its_water_comes_to(ends: list[tuple[int, int]]) -> None:
    pipes = [pipe(i, min(two), max(two), up=100 - min(two)) for i, two in enumerate(ends) if two[0] != two[1]]
    graph = graph_of(pipes)
    belongs = outfalls(graph)
    assert set(belongs) == set(graph.digraph)
    for key, outfall in belongs.items():
        assert not graph.outgoing(outfall)
        assert key == outfall or outfall in graph.downstream(key)
        times = graph.downstream_times(key)
        assert times[outfall] == pytest.approx(min(times[end] for end in set(belongs.values()) if end in times))
        assert graph.upstream_times(outfall)[key] == pytest.approx(times[outfall])


# heads --------------------------------------------------------------------------------------------------------------


def _head(graph: DrainageGraph, family: str, **values: float | None) -> tuple[float | None, float | None]:
    reading = reading_of(graph, 1, family, values, NOW_US)
    return reading.head_m, reading.fill_ratio


def test_a_pipe_gauge_measures_from_the_invert_of_its_outlet() -> None:
    graph = graph_of([pipe(12, 1, 2, up=40.0), pipe(31, 3, 1, up=41, down=40.5)])
    head_m, fill_ratio = _head(graph, "pipe", level_m=0.15, fill_ratio=None)
    assert head_m == 40.15
    assert fill_ratio == pytest.approx(0.5)
    assert _head(graph, "pipe", level_m=0.15, fill_ratio=0.52) == (40.15, 0.52)
    assert _head(graph, "pipe", level_m=None, fill_ratio=0.5) == (40.15, 0.5)
    assert _head(graph, "pipe", level_m=None, fill_ratio=None) == (None, None)
    assert _head(graph, "pipe", level_m=-0.01, fill_ratio=None)[0] == pytest.approx(39.99)


def test_a_gauge_whose_zero_the_ledger_knows_measures_from_there() -> None:
    graph = graph_of([pipe(12, 1, 2, up=40.0)], n1={"gauge_zero_m": 39.9})
    assert _head(graph, "pipe", level_m=0.25, fill_ratio=None) == pytest.approx((40.15, 0.5))


def test_a_cover_gauge_needs_the_height_of_its_rim() -> None:
    with_rim = graph_of([pipe(12, 1, 2, up=40.0)], n1={"rim_m": 43.0})
    assert _head(with_rim, "cover", water_below_rim_m=2.85) == pytest.approx((40.15, 0.5))
    assert _head(with_rim, "cover", water_below_rim_m=None) == (None, None)
    assert _head(graph_of([pipe(12, 1, 2)]), "cover", water_below_rim_m=2.85) == (None, None)


def test_a_flow_is_in_cubic_metres_a_second() -> None:
    graph = graph_of([pipe(12, 1, 2)])
    assert reading_of(graph, 1, "pipe", {"flow_m3_h": 36.0}, NOW_US, 7).flow_m3_s == pytest.approx(0.01)
    assert reading_of(graph, 1, "pipe", {}, NOW_US).flow_m3_s is None


@pytest.mark.parametrize(
    ("attributes", "rim"),
    [
        ({"地面标高": "77.42"}, 77.42),
        ({"井口标高": " 77.4 米"}, 77.4),
        ({"rim_level_m": 77}, 77.0),
        ({"ground_level_m": "-1.5m"}, -1.5),
        ({"地面标高": "约77"}, None),
        ({"材质": "铸铁"}, None),
        ({"rim_level_m": "77", "地面标高": "76"}, 77.0),
    ],
)
def test_a_height_among_the_attributes(attributes: dict[str, object], rim: float | None) -> None:
    assert metres(attributes, RIM_ATTRIBUTES) == rim
    assert metres(attributes, GAUGE_ZERO_ATTRIBUTES) is None


def test_a_network_ends_at_works_and_not_at_covers() -> None:
    assert not node(1).may_be_outfall
    assert node(1, tags=("outfall",)).may_be_outfall
    assert node(1, kind=STATION).may_be_outfall
