"""Where devices stand that nobody placed: gages amid what they rain on, road gauges at the lowest rims, level gauges at
confluences and along the trunks. First step of `city`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from random import Random

from simulators.network.drains import Drains
from simulators.network.layout import Layout, Place
from simulators.network.mapping import Mapping
from simulators.network.model import Network, Node

LOW_POINT_OF_NODES = 12
"""Where nothing says which nodes lie low: one of so many."""


def gage_places(network: Network, mapping: Mapping, layout: Layout) -> dict[str, Place]:
    """Where the mapping or the file has each gage; else in the middle of what it rains on, or of everything."""
    rained_on: dict[str, list[Place]] = defaultdict(list)
    for subcatchment in network.subcatchments.values():
        outlet, seen = subcatchment.outlet, {subcatchment.name}
        while outlet in network.subcatchments and outlet not in seen:
            seen.add(outlet)
            outlet = network.subcatchments[outlet].outlet
        if outlet in layout.places:
            rained_on[subcatchment.gage].append(layout.places[outlet])
    everywhere = list(layout.places.values())
    found = {}
    for gage in network.gages:
        said = mapping.gages.get(gage)
        if said is not None and said.lon is not None and said.lat is not None:
            found[gage] = layout.place(said.lon, said.lat)
        elif gage in layout.gages:
            found[gage] = layout.gages[gage]
        else:
            found[gage] = _middle(rained_on.get(gage) or everywhere)
    return found


def _middle(places: Sequence[Place]) -> Place:
    return sum(x for x, _ in places) / len(places), sum(y for _, y in places) / len(places)


def lowest_rims(network: Network) -> list[str]:
    """Storm manholes that lie deepest below those around them; those at which the file lets water pond come first."""
    around: dict[str, list[float]] = defaultdict(list)
    for link in network.links.values():
        around[link.from_node].append(network.nodes[link.to_node].rim_m)
        around[link.to_node].append(network.nodes[link.from_node].rim_m)
    found = []
    storm = [
        node for node in network.nodes.values() if node.kind == "junction" and network.carries(node.name) == "storm"
    ]
    for node in storm:
        rims = around[node.name]
        sunk_m = sum(rims) / len(rims) - node.rim_m if rims else 0.0
        found.append((node.ponded_area_m2 > 0, sunk_m, node.name))
    count = max(round(len(storm) / LOW_POINT_OF_NODES), 1) if storm else 0
    return [name for _, _, name in sorted(found, key=lambda each: (not each[0], -each[1], each[2]))[:count]]


def gauged(manholes: Iterable[Node], drains: Drains, share: float, random: Random) -> list[str]:
    """Where level gauges stand: at confluences first, then at every second manhole on the way down, then elsewhere."""
    names = [node.name for node in manholes]
    joined = Counter(drain.lower for drain in drains.all)
    outlets = drains.outlets()
    steps: dict[str, int] = {}

    def below(name: str) -> int:
        way: list[str] = []
        while name not in steps:
            way.append(name)
            drain = outlets.get(name)
            if drain is None or drain.upper != name or drain.lower in way:
                steps[name] = 0
                way.pop()
                break
            name = drain.lower
        for each in reversed(way):
            steps[each] = steps[name] + 1
            name = each
        return steps[name]

    def rank(name: str) -> tuple[int, float]:
        return (0 if joined[name] > 1 else 1 if below(name) % 2 else 2), random.random()

    ranked = sorted(names, key=rank)
    chosen = set(ranked[: round(share * len(names))])
    return [name for name in names if name in chosen]
