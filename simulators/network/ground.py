"""The ground under a made-up network, and how sewers grow over it: from the outlets up, along streets, to the nearest
corners first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

import networkx as nx

from simulators.network.model import NetworkError

Place = tuple[float, float]
Ground = Callable[[float, float], float]
"""Height of the ground (m) at a place (m to the east, m to the north)."""

Cost = Callable[[Place, Place, float], float]
"""Of a sewer from a place down to the next, of so many metres."""


def rolling(random: Random, height_m: float, apart_m: float) -> Ground:
    """Gentle ups and downs of about `height_m`, some `apart_m` from one to the next: three waves across each other."""
    waves = [
        (random.uniform(0, math.tau), random.uniform(0, math.tau), apart_m * random.uniform(0.7, 1.4)) for _ in range(3)
    ]

    def height(x: float, y: float) -> float:
        return (
            height_m
            / 3
            * sum(
                math.sin(phase + math.tau * (x * math.cos(way) + y * math.sin(way)) / long)
                for way, phase, long in waves
            )
        )

    return height


def street_grid(columns: Sequence[float], rows: Sequence[float], step_m: float) -> nx.Graph[Place]:
    """Streets along each column and each row, with a place for a manhole at every crossing and about every `step_m`."""
    graph: nx.Graph[Place] = nx.Graph()
    for row in rows:
        _street(graph, [(column, row) for column in columns], step_m)
    for column in columns:
        _street(graph, [(column, row) for row in rows], step_m)
    return graph


def _street(graph: nx.Graph[Place], crossings: Sequence[Place], step_m: float) -> None:
    for one, other in itertools.pairwise(crossings):
        long = math.dist(one, other)
        parts = max(round(long / step_m), 1)
        way = [
            (
                round(one[0] + (other[0] - one[0]) * part / parts, 3),
                round(one[1] + (other[1] - one[1]) * part / parts, 3),
            )
            for part in range(parts + 1)
        ]
        for here, there in itertools.pairwise(way):
            graph.add_edge(here, there, length_m=math.dist(here, there))


def lanes(random: Random, wide: int, high: int, apart_m: float, missing: float) -> nx.Graph[Place]:
    """Crooked lanes: places about `apart_m` from each other, each joined to those beside it; some of the lanes are
    `missing`, none that would cut a place off."""
    at = {
        (column, row): (
            round((column - (wide - 1) / 2 + random.uniform(-0.3, 0.3)) * apart_m, 1),
            round((row - (high - 1) / 2 + random.uniform(-0.3, 0.3)) * apart_m, 1),
        )
        for column in range(wide)
        for row in range(high)
    }
    graph: nx.Graph[Place] = nx.Graph()
    for (column, row), place in at.items():
        for beside in ((column + 1, row), (column, row + 1)):
            if beside in at:
                graph.add_edge(place, at[beside], length_m=math.dist(place, at[beside]))
    needed = nx.minimum_spanning_tree(graph, weight="length_m")
    spare = [edge for edge in graph.edges if not needed.has_edge(*edge)]
    graph.remove_edges_from(random.sample(spare, round(missing * len(spare))))
    return graph


@dataclass(frozen=True)
class Growth:
    """Places in the order in which they were reached, and for each the next one on its way to an outlet."""

    places: tuple[Place, ...]
    below: dict[Place, Place]


def grow(
    streets: nx.Graph[Place],
    outlets: Iterable[Place],
    count: int,
    cost: Cost | None = None,
) -> Growth:
    """The `count` places that are nearest to an outlet by the streets, each with the shortest way there. `cost`: by
    default a sewer's length."""
    starts = sorted(set(outlets))
    if count > streets.number_of_nodes():
        raise NetworkError(f"nodes: {count} manholes; there is room for {streets.number_of_nodes()}")

    def weight(lower: Place, upper: Place, data: dict[str, float]) -> float:
        return data["length_m"] if cost is None else cost(upper, lower, data["length_m"])

    far: dict[Place, float]
    ways: dict[Place, list[Place]]
    far, ways = nx.multi_source_dijkstra(streets, starts, weight=weight)  # type: ignore[assignment]
    order = sorted(far, key=lambda place: (round(far[place], 6), place))[:count]
    if len(order) < count:
        raise NetworkError(f"nodes: {count} manholes; {len(order)} are reached from the outlets")
    return Growth(tuple(order), {place: ways[place][-2] for place in order if len(ways[place]) > 1})


def nearest(places: Iterable[Place], to: Place) -> Place:
    return min(places, key=lambda place: (math.dist(place, to), place))
