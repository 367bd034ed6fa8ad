"""Which devices of a city a fault can befall, and which of them it shall: fresh ones while there are enough.

Where a pick cannot be met it says what there is.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import NamedTuple, NoReturn

from simulators.faults.contradiction import contradict, makes, shown_by
from simulators.scenario.faults import Duplicate, Fault, Pick, PowerCut, WrongClock
from simulators.scenario.load import ScenarioError
from simulators.site import Site
from simulators.speech import SPEECHES, carried

_EXAMPLES = 6
_WITH_MAINS = ("lamp", "pump")


def refuse(number: int, fault: Fault, why: str) -> NoReturn:
    raise ScenarioError(f"faults.{number} ({fault.fault}): {why}")


def several(name: str, names: Iterable[str]) -> str:
    """Those most like it, and how many there are."""
    known = sorted(set(names))
    if not known:
        return "there is none"
    close = difflib.get_close_matches(name, known, n=_EXAMPLES, cutoff=0.5) or known[:_EXAMPLES]
    more = f" and {len(known) - len(close)} more" if len(known) > len(close) else ""
    return f"there are {', '.join(close)}{more}"


class _Step(NamedTuple):
    """One thing that is asked of a device; `why` says of those before it what there is instead."""

    fits: Callable[[Site], bool]
    why: Callable[[Sequence[Site]], str]


class Candidates:
    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = sites
        self.by_name = {name: site for site in sites for name in (site.asset_code, site.device.device_id)}
        self.befallen: dict[str, list[tuple[int, Fault]]] = defaultdict(list)
        self.spared: set[str] = set()
        """Devices that something else depends on: taken last."""

    def choose(self, number: int, fault: Fault, pick: Pick, random: Random) -> list[Site]:
        """Those that a pick means; from now on they are this fault's."""
        steps = _steps(fault, pick)
        if pick.devices:
            chosen = [self._named(number, fault, name, steps) for name in pick.devices]
            self.take(number, fault, chosen, "pick.devices")
            return chosen
        fitting: list[Site] = list(self.sites)
        for step in steps:
            before, fitting = fitting, [site for site in fitting if step.fits(site)]
            if not fitting:
                refuse(number, fault, f"pick: {step.why(before)}")
        if pick.count is None and pick.share is None:
            chosen = fitting
        else:
            wanted = pick.count or max(1, round((pick.share or 0) * len(fitting)))
            free = self.free(fault, fitting)
            if len(free) < wanted and (pick.share is None or not free):
                refuse(number, fault, f"pick: wants {wanted}, and {self._left(fault, fitting, len(free))}")
            wanted = min(wanted, len(free))
            around = isinstance(fault, PowerCut)
            chosen = _around_one(free, wanted, random) if around else self.rather_fresh(free, wanted, random)
        self.take(number, fault, chosen, "pick")
        return chosen

    def take(self, number: int, fault: Fault, chosen: Iterable[Site], field: str) -> None:
        for site in chosen:
            device_id = site.device.device_id
            for other_number, other in self.befallen[device_id]:
                if contradict(fault, other):
                    refuse(
                        number,
                        fault,
                        f"{field}: contradicts faults.{other_number} ({other.fault}) on {device_id} at the same time",
                    )
            self.befallen[device_id].append((number, fault))

    def free(self, fault: Fault, sites: Iterable[Site]) -> list[Site]:
        """Those on which nothing contradicts it."""
        return [
            site
            for site in sites
            if not any(contradict(fault, other) for _, other in self.befallen.get(site.device.device_id, ()))
        ]

    def rather_fresh(self, free: Sequence[Site], wanted: int, random: Random) -> list[Site]:
        """So many of them, those first that nothing has befallen."""
        fresh = [site for site in free if not self._used(site)]
        if len(fresh) >= wanted:
            return random.sample(fresh, wanted)
        used = [site for site in free if self._used(site)]
        return fresh + random.sample(used, wanted - len(fresh))

    def spare(self, sites: Iterable[Site]) -> None:
        self.spared.update(site.device.device_id for site in sites)

    def lie_while(self, fault: Fault, site: Site) -> bool:
        """Whether this device's values are not to be believed while the fault lasts."""
        others = self.befallen.get(site.device.device_id, ())
        return any(bool(makes(other)) and _overlap(fault, other) for _, other in others)

    def _used(self, site: Site) -> bool:
        return site.device.device_id in self.spared or bool(self.befallen.get(site.device.device_id))

    def _named(self, number: int, fault: Fault, name: str, steps: list[_Step]) -> Site:
        site = self.by_name.get(name)
        if site is None:
            refuse(number, fault, f"pick.devices = {name!r}: no such device; {several(name, self.by_name)}")
        for step in steps:
            if not step.fits(site):
                refuse(number, fault, f"pick.devices = {name!r}: {step.why([site])}")
        return site

    def _left(self, fault: Fault, fitting: Sequence[Site], free: int) -> str:
        taken = Counter(
            f"faults.{number} ({other.fault})"
            for site in fitting
            for number, other in self.befallen.get(site.device.device_id, ())
            if contradict(fault, other)
        )
        why = "".join(f"; {name} has {count}" for name, count in taken.items())
        return f"there are {len(fitting)} that fit, {free} of them free{why}"


def _steps(fault: Fault, pick: Pick) -> list[_Step]:
    """What a pick and a fault ask of a device, each on its own."""
    families = (pick.family,) if pick.family is not None else getattr(fault, "strikes", ())
    steps = [_Step(lambda site: site.device.family in families, _families(families))]
    if pick.place is not None:
        steps.append(_Step(lambda site: site.device.place == pick.place, _places(pick.place)))
    if pick.near:
        steps.append(_Step(lambda site: pick.near in _names(site), _near(pick.near)))
    if isinstance(fault, PowerCut):
        steps.append(_Step(_has_mains, lambda sites: f"{_told(sites)}: on batteries, which go on"))
    shown = shown_by(fault)
    if shown:
        steps.append(_Step(lambda site: bool(shown & set(carried(site))), _unsaid(shown)))
    if isinstance(fault, WrongClock | Duplicate):
        steps.append(_Step(_has_clock, lambda sites: f"{_told(sites)}: no time of its own in what it sends"))
    return steps


def _has_mains(site: Site) -> bool:
    return site.uplink == "mains" or site.device.family in _WITH_MAINS


def _has_clock(site: Site) -> bool:
    writer = SPEECHES[site.speech]
    return writer.timed and writer.own_clock


def _names(site: Site) -> str:
    return f"{site.device.asset_name} {site.device.address}"


def _families(families: Sequence[str]) -> Callable[[Sequence[Site]], str]:
    def why(sites: Sequence[Site]) -> str:
        there = Counter(site.device.family for site in sites)
        return f"no {' or '.join(families)}; there are {_counts(there) or 'no devices'}"

    return why


def _places(place: str) -> Callable[[Sequence[Site]], str]:
    return lambda sites: f"none at place {place!r}; they are at {_counts(Counter(site.device.place for site in sites))}"


def _near(near: str) -> Callable[[Sequence[Site]], str]:
    def why(sites: Sequence[Site]) -> str:
        examples = sorted({site.device.address or site.device.asset_name for site in sites})[:_EXAMPLES]
        return f"near {near!r}: no name or address has it; there are {', '.join(examples)}, …"

    return why


def _unsaid(fields: Iterable[str]) -> Callable[[Sequence[Site]], str]:
    wanted = " or ".join(sorted(fields))

    def why(sites: Sequence[Site]) -> str:
        return f"none says {wanted}; they speak {_counts(Counter(site.speech for site in sites))}"

    return why


def _told(sites: Sequence[Site]) -> str:
    return _counts(Counter(f"{site.device.family} in {site.speech}" for site in sites))


def _counts(there: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(there.items()))


def _overlap(one: Fault, other: Fault) -> bool:
    return one.at < (other.until or math.inf) and other.at < (one.until or math.inf)


def _around_one(free: Sequence[Site], wanted: int, random: Random) -> list[Site]:
    """The nearest to one of them."""
    middle = random.choice(free)
    shrink = math.cos(math.radians(middle.lat))

    def away(site: Site) -> tuple[float, str]:
        return math.hypot((site.lon - middle.lon) * shrink, site.lat - middle.lat), site.device.device_id

    return sorted(free, key=away)[:wanted]
