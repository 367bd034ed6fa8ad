"""Where a pipe is blocked: the water stands high above it and runs flat below it. Pure: readings in, a judgement out.

Between the last high gauge and the first flat one below it water is held up (`held`). One pipe between them is named:
where there are several, the one that explains most of the high gauges, that no gauge beside the way speaks against, and
of equals the first below the last high gauge.

Three-valued: a gauge that is silent, too old, or of which no head can be made is unknown. Nothing is suspected because
of it, and nothing that was suspected is cleared by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import networkx as nx

from alerts.drainage.graph import DrainageGraph
from alerts.drainage.held import Gauge, Gauges, Held, Reach, State
from alerts.drainage.hydraulics import head_loss_m
from alerts.drainage.params import BlockageParams
from alerts.drainage.readings import Reading
from underfoot.ledger.pipes import Pipe


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A blockage, named on `pipe_key`. `ranked_pipes` are all that it may be in, the most likely first; the levels of
    `explained_nodes` are its consequence. `excess_m`: by how much `head_up_m`, at the last high gauge, exceeds what is
    expected there when the first flat gauge below has `head_down_m`. `at_us`: when both were known to be so."""

    pipe_key: int
    upstream_node: int
    downstream_node: int
    excess_m: float
    ranked_pipes: tuple[int, ...]
    explained_nodes: tuple[int, ...]
    head_up_m: float
    head_down_m: float
    expected_head_m: float
    fill_up: float
    fill_down: float
    at_us: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """`verdicts` has every pipe that is named or was asked about: True blocked, False not (any more), None unknown.
    `contradicted`: pipes of which that is unknown since their gauges cannot both be right."""

    suspicions: tuple[Suspicion, ...]
    verdicts: dict[int, bool | None]
    contradicted: frozenset[int] = frozenset()


def judge_blockage(
    graph: DrainageGraph,
    readings: Iterable[Reading],
    params: BlockageParams,
    *,
    now_us: int,
    standing: Collection[int] = (),
    belongs: Mapping[int, int] | None = None,
) -> Judgement:
    """What the readings say of the network at this moment.

    `standing` are the pipes that are held to be blocked until now: they are asked about, the dead bands are taken off
    their limits, and of equally likely pipes they stay the named one. `belongs`: each node's outfall, by which gauges
    that measure flow are held against those of their catchment.
    """
    stood = frozenset(standing) & graph.pipes.keys()
    return _Judge(graph, Gauges(graph, readings, params, now_us, stood, belongs or {}), params, stood).judgement()


class _Judge:
    def __init__(self, graph: DrainageGraph, gauges: Gauges, params: BlockageParams, standing: frozenset[int]) -> None:
        self.graph = graph
        self.gauges = gauges
        self.params = params
        self.standing = standing

    def judgement(self) -> Judgement:
        held, verdicts = self._held(), dict[int, bool | None]()
        suspicions = list(self._named(held))
        named = {suspicion.pipe_key for suspicion in suspicions}
        for key in named | self.standing:
            verdicts[key] = True if key in named else self._verdict(self.graph.pipes[key])
        named_in_order = tuple(sorted(suspicions, key=lambda each: each.pipe_key))
        return Judgement(named_in_order, verdicts, frozenset(self.gauges.contradicted - named))

    # naming

    def _held(self) -> list[Held]:
        """Every stretch between two gauges in which water is held up, without the pipes that another way shows open."""
        found: list[Held] = []
        for gauge in self.gauges.at.values():
            if gauge is None or self.gauges.state(gauge, relaxed=True) is not State.high:
                continue
            reaches = list(self.gauges.reaches(gauge))
            # Where the network divides, the pipes on the way to a gauge that is high too are not blocked.
            open_pipes = {
                pipe.pipe_key
                for reach in reaches
                if self.gauges.state(reach.below) is State.high
                for pipe in reach.path
            }
            for reach in reaches:
                held = self.gauges.look(reach)
                if isinstance(held, Held):
                    path = tuple(pipe for pipe in reach.path if pipe.pipe_key not in open_pipes)
                    cut = Reach(reach.above, reach.below, path)
                    found.append(Held(cut, held.below, held.expected_m, held.flow_m3_s))
        return [held for held in found if held.reach.path]

    def _named(self, held: list[Held]) -> Iterator[Suspicion]:
        """One pipe after the other, each the best for the high gauges that none before it explains."""
        likely = [self._likely(each) for each in held]
        for group in _sharing(likely):
            left = group
            while left:
                ranked = self._ranked([(held[i], likely[i]) for i in left])
                explained = [i for i in left if ranked[0] in likely[i]]
                of_these = set[int]().union(*(likely[i] for i in explained))
                yield self._suspicion([held[i] for i in explained], [key for key in ranked if key in of_these])
                left = [i for i in left if i not in explained]

    def _ranked(self, held: list[tuple[Held, set[int]]]) -> list[int]:
        """Pipes by likelihood: by how many high gauges each explains, then those named until now, then the nearest."""
        explains: dict[int, int] = {}
        nearest: dict[int, int] = {}
        for each, keys in held:
            for place, pipe in enumerate(each.reach.path):
                if pipe.pipe_key in keys:
                    explains[pipe.pipe_key] = explains.get(pipe.pipe_key, 0) + 1
                    nearest[pipe.pipe_key] = min(place, nearest.get(pipe.pipe_key, place))
        return sorted(explains, key=lambda key: (-explains[key], key not in self.standing, nearest[key], key))

    def _likely(self, held: Held) -> set[int]:
        """The pipes of the way that no gauge beside it speaks against. Where all are spoken against, the gauges
        contradict each other: then all are as likely."""
        pool_m, likely = held.reach.above.head_m, set[int]()
        for pipe in held.reach.path:
            if not self._spoken_against(pipe, pool_m - self.params.excess_m):
                likely.add(pipe.pipe_key)
            pool_m -= head_loss_m(self.gauges.bore(pipe), held.flow_m3_s, self.params.manhole_loss)
        return likely or {pipe.pipe_key for pipe in held.reach.path}

    def _spoken_against(self, pipe: Pipe, reaches_m: float) -> bool:
        """Whether a gauge above `pipe`, beside the way, stands lower than the pool would, and is not high: then there
        is no pool above this pipe."""
        seen, waiting = {pipe.from_asset}, [(pipe.from_asset, 0.0)]
        while waiting:
            node, time = waiting.pop()
            gauge = self.gauges.at.get(node)
            if gauge is not None and gauge.head_m < reaches_m and self.gauges.state(gauge) is not State.high:
                return True
            for above in self.graph.incoming(node):
                reached = time + self.gauges.time(above)
                if above.from_asset in seen or above.invert_up_m >= reaches_m or reached > self.params.reach_s:
                    continue
                seen.add(above.from_asset)
                waiting.append((above.from_asset, reached))
        return False

    def _suspicion(self, held: list[Held], ranked: list[int]) -> Suspicion:
        worst = max(held, key=lambda each: (each.excess_m, -each.reach.above.node))
        above, below = worst.reach.above, worst.below
        return Suspicion(
            pipe_key=ranked[0],
            upstream_node=above.node,
            downstream_node=below.node,
            excess_m=worst.excess_m,
            ranked_pipes=tuple(ranked),
            explained_nodes=self._explained(self.graph.pipes[ranked[0]], held),
            head_up_m=above.head_m,
            head_down_m=below.head_m,
            expected_head_m=worst.expected_m,
            fill_up=above.fill,
            fill_down=below.fill,
            at_us=max(above.at_us, below.at_us),
        )

    def _explained(self, blocked: Pipe, held: list[Held]) -> tuple[int, ...]:
        """The nodes above the blockage to which its pool reaches, within travel time; and those beyond whose gauge is
        high with nothing lower in between."""
        pool_m = max(each.reach.above.head_m for each in held) + self.params.backwater_tolerance_m
        times = self.graph.upstream_times(blocked.from_asset, self.params.reach_s, self.params.slowest)
        explained: dict[int, float] = {}
        waiting = [(blocked.from_asset, pool_m)]
        while waiting:
            node, level_m = waiting.pop()
            gauge = self.gauges.at.get(node)
            if node in explained or node not in times:
                continue
            if gauge is not None and self.gauges.state(gauge, relaxed=True) is not State.high:
                continue
            explained[node] = times[node]
            if gauge is not None:
                level_m = max(level_m, gauge.head_m + self.params.backwater_tolerance_m)
            for pipe in self.graph.incoming(node):
                above = self.gauges.at.get(pipe.from_asset)
                if pipe.invert_up_m <= level_m or self.gauges.state(above, relaxed=True) is State.high:
                    waiting.append((pipe.from_asset, level_m))
        for each in held:
            explained.setdefault(each.reach.above.node, times.get(each.reach.above.node, 0.0))
        return tuple(sorted(explained, key=lambda node: (explained[node], node)))

    # what was held to be blocked

    def _verdict(self, pipe: Pipe) -> bool | None:
        """Of a pipe that is not named now. Held up, but by another pipe: False, the blockage is known to be there."""
        answers: list[bool | None] = []
        seen, waiting = {pipe.from_asset}, [pipe.from_asset]
        while waiting:
            node = waiting.pop()
            if node in self.gauges.at:
                answers.append(self._answer(self.gauges.at[node], pipe))
                continue
            for above in self.graph.incoming(node):
                if above.from_asset not in seen:
                    seen.add(above.from_asset)
                    waiting.append(above.from_asset)
        if True in answers:
            return False
        return False if answers and None not in answers else None

    def _answer(self, gauge: Gauge | None, pipe: Pipe) -> bool | None:
        """Whether the way below a gauge, on which `pipe` lies, is held up."""
        if gauge is None:
            return None
        if self.gauges.state(gauge, relaxed=True) is not State.high:
            return False
        looks = [self.gauges.look(reach) for reach in self.gauges.reaches(gauge) if pipe in reach.path]
        if any(isinstance(look, Held) for look in looks):
            return True
        return False if looks and None not in looks else None


def _sharing(sets: list[set[int]]) -> list[list[int]]:
    """The places of `sets` in groups: those that have anything in common, also by way of others, are together."""
    graph: nx.Graph[tuple[str, int]] = nx.Graph()
    for place, keys in enumerate(sets):
        graph.add_node(("place", place))
        graph.add_edges_from((("place", place), ("key", key)) for key in keys)
    return [sorted(number for kind, number in part if kind == "place") for part in nx.connected_components(graph)]
