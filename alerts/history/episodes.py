"""Episodes out of transitions: the condition region of one alarm as a list of what was open from when until when.

Pure. Used wherever stored reports are judged again: a rule tried on history, a device's past after late data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from alerts.judge.outcome import Transition
from underfoot.alarms import Condition

FOREVER = 2**63 - 1


@dataclass
class Past:
    """An episode as its transitions make it: from its raise to its end, if it has ended. `known`: when it had which
    severity before them, where it was open when they began."""

    raised_us: int
    known: tuple[tuple[int, int], ...] = ()
    transitions: list[Transition] = field(default_factory=list)
    cleared_us: int | None = None

    @property
    def worst(self) -> int:
        return max(severity for _, severity in self.levels())

    @property
    def severity(self) -> int:
        """The last it had while it was open."""
        *_, (_, last) = self.levels()
        return last

    @property
    def ends_us(self) -> int:
        return FOREVER if self.cleared_us is None else self.cleared_us

    def levels(self) -> Iterator[tuple[int, int]]:
        """When it took which severity."""
        last = 0
        for at_us, severity in (*self.known, *((t.at_us, t.severity) for t in self.transitions)):
            if severity and severity != last:
                last = severity
                yield at_us, last

    def overlaps(self, begin_us: int, end_us: int) -> bool:
        return self.raised_us <= end_us and begin_us <= self.ends_us


class Episodes:
    """What is open and what has been, by subject and rule, as transitions come in their order."""

    def __init__(self) -> None:
        self.all: dict[tuple[int, str], list[Past]] = {}
        self._open: dict[tuple[int, str], Past] = {}

    def begin(self, subject_key: int, rule_id: str, past: Past) -> None:
        """What is open already."""
        self._open[subject_key, rule_id] = past
        self.all.setdefault((subject_key, rule_id), []).append(past)

    def end(self, subject_key: int, rule_id: str, at_us: int) -> None:
        """Somebody ends what is open, if anything is."""
        opened = self._open.pop((subject_key, rule_id), None)
        if opened is not None:
            opened.cleared_us = max(at_us, opened.raised_us)

    def forget(self, subject_key: int, rule_id: str) -> None:
        """Nothing has been of it so far."""
        self._open.pop((subject_key, rule_id), None)
        self.all.pop((subject_key, rule_id), None)

    def take(self, transitions: Iterable[Transition]) -> None:
        for transition in transitions:
            key = (transition.subject_key, transition.rule.rule.rule_id)
            opened = self._open.get(key)
            if opened is None and transition.severity:
                opened = self._open[key] = Past(transition.at_us)
                self.all.setdefault(key, []).append(opened)
            if opened is None:
                continue
            opened.transitions.append(transition)
            if not transition.severity and transition.after is Condition.normal:
                # Proven by silence, an end may lie before what was seen of its episode last.
                opened.cleared_us = max(transition.at_us, opened.raised_us)
                del self._open[key]
