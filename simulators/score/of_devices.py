"""What faults do to things and devices: covers, lamps, pumps; and who falls silent. Read from the scenario's faults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from simulators.daylight import dark_at, hour_of
from simulators.faults.struck import Forced, PumpFailure, Struck
from simulators.message import Clock
from simulators.network.city import NetworkCity
from simulators.scenario.model import Scenario
from simulators.score.excursions import Span, at_once, joined, longest_s, overlap, runs
from simulators.score.limits import TrueLimits
from simulators.score.sight import ANY_FIELD, Sight
from simulators.score.thing import Thing
from simulators.score.water import Water
from simulators.site import Site
from simulators.truth import HazardKind

_MINUTE_S = 60


def forced_things(
    struck: Struck, sight: Sight, limits: TrueLimits, scenario: Scenario, clock: Clock
) -> Iterator[Thing]:
    """Covers that are open, tilted or shaken; lamps that do not burn; poles under current."""
    dark = dark_spans(scenario, clock, sight.seconds)
    for device_id, happenings in struck.forced.items():
        site = sight.site[device_id]
        for forced in happenings:
            if forced.begins_s >= sight.seconds:
                continue
            match site.device.family:
                case "cover":
                    yield from _of_cover(site, forced, sight, limits)
                case "lamp":
                    yield from _of_lamp(site, forced, sight, limits, dark)


def _of_cover(site: Site, forced: Forced, sight: Sight, limits: TrueLimits) -> Iterator[Thing]:
    tilt_deg = forced.values.get("tilt_deg", 0.0)
    if forced.values.get("open"):
        yield _thing("cover_open", site, forced, sight, "open", limits.cover_open.worth, tilt_deg or None)
    elif tilt_deg >= limits.tilt.floor:
        yield _thing("cover_tilted", site, forced, sight, "tilt_deg", limits.tilt.severity(tilt_deg), tilt_deg)
    if forced.values.get("vibration"):
        yield _thing("vibration", site, forced, sight, "vibration", limits.vibration.worth)


def _of_lamp(site: Site, forced: Forced, sight: Sight, limits: TrueLimits, dark: list[Span]) -> Iterator[Thing]:
    if forced.values.get("lamp_failed"):
        seen_after_s = limits.lamp_failed.intervals * site.device.interval_s
        for begins_s, ends_s in overlap([(forced.begins_s, sight.until(forced.until_s))], dark):
            lasts_s = (sight.seconds if ends_s is None else ends_s) - begins_s
            yield Thing(
                "lamp_failed",
                begins_s,
                ends_s,
                severity=limits.lamp_failed.worth if lasts_s >= seen_after_s else 0,
                device_id=site.device.device_id,
                asset_code=site.asset_code,
                watched=sight.could_see(site, "current_a", begins_s, ends_s),
            )
    leakage_ma = forced.values.get("leakage_ma", 0.0)
    touch_v = forced.values.get("touch_voltage_v", 0.0)
    if leakage_ma >= limits.leakage.floor or touch_v >= limits.touch_voltage.floor:
        lasts_s = min(forced.until_s, sight.seconds) - forced.begins_s
        severity = max(
            of.severity(value) if lasts_s >= of.lasts_s else 0
            for of, value in ((limits.leakage, leakage_ma), (limits.touch_voltage, touch_v))
        )
        yield _thing("leakage", site, forced, sight, "leakage_ma", severity, leakage_ma)


def dark_spans(scenario: Scenario, clock: Clock, seconds: float) -> list[Span]:
    """When lamps should burn."""
    minutes = np.arange(0, seconds + 1, _MINUTE_S)
    hours = np.array([hour_of(clock(float(at_s))) for at_s in minutes])
    return [
        (float(minutes[first]), None if last == len(minutes) - 1 else float(minutes[last + 1]))
        for first, last in runs(dark_at(hours, scenario.daylight))
    ]


def failed_pumps(city: NetworkCity, struck: Struck, sight: Sight, limits: TrueLimits, water: Water) -> Iterator[Thing]:
    """From its failure on where its controller tells; else from when its forebay is too high for a pump at rest."""
    for failure in struck.pump_failures:
        for site in (site for site in city.sites if site.device.family == "pump" and site.link == failure.link):
            ends_s = sight.until(failure.until_s)
            tells = any(
                forced.values.get("fault") and forced.begins_s < failure.until_s and failure.begins_s < forced.until_s
                for forced in struck.forced.get(site.device.device_id, ())
            )
            begins_s = failure.begins_s if tells else _high_from(site, failure, limits, water)
            shown = tells or begins_s is not None
            begins_s = failure.begins_s if begins_s is None else begins_s
            lasts_s = (sight.seconds if ends_s is None else ends_s) - begins_s
            yield Thing(
                "pump_failed",
                begins_s,
                ends_s,
                severity=limits.pump_failed.worth if shown and lasts_s >= limits.pump_failed.lasts_s else 0,
                device_id=site.device.device_id,
                asset_code=site.asset_code,
                node=site.node,
                watched=shown and sight.could_see(site, ANY_FIELD, begins_s, ends_s),
            )


def _high_from(site: Site, failure: PumpFailure, limits: TrueLimits, water: Water) -> float | None:
    if not site.device.forebay_gauge:
        return None
    level_m = water.level_m(site)
    idle = limits.forebay_idle
    at_s = np.arange(len(level_m)) * water.step_s
    high = (level_m >= idle.first + idle.accuracy) & (at_s >= failure.begins_s) & (at_s < failure.until_s)
    if longest_s(high, water.step_s) < idle.lasts_s:
        return None
    return float(at_s[np.flatnonzero(high)[0]])


def silences(city: NetworkCity, sight: Sight, limits: TrueLimits, outages: Sequence[Thing]) -> Iterator[Thing]:
    """Devices of which nothing comes for longer than their kind may be silent. Behind a gateway of whose outage
    somebody is told they need not be told of, too, unless they are dead themselves."""
    told: dict[str, list[Span]] = defaultdict(list)
    for outage in outages:
        if outage.severity:
            told[outage.gateway_id].append((outage.begins_s, outage.ends_s))
    for site in city.sites:
        own = sight.silent(site)
        for span in own:
            yield from _silence(site, span, sight, limits, needed=True)
        for span in _without(sight.behind_silent_gateway(site), own):
            yield from _silence(site, span, sight, limits, needed=not overlap([span], told[site.gateway_id]))


def _silence(site: Site, span: Span, sight: Sight, limits: TrueLimits, *, needed: bool) -> Iterator[Thing]:
    begins_s, ends_s = span
    interval_s = site.device.interval_s
    patience_s = limits.silence.families[site.device.family].seconds(interval_s)
    lasts_s = (sight.seconds if ends_s is None else ends_s) - begins_s
    # Its last report may be an interval old when it falls silent, and its first one an interval late.
    if lasts_s < patience_s - 2 * interval_s:
        return
    yield Thing(
        "silence",
        begins_s,
        ends_s,
        severity=limits.silence.worth if needed and lasts_s >= patience_s else 0,
        device_id=site.device.device_id,
        asset_code=site.asset_code,
        gateway_id=site.gateway_id,
    )


def gateway_outages(sight: Sight, limits: TrueLimits) -> Iterator[Thing]:
    """Gateways of whose devices enough are silent for so long that they are missed, whether the gateway is out or its
    devices are dead behind it. One that is out unnoticed is a thing, too, and need not be told."""
    of = limits.gateway
    for gateway_id, sites in sorted(sight.behind.items()):
        out = sight.behind_silent_gateway(sites[0])
        silent = [(site.device.interval_s, joined([*out, *sight.silent(site)])) for site in sites]
        enough = max(of.at_least, int(of.share * len(sites)) + 1)
        missed = [
            (begins_s + patience_s, ends_s)
            for interval_s, spans in silent
            for begins_s, ends_s in spans
            if begins_s + (patience_s := of.intervals * interval_s + of.grace_s)
            < (sight.seconds if ends_s is None else ends_s)
        ]
        noticed = at_once(missed, enough)
        many = at_once([span for _, spans in silent for span in spans], enough)
        for span in many:
            shown = bool(overlap([span], noticed))
            yield Thing("gateway_outage", *span, severity=of.worth if shown else 0, gateway_id=gateway_id)
        for span in out:
            if not overlap([span], many):
                yield Thing("gateway_outage", *span, gateway_id=gateway_id, watched=False)


def _without(spans: list[Span], others: list[Span]) -> list[Span]:
    """Those that no other covers whole: a dead device's silence is its own."""
    return [
        span
        for span in spans
        if not any(
            begins <= span[0] and (ends is None or (span[1] is not None and span[1] <= ends)) for begins, ends in others
        )
    ]


def _thing(
    kind: HazardKind,
    site: Site,
    forced: Forced,
    sight: Sight,
    field: str,
    severity: int,
    peak: float | None = None,
) -> Thing:
    ends_s = sight.until(forced.until_s)
    return Thing(
        kind,
        forced.begins_s,
        ends_s,
        peak,
        None if peak is None else forced.begins_s,
        severity,
        device_id=site.device.device_id,
        asset_code=site.asset_code,
        node=site.node,
        watched=sight.could_see(site, field, forced.begins_s, ends_s),
    )
