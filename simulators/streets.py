"""The demo city's map: districts, streets, roads. Names as in Anyang; crossings and coordinates are made up.

Read by `city`, which sets assets on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

CITY_CODE = "4105"
CITY_NAME = "安阳市"

_ROAD_STEP_LON = 0.0091  # about 820 m
_ROAD_STEP_LAT = 0.0078  # about 870 m
METRES_PER_DEGREE_LAT = 111_000.0
METRES_PER_DEGREE_LON = 89_900.0  # at 36° N


@dataclass(frozen=True)
class District:
    """A district; `lon`, `lat` its middle (CGCS2000). Its roads cross like a grid."""

    code: str
    name: str
    lon: float
    lat: float
    streets: tuple[str, ...]
    east_west: tuple[str, ...]
    north_south: tuple[str, ...]

    @cached_property
    def crossings(self) -> tuple[Crossing, ...]:
        return tuple(
            Crossing(self, row * len(self.north_south) + column, across, along)
            for row, across in enumerate(self.east_west)
            for column, along in enumerate(self.north_south)
        )

    def area_names(self) -> dict[str, str]:
        """Code → name of the district, its streets and its communities."""
        names = {self.code: self.name}
        for number, street in enumerate(self.streets, start=1):
            street_code = f"{self.code}{number:03d}"
            names[street_code] = street
            for ordinal, stem in enumerate(_COMMUNITY_STEMS, start=1):
                names[f"{street_code}{ordinal:03d}"] = f"{street.removesuffix('街道').removesuffix('路')}{stem}社区"
        return names


_COMMUNITY_STEMS = ("东", "西", "南", "北")


@dataclass(frozen=True)
class Crossing:
    """Where two roads cross."""

    district: District
    number: int
    across: str
    along: str

    @property
    def name(self) -> str:
        """人民大道文峰路口; or, where `…大道路口` would be misread, 人民大道与解放大道交叉口."""
        return f"{self.across}{self.along}口" if self.along.endswith("路") else f"{self.across}与{self.along}交叉口"

    @property
    def lon(self) -> float:
        column = self.number % len(self.district.north_south)
        return self.district.lon + (column - (len(self.district.north_south) - 1) / 2) * _ROAD_STEP_LON

    @property
    def lat(self) -> float:
        row = self.number // len(self.district.north_south)
        return self.district.lat + ((len(self.district.east_west) - 1) / 2 - row) * _ROAD_STEP_LAT

    def community(self, quarter: int) -> str:
        street = self.number % len(self.district.streets) + 1
        return f"{self.district.code}{street:03d}{quarter % len(_COMMUNITY_STEMS) + 1:03d}"


DISTRICTS: tuple[District, ...] = (
    District(
        "410502",
        "文峰区",
        114.3655,
        36.0840,
        ("北大街街道", "西大街街道", "南关街道", "东关街道", "甜水井街道", "光华路街道"),
        ("人民大道", "文峰大道", "文明大道", "德隆街", "弦歌大道"),
        ("文峰路", "东风路", "光明路", "中华路", "平原路", "永明路"),
    ),
    District(
        "410503",
        "北关区",
        114.3620,
        36.1240,
        ("豆腐营街道", "洹北街道", "红旗路街道", "曙光路街道", "民航路街道", "彰北街道"),
        ("洹滨南路", "健康路", "邺城大道", "灯塔路", "安漳大道"),
        ("红旗路", "彰德路", "解放大道", "胜利路", "盘庚街", "民航路"),
    ),
    District(
        "410505",
        "殷都区",
        114.3110,
        36.1220,
        ("梅园庄街道", "李珍街道", "电厂路街道", "铁西路街道", "清风街道", "纱厂路街道"),
        ("安钢大道", "梅园路", "钢三路", "纱厂路", "殷墟路"),
        ("铁西路", "梅东路", "梅西路", "中州路", "钢花路"),
    ),
    District(
        "410506",
        "龙安区",
        114.3090,
        36.0820,
        ("文昌大道街道", "中州路街道", "太行街道", "田村街道", "文明大道街道", "彰武街道"),
        ("文昌大道", "太行路", "铁路南街", "龙泉街", "华祥路"),
        ("中州路", "铁西路", "梅东路", "姜河路", "太行南路"),
    ),
)


def area_names() -> dict[str, str]:
    """Code → name of every area of the demo city."""
    names = {CITY_CODE: CITY_NAME}
    for district in DISTRICTS:
        names |= district.area_names()
    return names
