"""A city over a network: what becomes of each element, which pipes the ledger has, and that it keeps as it was made."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from simulators.network.city import NetworkCity, lay_out_city, load_city
from simulators.network.mapping import Centre, Equipped, GageSaid, LowPoint, Mapping, NodeSaid, StationSaid, Water
from simulators.network.model import Link, LinkKind, Network, NetworkError, Node, NodeKind, Subcatchment
from simulators.scenario.model import Equipment
from simulators.site import Site


def node(name: str, invert_m: float, x: float, y: float, kind: NodeKind = "junction", deep_m: float = 3.0) -> Node:
    return Node(name, kind, invert_m, 1.0 if kind == "outfall" else deep_m, x=x, y=y)


def link(upper: Node, lower: Node, kind: LinkKind = "conduit", up_m: float = 0.0, diameter_m: float = 0.6) -> Link:
    """`up_m`: how far above its node it begins."""
    length_m = abs(upper.x - lower.x) + abs(upper.y - lower.y) if upper.x is not None and lower.x is not None else 0  # type: ignore[operator]
    name = f"{upper.name}-{lower.name}"
    return Link(name, kind, upper.name, lower.name, length_m, diameter_m, upper.invert_m + up_m, lower.invert_m)


def network_of(nodes: list[Node], links: list[Link], **more: object) -> Network:
    said: dict[str, object] = {"gages": (), "subcatchments": {}} | more
    return Network("net", {each.name: each for each in nodes}, {each.name: each for each in links}, **said)  # type: ignore[arg-type]


# Y1 → Y2 → Y3 → O1; the well PS pumps into Y2; W1 → W2 → OW is foul
Y1, Y2, Y3 = node("Y1", 72.0, 0, 0), node("Y2", 71.5, 100, 0), node("Y3", 71.0, 200, 0)
O1, PS = node("O1", 70.5, 300, 0, "outfall"), node("PS", 65.0, 100, 60, "storage", 7.0)
W1, W2, OW = node("W1", 70.0, 0, 300), node("W2", 69.7, 80, 300), node("OW", 69.5, 160, 300, "outfall")
STORM = [link(Y1, Y2), link(Y2, Y3, up_m=0.2), link(Y3, O1, diameter_m=0.8), link(PS, Y2, "pump")]
NETWORK = network_of(
    [Y1, Y2, Y3, O1, PS, W1, W2, OW],
    [*STORM, link(W1, W2, diameter_m=0.3), link(W2, OW, diameter_m=0.3)],
    gages=("G1", "G2"),
    subcatchments={"S1": Subcatchment("S1", "G1", "Y1", 1, 60), "S2": Subcatchment("S2", "G2", "S1", 1, 60)},
    water=dict.fromkeys(("W1", "W2", "OW", "W1-W2", "W2-OW"), "foul"),
    gage_places={"G1": (20.0, 10.0)},
)
ALL = Equipment(pipe_gauges=1, cover_sensors=1, road_gauges=1, lamps_per_node=2)
MAPPING = Mapping(
    title="试验管网",
    low_points={"Y3": LowPoint(name="东风路铁路桥下穿", place="underpass", area_m2=640)},
    stations={"PS": StationSaid(name="洹滨泵站")},
    nodes={"O1": NodeSaid(name="洹河排口")},
    gages={"G2": GageSaid(name="气象台")},
)


def city_of(
    network: Network = NETWORK, equipment: Equipment = ALL, mapping: Mapping = MAPPING, seed: int = 1
) -> NetworkCity:
    return lay_out_city(network, equipment, seed, mapping)


def of(city: NetworkCity, family: str) -> list[Site]:
    return [site for site in city.sites if site.device.family == family]


def test_every_element_becomes_what_watches_it() -> None:
    city = city_of()
    assert Counter(site.device.family for site in city.sites) == {
        "rain": 2, "pump": 1, "road": 1, "pipe": 5, "cover": 5, "lamp": 10,
    }  # fmt: skip
    kinds = {name: code[6:10] for name, code in city.node_assets.items()}
    assert kinds == {
        "Y1": "0103", "Y2": "0103", "Y3": "0103", "O1": "2124", "PS": "2115", "W1": "0102", "W2": "0102", "OW": "2124",
    }  # fmt: skip
    assert {site.node: site.asset_code for site in of(city, "pipe")}.items() <= city.node_assets.items()
    [road], [pump] = of(city, "road"), of(city, "pump")
    assert (road.node, road.device.kind, road.device.asset_name, road.device.place) == (
        "Y3", "2121", "东风路铁路桥下穿", "underpass",
    )  # fmt: skip
    assert (pump.node, pump.link, pump.device.asset_name, pump.uplink) == ("PS", "PS-Y2", "洹滨泵站1号泵", "mains")
    assert [site.device.asset_name for site in of(city, "rain")][1] == "气象台"
    assert {row.asset_name for row in city.assets} >= {"洹河排口", "洹滨泵站"}
    assert city.ponds == {"Y3": 640}
    assert city.title == "试验管网"
    assert city.gages["G1"] == pytest.approx((20 - 150, 10 - 150))
    assert city.gages["G2"] == city.places["Y1"]  # what it rains on drains there


def test_a_gauge_measures_from_its_outlet_and_the_ledger_says_so() -> None:
    city = city_of()
    sites = {site.node: site for site in of(city, "pipe")}
    assert (sites["Y2"].link, sites["Y2"].zero_m, sites["Y2"].diameter_m) == ("Y2-Y3", 0.2, 0.6)
    assert (sites["Y3"].rim_m, sites["Y3"].invert_m, sites["Y3"].zero_m) == (74.0, 71.0, 0.0)
    rows = {row.asset_code: row for row in city.assets}
    assert rows[city.node_assets["Y2"]].gauge_zero_m == "71.700"
    assert rows[city.node_assets["Y2"]].rim_level_m == "74.500"
    covers = {site.node: site for site in of(city, "cover")}
    assert (covers["Y1"].rim_m, covers["Y1"].invert_m, covers["Y1"].gage) == (75.0, 72.0, "G2")


def test_the_ledger_of_pipes() -> None:
    city = city_of()
    assert city.pipe_ids == {name: name for name in ("Y1-Y2", "Y2-Y3", "Y3-O1", "W1-W2", "W2-OW")}
    assert city.left_out == {"PS-Y2": "pumps: their station is where pipes end"}
    pipes = {pipe.pipe_id: pipe for pipe in city.pipes}
    upper, lower = city.node_assets["Y2"], city.node_assets["Y3"]
    assert pipes["Y2-Y3"][:4] == ("Y2-Y3", upper, lower, "storm")
    assert pipes["Y2-Y3"][4:] == ("600.0", "100.00", "71.700", "71.000", "0.013")
    assert pipes["W1-W2"].kind == "foul"


def test_codes_names_and_addresses_are_those_of_a_city() -> None:
    city = city_of()
    codes = {row.asset_code: (row.asset_name, row.lon, row.lat, row.rim_level_m) for row in city.assets}
    for row in city.assets:
        assert len(row.asset_code) == 16
        assert row.asset_code.startswith(row.area_code[:6])
        assert codes[row.asset_code] == (row.asset_name, row.lon, row.lat, row.rim_level_m)  # of one asset, the same
        assert row.area_name.startswith("安阳市/文峰区/")
        assert "路" in row.address
        assert (row.family == "") == (row.device_id == "")
    ids = [site.device.device_id for site in city.sites]
    assert len(set(ids)) == len(ids)
    later = city_of(mapping=MAPPING.model_copy(update={"first_serial": 5001}))
    assert not {row.asset_code for row in later.assets} & codes.keys()
    assert not {site.device.device_id for site in later.sites} & set(ids)


def test_the_mapping_has_the_last_word() -> None:
    mapping = Mapping(
        area="320583", area_names={"320583": "苏州市/昆山市"}, water=Water(storm=("W1-W2",), foul=("Y1", "Y2")),
        equipped=Equipped(pipe=("Y1",), cover=()), gateways={"GW-1": ("Y*",)}, low_points={},
    )  # fmt: skip
    city = city_of(mapping=mapping)
    assert {row.asset_code[:6] for row in city.assets} == {"320583"}
    assert {row.area_name for row in city.assets} == {"苏州市/昆山市"}
    assert {row.maintenance_unit for row in city.assets if row.asset_code[6:10] == "0103"} == {"昆山市排水养护队"}
    kinds = {pipe.pipe_id: pipe.kind for pipe in city.pipes}
    assert (kinds["W1-W2"], kinds["Y1-Y2"], kinds["Y3-O1"]) == ("storm", "foul", "storm")
    assert [site.node for site in of(city, "pipe")] == ["Y1"]
    assert not of(city, "cover")
    assert not of(city, "road")
    assert city.gateways == {"GW-1": tuple(site.device.device_id for site in city.sites if site.node == "Y1")}
    assert {site.speech for site in city.sites if site.gateway_id} == {"gateway"}
    with pytest.raises(NetworkError, match="area = '3205'"):
        city_of(mapping=Mapping(area="3205"))


def test_shares_of_places_speeches_and_gateways() -> None:
    equipment = Equipment(
        pipe_gauges=0.4, cover_sensors=0.6, road_gauges=0, lamps_per_node=40, through_gateways=0.5,
        speeches={"json": 1, "cbor": 1, "ctwing-ad19prof": 2, "dtu-hj212-pipe": 2},
    )  # fmt: skip
    city = city_of(equipment=equipment)
    assert [len(of(city, family)) for family in ("pipe", "cover", "road", "lamp")] == [2, 3, 0, 200]
    behind = [site for site in city.sites if site.gateway_id]
    assert len(behind) == round(0.5 * len(city.sites))
    assert {site.speech for site in behind} == {"gateway"}
    assert sorted(device for devices in city.gateways.values() for device in devices) == sorted(
        site.device.device_id for site in behind
    )
    assert all(len(devices) <= 50 for devices in city.gateways.values())
    rows = {row.device_id: row for row in city.assets if row.device_id}
    for site in city.sites:
        row = rows[site.device.device_id]
        assert (row.gateway, row.codec) == (site.gateway_id, "cbor" if site.speech == "cbor" else "")
        assert site.speech in ("json", "cbor", "gateway") or site.device.family in ("cover", "pipe")
    speeches = Counter(site.speech for site in city.sites if site.device.family == "lamp" and not site.gateway_id)
    assert speeches.keys() == {"json", "cbor"}


def test_a_vendors_units_are_called_as_he_numbers_them() -> None:
    speeches = {"ctwing-ad19prof": 1.0, "dtu-hj212-pipe": 1.0}
    city = city_of(equipment=ALL.model_copy(update={"speeches": speeches}))
    assert city.mappings == ("ctwing-ad19prof", "dtu-hj212-pipe")
    for site in of(city, "cover"):
        digits = [int(digit) for digit in site.device.device_id]
        assert len(digits) == 15
        luhn = sum(sum(divmod(digit * (1 + place % 2), 10)) for place, digit in enumerate(digits))
        assert luhn % 10 == 0  # an IMEI ends in its check digit
    for site in of(city, "pipe"):
        assert site.device.device_id.isalnum()
        assert 14 <= len(site.device.device_id) <= 24


def test_lamps_stand_along_the_streets_on_both_sides() -> None:
    city = city_of(equipment=ALL.model_copy(update={"lamps_per_node": 4}))
    lamps = of(city, "lamp")
    assert len(lamps) == 20
    assert len({(site.lon, site.lat) for site in lamps}) == 20
    lats = sorted({round(site.lat * 111_000) for site in lamps})
    assert len(lats) == 4  # two streets, two sides each


def test_low_points_are_found_by_their_rims_where_nothing_says_them() -> None:
    sunk = replace(Y2, max_depth_m=2.0)
    nodes = [sunk if each.name == "Y2" else each for each in NETWORK.nodes.values()]
    city = city_of(replace(NETWORK, nodes={each.name: each for each in nodes}), mapping=Mapping())
    assert [site.node for site in of(city, "road")] == ["Y2"]
    assert city.ponds == {"Y2": 800}


def test_gauges_stand_at_confluences_first() -> None:
    side = node("Y4", 71.8, 100, -100)
    network = network_of([Y1, Y2, Y3, O1, side], [link(Y1, Y2), link(side, Y2), link(Y2, Y3), link(Y3, O1)])
    for seed in range(5):
        city = city_of(network, Equipment(pipe_gauges=0.25), Mapping(), seed)
        assert [site.node for site in of(city, "pipe")] == ["Y2"]


def test_a_conduit_drawn_against_its_fall_is_turned() -> None:
    backwards = Link("Y2-Y1", "conduit", "Y2", "Y1", 100, 0.6, 71.5, 72.0)
    network = network_of([Y1, Y2, Y3, O1], [backwards, link(Y2, Y3), link(Y3, O1)])
    [first] = [pipe for pipe in city_of(network, mapping=Mapping()).pipes if pipe.pipe_id == "Y2-Y1"]
    assert (first.invert_up_m, first.invert_down_m) == ("72.000", "71.500")
    # One that rises but is the only way out stays as it is: such sewers exist, and are told by the checks.
    rising = network_of([Y2, Y1, O1], [backwards, link(Y1, O1)])
    [only] = [pipe for pipe in city_of(rising, mapping=Mapping()).pipes if pipe.pipe_id == "Y2-Y1"]
    assert (only.invert_up_m, only.invert_down_m) == ("71.500", "72.000")


def test_no_circle_comes_into_the_ledger() -> None:
    back = Link("back", "conduit", "Y3", "Y1", 230, 0.4, 72.5, 72.0)
    network = network_of([Y1, Y2, Y3, O1], [link(Y1, Y2), link(Y2, Y3), link(Y3, O1), back])
    city = city_of(network, mapping=Mapping())
    assert city.left_out == {"back": "water would flow in a circle through it"}
    assert list(city.pipe_ids) == ["Y1-Y2", "Y2-Y3", "Y3-O1"]


def test_openings_are_pipes_where_nothing_else_leads_on() -> None:
    basin = node("ST", 71.0, 100, 0, "storage", 4.0)
    links = [link(Y1, basin), link(basin, Y3, "orifice", 0.1, 0.4), link(basin, O1, "weir", 2.0), link(Y3, O1)]
    city = city_of(network_of([Y1, basin, Y3, O1], links), mapping=Mapping())
    assert city.left_out == {"ST-O1": "weirs beside what leads on"}
    [opening] = [pipe for pipe in city.pipes if pipe.pipe_id == "ST-Y3"]
    assert (opening.diameter_mm, opening.length_m, opening.invert_up_m) == ("400.0", "100.00", "71.100")
    assert city.node_assets["ST"][6:10] == "2123"


def test_names_that_no_pipe_can_have_get_numbers() -> None:
    odd = replace(link(Y1, Y2), name="一号 管")
    city = city_of(network_of([Y1, Y2, O1], [odd, replace(link(Y2, O1), name="pipe-0001")]), mapping=Mapping())
    assert city.pipe_ids == {"一号 管": "pipe-0002", "pipe-0001": "pipe-0001"}


def test_the_same_values_give_the_same_city_and_it_keeps(tmp_path: Path) -> None:
    equipment = Equipment(through_gateways=0.3, speeches={"json": 1, "cbor": 1})
    city = city_of(equipment=equipment, seed=7)
    assert city == city_of(equipment=equipment, seed=7)
    assert city != city_of(equipment=equipment, seed=8)
    city.write(tmp_path / "city")
    assert load_city(tmp_path / "city") == city
    first = (tmp_path / "city" / "sites.json").read_bytes()
    city_of(equipment=equipment, seed=7).write(tmp_path / "city")
    assert (tmp_path / "city" / "sites.json").read_bytes() == first


def test_a_folder_that_is_no_city_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"sites\.json: there is no such file"):
        load_city(tmp_path)
    city_of().write(tmp_path)
    (tmp_path / "pipes.csv").write_text("pipe_id,kind\n", encoding="utf-8")
    with pytest.raises(NetworkError, match=r"pipes\.csv: its columns are not"):
        load_city(tmp_path)
    (tmp_path / "sites.json").write_text("{", encoding="utf-8")
    with pytest.raises(NetworkError, match=r"sites\.json: is not what a city was written as"):
        load_city(tmp_path)
    city_of().write(tmp_path)
    (tmp_path / "sites.json").write_text('{"format": 0}', encoding="utf-8")
    with pytest.raises(NetworkError, match="format = 0"):
        load_city(tmp_path)


def test_a_network_elsewhere_says_in_which_area_it_is() -> None:
    away = Mapping(centre=Centre(lon=120.95, lat=31.39))
    with pytest.raises(NetworkError, match=r"mapping: area = '': .* in which 120\.94"):
        city_of(mapping=away)
    city = city_of(mapping=away.model_copy(update={"area": "320583", "title": "昆山管网"}))
    [station] = [row for row in city.assets if row.asset_code == city.node_assets["PS"]]
    assert station.asset_name == "PS雨水泵站"
    assert station.address.startswith("昆山管网（120.9")


def test_water_stands_over_low_manholes_only() -> None:
    """SWMM lets nothing stand over a chamber with a size of its own."""
    city = city_of(mapping=Mapping(low_points={"PS": LowPoint(place="underpass"), "Y2": LowPoint()}))
    assert city.ponds == {"Y2": 800}
    assert {site.node for site in of(city, "road")} == {"PS", "Y2"}
