"""Judging: the rules of one kind as a step of the city, each rule for itself.

A rule that raises an exception is left out, named, and an alarm of its own (`rule.failing`); the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg

from alerts.city.causes import explain
from alerts.city.memory import Judgement, Memory, Reasons, Remembering, end_withdrawn
from alerts.city.said import Live, Said
from alerts.judge.outcome import RuleInForce
from alerts.record.failing import FAILING, failing_now, rule_failures
from alerts.record.recorder import Recorder
from alerts.rulebook.book import city_rule_ids, rule_as_last_known, rules_in_force
from alerts.rules import CompositeRule, ConditionedRule, DoubtRule
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

JUDGE = "city"

Judge = Callable[[Said, RuleInForce, Remembering, datetime], Iterable[Judgement]]
"""What a rule says at a moment of those it concerns: whoever may reach it, and of whom it remembers anything."""


Afterwards = Callable[[Connection, Memory, datetime], None]
"""What is to be done with what the rules have open now."""


class Rulebook:
    """The rules in force, parsed when they have changed."""

    def __init__(self) -> None:
        self._stamp: object = None
        self._rules: list[RuleInForce] = []
        self._kept: list[str] = []
        """Rules whose conditions are kept here: also those that this version of Underfoot can't read."""

    def all(self, connection: Connection) -> list[RuleInForce]:
        stamp = connection.execute(statement("city.rules_stamp")).fetchone()
        if stamp != self._stamp:
            self._rules, self._stamp = rules_in_force(connection), stamp
            self._kept = city_rule_ids(connection)
        return self._rules

    def of_kind(self, connection: Connection, kind: type) -> list[RuleInForce]:
        return [each for each in self.all(connection) if isinstance(each.rule, kind)]

    def end_withdrawn(self, connection: Connection, now: datetime) -> None:
        """What is open under rules that are not in force any more is over with them; so is that they failed."""
        rule_ids = [each.rule.rule_id for each in self.all(connection)]
        end_withdrawn(connection, self._kept, now)
        tell_failing(connection, {}, failing_now(connection, JUDGE).difference(rule_ids), now)


def tell_failing(connection: Connection, failing: Mapping[str, str], working: Collection[str], now: datetime) -> None:
    if failing or working:
        rule = rule_as_last_known(connection, FAILING)
        Recorder(connection).record(rule_failures(connection, JUDGE, rule, failing, working, microseconds(now)))


class Apart:
    """A step's rules, each for itself: one that raises an exception stops no other, and is an alarm of its own."""

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._failed: dict[str, str] = {}

    @contextmanager
    def judging(self, connection: Connection, in_force: RuleInForce) -> Iterator[None]:
        """What a rule that fails here has written is undone."""
        rule_id = in_force.rule.rule_id
        try:
            with connection.transaction():
                yield
        except psycopg.OperationalError:
            raise  # the database's trouble, not the rule's
        except Exception as error:
            if rule_id not in self._failing:
                log.exception("city: rule %s failed; the others go on", rule_id)
            self._failed[rule_id] = f"{type(error).__name__}: {error}"

    def tell(self, connection: Connection, judged: Sequence[RuleInForce], now: datetime) -> None:
        """Of those that were judged since the last time: raise or end their alarms."""
        failed, self._failed = self._failed, {}
        known = failing_now(connection, JUDGE)
        working = known.intersection(one.rule.rule_id for one in judged).difference(failed)
        tell_failing(connection, {one: why for one, why in failed.items() if one not in known}, working, now)
        self._failing = self._failing.difference(one.rule.rule_id for one in judged) | failed.keys()


class RuleStep:
    """The rules of one kind, judged; `afterwards` is told of what each has open."""

    def __init__(
        self,
        rulebook: Rulebook,
        kind: type,
        judge: Judge,
        *,
        reasons: Reasons,
        afterwards: Afterwards | None = None,
    ) -> None:
        self._rulebook = rulebook
        self._kind = kind
        self._judge = judge
        self._reasons = reasons
        self._afterwards = afterwards
        self._judged_at: dict[str, datetime] = {}
        self._apart = Apart()

    def __call__(self, connection: Connection, now: datetime) -> None:
        due = [rule for rule in self._rulebook.of_kind(connection, self._kind) if self._due(rule, now)]
        if not due:
            return
        memory, said = Memory(connection, due), Live(connection)
        for in_force in due:
            with self._apart.judging(connection, in_force):
                memory.take(list(self._judge(said, in_force, memory, now)), self._reasons)
        memory.write()
        if self._afterwards is not None:
            self._afterwards(connection, memory, now)
        self._apart.tell(connection, due, now)

    def _due(self, in_force: RuleInForce, now: datetime) -> bool:
        every = timedelta(seconds=getattr(in_force.rule, "every_s", 0.0))
        before = self._judged_at.get(in_force.rule.rule_id)
        if before is not None and timedelta(0) <= now - before < every:
            return False
        self._judged_at[in_force.rule.rule_id] = now
        return True


class ExplainOwn:
    """What an open alarm of a device tells already, others of the same device need not: the rule's `explains`."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook

    def __call__(self, connection: Connection, memory: Memory, now: datetime) -> None:
        rules = {each.rule.rule_id: each.rule for each in self._rulebook.all(connection)}
        for rule_id, (kind, subject_key) in memory.open():
            rule = rules.get(rule_id)
            if isinstance(rule, ConditionedRule | CompositeRule | DoubtRule) and rule.explains:
                others = [(kind.value, subject_key, explained) for explained in rule.explains]
                explain(connection, (kind.value, subject_key, rule_id), others, f"见“{rule.title}”", now)
