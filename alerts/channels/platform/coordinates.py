"""Coordinates as a city's platform wants them: converted at the edge, and only there.

Inside stands CGCS2000, which differs from WGS-84 by centimetres. Commercial maps in China are drawn in GCJ-02 (Amap,
Tencent) or BD-09 (Baidu), offset by 100 to 1000 m.

Neither offset is published officially. GCJ-02 is the formula that open map software has used since 2013
(`eviltransform`, `coordtransform`): two series of sines over the ellipsoid of Krasovsky 1940. BD-09 is the rotation
that is public beside it. The ways back have no closed form; they are iterated to a thousandth of a millimetre.
"""

from __future__ import annotations

from collections.abc import Callable
from math import atan2, cos, hypot, pi, sin, sqrt
from typing import Literal, NamedTuple

System = Literal["cgcs2000", "wgs84", "gcj02", "bd09"]


class Place(NamedTuple):
    lon: float
    lat: float


_AXIS_M = 6378245.0
_ECCENTRICITY_2 = 0.00669342162296594323
_BAIDU_TURN = pi * 3000.0 / 180.0
_CLOSE_ENOUGH_DEG = 1e-11
_MOST_STEPS = 30


def converted(place: Place, system: System) -> Place:
    """A place in CGCS2000 as `system` has it."""
    match system:
        case "cgcs2000" | "wgs84":
            return place
        case "gcj02":
            return to_gcj02(place)
        case "bd09":
            return to_bd09(to_gcj02(place))


def restored(place: Place, system: System) -> Place:
    """A place in `system` in CGCS2000."""
    match system:
        case "cgcs2000" | "wgs84":
            return place
        case "gcj02":
            return from_gcj02(place)
        case "bd09":
            return from_gcj02(from_bd09(place))


def in_china(place: Place) -> bool:
    """Within the rectangle in which map makers apply the offset. Outside, coordinates stay as they are."""
    return 72.004 <= place.lon <= 137.8347 and 0.8293 <= place.lat <= 55.8271


def to_gcj02(place: Place) -> Place:
    return _with_offset(place) if in_china(place) else place


def from_gcj02(place: Place) -> Place:
    return _undone(_with_offset, place) if in_china(place) else place


def to_bd09(place: Place) -> Place:
    """From GCJ-02."""
    return _turned(place) if in_china(place) else place


def from_bd09(place: Place) -> Place:
    """To GCJ-02."""
    return _undone(_turned, place) if in_china(place) else place


def _turned(place: Place) -> Place:
    distance = hypot(place.lon, place.lat) + 0.00002 * sin(place.lat * _BAIDU_TURN)
    angle = atan2(place.lat, place.lon) + 0.000003 * cos(place.lon * _BAIDU_TURN)
    return Place(distance * cos(angle) + 0.0065, distance * sin(angle) + 0.006)


def _with_offset(place: Place) -> Place:
    x, y = place.lon - 105.0, place.lat - 35.0
    radians = place.lat * pi / 180.0
    flattened = 1 - _ECCENTRICITY_2 * sin(radians) ** 2
    east = _metres_east(x, y) * 180.0 / (_AXIS_M / sqrt(flattened) * cos(radians) * pi)
    north = _metres_north(x, y) * 180.0 / (_AXIS_M * (1 - _ECCENTRICITY_2) / (flattened * sqrt(flattened)) * pi)
    return Place(place.lon + east, place.lat + north)


def _metres_east(x: float, y: float) -> float:
    return (
        300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(abs(x))
        + (20.0 * sin(6.0 * x * pi) + 20.0 * sin(2.0 * x * pi)) * 2.0 / 3.0
        + (20.0 * sin(x * pi) + 40.0 * sin(x / 3.0 * pi)) * 2.0 / 3.0
        + (150.0 * sin(x / 12.0 * pi) + 300.0 * sin(x / 30.0 * pi)) * 2.0 / 3.0
    )  # fmt: skip


def _metres_north(x: float, y: float) -> float:
    return (
        -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(abs(x))
        + (20.0 * sin(6.0 * x * pi) + 20.0 * sin(2.0 * x * pi)) * 2.0 / 3.0
        + (20.0 * sin(y * pi) + 40.0 * sin(y / 3.0 * pi)) * 2.0 / 3.0
        + (160.0 * sin(y / 12.0 * pi) + 320.0 * sin(y * pi / 30.0)) * 2.0 / 3.0
    )  # fmt: skip


def _undone(shift: Callable[[Place], Place], shifted: Place) -> Place:
    """The place that `shift` moves to `shifted`: the shift changes so slowly that each step gains three digits."""
    found = shifted
    for _ in range(_MOST_STEPS):
        reached = shift(found)
        east, north = shifted.lon - reached.lon, shifted.lat - reached.lat
        found = Place(found.lon + east, found.lat + north)
        if abs(east) < _CLOSE_ENOUGH_DEG and abs(north) < _CLOSE_ENOUGH_DEG:
            break
    return found
