"""Escalation: who is told that nobody has acknowledged an alarm, level by level, until somebody does.

A step of the city's thread (alerts/city). It looks only at what has changed since, reckons when each level's turn
comes (alerts/duty/ladder.py), and when one has come, tells whoever is on duty at that level (alerts/duty/telling.py): a
transition of the human region that changes nothing, an outbox row for each person's sink, and a row of `escalations`,
which by its unique index makes that a level is told once. After the last level it is told again every so often. All
of that is one commit, so that a restart forgets nothing and repeats nothing. Acknowledging, by a person or by the
platform, the end, and any suppression stop it.

People are waited for by the clock that stamps the record, not by the engine's, which silence is judged by. Was it set
back, what it had stamped before may be in the future: that is waited for anew, from when this is seen.

A city without a roster has no escalation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.duty.ladder import Ladder, Ladders, Waiting, again, next_turn, turns, waiting
from alerts.duty.receipts import tell_to_telephone, without_receipt
from alerts.duty.store import has_roster
from alerts.duty.telling import AGAIN, Telling, tell, write
from alerts.duty.watch import Reached, Watch, clear_covered, raise_uncovered
from alerts.record.locked import Alarm, Locked
from alerts.rulebook.book import rules_in_force
from alerts.rules import EscalationRule
from underfoot.alarms import Reason
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_CHANGED_TOGETHER = 2000
_DUE_TOGETHER = 200
_NOBODY_AGAIN_AFTER = timedelta(seconds=30)
_NOT_THE_FUTURE = timedelta(minutes=1)
"""A record is never so far ahead of its own clock, but where that was set back."""


def by_the_records_clock(connection: Connection, _: datetime) -> None:
    """`step`, at the time that the database would stamp now."""
    [(now,)] = connection.execute(statement("duty.clock")).fetchall()
    step(connection, now)


def step(connection: Connection, now: datetime) -> None:
    """One tick, in its caller's transaction."""
    ladders = _ladders(connection)
    if ladders is None or not has_roster(connection):
        connection.execute(statement("duty.drop_all_clocks"))
        clear_covered(connection, None, now)
        return
    connection.execute(statement("duty.drop_clocks"))
    _reckon(connection, ladders, now)
    due = _keys(connection, "duty.due", {"now": now, "limit": _DUE_TOGETHER})
    not_taken = without_receipt(connection, ladders.city, now)
    watch = None
    if due or not_taken:
        watch = Watch.load(connection, now)
        _tell_due(connection, ladders, watch, due)
        tell_to_telephone(connection, watch, not_taken)
        raise_uncovered(connection, watch)
    clear_covered(connection, watch, now)


def _ladders(connection: Connection) -> Ladders | None:
    found = (rule for rule in rules_in_force(connection) if isinstance(rule.rule, EscalationRule))
    rule = next(found, None)
    return None if rule is None else Ladders(rule)


# the clocks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """An alarm that nobody has acknowledged: `since` when by the record, and `waiting` without what that has in the
    future. `unanswered`: whom the last turn has told. `owed`: the sinks that have not taken yet what was told by them
    before."""

    alarm_key: int
    transition_no: int
    severity: int
    area: str | None
    since: datetime
    waiting: Waiting
    unanswered: tuple[str, ...]
    owed: frozenset[int]
    ladder: Ladder

    def due_at(self, told: Sequence[dict[str, Any]] = ()) -> datetime | None:
        """`told`: rows of `escalations` that are about to be written."""
        now = self.waiting
        for row in told:
            levels = now.told if row["cause"] else now.told | {row["level"]}
            now = replace(now, told=levels, told_at=row["told_at"])
        return next_turn(self.ladder, now)

    def clock(self, transition_no: int, due_at: datetime | None) -> dict[str, Any]:
        """A row of `escalation_clocks`."""
        since = self.waiting.since
        return {"alarm_key": self.alarm_key, "transition_no": transition_no, "due_at": due_at, "since": since}


def _cases(connection: Connection, ladders: Ladders, alarm_keys: list[int], now: datetime) -> list[_Case]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("duty.waiting"), {"alarm_keys": alarm_keys, "again": AGAIN}).fetchall()
    return [
        _Case(
            alarm_key=row["alarm_key"],
            transition_no=row["transition_no"],
            severity=row["severity"],
            area=row["area_code"],
            since=row["since"],
            waiting=_waiting(row, now),
            unanswered=tuple(one["person"] for one in row["told"][-1]["told"]) if row["told"] else (),
            owed=frozenset(row["owed"]),
            ladder=ladders.ladder(
                device_id=row["device_id"], area_code=row["area_code"] or "", tags=frozenset(row["tags"])
            ),
        )
        for row in rows
    ]


def _waiting(row: dict[str, Any], now: datetime) -> Waiting:
    latest = now + _NOT_THE_FUTURE
    on_record = row["since"]
    since = row["reckoned_since"] or on_record
    if since > latest:
        since = now

    def not_the_future(stamped: str) -> datetime:
        at = datetime.fromisoformat(stamped)
        return at if at <= latest else since

    changes = [(not_the_future(at), severity) for at, severity in row["changes"]]
    return waiting(
        since,
        # What it began with holds from `since` on, also when the time on record has come.
        [(at if at > on_record else since, severity) for at, severity in changes],
        [one["level"] for one in row["told"] if not one["again"]],
        not_the_future(row["told"][-1]["at"]) if row["told"] else None,
    )


def _reckon(connection: Connection, ladders: Ladders, now: datetime) -> None:
    """Say when the next turn of what has changed comes. What changes meanwhile is seen at the next tick."""
    params = {"ladder": ladders.stamp, "latest": now + _NOT_THE_FUTURE, "limit": _CHANGED_TOGETHER}
    changed = _keys(connection, "duty.changed", params)
    if changed:
        cases = _cases(connection, ladders, changed, now)
        _put_clocks(connection, ladders, now, [case.clock(case.transition_no, case.due_at()) for case in cases])


def _put_clocks(connection: Connection, ladders: Ladders, now: datetime, clocks: list[dict[str, Any]]) -> None:
    params = {"ladder": ladders.stamp, "now": now, "rows": Jsonb(clocks)}
    connection.execute(statement("duty.put_clocks"), params)


# telling -------------------------------------------------------------------------------------------------------------


def _tell_due(connection: Connection, ladders: Ladders, watch: Watch, due: list[int]) -> None:
    if not due:
        return
    locked = Locked(connection)
    locked.lock_keys(due)
    clocks: list[dict[str, Any]] = []
    tellings: list[dict[str, Any]] = []
    # Read once the alarms are held: whoever acknowledged a moment ago has stopped it.
    for case in _cases(connection, ladders, due, watch.now):
        alarm = locked[case.alarm_key]
        told = _take_turns(locked, alarm, case, watch)
        tellings += told
        due_at = case.due_at(told)
        if due_at is not None and due_at <= watch.now:
            due_at = watch.now + _NOBODY_AGAIN_AFTER
        clocks.append(case.clock(alarm.transition_no, due_at))
    write(connection, locked, tellings)
    _put_clocks(connection, ladders, watch.now, clocks)


def _take_turns(locked: Locked, alarm: Alarm, case: _Case, watch: Watch) -> list[dict[str, Any]]:
    """Tell the levels whose turn has come. One who is told at several of them at once has one message, the last."""
    come = sorted(turn.level for turn in turns(case.ladder.steps, case.waiting) if turn.at <= watch.now)
    whom = {level: watch.whom(case.area, level, case.severity) for level in come}
    last_of = {one.sink_key: level for level, reached in whom.items() for one in reached}
    unanswered = case.unanswered
    tellings = []
    for level, reached in whom.items():
        if not reached:
            continue  # nobody at this level or above: its turn stays, and is tried again
        sinks = [one.sink_key for one in reached if last_of[one.sink_key] == level]
        turn = Telling(Reason.escalated, "", case.since, level, reached, sinks, unanswered)
        tellings.append(tell(locked, alarm, turn, watch.now))
        unanswered = tuple(one.person.person.name for one in reached)
    return tellings or _tell_again(locked, alarm, case, watch)


def _tell_again(locked: Locked, alarm: Alarm, case: _Case, watch: Watch) -> list[dict[str, Any]]:
    """The last level's turn once more, where it has come; nobody there, the next one below at which somebody is."""
    turn = again(case.ladder, case.waiting)
    if turn is None or turn.at > watch.now:
        return []
    for level in range(turn.level, 0, -1):
        reached = _free(watch.whom(case.area, level, case.severity), case)
        if reached:
            sinks = [one.sink_key for one in reached]
            after = case.waiting.told_at
            telling = Telling(Reason.escalated, "", case.since, level, reached, sinks, case.unanswered, after=after)
            return [tell(locked, alarm, telling, watch.now)]
    return []


def _free(reached: list[Reached], case: _Case) -> list[Reached]:
    """Without those whose sink still owes them the last one: it would only have the same to say twice."""
    return [one for one in reached if one.sink_key not in case.owed]


def _keys(connection: Connection, name: str, params: dict[str, Any]) -> list[int]:
    return [row[0] for row in connection.execute(statement(name), params)]
