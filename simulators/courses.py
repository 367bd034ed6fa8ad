"""Courses: how often a device reports as what it watches rises and falls, and the moments at which that wakes it.

A device watches one or two quantities against limits, each with a dead band. A limit that is reached or left is an
event, said at once; above a limit it reports at that limit's interval. Found on the step grid of the whole run, in
columns: nobody is woken each minute to find that nothing has happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simulators.devices.chance import Flags, Floats


class Limit(NamedTuple):
    """`at` and `dead_band` in the quantity's unit; from there on it reports each `every_s`."""

    at: float
    dead_band: float
    every_s: float


class Stretch(NamedTuple):
    """From this moment on it reports each `every_s`."""

    begins_s: float
    every_s: float


class Course(NamedTuple):
    """`events` are the moments at which a limit is reached or left; the first stretch begins with the run."""

    stretches: tuple[Stretch, ...]
    events: tuple[float, ...]


def course(values: Floats, step_s: float, limits: Sequence[Limit], dry_s: float, *, stepwise: bool = False) -> Course:
    """The course of a quantity that has these values at each step, and between them goes in a straight line or
    `stepwise`."""
    if not limits or values.max(initial=-np.inf) < min(limit.at for limit in limits):
        return Course((Stretch(0.0, dry_s),), ())
    changes: list[tuple[float, int, bool]] = []
    above: list[bool] = []
    for number, limit in enumerate(limits):
        state = _held(values, limit)
        above.append(bool(state[0]))
        for step in np.flatnonzero(state[1:] != state[:-1]).tolist():
            up = bool(state[step + 1])
            crossed = limit.at if up else limit.at - limit.dead_band
            before, after = float(values[step]), float(values[step + 1])
            part = 1.0 if stepwise else (crossed - before) / (after - before)
            changes.append(((step + min(max(part, 0.0), 1.0)) * step_s, number, up))
    changes.sort()
    stretches = [Stretch(0.0, _every_s(above, limits, dry_s))]
    for at_s, number, up in changes:
        above[number] = up
        stretches.append(Stretch(at_s, _every_s(above, limits, dry_s)))
    return Course(tuple(stretches), tuple(at_s for at_s, _, _ in changes))


def together(one: Course, other: Course) -> Course:
    """Of a device that watches two things: it speaks at what befalls either, and as often as the busier one asks."""
    begins = sorted({stretch.begins_s for stretch in one.stretches + other.stretches})
    stretches = tuple(Stretch(at_s, min(_at(one, at_s), _at(other, at_s))) for at_s in begins)
    return Course(stretches, tuple(sorted(one.events + other.events)))


def _at(course: Course, at_s: float) -> float:
    return [stretch.every_s for stretch in course.stretches if stretch.begins_s <= at_s][-1]


def _every_s(above: Sequence[bool], limits: Sequence[Limit], dry_s: float) -> float:
    return min([dry_s, *(limit.every_s for limit, reached in zip(limits, above, strict=True) if reached)])


def _held(values: Floats, limit: Limit) -> Flags:
    """Whether the limit holds at each step: in the dead band, as before."""
    on, off = values >= limit.at, values <= limit.at - limit.dead_band
    decided = np.where(on | off, np.arange(len(values)), -1)
    last = np.maximum.accumulate(decided)
    return np.where(last < 0, False, on[last])
