"""Whether water is held up between two gauges. First step of looking for a blockage: readings → stretches held up.

It is where it stands high at the upper gauge, runs flat at the lower one, and the head between them is more than the
flow that still arrives needs in sound pipes.

How much of the flow at the lower gauge came through a pipe is not known where others join. In a foul sewer each is
taken to bring its share. A storm sewer may be overloaded while the one that it runs into is half empty: there all of it
may have come this way, and water is only held up where even so the head is too high.

A gauge that lies stands high or flat among others that do not. Water finds its level: where the next gauges say what
cannot be beside it, nothing is known between the two. Nor is it where a gauge is high, and yet as much flows there as
elsewhere in its catchment.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from alerts.drainage.graph import DrainageGraph, bore
from alerts.drainage.hydraulics import (
    Bore,
    capacity_m3_s,
    expected_head_m,
    flow_m3_s,
    section,
    travel_time_s,
)
from alerts.drainage.params import BlockageParams
from alerts.drainage.readings import Reading
from underfoot.ledger.pipes import Pipe

_ENOUGH_LOADS = 3
FUTURE_S = 300
"""A reading from further ahead than this is not of now: whatever it says, it is unknown."""


class State(Enum):
    unknown = auto()
    flat = auto()
    between = auto()
    high = auto()


@dataclass(frozen=True, slots=True)
class Gauge:
    """A node's gauge that can be relied on."""

    node: int
    head_m: float
    fill: float
    at_us: int
    flow_m3_s: float | None


@dataclass(frozen=True, slots=True)
class Reach:
    """The way from a gauge down to the next one that is known (`below` None: there is none within reach)."""

    above: Gauge
    below: Gauge | None
    path: tuple[Pipe, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Water held up between two gauges, by more than is expected."""

    reach: Reach
    below: Gauge
    expected_m: float
    flow_m3_s: float

    @property
    def excess_m(self) -> float:
        return self.reach.above.head_m - self.expected_m


class Gauges:
    """The gauges of the network at one moment, by node: None where there is one, but what it says is not known."""

    def __init__(
        self,
        graph: DrainageGraph,
        readings: Iterable[Reading],
        params: BlockageParams,
        now_us: int,
        standing: frozenset[int],
        belongs: Mapping[int, int],
    ) -> None:
        self.graph = graph
        self.params = params
        self.standing = standing
        self.belongs = belongs
        self.bores: dict[int, Bore] = {}
        self.times: dict[int, float] = {}
        self.at: dict[int, Gauge | None] = {}
        for reading in sorted(readings, key=lambda each: each.at_us):
            if reading.node in graph:
                known = self._known(reading, now_us)
                # Of several gauges at a node the newest that says something counts.
                self.at[reading.node] = known or self.at.get(reading.node)
        self.loads = self._loads()
        self.contradicted: set[int] = set()
        """Pipes that `look` has come upon between gauges that cannot both be right."""

    def _known(self, reading: Reading, now_us: int) -> Gauge | None:
        age_s = (now_us - reading.at_us) / 1e6
        if reading.head_m is None or reading.fill_ratio is None or not -FUTURE_S <= age_s <= self.params.max_age_s:
            return None
        if reading.fill_ratio < -self.params.dead_band_fill:
            return None  # under water an echo comes from anywhere
        return Gauge(reading.node, reading.head_m, reading.fill_ratio, reading.at_us, reading.flow_m3_s)

    def state(self, gauge: Gauge | None, *, relaxed: bool = False) -> State:
        outlet = self.graph.outlet(gauge.node) if gauge is not None else None
        if gauge is None or outlet is None:
            return State.unknown
        band = self.params.dead_band_fill if relaxed else 0.0
        if gauge.fill >= self.params.high_fill(outlet.kind) - band:
            return State.high
        return State.flat if gauge.fill <= self.params.flat_fill + band else State.between

    def reaches(self, above: Gauge) -> Iterator[Reach]:
        """The ways down to each next known gauge; where the network divides there are several."""
        found = False
        seen = {above.node}
        waiting: deque[tuple[int, tuple[Pipe, ...], float]] = deque([(above.node, (), 0.0)])
        while waiting:
            node, path, time = waiting.popleft()
            for pipe in self.graph.outgoing(node):
                if pipe.to_asset in seen:
                    continue
                seen.add(pipe.to_asset)
                further = (*path, pipe)
                below = self.at.get(pipe.to_asset)
                if below is not None:
                    found = True
                    yield Reach(above, below, further)
                    continue
                reached = time + self.time(pipe)
                if reached <= self.params.reach_s:
                    waiting.append((pipe.to_asset, further, reached))
        if not found:
            yield Reach(above, None, ())

    def bore(self, pipe: Pipe) -> Bore:
        found = self.bores.get(pipe.pipe_key)
        if found is None:
            found = self.bores[pipe.pipe_key] = bore(pipe, self.params.roughness)
        return found

    def time(self, pipe: Pipe) -> float:
        time = self.times.get(pipe.pipe_key)
        if time is None:
            time = self.times[pipe.pipe_key] = travel_time_s(self.bore(pipe), self.params.slowest.of(pipe.kind))
        return time

    def look(self, reach: Reach) -> Held | bool | None:
        """Held up; False: it is not; None: that is not known."""
        relaxed = any(pipe.pipe_key in self.standing for pipe in reach.path)
        if self.state(reach.above, relaxed=relaxed) is not State.high:
            return False
        below = reach.below
        if below is None:
            return None
        enough = self.params.excess_m - (self.params.dead_band_m if relaxed else 0.0)
        head_m = reach.above.head_m
        shared_m, shared_flow = self.expected(below, reach.path, shared=True)
        if head_m - shared_m < enough:
            return False
        expected_m, flow = shared_m, shared_flow
        if any(pipe.kind == "storm" for pipe in reach.path):
            expected_m, flow = self.expected(below, reach.path, shared=False)
        if head_m - expected_m < enough or self.state(below, relaxed=relaxed) is not State.flat:
            return None
        if self._would_fill(below) or self._stands_alone(reach.above) or self.flows(reach.above):
            self.contradicted.update(pipe.pipe_key for pipe in reach.path)
            return None
        return Held(reach, below, expected_m, flow)

    def _would_fill(self, flat: Gauge) -> bool:
        """Whether a next gauge below it stands higher, and nothing between keeps its water from coming back."""
        return any(
            reach.below is not None
            and reach.below.head_m - self.params.excess_m > max(flat.head_m, *map(_highest_m, reach.path))
            for reach in self.reaches(flat)
        )

    def _stands_alone(self, high: Gauge) -> bool:
        """Whether its water would reach the next gauges above it, and none of them has it. One that is high may not see
        how high."""
        pool_m = high.head_m - self.params.excess_m
        reached = [gauge for gauge, ridge_m in self.next_above(high) if ridge_m < pool_m]
        return bool(reached) and all(gauge.head_m < pool_m and self.state(gauge) is not State.high for gauge in reached)

    def flows(self, high: Gauge) -> bool:
        """Whether as much passes it, measured, as its catchment's sewers carry now, for their size. Where next to
        nothing flows any more, a pool that is held up runs out through what is left of its pipe: more than
        elsewhere."""
        load, catchment = self._load(high), self._catchment(high.node)
        others = self.loads.get(catchment, ()) if catchment is not None else ()
        if load is None or len(others) < _ENOUGH_LOADS:
            return False
        usual, share = statistics.median(others), self.params.passes_share
        if usual < self.params.least_load:
            return load * share <= usual
        return load >= share * usual

    def _loads(self) -> dict[tuple[int, str], list[float]]:
        """By catchment and kind of sewer, what share of its capacity passes each gauge that measures flow; not of those
        that are high."""
        loads: dict[tuple[int, str], list[float]] = {}
        for gauge in self.at.values():
            if gauge is None or self.state(gauge, relaxed=True) is State.high:
                continue
            load, catchment = self._load(gauge), self._catchment(gauge.node)
            if load is not None and catchment is not None:
                loads.setdefault(catchment, []).append(load)
        return loads

    def _load(self, gauge: Gauge) -> float | None:
        outlet = self.graph.outlet(gauge.node)
        if outlet is None or gauge.flow_m3_s is None:
            return None
        return max(gauge.flow_m3_s, 0.0) / self._carries(outlet)

    def _catchment(self, node: int) -> tuple[int, str] | None:
        outlet, outfall = self.graph.outlet(node), self.belongs.get(node)
        return None if outlet is None or outfall is None else (outfall, outlet.kind)

    def next_above(self, below: Gauge) -> Iterator[tuple[Gauge, float]]:
        """Each next known gauge above one, and the highest that the way to it lies."""
        seen = {below.node}
        waiting: deque[tuple[int, float, float]] = deque([(below.node, -math.inf, 0.0)])
        while waiting:
            node, ridge_m, time = waiting.popleft()
            for pipe in self.graph.incoming(node):
                reached = time + self.time(pipe)
                if pipe.from_asset in seen or reached > self.params.reach_s:
                    continue
                seen.add(pipe.from_asset)
                over_m = max(ridge_m, _highest_m(pipe))
                gauge = self.at.get(pipe.from_asset)
                if gauge is not None:
                    yield gauge, over_m
                else:
                    waiting.append((pipe.from_asset, over_m, reached))

    def expected(self, below: Gauge, path: tuple[Pipe, ...], *, shared: bool) -> tuple[float, float]:
        """The head to expect at the upper end of `path` were its pipes sound, and the flow in its first pipe.

        The flow is the one that passes the lower gauge, measured or as its fill says: all of it, or `shared` among the
        pipes that join by what they can carry. What joins on the way is in it, so that rather too much is expected.
        """
        flow, head = self._flow_at(below), below.head_m
        lower: Pipe | None = None
        for pipe in reversed(path):
            if lower is not None:
                # Where the network divides, the other ways took their part.
                flow *= sum(map(self._carries, self.graph.outgoing(pipe.to_asset))) / self._carries(lower)
            if shared:
                flow *= self._carries(pipe) / sum(map(self._carries, self.graph.incoming(pipe.to_asset)))
            head = expected_head_m(self.bore(pipe), flow, pipe.invert_up_m, head, self.params.manhole_loss)
            lower = pipe
        return head, flow

    def _flow_at(self, gauge: Gauge) -> float:
        if gauge.flow_m3_s is not None:
            return max(gauge.flow_m3_s, 0.0)
        outlet = self.graph.outlet(gauge.node)
        if outlet is None:
            return 0.0
        pipe = self.bore(outlet)
        slow = section(pipe.diameter_m, gauge.fill).area_m2 * self.params.slowest.of(outlet.kind)
        return max(flow_m3_s(pipe, gauge.fill), slow)

    def _carries(self, pipe: Pipe) -> float:
        water = self.bore(pipe)
        return max(capacity_m3_s(water), water.area_m2 * self.params.slowest.of(pipe.kind))


def _highest_m(pipe: Pipe) -> float:
    return max(pipe.invert_up_m, pipe.invert_down_m)
