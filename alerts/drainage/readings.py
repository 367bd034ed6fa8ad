"""What gauges say, as heads at nodes of the graph: metres above the city's datum, and how full the outlet is.

How a head is made, by what the gauge measures:

- `pipe` gauges measure level_m above the invert of the node's outlet (`DrainageGraph.invert_m`), or above the height
  that the asset's ledger gives as gauge_zero_m: head = that + level_m. Where only fill_ratio is said, it is
  invert + fill × diameter.
- `cover` gauges measure water_below_rim_m: head = rim − that, where the asset's ledger says how high its rim lies.

What cannot be made so is None, unknown: no rim, no outlet, no value. It is never taken for dry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alerts.drainage.graph import DrainageGraph
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


@dataclass(frozen=True, slots=True)
class Reading:
    """A gauge's newest word. `fill_ratio` is against the outlet's diameter: above 1 over its crown. `at_us` is event
    time. `of_pipe`: by a pipe's gauge, not by a cover's."""

    node: int
    head_m: float | None
    fill_ratio: float | None
    at_us: int
    flow_m3_s: float | None = None
    device_key: int | None = None
    of_pipe: bool = False


def load_readings(connection: Connection, graph: DrainageGraph) -> list[Reading]:
    """The newest of every gauge in service that stands at a node of the graph, old ones too."""
    rimmed = [node.asset_key for node in graph.nodes.values() if node.rim_m is not None]
    rows = connection.execute(statement("drainage.newest_levels"), {"rimmed": rimmed})
    return [
        reading_of(graph, node, family, values, at_us, device_key)
        for device_key, node, family, values, at_us in rows
        if node in graph
    ]


def reading_of(
    graph: DrainageGraph,
    node: int,
    family: str,
    values: Mapping[str, Any],
    at_us: int,
    device_key: int | None = None,
) -> Reading:
    """The values of one report as a head."""
    outlet, invert_m = graph.outlet(node), graph.invert_m(node)
    head = fill = flow = None
    if outlet is not None and invert_m is not None:
        diameter_m = outlet.diameter_mm / 1000
        said = values.get("fill_ratio") if family == "pipe" else None
        head = _pipe_head(graph, node, values, diameter_m) if family == "pipe" else _cover_head(graph, node, values)
        fill = said if said is not None else None if head is None else (head - invert_m) / diameter_m
        if family == "pipe" and values.get("flow_m3_h") is not None:
            flow = values["flow_m3_h"] / 3600
    return Reading(node, head, fill, at_us, flow, device_key, family == "pipe")


def _pipe_head(graph: DrainageGraph, node: int, values: Mapping[str, Any], diameter_m: float) -> float | None:
    invert_m = graph.invert_m(node)
    if invert_m is None:
        return None
    if (level := values.get("level_m")) is not None:
        at = graph.nodes.get(node)
        zero = at.gauge_zero_m if at is not None else None
        return float((invert_m if zero is None else zero) + level)
    if (fill := values.get("fill_ratio")) is not None:
        return float(invert_m + fill * diameter_m)
    return None


def _cover_head(graph: DrainageGraph, node: int, values: Mapping[str, Any]) -> float | None:
    at, below = graph.nodes.get(node), values.get("water_below_rim_m")
    if at is None or at.rim_m is None or below is None:
        return None
    return float(at.rim_m - below)
