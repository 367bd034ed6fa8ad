"""Anything that engine, causes, crews and operators do to an alarm, in any order, on the real database: its regions are
those of the reference, and every sink has been told what it is to be told, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from alerts.judge.outcome import RuleInForce, Transition
from alerts.record.recorder import Recorder
from alerts.regions import actions as human_actions
from alerts.regions import realarm, shelves
from alerts.regions.suppress import suppress, unsuppress
from alerts.regions.suppression import BEGUN
from alerts.rules import shipped_pack
from tests.integration.shard import Shard, shard_of
from tests.unit.reference_regions import Reference
from underfoot.alarms import Condition, Reason, SubjectKind, Suppression
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection, connect

_OPEN_COVER = next(RuleInForce(rule, 1) for rule in shipped_pack() if rule.rule_id == "cover.open")
_subjects = itertools.count(1_000_000)

Told = tuple[int, str, int]


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        made.sink("city", "platform")
        made.sink("crew", "crew")
        yield made


class Machine(RuleBasedStateMachine):
    """One alarm. Its sinks deliver nothing: what is owed counts as told."""

    connection: Connection

    @initialize()
    def begins(self) -> None:
        self.subject = next(_subjects)
        self.reference = Reference()
        self.now = datetime(2026, 7, 1, 13, tzinfo=UTC)
        self.severity = 0
        self.told_before: dict[str, list[Told]] = {"city": [], "crew": []}

    # the engine -----------------------------------------------------------------------------------------------------

    def _judged(self, severity: int, reason: Reason) -> None:
        at_us = microseconds(self.now)
        active = Condition.active if self.severity else Condition.normal
        transition = Transition(
            SubjectKind.device,
            self.subject,
            _OPEN_COVER,
            reason,
            active,
            Condition.active if severity else Condition.normal,
            self.severity,
            severity,
            at_us,
            at_us,
            {"ts_us": at_us, "received_us": at_us, "value": float(severity)},
        )
        Recorder(self.connection).record([transition])
        self.severity = severity

    @rule(severity=st.integers(1, 4))
    def is_judged(self, severity: int) -> None:
        self.reference.happens("severity" if self.severity else "raise", severity=severity)
        rose = severity > self.severity > 0
        self._judged(severity, Reason.severity_rose if rose else Reason.limit_reached)

    @precondition(lambda self: self.severity)
    @rule()
    def clears(self) -> None:
        self.reference.happens("clear")
        self._judged(0, Reason.below_limit)

    # people ---------------------------------------------------------------------------------------------------------

    def _episode_key(self) -> int:
        rows = self._ask(
            "SELECT episode_key FROM episodes JOIN alarms USING (alarm_key, episode) WHERE subject_key = %s"
        )
        return int(rows[0][0])

    @property
    def is_known(self) -> bool:
        return self.reference.last_severity_after(len(self.reference.history)) is not None

    @precondition(lambda self: self.is_known)
    @rule(by=st.sampled_from(["wang", "platform:city"]))
    def is_acknowledged(self, by: str) -> None:
        self.reference.happens("acknowledge", by=by)
        human_actions.acknowledge(self.connection, [self._episode_key()], by, self.now)

    @precondition(lambda self: self.is_known)
    @rule()
    def is_unacknowledged(self) -> None:
        self.reference.happens("unacknowledge")
        human_actions.unacknowledge(self.connection, [self._episode_key()], "li", self.now)

    @precondition(lambda self: self.is_known)
    @rule(minutes=st.integers(1, 60), reason=st.sampled_from(["施工", "调试"]))
    def is_shelved(self, minutes: int, reason: str) -> None:
        until = self.now + timedelta(minutes=minutes)
        done = human_actions.shelve(
            self.connection, [self._episode_key()], "wang", self.now, until=until, reason=reason
        )
        if done.changed:
            self.reference.happens("begin", kind="shelved", until=until)

    @precondition(lambda self: self.is_known)
    @rule()
    def is_unshelved(self) -> None:
        self.reference.happens("end", kind="shelved")
        human_actions.unshelve(self.connection, [self._episode_key()], "wang", self.now)

    # causes, orders, flapping -----------------------------------------------------------------------------------------

    def _alarm_keys(self) -> list[int]:
        return [key for (key,) in self._ask("SELECT alarm_key FROM alarms WHERE subject_key = %s")]

    @precondition(lambda self: self._alarm_keys())
    @rule(
        kind=st.sampled_from([Suppression.by_design, Suppression.out_of_service, Suppression.flapping]),
        cause=st.sampled_from(["incident:1", "order:7"]),
    )
    def is_suppressed(self, kind: Suppression, cause: str) -> None:
        self.reference.happens("begin", kind=kind.value, cause=cause)
        suppress(self.connection, self._alarm_keys(), kind, cause=cause, reason="x", at=self.now)

    @precondition(lambda self: self._alarm_keys())
    @rule(
        kind=st.sampled_from([Suppression.by_design, Suppression.out_of_service, Suppression.flapping]),
        cause=st.sampled_from(["incident:1", "order:7"]),
    )
    def is_suppressed_no_more(self, kind: Suppression, cause: str) -> None:
        self.reference.happens("end", kind=kind.value, cause=cause)
        keys = self._alarm_keys()
        unsuppress(self.connection, alarm_keys=keys, kind=kind, cause=cause, reason=BEGUN[kind], at=self.now)

    @rule(minutes=st.integers(1, 90))
    def the_city_ticks(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.reference.happens("now", at=self.now)
        was = self._ask("SELECT human, suppressed FROM episodes JOIN alarms USING (alarm_key) WHERE subject_key = %s")
        shelves.step(self.connection, self.now)
        realarm.step(self.connection, self.now, [60, 60, 60, 60])
        rows = self._ask(
            "SELECT reason FROM transitions JOIN alarms USING (alarm_key) WHERE subject_key = %s"
            " ORDER BY transitions.transition_no DESC LIMIT 1"
        )
        if rows and rows[0][0] == "realarm" and ("acknowledged" in {row[0] for row in was}):
            self.reference.happens("realarm")

    # what must hold -------------------------------------------------------------------------------------------------

    @invariant()
    def regions_are_the_references(self) -> None:
        rows = self._ask(
            "SELECT al.suppressed, e.acknowledged_by, e.human"
            " FROM alarms al LEFT JOIN episodes e USING (alarm_key, episode) WHERE subject_key = %s"
        )
        if not rows:
            return
        [(suppressed, by, human)] = rows
        in_force = self.reference.in_force()
        assert suppressed == sorted({kind for kind, _ in in_force})
        assert by == self.reference.acknowledged_by
        assert human in (None, "acknowledged" if by else "unacknowledged")
        kept = self._ask(
            "SELECT kind, cause FROM suppressions JOIN alarms USING (alarm_key)"
            " WHERE ended_at IS NULL AND subject_key = %s"
        )
        assert set(kept) == in_force

    @invariant()
    def record_is_a_chain(self) -> None:
        rows = self._ask(
            "SELECT region, from_state, to_state, t.transition_no FROM transitions t JOIN alarms USING (alarm_key)"
            " WHERE subject_key = %s ORDER BY t.transition_no"
        )
        assert [row[3] for row in rows] == list(range(1, len(rows) + 1))
        lines = [row for row in rows if row[0] == "suppression"]
        assert [row[2] for row in lines[:-1]] == [row[1] for row in lines[1:]]

    @invariant()
    def everybody_is_told_what_he_is_to_be_told(self) -> None:
        episodes: dict[int, tuple[int, bool]] = {
            number: (severity, is_open)
            for number, severity, is_open in self._ask(
                "SELECT e.episode, e.severity, e.cleared_at IS NULL FROM episodes e JOIN alarms USING (alarm_key)"
                " WHERE subject_key = %s"
            )
        }
        suppressed = bool(self.reference.in_force())
        for sink, before in self.told_before.items():
            told: list[Told] = self._ask(
                "SELECT o.episode, o.notice, o.severity"
                " FROM outbox o JOIN alarms USING (alarm_key) JOIN sinks USING (sink_key)"
                " WHERE subject_key = %s AND name = %s ORDER BY delivery_key",
                sink,
            )
            assert told[: len(before)] == before
            if suppressed:
                assert {notice for _, notice, _ in told[len(before) :]} <= {"clear"}
            for episode, (severity, is_open) in episodes.items():
                notices = [one for one in told if one[0] == episode]
                names = [one[1] for one in notices]
                assert names == sorted(names, key=["raise", "change", "clear"].index)
                assert names.count("raise") == (1 if names else 0)
                assert names.count("clear") == (1 if names and not is_open else 0)
                if is_open and not suppressed:
                    assert notices, f"{sink} has not been told of an open alarm"
                    last = notices[-1][2]
                    assert last == severity if sink == "city" else last >= severity
            self.told_before[sink] = told

    def _ask(self, query: str, *more: Any) -> list[Any]:
        return self.connection.execute(query.encode(), [self.subject, *more]).fetchall()


def test_regions_and_notices_whatever_happens(shard: Shard) -> None:
    with connect(shard.database, "test", autocommit=True) as connection:
        steps = settings(max_examples=settings().max_examples // 3, stateful_step_count=25)
        here = type("MachineHere", (Machine,), {"connection": connection})
        run_state_machine_as_test(here, settings=steps)
