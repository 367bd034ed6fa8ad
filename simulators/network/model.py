"""A drainage network as an EPA SWMM file says it: what hydraulics run on, and what a city is laid out from.

Elevations are metres above the file's datum, lengths and diameters metres, whatever units the file has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

NodeKind = Literal["junction", "outfall", "storage", "divider"]
LinkKind = Literal["conduit", "pump", "orifice", "weir", "outlet"]
WaterKind = Literal["foul", "storm"]


class NetworkError(ValueError):
    """A network cannot be read, laid out or made: says where (file, line, section, element), which value, and why."""


@dataclass(frozen=True, slots=True)
class Node:
    """`max_depth_m` is from the invert to the rim; `x`, `y` are the file's own, None where it has none."""

    name: str
    kind: NodeKind
    invert_m: float
    max_depth_m: float
    surcharge_m: float = 0.0
    ponded_area_m2: float = 0.0
    x: float | None = None
    y: float | None = None

    @property
    def rim_m(self) -> float:
        return self.invert_m + self.max_depth_m


@dataclass(frozen=True, slots=True)
class Link:
    """`diameter_m` is the height of a conduit's section; 0 for what has none. `up_m` and `down_m`: its inverts."""

    name: str
    kind: LinkKind
    from_node: str
    to_node: str
    length_m: float = 0.0
    diameter_m: float = 0.0
    up_m: float = 0.0
    down_m: float = 0.0
    roughness: float = 0.013


@dataclass(frozen=True, slots=True)
class Subcatchment:
    """`area_ha` in hectares, `imperv_pct` in per cent; `outlet` is a node or another subcatchment."""

    name: str
    gage: str
    outlet: str
    area_ha: float
    imperv_pct: float


@dataclass(frozen=True)
class Network:
    """`water`: what a node or link carries, by name; what is not named carries storm water. Streets, low points and
    the like come from the mapping file or the generator. `gage_places`: of the gages that the file shows on its map, in
    its own coordinates, as `x` and `y` of nodes are."""

    name: str
    nodes: dict[str, Node]
    links: dict[str, Link]
    gages: tuple[str, ...]
    subcatchments: dict[str, Subcatchment]
    water: dict[str, WaterKind] = field(default_factory=dict)
    gage_places: dict[str, tuple[float, float]] = field(default_factory=dict)

    def carries(self, name: str) -> WaterKind:
        return self.water.get(name, "storm")
