"""Small drainage networks for tests: pipes written as a table, and what their gauges would say."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from alerts.drainage.graph import DrainageGraph
from alerts.drainage.readings import Reading
from underfoot.ledger.pipes import Node, Pipe

NOW_US = 1_800_000_000_000_000
MANHOLE, STATION = "0102", "2115"


def pipe(key: int, upper: int, lower: int, **changes: Any) -> Pipe:
    """A foul DN300 of 50 m whose upper invert lies at 100 m and that falls by 0.25 m, unless told otherwise."""
    up = changes.pop("up", 100.0)
    given = Pipe(key, f"W{key}", upper, lower, "foul", 300, 50, up, changes.pop("down", up - 0.25))
    return replace(given, **changes)


def node(key: int, **changes: Any) -> Node:
    return replace(Node(key, f"J{key}", MANHOLE, f"井{key}", "410502", 114.0 + key * 0.0005, 36.0), **changes)


def row_of(*keys: int, start_m: float = 100.0, **changes: Any) -> list[Pipe]:
    """One pipe after the other through the nodes `keys`; pipe 12 leads from node 1 to node 2."""
    pipes, up = [], start_m
    for upper, lower in itertools.pairwise(keys):
        pipes.append(pipe(upper * 10 + lower, upper, lower, up=up, **changes))
        up = pipes[-1].invert_down_m
    return pipes


def graph_of(pipes: Iterable[Pipe], **nodes: Any) -> DrainageGraph:
    listed = list(pipes)
    keys = {pipe.from_asset for pipe in listed} | {pipe.to_asset for pipe in listed}
    return DrainageGraph(listed, [node(key, **nodes.get(f"n{key}", {})) for key in sorted(keys)])


def fills(graph: DrainageGraph, levels: Mapping[int, float | None], *, age_s: float = 60) -> list[Reading]:
    """Readings by how full the outlet is; None: the gauge says nothing that is known."""
    readings = []
    for key, fill in levels.items():
        outlet, invert = graph.outlet(key), graph.invert_m(key)
        assert outlet is not None
        assert invert is not None
        head = None if fill is None else invert + fill * outlet.diameter_mm / 1000
        readings.append(Reading(key, head, fill, NOW_US - int(age_s * 1e6)))
    return readings
