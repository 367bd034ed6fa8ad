"""Excursions: when a true value stood over its limits, how high, and how bad that was. Pure; series → excursions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.score.limits import Levels, Steps

Values = NDArray[Any]
Mask = NDArray[np.bool_]
Span = tuple[float, float | None]
"""From when until when, in seconds of the run; None: it still lasts at the end."""


class Excursion(NamedTuple):
    begins_s: float
    ends_s: float | None
    peak: float
    peak_s: float
    severity: int
    """0: within the accuracy of an honest gauge of its first limit, or too short to be seen."""


def runs(mask: Mask, *, join_below: float = 0) -> list[tuple[int, int]]:
    """First and last step of each stretch in which it holds; stretches fewer than `join_below` steps apart are one."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    joined: list[tuple[int, int]] = []
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if joined and first - joined[-1][1] < join_below:
            joined[-1] = (joined[-1][0], after - 1)
        else:
            joined.append((first, after - 1))
    return joined


def longest_s(mask: Mask, step_s: float) -> float:
    """The longest time in one go in which it holds."""
    return max((last - first for first, last in runs(mask)), default=0) * step_s


def worth(values: Values, step_s: float, steps: Steps, *, margin: float, lasts_s: float) -> int:
    """The worst severity whose limit was exceeded for certain and long enough; 0: none was."""
    for severity, limit in reversed(steps):
        over = values >= limit + margin
        if over.any() and longest_s(over, step_s) >= lasts_s:
            return severity
    return 0


def excursions(values: Values, step_s: float, limits: Levels) -> list[Excursion]:
    """Of one value, over one set of limits. It begins and ends at the first limit; where it came only within the
    gauge's accuracy of that, there."""
    if not len(values) or float(np.max(values)) < limits.floor:
        return []
    found = []
    for first, last in runs(values >= limits.floor, join_below=limits.merge_s / step_s):
        part = values[first : last + 1]
        top = int(np.argmax(part))
        peak = float(part[top])
        edge = limits.first if peak >= limits.first else limits.floor
        over = np.flatnonzero(part >= edge)
        found.append(
            Excursion(
                _rose(values, first + int(over[0]), edge) * step_s,
                None
                if first + int(over[-1]) == len(values) - 1
                else _fell(values, first + int(over[-1]), edge) * step_s,
                peak,
                (first + top) * step_s,
                worth(part, step_s, limits.steps, margin=limits.accuracy, lasts_s=limits.lasts_s),
            )
        )
    return found


def overlap(one: Iterable[Span], other: Sequence[Span]) -> list[Span]:
    """When both last."""
    both = []
    for begins, ends in one:
        for also_begins, also_ends in other:
            begin = max(begins, also_begins)
            end = min((each for each in (ends, also_ends) if each is not None), default=None)
            if end is None or end > begin:
                both.append((begin, end))
    return sorted(both, key=lambda span: span[0])


def joined(spans: Iterable[Span]) -> list[Span]:
    """Without order or overlap → in order, no two of them touching."""
    whole: list[Span] = []
    for begins, ends in sorted(spans, key=lambda span: span[0]):
        if not whole:
            whole.append((begins, ends))
            continue
        last_begins, last_ends = whole[-1]
        if last_ends is None:
            break
        if begins <= last_ends:
            whole[-1] = (last_begins, None if ends is None else max(ends, last_ends))
        else:
            whole.append((begins, ends))
    return whole


def at_once(spans: Iterable[Span], enough: int) -> list[Span]:
    """When at least so many of them last at once."""
    changes = sorted(
        change for begins, ends in spans for change in ((begins, 1), (math.inf if ends is None else ends, -1))
    )
    found: list[Span] = []
    lasting = 0
    for at, by in changes:
        before, lasting = lasting, lasting + by
        if before < enough <= lasting:
            found.append((at, None))
        elif lasting < enough <= before:
            found[-1] = (found[-1][0], None if at == math.inf else at)
    return joined(found)


def _rose(values: Values, step: int, edge: float) -> float:
    """Where, between the step before and this one, the straight line crossed the edge."""
    if step == 0:
        return 0.0
    before, now = float(values[step - 1]), float(values[step])
    return step - 1 + (edge - before) / (now - before) if now > before < edge else float(step)


def _fell(values: Values, step: int, edge: float) -> float:
    now, after = float(values[step]), float(values[step + 1])
    return step + (now - edge) / (now - after) if now > after else float(step)
