"""Where nodes lie: coordinates in any unit, some of them missing, or all."""

from __future__ import annotations

import itertools
import math

import pytest

from simulators.network.layout import APART_M, Place, lay_out
from simulators.network.mapping import Centre, Mapping, NodeSaid, Origin
from simulators.network.model import Link, Network, Node


def network_of(links: list[tuple[str, str, float]], places: dict[str, Place] | None = None) -> Network:
    names = dict.fromkeys(name for upper, lower, _ in links for name in (upper, lower))
    at = places or {}
    nodes = {
        name: Node(name, "outfall" if name == "O" else "junction", 10.0 - number, 3.0, x=xy[0], y=xy[1])
        for number, name in enumerate(names)
        for xy in [at.get(name, (None, None))]
    }
    made = {
        f"C{number}": Link(f"C{number}", "conduit", upper, lower, length, 0.5)
        for number, (upper, lower, length) in enumerate(links)
    }
    return Network("net", nodes, made, (), {})


def tree(branching: int, deep: int) -> Network:
    """Every node has `branching` above it, `deep` times over."""
    links: list[tuple[str, str, float]] = []
    level = ["O"]
    for step in range(deep):
        above = [f"{name}.{number}" for name in level for number in range(branching)]
        links += [(name, name.rpartition(".")[0], 40.0 + 7 * step) for name in above]
        level = above
    return network_of(links)


def apart(places: dict[str, Place]) -> float:
    return min(math.dist(one, other) for one, other in itertools.combinations(places.values(), 2))


@pytest.mark.parametrize("unit", [1.0, 0.3048, 12.5])
def test_the_lengths_of_conduits_say_what_unit_coordinates_are_in(unit: float) -> None:
    """Metres, feet, and a drawing on some scale."""
    network = network_of(
        [("A", "B", 100.0), ("B", "C", 203.0), ("C", "O", 98.0)],
        {"A": (0.0, 0.0), "B": (100 / unit, 0.0), "C": (100 / unit, 200 / unit), "O": (200 / unit, 200 / unit)},
    )
    places = lay_out(network, Mapping()).places
    assert places["A"] == pytest.approx((-100, -100), rel=0.03)
    assert places["O"] == pytest.approx((100, 100), rel=0.03)
    told = lay_out(network, Mapping(metres_per_unit=2 * unit)).places
    assert told["O"] == pytest.approx((200, 200))


def test_coordinates_in_degrees_are_where_they_are() -> None:
    network = network_of(
        [("A", "B", 111.0), ("B", "O", 90.0)], {"A": (113.6, 34.7), "B": (113.6, 34.701), "O": (113.601, 34.701)}
    )
    layout = lay_out(network, Mapping())
    assert layout.lon_lat(layout.places["A"]) == pytest.approx((113.6, 34.7), abs=1e-9)
    assert layout.lon_lat(layout.places["O"]) == pytest.approx((113.601, 34.701), abs=1e-9)
    assert math.dist(layout.places["A"], layout.places["B"]) == pytest.approx(111)
    # Degrees that are not in China can be no place of a ledger: the same network, somewhere else.
    abroad = network_of([("A", "O", 111.0)], {"A": (-80.1, 40.0), "O": (-80.1, 40.001)})
    moved = lay_out(abroad, Mapping(centre=Centre(lon=114.0, lat=36.0)))
    assert moved.lon_lat(moved.places["O"]) == pytest.approx((114.0, 36.0005), abs=1e-6)


def test_the_mapping_says_where_it_lies() -> None:
    network = network_of([("A", "O", 100.0)], {"A": (500.0, 500.0), "O": (600.0, 500.0)})
    layout = lay_out(network, Mapping(centre=Centre(lon=120.0, lat=31.0)))
    assert layout.lon_lat(layout.places["A"])[0] < 120.0 < layout.lon_lat(layout.places["O"])[0]
    at = lay_out(network, Mapping(origin=Origin(x=500, y=500, lon=120.0, lat=31.0)))
    assert at.lon_lat(at.places["A"]) == pytest.approx((120.0, 31.0))
    named = lay_out(network, Mapping(nodes={"A": NodeSaid(lon=120.5, lat=31.5)}, centre=Centre(lon=120.0, lat=31.0)))
    assert named.lon_lat(named.places["A"]) == pytest.approx((120.5, 31.5))


@pytest.mark.parametrize(("branching", "deep"), [(1, 30), (2, 6), (3, 4), (40, 1)])
def test_a_network_without_coordinates_is_laid_out_as_long_as_it_is(branching: int, deep: int) -> None:
    network = tree(branching, deep)
    layout = lay_out(network, Mapping())
    assert lay_out(network, Mapping()) == layout
    assert layout.places.keys() == network.nodes.keys()
    for link in network.links.values():
        length = math.dist(layout.places[link.from_node], layout.places[link.to_node])
        assert length == pytest.approx(link.length_m, abs=2 * APART_M)
    assert apart(layout.places) >= APART_M


def test_parts_that_do_not_meet_lie_beside_each_other() -> None:
    network = network_of([("A", "O", 50.0), ("P", "Q", 60.0), ("Q", "R", 60.0)])
    places = lay_out(network, Mapping()).places
    assert max(places[name][0] for name in "AO") < min(places[name][0] for name in "PQR")


def test_nodes_without_coordinates_find_a_place_among_the_others() -> None:
    network = network_of(
        [("A", "B", 100.0), ("B", "C", 100.0), ("C", "O", 100.0), ("N", "C", 60.0), ("M", "N", 40.0)],
        {"A": (0.0, 0.0), "C": (200.0, 0.0), "O": (300.0, 0.0)},
    )
    places = lay_out(network, Mapping()).places
    shift = places["A"][0]
    assert (places["B"][0] - shift, places["B"][1] - places["A"][1]) == pytest.approx((100, 0))  # between A and C
    assert math.dist(places["N"], places["C"]) == pytest.approx(60)
    assert math.dist(places["M"], places["N"]) == pytest.approx(40)
    assert math.dist(places["M"], places["C"]) == pytest.approx(100)  # straight on
    assert apart(places) >= APART_M


def test_nodes_that_lie_upon_each_other_in_the_file_stay_there_and_others_make_room() -> None:
    network = network_of(
        [("A", "O", 100.0), ("B", "O", 100.0), ("N", "A", 0.5)], {"A": (0.0, 0.0), "B": (0.0, 0.0), "O": (100.0, 0.0)}
    )
    places = lay_out(network, Mapping()).places
    assert places["A"] == places["B"]
    assert math.dist(places["N"], places["A"]) >= APART_M
