"""Record: what a batch changed becomes transitions, episodes and deliveries owed, in the batch's own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter, ValidationError

from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import Outcome, RuleInForce, Transition
from alerts.judge.transition import NORMAL, State, due_us, fitted
from alerts.record.locked import ENGINE, Alarm, Episode, Locked
from alerts.record.owe import Addressed, notice, shown_proof
from alerts.record.snapshot import Notice as NoticeName
from alerts.regions.human import UNSEEN, severity_rose
from alerts.regions.suppress import begin, leave, tell_if_over
from alerts.regions.suppression import InForce, outgrown
from alerts.rules import Rule, SystemRule
from alerts.storm.gate import held
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.reports import moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_STATE = TypeAdapter(State)


def state_as_json(state: State) -> dict[str, Any]:
    """A state as `conditions` keeps it."""
    kept: dict[str, Any] = _STATE.dump_python(state, mode="json")
    return kept


def state_from_json(stored: Any, levels: int | None = None) -> State:
    """A stored state. One of a rule that had other levels, or of an Underfoot that kept it otherwise, keeps its
    episode and forgets what was on its way."""
    try:
        state = _STATE.validate_python(stored)
    except ValidationError:
        state = State(level=int(stored["level"]))
    return state if levels is None else fitted(state, levels)


class Recorder:
    """Collects the rows of one batch's transitions in their order, then writes each table once."""

    def __init__(self, connection: Connection) -> None:
        self._locked = Locked(connection)
        self._held: dict[int, tuple[InForce, str, datetime]] = {}

    def record(self, transitions: Iterable[Transition], actor: str = ENGINE) -> None:
        """Write them, and what they owe to sinks."""
        listed = list(transitions)
        if not listed:
            return
        self._locked.lock_subjects(_subject(transition) for transition in listed)
        self._held = self._kept_back(listed)
        for transition in listed:
            self._add(self._locked.of(_subject(transition)), transition, actor)
        self._locked.write()

    def record_past(self, pasts: Sequence[Sequence[Transition]], actor: str = ENGINE) -> list[tuple[int, int, int]]:
        """Episodes that are over already, each from its raise to its end; whatever is open stays so.
        Returns of each its alarm, its number, and that of its last transition."""
        self._locked.lock_subjects({_subject(transition) for past in pasts for transition in past})
        numbers = []
        for past in pasts:
            alarm = self._locked.of(_subject(past[0]))
            opened, alarm.open = alarm.open, None
            told = len(self._locked.notices)
            for transition in past:
                self._add(alarm, transition, actor)
            if alarm.open is not None:
                raise ValueError(f"alarm {alarm.alarm_key}: a past episode that is not over")
            for one in self._locked.notices[told:]:
                one.facts["cleared_at"] = alarm.touched[alarm.episode].cleared_at  # whoever is told knows it is over
            alarm.open = opened
            numbers.append((alarm.alarm_key, alarm.episode, alarm.transition_no))
        self._locked.write()
        return numbers

    def _kept_back(self, listed: Sequence[Transition]) -> dict[int, tuple[InForce, str, datetime]]:
        """By alarm: what is kept back should it be raised, since more is raised than anyone can read."""
        raised = {
            alarm.alarm_key: (alarm.alarm_key, transition.rule.rule.rule_id, transition.severity)
            for transition in reversed(listed)  # of several the first counts: what comes after can only end the hold
            if transition.severity
            and transition.subject_kind is not SubjectKind.incident
            and (alarm := self._locked.of(_subject(transition))).open is None
            and not alarm.region
        }
        found = held(self._locked.connection, list(raised.values())) if raised else {}
        return {alarm_key: (one, ENGINE, at) for alarm_key, (one, at) in found.items()}

    def _add(self, alarm: Alarm, transition: Transition, actor: str) -> None:
        opened = alarm.open
        if opened is None and not transition.severity and transition.before in (Condition.active, Condition.clearing):
            return  # the end of what an operator, or another end, has already ended
        name: NoticeName | None = None
        severity_before = opened.severity if opened is not None else 0
        if transition.severity and opened is None:
            alarm.episode += 1
            opened = alarm.open = _opened(alarm.episode, transition)
            name = "raise"
        elif transition.severity and opened is not None and _changes(opened, transition):
            name = "change"
        elif not transition.severity and opened is not None and transition.after is Condition.normal:
            name = "clear"
        number = self._row(alarm, transition, actor)
        if opened is None:
            return
        alarm.touched[opened.episode] = opened
        if name == "clear":
            opened.condition = Condition.normal
            opened.cleared_at = max(moment(transition.at_us), opened.raised_at)
            opened.cleared_received_at = moment(transition.received_us)
            opened.clear_reason = transition.reason.value
            alarm.open = None
        elif transition.severity:
            self._set_severity(alarm, opened, transition)
        if name == "raise" and alarm.alarm_key in self._held:
            begin(self._locked, alarm, *self._held[alarm.alarm_key])
        if name is not None:
            self._tell(alarm, opened, transition, name, number)
        if transition.severity > severity_before:
            self._outgrow(alarm, transition)

    def _set_severity(self, alarm: Alarm, opened: Episode, transition: Transition) -> None:
        opened.condition = transition.after
        rose = transition.severity > opened.severity
        opened.severity = transition.severity
        opened.worst = max(opened.worst, transition.severity)
        change = severity_rose(opened.seen) if rose else None
        if change is not None:
            self._locked.change_human(
                alarm,
                opened,
                change,
                ENGINE,
                at=moment(transition.at_us),
                received_at=moment(transition.received_us),
                proof=shown_proof(transition.proof),
            )

    def _tell(self, alarm: Alarm, opened: Episode, transition: Transition, name: NoticeName, number: int) -> None:
        """Owe it. Of a suppressed alarm nobody is told; but whoever was told of an episode is always told its end."""
        if alarm.region and name != "clear":
            opened.withheld = True
            return
        rule = transition.rule.rule
        self._locked.notices.append(
            notice(
                alarm,
                opened,
                name,
                number=number,
                reason=transition.reason,
                at=moment(transition.at_us),
                title=rule.title,
                rule_version=transition.rule.version,
                proof=shown_proof(transition.proof),
                addressed=addressed_by(rule),
                receivers="told" if alarm.region else "all",
            )
        )

    def _outgrow(self, alarm: Alarm, transition: Transition) -> None:
        """An alarm that is worse than what was shelved, or explained, is that no more."""
        over = outgrown(alarm.region, transition.severity)
        if not over:
            return
        at, received_at = moment(transition.at_us), moment(transition.received_us)
        reason = Reason.severity_rose
        number = leave(self._locked, alarm, over, reason=reason, actor=ENGINE, at=at, received_at=received_at)
        tell_if_over(self._locked, alarm, number=number, reason=reason, at=at, proof=shown_proof(transition.proof))

    def _row(self, alarm: Alarm, transition: Transition, actor: str) -> int:
        opened = alarm.open
        return self._locked.row(
            alarm,
            "condition",
            transition.before.value,
            transition.after.value,
            transition.reason,
            actor,
            episode=opened.episode if opened is not None else alarm.episode + 1,
            severity=transition.severity or (opened.severity if opened is not None else 0),
            event_at=moment(transition.at_us),
            received_at=moment(transition.received_us),
            proof=shown_proof(transition.proof),
        )


def _subject(transition: Transition) -> tuple[str, int, str]:
    return (transition.subject_kind.value, transition.subject_key, transition.rule.rule.rule_id)


def _changes(opened: Episode, transition: Transition) -> bool:
    """Whether there is something to tell of an open episode. An incident may grow without getting more severe."""
    return transition.severity != opened.severity or transition.reason is Reason.incident_grew


def _opened(number: int, transition: Transition) -> Episode:
    return Episode(
        episode=number,
        severity=transition.severity,
        worst=transition.severity,
        seen=UNSEEN,
        raised_at=moment(transition.at_us),
        raised_received_at=moment(transition.received_us),
        rule_version=transition.rule.version,
        title=transition.rule.rule.title,
        condition=transition.after,
        proof=shown_proof(transition.proof),
    )


def addressed_by(rule: Rule) -> Addressed:
    """Whom an alarm of this rule concerns."""
    case, crew = getattr(rule, "case", None), getattr(rule, "crew", None)
    return Addressed(crew.model_dump() if crew is not None else None, case.model_dump() if case is not None else None)


def put_conditions(connection: Connection, shard: str, judged: Iterable[tuple[Evaluator, Outcome]]) -> None:
    """Keep the engine's memory in step: write what is not plainly normal, drop what is again."""
    kept: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    for evaluator, outcome in judged:
        for (rule_id, slot), state in outcome.states.items():
            row: dict[str, Any] = {"subject_key": int(evaluator.device_key[slot]), "rule_id": rule_id}
            if state == NORMAL:
                dropped.append(row)
            else:
                due = due_us(evaluator.levels[rule_id].limits_for(slot), state)
                row["state"] = state_as_json(state)
                row["due_at"] = moment(due) if due is not None else None
                rule = evaluator.levels[rule_id].scoped.in_force_for(slot)
                row |= {"rule_version": rule.version, "rule_scope": str(rule.scope)}
                kept.append(row)
    if kept:
        connection.execute(statement("alarms.put_conditions"), {"shard": shard, "rows": Jsonb(kept)})
    if dropped:
        connection.execute(statement("alarms.drop_conditions"), {"rows": Jsonb(dropped)})


def without_known_late(connection: Connection, evaluator: Evaluator, outcome: Outcome) -> None:
    """Take out of `outcome` the late hazards that an episode on record already covers."""
    if not outcome.late_found:
        return
    rows = [
        {
            "number": number,
            "device_key": int(evaluator.device_key[found.slot]),
            "rule_id": found.of_rule,
            "at": moment(found.proof["ts_us"]),
        }
        for number, found in enumerate(outcome.late_found)
    ]
    known = {row[0] for row in connection.execute(statement("alarms.late_already_known"), {"rows": Jsonb(rows)})}
    outcome.late_found = [found for number, found in enumerate(outcome.late_found) if number not in known]


def ended_by_rule(
    device_key: int, rule: RuleInForce, before: Condition, now_us: int, reason: Reason = Reason.rule_withdrawn
) -> Transition:
    """The end of what is open, or pending, under a rule that is no longer in force, or can't have it any more."""
    return Transition(
        SubjectKind.device,
        device_key,
        rule,
        reason,
        before,
        Condition.normal,
        0,
        0,
        now_us,
        now_us,
        {},
    )


def failure(
    subject_kind: SubjectKind,
    subject_key: int,
    rule: RuleInForce,
    reason: Reason,
    *,
    raised: bool,
    at_us: int,
    detail: str,
) -> Transition:
    """A failure of Underfoot itself begins (`raised`) or ends."""
    if not isinstance(rule.rule, SystemRule):
        raise TypeError(f"{rule.rule.rule_id} is not a system rule")
    severity = Severity[rule.rule.severity].value
    before, after = (Condition.normal, Condition.active) if raised else (Condition.active, Condition.normal)
    return Transition(
        subject_kind,
        subject_key,
        rule,
        reason,
        before,
        after,
        0 if raised else severity,
        severity if raised else 0,
        at_us,
        at_us,
        {"ts_us": at_us, "received_us": at_us, "field": "", "label": detail},
    )
