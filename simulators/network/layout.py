"""Where the nodes of a network lie, in metres to the east and north of its middle, and on the earth.

Coordinates of the file are taken in whatever unit they are: how long its conduits are says it. Nodes without
coordinates are laid out from those that have some, or all as trees from where the water leaves, each sewer as long as
it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

import networkx as nx

from simulators.network.mapping import Mapping
from simulators.network.model import Network, Node
from simulators.streets import DISTRICTS, METRES_PER_DEGREE_LAT

Place = tuple[float, float]

APART_M = 3.0
"""Nodes do not lie closer than manholes can."""

UNKNOWN_LENGTH_M = 20.0
"""Of a pump, an orifice or a weir: its two ends lie in one building."""

_FOOT_M = 0.3048
_NEAR = 0.12
_DEGREES_FROM, _DEGREES_TO = 4e4, 1.5e5
_BESIDE_M = 60.0
_WIDEST_TURN = math.radians(150)


@dataclass(frozen=True)
class Layout:
    """`places`: of nodes and `gages`: of those that the file shows, in metres from `lon`, `lat`."""

    lon: float
    lat: float
    places: dict[str, Place]
    gages: dict[str, Place]

    def lon_lat(self, place: Place) -> tuple[float, float]:
        return (
            self.lon + place[0] / metres_per_degree_lon(self.lat),
            self.lat + place[1] / METRES_PER_DEGREE_LAT,
        )

    def place(self, lon: float, lat: float) -> Place:
        return (
            (lon - self.lon) * metres_per_degree_lon(self.lat),
            (lat - self.lat) * METRES_PER_DEGREE_LAT,
        )


def metres_per_degree_lon(lat: float) -> float:
    return METRES_PER_DEGREE_LAT * math.cos(math.radians(lat))


def lay_out(network: Network, mapping: Mapping) -> Layout:
    """The places of all nodes. The same network gives the same places."""
    scale = _Scale.of(network, mapping)
    known = {name: scale.metres(node.x, node.y) for name, node in network.nodes.items() if _placed(node)}
    places = _completed(network, known)
    gages = {name: scale.metres(x, y) for name, (x, y) in network.gage_places.items()}
    middle, lon, lat = _middle(network, mapping, scale, places)
    moved = {name: (x - middle[0], y - middle[1]) for name, (x, y) in places.items()}
    layout = Layout(lon, lat, moved, {name: (x - middle[0], y - middle[1]) for name, (x, y) in gages.items()})
    for name, said in mapping.nodes.items():
        if said.lon is not None and said.lat is not None:
            moved[name] = layout.place(said.lon, said.lat)
    return layout


def _placed(node: Node) -> bool:
    return node.x is not None and node.y is not None


def _middle(network: Network, mapping: Mapping, scale: _Scale, places: dict[str, Place]) -> tuple[Place, float, float]:
    """Which of the metres so far is the middle, and where that lies on the earth."""
    if scale.degrees and not (mapping.origin or mapping.centre):
        lon, lat = scale.lon_lat
        if 73 <= lon <= 136 and 3 <= lat <= 54:
            return (0.0, 0.0), lon, lat
    origin = mapping.origin
    centre = mapping.centre
    lon = centre.lon if centre else DISTRICTS[0].lon
    lat = centre.lat if centre else DISTRICTS[0].lat
    if origin is not None:
        at = scale.metres(origin.x, origin.y)
        if origin.lon is not None and origin.lat is not None:
            return at, origin.lon, origin.lat
        return at, lon, lat
    xs = [x for x, _ in places.values()]
    ys = [y for _, y in places.values()]
    return ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2), lon, lat


# the file's own coordinates -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scale:
    """The file's coordinates → metres. `lon_lat`: where 0, 0 lies, if they are degrees."""

    per_x: float
    per_y: float
    lon_lat: tuple[float, float] = (0.0, 0.0)
    degrees: bool = False

    def metres(self, x: float | None, y: float | None) -> Place:
        return (((x or 0.0) - self.lon_lat[0]) * self.per_x, ((y or 0.0) - self.lon_lat[1]) * self.per_y)

    @classmethod
    def of(cls, network: Network, mapping: Mapping) -> _Scale:
        if mapping.metres_per_unit is not None:
            return cls(mapping.metres_per_unit, mapping.metres_per_unit)
        ratio = _metres_by_unit(network)
        if _DEGREES_FROM <= ratio <= _DEGREES_TO:
            found = [node for node in network.nodes.values() if _placed(node)]
            lon = median(node.x or 0.0 for node in found)
            lat = median(node.y or 0.0 for node in found)
            return cls(metres_per_degree_lon(lat), METRES_PER_DEGREE_LAT, (lon, lat), degrees=True)
        for usual in (1.0, _FOOT_M):
            if abs(ratio / usual - 1) < _NEAR:
                return cls(usual, usual)
        return cls(ratio, ratio)


def _metres_by_unit(network: Network) -> float:
    """How many metres a unit of the coordinates is, as most conduits have it."""
    ratios = []
    for link in network.links.values():
        one, other = network.nodes[link.from_node], network.nodes[link.to_node]
        if link.kind == "conduit" and _placed(one) and _placed(other):
            apart = math.dist((one.x or 0.0, one.y or 0.0), (other.x or 0.0, other.y or 0.0))
            if apart > 0:
                ratios.append(link.length_m / apart)
    return median(ratios) if ratios else 1.0


# nodes without coordinates --------------------------------------------------------------------------------------------


def _graph(network: Network) -> nx.Graph[str]:
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(network.nodes)
    for link in network.links.values():
        length = link.length_m or UNKNOWN_LENGTH_M
        known = graph.get_edge_data(link.from_node, link.to_node, {"length": math.inf})["length"]
        graph.add_edge(link.from_node, link.to_node, length=min(length, known))
    return graph


def _completed(network: Network, known: dict[str, Place]) -> dict[str, Place]:
    if len(known) == len(network.nodes):
        return known
    graph = _graph(network)
    places = dict(known)
    right = max((x for x, _ in known.values()), default=-_BESIDE_M) + _BESIDE_M
    for part in sorted(nx.connected_components(graph), key=min):
        if any(name in known for name in part):
            _grow_from_known(graph, part, places)
            continue
        tree = _as_tree(network, graph.subgraph(part))
        left = min(x for x, _ in tree.values())
        bottom = min(y for _, y in tree.values())
        places |= {name: (x - left + right, y - bottom) for name, (x, y) in tree.items()}
        right = max(x for x, _ in (places[name] for name in part)) + _BESIDE_M
    _set_apart(places, [name for name in network.nodes if name not in known])
    return {name: places[name] for name in network.nodes}


def _grow_from_known(graph: nx.Graph[str], part: Iterable[str], places: dict[str, Place]) -> None:
    """From each node that has a place outwards: a node between several lies between them, by its sewers' lengths; one
    beyond a single one lies as far as its sewer is long, away from that one's other neighbours."""
    waiting = deque(sorted(name for name in part if name in places))
    while waiting:
        here = waiting.popleft()
        for name in sorted(graph.neighbors(here)):
            if name in places:
                continue
            around = [
                (places[other], graph.edges[name, other]["length"])
                for other in graph.neighbors(name)
                if other in places
            ]
            if len(around) > 1:
                weights = [1 / max(length, 1.0) for _, length in around]
                places[name] = (
                    sum(place[0] * weight for (place, _), weight in zip(around, weights, strict=True)) / sum(weights),
                    sum(place[1] * weight for (place, _), weight in zip(around, weights, strict=True)) / sum(weights),
                )
            else:
                places[name] = _away(graph, here, name, places)
            waiting.append(name)


def _away(graph: nx.Graph[str], here: str, name: str, places: dict[str, Place]) -> Place:
    x, y = places[here]
    turned = sorted(
        math.atan2(places[other][1] - y, places[other][0] - x) for other in graph.neighbors(here) if other in places
    )
    way = 0.0
    if turned:
        gaps = [
            (after - before, before) for before, after in zip(turned, [*turned[1:], turned[0] + math.tau], strict=True)
        ]
        wide, begins = max(gaps)
        way = begins + wide / 2
    length = graph.edges[here, name]["length"]
    return x + length * math.cos(way), y + length * math.sin(way)


def _as_tree(network: Network, graph: nx.Graph[str]) -> dict[str, Place]:
    """From where the water leaves, each branch in a wedge of its own that is the wider, the more it bears. What lies in
    a wedge stays in it, since every sewer points into it: branches neither cross nor meet."""
    root = min(graph, key=lambda name: (network.nodes[name].kind != "outfall", network.nodes[name].invert_m, name))
    lengths = nx.single_source_dijkstra_path(graph, root, weight="length")
    children: dict[str, list[str]] = {name: [] for name in graph}
    for name, way in sorted(lengths.items(), key=lambda item: (len(item[1]), item[0])):
        if len(way) > 1:
            children[way[-2]].append(name)
    leaves: dict[str, int] = {}
    for name in sorted(lengths, key=lambda name: (-len(lengths[name]), name)):
        leaves[name] = sum(leaves[child] for child in children[name]) or 1
    places: dict[str, Place] = {root: (0.0, 0.0)}
    wedges = {root: (math.pi / 2 - _WIDEST_TURN / 2, math.pi / 2 + _WIDEST_TURN / 2)}
    waiting = deque([root])
    while waiting:
        here = waiting.popleft()
        begins, ends = wedges[here]
        wide = (ends - begins) / leaves[here] if children[here] else 0.0
        for child in sorted(children[here], key=lambda name: (-leaves[name], name)):
            wedges[child] = (begins, begins + wide * leaves[child])
            begins = wedges[child][1]
            towards = sum(wedges[child]) / 2
            length = graph.edges[here, child]["length"]
            x, y = places[here]
            places[child] = (x + length * math.cos(towards), y + length * math.sin(towards))
            waiting.append(child)
    return places


def _set_apart(places: dict[str, Place], movable: list[str]) -> None:
    """Move those that lie upon others, each a little further out on a spiral until there is room."""
    taken: dict[tuple[int, int], list[Place]] = {}
    free = set(movable)
    for name, place in places.items():
        if name not in free:
            taken.setdefault(_cell(place), []).append(place)
    for name in movable:
        x, y = places[name]
        turn = 0
        place = (x, y)
        while any(math.dist(place, other) < APART_M for other in _around(taken, place)):
            turn += 1
            far = APART_M * math.sqrt(turn)
            place = (x + far * math.cos(turn * 2.4), y + far * math.sin(turn * 2.4))
        places[name] = place
        taken.setdefault(_cell(place), []).append(place)


def _cell(place: Place) -> tuple[int, int]:
    return math.floor(place[0] / APART_M), math.floor(place[1] / APART_M)


def _around(taken: dict[tuple[int, int], list[Place]], place: Place) -> Iterable[Place]:
    column, row = _cell(place)
    for right in (-1, 0, 1):
        for up in (-1, 0, 1):
            yield from taken.get((column + right, row + up), ())
