"""Again: one rule over several devices, judged again through a span of the past, and its record made right.

Moment after moment what was said until then (alerts/city/past.py) goes to the rule's own judge, and what that says to
the same transition as ever. Then what came of it is held against the record, as of a single device's past
(alerts/history): what is open by it is raised now, what is not any more ends, what was missed and is over goes on
record, and what was otherwise is said beside it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from alerts.city.judging import Judge
from alerts.city.memory import (
    Judgement,
    Memory,
    Reasons,
    Remembered,
    Subject,
    judged,
    transition_of,
)
from alerts.city.past import Past
from alerts.history.amend import Changed, Missed
from alerts.history.correction import Recorded
from alerts.history.episodes import Episodes
from alerts.history.episodes import Past as Episode
from alerts.history.onrecord import OnRecord, judged_since, on_record
from alerts.history.past import record_missed, record_otherwise
from alerts.history.rerun import at_level
from alerts.judge.outcome import RuleInForce, Transition
from alerts.judge.transition import NORMAL, Change, Limits, due_us, fitted
from alerts.record.recorder import Recorder
from underfoot.alarms import SubjectKind
from underfoot.reports import microseconds, moment
from underfoot.storage.connect import Connection


@dataclass(frozen=True)
class Task:
    """What is to be judged again: a rule about these subjects, since then."""

    rule: RuleInForce
    judge: Judge
    reasons: Reasons
    kind: SubjectKind
    keys: frozenset[int]
    past: Past
    since_us: int


class Again:
    """A `Remembering` of its own. `go_on` until it says that it is done; what there is to record it records then."""

    def __init__(self, connection: Connection, task: Task) -> None:
        self._task = task
        self._rule_id = task.rule.rule.rule_id
        begun = judged_since(connection, [self._rule_id]).get(self._rule_id)
        self._since_us = max(task.since_us, microseconds(begun) if begun is not None else 0)
        self._remembered: dict[Subject, Remembered] = {}
        self._judged: dict[Subject, tuple[RuleInForce, Limits]] = {}
        self._wanted: dict[Subject, int] = {}
        """The severity that a subject had on record when its record begins to be held against this."""
        self._episodes: Episodes | None = None
        self._ended: list[tuple[int, Subject]] = []
        self._known_ends: set[tuple[int, Subject]] = set()
        self._moments: Iterator[int] | None = None
        self._looked_us = 0

    # Remembering ----------------------------------------------------------------------------------------------------

    def subjects(self, rule_id: str) -> list[int]:
        return [key for _, key in self._remembered]

    def of(self, rule_id: str, subject: Subject) -> Remembered:
        return self._remembered.get(subject, Remembered())

    # through the past -----------------------------------------------------------------------------------------------

    def go_on(self, connection: Connection, now: datetime, until_s: float) -> list[Missed] | None:
        """Through the past until now, or until that time of `time.perf_counter`. What nobody was told of and is over,
        once it is done; None: there is more to do."""
        now_us = microseconds(now)
        while True:
            if self._moments is None:
                if self._task.past.read_until_us >= now_us:
                    break
                self._moments = self._task.past.moments(now_us)
            at_us = next(self._moments, None)
            if at_us is None:
                self._moments = None
                continue
            self._moment(connection, at_us)
            if time.perf_counter() > until_s:
                return None
        self._until(connection, now_us)
        if self._episodes is None:
            return []
        return self._record(connection, now)

    def _moment(self, connection: Connection, at_us: int) -> None:
        self._until(connection, at_us)
        if self._task.past.come(at_us):
            self._judge_at(at_us)

    def _until(self, connection: Connection, at_us: int) -> None:
        """What came about by itself before then: silence that proved something, an end by hand."""
        while True:
            begin_us = self._since_us if self._episodes is None else at_us + 1
            ended_us = self._ended[0][0] if self._ended else at_us + 1
            silent_us = min(self._dues(), default=at_us + 1)
            first_us = min(begin_us, ended_us, silent_us)
            if first_us > at_us:
                return
            if first_us == silent_us:
                self._judge_at(silent_us)
            elif first_us == begin_us:
                self._begin(connection)
            else:
                self._end_by_hand(*self._ended.pop(0))

    def _dues(self) -> Iterator[int]:
        for subject, one in self._remembered.items():
            limits = self._judged[subject][1]
            due = due_us(limits, replace(one.state, history=NORMAL.history)) if limits.by_silence else None
            if due is not None and due > self._looked_us:
                yield due

    def _judge_at(self, at_us: int) -> None:
        self._looked_us = at_us
        self._task.past.at(at_us)
        for judgement in self._task.judge(self._task.past, self._task.rule, self, moment(at_us)):
            if judgement.subject[1] in self._task.keys:
                self._take(judgement)

    def _take(self, judgement: Judgement) -> None:
        subject = judgement.subject
        before = self._as_recorded(judgement, self._remembered.get(subject, Remembered()))
        after, changes = judged(before, judgement)
        self._judged[subject] = judgement.rule, judgement.limits
        self._keep(subject, after)
        if self._episodes is not None:
            self._episodes.take(
                self._as_received(transition_of(judgement, change, self._task.reasons))
                for change in changes
                if isinstance(change, Change)
            )

    def _as_recorded(self, judgement: Judgement, before: Remembered) -> Remembered:
        state = fitted(before.state, len(judgement.limits.reach))
        wanted = self._wanted.pop(judgement.subject, None)
        if wanted is not None:
            severities = judgement.limits.severity
            level = max((i + 1 for i, own in enumerate(severities) if own <= wanted), default=1) if wanted else 0
            state = state if state.level == level else at_level(state, level)
        return replace(before, state=state)

    def _keep(self, subject: Subject, remembered: Remembered) -> None:
        """As `conditions` has it: of what is plainly normal nothing is remembered."""
        if remembered.state == NORMAL:
            self._remembered.pop(subject, None)
        else:
            self._remembered[subject] = remembered

    def _as_received(self, transition: Transition) -> Transition:
        """With the receipt that there was of the report that proves it."""
        received_us = self._task.past.received_us(transition.proof.get("ts_us", transition.at_us))
        if received_us is None:
            return transition
        return replace(transition, received_us=received_us, proof={**transition.proof, "received_us": received_us})

    def _begin(self, connection: Connection) -> None:
        """From here on what comes of it counts; what was on record at this time is so."""
        self._episodes = Episodes()
        before_us = self._since_us - 1
        recorded = self._on_record(connection)
        for subject, one in recorded.items():
            for episode in one.episodes:
                severity = episode.severity_at(before_us)
                if severity:
                    self._wanted[subject] = severity
                    known = tuple((since_us, was) for since_us, was in episode.levels if since_us <= before_us)
                    past = Episode(episode.raised_us, known or ((episode.raised_us, severity),))
                    self._episodes.begin(subject[1], self._rule_id, past)
        self._ended = self._new_ends(recorded)
        for subject, remembered in self._remembered.items():
            if remembered.state.level:
                self._wanted.setdefault(subject, 0)

    def _new_ends(self, recorded: dict[Subject, OnRecord]) -> list[tuple[int, Subject]]:
        """Ends by hand that have not been seen yet, in their order."""
        ends = {(at_us, subject) for subject, one in recorded.items() for at_us in one.ended_us}
        new = sorted(one for one in ends - self._known_ends if one[0] > self._since_us)
        self._known_ends |= ends
        return new

    def _end_by_hand(self, at_us: int, subject: Subject) -> None:
        self._wanted.pop(subject, None)
        if subject in self._remembered:
            self._keep(subject, self._remembered[subject].closed_by_hand())
        if self._episodes is not None:
            self._episodes.end(subject[1], self._rule_id, at_us)

    # what comes of it -----------------------------------------------------------------------------------------------

    def _on_record(self, connection: Connection) -> dict[Subject, OnRecord]:
        found = on_record(connection, self._task.kind, sorted(self._task.keys), [self._rule_id], moment(self._since_us))
        return {(self._task.kind, key): one for (key, _), one in found.items()}

    def _record(self, connection: Connection, now: datetime) -> list[Missed]:
        memory, changed = Memory(connection, [self._task.rule]), Changed()
        recorded = self._on_record(connection)
        for at_us, subject in [*self._ended, *self._new_ends(recorded)]:
            self._end_by_hand(at_us, subject)
        remembered = {(self._task.kind, key) for key in memory.subjects(self._rule_id) if key in self._task.keys}
        for subject in sorted({*recorded, *remembered, *self._remembered, *self._raised()}):
            if subject in self._wanted:
                continue  # nothing was ever said of it
            self._hold(subject, recorded.get(subject, OnRecord()).episodes, memory, changed, microseconds(now))
        memory.write()
        Recorder(connection).record(changed.now)
        record_missed(connection, changed.missed)
        record_otherwise(connection, changed.otherwise, now)
        return changed.missed

    def _hold(
        self, subject: Subject, recorded: Sequence[Recorded], memory: Memory, changed: Changed, now_us: int
    ) -> None:
        before, after = memory.of(self._rule_id, subject), self._remembered.get(subject, Remembered())
        rule, limits = self._judged.get(subject, (self._task.rule, None))
        replayed: Collection[Episode] = ()
        if self._episodes is not None:
            replayed = self._episodes.all.get((subject[1], self._rule_id), ())
        # Flapping is of what was told, in the order in which it was.
        after = replace(after, state=replace(after.state, history=before.state.history))
        at_us = after.at_us or now_us
        changed.hold(subject, rule, recorded, tuple(replayed), self._since_us, before.state, after.state, at_us)
        if after != before and (limits is not None or after.state == NORMAL):
            memory.put(self._rule_id, subject, after, limits)

    def _raised(self) -> Iterator[Subject]:
        if self._episodes is not None:
            yield from ((self._task.kind, key) for key, _ in self._episodes.all)
