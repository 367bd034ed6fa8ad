"""One device, its rules, its shard and its record, without a database: messages come in any order, silence becomes
proof, and the past is judged again. What the database does between them is done here with lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from alerts.history.amend import amends
from alerts.history.correction import Corrected, Recorded, steps
from alerts.history.episodes import FOREVER
from alerts.history.rerun import Begun, memory_of, proven_until_us, rerun, span_of, waiting_since
from alerts.history.stored import rows_of
from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import RuleInForce, Transition
from alerts.rules import parse_rule
from tests.unit.batches import One, reports
from underfoot.alarms import Condition
from underfoot.families import FAMILIES, Family

DEVICE = 100
_NEVER = np.iinfo(np.int64).min


@dataclass
class Row:
    """An episode as it is on record, and what has been said of it since."""

    number: int
    raised_us: int
    levels: list[tuple[int, int]]
    cleared_us: int | None = None
    corrected: Corrected | None = None
    later: list[tuple[int, int]] = field(default_factory=list)
    """Severities since the correction."""

    @property
    def worst(self) -> int:
        return max(severity for _, severity in self.levels)

    def recorded(self) -> Recorded:
        """As history.record_of reads it."""
        said = self.corrected
        is_open = self.cleared_us is None
        if said is None:
            return Recorded(
                self.number,
                self.raised_us,
                self.cleared_us,
                self.worst,
                tuple(self.levels),
                is_open,
                True,
                self.raised_us,
            )
        if not said.finding.stands or said.raised_us is None:
            return Recorded(self.number, self.raised_us, self.cleared_us, 0, (), is_open, False, self.raised_us)
        cleared_us = said.cleared_us if said.cleared_us is not None else self.cleared_us
        worst = max([said.worst or 0, *(severity for _, severity in self.later)])
        if said.cleared_us is not None:
            worst = said.worst or 0
        levels = steps((*said.levels, *self.later))
        return Recorded(self.number, said.raised_us, cleared_us, worst, levels, is_open, True, self.raised_us)


class Book:
    """The record of one alarm, as Recorder keeps it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.open: Row | None = None

    def take(self, transition: Transition) -> None:
        if transition.severity and self.open is None:
            self.open = Row(len(self.rows) + 1, transition.at_us, [(transition.at_us, transition.severity)])
            self.rows.append(self.open)
        elif transition.severity and self.open is not None:
            if transition.severity != self.open.levels[-1][1]:
                self.open.levels.append((transition.at_us, transition.severity))
            if self.open.corrected is not None:
                self.open.later.append((transition.at_us, transition.severity))
        elif self.open is not None and transition.after is Condition.normal:
            self.open.cleared_us = max(transition.at_us, self.open.raised_us)
            self.open = None

    def add_past(self, transitions: Iterable[Transition]) -> None:
        opened, self.open = self.open, None
        for transition in transitions:
            self.take(transition)
        assert self.open is None, "what is past is over"
        self.open = opened

    def correct(self, said: Corrected) -> None:
        row = next(row for row in self.rows if row.number == said.of.episode)
        row.corrected, row.later = said, []

    def corrected(self) -> list[tuple[int, int | None, int]]:
        """The corrected record: raised, cleared, worst."""
        standing = [row.recorded() for row in self.rows]
        return sorted(
            ((one.raised_us, one.cleared_us, one.worst) for one in standing if one.stands),
            key=lambda one: (one[0], one[1] if one[1] is not None else FOREVER),
        )


class Street:
    """What one device says comes here as it comes; the shard's holder judges it, and later judges the past again."""

    def __init__(self, family: str, *bodies: dict[str, Any]) -> None:
        self.family: Family = FAMILIES[family]
        defaults = {"title": "题", "source": "a test", "family": family}
        rules = [RuleInForce(parse_rule(defaults | body), 1) for body in bodies]
        self.live = Evaluator(self.family, rules)
        self.live.add_devices(np.array([DEVICE], np.int32))
        self.live.interval_s[:] = 60
        self.books = {rule_id: Book() for rule_id in self.live.levels}
        self.stored: list[One] = []
        self.begun: list[Begun] = []
        self.silence_us = _NEVER
        self.since_us: int | None = None
        self.replays = 0

    def comes(self, one: One) -> None:
        """A report arrives; what is stored already is a duplicate."""
        if any(one.ts_us == other.ts_us and one.values == other.values for other in self.stored):
            return
        self.stored.append(one)
        batch = reports(self.family, [one], [DEVICE])
        outcome = self.live.judge(batch)
        if outcome.late_rows or one.ts_us < self.silence_us:
            self.since_us = one.ts_us if self.since_us is None else min(self.since_us, one.ts_us)
        self._record(outcome.transitions)
        self.live.apply(outcome, batch)

    def silence(self, until_us: int) -> None:
        """All that came until then is committed."""
        outcome = self.live.judge_silence(until_us)
        for change in outcome.transitions:
            self.silence_us = max(self.silence_us, proven_until_us(change))
        self._record(outcome.transitions)
        self.live.apply(outcome)

    def close(self, rule_id: str, at_us: int) -> None:
        """An operator closes what is open."""
        row = self.books[rule_id].open
        if row is not None:
            row.cleared_us, self.books[rule_id].open = max(at_us, row.raised_us), None
            self.live.apply(self.live.judge_closed(rule_id, 0, at_us))
            self.begun.append(Begun(rule_id, at_us, ended=True))

    def look_back(self, caught_up_us: int) -> None:
        """Judge the past again, if anything was late, by what reports that needs."""
        if self.since_us is None:
            return
        self.replays += 1
        memories = [memory_of(level.rule) for level in self.live.levels.values()]
        everything = reports(self.family, self.stored, [DEVICE])
        span, _ = span_of(memories, everything, self.since_us, waiting_since(self.live, 0))
        needed = [one for one in self.stored if one.ts_us >= span.needed_us]
        rows = reports(self.family, needed, [DEVICE])
        alone = self.live.alike(np.array([0], np.int64))
        recorded = {rule_id: [row.recorded() for row in book.rows] for rule_id, book in self.books.items()}
        found = rerun(alone, rows_of(rows, np.arange(len(rows))), recorded, self.begun, span, caught_up_us)
        assert not found.failing
        if found.silent_until_us is not None:
            self.silence_us = max(self.silence_us, found.silent_until_us)
        made = amends(self.live, 0, recorded, found)
        self._record(made.now)
        for missed in made.missed:
            self.books[missed.transitions[0].rule.rule.rule_id].add_past(missed.transitions)
        for one in made.otherwise:
            self.books[one.rule.rule.rule_id].correct(one.corrected)
        self.live.apply(made.outcome)
        self.since_us = None

    def _record(self, transitions: Sequence[Transition]) -> None:
        for transition in transitions:
            self.books[transition.rule.rule.rule_id].take(transition)

    def open(self) -> dict[str, int]:
        """Rule → severity of what is open, by the engine's memory; the record says the same."""
        found = {}
        for rule_id, level in self.live.levels.items():
            state = level.states.get(0)
            severity = level.severity(0, state.level) if state is not None else 0
            row = self.books[rule_id].open
            assert (row.levels[-1][1] if row is not None else 0) == severity, f"{rule_id}: the record is out of step"
            if severity:
                found[rule_id] = severity
        return found

    def corrected(self) -> dict[str, list[tuple[int, int | None, int]]]:
        return {rule_id: book.corrected() for rule_id, book in self.books.items()}


def delivered(ones: Sequence[One], delays_s: Sequence[float]) -> list[One]:
    """The same reports, each received so long after its time, in the order in which they come."""
    late = [replace(one, received_s=one.at_s + delay) for one, delay in zip(ones, delays_s, strict=True)]
    return sorted(late, key=lambda one: one.received_us)
