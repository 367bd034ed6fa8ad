"""Reads a drainage network from any EPA SWMM input file: units, offsets and sections as the file has them → metres.

    FILE.inp → text and lines (`hydraulics.inp`, as a run reads it) → elements (swmm-api knows their formats) → Network

What is wrong is told with its line, section, element and value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import networkx as nx
from swmm_api.input_file import sections as formats

from simulators.hydraulics.inp import HydraulicsError, Line, inp_text, lines_of
from simulators.network.model import Link, LinkKind, Network, NetworkError, Node, NodeKind, Subcatchment, WaterKind

FOOT_M = 0.3048
ACRE_HA = 0.40468564224
_US_FLOWS = frozenset({"CFS", "GPM", "MGD"})
_SI_FLOWS = frozenset({"CMS", "LPS", "MLD"})
_LEAST_ROUGHNESS = 0.001
_SIZED_BY_CODE = frozenset({"HORIZ_ELLIPSE", "VERT_ELLIPSE", "ARCH"})
_SECTIONS = (
    *("RAINGAGE", "SUBCATCHMENT", "JUNC", "OUTFALL", "STORAGE", "DIVIDER", "COORDINATE", "SYMBOL", "OPTION"),
    *("CONDUIT", "PUMP", "ORIFICE", "WEIR", "OUTLET", "XSECT", "TRANSECT", "STREET", "INFLOW", "DWF"),
)
"""Those that a network is made of, by the first letters by which SWMM knows them."""


def read_network(path: Path) -> Network:
    """The network of an .inp file. It is named after the file."""
    try:
        text = inp_text(path)
    except HydraulicsError as error:
        raise NetworkError(str(error)) from None
    sections: dict[str, list[Line]] = {}
    for line in lines_of(text):
        section = next((name for name in _SECTIONS if line.of(name)), "")
        sections.setdefault(section, []).append(line)
    return _Reader(path, sections).network()


@dataclass(frozen=True, slots=True)
class _Units:
    length_m: float
    area_ha: float
    by_elevation: bool
    """Whether offsets of links are elevations (LINK_OFFSETS ELEVATION), and not depths above the node's invert."""


class _Names:
    """Names as they were declared: SWMM does not mind their case."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._declared: dict[str, str] = {}

    def declare(self, name: str) -> bool:
        """False: there is one already."""
        if name.upper() in self._declared:
            return False
        self._declared[name.upper()] = name
        return True

    def of(self, name: str) -> str | None:
        return self._declared.get(name.upper())


class _Reader:
    def __init__(self, path: Path, sections: dict[str, list[Line]]) -> None:
        self.path = path
        self.sections = sections
        self.units = self._units()
        self.nodes: dict[str, Node] = {}
        self.links: dict[str, Link] = {}
        self.node_names = _Names("node")
        self.link_names = _Names("link")
        self.gage_names = _Names("rain gage")
        self.subcatchment_names = _Names("subcatchment")

    def network(self) -> Network:
        self._read_nodes()
        if not self.nodes:
            raise NetworkError(f"{self.path}: [JUNCTIONS], [OUTFALLS], [STORAGE]: there is no node in it")
        self._read_links()
        self._fill_in_depths()
        self._place_nodes()
        gages = self._gages()
        subcatchments = self._subcatchments()
        return Network(
            name=self.path.stem,
            nodes=self.nodes,
            links=self.links,
            gages=gages,
            subcatchments=subcatchments,
            water=self._water(subcatchments),
            gage_places=self._gage_places(),
        )

    # lines and their elements -----------------------------------------------------------------------------------------

    def wrong(self, line: Line, what: str) -> NetworkError:
        return NetworkError(f"{self.path} line {line.number + 1}: [{line.section}] {line.tokens[0]}: {what}")

    def elements(self, section: str, form: Callable[..., Any], *, take: int, keyword: int = 0) -> Iterator[Any]:
        """Each line of a section as swmm-api has it, of its first `take` words; the keyword among them in capitals."""
        for line in self.sections.get(section, ()):
            words = [*line.tokens[:take]]
            if 0 < keyword < len(words):
                words[keyword] = words[keyword].upper()
            yield line, self.made(line, form, words)

    def made(self, line: Line, form: Callable[..., Any], words: Iterable[str]) -> Any:
        try:
            return form(*words)
        except (ValueError, IndexError) as error:
            raise self.wrong(line, f"{error} (in {' '.join(line.tokens)!r})") from None
        except TypeError:
            raise self.wrong(
                line, f"{len(line.tokens)} words, which are too few or too many (in {' '.join(line.tokens)!r})"
            ) from None
        except NotImplementedError:
            raise self.wrong(line, f"of an unknown kind (in {' '.join(line.tokens)!r})") from None

    def finite(self, line: Line, field: str, value: Any, least: float = -math.inf) -> float:
        number = float(value)
        if not math.isfinite(number) or number < least:
            allowed = "a number" if least == -math.inf else f"a number of at least {least:g}"
            raise self.wrong(line, f"{field} = {value}: {allowed}")
        return number

    def named(self, line: Line, field: str, names: _Names, name: str) -> str:
        found = names.of(name)
        if found is None:
            raise self.wrong(line, f"{field} = {name!r}: there is no such {names.what}")
        return found

    def declare(self, line: Line, names: _Names, name: str) -> str:
        if not names.declare(name):
            raise self.wrong(line, f"there is a {names.what} of this name already")
        return name

    # options ----------------------------------------------------------------------------------------------------------

    def _units(self) -> _Units:
        said = {line.tokens[0].upper(): line for line in self.sections.get("OPTION", ()) if len(line.tokens) > 1}
        flow = said["FLOW_UNITS"].tokens[1].upper() if "FLOW_UNITS" in said else "CFS"
        if flow not in _US_FLOWS | _SI_FLOWS:
            known = ", ".join(sorted(_US_FLOWS | _SI_FLOWS))
            raise self.wrong(said["FLOW_UNITS"], f"{flow}: one of {known}")
        offsets = said["LINK_OFFSETS"].tokens[1].upper() if "LINK_OFFSETS" in said else "DEPTH"
        if offsets not in ("DEPTH", "ELEVATION"):
            raise self.wrong(said["LINK_OFFSETS"], f"{offsets}: DEPTH or ELEVATION")
        american = flow in _US_FLOWS
        return _Units(FOOT_M if american else 1.0, ACRE_HA if american else 1.0, offsets == "ELEVATION")

    # nodes ------------------------------------------------------------------------------------------------------------

    def _read_nodes(self) -> None:
        for line, said in self.elements("JUNC", formats.Junction, take=6):
            self._node(line, "junction", said.elevation, said.depth_max, said.depth_surcharge, said.area_ponded)
        for line, said in self.elements("DIVIDER", formats.Divider, take=11, keyword=3):
            self._node(line, "divider", said.elevation, said.depth_max, said.depth_surcharge, said.area_ponded)
        for line, said in self.elements("STORAGE", formats.Storage, take=5, keyword=4):
            self._node(line, "storage", said.elevation, said.depth_max)
        for line, said in self.elements("OUTFALL", _outfall, take=2):
            self._node(line, "outfall", said)

    def _node(
        self,
        line: Line,
        kind: NodeKind,
        invert: float,
        depth: float = 0.0,
        surcharge: float = 0.0,
        ponded: float = 0.0,
    ) -> None:
        name = self.declare(line, self.node_names, line.tokens[0])
        metre = self.units.length_m
        self.nodes[name] = Node(
            name,
            kind,
            self.finite(line, "elevation", invert) * metre,
            self.finite(line, "maximum depth", depth, 0) * metre,
            self.finite(line, "surcharge depth", surcharge, 0) * metre,
            self.finite(line, "ponded area", ponded, 0) * metre * metre,
        )

    def _place_nodes(self) -> None:
        for line, said in self.elements("COORDINATE", formats.Coordinate, take=3):
            name = self.named(line, "node", self.node_names, str(said.node))
            x, y = (self.finite(line, axis, getattr(said, axis)) for axis in ("x", "y"))
            self.nodes[name] = replace(self.nodes[name], x=x, y=y)

    def _fill_in_depths(self) -> None:
        """A node without a maximum depth reaches up to the highest crown of the links that end there, as in SWMM."""
        crowns: dict[str, float] = {}
        for link in self.links.values():
            for node, bottom in ((link.from_node, link.up_m), (link.to_node, link.down_m)):
                crowns[node] = max(crowns.get(node, -math.inf), bottom + link.diameter_m)
        for name, crown in crowns.items():
            if not self.nodes[name].max_depth_m:
                self.nodes[name] = replace(self.nodes[name], max_depth_m=max(crown - self.nodes[name].invert_m, 0.0))

    # links ------------------------------------------------------------------------------------------------------------

    def _read_links(self) -> None:
        heights = self._heights()
        for line, said in self.elements("CONDUIT", formats.Conduit, take=7):
            name, upper, lower = self._ends(line, said)
            if name not in heights:
                raise self.wrong(line, "has no cross-section in [XSECTIONS]")
            length = self.finite(line, "length", said.length)
            if length <= 0:
                raise self.wrong(line, f"length = {length:g}: above 0")
            self.links[name] = Link(
                name,
                "conduit",
                upper,
                lower,
                length * self.units.length_m,
                heights[name],
                self._bottom(line, upper, said.offset_upstream),
                self._bottom(line, lower, said.offset_downstream),
                self.finite(line, "roughness", said.roughness, _LEAST_ROUGHNESS),
            )
        self._regulators("PUMP", "pump", formats.Pump, 3, "", heights)
        self._regulators("ORIFICE", "orifice", formats.Orifice, 6, "offset", heights)
        self._regulators("WEIR", "weir", formats.Weir, 6, "height_crest", heights)
        self._regulators("OUTLET", "outlet", _outlet, 4, "offset", heights)

    def _regulators(
        self, section: str, kind: LinkKind, form: Callable[..., Any], take: int, bottom: str, heights: dict[str, float]
    ) -> None:
        for line in self.sections.get(section, ()):
            words = list(line.tokens[:take])
            if kind == "pump":
                words.append("*")
            said = self.made(line, form, words)
            name, upper, lower = self._ends(line, said)
            up_m = self._bottom(line, upper, getattr(said, bottom) if bottom else 0.0)
            height = heights.get(name, 0.0) if kind in ("orifice", "weir") else 0.0
            self.links[name] = Link(
                name, kind, upper, lower, diameter_m=height, up_m=up_m, down_m=self.nodes[lower].invert_m
            )

    def _ends(self, line: Line, said: Any) -> tuple[str, str, str]:
        name = self.declare(line, self.link_names, line.tokens[0])
        upper = self.named(line, "from node", self.node_names, str(said.from_node))
        lower = self.named(line, "to node", self.node_names, str(said.to_node))
        if upper == lower:
            raise self.wrong(line, f"from and to node are both {upper!r}")
        return name, upper, lower

    def _bottom(self, line: Line, node: str, offset: Any) -> float:
        """The height of a link's end. `*` is the node's invert."""
        invert = self.nodes[node].invert_m
        if offset == "*":
            return invert
        said = self.finite(line, "offset", offset) * self.units.length_m
        return said if self.units.by_elevation else invert + said

    def _heights(self) -> dict[str, float]:
        """The height of each link's cross-section, by its name in [XSECTIONS]."""
        declared = {
            line.tokens[0].upper(): line.tokens[0]
            for section in ("CONDUIT", "ORIFICE", "WEIR")
            for line in self.sections.get(section, ())
        }
        transects = self._transects()
        streets = {
            line.tokens[0].upper(): float(said.height_curb)
            for line, said in self.elements("STREET", formats.Street, take=11)
        }
        found: dict[str, float] = {}
        for line, said in self.elements("XSECT", formats.CrossSection, take=8, keyword=1):
            link = declared.get(line.tokens[0].upper())
            if link is None:
                raise self.wrong(line, "there is no such conduit, orifice or weir")
            if said.shape == "IRREGULAR":
                height = self._looked_up(line, "transect", transects, said.transect)
            elif said.shape == "STREET":
                height = self._looked_up(line, "street", streets, said.street)
            else:
                height = self.finite(line, "height", said.height, 0)
                if said.shape in _SIZED_BY_CODE and not said.parameter_2:
                    raise self.wrong(line, f"{said.shape} of standard size {said.height:g}: write its height and width")
            found[link] = height * self.units.length_m
        return found

    def _looked_up(self, line: Line, what: str, heights: dict[str, float], name: str) -> float:
        if name.upper() not in heights:
            raise self.wrong(line, f"{what} = {name!r}: there is no such {what}")
        return heights[name.upper()]

    def _transects(self) -> dict[str, float]:
        """How deep each transect is, from its lowest to its highest station."""
        depths: dict[str, tuple[float, float]] = {}
        name = ""
        for line in self.sections.get("TRANSECT", ()):
            if line.tokens[0].upper() == "X1" and len(line.tokens) > 1:
                name = line.tokens[1].upper()
            elif line.tokens[0].upper() == "GR" and name:
                for word in line.tokens[1::2]:
                    height = self.made(line, float, [word])
                    low, high = depths.get(name, (height, height))
                    depths[name] = (min(low, height), max(high, height))
        return {name: high - low for name, (low, high) in depths.items()}

    # rain and water ---------------------------------------------------------------------------------------------------

    def _gages(self) -> tuple[str, ...]:
        return tuple(self.declare(line, self.gage_names, line.tokens[0]) for line in self.sections.get("RAINGAGE", ()))

    def _gage_places(self) -> dict[str, tuple[float, float]]:
        return {
            self.named(line, "rain gage", self.gage_names, line.tokens[0]): (
                self.finite(line, "x", said.x),
                self.finite(line, "y", said.y),
            )
            for line, said in self.elements("SYMBOL", formats.Symbol, take=3)
        }

    def _subcatchments(self) -> dict[str, Subcatchment]:
        lines = list(self.elements("SUBCATCHMENT", formats.SubCatchment, take=7))
        for line, _ in lines:
            self.declare(line, self.subcatchment_names, line.tokens[0])
        found = {}
        for line, said in lines:
            gage = "" if said.rain_gage == "*" else said.rain_gage
            outlet = self.node_names.of(said.outlet) or self.subcatchment_names.of(said.outlet)
            if outlet is None:
                raise self.wrong(line, f"outlet = {said.outlet!r}: there is no such node or subcatchment")
            name = line.tokens[0]
            found[name] = Subcatchment(
                name,
                self.named(line, "rain gage", self.gage_names, gage) if gage else "",
                outlet,
                self.finite(line, "area", said.area, 0) * self.units.area_ha,
                self.finite(line, "imperviousness", said.imperviousness, 0),
            )
        return found

    def _water(self, subcatchments: dict[str, Subcatchment]) -> dict[str, WaterKind]:
        """A part of the network into which water comes in dry weather, and no rain, is a foul sewer."""
        dry = {
            self.named(line, "node", self.node_names, line.tokens[0])
            for section, is_dry in (("DWF", _flows), ("INFLOW", _flows_always))
            for line in self.sections.get(section, ())
            if is_dry(line)
        }
        rained_on = {said.outlet for said in subcatchments.values()}
        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from((link.from_node, link.to_node) for link in self.links.values())
        water: dict[str, WaterKind] = {}
        for part in nx.connected_components(graph):
            if part & dry and not part & rained_on:
                water |= dict.fromkeys((name for name in self.nodes if name in part), "foul")
                water |= {link.name: "foul" for link in self.links.values() if link.from_node in part}
        return water


def _flows(line: Line) -> bool:
    """Whether it is about water, and not about what is in it."""
    return len(line.tokens) > 1 and line.tokens[1].upper() == "FLOW"


def _flows_always(line: Line) -> bool:
    """An inflow with a baseline, and no series of its own, which may as well be a storm's."""
    return _flows(line) and len(line.tokens) > 6 and not line.tokens[2] and line.tokens[6] not in ("0", "0.0")


def _outfall(_name: str, elevation: str) -> float:
    """An outfall's stage and gate are of no interest to a map; its formats differ too much to be read for nothing."""
    return float(elevation)


def _outlet(name: str, from_node: str, to_node: str, offset: str) -> Any:
    return formats.Outlet(name, from_node, to_node, "*" if offset == "*" else float(offset), "")
