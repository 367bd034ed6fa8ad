"""Which pipes of a network can be blocked so that it is seen: where a gauge stands above and one below."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from simulators.network.model import Link, Network
from simulators.site import Site
from simulators.speech import carried

_GAUGE_SAYS = frozenset({"level_m", "fill_ratio"})
_FARTHEST = 6
"""Pipes between the blocked one and a gauge: of one farther away nobody would say that it tells."""
_WIDER_CHOICE = 3
"""Of how many times as many as are wanted the seed chooses, or of a third of all, where there are so many."""


class Told(NamedTuple):
    """A pipe, how many pipes lie between it and the next gauges, and those gauges."""

    link: Link
    between: int
    gauges: tuple[Site, Site]
    drained: float


def told(network: Network, sites: Iterable[Site], water: str | None) -> list[Told]:
    """Conduits with one gauge above and one below, to which rain or sewage comes; nearest gauges and most water first.

    Only where the upper node has no other way out: else the water would go round.
    """
    gauges: dict[str, Site] = {}
    for site in sites:
        if site.device.family == "pipe" and site.node and _GAUGE_SAYS & set(carried(site)):
            gauges.setdefault(site.node, site)
    above: dict[str, list[str]] = defaultdict(list)
    below: dict[str, list[str]] = defaultdict(list)
    for link in network.links.values():
        above[link.to_node].append(link.from_node)
        below[link.from_node].append(link.to_node)
    areas = _areas(network)
    found = []
    for link in network.links.values():
        if link.kind != "conduit" or (water is not None and network.carries(link.name) != water):
            continue
        if len(below[link.from_node]) != 1:
            continue
        upper, lower = _nearest(link.from_node, gauges, above), _nearest(link.to_node, gauges, below)
        drained = _drained(network, link.from_node, above, areas)
        if upper is not None and lower is not None and drained > 0:
            found.append(Told(link, upper[0] + lower[0], (upper[1], lower[1]), drained))
    return sorted(found, key=lambda one: (one.between, -one.drained, one.link.name))


def choose(choice: list[Told], count: int, random: Random) -> list[Told]:
    """`count` of them, if there are as many: with the nearest gauges, and of those with the most water the seed's."""
    if len(choice) <= count:
        return choice
    near = [one for one in choice if one.between <= choice[count - 1].between]
    mains = sorted(near, key=lambda one: (-one.drained, one.link.name))
    return random.sample(mains[: max(count * _WIDER_CHOICE, len(mains) // _WIDER_CHOICE)], count)


def _nearest(start: str, gauges: dict[str, Site], onward: dict[str, list[str]]) -> tuple[int, Site] | None:
    seen, layer = {start}, [start]
    for away in range(_FARTHEST + 1):
        for node in sorted(layer):
            if node in gauges:
                return away, gauges[node]
        layer = sorted({next_ for node in layer for next_ in onward.get(node, ()) if next_ not in seen})
        seen.update(layer)
    return None


def _areas(network: Network) -> dict[str, float]:
    """Hectares that drain to each node, some by way of another subcatchment."""
    areas: dict[str, float] = defaultdict(float)
    for one in network.subcatchments.values():
        outlet, seen = one.outlet, {one.name}
        while outlet in network.subcatchments and outlet not in seen:
            seen.add(outlet)
            outlet = network.subcatchments[outlet].outlet
        areas[outlet] += one.area_ha
    return areas


def _drained(network: Network, node: str, above: dict[str, list[str]], areas: dict[str, float]) -> float:
    """What comes to this node: hectares of rain; of sewage, which houses everywhere send, the nodes above."""
    found, waiting = {node}, [node]
    while waiting:
        for upper in above.get(waiting.pop(), ()):
            if upper not in found:
                found.add(upper)
                waiting.append(upper)
    return float(len(found)) if network.carries(node) == "foul" else sum(areas.get(one, 0.0) for one in found)
