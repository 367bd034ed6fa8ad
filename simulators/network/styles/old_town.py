"""An old town: crooked lanes close together, everything paved, pipes from a time of smaller storms, shallow, with one
trunk that all of it comes to; two low railway arches. What new towns take for granted floods here every few years.
"""

from __future__ import annotations

import math
from random import Random

from simulators.network.ground import grow, lanes, nearest, rolling
from simulators.network.laying import dig_underpass, drain, gauge_rain, lay, lay_foul, outfall, sink_roads
from simulators.network.plan import Plan, Standard
from simulators.streets import DISTRICTS

_DISTRICT = DISTRICTS[2]  # 殷都区
_FOUL_SHARE = 0.25
_OTHERS = 6
_APART_M = 48.0


def old_town(nodes: int, random: Random) -> Plan:
    """老城：街巷密，管浅管小，一条主干管承担全部汇水，两处铁路桥下穿 · undersized trunk, two underpasses"""
    plan = Plan("殷都区老城管网", Standard(period_years=0.5, storm_cover_m=0.9, foul_cover_m=1.3, inlet_min=5.0))
    plan.lie(_DISTRICT.lon, _DISTRICT.lat)
    foul_count = max(round(nodes * _FOUL_SHARE), 4)
    storm_count = nodes - foul_count - _OTHERS
    wide = math.ceil(math.sqrt(storm_count * 1.9))
    streets = lanes(random, wide, math.ceil(storm_count * 1.5 / wide), _APART_M, missing=0.3)
    waves = rolling(random, 0.5, 320.0)

    def ground(x: float, y: float) -> float:
        return 75.0 - 0.002 * y - 0.0008 * x + waves(x, y)

    mouth = max(streets.nodes, key=lambda place: (place[1] - abs(place[0]) / 4, place))
    growth = grow(streets, [mouth], storm_count)
    at = lay(plan, growth, ground, water="storm", letter="Y")
    drain(at.values(), random, 0.28, (75, 95))
    outfall(plan, "PK1", at[mouth], (mouth[0], mouth[1] + 60), 2.0, "护城河雨水排口")
    for number, part, shown in ((1, 0.35, "铁西路"), (2, 0.7, "梅园路")):
        above = at[nearest(at, growth.places[round(part * len(growth.places))])]
        dig_underpass(plan, f"XC{number}", f"BZ{number}", above, random, period_years=1.5, shown=shown)
    basin = [chamber for place, chamber in at.items() if place in growth.below]
    sink_roads(plan, basin, random, max(storm_count // 10, 2), (0.3, 0.6), (300, 900))
    lay_foul(plan, streets, mouth, foul_count, random, ground, dry_l_s=1.2)
    gauge_rain(plan, 3 if nodes >= 150 else 2)
    return plan
