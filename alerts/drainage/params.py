"""The numbers by which blockages and overload are judged: a rule's, so that they are versioned data of the city."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from alerts.drainage.hydraulics import DEFAULT_ROUGHNESS, Slowest


class BlockageParams(BaseModel):
    """The defaults' sources stand beside them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    roughness: float = Field(DEFAULT_ROUGHNESS, ge=0.008, le=0.04)
    """Manning's n where the ledger has none (GB 50014)."""
    high_fill_foul: float = Field(0.8, gt=0, le=5)
    """h/D above 0.8 is near full (read in public sources)."""
    high_fill_storm: float = Field(1.0, gt=0, le=5)
    """A storm sewer runs full by design: high is over the crown."""
    flat_fill: float = Field(0.5, gt=0, le=1)
    """Below the least design fill of a foul sewer, 0.55 (from memory): what runs there is not held up."""
    excess_m: float = Field(0.2, gt=0, le=20)
    """What levelling (some cm) and formulas of steady flow (some tenths of a diameter) may be wrong by (proposed)."""
    dead_band_fill: float = Field(0.05, ge=0, le=1)
    dead_band_m: float = Field(0.05, ge=0, le=5)
    """5 % of the span of a level, as elsewhere."""
    max_age_s: int = Field(2700, gt=0, le=86_400)
    """Three reports of a gauge that speaks each 15 minutes."""
    reach_s: int = Field(3600, gt=0, le=86_400)
    """How far a gauge tells of pipes below, and a blockage explains levels above it, by the water's travel time."""
    backwater_tolerance_m: float = Field(0.1, ge=0, le=2)
    """By how much the pool above a blockage may stand higher than its gauge says."""
    passes_share: float = Field(0.5, ge=0)
    """Where so much flows, for its size, of what its catchment's sewers carry in the middle, nothing is held up: its
    level gauge lies (proposed)."""
    least_load: float = Field(0.03, ge=0, lt=1)
    """Where sewers carry less than that of their capacity, in the middle, next to nothing flows (proposed)."""
    manhole_loss: float = Field(0.5, ge=0, le=5)
    """K of a manhole passed straight through with some bend (HEC-22: 0.15 straight, 1.0 at a right angle)."""
    slowest_foul_m_s: float = Field(0.6, gt=0, le=5)
    slowest_storm_m_s: float = Field(0.75, gt=0, le=5)
    """Least design velocities (GB 50014, from memory)."""

    @property
    def slowest(self) -> Slowest:
        return Slowest(self.slowest_foul_m_s, self.slowest_storm_m_s)

    def high_fill(self, kind: str) -> float:
        return self.high_fill_foul if kind == "foul" else self.high_fill_storm


class DoubtParams(BaseModel):
    """The defaults' sources stand beside them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_fill: float = Field(0.3, ge=0, le=2)
    """Lower than that, a gauge raises nothing of which it would matter whether it is right."""
    apart_fill: float = Field(0.25, gt=0, le=1)
    """Two gauges of a pipe, or a level and what flows, may be apart by this share of its diameter, and both be right:
    formulas of steady flow are good to some tenths of a diameter (proposed)."""
    apart_least_m: float = Field(0.06, gt=0, le=1)
    """But for so much at the least: a gauge's accuracy, and what levelling is wrong by (proposed)."""
    apart_m: float = Field(0.2, gt=0, le=20)
    """And for no more: the head that a blockage has to hold back, too."""
    rises_s: int = Field(21_600, ge=1800, le=86_400)
    """Over so long: a blocked sewer fills within minutes, a gauge drifts for hours (proposed)."""
    flows_on: float = Field(0.5, gt=0, le=1)
    """It has flowed as before where the least flow of that time is this share of the most: by day and night it changes
    more slowly (proposed)."""
    witness_s: int = Field(300, ge=0, le=86_400)
    """What a gauge said so much before another is no witness against it: meanwhile the water may have come."""


class OverloadParams(BaseModel):
    """The defaults' sources stand beside them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gathers_s: int = Field(900, ge=300, le=7200)
    """What a storm sewer carries now has fallen within so long at the least: water runs 5 to 15 min to the first inlet
    and as long in the pipes (GB 50014, from memory)."""
    gathers_most_s: int = Field(1800, ge=300, le=7200)
    """And so long at the most, both at their longest, where it has rained as long. On flat ground less would take rain
    for carried that is still on its way, and warn too late."""
    now_s: int = Field(300, ge=60, le=1800)
    """How hard it rains now is told by so long: stations speak each 5 min."""
    least_mm_h: float = Field(10, gt=0, le=200)
    """Gentler rain overloads no sewer that is not blocked: designed for 2 years and more (GB 50014, from memory)."""
    least_load: float = Field(0.12, gt=0, lt=1)
    """Of a sewer that carries a smaller share of its capacity the level is mostly the gauge's error (proposed)."""
    harder: float = Field(1.05, ge=1, le=3)
    """It gets harder when it rains so many times as hard as `now_s` before (proposed); else nothing is foreseen."""
    hardest: float = Field(1.6, gt=1, le=5)
    """Nor faster than so, `now_s` by `now_s`: a design storm's steepest minutes before its peak (reckoned)."""
    within: float = Field(0.4, ge=0, le=1)
    """It must rain this share of what is too much already (proposed)."""
    share: float = Field(0.1, gt=0, le=1)
    at_least: int = Field(2, ge=1, le=1000)
    """So many of a catchment's gauges are to come to their capacity, and no fewer: one that lies is no flood."""
    below_zero: float = Field(0.05, ge=0, le=1)
    """A level that lies by more than that below the sewer's floor is none: the dead band of levels."""
    max_age_s: int = Field(1200, gt=0, le=86_400)
    """Older than that, a gauge says nothing of now."""
    rain_within_m: int = Field(10_000, gt=0, le=100_000)
    """How far off a station may be to say how hard it rains (as rain.weather)."""
