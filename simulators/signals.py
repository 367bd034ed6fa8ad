"""Signals of a scenario: a state or number that is held, or points over the run with straight lines between them."""

from __future__ import annotations

import itertools
from typing import Annotated

from pydantic import Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Points = Annotated[list[tuple[Fraction, float]], Field(min_length=2)]
Signal = bool | float | Points


def signal_values(signal: Signal) -> list[float]:
    return [value for _, value in signal] if isinstance(signal, list) else [float(signal)]


def value_at(signal: Signal, fraction: float) -> float:
    if not isinstance(signal, list):
        return float(signal)
    if fraction <= signal[0][0]:
        return signal[0][1]
    for (left, low), (right, high) in itertools.pairwise(signal):
        if fraction < right:
            return low + (high - low) * (fraction - left) / (right - left)
    return signal[-1][1]


def slope_at(signal: Signal, fraction: float) -> float:
    """How much it grows, per run."""
    if isinstance(signal, list):
        for (left, low), (right, high) in itertools.pairwise(signal):
            if left <= fraction < right:
                return (high - low) / (right - left)
    return 0.0


def crossings(signal: Points, limit: float, *, below: bool) -> list[tuple[float, float]]:
    """The stretches of the run in which a signal of points is at or beyond the limit."""
    sign = -1 if below else 1
    stretches: list[tuple[float, float]] = []
    for (left, low), (right, high) in itertools.pairwise(signal):
        at_left, at_right = sign * (low - limit), sign * (high - limit)
        if at_left < 0 and at_right < 0:
            continue
        cross = left + (right - left) * at_left / (at_left - at_right) if at_left * at_right < 0 else None
        begin = left if at_left >= 0 or cross is None else cross
        end = right if at_right >= 0 or cross is None else cross
        if stretches and begin <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((begin, end))
    return stretches
