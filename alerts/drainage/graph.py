"""The drainage network as a graph: assets are its nodes, pipes its edges from upper to lower end.

Made from the ledger, kept in memory by whoever judges, read again when the ledger has changed. Everything asked of it
is about neighbours, ways and times; what the water does is in `hydraulics`, where it is stopped in `blockage`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping

import networkx as nx

from alerts.drainage.hydraulics import DEFAULT_ROUGHNESS, SLOWEST, Bore, Slowest, travel_time_s
from underfoot.ledger.pipes import Node, Pipe, Version, ledger_version, load_pipes
from underfoot.storage.connect import Connection


def bore(pipe: Pipe, roughness: float = DEFAULT_ROUGHNESS) -> Bore:
    """The pipe as hydraulics has it; `roughness` where the ledger does not know its own."""
    return Bore(pipe.diameter_mm / 1000, pipe.length_m, pipe.slope, pipe.roughness or roughness)


class DrainageGraph:
    """`digraph` has the structure alone: nodes are asset_keys, edges have their pipe_key as key (two pipes may lie side
    by side). `pipes` and `nodes` say what they are."""

    def __init__(self, pipes: Iterable[Pipe], nodes: Iterable[Node]) -> None:
        self.pipes: dict[int, Pipe] = {pipe.pipe_key: pipe for pipe in pipes}
        self.nodes: dict[int, Node] = {node.asset_key: node for node in nodes}
        self.digraph: nx.MultiDiGraph[int] = nx.MultiDiGraph()
        self._outgoing: dict[int, list[Pipe]] = {}
        self._incoming: dict[int, list[Pipe]] = {}
        for pipe in self.pipes.values():
            self.digraph.add_edge(pipe.from_asset, pipe.to_asset, key=pipe.pipe_key)
            self._outgoing.setdefault(pipe.from_asset, []).append(pipe)
            self._incoming.setdefault(pipe.to_asset, []).append(pipe)

    def __contains__(self, node: object) -> bool:
        return node in self.digraph

    def outgoing(self, node: int) -> list[Pipe]:
        return self._outgoing.get(node, [])

    def incoming(self, node: int) -> list[Pipe]:
        return self._incoming.get(node, [])

    def outlet(self, node: int) -> Pipe | None:
        """The pipe by which its water leaves: of several the one that begins lowest, then the widest. At an outfall,
        the pipe by which most comes. None: no pipe ends here."""
        if pipes := self.outgoing(node):
            return min(pipes, key=lambda pipe: (pipe.invert_up_m, -pipe.diameter_mm, pipe.pipe_key))
        if pipes := self.incoming(node):
            return min(pipes, key=lambda pipe: (-pipe.diameter_mm, pipe.invert_down_m, pipe.pipe_key))
        return None

    def invert_m(self, node: int) -> float | None:
        """The invert of its outlet: the height that a level gauge there measures from."""
        pipe = self.outlet(node)
        if pipe is None:
            return None
        return pipe.invert_up_m if pipe.from_asset == node else pipe.invert_down_m

    def upstream(self, node: int) -> frozenset[int]:
        """Every node whose water comes here."""
        return frozenset(nx.ancestors(self.digraph, node)) if node in self else frozenset()

    def downstream(self, node: int) -> frozenset[int]:
        """Every node that water from here comes to."""
        return frozenset(nx.descendants(self.digraph, node)) if node in self else frozenset()

    def upstream_times(self, node: int, within_s: float = float("inf"), slowest: Slowest = SLOWEST) -> dict[int, float]:
        """Nodes above, each with the least time that its water takes to come here; the node itself with 0."""
        return self._times(node, self.incoming, lambda pipe: pipe.from_asset, within_s, slowest)

    def downstream_times(
        self, node: int, within_s: float = float("inf"), slowest: Slowest = SLOWEST
    ) -> dict[int, float]:
        """Nodes below, each with the least time that water from here takes to come there; the node itself with 0."""
        return self._times(node, self.outgoing, lambda pipe: pipe.to_asset, within_s, slowest)

    def _times(
        self,
        start: int,
        edges: Callable[[int], list[Pipe]],
        end: Callable[[Pipe], int],
        within_s: float,
        slowest: Slowest,
    ) -> dict[int, float]:
        times: dict[int, float] = {}
        waiting = [(0.0, start)]
        while waiting:
            time, node = heapq.heappop(waiting)
            if node in times:
                continue
            times[node] = time
            for pipe in edges(node):
                reached = time + travel_time_s(bore(pipe), slowest.of(pipe.kind))
                if end(pipe) not in times and reached <= within_s:
                    heapq.heappush(waiting, (reached, end(pipe)))
        return times


def load(connection: Connection) -> DrainageGraph:
    """The graph as the ledger has it now."""
    return DrainageGraph(*load_pipes(connection))


def version(connection: Connection) -> Version:
    """Ask before `load`, and again every few seconds: a graph is good as long as this is the same."""
    return ledger_version(connection)


def outfalls(graph: DrainageGraph) -> dict[int, int]:
    """For each node the outfall to which its water comes: of several the one that it reaches first. An outfall is where
    no pipe leads on; a part of the network that only goes in a circle has none, and its nodes are not in the answer."""
    times: dict[int, float] = {}
    belongs: dict[int, int] = {}
    waiting = [(0.0, node, node) for node in graph.digraph if not graph.outgoing(node)]
    heapq.heapify(waiting)
    while waiting:
        time, node, outfall = heapq.heappop(waiting)
        if node in times:
            continue
        times[node], belongs[node] = time, outfall
        for pipe in graph.incoming(node):
            if pipe.from_asset not in times:
                heapq.heappush(
                    waiting, (time + travel_time_s(bore(pipe), SLOWEST.of(pipe.kind)), pipe.from_asset, outfall)
                )
    return belongs


def catchments(graph: DrainageGraph) -> dict[int, str]:
    """For each node the name of its catchment (汇水区): that of its outfall, with the outfall's code where the name
    alone does not say which. Nodes that reach no outfall are not in the answer."""
    belongs = outfalls(graph)
    names = _catchment_names(graph.nodes, set(belongs.values()))
    return {node: names[outfall] for node, outfall in belongs.items()}


def _catchment_names(nodes: Mapping[int, Node], ends: set[int]) -> dict[int, str]:
    called: dict[str, int] = {}
    for key in ends:
        called[nodes[key].name] = called.get(nodes[key].name, 0) + 1
    return {
        key: f"{node.name}汇水区" if called[node.name] == 1 else f"{node.name}（{node.asset_code}）汇水区"
        for key in ends
        for node in (nodes[key],)
    }
