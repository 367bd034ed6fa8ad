"""Sight: which devices could have seen a thing, if they were honest and alive. Says what `watched` means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from simulators.devices.cover import watches_water
from simulators.faults.struck import Struck
from simulators.scenario.faults import DeadSensor, PowerCut, StuckSensor
from simulators.score.excursions import Span, joined
from simulators.site import Site

LOOK_S = 600.0
"""A device that is alive and honest for so long in one go during a thing, or throughout a shorter one, could see it:
two reports of a cover in a storm."""

ANY_FIELD = ""


class Sight:
    """Of one run of `seconds`. Looks things up by device, node and gateway."""

    def __init__(self, sites: Sequence[Site], struck: Struck, seconds: float) -> None:
        self.seconds = seconds
        self._struck = struck
        self.site = {site.device.device_id: site for site in sites}
        self.behind: dict[str, list[Site]] = defaultdict(list)
        self.gauges_at: dict[str, list[Site]] = defaultdict(list)
        for site in sites:
            if site.gateway_id:
                self.behind[site.gateway_id].append(site)
            if site.node and measures_water(site):
                self.gauges_at[site.node].append(site)

    def until(self, until_s: float) -> float | None:
        """As a span ends: None where that is not before the run does."""
        return until_s if until_s < self.seconds else None

    def silent(self, site: Site) -> list[Span]:
        """When it says nothing: dead, or on mains that are cut. In order, no two of them touching."""
        return joined(
            (during.begins_s, self.until(during.until_s))
            for during in self._struck.sensors.get(site.device.device_id, ())
            if isinstance(during.fault, DeadSensor) or (isinstance(during.fault, PowerCut) and site.uplink == "mains")
        )

    def behind_silent_gateway(self, site: Site, *, lost_only: bool = False) -> list[Span]:
        """When its gateway is out; `lost_only`: and what it measures meanwhile is gone."""
        return joined(
            (during.begins_s, self.until(during.until_s))
            for during in self._struck.gateways.get(site.gateway_id, ())
            if not (lost_only and during.fault.keeps)
        )

    def could_see(self, site: Site, field: str, begins_s: float, ends_s: float | None) -> bool:
        """Whether this device was fit to see something in this value of its own; `ANY_FIELD`: in any."""
        stuck = [
            (during.begins_s, self.until(during.until_s))
            for during in self._struck.sensors.get(site.device.device_id, ())
            if isinstance(during.fault, StuckSensor) and (not during.fault.fields or field in during.fault.fields)
        ]
        blind = joined([*self.silent(site), *self.behind_silent_gateway(site, lost_only=True), *stuck])
        end = self.seconds if ends_s is None else ends_s
        longest, sees_from = 0.0, begins_s
        for blind_from, blind_until in [*blind, (end, None)]:
            longest = max(longest, min(blind_from, end) - sees_from)
            sees_from = max(sees_from, end if blind_until is None else blind_until)
        return longest >= min(LOOK_S, end - begins_s)


def measures_water(site: Site) -> bool:
    """Whether it has a level gauge in a sewer."""
    return site.device.family == "pipe" or (site.device.family == "cover" and watches_water(site))


def water_field(site: Site) -> str:
    return {"pipe": "fill_ratio", "cover": "water_below_rim_m", "road": "depth_cm", "pump": "forebay_level_m"}[
        site.device.family
    ]
