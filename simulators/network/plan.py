"""A network while it is being designed: chambers in the street, the sewers between them, pumps. Between a style, which
lays it out, `sizing`, which gives it diameters and levels, and `writing`, which makes files of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from simulators.network.model import WaterKind

ChamberKind = Literal["manhole", "well", "basin", "outfall"]


@dataclass
class Chamber:
    """Where sewers meet. `x`, `y` are metres to the east and north. `area_ha` drains into it, `imperv_pct` of that is
    paved; `dry_l_s` comes in dry weather. `pond_m2`: over what area water stands that comes out of it."""

    name: str
    x: float
    y: float
    ground_m: float
    water: WaterKind = "storm"
    kind: ChamberKind = "manhole"
    area_ha: float = 0.0
    imperv_pct: float = 0.0
    dry_l_s: float = 0.0
    pond_m2: float = 0.0
    invert_m: float = 0.0
    floor_m2: float = 0.0
    """Of a pump well, and of the basin that pumps lift into."""


@dataclass
class Sewer:
    """`lies_at`: what it was designed by; a `relief` joins two branches and was not."""

    upper: str
    lower: str
    length_m: float
    relief: bool = False
    diameter_m: float = 0.0
    up_m: float = 0.0
    down_m: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.upper}-{self.lower}"


@dataclass
class PumpSet:
    """The pumps of a station, alike: each starts a step above the one before it, all stop at one level. Together they
    lift what comes in a storm of `period_years` (foul: in the peak hour, and half as much again)."""

    well: str
    to: str
    number: int
    period_years: float
    flow_m3_s: float = 0.0
    """Each."""


@dataclass(frozen=True)
class Standard:
    """How a network is designed. `period_years`: of the storm that its storm sewers just carry."""

    period_years: float = 2.0
    storm_cover_m: float = 1.0
    foul_cover_m: float = 1.6
    least_storm_m: float = 0.4
    least_foul_m: float = 0.3
    inlet_min: float = 8.0
    """How long water takes to the first sewer."""
    fastest_m_s: float = 5.0


@dataclass
class Plan:
    """`mapping` is what the network's mapping file says beside its title."""

    title: str
    standard: Standard
    chambers: dict[str, Chamber] = field(default_factory=dict)
    sewers: list[Sewer] = field(default_factory=list)
    pumps: list[PumpSet] = field(default_factory=list)
    gages: dict[str, tuple[float, float]] = field(default_factory=dict)
    mapping: dict[str, Any] = field(default_factory=dict)

    def lie(self, lon: float, lat: float) -> None:
        """Where on the earth x = y = 0 is."""
        self.mapping["origin"] = {"x": 0.0, "y": 0.0, "lon": lon, "lat": lat}

    def add(self, chamber: Chamber) -> Chamber:
        self.chambers[chamber.name] = chamber
        return chamber

    def join(self, upper: Chamber, lower: Chamber, *, relief: bool = False, at_least_m: float = 5.0) -> Sewer:
        length = max(((upper.x - lower.x) ** 2 + (upper.y - lower.y) ** 2) ** 0.5, at_least_m)
        sewer = Sewer(upper.name, lower.name, round(length, 2), relief)
        self.sewers.append(sewer)
        return sewer

    def manholes(self, water: WaterKind) -> Iterator[Chamber]:
        return (each for each in self.chambers.values() if each.kind == "manhole" and each.water == water)


Style = Callable[[int, Random], Plan]
"""How many nodes, and whence its chances → a plan without diameters and levels."""
