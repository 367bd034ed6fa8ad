"""Reading drainage networks: units, offsets, encodings, odd sections, and files that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.network.model import Network, NetworkError
from simulators.network.read import read_network

SI = """
[TITLE]
a network; see [JUNCTIONS] below

[OPTIONS]
FLOW_UNITS   CMS

[RAINGAGES]
;;Name Format Interval SCF Source
G1     INTENSITY 0:01 1.0 TIMESERIES dry

[SUBCATCHMENTS]
S1  G1  J1  1.5  60  100  1  0
S2  *   S1  0.5  20  50   1  0

[JUNCTIONS]
J1  72.5   3.0  0  0.5  800
J2  72.0   0
W1  70.0   2.5

[OUTFALLS]
O1  71.0  FIXED  71.5  YES
WO  69.0  FREE

[CONDUITS]
C1  J1  j2  100  0.013  0     0.1
C2  J2  O1  80   0.015  0.05  *
CW  W1  WO  60   0.012  0     0

[XSECTIONS]
C1  CIRCULAR     0.6  0  0  0  1
C2  rect_closed  1.0  2.4  0  0
CW  EGG          0.4

[DWF]
W1  FLOW  0.002

[COORDINATES]
J1  100.0  200.0
J2  200.0  200.0

[SYMBOLS]
G1  150  250
"""


def read(folder: Path, text: str | bytes, name: str = "net.inp") -> Network:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_network(path)


def test_nodes_and_links_in_metres(tmp_path: Path) -> None:
    network = read(tmp_path, SI)
    assert network.name == "net"
    first, second, outfall = (network.nodes[name] for name in ("J1", "J2", "O1"))
    assert (first.kind, first.invert_m, first.max_depth_m, first.rim_m) == ("junction", 72.5, 3.0, 75.5)
    assert (first.surcharge_m, first.ponded_area_m2, first.x, first.y) == (0.5, 800.0, 100.0, 200.0)
    # Without a depth a node reaches to the highest crown: C1 comes in 0.1 m above its invert, and is 0.6 m high.
    assert second.max_depth_m == pytest.approx(1.05)
    assert (outfall.kind, outfall.x, outfall.max_depth_m) == ("outfall", None, 1.0)
    link = network.links["C1"]
    assert (link.from_node, link.to_node, link.length_m, link.diameter_m) == ("J1", "J2", 100.0, 0.6)
    assert (link.up_m, link.down_m, link.roughness) == (72.5, 72.1, 0.013)
    assert (network.links["C2"].diameter_m, network.links["C2"].up_m, network.links["C2"].down_m) == (1.0, 72.05, 71.0)
    assert network.gages == ("G1",)
    assert network.gage_places == {"G1": (150.0, 250.0)}
    assert [(each.gage, each.outlet, each.area_ha) for each in network.subcatchments.values()] == [
        ("G1", "J1", 1.5),
        ("", "S1", 0.5),
    ]


def test_a_part_without_rain_but_with_dry_flow_is_foul(tmp_path: Path) -> None:
    network = read(tmp_path, SI)
    assert {name for name in (*network.nodes, *network.links) if network.carries(name) == "foul"} == {"W1", "WO", "CW"}
    # Rain on it makes it a combined sewer, which runs full by design as storm sewers do.
    rained_on = SI.replace("S2  *   S1", "S2  *   W1")
    assert "foul" not in read(tmp_path, rained_on).water.values()


def test_an_inflow_is_foul_where_it_never_stops(tmp_path: Path) -> None:
    """One with a series of its own may as well be a storm's."""
    dry = SI[: SI.index("[DWF]")] + "[INFLOWS]\n;;Node Param Series Type Mf Sf Base\n"
    assert read(tmp_path, dry + 'W1 FLOW "" FLOW 1.0 1.0 0.004').carries("CW") == "foul"
    assert read(tmp_path, dry + "W1 FLOW hydrograph FLOW 1.0 1.0 0").carries("CW") == "storm"
    assert read(tmp_path, dry + 'W1 BOD "" CONCEN 1.0 1.0 5').carries("CW") == "storm"


def test_american_units(tmp_path: Path) -> None:
    network = read(tmp_path, SI.replace("CMS", "GPM"))
    assert network.nodes["J1"].invert_m == pytest.approx(72.5 * 0.3048)
    assert network.nodes["J1"].ponded_area_m2 == pytest.approx(800 * 0.3048**2)
    assert network.links["C1"].length_m == pytest.approx(30.48)
    assert network.links["C1"].diameter_m == pytest.approx(0.18288)
    assert network.links["C1"].down_m == pytest.approx(72.1 * 0.3048)
    assert network.subcatchments["S1"].area_ha == pytest.approx(1.5 * 0.40468564)
    assert network.nodes["J1"].x == 100.0
    # A file that does not say its units is in cubic feet a second.
    assert read(tmp_path, SI.replace("FLOW_UNITS   CMS", "")).links["C1"].length_m == pytest.approx(30.48)


def test_offsets_that_are_elevations(tmp_path: Path) -> None:
    text = SI.replace("[RAINGAGES]", "LINK_OFFSETS ELEVATION\n[RAINGAGES]")
    text = (
        text.replace("0     0.1", "72.55  72.1")
        .replace("0.05  *", "72.05  *")
        .replace("0.012  0     0", "0.012 * 69.2")
    )
    links = read(tmp_path, text).links
    assert [(links[name].up_m, links[name].down_m) for name in ("C1", "C2", "CW")] == [
        (72.55, 72.1),
        (72.05, 71.0),
        (70.0, 69.2),
    ]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "检查井一"),
        ("utf-8-sig", "检查井一"),
        ("gb18030", "检查井一"),
        ("utf-16", "检查井一"),
        ("latin-1", "Straße"),
    ],
)
def test_any_encoding(tmp_path: Path, encoding: str, name: str) -> None:
    network = read(tmp_path, SI.replace("J1", name).encode(encoding))
    assert network.links["C1"].from_node == name


def test_sections_as_swmm_knows_them(tmp_path: Path) -> None:
    """By their first letters, in any case, in pieces; names in quotation marks, comments behind a value."""
    text = SI.replace("[JUNCTIONS]", "[junc]").replace("[XSECTIONS]", "[XSECTION]").replace("[CONDUITS]", "[Conduits]")
    text = text.replace("J1", '"J 1"').replace("72.0   0", "72.0   0 ; a comment [OUTFALLS]")
    text += '\n[JUNCTIONS]\n;;\nJ9 71 2\n[CONDUITS]\nC9 J9 "J 1" 40 0.013 0 0\n[XSECTIONS]\nC9 CIRCULAR 0.5\n'
    network = read(tmp_path, text)
    assert list(network.nodes) == ["J 1", "J2", "W1", "J9", "O1", "WO"]
    assert network.links["C9"].to_node == "J 1"


def test_storage_pumps_orifices_weirs_and_outlets(tmp_path: Path) -> None:
    text = (
        SI
        + """
[STORAGE]
ST1  69.5  6.0  1.0  functional  0 0 40  0 0
ST2  70.5  4.0  0    TABULAR     curve
[DIVIDERS]
D1   71.2  C2   CUTOFF 1.0  2.2 0 0 0
[PUMPS]
P1   ST1  J1  pcurve  OFF  1.9  1.1
P2   ST1  J1  *
[ORIFICES]
OR   ST2  D1  SIDE    0.3  0.65  NO  0
[WEIRS]
WE   D1   ST1 TRANSVERSE 1.5 3.33 NO 0 0
[OUTLETS]
OU   ST2  ST1 0.2  TABULAR/DEPTH rating NO
[XSECTIONS]
OR   RECT_CLOSED 0.4 0.5 0 0
WE   RECT_OPEN   0.7 2   0 0
[CURVES]
curve STORAGE 0 100 4 300
"""
    )
    network = read(tmp_path, text)
    assert [
        (each.kind, each.max_depth_m) for each in network.nodes.values() if each.kind in ("storage", "divider")
    ] == [
        ("divider", 2.2),
        ("storage", 6.0),
        ("storage", 4.0),
    ]
    found = {name: link for name, link in network.links.items() if link.kind != "conduit"}
    assert [(link.kind, link.from_node, link.to_node) for link in found.values()] == [
        ("pump", "ST1", "J1"),
        ("pump", "ST1", "J1"),
        ("orifice", "ST2", "D1"),
        ("weir", "D1", "ST1"),
        ("outlet", "ST2", "ST1"),
    ]
    assert found["OR"].up_m == pytest.approx(70.8)
    assert found["OR"].diameter_m == 0.4
    assert found["WE"].up_m == pytest.approx(72.7)


def test_heights_of_sections_that_are_no_circles(tmp_path: Path) -> None:
    text = SI.replace("C1  CIRCULAR     0.6  0  0  0  1", "C1  IRREGULAR  ditch")
    text = text.replace("C2  rect_closed  1.0  2.4  0  0", "C2  STREET  lane")
    text += """
[TRANSECTS]
NC 0.02 0.02 0.02
X1 ditch 4 0 9 0 0 0 0 0 0
GR 101.5 0  100.2 3
GR 100.2 6  101.4 9
[STREETS]
lane 6 0.15 2 0.016
"""
    links = read(tmp_path, text).links
    assert links["C1"].diameter_m == pytest.approx(1.3)
    assert links["C2"].diameter_m == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("said", "instead", "told"),
    [
        ("J1  72.5   3.0", "J1  seven  3.0", ["line 17", "[JUNCTIONS] J1", "'seven'"]),
        ("J2  72.0   0", "J2", ["line 18", "[JUNCTIONS] J2", "too few"]),
        ("J1  72.5   3.0", "J1  72.5  -3.0", ["J1", "maximum depth = -3.0"]),
        ("J1  72.5   3.0", "J1  nan  3.0", ["J1", "elevation = nan"]),
        ("J2  72.0   0", "j1  72.0   0", ["line 18", "[JUNCTIONS] j1", "already"]),
        ("[OUTFALLS]", "A 1 1\nA 1 1\n[OUTFALLS]", ["[JUNCTIONS] A", "already"]),
        ("C1  J1  j2", "C1  J1  J7", ["[CONDUITS] C1", "to node = 'J7'"]),
        ("C1  J1  j2", "C1  J1  J1", ["[CONDUITS] C1", "both 'J1'"]),
        ("C1  J1  j2  100", "C1  J1  j2  0", ["C1", "length = 0"]),
        ("100  0.013", "100  0", ["C1", "roughness = 0"]),
        ("CW  EGG          0.4", "", ["[CONDUITS] CW", "[XSECTIONS]"]),
        ("CW  EGG          0.4", "CW  EGG  wide", ["[XSECTIONS] CW", "'wide'"]),
        ("CW  EGG          0.4", "CX  EGG  0.4", ["[XSECTIONS] CX", "no such conduit"]),
        ("CW  EGG          0.4", "CW  ARCH  7", ["[XSECTIONS] CW", "standard size 7"]),
        ("CW  EGG          0.4", "CW  IRREGULAR  ditch", ["[XSECTIONS] CW", "transect = 'ditch'"]),
        ("S1  G1  J1", "S1  G2  J1", ["[SUBCATCHMENTS] S1", "rain gage = 'G2'"]),
        ("S1  G1  J1", "S1  G1  J7", ["[SUBCATCHMENTS] S1", "outlet = 'J7'"]),
        ("W1  FLOW  0.002", "W7  FLOW  0.002", ["[DWF] W7", "node = 'W7'"]),
        ("J1  100.0  200.0", "J1  100.0  north", ["[COORDINATES] J1", "'north'"]),
        ("FLOW_UNITS   CMS", "FLOW_UNITS   M3H", ["[OPTIONS] FLOW_UNITS", "M3H", "CMS"]),
        ("FLOW_UNITS   CMS", "LINK_OFFSETS HEIGHT", ["[OPTIONS] LINK_OFFSETS", "HEIGHT"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_value(
    tmp_path: Path, said: str, instead: str, told: list[str]
) -> None:
    assert said in SI
    with pytest.raises(NetworkError) as refusal:
        read(tmp_path, SI.replace(said, instead))
    for part in ("net.inp", *told):
        assert part in str(refusal.value)


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    for text, told in ((b"", "no node"), (b"\x00\x01\x02", "no node"), (b"[TITLE]\nnothing", "no node")):
        with pytest.raises(NetworkError, match=told):
            read(tmp_path, text)
    with pytest.raises(NetworkError, match="No such file"):
        read_network(tmp_path / "absent.inp")
    with pytest.raises(NetworkError, match="directory"):
        read_network(tmp_path)
