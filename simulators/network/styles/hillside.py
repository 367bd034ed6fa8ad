"""A town on a hillside: lanes that branch uphill from the valley, steep and fast, small pipes, no pump. The water comes
down in minutes; it is the valley floor that floods.
"""

from __future__ import annotations

import math
from random import Random

from simulators.network.ground import Place, grow, lanes, rolling
from simulators.network.laying import drain, gauge_rain, lay, lay_foul, outfall, sink_roads
from simulators.network.plan import Plan, Standard
from simulators.streets import DISTRICTS

_DISTRICT = DISTRICTS[3]  # 龙安区, at the foot of the Taihang hills
_FOUL_SHARE = 0.22
_OTHERS = 2
_APART_M = 62.0
_STEEP, _FLOOR = 0.035, 0.006
_FLOOR_M = 220.0
"""How far from the stream the ground is the valley's floor."""


def hillside(nodes: int, random: Random) -> Plan:
    """山坡上的城镇：坡陡流急，枝状管网，谷底易涝，无泵站 · steep, branching, no pump"""
    plan = Plan("龙安区山前管网", Standard(period_years=1.5, storm_cover_m=1.2, inlet_min=6.0))
    plan.lie(_DISTRICT.lon, _DISTRICT.lat)
    foul_count = max(round(nodes * _FOUL_SHARE), 4)
    storm_count = nodes - foul_count - _OTHERS
    wide = math.ceil(math.sqrt(storm_count * 2.4))
    streets = lanes(random, wide, math.ceil(storm_count * 1.6 / wide), _APART_M, missing=0.18)
    waves = rolling(random, 1.6, 420.0)

    def ground(x: float, y: float) -> float:
        """The stream runs along y = 0 to the east."""
        aside = abs(y)
        rise = _FLOOR * min(aside, _FLOOR_M) + _STEEP * max(aside - _FLOOR_M, 0.0)
        return 110.0 + rise - 0.004 * x + waves(x, y) * min(aside / _FLOOR_M, 1.0)

    def cost(upper: Place, lower: Place, length: float) -> float:
        """Water runs downhill: a sewer against the ground has to be dug."""
        return length * (1 + 60 * max(ground(*lower) - ground(*upper), 0.0) / length)

    mouth = min(streets.nodes, key=lambda place: (abs(place[1]) * 3 - place[0], place))
    growth = grow(streets, [mouth], storm_count, cost)
    at = lay(plan, growth, ground, water="storm", letter="Y")
    drain(at.values(), random, 0.45, (45, 70))
    outfall(plan, "PK1", at[mouth], (mouth[0] + 70, mouth[1]), 2.5, "姜河雨水排口")
    floor = [chamber for place, chamber in at.items() if place in growth.below and abs(place[1]) < _FLOOR_M]
    sink_roads(plan, floor, random, max(storm_count // 12, 2), (0.6, 1.1), (600, 1400))
    lay_foul(plan, streets, mouth, foul_count, random, ground, dry_l_s=1.1, cost=cost)
    gauge_rain(plan, 4 if nodes >= 150 else 2)
    return plan
