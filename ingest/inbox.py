"""The inbox: what does not come by MQTT, carried out by the shard's holder, in order, in a batch's transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import psycopg

from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import Outcome, Transition
from alerts.record.recorder import failure
from ingest import hindsight
from ingest.arrival import Arrival, Origin
from ingest.tenure import Tenure
from underfoot.alarms import Condition, Reason, SubjectKind
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)


class Command:
    """One inbox row, what it changes, and in whose name."""

    def __init__(self, inbox_key: int, kind: str, payload: dict[str, Any]) -> None:
        self.inbox_key = inbox_key
        self.kind = kind
        self.payload = payload
        self.outcomes: list[tuple[Evaluator, Outcome]] = []
        self.transitions: list[Transition] = []
        self.actor = "engine"
        self.said = "done"


MOST_AT_ONCE = 2000


class Waiting:
    """What the inbox held: messages, which go the way of all messages, and commands."""

    def __init__(self) -> None:
        self.messages: list[Arrival] = []
        self.commands: list[tuple[int, str, dict[str, Any]]] = []

    @property
    def more(self) -> bool:
        """There may be more than was taken."""
        return len(self.messages) + len(self.commands) >= MOST_AT_ONCE


def take(tenure: Tenure) -> Waiting:
    waiting = Waiting()
    params = {"shard": tenure.shard, "most": MOST_AT_ONCE}
    for inbox_key, kind, payload, body in tenure.connection.execute(statement("inbox.take"), params):
        if kind == "message":
            waiting.messages.append(_arrival(inbox_key, payload, body))
        else:
            waiting.commands.append((inbox_key, kind, payload))
    return waiting


def _arrival(inbox_key: int, payload: dict[str, Any], body: bytes) -> Arrival:
    origin = Origin(inbox_key, payload["source"], payload["vendor"], payload["quarantine_key"])
    return Arrival(payload["topic"], body, 0, 0, False, False, payload["received_us"], 0, origin)


def carry_out(tenure: Tenure, row: tuple[int, str, dict[str, Any]], now_us: int) -> Command:
    """What the command changes. One that makes no sense is consumed with its error; it stops nothing."""
    command = Command(*row)
    try:
        with tenure.connection.transaction():
            _HANDLERS[command.kind](tenure, command, now_us)
    except (KeyError, TypeError, ValueError, psycopg.DataError, psycopg.ProgrammingError) as error:
        log.exception("inbox %d (%s) is not usable", command.inbox_key, command.kind)
        command = Command(*row)
        command.said = f"failed: {error!r}"
    return command


def consumed(tenure: Tenure, waiting: Waiting, commands: Iterable[Command]) -> None:
    """All of it is done, in this transaction."""
    outcomes = {arrival.origin.inbox_key: "done" for arrival in waiting.messages if arrival.origin is not None}
    outcomes |= {command.inbox_key: command.said for command in commands}
    if outcomes:
        params = {"inbox_keys": list(outcomes), "outcomes": list(outcomes.values())}
        tenure.connection.execute(statement("inbox.consumed"), params)


def _timers(tenure: Tenure, command: Command, _now_us: int) -> None:
    """Silence has become proof: judged against what is committed, never against now."""
    for family in tenure.registry.families.values():
        outcome = family.evaluator.judge_silence(tenure.caught_up_us)
        if outcome.states or outcome.failing:
            command.outcomes.append((family.evaluator, outcome))
            command.transitions += outcome.transitions
            hindsight.believe(tenure, family, outcome)


def _close(tenure: Tenure, command: Command, now_us: int) -> None:
    """An operator ends an episode by hand."""
    payload = command.payload
    row = tenure.connection.execute(
        statement("alarms.lock_open_episode"), {"episode_key": payload["episode_key"]}
    ).fetchone()
    if row is None:
        command.said = "already over"
        return
    _, subject_kind, subject_key, rule_id, _, severity, condition = row
    command.actor = str(payload["actor"])
    in_force = tenure.rules.get(rule_id)
    if in_force is None:
        raise ValueError(f"rule {rule_id} is not in force")
    command.transitions.append(
        Transition(
            SubjectKind(subject_kind),
            subject_key,
            in_force,
            Reason.closed_by_hand,
            Condition(condition),
            Condition.normal,
            severity,
            0,
            now_us,
            now_us,
            {"ts_us": now_us, "received_us": now_us, "field": "", "label": str(payload["reason"])},
        )
    )
    known = tenure.registry.by_key(subject_key) if subject_kind == SubjectKind.device else None
    if known is not None:
        evaluator = known.family.evaluator
        command.outcomes.append((evaluator, evaluator.judge_closed(rule_id, known.slot, now_us)))


def _sink_failing(tenure: Tenure, command: Command, now_us: int) -> None:
    command.transitions.append(_sink(tenure, command, Reason.sink_failing, now_us, raised=True))


def _sink_working(tenure: Tenure, command: Command, now_us: int) -> None:
    command.transitions.append(_sink(tenure, command, Reason.sink_working, now_us, raised=False))


def _sink(tenure: Tenure, command: Command, reason: Reason, now_us: int, *, raised: bool) -> Transition:
    payload = command.payload
    row = tenure.connection.execute(statement("alarms.sink_named"), {"name": payload["sink"]}).fetchone()
    if row is None:
        raise ValueError(f"sink = {payload['sink']!r}: there is no such sink")
    detail = f"{payload['sink']}：{payload.get('error') or ''}"
    return failure(
        SubjectKind.sink, row[0], tenure.rules["sink.failing"], reason, raised=raised, at_us=now_us, detail=detail
    )


_HANDLERS = {
    "timers": _timers,
    "close": _close,
    "sink_failing": _sink_failing,
    "sink_working": _sink_working,
}
