"""Amend: from what a rerun has found to what changes now, what goes on record as past, and what memory takes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alerts.history.correction import Comparison, Corrected, Recorded, compare
from alerts.history.episodes import Past
from alerts.history.rerun import Rerun
from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import Outcome, RuleInForce, Transition
from alerts.judge.transition import NORMAL, Proof, State
from underfoot.alarms import Condition, Reason, SubjectKind


@dataclass(frozen=True)
class Missed:
    """An episode that is not on record, and over: its transitions, from its raise to its end."""

    past: Past
    transitions: tuple[Transition, ...]


Subject = tuple[SubjectKind, int]


@dataclass(frozen=True)
class Otherwise:
    """What is to be said of a subject's episode that is on record."""

    subject: Subject
    rule: RuleInForce
    corrected: Corrected


@dataclass
class Changed:
    """What is to be recorded. `now`: what changes now."""

    now: list[Transition] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    otherwise: list[Otherwise] = field(default_factory=list)

    def hold(
        self,
        subject: Subject,
        in_force: RuleInForce,
        recorded: Sequence[Recorded],
        replayed: Sequence[Past],
        since_us: int,
        before: State,
        after: State,
        newest_us: int,
    ) -> None:
        """One alarm's record against what was made of it; its state before and after; until when it was judged."""
        one = compare(recorded, replayed, since_us)
        self.now += _now(subject, in_force, one, before, after, newest_us, recorded)
        self.missed += [Missed(past, _whole(subject, in_force, past, recorded)) for past in one.missed]
        self.otherwise += [Otherwise(subject, in_force, corrected) for corrected in one.corrected]


@dataclass
class Amends(Changed):
    """`outcome`: the memory that is taken over."""

    outcome: Outcome = field(default_factory=Outcome)


def amends(live: Evaluator, slot: int, recorded: Mapping[str, Sequence[Recorded]], found: Rerun) -> Amends:
    subject = (SubjectKind.device, int(live.device_key[slot]))
    made = Amends()
    for rule_id, level in live.levels.items():
        if rule_id in found.failing or not level.scoped.applies(slot):
            continue
        before = level.states.get(slot, NORMAL)
        # Flapping is of what was told, in the order in which it was.
        after = replace(found.states[rule_id], history=before.history)
        made.hold(
            subject,
            level.scoped.in_force_for(slot),
            recorded.get(rule_id, ()),
            found.episodes[rule_id],
            found.since_us[rule_id],
            before,
            after,
            found.newest_us,
        )
        if after != before:
            made.outcome.states[rule_id, slot] = after
    made.outcome.windows = {(name, slot): window for name, window in found.windows.items()}
    made.outcome.slopes = {
        line: replace(kept, slots=np.array([slot], np.int64)) for line, kept in found.slopes.items() if len(kept.slots)
    }
    return made


def _now(
    subject: Subject,
    in_force: RuleInForce,
    one: Comparison,
    before: State,
    after: State,
    newest_us: int,
    recorded: Sequence[Recorded],
) -> list[Transition]:
    """From what the alarm is on record as, to what it is."""
    changes: list[Transition] = []
    was = before.condition
    if one.ended is not None:
        on_record, past = one.ended
        at_us = past.cleared_us if past is not None and past.cleared_us is not None else newest_us
        last = past.transitions[-1] if past is not None and past.transitions else None
        changes.append(_transition(subject, in_force, was, Condition.normal, on_record.worst, 0, at_us, last))
        was = Condition.normal
    if one.opened is not None:
        changes += _whole(subject, in_force, one.opened, recorded, was)
    elif one.still_open is not None:
        on_record, past = one.still_open
        severity = on_record.levels[-1][1] if on_record.levels else on_record.worst
        if (was, severity) != (after.condition, past.severity):
            last = past.transitions[-1] if past.transitions else None
            at_us = last.at_us if last is not None else newest_us
            changes.append(_transition(subject, in_force, was, after.condition, severity, past.severity, at_us, last))
    elif was is not after.condition:
        held = next((held for held in after.rising if held is not None), None)
        at_us = held.since_us if held is not None else newest_us
        changes.append(_transition(subject, in_force, was, after.condition, 0, 0, at_us, None))
    return changes


def _whole(
    subject: Subject,
    in_force: RuleInForce,
    past: Past,
    recorded: Sequence[Recorded],
    before: Condition = Condition.normal,
) -> tuple[Transition, ...]:
    """All the transitions of an episode that is not on record, for it to be recorded now."""
    transitions: list[Transition] = []
    if past.known:
        # It was open on record when judging began; that episode's proof is its proof.
        proof = next((one.proof for one in recorded if one.raised_us == past.raised_us), {})
        severity_before = 0
        for at_us, severity in past.known:
            was = Condition.active if severity_before else before
            raised = _transition(subject, in_force, was, Condition.active, severity_before, severity, at_us, None)
            transitions.append(replace(raised, proof=proof))
            severity_before = severity
    transitions += past.transitions
    if past.cleared_us is not None and transitions[-1].severity:
        # Somebody ended it by hand.
        last = transitions[-1]
        transitions.append(
            _transition(subject, in_force, last.after, Condition.normal, last.severity, 0, past.cleared_us, last)
        )
    first = replace(transitions[0], before=before, severity_before=0)
    return tuple(replace(one, reason=Reason.late_data) for one in (first, *transitions[1:]))


def _transition(
    subject: Subject,
    in_force: RuleInForce,
    before: Condition,
    after: Condition,
    severity_before: int,
    severity: int,
    at_us: int,
    proven_by: Transition | None,
) -> Transition:
    unproven: Proof = {"ts_us": at_us, "received_us": at_us, "field": "", "label": ""}
    return Transition(
        *subject,
        in_force,
        Reason.late_data,
        before,
        after,
        severity_before,
        severity,
        at_us,
        proven_by.received_us if proven_by is not None else at_us,
        proven_by.proof if proven_by is not None else unproven,
    )
