"""Places: at which node a device stands, and how far from each other two pipes are. Read from a run's folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

import networkx as nx


class Places:
    """`nodes`: by device id, the node that it stands at. `pipes`: by pipe id, its two ends."""

    def __init__(self, nodes: Mapping[str, str], pipes: Mapping[str, tuple[str, str]]) -> None:
        self.nodes = nodes
        self.pipes = pipes

    def upstream(self, asset_code: str) -> set[str]:
        """The asset itself and all whose water comes to it."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_edges_from(self.pipes.values())
        return {asset_code} | (nx.ancestors(graph, asset_code) if asset_code in graph else set())

    @cached_property
    def _graph(self) -> nx.Graph[str]:
        graph: nx.Graph[str] = nx.Graph()
        graph.add_edges_from(self.pipes.values())
        return graph

    def hops(self, one: str, other: str) -> int | None:
        """How many pipes away along the network, whichever way the water runs: 0 is the same, 1 meets it at a manhole.
        None: no way leads there, or there is no such pipe."""
        if one not in self.pipes or other not in self.pipes:
            return None
        if one == other:
            return 0
        between = self._steps_from(self.pipes[one])
        steps = [between[end] for end in self.pipes[other] if end in between]
        return min(steps) + 1 if steps else None

    def _steps_from(self, ends: Iterable[str]) -> dict[str, int]:
        steps: dict[str, int] = {}
        for end in ends:
            for node, away in nx.single_source_shortest_path_length(self._graph, end).items():
                steps[node] = min(away, steps.get(node, away))
        return steps
