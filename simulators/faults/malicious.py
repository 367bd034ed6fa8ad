"""Somebody who may publish what he likes: what he makes of the messages that he overhears. Part of the carriage.

Nothing of it is a sound report with false values: that only the broker's rights prevent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import orjson

from simulators.faults.struck import During
from simulators.message import Message
from simulators.poison import poison
from simulators.scenario.faults import MaliciousPublisher
from underfoot.topics import parse_report_topic

MALICIOUS = "malicious"
"""What the kinds of his messages begin with, and the client id of his connection."""

KINDS = (
    "unknown_device",
    "wrong_family",
    "out_of_range",
    "huge_number",
    "wrong_type",
    "too_many_items",
    "deep_nesting",
    "not_json",
    "undecodable",
    "truncated",
    "values_not_an_object",
)


class Malice:
    """When the next message comes, and what it is."""

    def __init__(self, during: Sequence[During[MaliciousPublisher]], seed: int) -> None:
        self.random = Random(f"malicious {seed}")
        self.number = 0
        self.coming = [(one.begins_s, one) for one in during]
        self.next_s = math.inf
        self._look()

    def stop(self) -> None:
        """The fleet is done, and so is he."""
        self.coming, self.next_s = [], math.inf

    def can_use(self, message: Message) -> bool:
        """Whether others can be made like this one: a sound report of protocol v1 with a number in it."""
        if not message.timed or message.quarantines or parse_report_topic(message.topic.decode()) is None:
            return False
        report = orjson.loads(message.payload)
        return any(type(value) in (int, float) for value in report["values"].values())

    def strike(self, overheard: Sequence[Message]) -> tuple[float, Message | None]:
        """The message that is due, and when. None: he has overheard nothing yet."""
        at_s = self.next_s
        place = next(number for number, (next_s, _) in enumerate(self.coming) if next_s == at_s)
        one = self.coming[place][1]
        self.coming[place] = (at_s + self.random.expovariate(one.fault.rate), one)
        self._look()
        if not overheard:
            return at_s, None
        self.number += 1
        kind = self.random.choice(KINDS)
        made = poison(kind, overheard[self.random.randrange(len(overheard))], self.number)
        return at_s, replace(made, kind=f"{MALICIOUS}.{kind}")

    def _look(self) -> None:
        self.coming = [(next_s, one) for next_s, one in self.coming if next_s < one.until_s]
        self.next_s = min((next_s for next_s, _ in self.coming), default=math.inf)
