"""Where a place is, as people of the demo city say it: by the nearest crossing. Also the area code it stands in.

Places beyond the city have neither: there the mapping has to say the area, and where something stands is said by its
coordinates.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from simulators.network.layout import Layout, Place
from simulators.streets import DISTRICTS, Crossing

BEYOND_M = 5_000.0
"""So far from any crossing, a place is not in the demo city."""

_AT_THE_CORNER_M = 30.0
_ROUNDED_M = 10


class Addresses:
    """The crossings of the demo city, in metres from the middle of a network."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._crossings: list[Crossing] = [crossing for district in DISTRICTS for crossing in district.crossings]
        self._places = np.array([layout.place(crossing.lon, crossing.lat) for crossing in self._crossings])
        # Area, address and name of one place are asked for one after the other.
        self._nearest = lru_cache(maxsize=16)(self._look_up)

    def _look_up(self, place: Place) -> tuple[int, float, float]:
        """The number of the nearest crossing, and how far to its east and north the place is."""
        apart = self._places - np.array(place)
        number = int(np.argmin((apart**2).sum(axis=1)))
        return number, -float(apart[number, 0]), -float(apart[number, 1])

    def number(self, lon: float, lat: float) -> int:
        """Which crossing is the nearest: devices of one number stand near each other."""
        return self._nearest(self._layout.place(lon, lat))[0]

    def crossing(self, place: Place) -> str:
        """人民大道文峰路口; empty beyond the city."""
        number, east_m, north_m = self._nearest(place)
        return "" if math.hypot(east_m, north_m) > BEYOND_M else self._crossings[number].name

    def of(self, place: Place) -> str:
        """文峰路口东北角, or 文峰路口以东120米路北, by the street that it is nearer to; empty beyond the city."""
        _, east_m, north_m = self._nearest(place)
        if not (name := self.crossing(place)):
            return ""
        if max(abs(east_m), abs(north_m)) < _AT_THE_CORNER_M:
            return f"{name}{'东' if east_m >= 0 else '西'}{'北' if north_m >= 0 else '南'}角"
        if abs(east_m) >= abs(north_m):
            way, side, far_m = "东" if east_m >= 0 else "西", "北" if north_m >= 0 else "南", abs(east_m)
        else:
            way, side, far_m = "北" if north_m >= 0 else "南", "东" if east_m >= 0 else "西", abs(north_m)
        return f"{name}以{way}{round(far_m / _ROUNDED_M) * _ROUNDED_M}米路{side}"

    def area(self, place: Place) -> str:
        """The code of the nearest community; empty where the middle of the network is beyond the city."""
        number, east_m, north_m = self._nearest(place)
        if not self.crossing((0.0, 0.0)):
            return ""
        corner = (0 if north_m >= 0 else 3) if east_m >= 0 else (1 if north_m >= 0 else 2)
        return self._crossings[number].community(corner)
