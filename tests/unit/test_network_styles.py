"""Made-up networks of every style: as sewers are designed, without a gap, each to its outfall; by the seed alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import networkx as nx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulators.network.city import NetworkCity, lay_out_city
from simulators.network.generate import STYLES, generate_network
from simulators.network.mapping import read_mapping
from simulators.network.model import Network, NetworkError
from simulators.network.read import read_network
from simulators.network.sizing import capacity_m3_s, intensity_l_s_ha
from simulators.scenario.model import Equipment
from underfoot.ledger.pipe_checks import check
from underfoot.ledger.pipes import GAUGE_ZERO_ATTRIBUTES, RIM_ATTRIBUTES, Node, Pipe, metres


def made(folder: Path, style: str, nodes: int, seed: int) -> tuple[Network, NetworkCity]:
    path = folder / f"{style}.inp"
    generate_network(path, style=style, nodes=nodes, seed=seed)
    network = read_network(path)
    return network, lay_out_city(network, Equipment(), seed, read_mapping(path.with_suffix(".yaml")))


def ledger_of(city: NetworkCity) -> tuple[list[Pipe], list[Node]]:
    """What the ledger has after the city's import."""
    rows = {row.asset_code: row for row in city.assets}
    keys = {code: key for key, code in enumerate(sorted(rows), start=1)}
    pipes = [
        Pipe(
            key, row.pipe_id, keys[row.from_asset], keys[row.to_asset], row.kind, float(row.diameter_mm),
            float(row.length_m), float(row.invert_up_m), float(row.invert_down_m),
        )
        for key, row in enumerate(city.pipes, start=1)
    ]  # fmt: skip
    nodes = []
    for code in sorted({code for pipe in city.pipes for code in (pipe.from_asset, pipe.to_asset)}):
        row = rows[code]
        said = {name: value for name, value in row._asdict().items() if value}
        nodes.append(
            Node(
                keys[code], code, code[6:10], row.asset_name, row.area_code, float(row.lon), float(row.lat),
                metres(said, RIM_ATTRIBUTES), metres(said, GAUGE_ZERO_ATTRIBUTES), tuple(row.tags.split()),
            )
        )  # fmt: skip
    return pipes, nodes


@settings(max_examples=8)
@given(style=st.sampled_from(sorted(STYLES)), nodes=st.integers(24, 90), seed=st.integers(0, 2**32))
@example(style="demo", nodes=24, seed=0)
@example(style="plain", nodes=24, seed=0)
@example(style="old-town", nodes=24, seed=0)
@example(style="hillside", nodes=24, seed=0)
def test_any_made_up_network_is_a_clean_ledger_of_pipes(style: str, nodes: int, seed: int) -> None:
    with TemporaryDirectory() as folder:
        network, city = made(Path(folder), style, nodes, seed)
    assert len(network.nodes) == nodes
    pipes, ends = ledger_of(city)
    # Deep manholes exist; anything else would be a mistake of the design.
    assert [finding for finding in check(pipes, ends) if finding.check != "drop"] == []
    graph = nx.DiGraph((pipe.from_asset, pipe.to_asset) for pipe in pipes)
    lasting = {node.asset_key for node in ends if node.may_be_outfall}
    for node in ends:
        assert {node.asset_key, *nx.descendants(graph, node.asset_key)} & lasting, f"{node.name} reaches no outfall"
    for name, each in network.nodes.items():
        assert each.kind == "outfall" or each.max_depth_m > 1, f"{name} is no manhole"
    assert {site.device.family for site in city.sites} >= {"pipe", "cover", "road", "rain", "lamp"}
    assert {pipe.kind for pipe in pipes} == {"storm", "foul"}


@pytest.mark.parametrize("style", sorted(STYLES))
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, style: str) -> None:
    texts = []
    for number, seed in enumerate((5, 5, 6)):
        path = tmp_path / f"{number}.inp"
        generate_network(path, style=style, nodes=60, seed=seed)
        texts.append((path.read_bytes(), path.with_suffix(".yaml").read_bytes()))
    assert texts[0] == texts[1]
    assert texts[0][0] != texts[2][0]


def test_the_demo_city_has_what_a_storm_needs(tmp_path: Path) -> None:
    network, city = made(tmp_path, "demo", 240, 1)
    assert len(network.nodes) == 240
    assert len({link.from_node for link in network.links.values() if link.kind == "pump"}) == 2
    assert {site.device.place for site in city.sites if site.device.family == "road"} == {"road", "underpass"}
    names = {row.asset_name for row in city.assets}
    assert {"洹河雨水排口", "洹滨雨水泵站", "东风路雨水泵站", "东风路铁路桥下穿", "污水处理厂进水口"} <= names
    assert len(network.gages) >= 4
    assert {row.area_code[:6] for row in city.assets} <= {"410502", "410503"}
    foul = [link for link in network.links.values() if network.carries(link.name) == "foul"]
    assert len(foul) >= 50


@pytest.mark.parametrize("style", sorted(STYLES))
def test_sewers_grow_downstream_and_fall(tmp_path: Path, style: str) -> None:
    network, _ = made(tmp_path, style, 120, 3)
    sewers = [link for link in network.links.values() if link.kind == "conduit"]
    begin = Counter(link.from_node for link in sewers)
    # Where two begin one closes a ring, and is as wide as a ring needs.
    rings = {link.name for link in sewers if begin[link.from_node] > 1}
    below = {link.from_node: link for link in sewers if link.name not in rings}
    for link in sewers:
        assert link.up_m > link.down_m
        assert link.up_m + link.diameter_m <= network.nodes[link.from_node].rim_m
        after = below.get(link.to_node)
        if after is not None and link.name not in rings:
            assert after.diameter_m >= link.diameter_m
            assert after.up_m <= link.down_m + 0.001


def test_pipes_and_storms_by_the_book() -> None:
    # A concrete DN600 at 2 ‰ carries 0.275 m³/s (Manning, n = 0.013).
    assert capacity_m3_s(0.6, 0.002) == pytest.approx(0.275, abs=0.002)
    # q = 3680 P^0.4 / (t + 16.7)^0.858: two years, ten minutes.
    assert intensity_l_s_ha(2, 10) == pytest.approx(3680 * 2**0.4 / 26.7**0.858, rel=1e-3)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"style": "seaside"}, "style: 'seaside'; one of demo"),
        ({"nodes": 10}, "nodes: 10; 24 to 20000"),
        ({"nodes": 30_000}, "nodes: 30000"),
        ({"out": "net.txt"}, "ends in .inp"),
        ({"out": "nowhere/net.inp"}, "cannot be written"),
    ],
)
def test_what_cannot_be_made_is_refused(tmp_path: Path, said: dict[str, object], told: str) -> None:
    asked = {"out": "net.inp", "style": "demo", "nodes": 60} | said
    with pytest.raises(NetworkError, match=told):
        generate_network(
            tmp_path / str(asked["out"]), style=str(asked["style"]), nodes=int(str(asked["nodes"])), seed=1
        )
