"""Which links of a network are pipes of the ledger, and which way their water runs: a graph without a circle in which
water reaches an end from everywhere, as the ledger's import wants it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace

import networkx as nx

from simulators.network.layout import Place
from simulators.network.model import Link, Network, WaterKind
from underfoot.ledger.pipe_row import RANGES

_PIPE_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_LEAST_LENGTH_M = 1.0


@dataclass(frozen=True, slots=True)
class Drain:
    """A link as the ledger has it: from its upper to its lower end."""

    pipe_id: str
    link: Link
    water: WaterKind

    @property
    def upper(self) -> str:
        return self.link.from_node

    @property
    def lower(self) -> str:
        return self.link.to_node


@dataclass(frozen=True)
class Drains:
    """`left_out`: links that are no pipes of the ledger, and why."""

    all: tuple[Drain, ...]
    left_out: dict[str, str]

    def outlets(self) -> dict[str, Drain]:
        """By node the pipe by which its water leaves: of several the one that begins lowest, then the widest, as the
        engine's graph has it; at an end, that by which most comes."""
        outgoing: dict[str, list[Drain]] = defaultdict(list)
        incoming: dict[str, list[Drain]] = defaultdict(list)
        for drain in self.all:
            outgoing[drain.upper].append(drain)
            incoming[drain.lower].append(drain)
        found = {
            node: max(drains, key=lambda each: (each.link.diameter_m, -each.link.down_m))
            for node, drains in incoming.items()
        }
        found |= {
            node: min(drains, key=lambda each: (each.link.up_m, -each.link.diameter_m))
            for node, drains in outgoing.items()
        }
        return found

    def ends(self) -> frozenset[str]:
        """Nodes at which pipes end and none begins."""
        return frozenset(drain.lower for drain in self.all) - {drain.upper for drain in self.all}


def drains_of(network: Network, places: dict[str, Place]) -> Drains:
    """A pump ends a part of the network: its station is where that part drains to. An
    orifice, a weir or an outlet is a pipe only where nothing else leads on."""
    left_out = {
        link.name: "pumps: their station is where pipes end" for link in network.links.values() if link.kind == "pump"
    }
    links = [link for link in network.links.values() if link.kind == "conduit"]
    begins = {link.from_node for link in network.links.values() if link.kind in ("conduit", "pump")}
    for link in network.links.values():
        if link.kind in ("orifice", "weir", "outlet"):
            if link.from_node in begins:
                left_out[link.name] = f"{link.kind}s beside what leads on"
            else:
                begins.add(link.from_node)
                links.append(_as_pipe(network, link, places))
    links = _turned(network, links)
    links = _without_circles(network, links, left_out)
    ids = _pipe_ids(links)
    return Drains(tuple(Drain(ids[link.name], link, network.carries(link.name)) for link in links), left_out)


def _as_pipe(network: Network, link: Link, places: dict[str, Place]) -> Link:
    """An opening between two chambers: as long as they lie apart."""
    (x, y), (to_x, to_y) = places[link.from_node], places[link.to_node]
    down_m = min(link.down_m, link.up_m)
    length_m = max(((x - to_x) ** 2 + (y - to_y) ** 2) ** 0.5, link.up_m - down_m, _LEAST_LENGTH_M)
    least_m, _, _ = RANGES["diameter_mm"]
    return replace(link, length_m=length_m, diameter_m=max(link.diameter_m, least_m / 1000), down_m=down_m)


def _turned(network: Network, links: list[Link]) -> list[Link]:
    """A conduit that was drawn against its fall is turned, where water would reach no end otherwise."""
    ends = {node.name for node in network.nodes.values() if node.kind == "outfall"}
    ends |= {link.from_node for link in network.links.values() if link.kind == "pump"}
    begun = {link.from_node for link in links}
    ends |= {link.to_node for link in links if link.to_node not in begun and link.up_m >= link.down_m}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(network.nodes)
    graph.add_edges_from((link.to_node, link.from_node) for link in links)
    reached = {node for end in sorted(ends) if end in graph for node in (end, *nx.descendants(graph, end))}
    turned = list(links)
    changed = True
    while changed:
        changed = False
        for place, link in enumerate(turned):
            if link.down_m > link.up_m and link.to_node not in reached and link.from_node in reached:
                turned[place] = replace(
                    link, from_node=link.to_node, to_node=link.from_node, up_m=link.down_m, down_m=link.up_m
                )
                graph.add_edge(link.from_node, link.to_node)
                reached |= {link.to_node, *nx.descendants(graph, link.to_node)}
                changed = True
    return turned


def _without_circles(network: Network, links: list[Link], left_out: dict[str, str]) -> list[Link]:
    """Where water could flow in a circle, the link that begins highest above its node leaves the ledger."""
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    kept = {link.name: link for link in links}
    for link in links:
        graph.add_edge(link.from_node, link.to_node, key=link.name)
    for part in [set(each) for each in nx.strongly_connected_components(graph) if len(each) > 1]:
        inner: nx.MultiDiGraph[str] = nx.MultiDiGraph(graph.subgraph(part))
        while True:
            try:
                circle = nx.find_cycle(inner)
            except nx.NetworkXNoCycle:
                break
            names = [name for upper, lower, _ in circle for name in inner[upper][lower]]
            out = max(
                (kept[name] for name in names),
                key=lambda link: (
                    round(link.up_m - network.nodes[link.from_node].invert_m, 3),
                    round(link.down_m - link.up_m, 3),
                    -link.diameter_m,
                    link.name,
                ),
            )
            inner.remove_edge(out.from_node, out.to_node, key=out.name)
            left_out[out.name] = "water would flow in a circle through it"
            del kept[out.name]
    return list(kept.values())


def _pipe_ids(links: list[Link]) -> dict[str, str]:
    """A pipe is known by its link's name, or by a number where the ledger does not take that name."""
    taken = {link.name for link in links}
    ids: dict[str, str] = {}
    number = 0
    for link in links:
        chosen = link.name
        if not _PIPE_ID.fullmatch(chosen):
            number += 1
            chosen = f"pipe-{number:04d}"
            while chosen in taken:
                number += 1
                chosen = f"pipe-{number:04d}"
            taken.add(chosen)
        ids[link.name] = chosen
    return ids
