"""Which level gauges cannot be right, by what their neighbours on the network say. Pure: readings in, doubts out.

Water finds its level. A gauge that stands high is borne out where so much flows that it has to be so high, where what
stands below holds it back, or where the next gauges above have that water too. Else it is doubted where

- the water would reach the next gauges above, and none of them has it; or
- it flows on below, and flows here as elsewhere in the catchment; or
- it has risen here for hours while it flowed as before.

A blockage is not doubted: its pool reaches the gauges above it, and what flows gets less when it begins. Where too few
speak nothing is known, which neither doubts nor ends a doubt. Nor is what was said before a witness of what is now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from alerts.drainage.graph import DrainageGraph
from alerts.drainage.held import Gauge, Gauges, Reach, State
from alerts.drainage.hydraulics import normal_fill
from alerts.drainage.params import BlockageParams, DoubtParams
from alerts.drainage.readings import Reading
from underfoot.ledger.pipes import Pipe


@dataclass(frozen=True, slots=True)
class Doubt:
    """Of one gauge. `doubted` None: that is not known. `against`: the nodes whose gauges contradict it;
    `lower`: those below it that stand lower, where that alone does not tell."""

    node: int
    device_key: int | None
    doubted: bool | None
    fill: float | None
    at_us: int
    against: tuple[int, ...] = ()
    lower: tuple[int, ...] = ()


class Course(NamedTuple):
    """What a gauge said over the last hours: by how much its level has risen, and the least flow and the most."""

    risen_m: float
    least_flow: float
    most_flow: float


def judge_doubts(
    graph: DrainageGraph,
    readings: Iterable[Reading],
    params: DoubtParams,
    hydraulic: BlockageParams,
    courses: Callable[[Collection[int]], Mapping[int, Course]],
    *,
    now_us: int,
    belongs: Mapping[int, int],
    doubted: Collection[int] = (),
) -> list[Doubt]:
    """What is to be thought of every sewer gauge (of readings with a device key) at this moment. `courses` says, by
    device, what those did of which their neighbours alone do not tell. `belongs`: each node's outfall. `doubted`: the
    nodes whose gauges are doubted until now; they are no witnesses."""
    here = [one for one in readings if one.node in graph]
    gauges = Gauges(graph, here, hydraulic, now_us, frozenset(), belongs)
    judge = _Judge(graph, gauges, params, frozenset(doubted))
    found = [(one.device_key, judge.doubt(one)) for one in here if one.device_key is not None and one.of_pipe]
    untold = [key for key, doubt in found if doubt.lower]
    said = courses(untold) if untold else {}
    return [judge.by_course(doubt, said[key]) if key in said else doubt for key, doubt in found]


class _Judge:
    def __init__(self, graph: DrainageGraph, gauges: Gauges, params: DoubtParams, doubted: frozenset[int]) -> None:
        self._graph = graph
        self._gauges = gauges
        self._params = params
        self._doubted = doubted

    def doubt(self, reading: Reading) -> Doubt:
        gauge, outlet = self._gauges.at.get(reading.node), self._graph.outlet(reading.node)
        if gauge is None or outlet is None or gauge.at_us != reading.at_us:
            return Doubt(reading.node, reading.device_key, None, reading.fill_ratio, reading.at_us)
        if gauge.fill < self._params.from_fill:
            return Doubt(reading.node, reading.device_key, False, gauge.fill, gauge.at_us)
        doubted, against, lower = self._contradicted(gauge, outlet)
        return Doubt(reading.node, reading.device_key, doubted, gauge.fill, gauge.at_us, against, lower)

    def _contradicted(self, gauge: Gauge, outlet: Pipe) -> tuple[bool | None, tuple[int, ...], tuple[int, ...]]:
        """Whether it is, by whom, and where that is not known who stands lower below."""
        apart_m = self._apart_m(outlet)
        if not self._more_than_flows(gauge, outlet, apart_m):
            return False, (), ()
        below = [reach for reach in self._gauges.reaches(gauge) if reach.below is not None]
        if any(self._holds_back(reach, apart_m) for reach in below):
            return False, (), ()
        pool_m = gauge.head_m - apart_m
        above = [each for each, ridge_m in self._gauges.next_above(gauge) if ridge_m < pool_m]
        if any(self._bears_out(each, gauge, apart_m) for each in above):
            return False, (), ()
        if speaking := tuple(each.node for each in above if self._witness(each, gauge)):
            return True, speaking, ()
        lower = tuple(reach.below.node for reach in below if reach.below and self._witness(reach.below, gauge))
        if lower and gauge.flow_m3_s is not None and self._gauges.flows(gauge):
            return True, lower, ()
        return None, (), lower if not above else ()

    def by_course(self, doubt: Doubt, course: Course) -> Doubt:
        outlet = self._graph.outlet(doubt.node)
        if outlet is None:
            return doubt
        risen = course.risen_m >= self._apart_m(outlet)
        flows_on = course.least_flow > 0 and course.least_flow >= self._params.flows_on * course.most_flow
        return replace(doubt, doubted=True, against=doubt.lower) if risen and flows_on else doubt

    def _apart_m(self, outlet: Pipe) -> float:
        """What two gauges, and what levels and flows, may be apart by, and both be right."""
        return min(
            max(self._params.apart_fill * outlet.diameter_mm / 1000, self._params.apart_least_m), self._params.apart_m
        )

    def _more_than_flows(self, gauge: Gauge, outlet: Pipe, apart_m: float) -> bool:
        """Whether it says more than what flows, measured, needs; it does where that is not measured."""
        if gauge.flow_m3_s is None:
            return True
        bore = self._gauges.bore(outlet)
        fill = normal_fill(bore, max(gauge.flow_m3_s, 0.0)) if bore.slope > 0 else None
        if fill is None:
            return False
        return (gauge.fill - fill) * bore.diameter_m >= apart_m

    def _holds_back(self, reach: Reach, apart_m: float) -> bool:
        """Whether what the lower gauge shows would make it so high here."""
        if reach.below is None:
            return False
        if reach.below.node in self._doubted:
            return self._same_water(reach.below, reach.above, apart_m)
        if self._high(reach.below):
            return True
        expected_m, _ = self._gauges.expected(reach.below, reach.path, shared=False)
        return reach.above.head_m - expected_m < apart_m

    def _bears_out(self, above: Gauge, gauge: Gauge, apart_m: float) -> bool:
        """Whether the next gauge above has its water."""
        if above.node in self._doubted:
            return self._same_water(above, gauge, apart_m)
        return above.head_m >= gauge.head_m - apart_m or self._high(above)

    def _same_water(self, doubted: Gauge, gauge: Gauge, apart_m: float) -> bool:
        """Two gauges that drift stand high both, and at one level by chance only: so does a pool."""
        return abs(doubted.head_m - gauge.head_m) <= apart_m

    def _high(self, gauge: Gauge) -> bool:
        """What is high itself may not see how high."""
        return self._gauges.state(gauge) is State.high

    def _witness(self, other: Gauge, gauge: Gauge) -> bool:
        early_us = self._params.witness_s * 1_000_000
        return other.node not in self._doubted and other.at_us >= gauge.at_us - early_us
