"""The demo city: 文峰区 under its own streets, falling gently north to the river. One basin runs to the river by
gravity, and has an underpass with a pump station; a second is lifted into it; the foul sewer leads to the works in the
east.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random

import networkx as nx

from simulators.network.ground import Place, grow, nearest, rolling, street_grid
from simulators.network.laying import dig_underpass, drain, gauge_rain, lay, lay_foul, lift_out, outfall, sink_roads
from simulators.network.plan import Plan, Standard
from simulators.streets import DISTRICTS, METRES_PER_DEGREE_LAT, METRES_PER_DEGREE_LON

_DISTRICT = DISTRICTS[0]
_UNDERPASS_CROSSING = 7  # 文峰大道 and 东风路: the railway crosses there
_RIVER_COLUMN, _LIFTED_COLUMN = 2, 4
_FOUL_SHARE = 0.25
_OTHERS = 7
"""The underpass, two wells, the outlet of one, three outfalls."""

_FALL = 0.0018
_STEPS_M = (110.0, 100.0, 90.0, 80.0, 70.0, 60.0, 50.0, 40.0)
_SPARE = 1.1
"""So many more places than manholes, for basins that do not end in a square."""


def demo(nodes: int, random: Random) -> Plan:
    """文峰区街道下的管网：缓坡，两片汇水区，下穿与两座泵站，污水主干管 · the demo city"""
    plan = Plan("安阳市文峰区示范管网", Standard(period_years=2.0, storm_cover_m=1.2))
    plan.lie(_DISTRICT.lon, _DISTRICT.lat)
    columns, rows = _roads()
    foul_count = max(round(nodes * _FOUL_SHARE), 4)
    storm_count = nodes - foul_count - _OTHERS
    streets = _streets(columns, rows, storm_count)
    waves = rolling(random, 0.8, 900.0)

    def ground(x: float, y: float) -> float:
        return 72.0 - _FALL * (y - rows[-1]) + waves(x, y)

    river_at, lifted_at = (columns[_RIVER_COLUMN], rows[-1]), (columns[_LIFTED_COLUMN], rows[-1])
    growth = grow(streets, [river_at, lifted_at], storm_count)
    at = lay(plan, growth, ground, water="storm", letter="Y")
    drain(at.values(), random, 0.9, (55, 80))
    outfall(plan, "PK1", at[river_at], (river_at[0], river_at[1] + 90), 2.0, "洹河雨水排口")
    lift_out(plan, "BZ2", "CS2", "PK2", at[lifted_at], pumps=3, period_years=2.5, shown="洹滨", to="洹河")
    crossing = _DISTRICT.crossings[_UNDERPASS_CROSSING]
    above = at[nearest(at, _place_of(crossing.lon, crossing.lat))]
    dig_underpass(plan, "XC1", "BZ1", above, random, period_years=2.0, shown="东风路")
    basin = [chamber for place, chamber in at.items() if place in growth.below]
    sink_roads(plan, basin, random, max(storm_count // 11, 2), (0.6, 1.1), (1000, 2000))
    works = max(streets.nodes, key=lambda place: (place[0] + place[1], place))
    lay_foul(plan, streets, works, foul_count, random, ground, dry_l_s=1.4)
    gauge_rain(plan, 5 if nodes >= 150 else 2)
    return plan


def _place_of(lon: float, lat: float) -> Place:
    return (
        round((lon - _DISTRICT.lon) * METRES_PER_DEGREE_LON, 1),
        round((lat - _DISTRICT.lat) * METRES_PER_DEGREE_LAT, 1),
    )


def _roads() -> tuple[list[float], list[float]]:
    """Where the district's roads run, in metres from its middle: those to the north and south, those to the east."""
    places = [_place_of(each.lon, each.lat) for each in _DISTRICT.crossings]
    return sorted({x for x, _ in places}), sorted({y for _, y in places})


def _streets(columns: Sequence[float], rows: Sequence[float], manholes: int) -> nx.Graph[Place]:
    """The roads, with manholes as far apart as so many allow; where they do not suffice, with lanes between them."""
    for step in _STEPS_M:
        streets = street_grid(columns, rows, step)
        if streets.number_of_nodes() >= _SPARE * manholes:
            return streets
    for lanes in itertools.count(2):
        streets = street_grid(_divided(columns, lanes), _divided(rows, lanes), _STEPS_M[-1])
        if streets.number_of_nodes() >= _SPARE * manholes:
            break
    return streets


def _divided(lines: Sequence[float], parts: int) -> list[float]:
    between = [a + (b - a) * part / parts for a, b in itertools.pairwise(lines) for part in range(parts)]
    return [round(line, 1) for line in [*between, lines[-1]]]
