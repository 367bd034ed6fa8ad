"""Held up: whether a blocked pipe is seen to be blocked. A pipe through which everything passes all the same is no
hazard yet; one that holds the water back is.

The heads at its two ends are compared with what a sound pipe of its size would need for the flow that still passes it:
steady flow by Manning's formula, as sewers are designed. This is the truth's own reckoning, from the true flow of the
pipe itself, which no device measures.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from simulators.faults.struck import Blockage, Struck
from simulators.hydraulics.hydrographs import Hydrographs
from simulators.network.city import NetworkCity
from simulators.network.model import Link, Network, WaterKind
from simulators.score.excursions import Mask, Values, longest_s, runs
from simulators.score.limits import BlockageLimits
from simulators.score.sight import Sight, water_field
from simulators.score.thing import Thing

_GRAVITY_M_S2 = 9.81
_FULLEST = 0.938
_FILLS = 200


class HeldUp:
    """Every blockage of a run, with what it did to the water."""

    def __init__(
        self, city: NetworkCity, network: Network, hydrographs: Hydrographs, sight: Sight, limits: BlockageLimits
    ) -> None:
        self._city = city
        self._network = network
        self._hydrographs = hydrographs
        self._sight = sight
        self._limits = limits
        self._node = {name: column for column, name in enumerate(hydrographs.nodes)}
        self._link = {name: column for column, name in enumerate(hydrographs.links)}
        self._into: Mapping[str, list[Link]] = _by(network, "to_node")
        self._out_of: Mapping[str, list[Link]] = _by(network, "from_node")

    def happened(self, struck: Struck) -> Iterator[Thing]:
        for blockage in struck.blockages:
            link = self._network.links[blockage.link]
            held = self._held(link, blockage)
            stretches = runs(held)
            if not stretches:
                yield self._thing(blockage, blockage.begins_s, blockage.until_s, None, None, severity=0, watched=False)
                continue
            step_s = self._hydrographs.step_s
            begins_s = stretches[0][0] * step_s
            until_s = blockage.until_s if stretches[-1][1] == len(held) - 1 else stretches[-1][1] * step_s
            excess_m = np.where(held, self.excess_m(link), 0.0)
            top = int(np.argmax(excess_m))
            told = longest_s(held, step_s) >= self._limits.lasts_s
            yield self._thing(
                blockage,
                begins_s,
                until_s,
                float(excess_m[top]),
                top * step_s,
                severity=self._limits.worth if told else 0,
                watched=self._watched(link, top, begins_s, self._sight.until(until_s)),
            )

    def excess_m(self, link: Link) -> Values:
        """How much higher the water stands above a pipe than a sound one would need for what passes it."""
        head_up, head_down = self._head(link.from_node), self._head(link.to_node)
        diameter, length = link.diameter_m, max(link.length_m, 1.0)
        if diameter <= 0:
            return np.full(len(head_up), -np.inf)
        roughness = link.roughness if link.roughness > 0 else self._limits.roughness_unknown
        flow = np.abs(self._hydrographs.flow_m3_s[:, self._link[link.name]].astype(np.float64))
        area = np.pi * diameter**2 / 4
        friction = (roughness * flow / (area * (diameter / 4) ** (2 / 3))) ** 2 * length
        manhole = self._limits.manhole_loss * (flow / area) ** 2 / (2 * _GRAVITY_M_S2)
        # What the water below asks of it, or, where that is low, how deep such a flow runs in it by itself.
        backwater = np.maximum(head_down, link.down_m) + friction
        by_itself = link.up_m + normal_fill(flow, diameter, (link.up_m - link.down_m) / length, roughness) * diameter
        return np.asarray(head_up - np.maximum(backwater, by_itself) - manhole)

    def _held(self, link: Link, blockage: Blockage) -> Mask:
        """High above it, and more than it should be, while it is blocked."""
        at_s = np.arange(len(self._hydrographs.depth_m)) * self._hydrographs.step_s
        blocked = (at_s >= blockage.begins_s) & (at_s < blockage.until_s)
        high = self._head(link.from_node) >= link.up_m + self._limits.high[self._carries(link)] * link.diameter_m
        return np.asarray(blocked & high & (self.excess_m(link) >= self._limits.excess_m))

    def _watched(self, link: Link, step: int, begins_s: float, ends_s: float | None) -> bool:
        """A gauge in the pool above it, when that was highest, and one somewhere below."""

        def fit(node: str) -> bool:
            gauges = self._sight.gauges_at.get(node, ())
            return any(self._sight.could_see(site, water_field(site), begins_s, ends_s) for site in gauges)

        return any(map(fit, self._pool(link, step))) and any(map(fit, self._below(link)))

    def _pool(self, link: Link, step: int) -> Iterator[str]:
        """Nodes above a pipe at which the water that it holds up stands high."""
        head_m = float(self._head(link.from_node)[step]) + self._limits.pool_m
        waiting, seen = deque([link.from_node]), {link.from_node}
        while waiting:
            node = waiting.popleft()
            yield node
            for above in self._into.get(node, ()):
                high_m = above.up_m + self._limits.high[self._carries(above)] * above.diameter_m
                if above.from_node not in seen and head_m >= high_m:
                    seen.add(above.from_node)
                    waiting.append(above.from_node)

    def _below(self, link: Link) -> Iterator[str]:
        waiting, seen = deque([link.to_node]), {link.to_node}
        while waiting:
            node = waiting.popleft()
            yield node
            for below in self._out_of.get(node, ()):
                if below.to_node not in seen:
                    seen.add(below.to_node)
                    waiting.append(below.to_node)

    def _head(self, node: str) -> Values:
        """Metres above the network's datum."""
        depth = self._hydrographs.depth_m[:, self._node[node]].astype(np.float64)
        return np.asarray(depth + self._network.nodes[node].invert_m)

    def _carries(self, link: Link) -> WaterKind:
        return self._network.carries(link.name)

    def _thing(
        self,
        blockage: Blockage,
        begins_s: float,
        until_s: float,
        peak: float | None,
        peak_s: float | None,
        *,
        severity: int,
        watched: bool,
    ) -> Thing:
        return Thing(
            "blockage",
            begins_s,
            self._sight.until(until_s),
            peak,
            peak_s,
            severity,
            pipe_id=blockage.pipe_id,
            node=self._network.links[blockage.link].from_node,
            watched=watched,
        )


def normal_fill(flow: Values, diameter_m: float, slope: float, roughness: float) -> Values:
    """How full a flow runs by gravity alone; 1 where it is more than the pipe carries so, or the pipe does not fall."""
    if slope <= 0:
        return np.where(flow > 0, 1.0, 0.0)
    full = np.pi * diameter_m**2 / 4 * (diameter_m / 4) ** (2 / 3) * np.sqrt(slope) / roughness
    fills, shares = _carried()
    return np.asarray(np.interp(flow / full, shares, fills, right=1.0))


@cache
def _carried() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fills of a circular pipe and the share of its full flow that runs at each, on the rising branch."""
    fills = np.linspace(0, _FULLEST, _FILLS)
    angle = 2 * np.arccos(1 - 2 * fills)
    area = (angle - np.sin(angle)) / (2 * np.pi)
    radius = np.divide(angle - np.sin(angle), angle, out=np.zeros_like(angle), where=angle > 0)
    return fills, area * radius ** (2 / 3)


def _by(network: Network, end: str) -> dict[str, list[Link]]:
    """Conduits by one of their ends."""
    links: dict[str, list[Link]] = defaultdict(list)
    for link in network.links.values():
        if link.kind == "conduit":
            links[getattr(link, end)].append(link)
    return links
