"""A run made by hand: a city of a few sites, a network of a few pipes, hydrographs that do what a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulators.faults.struck import Struck
from simulators.hydraulics.hydrographs import Hydrographs
from simulators.message import clock_from
from simulators.network.city import NetworkCity
from simulators.network.ledgers import PipeLine
from simulators.network.model import Link, Network, Node, WaterKind
from simulators.roster import RosterDevice
from simulators.scenario.model import Scenario
from simulators.score.alarms import Alarm, Change, Record
from simulators.score.happened import what_happened
from simulators.site import Site
from simulators.truth import HazardKind, TrueHazard, Truth

BEGINS_MS = 1_790_000_000_000
STEP_S = 60
INTERVALS = {"cover": 86_400, "road": 900, "pipe": 900, "pump": 60, "rain": 300, "lamp": 900}
KINDS = {"cover": "0103", "road": "2124", "pipe": "0103", "pump": "2115", "rain": "2120", "lamp": "0118"}


def site(device_id: str, family: str, node: str = "", **changes: Any) -> Site:
    """Its asset is its node's, or one of its own."""
    of_device: dict[str, Any] = {"kind": KINDS[family], "asset_name": device_id, "interval_s": INTERVALS[family]}
    of_device |= {name: changes.pop(name) for name in tuple(changes) if name in of_device}
    device = RosterDevice(device_id, family, "410502", address="", model="", **of_device)
    defaults: dict[str, Any] = {
        "asset_code": f"A-{node or device_id}",
        "area_code": "410502001",
        "lon": 114.35,
        "lat": 36.1,
        "rim_m": 3.0,
        "diameter_m": 1.0,
        "uplink": "mains" if family in ("lamp", "pump") else "nbiot",
    }
    return Site(device, node=node, **defaults | changes)


def network(
    links: Sequence[tuple[str, str, str]], *, depth_m: float = 3.0, water: WaterKind = "storm", **changes: Any
) -> Network:
    """`links`: (name, from, to), 50 m long, 1 m wide, falling 0.5 m; nodes 3 m deep, each 0.5 m below the one above."""
    names = list(dict.fromkeys(node for _, upper, lower in links for node in (upper, lower)))
    inverts = {name: 100 - 0.5 * place for place, name in enumerate(names)}
    nodes = {name: Node(name, "junction", inverts[name], depth_m) for name in names}
    made = {
        name: Link(name, "conduit", upper, lower, 50.0, 1.0, inverts[upper], inverts[lower])
        for name, upper, lower in links
    }
    carried = dict.fromkeys((*nodes, *made), water)
    return Network(**{"name": "hand-made", "nodes": nodes, "links": made, "gages": ("G",)} | _rest(carried) | changes)


def _rest(carried: dict[str, WaterKind]) -> dict[str, Any]:
    return {"subcatchments": {}, "water": carried}


def hydrographs(of: Network, minutes: int, **series: Mapping[str, Sequence[float]]) -> Hydrographs:
    """Everything is 0 but for `depth_m`, `ponding_m`, … of the elements that are named; a short one keeps its last."""
    nodes, links = tuple(of.nodes), tuple(of.links)
    names = {"rain_mm_h": of.gages}
    names |= dict.fromkeys(("depth_m", "flooding_m3_s", "ponding_m"), nodes)
    names |= dict.fromkeys(("fill_m", "flow_m3_s", "setting"), links)
    arrays: dict[str, Any] = {
        name: np.zeros((minutes + 1, len(elements)), np.float32) for name, elements in names.items()
    }
    for name, columns in series.items():
        for element, values in columns.items():
            column = arrays[name][:, names[name].index(element)]
            column[: len(values)] = values
            column[len(values) :] = values[-1]
    return Hydrographs(STEP_S, nodes, links, of.gages, **arrays)


def city(of: Network, *sites: Site, pipes: bool = True) -> NetworkCity:
    lines = tuple(
        PipeLine(f"P-{link.name}", f"A-{link.from_node}", f"A-{link.to_node}", "storm", "1000", "50", "1", "0", "0.013")
        for link in of.links.values()
        if link.kind == "conduit"
    )
    return NetworkCity(
        title="",
        lon=114.35,
        lat=36.1,
        sites=sites,
        node_assets={name: f"A-{name}" for name in of.nodes},
        pipe_ids={link: f"P-{link}" for link in of.links},
        left_out={},
        gateways={},
        ponds={},
        gages={},
        places={},
        assets=(),
        pipes=lines if pipes else (),
    )


def scenario(hours: float = 4.0, **changes: Any) -> Scenario:
    whole = {"name": "hand-made", "title": "手工", "about": "By hand.", "hours": hours, "rain": {"rain": "none"}}
    return Scenario.model_validate(whole | changes)


def truth_of(of: Network, water: Hydrographs, *sites: Site, struck: Struck | None = None, **of_scenario: Any) -> Truth:
    happens = scenario(hours=water.seconds / 3600, **of_scenario)
    made = city(of, *sites)
    return what_happened(made, of, water, struck or Struck(), happens, clock_from(BEGINS_MS), seed=1)


def at_s(epoch_ms: int | None) -> float:
    """In seconds of the run."""
    assert epoch_ms is not None
    return (epoch_ms - BEGINS_MS) / 1000


def at_ms(minutes: float) -> int:
    return BEGINS_MS + round(minutes * 60_000)


def hazard(kind: HazardKind, begins: float, ends: float | None, **changes: Any) -> TrueHazard:
    """Times in minutes of the run."""
    facts: dict[str, Any] = {
        "hazard_id": f"{kind}-{begins:g}-{changes.get('device_id', '')}{changes.get('pipe_id', '')}",
        "kind": kind,
        "begins_ms": at_ms(begins),
        "ends_ms": None if ends is None else at_ms(ends),
        "severity": 3,
    }
    return TrueHazard(**facts | changes)


def alarm(key: int, rule_id: str, raised: float, cleared: float | None, **changes: Any) -> Alarm:
    """Times in minutes of the run; recorded a second after the event."""
    severity = changes.pop("severity", 3)
    facts: dict[str, Any] = {
        "alarm_key": key,
        "episode": 1,
        "rule_id": rule_id,
        "subject_kind": "pipe" if "pipe_id" in changes else "device",
        "raised_ms": at_ms(raised),
        "recorded_ms": at_ms(raised) + 1000,
        "cleared_ms": None if cleared is None else at_ms(cleared),
        "severity": severity,
        "changes": (Change(at_ms=at_ms(raised), severity=severity),),
    }
    return Alarm(**facts | changes)


def record(*alarms: Alarm, same_clock: bool = True) -> Record:
    return Record(same_clock=same_clock, alarms=alarms)


def truth(*hazards: TrueHazard, hours: float = 24.0, devices: int = 100, **changes: Any) -> Truth:
    facts: dict[str, Any] = {
        "scenario": "hand-made",
        "seed": 1,
        "network": "hand-made",
        "begins_ms": BEGINS_MS,
        "ends_ms": BEGINS_MS + round(hours * 3_600_000),
        "devices": devices,
        "hazards": hazards,
        "lies": (),
    }
    return Truth(**facts | changes)
