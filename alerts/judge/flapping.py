"""Flapping of one alarm, as pure functions: it begins and ends so often that telling each of them helps nobody.

Of the last 20 reports each says whether the episode began or ended with it (or in the silence before it); the newest
weighs 1.2, the oldest 0.8. From 30 % of them on the alarm flaps, below 25 % it does no longer; nor after a calm, in
which nothing began or ended: who falls silent is not flapping. Anchor: Nagios' state flapping.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

REPORTS = 20
BEGINS_AT = 0.30
OVER_BELOW = 0.25
_ALL = (1 << REPORTS) - 1
_WEIGHTS = tuple(1.2 - 0.4 * age / (REPORTS - 1) for age in range(REPORTS))


@dataclass(frozen=True, slots=True)
class History:
    """`bits`: which of the last reports changed something, the newest lowest. `changed`: something has since then.
    `at_us`, `received_us`: of the last change."""

    bits: int = 0
    changed: bool = False
    flapping: bool = False
    at_us: int = 0
    received_us: int = 0


CALM = History()


def share(bits: int) -> float:
    return sum(weight for age, weight in enumerate(_WEIGHTS) if bits >> age & 1) / REPORTS


def changed(history: History, at_us: int, received_us: int) -> History:
    """An episode has begun or ended."""
    return replace(history, changed=True, at_us=at_us, received_us=received_us)


def reported(history: History) -> History:
    """Another report has been judged."""
    if history == CALM:
        return history
    bits = history.bits << 1 & _ALL | history.changed
    counted = share(bits)
    flapping = counted >= (OVER_BELOW if history.flapping else BEGINS_AT)
    if not bits:
        return CALM
    return replace(history, bits=bits, changed=False, flapping=flapping)
