"""A small city for tests of scenarios and faults: a storm trunk with gauges and a pump, and a street of devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from simulators.network.model import Link, Network, Node, Subcatchment
from simulators.scenario.load import parse_scenario
from simulators.scenario.model import Scenario
from simulators.site import Reported, Site
from tests.unit.sim_street import site as street_site

START_MS = 1_782_878_400_000


def site(family: str, serial: int = 1, **changes: Any) -> Site:
    """`speech`, `gateway_id`, `node`, … and of its device `device_id`, `kind`, `model`, `address`."""
    given = street_site(family, serial)
    of_device = {name: changes.pop(name) for name in ("device_id", "kind", "model") if name in changes}
    address = changes.pop("address", f"{'东风路' if serial % 2 else '文明大道'}{serial}号")
    device = replace(given.device, address=address, **of_device)
    place = {"lon": 114.3 + serial * 0.001, "lat": 36.1 + serial * 0.0005, "node": "", "link": "", "gage": ""}
    asset_code = f"410502{device.kind}{serial:06d}"
    return replace(given, device=device, asset_code=asset_code, **{**place, **changes})


def trunk(nodes: int = 9) -> Network:
    """J1 → J2 → … → an outfall by way of a pump, each with a subcatchment; one side sewer that nobody gauges."""
    names = [f"J{number}" for number in range(1, nodes + 1)]
    made = {name: Node(name, "junction", 90.0 - place, 4.0) for place, name in enumerate(names)}
    made |= {"W": Node("W", "storage", 70.0, 8.0), "OUT": Node("OUT", "outfall", 69.0, 3.0)}
    made |= {"S": Node("S", "junction", 90.0, 3.0)}
    links = {
        f"C{place}": Link(f"C{place}", "conduit", upper, lower, 60.0, 0.8)
        for place, (upper, lower) in enumerate(zip(names, [*names[1:], "W"], strict=True), 1)
    }
    links |= {"P1": Link("P1", "pump", "W", "OUT"), "SIDE": Link("SIDE", "conduit", "S", "J3", 40.0, 0.4)}
    areas = {f"A{name}": Subcatchment(f"A{name}", "RG", name, 0.8, 60.0) for name in (*names, "S")}
    return Network("trunk", made, links, ("RG",), areas)


@dataclass(frozen=True)
class SmallCity:
    sites: tuple[Site, ...]
    pipe_ids: dict[str, str] = field(
        default_factory=lambda: {f"C{n}": f"GD-{n:03d}" for n in range(1, 10)} | {"SIDE": "GD-010"}
    )


def street(**equal: int) -> tuple[Site, ...]:
    """So many devices of each family, where they stand in the trunk; `covers=8, lamps=5`."""
    made = []
    for plural, count in equal.items():
        family = plural.removesuffix("s")
        for serial in range(1, count + 1):
            link = {"pump": f"P{serial}", "pipe": f"C{serial}"}.get(family, "")
            made.append(site(family, serial, node=f"J{serial}" if family in ("pipe", "cover") else "", link=link))
    return tuple(made)


def small_city(**equal: int) -> SmallCity:
    return SmallCity(street(**equal))


def scenario(faults: str = "", **changes: str) -> Scenario:
    """A scenario of 4 hours with these faults, as a file would say them (flow mappings, one a line)."""
    given = {"name": "tried", "title": "试", "about": "a test", "hours": "4", "rain": "{rain: none}"} | changes
    lines = [f"{name}: {value}" for name, value in given.items()]
    listed = [f"  - {line.strip()}" for line in faults.strip().splitlines()]
    return parse_scenario("\n".join([*lines, *(["faults:", *listed] if listed else [])]).encode(), "tried.yaml")


VALUES: dict[str, dict[str, Any]] = {
    "cover": {"battery_pct": 88, "rsrp_dbm": -97, "tilt_deg": 2.4, "open": False, "vibration": False},
    "road": {"battery_pct": 70, "depth_cm": 3.2},
    "pipe": {"level_m": 0.312, "fill_ratio": 0.39, "flow_m3_h": 45.0, "temperature_c": 17.5},
    "pump": {"running": True, "current_a": 38.2, "fault": False, "fault_code": 0},
    "rain": {"amount_mm": 0.2, "intensity_mm_h": 2.4},
    "lamp": {"on": True, "current_a": 0.431, "power_w": 95.2, "leakage_ma": 2.1},
}


def reports(
    sites: Iterable[Site], *, seed: int = 1, every_s: float = 60.0, seconds: float = 3600.0
) -> Iterator[Reported]:
    """Each device about every so often, numbered, and sent some seconds after it was measured."""
    random = Random(seed)
    listed = list(sites)
    made: list[Reported] = []
    for one in listed:
        measured_s, seq = random.uniform(0, every_s), 0
        while measured_s < seconds:
            seq += 1
            sent_s = measured_s + random.expovariate(0.5)
            made.append(Reported(sent_s, measured_s, one, seq, VALUES[one.device.family], "heartbeat"))
            measured_s += random.uniform(0.8, 1.0) * every_s
    # One device's reports leave in the order in which they were made.
    latest: dict[str, float] = {}
    for place, report in enumerate(made):
        device_id = report.site.device.device_id
        latest[device_id] = max(report.sent_s, latest.get(device_id, 0.0))
        made[place] = report._replace(sent_s=latest[device_id])
    yield from sorted(made, key=lambda report: (report.sent_s, report.measured_s))
