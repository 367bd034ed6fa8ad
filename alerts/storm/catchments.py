"""Catchments: which alarms belong together in a storm.

An asset that is a node of the pipe network belongs to the outfall that it drains to; one that stands near a node, with
it; any other to its street, or its district where no street is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from alerts.drainage.graph import catchments, load, outfalls, version
from underfoot.ledger.pipes import Version
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_METRES_PER_DEGREE = 111_195.0


@dataclass(frozen=True, slots=True)
class Catchment:
    """`key` stays the same as long as the network does; `name` is what people read. `network`: it is an outfall's."""

    key: str
    name: str
    network: bool


@dataclass(frozen=True, slots=True)
class Located:
    """Where an alarm is, as far as the ledger knows."""

    asset_key: int | None
    area_code: str
    lon: float | None
    lat: float | None


class Network:
    """The pipe network as storms see it: each node's catchment, and where the nodes are."""

    def __init__(self, of_node: Mapping[int, Catchment], placed: Iterable[tuple[int, float, float]] = ()) -> None:
        self._of_node = of_node
        near = [(node, lon, lat) for node, lon, lat in placed if node in of_node]
        self._nodes = [node for node, _, _ in near]
        self._lon = np.array([lon for _, lon, _ in near])
        self._lat = np.array([lat for _, _, lat in near])

    def of(self, where: Located, nearest_m: float) -> Catchment | None:
        """The catchment of a node, or of the nearest node within so far; None: nothing of the network is near."""
        if where.asset_key is not None and where.asset_key in self._of_node:
            return self._of_node[where.asset_key]
        if where.lon is None or where.lat is None or not self._nodes:
            return None
        north = (self._lat - where.lat) * _METRES_PER_DEGREE
        east = (self._lon - where.lon) * _METRES_PER_DEGREE * np.cos(np.radians(where.lat))
        square = north**2 + east**2
        first = int(np.argmin(square))
        return self._of_node[self._nodes[first]] if square[first] <= nearest_m**2 else None


def catchment_of(where: Located, network: Network, areas: Mapping[str, str], nearest_m: float) -> Catchment:
    """`areas`: the names of streets and districts, by code."""
    found = network.of(where, nearest_m)
    if found is not None:
        return found
    street = where.area_code[:9]
    code = street if street in areas else where.area_code
    return Catchment(f"area:{code}", areas.get(code, code), network=False)


_known: WeakKeyDictionary[Connection, tuple[Version, Network]] = WeakKeyDictionary()
"""By connection: the network as it was when it was last read. A storm asks at each tick; pipes rarely change."""


def network_now(connection: Connection) -> Network:
    newest = version(connection)
    known = _known.get(connection)
    if known is None or known[0] != newest:
        graph = load(connection)
        names = catchments(graph)
        of_node = {
            node: Catchment(f"outfall:{outfall}", names[node], network=True)
            for node, outfall in outfalls(graph).items()
        }
        placed = [
            (node, place.lon, place.lat)
            for node, place in graph.nodes.items()
            if place.lon is not None and place.lat is not None
        ]
        known = _known[connection] = (newest, Network(of_node, placed))
    return known[1]


def names_of(connection: Connection, area_codes: Iterable[str]) -> dict[str, str]:
    """The names of these areas and of the streets that they lie in."""
    codes = sorted({part for code in area_codes for part in (code, code[:9])})
    return dict(connection.execute(statement("storm.area_names"), {"codes": codes}).fetchall())
