"""What styles have in common: chambers and sewers of a growth, dips in the road, gages, a foul sewer beside."""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random
from typing import Any

import networkx as nx

from simulators.network.ground import Cost, Ground, Growth, Place, grow
from simulators.network.model import WaterKind
from simulators.network.plan import Chamber, Plan, PumpSet
from underfoot.plain_yaml import Line

FOUL_BESIDE_M = 7.0
"""How far a foul sewer lies beside the storm sewer of the same street."""

STATION_WALL_M = 3.0
UNDERPASS_DEEP_M = 4.3
UNDERPASS_POND_M2 = 700.0

POND_M2 = 1200.0
"""Of a stretch of road that does not lie low: what comes out there runs off to the sides."""


def lay(
    plan: Plan, growth: Growth, ground: Ground, *, water: WaterKind, letter: str, beside_m: float = 0.0
) -> dict[Place, Chamber]:
    """A manhole at each place of a growth, and a sewer from each to the next below it."""
    at: dict[Place, Chamber] = {}
    digits = max(len(str(len(growth.places))), 3)
    for number, (x, y) in enumerate(growth.places, start=1):
        name = f"{letter}{number:0{digits}d}"
        at[x, y] = plan.add(Chamber(name, x + beside_m, y + beside_m, round(ground(x, y), 3), water, pond_m2=POND_M2))
    for upper, lower in growth.below.items():
        plan.join(at[upper], at[lower])
    return at


def drain(chambers: Iterable[Chamber], random: Random, area_ha: float, paved_pct: tuple[float, float]) -> None:
    """Let each take in the rain of about `area_ha`."""
    for chamber in chambers:
        chamber.area_ha = round(area_ha * random.uniform(0.7, 1.3), 3)
        chamber.imperv_pct = round(random.uniform(*paved_pct), 1)


def outfall(plan: Plan, name: str, lowest: Chamber, place: Place, fall_m: float, shown: str) -> Chamber:
    """Where a network ends, some way beyond its lowest manhole."""
    end = plan.add(Chamber(name, *place, round(lowest.ground_m - fall_m, 3), lowest.water, "outfall"))
    plan.join(lowest, end)
    say(plan, "nodes", name, name=shown)
    return end


def lift_out(
    plan: Plan,
    well: str,
    outlet: str,
    end: str,
    lowest: Chamber,
    *,
    pumps: int,
    period_years: float,
    shown: str,
    to: str,
) -> None:
    """Where a network ends at a pump station, which lifts its water into an outlet that runs to the river."""
    x, y = lowest.x, lowest.y
    # Its walls are higher than the street: when its pumps cannot cope, water comes out of the manholes before it.
    station = plan.add(Chamber(well, x + 10, y + 40, lowest.ground_m + STATION_WALL_M, lowest.water, "well"))
    plan.join(lowest, station)
    above = plan.add(Chamber(outlet, x + 20, y + 60, lowest.ground_m, lowest.water, "basin"))
    plan.pumps.append(PumpSet(well, outlet, pumps, period_years))
    outfall(plan, end, above, (x + 20, y + 120), 1.0, f"{to}{shown}泵站排口")
    say(plan, "nodes", outlet, name=f"{shown}泵站出水池")
    say(plan, "stations", well, name=f"{shown}雨水泵站")


def dig_underpass(
    plan: Plan, name: str, well: str, above: Chamber, random: Random, *, period_years: float, shown: str
) -> None:
    """A road under a railway, so deep that what runs into it has to be pumped up to the sewer of the street `above`."""
    ground_m = round(above.ground_m - UNDERPASS_DEEP_M, 3)
    low = plan.add(Chamber(name, above.x + 45, above.y + 12, ground_m, pond_m2=UNDERPASS_POND_M2))
    low.area_ha, low.imperv_pct = round(random.uniform(1.0, 1.3), 3), 95.0
    sump = plan.add(Chamber(well, low.x + 20, low.y + 14, above.ground_m, kind="well"))
    plan.join(low, sump)
    plan.pumps.append(PumpSet(well, above.name, 2, period_years))
    say(plan, "stations", well, name=f"{shown}雨水泵站")
    say(
        plan,
        "low_points",
        name,
        name=f"{shown}铁路桥下穿",
        address=f"{shown}铁路桥下",
        place="underpass",
        area_m2=int(UNDERPASS_POND_M2),
    )


def lay_foul(
    plan: Plan,
    streets: nx.Graph[Place],
    works: Place,
    count: int,
    random: Random,
    ground: Ground,
    *,
    dry_l_s: float,
    cost: Cost | None = None,
) -> None:
    """A foul sewer of its own under the same streets, with the works at its end."""
    growth = grow(streets, [works], count, cost)
    at = lay(plan, growth, ground, water="foul", letter="W", beside_m=FOUL_BESIDE_M)
    for chamber in at.values():
        chamber.dry_l_s = round(dry_l_s * random.uniform(0.6, 1.4), 3)
    lowest = at[works]
    outfall(plan, "WS1", lowest, (lowest.x + 60, lowest.y + 60), 1.0, "污水处理厂进水口")


def close_rings(
    plan: Plan, streets: nx.Graph[Place], growth: Growth, at: dict[Place, Chamber], random: Random, *, share: float
) -> None:
    """Join branches that end side by side, a share of them: water may then go either way."""
    gaps = [
        (one, other)
        for one, other in sorted(tuple(sorted(edge)) for edge in streets.edges)
        if one in at and other in at and growth.below.get(one) != other and growth.below.get(other) != one
    ]
    for one, other in random.sample(gaps, round(share * len(gaps))):
        plan.join(at[one], at[other], relief=True)


def sink_roads(
    plan: Plan,
    manholes: list[Chamber],
    random: Random,
    count: int,
    deep_m: tuple[float, float],
    pond_m2: tuple[float, float],
) -> None:
    """Let the road dip at some manholes, none beside another one: low points, at which gauges stand."""
    neighbours: dict[str, set[str]] = {}
    for sewer in plan.sewers:
        neighbours.setdefault(sewer.upper, set()).add(sewer.lower)
        neighbours.setdefault(sewer.lower, set()).add(sewer.upper)
    left = list(manholes)
    random.shuffle(left)
    sunk: set[str] = set()
    for chamber in left:
        if len(sunk) == count:
            return
        if neighbours.get(chamber.name, set()) & sunk:
            continue
        sunk.add(chamber.name)
        chamber.ground_m = round(chamber.ground_m - random.uniform(*deep_m), 3)
        chamber.pond_m2 = round(random.uniform(*pond_m2), -1)
        say(plan, "low_points", chamber.name, place="road", area_m2=int(chamber.pond_m2))


def gauge_rain(plan: Plan, count: int) -> None:
    """Rain gages far from each other: one in the middle, the next at the manhole farthest from those there are."""
    places = [(chamber.x, chamber.y) for chamber in plan.chambers.values()]
    middle = (sum(x for x, _ in places) / len(places), sum(y for _, y in places) / len(places))
    chosen = [min(places, key=lambda place: math.dist(place, middle))]
    while len(chosen) < min(count, len(places)):
        chosen.append(max(places, key=lambda place: min(math.dist(place, each) for each in chosen)))
    plan.gages = {f"G{number}": (x + 15.0, y + 15.0) for number, (x, y) in enumerate(chosen, start=1)}


def say(plan: Plan, about: str, element: str, /, **said: Any) -> None:
    plan.mapping.setdefault(about, {})[element] = Line(said)
