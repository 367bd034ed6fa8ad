"""Lays a city out over a network: an asset at every node, gauges, sensors and stations at some, lamps by the streets.

    Network + Equipment + seed + mapping → NetworkCity

Where the mapping says nothing, names and addresses are those of the demo city's streets, and low points are found by
their rims.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from simulators.city import (
    FOUL_COVER,
    LAMP,
    MODELS,
    PUMP,
    RAIN_STATION,
    ROAD_POINT,
    STORM_COVER,
    UNDERPASS,
    Kind,
    full_area_names,
)
from simulators.network.addresses import Addresses
from simulators.network.choosing import gage_places, gauged, lowest_rims
from simulators.network.device_ids import device_id_of
from simulators.network.drains import Drain, Drains, drains_of
from simulators.network.gateways import bound_to_gateways, by_gateway
from simulators.network.layout import Layout, Place, lay_out
from simulators.network.ledgers import AssetRow, NetworkCity, PipeLine, load_city, register
from simulators.network.mapping import LowPoint, Mapping, check_mapping, fits, mapped
from simulators.network.model import Network, NetworkError, Node
from simulators.roster import RosterDevice
from simulators.scenario.model import Equipment
from simulators.site import Site
from simulators.speech import speaks
from underfoot.families import FAMILIES
from underfoot.ledger.pipe_row import RANGES
from underfoot.ledger.pipes import OUTFALL_TAG

BASIN = Kind("2123", "调蓄池", "市排水管理所", "市排水管理所泵站班")
OUTLET = Kind("2124", "排水口", "市排水管理所", "{district}排水养护队")
"""More of a city's own class codes."""

ROAD_POND_M2 = 800.0
UNDERPASS_POND_M2 = 900.0
LAMP_BESIDE_M = 9.0
_MAINS = frozenset({"lamp", "pump"})


def lay_out_city(network: Network, equipment: Equipment, seed: int, mapping: Mapping | None = None) -> NetworkCity:
    """The city over a network. The same values give the same city."""
    said = mapping or Mapping()
    check_mapping(said, network)
    return _Siting(mapped(network, said), equipment, Random(f"sites {seed}"), said).city()


class _Siting:
    def __init__(self, network: Network, equipment: Equipment, random: Random, mapping: Mapping) -> None:
        self.network = network
        self.equipment = equipment
        self.random = random
        self.mapping = mapping
        self.title = mapping.title or network.name
        self.layout: Layout = lay_out(network, mapping)
        self.addresses = Addresses(self.layout)
        self.drains: Drains = drains_of(network, self.layout.places)
        self.outlets: dict[str, Drain] = self.drains.outlets()
        self.pumps = [link for link in network.links.values() if link.kind == "pump"]
        self.pumped = {link.from_node for link in self.pumps}
        self.gages = gage_places(network, mapping, self.layout)
        self.low_points = self._low_points()
        self.manholes = [
            node
            for node in network.nodes.values()
            if node.kind in ("junction", "divider") and node.name not in self.pumped
        ]
        self.area_names = full_area_names() | mapping.area_names
        self.serials: Counter[tuple[str, str]] = Counter()
        self.made: Counter[tuple[str, str]] = Counter()
        self.node_assets: dict[str, AssetRow] = {}
        self.rows: list[AssetRow] = []
        self.sites: list[Site] = []

    def city(self) -> NetworkCity:
        for node in self.network.nodes.values():
            self.node_assets[node.name] = self._node_asset(node)
        self._rain_stations()
        self._pump_stations()
        self._road_gauges()
        self._pipe_gauges()
        self._cover_sensors()
        self._lamps()
        bound = bound_to_gateways(
            self.sites, self.equipment.through_gateways, self.mapping, self.addresses, self.random
        )
        self._bind(bound)
        equipped = {row.asset_code for row in self.rows}
        bare = [row for row in self.node_assets.values() if row.asset_code not in equipped]
        # SWMM lets water stand over junctions only; elsewhere a chamber of the user's own says how much it holds.
        ponds = {
            name: area
            for name, point in self.low_points.items()
            if (area := point.area_m2) and self.network.nodes[name].kind == "junction"
        }
        return NetworkCity(
            title=self.title,
            lon=self.layout.lon,
            lat=self.layout.lat,
            sites=tuple(self.sites),
            node_assets={name: row.asset_code for name, row in self.node_assets.items()},
            pipe_ids={drain.link.name: drain.pipe_id for drain in self.drains.all},
            left_out=self.drains.left_out,
            gateways=by_gateway(bound),
            ponds=ponds,
            gages=self.gages,
            places=self.layout.places,
            assets=(*self.rows, *bare),
            pipes=tuple(self._pipe(drain) for drain in self.drains.all),
        )

    # places -----------------------------------------------------------------------------------------------------------

    def _low_points(self) -> dict[str, LowPoint]:
        if self.mapping.low_points is not None:
            said = self.mapping.low_points
        else:
            said = {name: LowPoint() for name in lowest_rims(self.network)}
        found = {}
        for name, point in said.items():
            usual = UNDERPASS_POND_M2 if point.place == "underpass" else ROAD_POND_M2
            area = point.area_m2 or self.network.nodes[name].ponded_area_m2 or usual
            found[name] = point.model_copy(update={"area_m2": area})
        return found

    def _nearest_gage(self, place: Place) -> str:
        return min(self.gages, key=lambda gage: math.dist(self.gages[gage], place), default="")

    # assets -----------------------------------------------------------------------------------------------------------

    def _node_asset(self, node: Node) -> AssetRow:
        said = self.mapping.nodes.get(node.name)
        foul = self.network.carries(node.name) == "foul"
        tags, name, address = "", said.name if said else "", said.address if said else ""
        rim = f"{node.rim_m:.3f}"
        if node.name in self.pumped:
            kind = PUMP
            station = self.mapping.stations.get(node.name)
            at = self.addresses.crossing(self.layout.places[node.name]) or node.name
            name = (station.name if station else "") or name or f"{at}{'污水' if foul else '雨水'}泵站"
            address = (station.address if station else "") or address
        elif node.kind == "outfall":
            kind, tags, rim = OUTLET, OUTFALL_TAG, ""
        elif node.kind == "storage":
            kind = BASIN
        else:
            kind = FOUL_COVER if foul else STORM_COVER
        row = self._asset(kind, self.layout.places[node.name], name, address, said.area if said else "")
        outlet = self.outlets.get(node.name)
        zero = f"{self._zero_m(node, outlet):.3f}" if outlet is not None and kind in (FOUL_COVER, STORM_COVER) else ""
        return row._replace(tags=tags, rim_level_m=rim, gauge_zero_m=zero, network="foul" if foul else "storm")

    def _zero_m(self, node: Node, outlet: Drain) -> float:
        """A gauge measures from the bottom of the pipe by which the water leaves."""
        return outlet.link.up_m if outlet.upper == node.name else outlet.link.down_m

    def _asset(self, kind: Kind, place: Place, name: str = "", address: str = "", area: str = "") -> AssetRow:
        area = area or self.mapping.area or self.addresses.area(place)
        lon, lat = self.layout.lon_lat(place)
        if len(area) < 6:
            raise NetworkError(
                f"mapping: area = {area!r}: the district, street or community (6 digits or more) in which {lon:.4f},"
                f" {lat:.4f} is; only in the demo city it is known"
            )
        district = area[:6]
        self.serials[district, kind.code] += 1
        serial = self.serials[district, kind.code] + self.mapping.first_serial - 1
        if serial > 999_999:
            raise NetworkError(f"{district} has more than 999999 assets of class {kind.code}")
        shown = self.area_names.get(district, district).rpartition("/")[2]
        return AssetRow(
            device_id="",
            family="",
            area_code=area,
            area_name=self.area_names.get(area, ""),
            asset_code=f"{district}{kind.code}{serial:06d}",
            asset_name=name or f"{kind.name.removesuffix('盖')}{serial:04d}",
            address=address or self.addresses.of(place) or f"{self.title}（{lon:.5f}, {lat:.5f}）",
            lon=f"{lon:.7f}",
            lat=f"{lat:.7f}",
            place="",
            network="",
            owner_unit=kind.owner,
            maintenance_unit=kind.maintenance.format(district=shown),
            tags="",
            vendor="",
            model="",
            expected_interval_s="",
            codec="",
            gateway="",
            rim_level_m="",
            gauge_zero_m="",
        )

    def _pipe(self, drain: Drain) -> PipeLine:
        link = drain.link
        up, down = round(link.up_m, 3), round(link.down_m, 3)
        least_mm, most_mm, _ = RANGES["diameter_mm"]
        least_m, _, _ = RANGES["length_m"]
        low_n, high_n, _ = RANGES["roughness"]
        length = max(math.ceil(link.length_m * 100) / 100, abs(up - down), least_m)
        return PipeLine(
            drain.pipe_id,
            self.node_assets[drain.upper].asset_code,
            self.node_assets[drain.lower].asset_code,
            drain.water,
            f"{min(max(link.diameter_m * 1000, least_mm), most_mm):.1f}",
            f"{length:.2f}",
            f"{up:.3f}",
            f"{down:.3f}",
            f"{link.roughness:g}" if low_n <= link.roughness <= high_n else "",
        )

    # devices ----------------------------------------------------------------------------------------------------------

    def _rain_stations(self) -> None:
        for gage, place in self.gages.items():
            said = self.mapping.gages.get(gage)
            at = self.addresses.crossing(place) or gage
            row = self._asset(RAIN_STATION, place, (said.name if said else "") or f"{at}雨量站")
            self._device("rain", row, place, gage=gage)

    def _pump_stations(self) -> None:
        numbers: Counter[str] = Counter()
        for link in self.pumps:
            node = self.network.nodes[link.from_node]
            station = self.node_assets[node.name]
            numbers[node.name] += 1
            x, y = self.layout.places[node.name]
            place = (x + 1.5 * numbers[node.name], y)
            name = f"{station.asset_name}{numbers[node.name]}号泵"
            row = self._asset(PUMP, place, name, station.address, station.area_code)
            self._device("pump", row, place, node=node, link=link.name)

    def _road_gauges(self) -> None:
        names = [name for name in self.network.nodes if name in self.low_points]
        for name in self._share_of(names, self.equipment.road_gauges):
            point, node = self.low_points[name], self.network.nodes[name]
            x, y = self.layout.places[name]
            place = (x + 2.0, y + 3.0)
            kind = UNDERPASS if point.place == "underpass" else ROAD_POINT
            area = self.node_assets[name].area_code
            row = self._asset(kind, place, point.name, point.address or self.node_assets[name].address, area)
            self._device("road", row._replace(place=point.place), place, node=node)

    def _pipe_gauges(self) -> None:
        drained = [node for node in self.manholes if node.name in self.outlets]
        named = self.mapping.equipped.pipe
        if named is not None:
            chosen = [node.name for node in drained if fits(node.name, named)]
        else:
            chosen = gauged(drained, self.drains, self.equipment.pipe_gauges, self.random)
        for name in chosen:
            node, outlet = self.network.nodes[name], self.outlets[name]
            zero_m = round(self._zero_m(node, outlet), 3) - round(node.invert_m, 3)
            self._device(
                "pipe",
                self.node_assets[name],
                self.layout.places[name],
                node=node,
                link=outlet.link.name,
                zero_m=zero_m,
            )

    def _cover_sensors(self) -> None:
        named = self.mapping.equipped.cover
        names = [node.name for node in self.manholes]
        if named is not None:
            chosen = [name for name in names if fits(name, named)]
        else:
            chosen = self._share_of(names, self.equipment.cover_sensors)
        for name in chosen:
            outlet = self.outlets.get(name)
            link = outlet.link.name if outlet is not None else ""
            self._device(
                "cover", self.node_assets[name], self.layout.places[name], node=self.network.nodes[name], link=link
            )

    def _lamps(self) -> None:
        """Along the streets under which storm sewers lie, on both sides in turn, at equal distances."""
        streets = [drain.link for drain in self.drains.all if drain.link.kind == "conduit"]
        count = round(self.equipment.lamps_per_node * len(self.manholes))
        if not streets or not count:
            return
        long_m = sum(link.length_m for link in streets)
        apart_m = long_m / count
        ahead_m, number = apart_m / 2, 0
        for link in streets:
            (x, y), (to_x, to_y) = self.layout.places[link.from_node], self.layout.places[link.to_node]
            straight_m = max(math.dist((x, y), (to_x, to_y)), 0.1)
            along_x, along_y = (to_x - x) / straight_m, (to_y - y) / straight_m
            while ahead_m < link.length_m and number < count:
                share, side = ahead_m / link.length_m, LAMP_BESIDE_M if number % 2 else -LAMP_BESIDE_M
                place = (
                    x + along_x * straight_m * share - along_y * side,
                    y + along_y * straight_m * share + along_x * side,
                )
                self._device("lamp", self._asset(LAMP, place), place)
                number += 1
                ahead_m += apart_m
            ahead_m -= link.length_m

    def _share_of(self, names: Sequence[str], share: float) -> list[str]:
        chosen = set(self.random.sample(list(names), round(share * len(names))))
        return [name for name in names if name in chosen]

    def _device(
        self,
        family: str,
        asset: AssetRow,
        place: Place,
        *,
        node: Node | None = None,
        link: str = "",
        gage: str = "",
        zero_m: float = 0.0,
    ) -> None:
        district = asset.area_code[:6]
        self.made[district, family] += 1
        serial = self.made[district, family] + self.mapping.first_serial - 1
        vendor, model = self.random.choice(MODELS[family])
        speech = self._speech(family)
        interval_s = FAMILIES[family].default_interval_s
        device_id = device_id_of(speech, district, family, serial)
        row = asset._replace(
            device_id=device_id,
            family=family,
            vendor=vendor,
            model=model,
            expected_interval_s=str(interval_s),
            codec="cbor" if speech == "cbor" else "",
        )
        self.rows.append(row)
        kind = row.asset_code[6:10]
        roster = RosterDevice(device_id, family, district, kind, row.asset_name, row.address, model, interval_s)
        self.sites.append(
            Site(
                device=roster,
                asset_code=row.asset_code,
                area_code=row.area_code,
                lon=float(row.lon),
                lat=float(row.lat),
                node=node.name if node else "",
                link=link,
                gage=gage or self._nearest_gage(place),
                rim_m=round(node.rim_m, 3) if node else 0.0,
                invert_m=round(node.invert_m, 3) if node else 0.0,
                zero_m=round(zero_m, 3),
                diameter_m=self.network.links[link].diameter_m if link else 0.0,
                speech=speech,
                uplink="mains" if family in _MAINS else "nbiot",
            )
        )

    def _bind(self, bound: dict[str, str]) -> None:
        for place, site in enumerate(self.sites):
            if gateway := bound.get(site.device.device_id):
                self.sites[place] = replace(site, gateway_id=gateway, speech="gateway")
        for place, row in enumerate(self.rows):
            if gateway := bound.get(row.device_id):
                self.rows[place] = row._replace(gateway=gateway, codec="")

    def _speech(self, family: str) -> str:
        spoken = {name: weight for name, weight in self.equipment.speeches.items() if speaks(name, family)}
        if not spoken:
            return "json"
        return self.random.choices(list(spoken), list(spoken.values()))[0]


__all__ = ["NetworkCity", "lay_out_city", "load_city", "register"]
