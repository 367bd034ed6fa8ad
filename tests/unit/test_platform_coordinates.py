"""Coordinates at the edge, against pairs that others have published, and there and back all over China."""

from __future__ import annotations

from math import cos, hypot, radians
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alerts.channels.platform.coordinates import (
    Place,
    System,
    converted,
    from_bd09,
    from_gcj02,
    restored,
    to_bd09,
    to_gcj02,
)

METRES_A_DEGREE = 111_320.0


def metres(one: Place, other: Place) -> float:
    return METRES_A_DEGREE * hypot((one.lon - other.lon) * cos(radians(one.lat)), one.lat - other.lat)


@pytest.mark.parametrize(
    ("wgs", "gcj"),
    [
        # The test pairs of eviltransform: Shanghai, Shenzhen, Beijing.
        (Place(121.5272106, 31.1774276), Place(121.531541859215, 31.17530398364597)),
        (Place(113.912316, 22.543847), Place(113.9171764808363, 22.540796131694766)),
        (Place(116.377817, 39.911954), Place(116.38404722455657, 39.91334545536069)),
    ],
)
def test_gcj02_is_what_maps_have(wgs: Place, gcj: Place) -> None:
    assert metres(converted(wgs, "gcj02"), gcj) < 0.01
    assert metres(from_gcj02(gcj), wgs) < 0.01


def test_the_pairs_of_coordtransform() -> None:
    """Its test file has them for one point, read in each system; its ways back are first approximations."""
    point = Place(116.404, 39.915)
    assert metres(to_bd09(point), Place(116.41036949371029, 39.92133699351021)) < 0.01
    assert metres(to_gcj02(point), Place(116.41024449916938, 39.91640428150164)) < 0.01
    assert metres(from_bd09(point), Place(116.39762729119315, 39.90865673957631)) < 0.2
    assert metres(from_gcj02(point), Place(116.39775550083061, 39.91359571849836)) < 0.2


def test_the_pair_of_baidus_own_service() -> None:
    """The example of the page on its conversion service, from WGS-84."""
    assert (
        metres(converted(Place(114.21892734521, 29.575429778924), "bd09"), Place(114.23074952312, 29.57908262908)) < 1
    )


china = st.builds(Place, st.floats(73.5, 135.0), st.floats(18.0, 53.5))
west = st.builds(Place, st.floats(-180, 72.0), st.floats(-90, 90))
north = st.builds(Place, st.floats(73, 137), st.floats(56, 90))
abroad = st.one_of(west, north)


@given(china, st.sampled_from(get_args(System)))
def test_there_and_back_is_within_a_metre(place: Place, system: System) -> None:
    assert metres(restored(converted(place, system), system), place) < 0.001


@given(china)
@example(Place(96.75, 37.0))
def test_the_offset_is_some_hundred_metres_which_is_why_it_matters(place: Place) -> None:
    """Nearly everywhere: there is one place, in the Qaidam basin, where both are almost the same."""
    assert 15 < metres(converted(place, "gcj02"), place) < 1100
    assert 300 < metres(converted(place, "bd09"), place) < 2200


@given(china)
def test_baidus_step_alone_goes_back_too(place: Place) -> None:
    assert metres(from_bd09(converted(from_gcj02(place), "bd09")), place) < 0.001


@given(abroad)
@pytest.mark.parametrize("system", get_args(System))
def test_outside_china_nothing_moves(system: System, place: Place) -> None:
    assert converted(place, system) == place
    assert restored(place, system) == place


def test_cgcs2000_is_what_stands_inside() -> None:
    place = Place(114.352345, 36.101234)
    assert converted(place, "cgcs2000") == converted(place, "wgs84") == place
