"""Water where it should not be: on roads, at the rims of manholes, over the crowns of pipes, in forebays.

Read from the true hydrographs; each definition stands in docs/score.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simulators.hydraulics.hydrographs import Hydrographs
from simulators.network.city import NetworkCity
from simulators.network.model import Network
from simulators.roster import FOUL_KIND
from simulators.score.excursions import Excursion, Mask, Values, excursions, runs, worth
from simulators.score.limits import TrueLimits
from simulators.score.rainfall import fallen_mm, fallen_within
from simulators.score.sight import Sight, water_field
from simulators.score.thing import Thing, thing_of
from simulators.site import Site
from simulators.truth import HazardKind

_RISING_OVER_S = 300
_WET_MM, _WET_OVER_S = 0.2, 1800
_FLOWS_M3_S = 1e-4
_ROUNDING_M = 5e-4
"""Depths are 32-bit floats of SWMM's; at its rim a node that does not pond stands exactly."""


class Water:
    """What the water of one run did, and who could see it."""

    def __init__(
        self, city: NetworkCity, network: Network, hydrographs: Hydrographs, sight: Sight, limits: TrueLimits
    ) -> None:
        self._city = city
        self._network = network
        self._hydrographs = hydrographs
        self._sight = sight
        self._limits = limits
        self.step_s = hydrographs.step_s
        self._node = {name: column for column, name in enumerate(hydrographs.nodes)}
        self._link = {name: column for column, name in enumerate(hydrographs.links)}
        self._crown_m = _crowns_m(network)

    def happened(self) -> Iterator[Thing]:
        dry = self._dry()
        for site in self._city.sites:
            if site.node not in self._node:
                continue
            match site.device.family:
                case "road":
                    yield from self._road(site)
                case "cover" if site in self._sight.gauges_at[site.node]:
                    yield from self._under_cover(site)
                case "pipe":
                    yield from self._in_pipe(site, dry)
                case "pump" if site.device.forebay_gauge:
                    yield from self._forebay(site)
        yield from self._overflows()

    def fill(self, site: Site) -> Values:
        """At a pipe gauge: the water over its zero in diameters."""
        depth = self._hydrographs.depth_m[:, self._node[site.node]]
        return (depth - site.zero_m) / site.diameter_m if site.diameter_m > 0 else np.zeros_like(depth)

    def level_m(self, site: Site) -> Values:
        """At a site's node: the water over its gauge's zero."""
        return np.asarray(self._hydrographs.depth_m[:, self._node[site.node]].astype(np.float64) - site.zero_m)

    def _seen_by(self, site: Site, excursion: Excursion) -> bool:
        return self._sight.could_see(site, water_field(site), excursion.begins_s, excursion.ends_s)

    def _road(self, site: Site) -> Iterator[Thing]:
        depth_cm = self._hydrographs.ponding_m[:, self._node[site.node]].astype(np.float64) * 100
        limits = self._limits.underpass if site.device.underpass else self._limits.road
        for excursion in excursions(depth_cm, self.step_s, limits):
            yield self._at("road_flooding", site, excursion)
        steps = max(round(_RISING_OVER_S / self.step_s), 1)
        if len(depth_cm) <= steps:
            return
        rise = np.concatenate((np.zeros(steps), depth_cm[steps:] - depth_cm[:-steps]))
        for excursion in excursions(rise, self.step_s, self._limits.rising):
            yield self._at("road_rising", site, excursion, severity=0)

    def _under_cover(self, site: Site) -> Iterator[Thing]:
        depth_m = self._hydrographs.depth_m[:, self._node[site.node]].astype(np.float64)
        shaft_m = site.rim_m - site.invert_m
        crown_m = self._crown_m.get(site.node, 0.0)
        for excursion in excursions(depth_m - shaft_m, self.step_s, self._limits.under_cover):
            # A shaft may be so shallow that its dry bed is near the rim: then nothing need be told.
            surcharged = excursion.peak + shaft_m >= crown_m
            yield self._at("surcharge", site, excursion, severity=excursion.severity if surcharged else 0)

    def _in_pipe(self, site: Site, dry: Mask) -> Iterator[Thing]:
        fill = self.fill(site)
        foul = site.device.kind == FOUL_KIND
        for excursion in excursions(fill, self.step_s, self._limits.foul if foul else self._limits.storm):
            yield self._at("surcharge", site, excursion)
        in_dry_weather = np.where(dry, fill, -1.0)
        limits = self._limits.dry_foul if foul else self._limits.dry_storm
        for excursion in excursions(in_dry_weather, self.step_s, limits):
            yield self._at("dry_weather_water", site, excursion, severity=0)

    def _forebay(self, site: Site) -> Iterator[Thing]:
        level_m = self.level_m(site)
        running = self.running(site.link)
        for excursion in excursions(np.where(running, -1.0, level_m), self.step_s, self._limits.forebay_idle):
            yield self._at("forebay_high", site, excursion)
        for excursion in excursions(level_m, self.step_s, self._limits.forebay):
            yield self._at("forebay_high", site, excursion)
        no_drop = self._limits.no_drop
        steps = max(round(no_drop.over_s / self.step_s), 1)
        if len(level_m) <= steps:
            return
        fell = np.concatenate((np.full(steps, np.inf), level_m[:-steps] - level_m[steps:]))
        for first, last in runs(running & (fell <= self._limits.forebay.accuracy)):
            if (last - first) * self.step_s >= no_drop.lasts_s - no_drop.over_s:
                ends_s = None if last == len(level_m) - 1 else last * self.step_s
                # The level it stood at before the time over which it did not fall belongs to it.
                begins_s = max((first - steps) * self.step_s, 0)
                yield Thing("no_drop", begins_s, ends_s, device_id=site.device.device_id, asset_code=site.asset_code)

    def _overflows(self) -> Iterator[Thing]:
        for name, node in self._network.nodes.items():
            column = self._node.get(name)
            if column is None or node.kind == "outfall":
                continue
            over_m = self._hydrographs.depth_m[:, column].astype(np.float64) - node.max_depth_m + _ROUNDING_M
            out = self._hydrographs.flooding_m3_s[:, column] > _FLOWS_M3_S
            over_m = np.where(out, np.maximum(over_m, _ROUNDING_M), over_m)
            gauges = self._sight.gauges_at.get(name, [])
            for excursion in excursions(over_m, self.step_s, self._limits.overflow):
                yield thing_of(
                    "overflow",
                    excursion,
                    severity=self._worth_told(gauges, excursion),
                    asset_code=self._city.node_assets.get(name, ""),
                    node=name,
                    watched=any(self._seen_by(site, excursion) for site in gauges),
                )

    def _worth_told(self, gauges: list[Site], overflow: Excursion) -> int:
        """Red where a cover's gauge sees the rim. A pipe's gauge knows none: what its own limits make of it."""
        if not overflow.severity or not gauges or any(site.device.family == "cover" for site in gauges):
            return overflow.severity
        first = int(overflow.begins_s / self.step_s)
        last = None if overflow.ends_s is None else int(overflow.ends_s / self.step_s) + 2
        worst = 1
        for site in gauges:
            limits = self._limits.foul if site.device.kind == FOUL_KIND else self._limits.storm
            part = self.fill(site)[first:last]
            worst = max(worst, worth(part, self.step_s, limits.steps, margin=limits.accuracy, lasts_s=limits.lasts_s))
        return worst

    def running(self, link: str) -> Mask:
        column = self._link.get(link)
        if column is None:
            return np.zeros(len(self._hydrographs.depth_m), np.bool_)
        moves = np.abs(self._hydrographs.flow_m3_s[:, column]) > _FLOWS_M3_S
        return np.asarray((self._hydrographs.setting[:, column] > 0) & moves)

    def _at(self, kind: HazardKind, site: Site, excursion: Excursion, *, severity: int | None = None) -> Thing:
        return thing_of(
            kind,
            excursion,
            severity=severity,
            device_id=site.device.device_id,
            asset_code=site.asset_code,
            node=site.node,
            watched=self._seen_by(site, excursion),
        )

    def _dry(self) -> Mask:
        """When it has hardly rained anywhere for a while, at one gage at least."""
        rain = self._hydrographs.rain_mm_h
        within = [
            fallen_within(fallen_mm(rain[:, gage], self.step_s), _WET_OVER_S, self.step_s)
            for gage in range(rain.shape[1])
        ]
        return np.asarray(np.min(within, axis=0) < _WET_MM) if within else np.ones(len(rain), np.bool_)


def _crowns_m(network: Network) -> dict[str, float]:
    """Over each node's invert, the crown of the widest pipe that leaves it."""
    crowns: dict[str, float] = {}
    for link in network.links.values():
        if link.diameter_m > 0 and link.from_node in network.nodes:
            crown_m = link.up_m - network.nodes[link.from_node].invert_m + link.diameter_m
            crowns[link.from_node] = max(crown_m, crowns.get(link.from_node, 0.0))
    return crowns
