"""What water does in one circular pipe: how much it carries, how long it takes, which head it needs. Pure functions.

Metres, seconds, m³/s. Each formula names its source. They are those of steady, uniform flow, with which sewers are
designed: good to some ten per cent in a clean pipe, which is why a blockage has to exceed them by a margin.

Sources: Chow, Open-Channel Hydraulics (McGraw-Hill 1959); FHWA HEC-22, Urban Drainage Design Manual (3rd ed. 2009);
GB 50014-2021 室外排水设计标准 (its figures from memory).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GRAVITY_M_S2 = 9.81

FULLEST = 0.938
"""The fill at which a circular pipe carries most: 1.076 of what it carries full (Chow, fig. 6-5)."""

DEFAULT_ROUGHNESS = 0.013
"""Manning's n of a pipe of which the ledger does not say it: concrete in service (GB 50014: 0.013 to 0.014, from
memory; Chow, table 5-6: concrete sewer 0.013)."""

_HALVINGS = 50
_FILM = 1e-6
_ROUNDING = 1e-12
"""Of a flow: all that the pipe can carry is not more than that."""


@dataclass(frozen=True, slots=True)
class Slowest:
    """How fast water moves at the least where it moves: the least velocities for which sewers are designed (GB 50014:
    foul 0.6 m/s, storm 0.75 m/s when full; from memory)."""

    foul_m_s: float = 0.6
    storm_m_s: float = 0.75

    def of(self, kind: str) -> float:
        return self.foul_m_s if kind == "foul" else self.storm_m_s


SLOWEST = Slowest()


@dataclass(frozen=True, slots=True)
class Bore:
    """A circular pipe as the water meets it. `slope` is its fall per length; 0 or less: it lies flat or rises."""

    diameter_m: float
    length_m: float
    slope: float
    roughness: float

    def __post_init__(self) -> None:
        for name in ("diameter_m", "length_m", "roughness"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)!r}: above 0")

    @property
    def area_m2(self) -> float:
        return math.pi * self.diameter_m**2 / 4


@dataclass(frozen=True, slots=True)
class Section:
    """The water's cross-section at some fill."""

    area_m2: float
    wetted_m: float
    surface_m: float

    @property
    def radius_m(self) -> float:
        """The hydraulic radius; 0 in an empty pipe."""
        return self.area_m2 / self.wetted_m if self.wetted_m else 0.0


def section(diameter_m: float, fill: float) -> Section:
    """The cross-section at `fill` = depth / diameter: θ = 2 arccos(1 − 2 fill), A = D²/8 (θ − sin θ), P = D θ / 2,
    B = D sin(θ/2) (Chow, table 2-1). A surcharged pipe (fill above 1) is full; a dry one (below 0) is empty."""
    fill = min(max(fill, 0.0), 1.0)
    theta = 2 * math.acos(1 - 2 * fill)
    # θ − sin θ would round to less than nothing in a film of water.
    area = max(diameter_m**2 / 8 * (theta - math.sin(theta)), 0.0)
    return Section(area, diameter_m * theta / 2, diameter_m * math.sin(theta / 2))


def velocity_m_s(bore: Bore, fill: float = 1.0) -> float:
    """Manning: V = R^(2/3) S^(1/2) / n (Chow, eq. 5-6), at `fill`. 0 where the pipe does not fall."""
    if bore.slope <= 0:
        return 0.0
    return math.pow(section(bore.diameter_m, fill).radius_m, 2 / 3) * math.sqrt(bore.slope) / bore.roughness


def flow_m3_s(bore: Bore, fill: float) -> float:
    """What it carries by gravity at `fill`: Q = A V, uniform flow. 0 where the pipe does not fall."""
    return section(bore.diameter_m, fill).area_m2 * velocity_m_s(bore, fill)


def capacity_m3_s(bore: Bore) -> float:
    """What it carries when it is just full: the designer's capacity. 0 where the pipe does not fall."""
    return flow_m3_s(bore, 1.0)


def share_of_capacity(fill: float) -> float:
    """What a circular pipe carries at `fill` of what it carries full: the same in every one. 1 from there on that it
    carries as much as full, although it may be a twentieth more before it is."""
    if fill < _FILM:
        return 0.0
    return min(_share_of_capacity(2 * math.acos(1 - 2 * min(fill, FULLEST))), 1.0)


def normal_fill(bore: Bore, flow: float) -> float | None:
    """The fill at which `flow` runs by gravity alone (`flow_m3_s` solved for fill, by halving, on its rising branch).
    None: it is more than the pipe carries by gravity at any fill."""
    if flow <= 0:
        return 0.0
    capacity = capacity_m3_s(bore)
    share = flow / capacity if capacity > 0 else math.inf
    low, high = 0.0, 2 * math.acos(1 - 2 * FULLEST)
    if share > _share_of_capacity(high) * (1 + _ROUNDING):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _share_of_capacity(middle) < share:
            low = middle
        else:
            high = middle
    return (1 - math.cos(high / 2)) / 2


def _share_of_capacity(theta: float) -> float:
    """Q / Q full, A R^(2/3) by that of the full pipe: the same in every pipe, (θ − sin θ)^(5/3) / (2π θ^(2/3))."""
    return math.pow(theta - math.sin(theta), 5 / 3) / (2 * math.pi * math.pow(theta, 2 / 3))


def friction_slope(bore: Bore, flow: float) -> float:
    """Of the pipe running full: Sf = (n Q / (A R^(2/3)))², Manning solved for the slope (Chow, eq. 5-6)."""
    full = section(bore.diameter_m, 1.0)
    return (bore.roughness * flow / (full.area_m2 * math.pow(full.radius_m, 2 / 3))) ** 2


def head_loss_m(bore: Bore, flow: float, manhole_loss: float = 0.0) -> float:
    """The head that `flow` needs from one end of the full pipe to the other: Sf L + K V² / 2g; `manhole_loss` is the K
    of the two ends together (HEC-22, section 7.1.6). It grows with the square of the flow."""
    velocity = flow / bore.area_m2
    return friction_slope(bore, flow) * bore.length_m + manhole_loss * velocity**2 / (2 * GRAVITY_M_S2)


def travel_time_s(bore: Bore, slowest_m_s: float, fill: float = 1.0) -> float:
    """How long water takes through it: L / V, at `fill` (from half full on V is that of the full pipe or up to a
    seventh more: Chow, fig. 6-5). Where it lies flat, rises, or falls by next to nothing, water that moves at all is
    taken to move at `slowest_m_s`."""
    return bore.length_m / max(velocity_m_s(bore, fill), slowest_m_s)


def expected_head_m(
    bore: Bore, flow: float, invert_up_m: float, tailwater_m: float, manhole_loss: float = 0.0
) -> float:
    """The head to expect at the upper end of a sound pipe that carries `flow` against `tailwater_m` at its lower end:
    the higher of what gravity flow and what the tailwater make it (HEC-22, section 7.5).

    By gravity: the depth of uniform flow above the upper invert. From the tailwater the level rises with what friction
    takes as far as the pipe is full, which is as far as that level stands over the crown. A pipe that carries more than
    its capacity, and one that does not fall, is full throughout, and its tailwater stands at the lower crown or higher:
    there the head is rather too high than too low.
    """
    invert_down_m = invert_up_m - bore.slope * bore.length_m
    if flow <= 0:
        return max(tailwater_m, invert_up_m, invert_down_m)
    crown_down_m = invert_down_m + bore.diameter_m
    loss = head_loss_m(bore, flow, manhole_loss)
    fill = normal_fill(bore, flow) if flow < capacity_m3_s(bore) else None
    if fill is None:
        return max(tailwater_m, crown_down_m) + loss
    # The crown rises by `slope` a metre, the level by the friction slope, which is less: they meet there.
    meets_after_m = max(tailwater_m - crown_down_m, 0.0) / (bore.slope - friction_slope(bore, flow))
    full_share = min(meets_after_m / bore.length_m, 1.0)
    return max(invert_up_m + fill * bore.diameter_m, tailwater_m + loss * full_share)
