"""An open simulation of SWMM in metric units, and what faults do to it: what the process that runs SWMM works on."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

import numpy as np
import swmm.toolkit
from pyswmm.toolkitapi import (
    LinkParams,
    LinkResults,
    NodeParams,
    NodeResults,
    ObjectType,
    SimulationUnits,
)
from swmm.toolkit import solver
from swmm.toolkit.shared_enum import LinkType, NodeType

from simulators.hydraulics.hydrographs import Series
from simulators.hydraulics.inp import HydraulicsError
from simulators.hydraulics.job import Limit, Stop

SHUT_M3_S = 1e-6
"""SWMM takes a limit of 0 for none; a millilitre a second is as good as nothing."""
_FULL_FLOW = 406
"""swmm_LINK_FULLFLOW of SWMM's own swmm5.h, for which pyswmm has no name."""
_FEET = 0.3048
_FLOW_M3_S = (_FEET**3, 3.785411784e-3 / 60, 3785.411784 / 86400, 1.0, 1e-3, 1000 / 86400)
"""What one of SWMM's flow units is in cubic metres a second: CFS, GPM, MGD, CMS, LPS, MLD."""


class Water:
    """By index of node and link, in metres and cubic metres a second whatever the file has."""

    def __init__(self) -> None:
        metric = solver.simulation_get_unit(SimulationUnits.UnitSystem.value) == 1
        self.metre = 1.0 if metric else _FEET
        self.millimetre = 1.0 if metric else 25.4
        self.flow = _FLOW_M3_S[solver.simulation_get_unit(SimulationUnits.FlowUnits.value)]
        self.nodes = _names(ObjectType.NODE)
        self.links = _names(ObjectType.LINK)
        self.subcatchments = _names(ObjectType.SUBCATCH)
        if not self.nodes:
            raise HydraulicsError("the file has no nodes: there is nothing for water to be in")

    def let_pond(self, ponds: dict[str, float], *, keep: bool) -> None:
        """Before the start: where water that leaves a node stays above it, and how widely it spreads."""
        if not keep:
            for node in range(len(self.nodes)):
                solver.node_set_parameter(node, NodeParams.pondedArea.value, 0.0)
        for name, area_m2 in ponds.items():
            node = _index(self.nodes, name, "node")
            kind = solver.node_get_type(node)
            if kind not in (NodeType.JUNCTION, NodeType.DIVIDER):
                raise HydraulicsError(f"{name}: water ponds over junctions only, and this is: {kind.name.lower()}")
            solver.node_set_parameter(node, NodeParams.pondedArea.value, area_m2 / self.metre**2)

    def of_nodes(self, what: NodeResults) -> list[float]:
        return [solver.node_get_result(node, what.value) for node in range(len(self.nodes))]

    def of_links(self, what: LinkResults) -> list[float]:
        return [solver.link_get_result(link, what.value) for link in range(len(self.links))]

    def ponding(self, depth_m: Series) -> Series:
        """Over the rim, at nodes that pond: there SWMM raises the level by the ponded volume over the ponded area."""
        rim, area = (
            np.array([solver.node_get_parameter(node, what.value) for node in range(len(self.nodes))])
            for what in (NodeParams.fullDepth, NodeParams.pondedArea)
        )
        over = np.where(area > 0, depth_m - rim * self.metre, 0.0)
        return np.maximum(over, 0.0).astype(np.float32)

    def precipitation_mm(self, subcatchment: str) -> float:
        """What SWMM has booked as fallen upon it."""
        return float(solver.subcatch_get_stats(self.subcatchments.index(subcatchment)).precip) * self.millimetre


class BlockedPipe:
    """The limits upon one conduit's flow: what passes is the least open of those that hold, and the file's own."""

    def __init__(self, water: Water, name: str, limits: list[Limit]) -> None:
        self.link = _index(water.links, name, "link")
        self.limits = limits
        if solver.link_get_type(self.link) is not LinkType.CONDUIT:
            raise HydraulicsError(f"{name}: only a conduit can be blocked, and this is none")
        self.own = solver.link_get_parameter(self.link, LinkParams.qLimit.value)
        self.full = _full_flow(self.link)
        self.shut = SHUT_M3_S / water.flow
        if self.full <= 0:
            raise HydraulicsError(f"{name}: has no section, so that nobody can say what a share of its full flow is")

    def share_at(self, at_s: float) -> float:
        return min((one.open_share for one in self.limits if one.begins_s <= at_s < _end(one.until_s)), default=1.0)

    def hold(self, at_s: float) -> None:
        share = self.share_at(at_s)
        limit = self.own
        if share < 1:
            limit = max(share * self.full, self.shut)
            limit = min(limit, self.own) if self.own > 0 else limit
        solver.link_set_parameter(self.link, LinkParams.qLimit.value, limit)


class StoppedPump:
    """A rule in the copy stops it. Where neither levels nor rules of the file start it again afterwards, this does."""

    def __init__(self, water: Water, name: str, stops: list[Stop]) -> None:
        self.link = _index(water.links, name, "link")
        self.ends = {math.ceil(one.until_s) for one in stops if one.until_s is not None}
        self.stops = stops
        self.ran_at = 0.0

    def hold(self, at_s: float) -> None:
        stands = any(one.begins_s <= at_s < _end(one.until_s) for one in self.stops)
        setting = solver.link_get_result(self.link, LinkResults.setting.value)
        if not stands and at_s in self.ends and self.ran_at > 0:
            solver.link_set_target_setting(self.link, self.ran_at)
        elif at_s not in self.ends:
            self.ran_at = max(self.ran_at, setting)


def _names(kind: ObjectType) -> tuple[str, ...]:
    return tuple(solver.project_get_id(kind.value, index) for index in range(solver.project_get_count(kind.value)))


def _index(names: tuple[str, ...], name: str, kind: str) -> int:
    """SWMM does not tell upper from lower case in names."""
    found = next((index for index, known in enumerate(names) if known.upper() == name.upper()), None)
    if found is None:
        raise HydraulicsError(f"{name}: the network has no {kind} of that name")
    return found


def _full_flow(link: int) -> float:
    folder = Path(swmm.toolkit.__file__).parent
    library = ctypes.CDLL(str(next(folder.glob("*swmm5.*"))))
    library.swmm_getValue.argtypes = [ctypes.c_int, ctypes.c_int]
    library.swmm_getValue.restype = ctypes.c_double
    return float(library.swmm_getValue(_FULL_FLOW, link))


def _end(until_s: float | None) -> float:
    return math.inf if until_s is None else until_s
