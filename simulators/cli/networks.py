"""`underfoot simulate network` and `simulate city`: a drainage network that nobody built, and the city over a network.

What it takes is imported when it is asked for: swmm-api is an extra, and slow to import.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from simulators.cli.terminal import Seed, out, plain_errors
from simulators.network.model import NetworkError
from underfoot.families import FAMILIES
from underfoot.terminal import actor, connect_migrated

commands = typer.Typer()


@commands.command("network")
def make_network(
    file: Annotated[Path, typer.Argument(metavar="OUT.inp", help="The SWMM file to write; OUT.yaml comes beside it.")],
    style: Annotated[
        str, typer.Option(help="How it is laid out: demo, hillside, plain or old-town (docs/networks.md).")
    ] = "demo",
    nodes: Annotated[int, typer.Option(help="How many manholes, wells and outfalls.")] = 240,
    seed: Seed = 1,
) -> None:
    """Make a drainage network that nobody built, designed as real ones are, and its mapping file.

    The same style, size and seed give the same files.
    """
    with plain_errors():
        _needs_swmm_api()
        from simulators.network.generate import generate_network
        from simulators.network.read import read_network

        generate_network(file, style=style, nodes=nodes, seed=seed)
        network = read_network(file)
    outfalls = sum(node.kind == "outfall" for node in network.nodes.values())
    wells = [link.from_node for link in network.links.values() if link.kind == "pump"]
    foul = sum(1 for node in network.nodes if network.carries(node) == "foul")
    _say(
        f"{file}: 节点 {len(network.nodes)}（污水 {foul}、泵站 {len(set(wells))}、排口 {outfalls}），"
        f"管段 {len(network.links) - len(wells)}，水泵 {len(wells)}，雨量站 {len(network.gages)}"
    )
    _say(f"{file.with_suffix('.yaml')}: 映射文件")


@commands.command("city")
def make_city(
    network: Annotated[Path, typer.Option(help="The drainage network, a SWMM file (.inp).")],
    folder: Annotated[Path, typer.Option("--out", help="The folder for assets.csv, pipes.csv and sites.json.")],
    mapping: Annotated[
        Path | None,
        typer.Option(help="What the network's file does not say (docs/networks.md). By default FILE.yaml beside it."),
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="Equip it as this scenario wants; by default as most of them do.")
    ] = None,
    register: Annotated[
        bool, typer.Option("--register", help="Put assets, devices, gateways and pipes into the registry at once.")
    ] = False,
    seed: Seed = 1,
) -> None:
    """Lay a city out over a drainage network: its assets, pipes and devices, as ledgers that can be imported.

    Nodes become covers and level gauges, low points road gauges, gages rain stations, pumps pump stations.
    """
    with plain_errors():
        _needs_swmm_api()
        from simulators.network.city import lay_out_city
        from simulators.network.city import register as register_city
        from simulators.network.mapping import read_mapping
        from simulators.network.read import read_network
        from simulators.scenario.load import read_scenario
        from simulators.scenario.model import Equipment

        beside = network.with_suffix(".yaml")
        said = mapping if mapping is not None else beside if beside.is_file() else None
        equipment = Equipment() if scenario is None else read_scenario(scenario).scenario.equipment
        city = lay_out_city(read_network(network), equipment, seed, None if said is None else read_mapping(said))
        city.write(folder)
        families = Counter(site.device.family for site in city.sites)
        shown = "、".join(f"{FAMILIES[name].label} {count}" for name, count in sorted(families.items()))
        assets = len({row.asset_code for row in city.assets})
        _say(
            f"{folder}: {city.title}，部件 {assets}，管段 {len(city.pipes)}，设备 {len(city.sites)}（{shown}），"
            f"网关 {len(city.gateways)}"
        )
        for why, links in _by_reason(city.left_out).items():
            _say(f"  不作为管段 · no pipes of the ledger ({why}): {', '.join(links)}")
        if register:
            with closing(connect_migrated("simulate")) as connection:
                registered, pipes = register_city(connection, folder, actor())
            _say(
                f"已登记 · registered: 部件 {registered.assets.new} 新、{registered.assets.changed} 改，"
                f"设备 {registered.devices.new} 新、{registered.devices.changed} 改，"
                f"管段 {pipes.pipes.new} 新、{pipes.pipes.changed} 改"
            )


def _by_reason(left_out: dict[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for link, why in left_out.items():
        found.setdefault(why, []).append(link)
    return found


def _say(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)


def _needs_swmm_api() -> None:
    try:
        import swmm_api  # noqa: F401
    except ModuleNotFoundError as error:
        raise NetworkError(f"{error.name} is not installed: pip install 'underfoot[simulators]'") from None
