"""Clocks: when the two time limits of a case run out, and how they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from alerts.cases.book import WorkingTime
from alerts.cases.events import Clock, ClockName
from alerts.duty.calendar import TimeKind, add_work_time, deadline, work_time_between
from alerts.rules.filing import TimeLimit


def started(limit: TimeLimit | None, start: datetime, working: WorkingTime) -> Clock | None:
    """The clock of this limit, from `start` on."""
    if limit is None:
        return None
    by = deadline(start, limit.kind, limit.amount, working.calendar, working.hours)
    return Clock(by, limit.kind, limit.amount)


def restarted(clock: Clock, start: datetime, working: WorkingTime) -> Clock:
    """The same limit, from `start` on."""
    return replace(clock, by=deadline(start, clock.kind, clock.amount, working.calendar, working.hours))


def prolonged(clock: Clock, since: datetime, until: datetime, working_now: Callable[[], WorkingTime]) -> Clock:
    """A clock that stood still from `since` to `until` goes on: what was left then is left now."""
    if clock.by <= since:
        return clock
    if clock.kind in (TimeKind.urgent_hour, TimeKind.natural_day):
        return replace(clock, by=clock.by + (until - since))
    working = working_now()
    left = work_time_between(since, clock.by, working.calendar, working.hours)
    return replace(clock, by=add_work_time(until, left, working.calendar, working.hours))


@dataclass(frozen=True, slots=True)
class Reading:
    """A clock as it stands. `remaining`: until it runs out; below nothing, over it by so much. `stopped_since`: it
    stands still. `done_at`: what it waited for was done then, and it has stopped for good."""

    name: ClockName
    clock: Clock
    remaining: timedelta
    overdue: bool
    done_at: datetime | None
    stopped_since: datetime | None

    @property
    def running(self) -> bool:
        return self.done_at is None and self.stopped_since is None


def read(
    name: ClockName,
    clock: Clock | None,
    *,
    now: datetime,
    done_at: datetime | None,
    ended_at: datetime | None,
    suspended_since: datetime | None,
    stops: Iterable[str],
    marked: bool,
) -> Reading | None:
    """How a clock stands at `now`; None: there is no limit. `marked`: it was found to have run out before."""
    if clock is None:
        return None
    stopped = suspended_since if name in stops and done_at is None and ended_at is None else None
    at = next((when for when in (done_at, ended_at, stopped) if when is not None), now)
    remaining = clock.by - at
    return Reading(name, clock, remaining, marked or remaining < timedelta(), done_at or ended_at, stopped)


def clock_of(row: Mapping[str, Any], name: ClockName) -> Clock | None:
    """A clock of a case's row."""
    by = row[f"{name}_by"]
    return None if by is None else Clock(by, TimeKind(row[f"{name}_kind"]), row[f"{name}_amount"])


def reading_of(row: Mapping[str, Any], name: ClockName, now: datetime) -> Reading | None:
    """How a clock of a case's row stands at `now`; None: there is no limit."""
    return read(
        name,
        clock_of(row, name),
        now=now,
        done_at=row["arrived_at" if name == "arrive" else "handled_at"],
        ended_at=row["ended_at"],
        suspended_since=row["suspended_since"],
        stops=row["suspension_stops"],
        marked=row[f"{name}_overdue_at"] is not None,
    )
