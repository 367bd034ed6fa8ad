"""Rooms: a row of numbers for each device that needs one; a device that never says a field takes none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Slots = NDArray[np.int64]


class Rooms:
    """Rows of `width`, by slot. Until something is put there, a row is all zeros."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._place = np.zeros(0, np.int32)
        self._used = 0
        self._rows = np.zeros((0, width), np.int64)

    def grow(self, slots: int) -> None:
        more = slots - len(self._place)
        self._place = np.concatenate([self._place, np.full(more, -1, np.int32)])

    def of(self, slots: Slots) -> Rows:
        """Copies of these devices' rows."""
        places = self._place[slots]
        if not (places < 0).any():
            return self._rows[places]
        rows = np.zeros((len(slots), self._width), np.int64)
        known = np.flatnonzero(places >= 0)
        rows[known] = self._rows[places[known]]
        return rows

    def put(self, slots: Slots, rows: Rows) -> None:
        places = self._place[slots]
        new = np.flatnonzero(places < 0)
        if len(new):
            places[new] = np.arange(self._used, self._used + len(new), dtype=np.int32)
            self._place[slots[new]] = places[new]
            self._used += len(new)
            self._make_room()
        self._rows[places] = rows

    def _make_room(self) -> None:
        room = len(self._rows)
        if self._used > room:
            more = max(self._used, min(2 * room, len(self._place)), 64) - room
            self._rows = np.concatenate([self._rows, np.zeros((more, self._width), np.int64)])
