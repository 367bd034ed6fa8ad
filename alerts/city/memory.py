"""Memory: what a rule over several devices remembers of a subject between ticks, and what a judgement makes of it.

The condition is alerts.judge.transition's, as of single devices; here it is fed with judgements instead of reports,
and kept in `conditions` under the shard 'city'. It is read anew each tick: a restart, or another process, goes on from
there.
A judgement of what was judged before proves nothing new, and an unknown one nothing at all: what is open stays open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from psycopg.types.json import Jsonb

from alerts.judge.outcome import RuleInForce, Transition
from alerts.judge.transition import (
    NORMAL,
    Change,
    Changes,
    Flapped,
    Limits,
    Proof,
    Sample,
    State,
    due_us,
    fitted,
    no_longer,
    on_sample,
    on_silence,
)
from alerts.record.flaps import Flaps, record_flapping
from alerts.record.recorder import Recorder, state_as_json, state_from_json
from alerts.rulebook.book import rule_as_last_known, why_ended
from alerts.rules.blockage import BlockageRule
from alerts.rules.composite import CompositeRule
from alerts.rules.doubt import DoubtRule
from alerts.rules.parts import SeverityName, calms_after_s
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.reports import microseconds, moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

Subject = tuple[SubjectKind, int]
Reasons = Mapping[Reason, Reason]
"""How a kind of rule names what the transition calls a limit."""

BY_LIMIT: Reasons = {}
_BY_EDITING: Reasons = dict.fromkeys(
    (Reason.limit_reached, Reason.back_over_limit, Reason.below_limit, Reason.severity_rose, Reason.severity_fell),
    Reason.rule_changed,
)
BY_CONDITION: Reasons = {
    Reason.limit_reached: Reason.condition_met,
    Reason.back_over_limit: Reason.condition_met,
    Reason.below_limit: Reason.condition_over,
}


def one_level(
    severity: SeverityName,
    *,
    reach: float = 1.0,
    leave: float = 1.0,
    on_delay_s: float = 0.0,
    samples: int = 1,
    off_delay_s: float = 0.0,
    off_samples: int = 1,
    by_silence: bool = False,
) -> Limits:
    """The limits of a rule with one severity. As they are: of a truth, of which true is 1 and false 0."""
    return Limits(
        reach=(reach,),
        leave=(leave,),
        severity=(Severity[severity].value,),
        on_delay_us=(int(on_delay_s * 1e6),),
        samples=(samples,),
        off_delay_us=int(off_delay_s * 1e6),
        off_samples=off_samples,
        by_silence=by_silence,
        calm_us=int(calms_after_s([severity]) * 1e6),
    )


def one_level_of(rule: BlockageRule | CompositeRule | DoubtRule, *, by_silence: bool = False) -> Limits:
    """The limits of a rule that is true or not, and says how long and how often it has to be."""
    return one_level(
        rule.severity,
        on_delay_s=rule.on_delay_s,
        samples=rule.samples,
        off_delay_s=rule.off_delay_s,
        off_samples=rule.off_samples,
        by_silence=by_silence,
    )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule says of a subject now. `value` is signed as `limits` are; None: unknown.

    `seen` names what it was judged on: the same again, by the same version of the rule, is nothing new. `at_us`,
    `received_us`: of the newest of it. `caught_up_us`: all that was sent by then is in it, so that silence until then
    proves something.
    """

    subject: Subject
    rule: RuleInForce
    limits: Limits
    value: float | None
    seen: Sequence[Any]
    at_us: int
    received_us: int
    proof: Proof
    caught_up_us: int | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """`at_us`: up to when, in event time, it has been judged. A subject's time never goes back."""

    state: State = NORMAL
    seen: tuple[Any, ...] = ()
    at_us: int = 0

    def closed_by_hand(self) -> Remembered:
        """It begins again, with what has not been seen yet."""
        return replace(self, state=State(history=self.state.history))


def judged(before: Remembered, judgement: Judgement) -> tuple[Remembered, Changes]:
    """What the judgement makes of what is remembered. Pure."""
    seen, limits = (*judgement.seen, judgement.rule.version), judgement.limits
    after = before
    changes: Changes = []
    if judgement.value is None:
        limits = replace(limits, by_silence=False)  # what is unknown now has not held in silence
    elif seen != before.seen or before == _NOTHING:
        at_us = max(judgement.at_us, before.at_us)
        sample = Sample(judgement.value, at_us, judgement.received_us, judgement.proof)
        state, changes = on_sample(limits, before.state, sample)
        after = Remembered(state, seen, at_us)
    if judgement.caught_up_us is not None:
        state, more = on_silence(limits, after.state, judgement.caught_up_us)
        after, changes = replace(after, state=state), changes + more
    return after, changes


_NOTHING = Remembered()


class Remembering(Protocol):
    def subjects(self, rule_id: str) -> list[int]:
        """Of whom a rule remembers anything: they are judged whatever their values are."""

    def of(self, rule_id: str, subject: Subject) -> Remembered: ...


class Memory:
    """What some rules remember, in this transaction: `take` judgements, then `write` what has changed."""

    def __init__(self, connection: Connection, rules: Iterable[RuleInForce]) -> None:
        self._connection = connection
        self._before: dict[tuple[str, Subject], Remembered] = {}
        self._after: dict[tuple[str, Subject], tuple[Remembered, Limits | None]] = {}
        self._transitions: list[Transition] = []
        self._flapped: list[Flaps] = []
        rule_ids = [rule.rule.rule_id for rule in rules]
        rows = connection.execute(statement("city.load_conditions"), {"rule_ids": rule_ids}).fetchall()
        for kind, subject_key, rule_id, stored, is_open in rows:
            remembered = Remembered(state_from_json(stored), _frozen(stored.get("seen", ())), stored.get("at_us", 0))
            if remembered.state.level and not is_open:
                remembered = remembered.closed_by_hand()
            self._before[rule_id, (SubjectKind(kind), subject_key)] = remembered

    def subjects(self, rule_id: str) -> list[int]:
        """Of whom a rule remembers anything: they are judged whatever their values are."""
        return [key for known, (_, key) in self._before if known == rule_id]

    def of(self, rule_id: str, subject: Subject) -> Remembered:
        return self._before.get((rule_id, subject), _NOTHING)

    def open(self) -> list[tuple[str, Subject]]:
        """Rules and subjects with an open episode, as far as is known now."""
        known = self._before | {key: after for key, (after, _) in self._after.items()}
        return [key for key, remembered in known.items() if remembered.state.level]

    def take(self, judgements: Iterable[Judgement], reasons: Reasons) -> None:
        """All of a rule's judgements, or, where one of them can't be taken, none."""
        after: dict[tuple[str, Subject], tuple[Remembered, Limits]] = {}
        transitions: list[Transition] = []
        flapped: list[Flaps] = []
        for judgement in judgements:
            key = (judgement.rule.rule.rule_id, judgement.subject)
            stored = self._before.get(key, _NOTHING)
            before = replace(stored, state=fitted(stored.state, len(judgement.limits.reach)))
            now, changes = judged(before, judgement)
            named = _BY_EDITING if _only_edited(stored, judgement) else reasons
            if now != stored and (key in self._before or now.state != NORMAL):
                after[key] = now, judgement.limits
            for change in changes:
                if isinstance(change, Flapped):
                    kind, subject_key = judgement.subject
                    flapped.append(((kind.value, subject_key, key[0]), change))
                else:
                    transitions.append(transition_of(judgement, change, named))
        self._after |= after
        self._transitions += transitions
        self._flapped += flapped

    def put(self, rule_id: str, subject: Subject, remembered: Remembered, limits: Limits | None) -> None:
        """It is otherwise than what was judged: the past has been judged again. None: nothing is on its way."""
        self._after[rule_id, subject] = remembered, limits

    def write(self) -> None:
        """Record what has changed, and keep it."""
        Recorder(self._connection).record(self._transitions)
        record_flapping(self._connection, self._flapped)
        kept, dropped = [], []
        for (rule_id, (kind, subject_key)), (after, limits) in self._after.items():
            row: dict[str, Any] = {"subject_kind": kind, "subject_key": subject_key, "rule_id": rule_id}
            if after.state == NORMAL:
                dropped.append(row)
                continue
            due = due_us(limits, after.state) if limits is not None else None
            row["state"] = state_as_json(after.state) | {"seen": after.seen, "at_us": after.at_us}
            row["due_at"] = moment(due) if due is not None else None
            kept.append(row)
        if kept:
            self._connection.execute(statement("city.put_conditions"), {"rows": Jsonb(kept)})
        if dropped:
            self._connection.execute(statement("city.drop_conditions"), {"rows": Jsonb(dropped)})


def end_withdrawn(connection: Connection, in_force: Iterable[str], now: datetime) -> None:
    """What rules have open, or on its way, that are no longer in force, or of another kind now, is over."""
    params = {"rule_ids": list(in_force)}
    rows = connection.execute(statement("city.conditions_of_others"), params).fetchall()
    if not rows:
        return
    now_us = microseconds(now)
    over = [
        Transition(
            SubjectKind(kind),
            subject_key,
            rule_as_last_known(connection, rule_id),
            why_ended(connection, rule_id),
            state_from_json(stored).condition,
            Condition.normal,
            0,
            0,
            now_us,
            now_us,
            {},
        )
        for kind, subject_key, rule_id, stored in rows
    ]
    Recorder(connection).record(over)
    flapping = [(kind, key, rule_id) for kind, key, rule_id, stored in rows if state_from_json(stored).history.flapping]
    record_flapping(connection, [(subject, no_longer(now_us)) for subject in flapping])
    dropped = [{"subject_kind": kind, "subject_key": key, "rule_id": rule_id} for kind, key, rule_id, _ in rows]
    connection.execute(statement("city.drop_conditions"), {"rows": Jsonb(dropped)})


def _only_edited(before: Remembered, judgement: Judgement) -> bool:
    """Nothing is new but the rule's version."""
    *seen, version = before.seen or (None,)
    return tuple(seen) == tuple(judgement.seen) and version != judgement.rule.version


def _frozen(seen: Any) -> tuple[Any, ...]:
    return tuple(_frozen(one) if isinstance(one, list) else one for one in seen)


def transition_of(judgement: Judgement, change: Change, reasons: Reasons) -> Transition:
    kind, subject_key = judgement.subject
    severity = judgement.limits.severity
    return Transition(
        kind,
        subject_key,
        judgement.rule,
        reasons.get(change.reason, change.reason),
        change.before,
        change.after,
        severity[change.level_before - 1] if change.level_before else 0,
        severity[change.level - 1] if change.level else 0,
        change.at_us,
        change.received_us,
        change.proof,
    )
