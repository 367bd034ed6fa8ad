"""Record: an event happens to a case: its row is held, the step is taken, and written with what it changed.

Whoever only records (callbacks, receipts, reconciliation, overdue clocks) calls `apply`. What people do is told to the
platform as well: alerts/cases/acts.py. Each step enters the audit log by itself (0025_cases.sql).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any, Literal, get_args

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.cases.book import working_time
from alerts.cases.clocks import clock_of, prolonged, restarted
from alerts.cases.events import CaseEvent, Clock, ClockName, Noted, name_of
from alerts.cases.lifecycle import Refusal, Refused, Standing, Step, Unmoved, step
from alerts.cases.states import CaseState, Need
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

Cause = Literal["callback", "engine", "operator", "reconcile", "receipt"]


class NoSuchCaseError(LookupError):
    """There is no case with this key."""

    def __init__(self, case_key: int) -> None:
        super().__init__(f"case {case_key}: there is no such case")
        self.case_key = case_key


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a case, when it was, and what else its step says."""

    case_key: int
    event: CaseEvent
    at: datetime
    note: str = ""
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of it. `step_no`: None where there was nothing to record: it was so already, or was refused."""

    case_key: int
    alarm_key: int
    episode: int
    event: CaseEvent
    before: Standing
    after: Standing
    unmoved: Unmoved | None = None
    refused: Refusal | None = None
    step_no: int | None = None

    @property
    def event_name(self) -> str:
        return name_of(self.event)

    @property
    def moved(self) -> bool:
        return self.before.state is not self.after.state

    @property
    def ended(self) -> bool:
        """Whether the case is over by this, and was not before."""
        return self.after.ended and not self.before.ended


def apply(
    connection: Connection,
    case_key: int,
    event: CaseEvent,
    *,
    actor: str,
    cause: Cause,
    at: datetime,
    note: str = "",
    detail: Mapping[str, Any] | None = None,
) -> Applied:
    """Take one step in the caller's transaction. Raises NoSuchCaseError."""
    [applied] = apply_all(connection, [Happened(case_key, event, at, note, detail)], actor=actor, cause=cause)
    return applied


def apply_all(connection: Connection, happened: Sequence[Happened], *, actor: str, cause: Cause) -> list[Applied]:
    """The same for many events, of one case or of several, in their order."""
    if not happened:
        return []
    held = _lock(connection, {one.case_key for one in happened})
    done: list[Applied] = []
    steps: list[dict[str, Any]] = []
    changed: set[int] = set()
    for one in happened:
        row = held.get(one.case_key)
        if row is None:
            raise NoSuchCaseError(one.case_key)
        applied, line = _take(connection, row, one, actor, cause)
        if applied.after != applied.before or line is not None:
            changed.add(one.case_key)
        row.standing = applied.after
        if line is not None:
            steps.append(line)
        done.append(applied)
    if changed:
        rows = [_written(held[case_key]) for case_key in sorted(changed)]
        connection.execute(statement("cases.put"), {"rows": Jsonb(rows)})
    if steps:
        connection.execute(statement("cases.add_steps"), {"rows": Jsonb(steps)})
    return done


def hold(connection: Connection, case_keys: Iterable[int]) -> dict[int, Standing]:
    """These cases as they are, held for this transaction."""
    return {case_key: row.standing for case_key, row in _lock(connection, case_keys).items()}


@dataclass(slots=True)
class _Row:
    """A case that this transaction holds."""

    case_key: int
    alarm_key: int
    episode: int
    step_no: int
    filed_at: datetime | None
    standing: Standing
    stops: frozenset[str]


_CLOCKS: tuple[ClockName, ...] = ("arrive", "repair")
_SAID: dict[type, tuple[str, ...]] = {
    event: () if event is Noted else tuple(one.name for one in fields(event)) for event in get_args(CaseEvent)
}
"""What a step says of an event of each kind."""
_STANDING = tuple(name for name in Standing._fields if name not in ("filed", "refiled", *_CLOCKS))


def _lock(connection: Connection, case_keys: Iterable[int]) -> dict[int, _Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("cases.lock"), {"case_keys": sorted(case_keys)}).fetchall()
    return {
        row["case_key"]: _Row(
            row["case_key"],
            row["alarm_key"],
            row["episode"],
            row["step_no"],
            row["filed_at"],
            standing_of(row),
            frozenset(row["suspension_stops"]),
        )
        for row in rows
    }


def standing_of(row: Mapping[str, Any]) -> Standing:
    """A case's row, as its life goes by."""
    known: dict[str, Any] = {name: row[name] for name in _STANDING}
    known["state"] = CaseState(row["state"])
    known["known_state"] = CaseState(row["known_state"]) if row["known_state"] is not None else None
    known["needs_person"] = Need(row["needs_person"]) if row["needs_person"] is not None else None
    known |= {name: clock_of(row, name) for name in _CLOCKS}
    return Standing(filed=row["filed_at"] is not None, refiled=row["refiled"], **known)


def _take(
    connection: Connection, row: _Row, one: Happened, actor: str, cause: Cause
) -> tuple[Applied, dict[str, Any] | None]:
    """What the event makes of the case, and the line of its record; None: there is nothing to write down."""
    before = row.standing
    taken = step(before, one.event, one.at)
    if isinstance(taken, Refused):
        return Applied(row.case_key, row.alarm_key, row.episode, one.event, before, before, refused=taken.reason), None
    after = _with_clocks(connection, row, taken)
    if after.filed and row.filed_at is None:
        row.filed_at = one.at
        after = _from_now(connection, after, one.at)
    if taken.unmoved is Unmoved.repeated:
        return Applied(row.case_key, row.alarm_key, row.episode, one.event, before, after, taken.unmoved), None
    row.step_no += 1
    applied = Applied(
        row.case_key, row.alarm_key, row.episode, one.event, before, after, taken.unmoved, step_no=row.step_no
    )
    line = {
        "case_key": row.case_key,
        "step_no": row.step_no,
        "from_state": before.state,
        "to_state": after.state,
        "event": name_of(one.event),
        "at": one.at,
        "actor": actor,
        "cause": cause,
        "note": one.note,
        "detail": _detail(one, taken),
    }
    return applied, line


def _with_clocks(connection: Connection, row: _Row, taken: Step) -> Standing:
    """The clocks that a suspension had stopped go on from where they stood."""
    if taken.stopped is None:
        return taken.after
    since, until = taken.stopped
    changed: dict[str, Any] = {}
    for name in _CLOCKS:
        clock: Clock | None = getattr(taken.after, name)
        if clock is not None and name in row.stops:
            changed[name] = prolonged(clock, since, until, partial(working_time, connection))
    return taken.after._replace(**changed)


def _from_now(connection: Connection, case: Standing, at: datetime) -> Standing:
    """Its clocks begin: until it was filed, nobody could have set out."""
    clocks = {name: clock for name in _CLOCKS if (clock := getattr(case, name)) is not None}
    if not clocks:
        return case
    working = working_time(connection)
    begun: dict[str, Any] = {name: restarted(clock, at, working) for name, clock in clocks.items()}
    return case._replace(**begun)


def _detail(one: Happened, taken: Step) -> dict[str, Any]:
    said: dict[str, Any] = {
        name: value for name in _SAID[type(one.event)] if (value := getattr(one.event, name)) is not None
    }
    if taken.unmoved is not None:
        said["unmoved"] = taken.unmoved
    if taken.skipped:
        said["skipped"] = list(taken.skipped)
    return said | dict(one.detail or {})


def _written(row: _Row) -> dict[str, Any]:
    kept = row.standing._asdict()
    for name in ("filed", "refiled"):
        del kept[name]
    for name in _CLOCKS:
        clock: Clock | None = kept.pop(name)
        kept |= {
            f"{name}_by": clock.by if clock is not None else None,
            f"{name}_kind": clock.kind if clock is not None else None,
            f"{name}_amount": clock.amount if clock is not None else None,
        }
    return {"case_key": row.case_key, "step_no": row.step_no, "filed_at": row.filed_at} | kept
