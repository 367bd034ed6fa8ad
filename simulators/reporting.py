"""Reporting: everything that the devices of a simulated city say in a run, in the order in which it is sent.

sites + around → habits (when) → radio (whether it comes, and when) → profiles (what) → sensor faults → Reported

Moments are found for the whole fleet at once, values are measured in blocks just before they are handed on, so that a
city of 100 000 devices needs little memory. All chance belongs to a device and a moment: the same seed gives the same
reports, and another device in the city changes nothing for the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from simulators.around import Around
from simulators.devices import PROFILES, Profiles
from simulators.devices.chance import Flags, Ints, keys_of
from simulators.devices.faulty import Faulty, Frozen
from simulators.devices.powered import PoweredProfile, flooded
from simulators.faults.struck import Struck
from simulators.habits import KINDS, Moments, moments
from simulators.radio import Journeys, journeys
from simulators.scenario.faults import StuckSensor
from simulators.scenario.model import Radio
from simulators.site import Reported, Site

_BLOCK = 4096
_KINDS = (*KINDS, "backlog")
_SEQ_PER_S = 100
"""A device's seq begins with the clock, so that a fleet that is started again goes on counting upwards."""


def reports(
    sites: Sequence[Site],
    around: Around,
    struck: Struck,
    radio: Radio,
    seed: int,
    seconds: float,
    unheard: Counter[str] | None = None,
) -> Iterator[Reported]:
    """What `sites` say in a run of so many seconds of simulated time. `around` is of the same sites, in this order. In
    `unheard` is counted, as time goes by, what was said and never came: `radio`."""
    if list(map(id, sites)) != list(map(id, around.sites)):
        raise ValueError(f"sites: {len(sites)}; around is of other ones ({len(around.sites)})")
    made = moments(sites, around, struck, seed, seconds)
    profiles = Profiles(sites, seed)
    keys = keys_of(seed, [site.device.device_id for site in sites])
    on_mains = np.array([site.uplink == "mains" for site in sites], np.bool_)
    went = journeys(made, keys, on_mains, _flooded(sites, around, made), radio)
    faulty = Faulty(struck.sensors, _frozen(profiles, sites, around, struck))
    first_seq = int(around.clock(0.0)) * _SEQ_PER_S // 1000
    seq = first_seq + 1 + np.arange(len(made)) - np.searchsorted(made.index, made.index)
    order = np.argsort(went.sent_s, kind="stable")
    order = order[: np.searchsorted(went.sent_s[order], seconds)]  # what never comes (NaN) stands at the end
    lost_at_s = np.sort(made.at_s[np.isnan(went.sent_s)])
    for begin in range(0, len(order), _BLOCK):
        rows = order[begin : begin + _BLOCK]
        if unheard is not None:
            unheard["radio"] = int(np.searchsorted(lost_at_s, went.sent_s[rows[-1]]))
        yield from _reported(sites, around, profiles, faulty, made, went, rows, seq[rows])


def _reported(
    sites: Sequence[Site],
    around: Around,
    profiles: Profiles,
    faulty: Faulty,
    made: Moments,
    went: Journeys,
    rows: Ints,
    seq: Ints,
) -> Iterator[Reported]:
    index, at_s = made.index[rows], made.at_s[rows]
    seen = around.sightings(index, at_s, made.before_s[rows], went.transmissions[rows])
    said = profiles.report(seen, faulty.alter)
    alive = ~profiles.dead(seen)
    kinds = np.where(went.backlog[rows], len(KINDS), made.kind[rows])
    columns = (went.sent_s[rows], at_s, index, seq, kinds, alive)
    told = zip(*(column.tolist() for column in columns), said, strict=True)
    for sent_s, measured_s, place, number, kind, lives, values in told:
        if lives:
            site = sites[place]
            yield Reported(sent_s, measured_s, site, number if site.device.counts else None, values, _KINDS[kind])


def _flooded(sites: Sequence[Site], around: Around, made: Moments) -> Flags:
    """By moment: whether the device's antenna is under water."""
    sheltered = {one.family for one in PROFILES.values() if issubclass(one, PoweredProfile) and one.sheltered}
    shaft_m = np.array([site.rim_m - site.invert_m if site.device.family in sheltered else 0.0 for site in sites])
    found = np.zeros(len(made), np.bool_)
    rows = np.flatnonzero((shaft_m > 0)[made.index])
    water_m = around.values("water_m", made.index[rows], made.at_s[rows])
    found[rows] = flooded(shaft_m[made.index[rows]], water_m)
    return found


def _frozen(profiles: Profiles, sites: Sequence[Site], around: Around, struck: Struck) -> Frozen:
    """Look once at every sensor that gets stuck, at that moment."""
    frozen = Frozen()
    for place, site in enumerate(sites):
        for during in struck.sensors.get(site.device.device_id, ()):
            if isinstance(during.fault, StuckSensor):
                begins_s = np.array([during.begins_s])
                before_s = np.maximum(begins_s - site.device.interval_s, 0.0)
                seen = around.sightings(np.array([place]), begins_s, before_s, np.zeros(1))
                frozen.keep(site.device.device_id, during.begins_s, profiles.measured(seen))
    return frozen
