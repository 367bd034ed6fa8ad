"""Gather: what is to be told to one sink now becomes messages; pure.

Alarms of one rule at one cabinet are one message. What waited for the end of quiet hours is one. And what is more than
the robot takes is put together until it fits: red by rule and district before it is one, the rest at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass

from alerts.deliver.budget import Slots
from alerts.deliver.outbox import Claimed
from underfoot.alarms import Severity

MOST_TOGETHER = 200
"""Of how many alarms one message tells at most."""


@dataclass(frozen=True, slots=True)
class Together:
    """One message: the deliveries that it tells, the one by whose link it goes first."""

    deliveries: tuple[Claimed, ...]

    @property
    def first(self) -> Claimed:
        return self.deliveries[0]

    @property
    def red(self) -> bool:
        return any(is_red(one) for one in self.deliveries)


def is_red(delivery: Claimed) -> bool:
    """Whether neither a budget nor quiet hours hold it back: it is about something red, or its end."""
    return max(delivery.severity, delivery.snapshot.get("worst_severity", 0)) >= Severity.red


def alone(told: Iterable[Claimed]) -> list[Together]:
    return [Together((one,)) for one in told]


def gather(
    told: Sequence[Claimed], slots: Slots | None, apart: Collection[int] = ()
) -> tuple[list[Together], list[Claimed]]:
    """The messages to send, and what has to wait for a slot. `slots` None: there is no budget. `apart`: deliveries that
    go by themselves, with the slots that the others leave."""
    by_itself = [one for one in told if one.delivery_key in apart]
    company = [one for one in told if one.delivery_key not in apart]
    messages = _put_together(company, lambda one: "quiet" if one.quieted and not is_red(one) else one.company)
    if slots is None:
        return messages + alone(by_itself), []
    red = _fitted([one for one in messages if one.red], slots.red)
    other = [one for one in messages if not one.red]
    # What goes for red is gone for the rest.
    left = min(slots.other, slots.red - len(red)) if red else slots.other
    sent = red + _as_one(other, left)
    sent += within(by_itself, Slots(max(slots.red - len(sent), 0), max(slots.other - len(sent), 0)))[0]
    going = {one.delivery_key for message in sent for one in message.deliveries}
    return sent, [one for one in told if one.delivery_key not in going]


def within(told: Sequence[Claimed], slots: Slots) -> tuple[list[Together], list[Claimed]]:
    """The same for a receiver that takes one alarm a message: what has no slot waits."""
    red = [one for one in told if is_red(one)][: max(slots.red, 0)]
    left = min(slots.other, slots.red - len(red)) if red else slots.other
    going = red + [one for one in told if not is_red(one)][: max(left, 0)]
    keys = {one.delivery_key for one in going}
    return alone(going), [one for one in told if one.delivery_key not in keys]


def _fitted(red: list[Together], slots: int) -> list[Together]:
    if len(red) <= slots:
        return red
    if slots < 1:
        return []
    alike = _merged(red, _rule_and_district)
    return alike if len(alike) <= slots else _merged(red, lambda one: "all")


def _as_one(other: list[Together], slots: int) -> list[Together]:
    if len(other) <= slots:
        return other
    return _merged(other, lambda one: "all") if slots >= 1 else []


def _rule_and_district(one: Claimed) -> Hashable:
    area = one.snapshot.get("area")
    return one.notice, one.snapshot.get("rule_id"), area["code"][:6] if area else None


def _merged(messages: Sequence[Together], alike: Callable[[Claimed], Hashable]) -> list[Together]:
    return _put_together([one for message in messages for one in message.deliveries], alike)


def _put_together(told: Sequence[Claimed], alike: Callable[[Claimed], Hashable]) -> list[Together]:
    groups: dict[Hashable, list[Claimed]] = {}
    for one in told:
        key = alike(one)
        groups.setdefault(("alone", one.delivery_key) if key is None else ("with", key), []).append(one)
    return [
        Together(tuple(group[start : start + MOST_TOGETHER]))
        for group in groups.values()
        for start in range(0, len(group), MOST_TOGETHER)
    ]
