"""Looks over the whole network of pipes for what no single row shows: gaps, circles, parts that lead nowhere. Pure.

Used by the import, which tells what its own pipes bring about, and by `underfoot pipes check`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import networkx as nx

from underfoot.ledger.pipes import Node, Pipe

STEP_UP_M = 0.05
"""By how much a pipe may begin above the end of the one before it: what levelling is good to."""

DROP_M = 2.0
"""A fall beyond this inside a manhole needs a drop manhole (GB 50014, 跌水井; from memory); else a level is wrong."""

SHORTER_THAN_STRAIGHT = 0.9
LONGER_THAN_STRAIGHT = 3.0
PLACES_GOOD_TO_M = 20.0
"""A pipe's length against the distance of its ends' coordinates, which are good to some metres each."""

NAMED_AT_MOST = 12

_EARTH_RADIUS_M = 6_371_000.0
_KINDS = {"foul": "污水", "storm": "雨水"}

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """`pipes` are pipe_ids and `assets` asset codes that it is about, the one to look at first in front."""

    check: str
    severity: Severity
    pipes: tuple[str, ...]
    assets: tuple[str, ...]
    what: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


CHECKS: dict[str, str] = {
    "cycle": "环路",
    "no_fall": "无坡或倒坡",
    "step_up": "下游管底高于上游管底",
    "drop": "管底落差过大",
    "narrowing": "大管接小管",
    "mixed": "雨污混接",
    "twin": "两端相同的管段",
    "no_outfall": "没有出口",
    "detached": "孤立管段",
    "length": "长度与坐标不符",
    "no_place": "部件无坐标",
    "rim": "井口低于管顶",
    "stray_gauge": "测点不在管网上",
}


def network(ends: Iterable[tuple[int, int]]) -> nx.DiGraph[int]:
    """The graph of who flows to whom."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from(ends)
    return graph


def circles(graph: nx.DiGraph[int]) -> Iterator[tuple[set[int], list[int]]]:
    """Parts of the network in which water would flow in a circle: all their nodes, and one circle by its nodes."""
    for part in nx.strongly_connected_components(graph):
        if len(part) > 1:
            yield part, [edge[0] for edge in nx.find_cycle(graph.subgraph(part))]


def shown_circle(codes: Sequence[str]) -> str:
    cut = [*codes[:NAMED_AT_MOST], "…"] if len(codes) > NAMED_AT_MOST else list(codes)
    return " → ".join([*cut, codes[0]])


def check(pipes: Sequence[Pipe], nodes: Iterable[Node]) -> list[Finding]:
    """Everything that is to be seen in the graph, errors first."""
    found = list(_Network(pipes, {node.asset_key: node for node in nodes}).findings())
    order = list(CHECKS)
    return sorted(found, key=lambda finding: (finding.severity, order.index(finding.check), finding.pipes))


class _Network:
    def __init__(self, pipes: Sequence[Pipe], nodes: Mapping[int, Node]) -> None:
        self.pipes = pipes
        self.nodes = nodes
        self.incoming: dict[int, list[Pipe]] = defaultdict(list)
        self.outgoing: dict[int, list[Pipe]] = defaultdict(list)
        for pipe in pipes:
            self.incoming[pipe.to_asset].append(pipe)
            self.outgoing[pipe.from_asset].append(pipe)
        self.graph = network((pipe.from_asset, pipe.to_asset) for pipe in pipes)

    def findings(self) -> Iterator[Finding]:
        yield from self._circles()
        yield from self._falls()
        yield from self._twins()
        for node in self.nodes.values():
            yield from self._levels(node)
            yield from self._place(node)
        yield from self._parts()
        yield from self._lengths()

    def _circles(self) -> Iterator[Finding]:
        for part, circle in circles(self.graph):
            codes = self._codes(circle)
            within = [pipe.pipe_id for pipe in self.pipes if pipe.from_asset in part and pipe.to_asset in part]
            yield Finding(
                "cycle",
                "error",
                tuple(within),
                codes,
                f"水流成环：{shown_circle(codes)} · water would flow in a circle",
            )

    def _falls(self) -> Iterator[Finding]:
        for pipe in self.pipes:
            rises = pipe.invert_down_m - pipe.invert_up_m
            if rises >= 0:
                what = f"倒坡 {rises:.3f} m · it rises by {rises:.3f} m" if rises else "平坡 · it lies flat"
                yield self._about(pipe, "no_fall", f"{what} ({pipe.invert_up_m:g} → {pipe.invert_down_m:g} m)")

    def _twins(self) -> Iterator[Finding]:
        between: dict[tuple[int, int, str], list[Pipe]] = defaultdict(list)
        for pipe in self.pipes:
            between[pipe.from_asset, pipe.to_asset, pipe.kind].append(pipe)
        for (upper, lower, kind), several in between.items():
            if len(several) > 1:
                yield Finding(
                    "twin",
                    "warning",
                    tuple(pipe.pipe_id for pipe in several),
                    self._codes((upper, lower)),
                    f"{len(several)} 条{_KINDS[kind]}管段两端相同：双管，还是重复登记？ ·"
                    f" {len(several)} {kind} pipes have the same ends: side by side, or one entered twice?",
                )

    def _levels(self, node: Node) -> Iterator[Finding]:
        incoming, outgoing = self.incoming[node.asset_key], self.outgoing[node.asset_key]
        kinds = {pipe.kind for pipe in incoming + outgoing}
        if len(kinds) > 1:
            yield Finding(
                "mixed",
                "warning",
                tuple(pipe.pipe_id for pipe in incoming + outgoing),
                (node.asset_code,),
                "污水管与雨水管在此相接 · foul and storm pipes meet here",
            )
        if outgoing:
            lowest = min(outgoing, key=lambda pipe: pipe.invert_up_m)
            widest = max(pipe.diameter_mm for pipe in outgoing)
            for pipe in incoming:
                yield from self._joint(node, pipe, lowest)
                if len(outgoing) == 1 and pipe.diameter_mm > widest:
                    yield Finding(
                        "narrowing",
                        "warning",
                        (lowest.pipe_id, pipe.pipe_id),
                        (node.asset_code,),
                        f"DN{pipe.diameter_mm:g} 接入 DN{widest:g} · a wider pipe runs into a narrower one",
                    )
        if node.rim_m is not None:
            crowns = [(pipe.invert_down_m + pipe.diameter_mm / 1000, pipe) for pipe in incoming]
            crowns += [(pipe.invert_up_m + pipe.diameter_mm / 1000, pipe) for pipe in outgoing]
            crown, highest = max(crowns, key=lambda found: found[0])
            if crown > node.rim_m:
                yield Finding(
                    "rim",
                    "warning",
                    (highest.pipe_id,),
                    (node.asset_code,),
                    f"井口标高 {node.rim_m:g} m 低于管顶 {crown:.2f} m · the rim lies below the pipe's crown",
                )

    def _joint(self, node: Node, above: Pipe, below: Pipe) -> Iterator[Finding]:
        falls = above.invert_down_m - below.invert_up_m
        levels = f"{above.invert_down_m:g} → {below.invert_up_m:g} m"
        if falls < -STEP_UP_M:
            what = f"上游管底低 {-falls:.2f} m，水排不尽 · the next pipe begins {-falls:.2f} m higher ({levels})"
            yield Finding("step_up", "warning", (above.pipe_id, below.pipe_id), (node.asset_code,), what)
        elif falls > DROP_M:
            what = f"管底落差 {falls:.2f} m · the next pipe begins {falls:.2f} m lower ({levels})"
            yield Finding("drop", "warning", (above.pipe_id, below.pipe_id), (node.asset_code,), what)

    def _place(self, node: Node) -> Iterator[Finding]:
        if node.lon is None:
            of = self.incoming[node.asset_key] + self.outgoing[node.asset_key]
            yield Finding(
                "no_place",
                "warning",
                tuple(pipe.pipe_id for pipe in of),
                (node.asset_code,),
                "部件没有坐标，管段无法上图 · the asset has no coordinates: its pipes are on no map",
            )

    def _parts(self) -> Iterator[Finding]:
        part_of: dict[int, int] = {}
        ends: list[list[int]] = []
        for number, part in enumerate(nx.weakly_connected_components(self.graph)):
            part_of.update(dict.fromkeys(part, number))
            ends.append([key for key in part if not self.outgoing[key]])
        members: dict[int, list[Pipe]] = defaultdict(list)
        for pipe in self.pipes:
            members[part_of[pipe.from_asset]].append(pipe)
        for number, pipes in members.items():
            if any(self._may_be_outfall(key) for key in ends[number]):
                continue
            codes = self._codes(sorted(ends[number]))
            at = "、".join(codes[:NAMED_AT_MOST]) or "—"
            if len(pipes) == 1:
                yield self._about(
                    pipes[0], "detached", f"两端不与任何管段相接 · no other pipe meets it (it ends at {at})"
                )
                continue
            yield Finding(
                "no_outfall",
                "warning",
                tuple(pipe.pipe_id for pipe in pipes),
                codes,
                f"{len(pipes)} 条管段终止于检查井 {at}，没有出口 ·"
                f" {len(pipes)} pipes end at manholes: nothing leads on from there",
            )

    def _may_be_outfall(self, key: int) -> bool:
        return key in self.nodes and self.nodes[key].may_be_outfall

    def _lengths(self) -> Iterator[Finding]:
        for pipe in self.pipes:
            straight = _distance_m(self.nodes.get(pipe.from_asset), self.nodes.get(pipe.to_asset))
            if straight is None or abs(straight - pipe.length_m) <= PLACES_GOOD_TO_M:
                continue
            if not straight * SHORTER_THAN_STRAIGHT <= pipe.length_m <= straight * LONGER_THAN_STRAIGHT:
                what = f"长度 {pipe.length_m:g} m，两端坐标相距 {straight:.0f} m · its ends lie {straight:.0f} m apart"
                yield self._about(pipe, "length", what)

    def _about(self, pipe: Pipe, name: str, what: str) -> Finding:
        return Finding(name, "warning", (pipe.pipe_id,), self._codes((pipe.from_asset, pipe.to_asset)), what)

    def _codes(self, keys: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.nodes[key].asset_code if key in self.nodes else str(key) for key in keys)


def _distance_m(one: Node | None, other: Node | None) -> float | None:
    if one is None or other is None:
        return None
    if one.lon is None or one.lat is None or other.lon is None or other.lat is None:
        return None
    north = math.radians(other.lat - one.lat)
    east = math.radians(other.lon - one.lon) * math.cos(math.radians((one.lat + other.lat) / 2))
    return _EARTH_RADIUS_M * math.hypot(north, east)
