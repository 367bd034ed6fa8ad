"""The demo city as a ledger (台账): a seeded generator of assets, a third of them with a device.

    underfoot city → ledger.csv → `underfoot devices import`, `underfoot simulate rehearsal`

The same seed and size give the same file. Rows are streamed, so a million devices need no more memory than ten.
"""

from __future__ import annotations

import csv
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from simulators.streets import (
    CITY_NAME,
    DISTRICTS,
    METRES_PER_DEGREE_LAT,
    METRES_PER_DEGREE_LON,
    Crossing,
    area_names,
)
from underfoot.families import FAMILIES

UNDERPASS_KIND = "2121"
"""A city's own class codes for what the national list lacks: 2120 路段积水点, 2121 下穿积水点, 2122 雨量站."""

_HOURLY_COVER_S = 3600
_LARGEST_SERIAL = 999_999


class CityRow(NamedTuple):
    """One row of the ledger, under the ledger's own column names. No device_id: an asset without a sensor."""

    device_id: str
    family: str
    area_code: str
    asset_code: str
    asset_name: str
    address: str
    lon: str
    lat: str
    owner_unit: str
    maintenance_unit: str
    vendor: str
    model: str
    expected_interval_s: str


COLUMNS = CityRow._fields


@dataclass(frozen=True)
class Kind:
    """A kind of asset: class code, name, who owns it, who maintains it ({district} is filled in)."""

    code: str
    name: str
    owner: str
    maintenance: str


_DRAINAGE = ("市排水管理所", "{district}排水养护队")
FOUL_COVER = Kind("0102", "污水井盖", *_DRAINAGE)
STORM_COVER = Kind("0103", "雨水井盖", *_DRAINAGE)
COVERS: tuple[tuple[Kind, int], ...] = (
    (STORM_COVER, 34),
    (FOUL_COVER, 26),
    (Kind("0101", "上水井盖", "市自来水公司", "自来水抢修一队"), 10),
    (Kind("0105", "电力井盖", "城区供电公司", "供电公司电缆运检班"), 8),
    (Kind("0106", "路灯井盖", "市城市照明管理处", "照明管理处维护一班"), 5),
    (Kind("0107", "通讯井盖", "通信管道公司", "通信管道公司维护队"), 10),
    (Kind("0110", "热力井盖", "市热力公司", "热力公司管网所"), 3),
    (Kind("0111", "燃气井盖", "市燃气公司", "燃气公司抢险队"), 4),
)
ROAD_POINT = Kind("2120", "路段积水点", *_DRAINAGE)
UNDERPASS = Kind(UNDERPASS_KIND, "下穿积水点", *_DRAINAGE)
RAIN_STATION = Kind("2122", "雨量站", "市水文站", "市排水管理所监测科")
PUMP = Kind("2115", "泵站", "市排水管理所", "市排水管理所泵站班")
LAMP = Kind("0118", "路灯", "市城市照明管理处", "照明管理处维护一班")

MODELS = {
    "cover": (("豫感科技", "YG-C1"), ("豫感科技", "YG-C1"), ("安星物联", "AX-200")),
    "road": (("豫感科技", "YG-R2"), ("中原水务仪表", "ZY-L5")),
    "pipe": (("中原水务仪表", "ZY-F3"), ("中原水务仪表", "ZY-F3"), ("安星物联", "AX-310")),
    "pump": (("中原水务仪表", "ZY-P8"),),
    "rain": (("中原水务仪表", "ZY-T02"),),
    "lamp": (("明途照明", "MT-60"), ("明途照明", "MT-100")),
}
ID_LETTERS = {"cover": "C", "road": "W", "pipe": "P", "pump": "B", "rain": "R", "lamp": "L"}
HOURLY_COVER_MODEL = "YG-C1H"

# Address, and the crossing it is at: district, number of the crossing.
_UNDERPASSES = (
    ("东风路铁路桥下", 0, 7),
    ("邺城大道铁路桥下", 1, 14),
    ("安钢大道铁路桥下", 2, 2),
    ("文昌大道铁路桥下", 3, 1),
)
_PUMP_STATIONS = (("东风路雨水泵站", 0, 7), ("洹滨雨水泵站", 1, 2))
_PUMPS_PER_STATION = 3
_PUMPS = len(_PUMP_STATIONS) * _PUMPS_PER_STATION
_CORNERS = (("东北角", 1, 1), ("西北角", -1, 1), ("西南角", -1, -1), ("东南角", 1, -1))

# In front of every ledger, so that a small city, too, has what a storm evening needs.
_FIRST = ("road", "rain", "pump", "pipe", "lamp", "lamp", "cover", "cover", "cover") * _PUMPS
_FAMILIES = ("cover", "lamp", "pipe", "road", "rain")
_OF_A_THOUSAND = tuple(itertools.accumulate((560, 270, 100, 50, 20)))
_COVER_KINDS = tuple(kind for kind, _ in COVERS)
_COVER_WEIGHTS = tuple(itertools.accumulate(weight for _, weight in COVERS))


class CityError(ValueError):
    """The city cannot be made as asked: says which value, and what is allowed."""


@dataclass(frozen=True)
class City:
    """What the generator needs to know; the same values give the same city. `without`: districts (their codes) in which
    nothing of it is to stand, because another city does."""

    devices: int = 600
    seed: int = 1
    bare_covers_per_cover: float = 2.0
    pace: float = 1.0
    without: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not 1 <= self.devices <= 1_000_000:
            raise CityError(f"devices: {self.devices}; 1 to 1000000")
        if not 0 <= self.bare_covers_per_cover <= 20:
            raise CityError(f"bare covers per cover: {self.bare_covers_per_cover}; 0 to 20")
        if not 0 < self.pace <= 100_000:
            raise CityError(f"pace: {self.pace}; above 0, to 100000")
        if self.without >= {district.code for district in DISTRICTS}:
            raise CityError(f"without: {', '.join(sorted(self.without))}; there are no other districts")

    def rows(self) -> Iterator[CityRow]:
        return _Builder(self).rows()

    def write(self, path: Path, *, with_area_names: bool = False) -> Counter[str]:
        """Write the ledger as CSV; return how many devices of each family, and assets without one (''), it has.

        `with_area_names` adds the column area_name, for an import that should name the areas as well.
        """
        counts: Counter[str] = Counter()
        full_names = full_area_names() if with_area_names else {}
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow((*COLUMNS, "area_name") if with_area_names else COLUMNS)
            for row in self.rows():
                writer.writerow((*row, full_names[row.area_code]) if with_area_names else row)
                counts[row.family] += 1
        return counts


class _Builder:
    def __init__(self, city: City) -> None:
        self.city = city
        self.random = random.Random(f"city {city.seed}")
        self.serials: Counter[tuple[str, str]] = Counter()
        self.made: Counter[str] = Counter()
        self.districts = [district for district in DISTRICTS if district.code not in city.without]
        self.crossings = [crossing for district in self.districts for crossing in district.crossings]

    def rows(self) -> Iterator[CityRow]:
        bare_owed = 0.0
        for number in range(self.city.devices):
            family = _FIRST[number] if number < len(_FIRST) else self._family()
            yield self._device(family)
            if family == "cover":
                bare_owed += self.city.bare_covers_per_cover
                while bare_owed >= 1:
                    bare_owed -= 1
                    yield self._bare_cover()

    def _device(self, family: str) -> CityRow:
        ordinal = self.made[family]
        self.made[family] += 1
        vendor, model = self.random.choice(MODELS[family])
        interval_s = FAMILIES[family].default_interval_s
        where = self.random.choice(self.crossings)
        name, address = "", ""
        if family == "cover":
            kind = (STORM_COVER, FOUL_COVER)[ordinal % 2] if ordinal < 16 else self._cover_kind()
            if ordinal % 20 == 3:
                vendor, model, interval_s = "豫感科技", HOURLY_COVER_MODEL, _HOURLY_COVER_S
        elif family == "road":
            kind = UNDERPASS if ordinal % 25 == 0 else ROAD_POINT
            if ordinal % 25 == 0 and ordinal // 25 < len(_UNDERPASSES):
                address, district, crossing = _UNDERPASSES[ordinal // 25]
                where = self._crossing(district, crossing)
                name = f"{address.removesuffix('下')}下穿"
        elif family == "pipe":
            kind = (FOUL_COVER, STORM_COVER)[ordinal % 2]
        elif family == "pump":
            kind = PUMP
            address, district, crossing = _PUMP_STATIONS[ordinal // _PUMPS_PER_STATION]
            where = self._crossing(district, crossing)
            name = f"{address}{ordinal % _PUMPS_PER_STATION + 1}号泵"
        else:
            kind = RAIN_STATION if family == "rain" else LAMP
        asset = self._asset(kind, where, name, address)
        return CityRow(
            f"{where.district.code}-{ID_LETTERS[family]}{ordinal + 1:06d}",
            family,
            *asset,
            vendor,
            model,
            str(max(1, round(interval_s / self.city.pace))),
        )

    def _bare_cover(self) -> CityRow:
        return CityRow("", "", *self._asset(self._cover_kind(), self.random.choice(self.crossings)), "", "", "")

    def _crossing(self, district: int, crossing: int) -> Crossing:
        """In that district; where the city is not to stand in all of them, in another one."""
        there = self.districts[district % len(self.districts)].crossings
        return there[crossing % len(there)]

    def _family(self) -> str:
        return self.random.choices(_FAMILIES, cum_weights=_OF_A_THOUSAND)[0]

    def _cover_kind(self) -> Kind:
        return self.random.choices(_COVER_KINDS, cum_weights=_COVER_WEIGHTS)[0]

    def _asset(
        self, kind: Kind, where: Crossing, name: str = "", address: str = ""
    ) -> tuple[str, str, str, str, str, str, str, str]:
        district = where.district
        self.serials[district.code, kind.code] += 1
        serial = self.serials[district.code, kind.code]
        if serial > _LARGEST_SERIAL:
            raise CityError(
                f"{district.name} has more than {_LARGEST_SERIAL} of class {kind.code}: ask for fewer devices"
            )
        quarter = self.random.randrange(len(_CORNERS))
        corner, east, north = _CORNERS[quarter]
        along_m = self.random.choice((0, 0, 0, 40, 60, 80, 120, 160, 200, 240))
        kerb_m = self.random.uniform(6, 14)
        if not address:
            address = f"{where.name}{corner}"
            if along_m:
                address = f"{where.name}以{'东' if east > 0 else '西'}{along_m}米路{'北' if north > 0 else '南'}"
        lon = where.lon + east * (along_m + kerb_m + self.random.uniform(0, 8)) / METRES_PER_DEGREE_LON
        lat = where.lat + north * (kerb_m + self.random.uniform(0, 3)) / METRES_PER_DEGREE_LAT
        return (
            where.community(quarter),
            f"{district.code}{kind.code}{serial:06d}",
            name or f"{kind.name.removesuffix('盖')}{serial:04d}",
            address,
            f"{lon:.7f}",
            f"{lat:.7f}",
            kind.owner,
            kind.maintenance.format(district=district.name),
        )


def full_area_names() -> dict[str, str]:
    """Code → 安阳市/文峰区/光华路街道/光华东社区, as the ledger's area_name wants it."""
    names = area_names()
    return {
        code: "/".join([CITY_NAME] + [names[code[:length]] for length in (6, 9, 12) if length <= len(code)])
        for code in names
    }
