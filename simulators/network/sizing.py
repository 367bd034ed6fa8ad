"""Gives a plan its diameters and levels, as sewers are designed: storm water by the rational method, foul water by its
dry-weather peak at half fill, slopes by the ground, at least as much cover as the standard wants.

Crowns meet at manholes; no sewer is narrower than one that runs into it. A sewer that would be too fast lies flatter
and begins deeper (a drop at its upper manhole).

Sources: Q = ψ q F (GB 50014, 雨水设计流量), q by the city's storm intensity formula; Manning, full pipe.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

import networkx as nx

from simulators.network.plan import Chamber, Plan, Sewer, Standard
from simulators.rain.chicago import MM_MIN_PER_L_S_HA, site_named

SIZES_M = (
    *(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.65, 1.8, 2.0, 2.2, 2.4, 2.6, 2.8, 3.0),
    *(3.2, 3.5, 3.8, 4.0, 4.5, 5.0),
)
"""Concrete pipes as they are made (GB/T 11836); above 3 m stands a culvert's equivalent."""

CITY = "anyang"
"""Whose storms: one of the sites of `rain`."""

ROUGHNESS = 0.013
SLOWEST_STORM_M_S = 0.75
SLOWEST_FOUL_M_S = 0.6
LEAST_SLOPE = 0.0004
"""Flatter, and levelling would not find it."""

OUTFALL_SLOPE = 0.004
HIGHEST_DROP_M = 1.9
"""Above that a manhole would have to be built for it (GB 50014: 2 m, from memory)."""


FOUL_PEAK = 1.6
"""A foul sewer's peak hour by its mean, as its daily pattern has it and some to spare."""

PAVED_RUNS_OFF = 0.9
UNPAVED_RUNS_OFF = 0.15

SHORTEST_CYCLE_S = 300.0
"""From one start of a pump to the next at the least, which is when half of what it lifts comes in."""

STARTS_ABOVE_STOP_M = 0.8
LEAST_WELL_M2 = 12.0
BASIN_HOLDS_S = 12.0
"""A metre of water in the basin that pumps lift into is so many seconds of what they lift: it calms the flow."""

WELL_BELOW_M = 2.4
"""How far a pump well's floor lies below what runs into it: room for its pumps to start and stop."""


def design(plan: Plan) -> None:
    """Set invert levels and diameters, from the top of each branch down. Wells get a floor for their pumps."""
    _Design(plan).run()


def intensity_l_s_ha(period_years: float, minutes: float) -> float:
    """The demo city's formula."""
    site = site_named(CITY)
    return site.strength(period_years) / math.pow(minutes + site.b, site.n) / MM_MIN_PER_L_S_HA


def least_slope(diameter_m: float, slowest_m_s: float) -> float:
    """At which a full pipe runs as fast as it must: Manning, solved for the slope."""
    return max((slowest_m_s * ROUGHNESS / math.pow(diameter_m / 4, 2 / 3)) ** 2, LEAST_SLOPE)


def capacity_m3_s(diameter_m: float, slope: float) -> float:
    return math.pi * diameter_m**2 / 4 * velocity_m_s(diameter_m, slope)


def velocity_m_s(diameter_m: float, slope: float) -> float:
    return math.pow(diameter_m / 4, 2 / 3) * math.sqrt(slope) / ROUGHNESS


class _Design:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.standard: Standard = plan.standard
        self.incoming: dict[str, list[Sewer]] = defaultdict(list)
        self.outgoing: dict[str, Sewer] = {}
        self.reliefs = [sewer for sewer in plan.sewers if sewer.relief]
        for sewer in plan.sewers:
            if not sewer.relief:
                self.incoming[sewer.lower].append(sewer)
                self.outgoing[sewer.upper] = sewer
        # What comes from above, by chamber: effective area (ψF, ha), dry flow (m³/s), pumped flow (m³/s), minutes.
        self.effective_ha: dict[str, float] = {}
        self.dry_m3_s: dict[str, float] = {}
        self.pumped_m3_s: dict[str, float] = {}
        self.minutes: dict[str, float] = {}

    def run(self) -> None:
        for name in self._from_the_top():
            chamber = self.plan.chambers[name]
            self._gather(chamber)
            if chamber.kind == "well":
                self._dig_well(chamber)
            elif name in self.outgoing:
                self._lay(chamber, self.outgoing[name])
        self._soften_drops()
        for name, chamber in self.plan.chambers.items():
            if chamber.kind != "well":
                bottoms = [sewer.down_m for sewer in self.incoming[name]]
                bottoms += [self.outgoing[name].up_m] if name in self.outgoing else []
                if bottoms:
                    chamber.invert_m = round(min(bottoms), 3)
        for sewer in self.reliefs:
            self._lay_relief(sewer)

    def _from_the_top(self) -> Iterable[str]:
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.plan.chambers)
        graph.add_edges_from((sewer.upper, sewer.lower) for sewer in self.outgoing.values())
        graph.add_edges_from((pumps.well, pumps.to) for pumps in self.plan.pumps)
        order: Iterator[str] = nx.lexicographical_topological_sort(graph)
        return list(order)

    def _gather(self, chamber: Chamber) -> None:
        name, above = chamber.name, self.incoming[chamber.name]
        paved = chamber.imperv_pct / 100
        own = chamber.area_ha * (paved * PAVED_RUNS_OFF + (1 - paved) * UNPAVED_RUNS_OFF)
        self.effective_ha[name] = own + sum(self.effective_ha[sewer.upper] for sewer in above)
        self.dry_m3_s[name] = chamber.dry_l_s / 1000 + sum(self.dry_m3_s[sewer.upper] for sewer in above)
        self.pumped_m3_s[name] = sum(self.pumped_m3_s[sewer.upper] for sewer in above)
        self.pumped_m3_s[name] += sum(pumps.number * pumps.flow_m3_s for pumps in self.plan.pumps if pumps.to == name)
        travelled = (self.minutes[sewer.upper] + sewer.length_m / self._speed(sewer) / 60 for sewer in above)
        self.minutes[name] = max(travelled, default=self.standard.inlet_min)

    def _speed(self, sewer: Sewer) -> float:
        return velocity_m_s(sewer.diameter_m, (sewer.up_m - sewer.down_m) / sewer.length_m)

    def _storm_m3_s(self, name: str, period_years: float) -> float:
        """What its outlet has to carry in the storm that it is designed for."""
        intensity = intensity_l_s_ha(period_years, self.minutes[name])
        return self.effective_ha[name] * intensity / 1000 + self.pumped_m3_s[name]

    def _lay(self, chamber: Chamber, sewer: Sewer) -> None:
        foul = chamber.water == "foul"
        # Half full a pipe carries half of what it carries full.
        flow = 2 * FOUL_PEAK * self.dry_m3_s[chamber.name]
        if not foul:
            flow = self._storm_m3_s(chamber.name, self.standard.period_years)
        least = self.standard.least_foul_m if foul else self.standard.least_storm_m
        widest = max((above.diameter_m for above in self.incoming[chamber.name]), default=least)
        for diameter in SIZES_M:
            if diameter < max(least, widest):
                continue
            sewer.diameter_m = diameter
            sewer.up_m, sewer.down_m = self._levels(chamber, sewer, foul)
            if capacity_m3_s(diameter, (sewer.up_m - sewer.down_m) / sewer.length_m) >= flow:
                return

    def _levels(self, chamber: Chamber, sewer: Sewer, foul: bool) -> tuple[float, float]:
        """The inverts at its two ends: under the cover, with their crown no higher than those of what comes in."""
        diameter = sewer.diameter_m
        cover = self.standard.foul_cover_m if foul else self.standard.storm_cover_m
        crowns = [above.down_m + above.diameter_m for above in self.incoming[chamber.name]]
        up = min([chamber.ground_m - cover, *crowns]) - diameter
        flattest = least_slope(diameter, SLOWEST_FOUL_M_S if foul else SLOWEST_STORM_M_S)
        lower = self.plan.chambers[sewer.lower]
        down = up - flattest * sewer.length_m
        if lower.kind != "manhole":
            down = min(down, up - OUTFALL_SLOPE * sewer.length_m)
        else:
            down = min(down, lower.ground_m - cover - diameter)
        up = min(up, down + self._steepest(diameter) * sewer.length_m)
        return round(up, 3), round(down, 3)

    def _steepest(self, diameter_m: float) -> float:
        return (self.standard.fastest_m_s * ROUGHNESS / math.pow(diameter_m / 4, 2 / 3)) ** 2

    def _soften_drops(self) -> None:
        """A sewer that comes in far above the outlet runs down to it, as far as it may be steep."""
        for name, outlet in self.outgoing.items():
            for sewer in self.incoming[name]:
                if sewer.down_m - outlet.up_m > HIGHEST_DROP_M:
                    wanted = outlet.up_m + min(outlet.diameter_m - sewer.diameter_m, HIGHEST_DROP_M)
                    steepest = sewer.up_m - self._steepest(sewer.diameter_m) * sewer.length_m
                    sewer.down_m = round(min(max(wanted, steepest), sewer.down_m), 3)

    def _dig_well(self, well: Chamber) -> None:
        lowest = min(sewer.down_m for sewer in self.incoming[well.name])
        well.invert_m = round(lowest - WELL_BELOW_M, 3)
        for pumps in self.plan.pumps:
            if pumps.well == well.name:
                foul_m3_s = 1.5 * FOUL_PEAK * self.dry_m3_s[well.name]
                storm_m3_s = self._storm_m3_s(well.name, pumps.period_years)
                pumps.flow_m3_s = (foul_m3_s if well.water == "foul" else storm_m3_s) / pumps.number
                well.floor_m2 = max(pumps.flow_m3_s * SHORTEST_CYCLE_S / 4 / STARTS_ABOVE_STOP_M, LEAST_WELL_M2)
                outlet = self.plan.chambers[pumps.to]
                if outlet.kind == "basin":
                    outlet.floor_m2 = max(pumps.number * pumps.flow_m3_s * BASIN_HOLDS_S, LEAST_WELL_M2)

    def _lay_relief(self, sewer: Sewer) -> None:
        """From the higher of two manholes to the lower one, somewhat above their inverts, as wide as the narrower of
        the two outlets."""
        upper, lower = self.plan.chambers[sewer.upper], self.plan.chambers[sewer.lower]
        if upper.invert_m < lower.invert_m:
            upper, lower = lower, upper
            sewer.upper, sewer.lower = upper.name, lower.name
        widths = [self.outgoing[each.name].diameter_m for each in (upper, lower)]
        sewer.diameter_m = max(min(widths) * 0.75, self.standard.least_storm_m)
        sewer.diameter_m = max(size for size in SIZES_M if size <= sewer.diameter_m)
        sewer.up_m = round(upper.invert_m + 0.15, 3)
        sewer.down_m = round(max(lower.invert_m, sewer.up_m - 0.01 * sewer.length_m), 3)
        if sewer.down_m > sewer.up_m - LEAST_SLOPE * sewer.length_m:
            sewer.up_m = round(sewer.down_m + LEAST_SLOPE * sewer.length_m, 3)
