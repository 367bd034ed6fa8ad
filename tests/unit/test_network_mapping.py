"""The mapping file: what it may say, and how it tells what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.network.mapping import LowPoint, Mapping, check_mapping, read_mapping
from simulators.network.model import Link, Network, NetworkError, Node

NETWORK = Network(
    "net",
    {name: Node(name, "junction", 10.0, 3.0) for name in ("Y1", "Y2", "W1")} | {"PS": Node("PS", "storage", 8.0, 6.0)},
    {"Y1-Y2": Link("Y1-Y2", "conduit", "Y1", "Y2", 50, 0.5), "P1": Link("P1", "pump", "PS", "Y1")},
    ("G1",),
    {},
)

WHOLE = """
title: 试验管网
centre: {lon: 114.3, lat: 36.1}
metres_per_unit: 0.3048
area: 410502003000
area_names: {"410502003": 安阳市/文峰区/南关街道}
first_serial: 5001
water: {foul: [W*], storm: [Y1]}
nodes:
  Y1: {name: 一号井, address: 人民大道1号, area: "410502003001", lon: 114.31, lat: 36.11}
low_points:
  Y2: {name: 东风路下穿, place: underpass, area_m2: 600}
stations:
  PS: {name: 洹滨泵站}
gages:
  G1: {name: 气象台, lon: 114.2, lat: 36.0}
equipped: {pipe: ["Y*"], cover: []}
gateways: {"GW-1": ["Y1", "W*"]}
"""


def mapping_of(folder: Path, text: str) -> Mapping:
    path = folder / "net.yaml"
    path.write_text(text, encoding="utf-8")
    return read_mapping(path)


def test_all_that_it_may_say(tmp_path: Path) -> None:
    mapping = mapping_of(tmp_path, WHOLE)
    check_mapping(mapping, NETWORK)
    assert mapping.area == "410502003"  # padded to 12 digits it is the same street
    assert mapping.nodes["Y1"].area == "410502003001"
    assert mapping.low_points == {"Y2": LowPoint(name="东风路下穿", place="underpass", area_m2=600)}
    assert (mapping.equipped.pipe, mapping.equipped.cover) == (("Y*",), ())
    assert mapping.gateways == {"GW-1": ("Y1", "W*")}


def test_nothing_has_to_be_said(tmp_path: Path) -> None:
    assert mapping_of(tmp_path, "") == mapping_of(tmp_path, "# nothing\n") == Mapping()
    check_mapping(Mapping(), NETWORK)


@pytest.mark.parametrize(
    ("said", "instead", "told"),
    [
        ("area_m2: 600", "area_m2: -6", ["line 12", "low_points.Y2.area_m2 = -6", "greater than 0"]),
        ("place: underpass", "place: bridge", ["line 12", "low_points.Y2.place = 'bridge'", "underpass"]),
        ("lon: 114.3, ", "lon: 11.43, ", ["line 3", "centre.lon = 11.43"]),
        ("lon: 114.2, ", "", ["line 16", "gages.G1", "lon and lat go together"]),
        ('"410502003001"', '"4105x"', ["line 10", "nodes.Y1.area = '4105x'", "6"]),
        ("title: 试验管网", "tilte: 试验管网", ["line 2", "tilte", "Extra inputs"]),
        ('"GW-1"', '"GW 1"', ["gateways", "GW 1"]),
        ("first_serial: 5001", "first_serial: 0", ["first_serial = 0"]),
        ("nodes:", "nodes: [", ["not YAML"]),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, said: str, instead: str, told: list[str]) -> None:
    assert said in WHOLE
    with pytest.raises(NetworkError) as refusal:
        mapping_of(tmp_path, WHOLE.replace(said, instead))
    for part in ("net.yaml", *told):
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("said", "instead", "told"),
    [
        ("  Y1: {name", "  Y7: {name", "nodes.Y7"),
        ("  Y2: {name", "  Y7: {name", "low_points.Y7"),
        ("  PS: {name", "  Y1: {name", "stations.Y1: .* no such node from which a pump lifts"),
        ("  G1: {name", "  G7: {name", "gages.G7"),
        ("foul: [W*]", "foul: [X*]", "water.foul: 'X\\*'"),
        ('pipe: ["Y*"]', 'pipe: ["Y7"]', "equipped.pipe: 'Y7'"),
        ('["Y1", "W*"]', '["Y1", "Z"]', "gateways.GW-1: 'Z'"),
    ],
)
def test_what_it_names_is_in_the_network(tmp_path: Path, said: str, instead: str, told: str) -> None:
    assert said in WHOLE
    mapping = mapping_of(tmp_path, WHOLE.replace(said, instead))
    with pytest.raises(NetworkError, match=told):
        check_mapping(mapping, NETWORK)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="there is no such file"):
        read_mapping(tmp_path / "absent.yaml")
