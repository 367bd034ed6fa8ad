"""Hydrographs: what every node, link and gage did, step by step. Made by a run of SWMM, read by devices and by truth.

Step k is at k × step_s seconds of simulated time; between two steps values go in a straight line.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float32]
_TEXTS = ("nodes", "links", "gages", "warnings")


@dataclass(frozen=True)
class Hydrographs:
    """Arrays are (steps, elements) in the order of the names. `depth_m` is above the node's invert and unclipped,
    `flooding_m3_s` what leaves the network there, `ponding_m` the water over the rim (at nodes that pond);
    `fill_m` and `flow_m3_s` are of links (against the link's direction: negative); `setting` is 0 where a pump stands
    still, and in a blocked pipe the share that still passes; `rain_mm_h` is of gages, each value for the minute that
    begins at its step. `routing_error_pct`: the water that SWMM itself could not account for; `warnings`: what a
    reader of the result should know.
    """

    step_s: int
    nodes: tuple[str, ...]
    links: tuple[str, ...]
    gages: tuple[str, ...]
    depth_m: Series
    flooding_m3_s: Series
    ponding_m: Series
    fill_m: Series
    flow_m3_s: Series
    setting: Series
    rain_mm_h: Series
    runoff_error_pct: float = 0.0
    routing_error_pct: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float((len(self.depth_m) - 1) * self.step_s)

    def node(self, name: str) -> int:
        return self.nodes.index(name)

    def link(self, name: str) -> int:
        return self.links.index(name)

    def gage(self, name: str) -> int:
        return self.gages.index(name)

    def at(self, series: Series, column: int, at_s: float) -> float:
        """A value between two steps; before the first and after the last, that one's."""
        place = min(max(at_s / self.step_s, 0.0), len(series) - 1)
        before = int(place)
        after = min(before + 1, len(series) - 1)
        share = place - before
        return float(series[before, column] * (1 - share) + series[after, column] * share)

    def save(self, path: Path) -> None:
        stored: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in _TEXTS:
            stored[name] = np.array(stored[name], dtype=np.str_)
        np.savez_compressed(path, **stored)

    @classmethod
    def load(cls, path: Path) -> Hydrographs:
        with np.load(path, allow_pickle=False) as stored:
            values = {one.name: stored[one.name] for one in fields(cls)}
        for name in _TEXTS:
            values[name] = tuple(str(each) for each in values[name])
        for name in ("runoff_error_pct", "routing_error_pct"):
            values[name] = float(values[name])
        return cls(**{**values, "step_s": int(values["step_s"])})
