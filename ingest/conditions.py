"""Conditions: what the engine remembers of a shard's devices, under the rules in force now.

A rule is edited while its alarm is open: its holder starts again and comes through here. What is open carries on under
the new numbers (alerts/rulebook/carry.py); where these can't have it, it ends with that reason. Nothing is raised by an
edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from alerts.judge.evaluate import Evaluator
from alerts.judge.levels import Level
from alerts.judge.outcome import Outcome, RuleInForce, Transition
from alerts.judge.transition import State
from alerts.record.recorder import Recorder, ended_by_rule, put_conditions, state_from_json
from alerts.rulebook import book as rulebook
from alerts.rulebook.carry import carried
from alerts.rules import RuleError
from alerts.rules.override import Scope
from underfoot.alarms import REASON_LABELS, Condition, Reason, SubjectKind
from underfoot.clock import CLOCK
from underfoot.storage.statements import statement

if TYPE_CHECKING:
    from ingest.tenure import Tenure

FLOODING = "device.flooding"


def load_conditions(tenure: Tenure) -> None:
    """The engine's memory, as it is under the rules in force."""
    tenure.connection.execute(statement("alarms.adopt_conditions"), {"shard": tenure.shard})
    rows = tenure.connection.execute(statement("alarms.load_conditions"), {"shard": tenure.shard}).fetchall()
    loading = _Loading(tenure)
    for device_key, rule_id, stored, version, scope in rows:
        loading.take(device_key, rule_id, state_from_json(stored), version, scope)
    loading.write()


def load_open(tenure: Tenure) -> None:
    """Open episodes of rules that keep no condition: devices offline, late hazards, floods."""
    over: list[Transition] = []
    params = {"shard": tenure.shard}
    rows = tenure.connection.execute(statement("alarms.load_open_device_episodes"), params).fetchall()
    for device_key, rule_id, condition, of_rules, kind in rows:
        known = tenure.device(device_key)
        silent, late = known.family.evaluator.silent, known.family.evaluator.late
        if silent is not None and rule_id == silent.scoped.rule_id and silent.scoped.applies(known.slot):
            silent.put(known.slot, offline=True)
        elif late is not None and rule_id == late.scoped.rule_id and late.scoped.applies(known.slot):
            late.put(known.slot, frozenset(of_rules))
        elif rule_id == FLOODING:
            tenure.flooding.seen(device_key)
        elif kind in rulebook.JUDGED_BY_HOLDERS:
            over += _ended(tenure, device_key, rule_id, Condition(condition))
    Recorder(tenure.connection).record(over)


class _Loading:
    """Collects what becomes of each condition, then writes what has changed."""

    def __init__(self, tenure: Tenure) -> None:
        self._tenure = tenure
        self._now_us = CLOCK.now_us()
        self._earlier: dict[tuple[str, int, str], RuleInForce | None] = {}
        self._transitions: list[Transition] = []
        self._dropped: list[dict[str, Any]] = []
        self._outcomes: dict[str, tuple[Evaluator, Outcome]] = {}

    def take(self, device_key: int, rule_id: str, state: State, version: int | None, scope: str) -> None:
        known = self._tenure.device(device_key)
        evaluator = known.family.evaluator
        level = evaluator.levels.get(rule_id)
        if level is None or not level.scoped.applies(known.slot):
            self._end(device_key, rule_id, state.condition)
            return
        rule = level.scoped.in_force_for(known.slot)
        before = None
        if version is not None and (version, scope) != (rule.version, str(rule.scope)):
            before = self._as_of(rule_id, version, scope)
        if before is None:
            level.put(known.slot, state)
            return
        after = carried(before.rule, rule.rule, state)
        if after is None:
            self._end(device_key, rule_id, state.condition)
            return
        level.put(known.slot, after)
        self._transitions += self._changed(level, known.slot, device_key, before, state, after)
        family = evaluator.family.name
        _, outcome = self._outcomes.setdefault(family, (evaluator, Outcome()))
        outcome.states[rule_id, known.slot] = after

    def write(self) -> None:
        connection = self._tenure.connection
        Recorder(connection).record(self._transitions)
        put_conditions(connection, self._tenure.shard, self._outcomes.values())
        if self._dropped:
            connection.execute(statement("alarms.drop_conditions"), {"rows": Jsonb(self._dropped)})

    def _end(self, device_key: int, rule_id: str, condition: Condition) -> None:
        ended = _ended(self._tenure, device_key, rule_id, condition)
        self._transitions += ended
        if ended:
            self._dropped.append({"subject_key": device_key, "rule_id": rule_id})

    def _as_of(self, rule_id: str, version: int, scope: str) -> RuleInForce | None:
        """None: this version of Underfoot can't read it. Then what is remembered is taken as it stands."""
        key = rule_id, version, scope
        if key not in self._earlier:
            try:
                found = rulebook.rule_as_of(self._tenure.connection, rule_id, version, Scope.parse(scope))
            except (RuleError, rulebook.NoSuchRuleError):
                found = None
            self._earlier[key] = found
        return self._earlier[key]

    def _changed(
        self, level: Level, slot: int, device_key: int, earlier: RuleInForce, before: State, after: State
    ) -> list[Transition]:
        """What the edit itself has changed, if anything."""
        levels = getattr(earlier.rule, "levels", ())
        was = levels[min(before.level, len(levels)) - 1].rank if before.level and levels else 0
        severity = level.severity(slot, after.level)
        if (before.condition, was) == (after.condition, severity):
            return []
        now_us = self._now_us
        return [
            Transition(
                SubjectKind.device,
                device_key,
                level.scoped.in_force_for(slot),
                Reason.rule_changed,
                before.condition,
                after.condition,
                was,
                severity,
                now_us,
                now_us,
                {"ts_us": now_us, "received_us": now_us, "field": "", "label": REASON_LABELS[Reason.rule_changed]},
            )
        ]


def _ended(tenure: Tenure, device_key: int, rule_id: str, before: Condition) -> list[Transition]:
    """The end of what no rule in force can have. Nothing, where a rule is in force that this version of Underfoot can't
    read: what is open under it stays."""
    try:
        rule = tenure.rules.get(rule_id) or rulebook.rule_as_last_known(tenure.connection, rule_id)
    except RuleError:
        return []
    reason = rulebook.why_ended(tenure.connection, rule_id)
    return [ended_by_rule(device_key, rule, before, CLOCK.now_us(), reason)]
