"""A new quarter on a plain: a close grid of wide flat pipes that are joined into rings, so that water may go two ways;
deep at its end, where one large station lifts all of it into the river.
"""

from __future__ import annotations

import math
from random import Random

from simulators.network.ground import grow, rolling, street_grid
from simulators.network.laying import close_rings, drain, gauge_rain, lay, lay_foul, lift_out, sink_roads
from simulators.network.plan import Plan, Standard
from simulators.streets import DISTRICTS

_DISTRICT = DISTRICTS[1]  # 北关区
_FOUL_SHARE = 0.22
_OTHERS = 4
_BLOCK_M = 180.0
_FALL = 0.0003


def plain(nodes: int, random: Random) -> Plan:
    """平原新区：坡缓管大，环状连通，末端一座大泵站 · flat grid with rings, one large pump station"""
    plan = Plan("北关区平原管网", Standard(period_years=3.0, storm_cover_m=1.1, least_storm_m=0.5))
    plan.lie(_DISTRICT.lon, _DISTRICT.lat)
    foul_count = max(round(nodes * _FOUL_SHARE), 4)
    storm_count = nodes - foul_count - _OTHERS
    # Each block brings three places: its corner and the middles of two sides.
    blocks = max(math.ceil(math.sqrt(storm_count * 1.15 / 3)), 2)
    lines = [round((number - blocks / 2) * _BLOCK_M, 1) for number in range(blocks + 1)]
    streets = street_grid(lines, lines, _BLOCK_M / 2)
    waves = rolling(random, 0.5, 700.0)

    def ground(x: float, y: float) -> float:
        return 66.0 - _FALL * (x + y) + waves(x, y)

    mouth = (lines[-1], lines[blocks // 2])
    growth = grow(streets, [mouth], storm_count)
    at = lay(plan, growth, ground, water="storm", letter="Y")
    drain(at.values(), random, 0.6, (60, 80))
    lift_out(plan, "BZ1", "CS1", "PK1", at[mouth], pumps=4, period_years=3.0, shown="洹北", to="洹河")
    basin = [chamber for place, chamber in at.items() if place in growth.below]
    sink_roads(plan, basin, random, max(storm_count // 12, 2), (0.4, 0.8), (1200, 2400))
    close_rings(plan, streets, growth, at, random, share=0.3)
    lay_foul(plan, streets, (lines[-1], lines[0]), foul_count, random, ground, dry_l_s=1.6)
    gauge_rain(plan, 4 if nodes >= 150 else 2)
    return plan
