"""The mapping file of a network: what its .inp does not say of the city above it, or says wrongly. All may be left out.

Elements are named as in the .inp; where several may be named, `W*` means all that begin so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from simulators.network.model import Network, NetworkError, WaterKind
from underfoot.ledger import cells
from underfoot.ledger.row import LAT_RANGE, LON_RANGE
from underfoot.plain_yaml import Document, YamlError, read_yaml

LARGEST_MAPPING = 16 * 1024 * 1024

Lon = Annotated[float, Field(ge=LON_RANGE[0], le=LON_RANGE[1])]
Lat = Annotated[float, Field(ge=LAT_RANGE[0], le=LAT_RANGE[1])]
AreaCode = Annotated[str, BeforeValidator(lambda said: cells.area_code(str(said)))]
_FOUL: WaterKind = "foul"
_STORM: WaterKind = "storm"

DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Centre(_Strict):
    """Where the middle of the network lies."""

    lon: Lon
    lat: Lat


class Origin(_Strict):
    """A point of the file's own coordinates, and where it lies."""

    x: float = 0.0
    y: float = 0.0
    lon: Lon | None = None
    lat: Lat | None = None

    @model_validator(mode="after")
    def _both(self) -> Origin:
        if (self.lon is None) != (self.lat is None):
            raise ValueError("lon and lat go together")
        return self


class NodeSaid(_Strict):
    name: str = ""
    address: str = ""
    area: AreaCode = ""
    lon: Lon | None = None
    lat: Lat | None = None

    @model_validator(mode="after")
    def _both(self) -> NodeSaid:
        if (self.lon is None) != (self.lat is None):
            raise ValueError("lon and lat go together")
        return self


class LowPoint(_Strict):
    """Where water stands on the road when it comes out of this node: a road gauge is there."""

    name: str = ""
    address: str = ""
    place: Literal["road", "underpass"] = "road"
    area_m2: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Over what area; None: as the file has it, or as much as low points have."""


class StationSaid(_Strict):
    """The pump station whose pumps lift from this node."""

    name: str = ""
    address: str = ""


class GageSaid(_Strict):
    name: str = ""
    lon: Lon | None = None
    lat: Lat | None = None

    @model_validator(mode="after")
    def _both(self) -> GageSaid:
        if (self.lon is None) != (self.lat is None):
            raise ValueError("lon and lat go together")
        return self


class Water(_Strict):
    foul: tuple[str, ...] = ()
    storm: tuple[str, ...] = ()


class Equipped(_Strict):
    """At which nodes there are devices, instead of at a share of them."""

    pipe: tuple[str, ...] | None = None
    cover: tuple[str, ...] | None = None


class Mapping(_Strict):
    title: str = ""
    centre: Centre | None = None
    origin: Origin | None = None
    metres_per_unit: Annotated[float, Field(gt=0)] | None = None
    """Of the file's coordinates; None: found out by the lengths of its conduits."""
    area: AreaCode = ""
    """Where nodes stand that do not say it themselves; by default the community of the nearest crossing."""
    area_names: dict[str, str] = Field(default_factory=dict)
    """Code → name, as the ledger has it: 龙安区, or 安阳市/龙安区."""
    first_serial: Annotated[int, Field(ge=1, le=900_000)] = 1
    """Of assets and devices: two networks in one ledger must not begin with the same."""
    water: Water = Water()
    nodes: dict[str, NodeSaid] = Field(default_factory=dict)
    low_points: dict[str, LowPoint] | None = None
    """None: found by their rims."""
    stations: dict[str, StationSaid] = Field(default_factory=dict)
    gages: dict[str, GageSaid] = Field(default_factory=dict)
    equipped: Equipped = Equipped()
    gateways: dict[DeviceName, tuple[str, ...]] | None = None
    """Gateway → the nodes whose devices speak through it."""


def read_mapping(path: Path) -> Mapping:
    """The mapping file at `path`; what is wrong is told with its line."""
    try:
        document = read_yaml(path.read_bytes(), str(path), at_most=LARGEST_MAPPING)
    except FileNotFoundError:
        raise NetworkError(f"{path}: there is no such file") from None
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read: {error.strerror}") from None
    except YamlError as error:
        raise NetworkError(str(error)) from None
    if document.value is None:
        return Mapping()
    if not isinstance(document.value, dict):
        raise NetworkError(f"{path}: a mapping file says `name: value`, line by line")
    try:
        return Mapping.model_validate(document.value)
    except ValidationError as error:
        raise NetworkError("\n".join(_told(document, item) for item in error.errors(include_url=False))) from None


def _told(document: Document, item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    said = f" = {item['input']!r}" if isinstance(item["input"], str | int | float | None) else ""
    return f"{document.origin} line {document.line(item['loc'])}: {where}{said}: {item['msg']}"


def check_mapping(mapping: Mapping, network: Network) -> None:
    """That every element it names is in the network."""
    pumped = {link.from_node for link in network.links.values() if link.kind == "pump"}
    for field, named, known, what in (
        ("nodes", mapping.nodes, network.nodes, "node"),
        ("low_points", mapping.low_points or (), network.nodes, "node"),
        ("stations", mapping.stations, pumped, "node from which a pump lifts"),
        ("gages", mapping.gages, network.gages, "rain gage"),
    ):
        for name in named:
            if name not in known:
                raise NetworkError(f"mapping: {field}.{name}: the network {network.name} has no such {what}")
    elements = [*network.nodes, *network.links]
    for field, patterns, names in (
        ("water.foul", mapping.water.foul, elements),
        ("water.storm", mapping.water.storm, elements),
        ("equipped.pipe", mapping.equipped.pipe or (), network.nodes),
        ("equipped.cover", mapping.equipped.cover or (), network.nodes),
        *((f"gateways.{gateway}", nodes, network.nodes) for gateway, nodes in (mapping.gateways or {}).items()),
    ):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise NetworkError(f"mapping: {field}: {pattern!r} fits nothing in the network {network.name}")


def mapped(network: Network, mapping: Mapping) -> Network:
    """The network with the water that the mapping says: what a node carries, the links carry that begin there."""
    water = dict(network.water)
    for said, kind in ((mapping.water.foul, _FOUL), (mapping.water.storm, _STORM)):
        water |= {name: kind for name in network.nodes if fits(name, said)}
        water |= {link.name: kind for link in network.links.values() if fits(link.from_node, said)}
    for said, kind in ((mapping.water.foul, _FOUL), (mapping.water.storm, _STORM)):
        water |= {name: kind for name in network.links if fits(name, said)}
    return replace(network, water=water)


def fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
