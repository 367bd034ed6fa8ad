"""The pipes of the ledger as they are kept: edges between assets. Read by its own checks, by the engine and the API."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

RIM_ATTRIBUTES = ("rim_level_m", "ground_level_m", "井口标高", "井盖标高", "井面标高", "地面标高", "地面高程")
"""Under which of an asset's attributes the height of its rim stands, metres above the datum of the inverts; the first
that is there counts. They are columns of the asset's ledger that are none of its own (docs/ledger.md)."""

GAUGE_ZERO_ATTRIBUTES = ("gauge_zero_m", "测点零点标高", "探头零点标高")
"""Likewise, the height from which its level gauge measures, where that is not the invert."""

OUTFALL_TAG = "outfall"
"""A tag on an asset at which a network may end, whatever its kind."""

MANHOLE_KINDS = frozenset({"0101", "0102", "0103", "0104", "0114", "0127", "0130"})
"""Covers and inlets (GB/T 30428.2-2013): water does not leave the network there."""

_METRES = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:m|米)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pipe:
    """管段: an edge. `from_asset` is its upper end, as the ledger says. `roughness` None: as pipes in general."""

    pipe_key: int
    pipe_id: str
    from_asset: int
    to_asset: int
    kind: str
    diameter_mm: float
    length_m: float
    invert_up_m: float
    invert_down_m: float
    roughness: float | None = None

    @property
    def slope(self) -> float:
        """Fall per length; below 0 where it rises (倒坡)."""
        return (self.invert_up_m - self.invert_down_m) / self.length_m


@dataclass(frozen=True, slots=True)
class Node:
    """An asset at which pipes end. `rim_m` and `gauge_zero_m` are None where its ledger does not say them."""

    asset_key: int
    asset_code: str
    kind: str = ""
    name: str = ""
    area_code: str = ""
    lon: float | None = None
    lat: float | None = None
    rim_m: float | None = None
    gauge_zero_m: float | None = None
    tags: tuple[str, ...] = ()

    @property
    def may_be_outfall(self) -> bool:
        """Whether a network may end here: at a pump station, a works, an outlet; not at a manhole."""
        return self.kind not in MANHOLE_KINDS or OUTFALL_TAG in self.tags


@dataclass(frozen=True, slots=True)
class Version:
    """When the ledger's pipes, or their ends, were last changed, and how many there are: the same, nothing changed."""

    pipes: int
    changed: str


def metres(attributes: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    """The height that an asset's attributes give under the first of `names` that is there. None: it says none, or
    something that is no number of metres."""
    for name in names:
        if name in attributes:
            found = _METRES.fullmatch(unicodedata.normalize("NFKC", str(attributes[name])).strip())
            return float(found[1]) if found else None
    return None


def load_pipes(connection: Connection) -> tuple[list[Pipe], list[Node]]:
    """Every pipe, and every asset at which one ends."""
    pipes = [Pipe(*row) for row in connection.execute(statement("pipes.pipes"))]
    nodes = []
    for *said, attributes, tags in connection.execute(statement("pipes.nodes")):
        asset_key, asset_code, kind, name, area_code, lon, lat = said
        rim_m, zero_m = metres(attributes, RIM_ATTRIBUTES), metres(attributes, GAUGE_ZERO_ATTRIBUTES)
        nodes.append(Node(asset_key, asset_code, kind, name, area_code, lon, lat, rim_m, zero_m, tuple(tags)))
    return pipes, nodes


def ledger_version(connection: Connection) -> Version:
    """Cheap enough to ask every few seconds: whoever keeps the pipes in memory reads them again when it differs."""
    row = connection.execute(statement("pipes.version")).fetchone() or (0, None)
    return Version(row[0], str(row[1]))
