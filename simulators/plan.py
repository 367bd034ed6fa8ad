"""A rehearsal laid upon a city: which device does what and when, and which alarms must come of it.

Between `hazards` (fractions of a run, kinds of device) and `fleet` (seconds, devices).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from simulators.hazards import FALLEN, Expectation, Hazard, Pick, Rehearsal, RehearsalError
from simulators.roster import RosterDevice
from simulators.signals import crossings, slope_at, value_at

_WET_AFTERWARDS = 0.1
_WATCHED_AFTERWARDS = 6
_ROOM_S = 1.0
"""What the path itself may take between a report and what comes of it, when it is judged whether a hazard fits."""


@dataclass(frozen=True, slots=True)
class Storm:
    """What the scripted evening is like at a moment. `strength` of its rain is 0 to 1, `fallen` the share of it that is
    down, `fallen_per_h` how fast that grows."""

    strength: float = 0.0
    fallen: float = 0.0
    dark: bool = False
    fallen_per_h: float = 0.0


@dataclass(frozen=True, slots=True)
class ExpectedAlarm:
    """One alarm that must be raised, `severity` being its worst; `clears`: it is over before the run is."""

    hazard: str
    title: str
    device_id: str
    rule_id: str
    severity: str
    raised_by_s: float
    clears: bool
    cleared_by_s: float


@dataclass(frozen=True, slots=True)
class PossibleAlarm:
    """One alarm that may be raised, or not: whether it is depends on how fast the run goes."""

    device_id: str
    rule_id: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A hazard that this run has no room for."""

    hazard: str
    reason: str


@dataclass(frozen=True)
class Befalling:
    """One hazard on one device, in seconds of the run."""

    hazard: Hazard
    seconds: float
    hours: float

    @property
    def begins_s(self) -> float:
        return self.hazard.begins * self.seconds

    @property
    def until_s(self) -> float:
        return self.hazard.until * self.seconds

    @property
    def every_s(self) -> float | None:
        every = self.hazard.reports_every
        return None if every is None else every * self.seconds

    def watched(self, at_s: float) -> bool:
        """Whether the device still reports as often as in the hazard: so its end is seen to last, too."""
        every_s = self.every_s
        return every_s is not None and self.begins_s <= at_s < self.until_s + _WATCHED_AFTERWARDS * every_s

    def silent(self, at_s: float) -> bool:
        return self.hazard.silent and self.begins_s <= at_s < self.until_s

    @property
    def watched_reports(self) -> float:
        every_s = self.every_s
        return 0.0 if every_s is None else (self.until_s - self.begins_s) / every_s + _WATCHED_AFTERWARDS

    def forced(self, at_s: float) -> Mapping[str, float]:
        """Quantities that the hazard dictates now, by field; a state is 0 or 1."""
        if at_s < self.begins_s or (at_s >= self.until_s and self.hazard.until < 1):
            return {}
        fraction = at_s / self.seconds
        forced = {name: value_at(signal, fraction) for name, signal in self.hazard.signals.items()}
        if FALLEN in forced:
            forced["intensity_mm_h"] = slope_at(self.hazard.signals[FALLEN], fraction) / self.hours
        return forced


@dataclass(frozen=True)
class Plan:
    """What happens in a run of `seconds`. Without a rehearsal nothing does: dry, and dark when the clock says so."""

    seconds: float
    rehearsal: Rehearsal | None = None
    befalling: dict[str, Befalling] = field(default_factory=dict)
    expected: list[ExpectedAlarm] = field(default_factory=list)
    possible: list[PossibleAlarm] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def storm(self, at_s: float, night: bool) -> Storm:
        if self.rehearsal is None:
            return Storm(dark=night)
        fraction = at_s / self.seconds
        rain = self.rehearsal.rain
        strength = fallen = 0.0
        span = rain.until - rain.begins
        if rain.begins < fraction < rain.peak:
            strength = (fraction - rain.begins) / (rain.peak - rain.begins)
            fallen = strength * (fraction - rain.begins) / span
        elif rain.peak <= fraction < rain.until:
            strength = (rain.until - fraction) / (rain.until - rain.peak)
            fallen = 1 - strength * (rain.until - fraction) / span
        elif fraction >= rain.until:
            fallen = 1.0
        return Storm(
            strength=strength,
            fallen=fallen,
            dark=fraction >= self.rehearsal.lamps_on_at,
            fallen_per_h=strength * 2 / span / self.rehearsal.hours,
        )

    def wet(self, at_s: float) -> bool:
        if self.rehearsal is None:
            return False
        rain = self.rehearsal.rain
        return rain.begins <= at_s / self.seconds < rain.until + _WET_AFTERWARDS

    @property
    def wet_share(self) -> float:
        """The part of the run in which it is wet."""
        if self.rehearsal is None:
            return 0.0
        return min(self.rehearsal.rain.until + _WET_AFTERWARDS, 1.0) - self.rehearsal.rain.begins


def lay_out(
    rehearsal: Rehearsal, roster: Sequence[RosterDevice], *, seconds: float, seed: int, pace: float = 1.0
) -> Plan:
    """Give every hazard its devices. `pace`: how many times shorter than the shipped rules' the delays in force are."""
    if not seconds > 0:
        raise RehearsalError(f"seconds: {seconds}; must be above 0")
    if not 0 < pace * seconds <= rehearsal.hours * 3600:
        most = rehearsal.hours * 3600 / seconds
        raise RehearsalError(f"pace: {pace}; {rehearsal.name} in {seconds:g} s allows above 0 to {most:g}")
    plan = Plan(seconds, rehearsal)
    random = Random(f"plan {seed}")
    taken: set[str] = set()
    for hazard in rehearsal.hazards:
        candidates = [device for device in roster if device.device_id not in taken and _fits(device, hazard.pick)]
        if hazard.silent:
            candidates = [device for device in candidates if _silence_fits(device, hazard, seconds, pace)]
            if len(candidates) < hazard.pick.count:
                reason = f"no {hazard.pick.family} that reports often enough to be missed within {seconds:g} s"
                plan.left_out.append(LeftOut(hazard.hazard, reason))
                continue
        for device in _choose(candidates, hazard, random):
            taken.add(device.device_id)
            plan.befalling[device.device_id] = Befalling(hazard, seconds, rehearsal.hours)
            plan.possible.extend(PossibleAlarm(device.device_id, rule_id) for rule_id in hazard.may_raise)
            plan.expected.extend(_expected(expected, hazard, device, seconds, pace) for expected in hazard.expect)
    return plan


def _fits(device: RosterDevice, pick: Pick) -> bool:
    return device.family == pick.family and pick.place in (None, device.place)


def _silence_fits(device: RosterDevice, hazard: Hazard, seconds: float, pace: float) -> bool:
    room_s = (hazard.until - hazard.begins) * seconds
    return all(_silence_s(device, expected, pace) <= 0.7 * room_s for expected in hazard.expect)


def _silence_s(device: RosterDevice, expected: Expectation, pace: float) -> float:
    return (expected.intervals or 0) * device.interval_s + expected.raise_after_s / pace


def _choose(candidates: list[RosterDevice], hazard: Hazard, random: Random) -> list[RosterDevice]:
    pick = hazard.pick
    if len(candidates) < pick.count:
        what = f"{pick.family} at {pick.place}" if pick.place else pick.family
        raise RehearsalError(
            f"{hazard.hazard}: needs {pick.count} × {what}; the ledger has {len(candidates)} left for it"
        )
    near = [device for device in candidates if pick.near and pick.near in device.asset_name + device.address]
    return random.sample(near if len(near) >= pick.count else candidates, pick.count)


def _expected(
    expected: Expectation, hazard: Hazard, device: RosterDevice, seconds: float, pace: float
) -> ExpectedAlarm:
    begins_s, holds_until_s, over_s = _times(expected, hazard, seconds, pace)
    every_s = (hazard.reports_every or 0.0) * seconds
    if expected.intervals is not None:
        raised_by_s = begins_s + _silence_s(device, expected, pace)
    else:
        raised_by_s = begins_s + expected.raise_after_s / pace + expected.reports * every_s
    if raised_by_s + _ROOM_S > holds_until_s:
        raise RehearsalError(
            f"{hazard.hazard}: {expected.rule} needs until {raised_by_s:.1f} s to be raised, but it is over after"
            f" {holds_until_s:.1f} s: a run of {seconds:g} s at pace {pace:g} is too short for it"
        )
    cleared_by_s = over_s + expected.clear_after_s / pace + expected.clear_reports * every_s
    return ExpectedAlarm(
        hazard=hazard.hazard,
        title=hazard.title,
        device_id=device.device_id,
        rule_id=expected.rule,
        severity=expected.severity,
        raised_by_s=round(raised_by_s, 3),
        clears=cleared_by_s + _ROOM_S <= seconds,
        cleared_by_s=round(cleared_by_s, 3),
    )


def _times(expected: Expectation, hazard: Hazard, seconds: float, pace: float) -> tuple[float, float, float]:
    """When the rule's limit is reached, until when it holds, and when the rule's clear value is passed."""
    begins, until = hazard.begins, hazard.until
    if expected.reaches is None or expected.leaves is None:
        return begins * seconds, until * seconds, until * seconds
    signal = hazard.signal_of(expected)
    if not isinstance(signal, list):
        if (signal < expected.reaches) != expected.looks_below and signal != expected.reaches:
            raise RehearsalError(
                f"{hazard.hazard}: its signal {signal} does not reach {expected.reaches} of {expected.rule}"
            )
        return begins * seconds, until * seconds, until * seconds
    reached = crossings(signal, expected.reaches, below=expected.looks_below)
    if not reached:
        raise RehearsalError(f"{hazard.hazard}: its signal does not reach {expected.reaches} of {expected.rule}")
    if expected.sum_over_s is not None:
        window_s = expected.sum_over_s / pace
        return reached[0][0] * seconds, seconds, signal[-1][0] * seconds + window_s
    left = crossings(signal, expected.leaves, below=expected.looks_below)
    return reached[0][0] * seconds, reached[0][1] * seconds, left[-1][1] * seconds
