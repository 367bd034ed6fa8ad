"""A network registered as a city: the ledger takes it whole; the engine's graph, its heads and the API work on it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alerts.drainage.graph import catchments, load, outfalls
from alerts.drainage.readings import load_readings
from simulators.cli import commands
from simulators.hydraulics.run import run_hydraulics
from simulators.network.city import NetworkCity, lay_out_city, load_city, register
from simulators.network.generate import STYLES, generate_network
from simulators.network.mapping import read_mapping
from simulators.network.model import Network, NetworkError
from simulators.network.read import read_network
from simulators.rain import hyetographs
from simulators.scenario.model import ChicagoRain, Equipment
from tests.integration.api.served import Served, keyed
from underfoot.ledger.pipe_checks import check
from underfoot.ledger.pipes import load_pipes
from underfoot.ledger.staging import Count
from underfoot.storage.connect import Connection, connect

EQUIPMENT = Equipment(
    pipe_gauges=0.6, cover_sensors=0.5, lamps_per_node=0.5, through_gateways=0.2, speeches={"json": 2, "cbor": 1}
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    path = tmp_path_factory.mktemp("network") / "demo.inp"
    generate_network(path, style="demo", nodes=60, seed=3)
    return path, read_network(path)


def city_of(made: tuple[Path, Network], equipment: Equipment = EQUIPMENT) -> NetworkCity:
    path, network = made
    return lay_out_city(network, equipment, 1, read_mapping(path.with_suffix(".yaml")))


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database, "test") as opened:
        yield opened


def test_a_network_becomes_a_city_in_one_go(connection: Connection, made: tuple[Path, Network], tmp_path: Path) -> None:
    city = city_of(made)
    city.write(tmp_path)
    assets, pipes = register(connection, tmp_path, "tester")
    assert assets.bad_rows == pipes.bad_rows == 0
    assert assets.assets == Count(new=len({row.asset_code for row in city.assets}))
    assert assets.devices == Count(new=len(city.sites))
    assert pipes.pipes == Count(new=len(city.pipes))
    assert pipes.warnings == {}

    assert check(*load_pipes(connection)) == []
    graph = load(connection)
    ends = outfalls(graph)
    assert ends.keys() == graph.nodes.keys()
    assert {"洹河雨水排口汇水区", "洹滨雨水泵站汇水区", "污水处理厂进水口汇水区"} <= set(catchments(graph).values())
    bound: dict[str, str] = dict(
        connection.execute("SELECT device_id, gateway_id FROM devices JOIN gateways USING (gateway_key)").fetchall()
    )
    assert bound == {site.device.device_id: site.gateway_id for site in city.sites if site.gateway_id}
    codecs = connection.execute("SELECT device_id FROM devices WHERE codec = 'cbor'").fetchall()
    assert {device for (device,) in codecs} == {site.device.device_id for site in city.sites if site.speech == "cbor"}
    connection.commit()

    again = register(connection, tmp_path, "tester")
    assert (again[0].changes, again[1].pipes) == (0, Count(unchanged=len(city.pipes)))


def test_the_same_water_is_the_same_head_whatever_gauge_sees_it(
    connection: Connection, made: tuple[Path, Network], tmp_path: Path
) -> None:
    """0.4 m of water at every manhole, as each of its gauges reports it."""
    city = city_of(made, Equipment(pipe_gauges=1, cover_sensors=1))
    city.write(tmp_path)
    register(connection, tmp_path, "tester")
    for site in city.sites:
        head_m = site.invert_m + 0.4
        if site.device.family == "pipe":
            column, value = b"pipe (device_key, ts, received_at, quality, level_m)", 0.4 - site.zero_m
        elif site.device.family == "cover":
            column, value = b"cover (device_key, ts, received_at, quality, water_below_rim_m)", site.rim_m - head_m
        else:
            continue
        connection.execute(
            b"INSERT INTO latest_"
            + column
            + b" SELECT device_key, now(), now(), 0, %s FROM devices WHERE device_id = %s",
            [value, site.device.device_id],
        )
    connection.commit()
    graph = load(connection)
    heads: dict[str, list[float]] = {}
    for reading in load_readings(connection, graph):
        assert reading.head_m is not None
        assert reading.fill_ratio is not None
        heads.setdefault(graph.nodes[reading.node].asset_code, []).append(reading.head_m)
    gauged = {site.node for site in city.sites if site.device.family == "pipe"}
    assert gauged == {name for name, node in made[1].nodes.items() if node.kind == "junction"}
    for name in gauged:
        expected = made[1].nodes[name].invert_m + 0.4
        assert heads[city.node_assets[name]] == pytest.approx([expected, expected], abs=0.002)
    keys = {node.asset_code: key for key, node in graph.nodes.items()}
    for site in city.sites:
        if site.device.family == "pipe":
            outlet = graph.outlet(keys[site.asset_code])
            assert outlet is not None
            assert outlet.pipe_id == city.pipe_ids[site.link]
            assert outlet.diameter_mm == pytest.approx(site.diameter_m * 1000)


def test_a_city_is_on_the_api(
    database: str, connection: Connection, made: tuple[Path, Network], tmp_path: Path
) -> None:
    city = city_of(made)
    city.write(tmp_path)
    register(connection, tmp_path, "tester")
    api: Served
    with keyed(database) as api:
        pipes = api.ok("/api/v1/pipes", area="4105", limit=1000)["items"]
        assert {pipe["pipe_id"] for pipe in pipes} == set(city.pipe_ids.values())
        lines = api.ok("/api/v1/pipes.geojson", area="4105", limit=1000)["features"]
        assert len(lines) == len(city.pipes)
        site = next(site for site in city.sites if site.device.place == "underpass")
        found = api.ok(f"/api/v1/devices/{site.device.device_id}")
        assert (found["asset"]["asset_code"], found["asset"]["name"]) == (site.asset_code, "东风路铁路桥下穿")


def test_vendors_have_to_be_understood_first(
    connection: Connection, made: tuple[Path, Network], tmp_path: Path
) -> None:
    city = city_of(made, Equipment(speeches={"mqtt-well-status": 1}))
    city.write(tmp_path)
    with pytest.raises(NetworkError, match="underfoot codec add mqtt-well-status"):
        register(connection, tmp_path, "tester")
    assert connection.execute("SELECT count(*) FROM assets").fetchone() == (0,)


@pytest.mark.parametrize("style", sorted(STYLES))
def test_a_yearly_storm_stays_in_the_pipes_and_a_rare_one_does_not(tmp_path: Path, style: str) -> None:
    path = tmp_path / "net.inp"
    generate_network(path, style=style, nodes=40, seed=1)
    network = read_network(path)
    city = lay_out_city(network, Equipment(), 1, read_mapping(path.with_suffix(".yaml")))
    flooded = {}
    for years in (1, 50):
        storm = ChicagoRain(rain="chicago", period_years=years, minutes=60)
        rain = hyetographs([storm], city.gages, 4800, tmp_path)
        with tempfile.TemporaryDirectory() as work:
            water = run_hydraulics(path, Path(work), rain, tuple(city.gages), 4800, ponds=city.ponds)
        over = water.ponding_m.max(axis=0) > 0.02
        flooded[years] = {name for name, out in zip(water.nodes, over, strict=True) if out}
    assert flooded[1] == set()
    assert len(flooded[50]) >= 3
    low = {site.node for site in city.sites if site.device.family == "road"}
    assert flooded[50] & low


def test_networks_and_cities_on_the_command_line(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    run = CliRunner()
    network = tmp_path / "plain.inp"
    said = run.invoke(commands, ["simulate", "network", str(network), "--style", "plain", "--nodes", "40"])
    assert said.exit_code == 0, said.output
    assert "节点 40（污水 10、泵站 1、排口 2）" in said.output
    city = ["simulate", "city", "--network", str(network), "--out", str(tmp_path / "city"), "--register"]
    said = run.invoke(commands, city)
    assert said.exit_code == 0, said.output
    assert "北关区平原管网" in said.output
    assert "pumps: their station is where pipes end" in said.output
    registered = len(load_city(tmp_path / "city").sites)
    assert f"设备 {registered} 新、0 改" in said.output
    assert "设备 0 新、0 改" in run.invoke(commands, city).output
    explained = run.invoke(commands, ["simulate", "network", "--help"], env={"COLUMNS": "200"}).output
    assert all(style in explained for style in STYLES)
    refused = run.invoke(commands, ["simulate", "city", "--network", "absent.inp", "--out", str(tmp_path)])
    assert refused.exit_code == 2
    assert "absent.inp" in refused.output
