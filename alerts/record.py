"""Record: what a batch changed becomes transitions, episodes and deliveries owed, in the batch's own transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter, ValidationError

from alerts.evaluate import Evaluator
from alerts.outcome import Outcome, RuleInForce, Transition
from alerts.rules import SystemRule
from alerts.transition import NORMAL, State, due_us
from underfoot.alarms import Condition, Human, Reason, Severity, SubjectKind
from underfoot.reports import moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_STATE = TypeAdapter(State)
ENGINE = "engine"

Notice = Literal["raise", "change", "clear"]


def state_from_json(stored: Any, levels: int | None = None) -> State:
    """A stored state. One of a rule that had other levels, or of an Underfoot that kept it otherwise, keeps its
    episode and forgets what was on its way."""
    try:
        state = _STATE.validate_python(stored)
    except ValidationError:
        state = State(level=int(stored["level"]))
    if levels is None or (state.level <= levels and {len(state.rising), len(state.falling)} <= {0, levels}):
        return state
    return State(level=min(state.level, levels))


@dataclass
class _Open:
    """An episode as this batch leaves it."""

    episode: int
    severity: int
    worst: int
    human: Human
    raised_at: datetime
    raised_received_at: datetime
    rule_version: int = 0
    title: str = ""
    proof: Any = None
    condition: Condition = Condition.active
    cleared_at: datetime | None = None
    cleared_received_at: datetime | None = None
    clear_reason: Reason | None = None


@dataclass
class _Alarm:
    alarm_key: int
    episode: int
    transition_no: int
    open: _Open | None = None
    touched: dict[int, _Open] = field(default_factory=dict)


class Recorder:
    """Collects the rows of one batch's transitions in their order, then writes each table once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._alarms: dict[tuple[str, int, str], _Alarm] = {}
        self._transitions: list[dict[str, Any]] = []
        self._notices: list[dict[str, Any]] = []

    def record(self, transitions: Iterable[Transition], actor: str = ENGINE) -> int:
        """Write them, and what they owe to sinks. Returns how many deliveries are owed now."""
        listed = list(transitions)
        if not listed:
            return 0
        self._lock(listed)
        for transition in listed:
            key = (transition.subject_kind.value, transition.subject_key, transition.rule.rule.rule_id)
            self._add(self._alarms[key], transition, actor)
        return self._write()

    def _lock(self, transitions: list[Transition]) -> None:
        subjects = [
            {"subject_kind": t.subject_kind, "subject_key": t.subject_key, "rule_id": t.rule.rule.rule_id}
            for t in transitions
        ]
        rows = self._connection.execute(statement("alarms.lock_alarms"), {"subjects": Jsonb(subjects)}).fetchall()
        by_key: dict[int, _Alarm] = {}
        for alarm_key, kind, subject_key, rule_id, episode, transition_no in rows:
            alarm = _Alarm(alarm_key, episode, transition_no)
            self._alarms[kind, subject_key, rule_id] = by_key[alarm_key] = alarm
        opened = self._connection.execute(statement("alarms.open_episodes"), {"alarm_keys": list(by_key)})
        for alarm_key, episode, severity, worst, human, raised_at, raised_received_at in opened:
            by_key[alarm_key].open = _Open(episode, severity, worst, Human(human), raised_at, raised_received_at)

    def _add(self, alarm: _Alarm, transition: Transition, actor: str) -> None:
        opened = alarm.open
        if opened is None and not transition.severity and transition.before in (Condition.active, Condition.clearing):
            return  # the end of what an operator, or another end, has already ended
        notice: Notice | None = None
        if transition.severity and opened is None:
            alarm.episode += 1
            opened = alarm.open = _Open(
                episode=alarm.episode,
                severity=transition.severity,
                worst=transition.severity,
                human=Human.unacknowledged,
                raised_at=moment(transition.at_us),
                raised_received_at=moment(transition.received_us),
                rule_version=transition.rule.version,
                title=transition.rule.rule.title,
                proof=_shown_proof(transition.proof),
            )
            notice = "raise"
        elif transition.severity and opened is not None and transition.severity != opened.severity:
            notice = "change"
        elif not transition.severity and opened is not None and transition.after is Condition.normal:
            notice = "clear"
        number = self._row(alarm, transition, "condition", transition.before, transition.after, actor)
        if opened is None:
            return
        alarm.touched[opened.episode] = opened
        if notice == "clear":
            opened.condition = Condition.normal
            opened.cleared_at = max(moment(transition.at_us), opened.raised_at)
            opened.cleared_received_at = moment(transition.received_us)
            opened.clear_reason = transition.reason
            alarm.open = None
        elif transition.severity:
            self._set_severity(alarm, opened, transition)
        if notice is not None:
            self._notices.append(self._notice(alarm, number, opened, transition, notice))

    def _set_severity(self, alarm: _Alarm, opened: _Open, transition: Transition) -> None:
        opened.condition = transition.after
        rose = transition.severity > opened.severity
        opened.severity = transition.severity
        opened.worst = max(opened.worst, transition.severity)
        if rose and opened.human is Human.acknowledged:
            opened.human = Human.unacknowledged
            self._row(alarm, transition, "human", Human.acknowledged, Human.unacknowledged, ENGINE)

    def _row(
        self,
        alarm: _Alarm,
        transition: Transition,
        region: str,
        before: Condition | Human,
        after: Condition | Human,
        actor: str,
    ) -> int:
        alarm.transition_no += 1
        episode = alarm.open.episode if alarm.open is not None else alarm.episode + 1
        severity = transition.severity or (alarm.open.severity if alarm.open is not None else 0)
        self._transitions.append(
            {
                "alarm_key": alarm.alarm_key,
                "transition_no": alarm.transition_no,
                "episode": episode,
                "region": region,
                "from_state": before.value,
                "to_state": after.value,
                "severity": severity,
                "reason": transition.reason.value,
                "actor": actor,
                "event_at": moment(transition.at_us),
                "received_at": moment(transition.received_us),
                "proof": _shown_proof(transition.proof),
            }
        )
        return alarm.transition_no

    def _notice(
        self, alarm: _Alarm, number: int, opened: _Open, transition: Transition, notice: Notice
    ) -> dict[str, Any]:
        rule = transition.rule.rule
        case = getattr(rule, "case", None)
        crew = getattr(rule, "crew", None)
        facts = {
            "alarm_key": alarm.alarm_key,
            "episode": opened.episode,
            "transition_no": number,
            "notice": notice,
            "reason": transition.reason.value,
            "rule_id": rule.rule_id,
            "rule_version": transition.rule.version,
            "title": rule.title,
            "severity": opened.severity,
            "worst_severity": opened.worst,
            "event_at": moment(transition.at_us),
            "raised_at": opened.raised_at,
            "raised_received_at": opened.raised_received_at,
            "cleared_at": opened.cleared_at,
            "proof": _shown_proof(transition.proof),
            "crew": crew.model_dump() if crew is not None else None,
            "case": case.model_dump() if case is not None else None,
        }
        return {
            "alarm_key": alarm.alarm_key,
            "episode": opened.episode,
            "transition_no": number,
            "notice": notice,
            "reason": transition.reason.value,
            "severity": opened.severity,
            "worst_severity": opened.worst,
            "raised_at": opened.raised_at,
            "facts": facts,
            "has_case": case is not None,
            "has_crew": crew is not None,
        }

    def _write(self) -> int:
        execute = self._connection.execute
        episodes = [
            {
                "alarm_key": alarm.alarm_key,
                "episode": opened.episode,
                "rule_version": opened.rule_version,
                "title": opened.title,
                "condition": opened.condition.value,
                "severity": opened.severity,
                "worst_severity": opened.worst,
                "human": opened.human.value,
                "raised_at": opened.raised_at,
                "raised_received_at": opened.raised_received_at,
                "cleared_at": opened.cleared_at,
                "cleared_received_at": opened.cleared_received_at,
                "clear_reason": opened.clear_reason.value if opened.clear_reason is not None else None,
                "proof": opened.proof if opened.proof is not None else {},
            }
            for alarm in self._alarms.values()
            for opened in alarm.touched.values()
        ]
        counters = [
            {"alarm_key": alarm.alarm_key, "episode": alarm.episode, "transition_no": alarm.transition_no}
            for alarm in self._alarms.values()
        ]
        if episodes:
            execute(statement("alarms.put_episodes"), {"rows": Jsonb(episodes)})
        execute(statement("alarms.put_alarms"), {"rows": Jsonb(counters)})
        execute(statement("alarms.add_transitions"), {"rows": Jsonb(self._transitions)})
        if not self._notices:
            return 0
        owed = execute(statement("alarms.enqueue"), {"rows": Jsonb(self._notices)}).rowcount
        if owed:
            execute("SELECT pg_notify('underfoot_outbox', '')")
        return owed


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
                due = due_us(evaluator.levels[rule_id].limits, state)
                row["state"] = _STATE.dump_python(state, mode="json")
                row["due_at"] = moment(due) if due is not None else None
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


def withdrawn(device_key: int, rule: RuleInForce, before: Condition, now_us: int) -> Transition:
    """The end of what is open, or pending, under a rule that is no longer in force."""
    return Transition(
        SubjectKind.device,
        device_key,
        rule,
        Reason.rule_withdrawn,
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


def _shown_proof(proof: dict[str, Any]) -> dict[str, Any]:
    """A proof as it is kept and shown: its times as RFC 3339."""
    shown = {name: value for name, value in proof.items() if not name.endswith("_us")}
    if "values" in shown:
        shown["values"] = {name: value for name, value in shown["values"].items() if value is not None}
    for name in ("ts", "received"):
        if f"{name}_us" in proof:
            shown["ts" if name == "ts" else "received_at"] = moment(proof[f"{name}_us"])
    return shown
