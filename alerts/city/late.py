"""Late: what several devices said together is judged again, once reports of any of them have come late.

A rule over several devices is judged on what is newest. A device's own past is judged again by its shard's holder, and
then handed on to here, as is a device whose reports came in order but long after they were true. Each rule that asks
it is judged again from then on (alerts/city/again.py), a little each tick: the present is never kept waiting.

A hazard that is over by then, and that nobody was told of, is on record and on the platform; an operator is asked about
it, too, where a device that does not number its reports may have had its clock set back: then it may not be over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg

from alerts.city.again import Again, Task
from alerts.city.concerned import Concerned
from alerts.history.amend import Missed
from alerts.judge.outcome import RuleInForce
from alerts.record.recorder import Recorder, failure
from alerts.rulebook.book import rule_as_last_known
from underfoot.alarms import Reason, Severity, SubjectKind
from underfoot.city_time import CITY_ZONE
from underfoot.reports import microseconds, moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

LATE_HAZARD = "city.late_hazard"
OF_AT_LEAST = Severity.orange
"""As of a single device's late hazard: who is asked of everything looks at nothing."""

EACH_TICK_S = 0.05
"""So much of a tick goes to the past, and one moment more."""
_TOGETHER = 50
"""Devices whose past is looked at together."""
_ANSWERS_EVERY = timedelta(seconds=10)


class Late:
    """Nothing of what is under way is kept: whoever takes over begins it anew, by the marks that are still there."""

    def __init__(self, concerned: Concerned) -> None:
        self._concerned = concerned
        self._marks: dict[int, tuple[datetime, datetime]] = {}
        self._rules: list[RuleInForce] = []
        self._to_do: Iterator[Task | None] | None = None
        self._again: tuple[Task, Again] | None = None
        self._answered_at: datetime | None = None

    def __call__(self, connection: Connection, now: datetime) -> None:
        try:
            self._work(connection, now, time.perf_counter() + EACH_TICK_S)
        except Exception:
            self._to_do = self._again = None
            raise
        if self._answered_at is None or not timedelta(0) <= now - self._answered_at < _ANSWERS_EVERY:
            self._answered_at = now
            self._answer(connection, now)

    def _work(self, connection: Connection, now: datetime, until_s: float) -> None:
        rules = self._concerned.rules(connection)
        if rules is not self._rules:
            self._rules, self._to_do, self._again = rules, None, None
        while self._again is not None or self._next(connection, now):
            if self._again is not None:
                self._go_on(connection, *self._again, now, until_s)
            if time.perf_counter() > until_s:
                return

    def _next(self, connection: Connection, now: datetime) -> bool:
        """One step towards what is next; False: there is nothing to do."""
        if self._to_do is None:
            rows = connection.execute(statement("city.late"), {"most": _TOGETHER}).fetchall()
            if not rows:
                return False
            self._marks = {key: (since, noted_at) for key, since, noted_at in rows}
            self._to_do = self._tasks(connection, now)
        try:
            task = next(self._to_do)
        except StopIteration:
            keys = list(self._marks)
            params = {"device_keys": keys, "noted_at": [self._marks[key][1] for key in keys]}
            connection.execute(statement("city.looked_at"), params)
            self._to_do = None
            return True
        if task is not None:
            self._again = (task, Again(connection, task))
        return True

    def _tasks(self, connection: Connection, now: datetime) -> Iterator[Task | None]:
        """One by one, as they are come to: each asks the database. None: there is none yet."""
        since = {key: since for key, (since, _) in self._marks.items()}
        for in_force in self._rules:
            of_rule = self._concerned.tasks(connection, in_force, since, now)
            task: Task | None = None
            while True:
                try:
                    with connection.transaction():
                        task = next(of_rule, None)
                except psycopg.OperationalError:
                    raise
                except Exception:
                    log.exception("city: whom rule %s concerns in the past could not be told", in_force.rule.rule_id)
                    task = None
                if task is None:
                    break
                yield task
            yield None

    def _go_on(self, connection: Connection, task: Task, again: Again, now: datetime, until_s: float) -> None:
        try:
            with connection.transaction():
                missed = again.go_on(connection, now, until_s)
                if missed is None:
                    return
                self._ask(connection, task, missed, now)
        except psycopg.OperationalError:
            raise
        except Exception:
            log.exception("city: rule %s could not be judged again", task.rule.rule.rule_id)
        self._again = None

    # operators ------------------------------------------------------------------------------------------------------

    def _ask(self, connection: Connection, task: Task, missed: list[Missed], now: datetime) -> None:
        """Put hazards to an operator. While that is open, what else is found joins it."""
        hazards = [one for one in missed if one.past.worst >= OF_AT_LEAST]
        uncounted = sorted(task.past.uncounted(self._marks))
        if not hazards or not uncounted:
            return
        rows = connection.execute(statement("city.newest_of"), {"device_keys": uncounted})
        waits_for = {str(key): microseconds(ts) for key, ts in rows}
        rule = rule_as_last_known(connection, LATE_HAZARD)
        asked = []
        for one in hazards:
            first = one.transitions[0]
            at = moment(one.past.raised_us).astimezone(CITY_ZONE)
            label = f"{first.rule.rule.title}（{Severity(one.past.worst).label}，{at:%m-%d %H:%M}起）"
            raised = failure(
                first.subject_kind,
                first.subject_key,
                rule,
                Reason.late_hazard,
                raised=True,
                at_us=one.past.raised_us,
                detail=label,
            )
            now_us = microseconds(now)
            known = {"of_rule": first.rule.rule.rule_id, "waits_for": waits_for, "received_us": now_us}
            asked.append(replace(raised, received_us=now_us, proof=raised.proof | known))
        Recorder(connection).record(asked)

    def _answer(self, connection: Connection, now: datetime) -> None:
        """Once the devices have said something newer, their clocks are not behind; what there is now is known."""
        waiting: dict[tuple[str, int], dict[int, int]] = {}
        rules: dict[tuple[str, int], set[str]] = {}
        for kind, key, waits_for, of_rule in connection.execute(statement("city.asked"), {"rule_id": LATE_HAZARD}):
            rules.setdefault((kind, key), set()).add(of_rule)
            known = waiting.setdefault((kind, key), {})
            for device, ts_us in waits_for.items():
                known[int(device)] = max(ts_us, known.get(int(device), 0))
        if not waiting:
            return
        keys = sorted({device for known in waiting.values() for device in known})
        rows = connection.execute(statement("city.newest_of"), {"device_keys": keys}).fetchall()
        newest = {key: microseconds(ts) for key, ts in rows}
        answered = [subject for subject, known in waiting.items() if _answered(known, newest)]
        over = []
        for kind, key in answered:
            params = {"kind": kind, "key": key, "rule_ids": sorted(rules[kind, key])}
            [(is_open,)] = connection.execute(statement("city.open_now"), params).fetchall()
            reason = Reason.newer_report_raised if is_open else Reason.newer_report_normal
            rule = rule_as_last_known(connection, LATE_HAZARD)
            now_us = microseconds(now)
            over.append(failure(SubjectKind(kind), key, rule, reason, raised=False, at_us=now_us, detail=""))
        Recorder(connection).record(over)


def _answered(waits_for: Mapping[int, int], newest: Mapping[int, int]) -> bool:
    return all(newest.get(device, ts_us) > ts_us for device, ts_us in waits_for.items())
