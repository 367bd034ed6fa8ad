"""Lifecycle: what an event does to a case. Pure; alerts/cases/record.py writes what comes out (docs/cases.md).

Two sides say where a case is: the platform, whose word on what became of it counts, and our operators. Callbacks may be
lost, repeated and out of order, so the platform's statements are put in order by its own times, from what it last said
to what it says now by the shortest way that there is.

An end that we have brought about (the alarm cleared, a false alarm, an operator's cancellation) is open to the
platform's word until it has spoken; its own end is final.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from alerts.cases.events import (
    Arrived,
    Cancelled,
    CaseEvent,
    Clock,
    ClockName,
    ConditionOver,
    Duplicate,
    FalseAlarm,
    Handled,
    Merged,
    Needs,
    NoFalseAlarm,
    Noted,
    Overdue,
    Reached,
    Received,
    Recurred,
    Refiled,
    Resumed,
    Supervised,
    Suspended,
    Verified,
    Worsened,
)
from alerts.cases.states import BEFORE_DISPATCH, EDGES, FINAL, RANK, CaseState, EndedHow, Need

S = CaseState

# what it does --------------------------------------------------------------------------------------------------------


class Standing(NamedTuple):
    """A case as far as its life goes (columns of `cases`). `filed`: it is the platform's too, not only ours. `refiled`:
    its episode has a newer one."""

    state: CaseState
    filed: bool = True
    known_state: CaseState | None = None
    known_at: datetime | None = None
    arrived_at: datetime | None = None
    handled_at: datetime | None = None
    ended_at: datetime | None = None
    ended_how: EndedHow | None = None
    end_confirmed: bool = False
    condition_over_at: datetime | None = None
    false_alarm_at: datetime | None = None
    rework: int = 0
    supervised: bool = False
    suspended_since: datetime | None = None
    suspended_s: float = 0.0
    needs_person: Need | None = None
    level: int = 0
    arrive: Clock | None = None
    repair: Clock | None = None
    arrive_overdue_at: datetime | None = None
    repair_overdue_at: datetime | None = None
    sink_key: int | None = None
    platform_no: str | None = None
    duplicate_of: str | None = None
    merged_into: int | None = None
    refiled: bool = False

    @property
    def ended(self) -> bool:
        return self.ended_at is not None

    @property
    def answered(self) -> bool:
        """A platform has it, so that its end is the platform's to say."""
        return self.sink_key is not None

    @property
    def before_dispatch(self) -> bool:
        return self.state in BEFORE_DISPATCH


class Unmoved(StrEnum):
    """Why what is recorded moves nothing (`detail.unmoved` of its step)."""

    repeated = "repeated"
    older = "older"
    behind = "behind"
    after_end = "after_end"
    impossible = "impossible"


class Refusal(StrEnum):
    """Why somebody's act is not done."""

    ended = "ended"
    not_verified = "not_verified"
    dispatched = "dispatched"
    not_dispatched = "not_dispatched"
    not_suspended = "not_suspended"
    handled = "handled"
    alarm_over = "alarm_over"
    still_open = "still_open"
    in_incident = "in_incident"
    files_nothing = "files_nothing"


REFUSAL_LABELS: dict[Refusal, str] = {
    Refusal.ended: "案件已办结，不能再操作",
    Refusal.not_verified: "案件尚未核实，请先核实",
    Refusal.dispatched: "案件已派遣，须由平台撤销或结案",
    Refusal.not_dispatched: "案件尚未派遣，不能挂账",
    Refusal.not_suspended: "案件没有挂账",
    Refusal.handled: "案件已处置完成，不能挂账",
    Refusal.alarm_over: "告警已解除，不能再次立案",
    Refusal.still_open: "该告警仍有案件未办结，不能再次立案",
    Refusal.in_incident: "案件已并入险情案件，险情案件尚未办结，不能再次立案",
    Refusal.files_nothing: "按现行立案条件和告警级别，不予立案",
}


@dataclass(frozen=True, slots=True)
class Step:
    """What the event makes of the case. `unmoved`: why it makes nothing of its state; None where it did, or where the
    event is not about that. `skipped`: states of which nobody told us. `stopped`: a suspension that this ends."""

    after: Standing
    unmoved: Unmoved | None = None
    skipped: tuple[CaseState, ...] = ()
    stopped: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Refusal


def step(case: Standing, event: CaseEvent, at: datetime) -> Step | Refused:
    """What `event`, which was at `at`, makes of the case."""
    match event:
        case Reached():
            return _stays_ended(case, _reached(case, event, at))
        case Received(sink_key, platform_no):
            number = platform_no if platform_no is not None else case.platform_no
            return _facts(case, _known_there(case)._replace(sink_key=sink_key, platform_no=number))
        case ConditionOver():
            return _condition_over(case, at)
        case FalseAlarm():
            return _false_alarm(case, at)
        case NoFalseAlarm():
            return _no_false_alarm(case)
        case Worsened(level, arrive, repair):
            return _worsened(case, level, arrive, repair)
        case Overdue(clock):
            return _overdue(case, clock, at)
        case Supervised(on):
            return Refused(Refusal.ended) if case.ended else _facts(case, case._replace(supervised=on))
        case Recurred():
            return Step(case)
        case Refiled():
            return _refiled(case)
        case Needs(why):
            return _facts(case, case._replace(needs_person=why))
        case Noted(settles):
            return Step(case._replace(needs_person=None) if settles else case)
        case Duplicate(of):
            return _duplicate(case, of, at)
        case _:
            return _by_people(case, event, at)


def _facts(before: Standing, after: Standing) -> Step:
    return Step(after, Unmoved.repeated if after == before else None)


# our side ------------------------------------------------------------------------------------------------------------


def _by_people(
    case: Standing, event: Verified | Arrived | Handled | Suspended | Resumed | Cancelled | Merged, at: datetime
) -> Step | Refused:
    if case.ended:
        again = isinstance(event, Cancelled) and case.ended_how == "cancelled"
        return Step(case, Unmoved.repeated) if again else Refused(Refusal.ended)
    match event:
        case Verified():
            if case.filed:
                return Step(case, Unmoved.repeated)
            return Step(case._replace(state=S.pending_register, filed=True, needs_person=None))
        case Cancelled():
            if case.answered and not case.before_dispatch:
                return Refused(Refusal.dispatched)
            return _ended(case, "cancelled", at)
        case Merged(into):
            if not case.before_dispatch:
                return Refused(Refusal.dispatched)
            return _ended(case._replace(merged_into=into), "merged", at)
    return _crew(case, event, at) if case.filed else Refused(Refusal.not_verified)


def _crew(case: Standing, event: Arrived | Handled | Suspended | Resumed, at: datetime) -> Step | Refused:
    match event:
        case Arrived():
            after = case._replace(arrived_at=case.arrived_at or at)
            if RANK[case.state] < RANK[S.handling]:
                after = after._replace(state=S.handling)
            return _facts(case, after)
        case Handled():
            if RANK[case.state] >= RANK[S.handle_finish] and case.state is not S.check_not_pass:
                return Step(case, Unmoved.repeated)
            running, stopped = _running(case, at)
            after = running._replace(state=S.handle_finish, handled_at=at, arrived_at=case.arrived_at or at)
            return _checked_by_itself(after, at, stopped)
        case Suspended():
            if case.state is S.suspended:
                return Step(case, Unmoved.repeated)
            if RANK[case.state] >= RANK[S.handle_finish]:
                return Refused(Refusal.handled)
            if case.answered and case.before_dispatch:
                return Refused(Refusal.not_dispatched)
            return Step(case._replace(state=S.suspended, suspended_since=at))
        case Resumed():
            if case.state is not S.suspended:
                return Refused(Refusal.not_suspended)
            running, stopped = _running(case, at)
            after = running._replace(state=S.handling if case.arrived_at is not None else S.pending_handle)
            return Step(after, stopped=stopped)


def _ended(case: Standing, how: EndedHow, at: datetime, stopped: tuple[datetime, datetime] | None = None) -> Step:
    """We end it: the platform has not said so."""
    running, now_stopped = _running(case, at)
    state = S.closed if how == "closed" else S.cancelled
    return Step(
        running._replace(state=state, ended_at=at, ended_how=how, needs_person=None), stopped=stopped or now_stopped
    )


def _running(case: Standing, at: datetime) -> tuple[Standing, tuple[datetime, datetime] | None]:
    """Without its suspension, and which time that took."""
    since = case.suspended_since
    if since is None:
        return case, None
    until = max(at, since)
    taken = case.suspended_s + (until - since).total_seconds()
    return case._replace(suspended_since=None, suspended_s=taken), (since, until)


def _checked_by_itself(case: Standing, at: datetime, stopped: tuple[datetime, datetime] | None = None) -> Step:
    """What no platform checks is checked by the sensor: repaired, and the alarm is over."""
    over = case.condition_over_at is not None or case.false_alarm_at is not None
    if not case.answered and over and case.handled_at is not None:
        return _ended(case, "false_alarm" if case.false_alarm_at is not None else "closed", at, stopped)
    return Step(case, stopped=stopped)


def _condition_over(case: Standing, at: datetime) -> Step:
    if case.condition_over_at is not None:
        return Step(case, Unmoved.repeated)
    over = case._replace(condition_over_at=at)
    if case.needs_person is not None and case.needs_person.until_over:
        over = over._replace(needs_person=None)
    if case.ended:
        return Step(over, Unmoved.after_end)
    if case.before_dispatch:
        return _ended(over, "cancelled", at)
    return _checked_by_itself(over, at)


def _false_alarm(case: Standing, at: datetime) -> Step:
    if case.false_alarm_at is not None:
        return Step(case, Unmoved.repeated)
    found = case._replace(false_alarm_at=at)
    if case.ended:
        return Step(found._replace(needs_person=None), Unmoved.after_end)
    if case.before_dispatch or not case.answered:
        return _ended(found, "false_alarm", at)
    return Step(found)


def _no_false_alarm(case: Standing) -> Step:
    """What was ended for nothing, and is open, must be seen to by somebody."""
    if case.false_alarm_at is None:
        return Step(case, Unmoved.repeated)
    real = case._replace(false_alarm_at=None)
    if case.ended and case.ended_how == "false_alarm" and case.condition_over_at is None:
        real = real._replace(needs_person=Need.closed_while_open)
    return Step(real)


def _duplicate(case: Standing, of: str, at: datetime) -> Step | Refused:
    if case.ended:
        again = case.ended_how == "duplicate" and case.duplicate_of == of
        return Step(case, Unmoved.repeated) if again else Refused(Refusal.ended)
    return _ended(case._replace(duplicate_of=of), "duplicate", at)


def _worsened(case: Standing, level: int, arrive: Clock | None, repair: Clock | None) -> Step:
    if case.ended:
        return Step(case, Unmoved.after_end)
    after = case._replace(
        level=max(case.level, level),
        arrive=_sooner(case.arrive, arrive) if case.arrived_at is None else case.arrive,
        repair=_sooner(case.repair, repair) if case.handled_at is None else case.repair,
    )
    return _facts(case, after)


def _refiled(case: Standing) -> Step:
    """What somebody had to look at because nobody had it, the platform has again."""
    if not case.ended:
        return Step(case, Unmoved.impossible)
    settled = case.needs_person is not None and case.needs_person.until_over
    return Step(case._replace(refiled=True, needs_person=None if settled else case.needs_person))


def _sooner(one: Clock | None, other: Clock | None) -> Clock | None:
    return min((clock for clock in (one, other) if clock is not None), key=lambda clock: clock.by, default=None)


def _overdue(case: Standing, clock: ClockName, at: datetime) -> Step:
    done = case.arrived_at if clock == "arrive" else case.handled_at
    marked = case.arrive_overdue_at if clock == "arrive" else case.repair_overdue_at
    running = case.arrive if clock == "arrive" else case.repair
    if case.ended:
        return Step(case, Unmoved.after_end)
    if done is not None or marked is not None or running is None or at < running.by:
        return Step(case, Unmoved.repeated)
    if clock == "arrive":
        return Step(case._replace(arrive_overdue_at=at))
    return Step(case._replace(repair_overdue_at=at))


# the platform's side -------------------------------------------------------------------------------------------------


def _reached(case: Standing, said: Reached, at: datetime) -> Step:
    if case.end_confirmed:
        return Step(case, Unmoved.after_end)
    case, to = _known_there(case), said.to
    if to in FINAL:
        return _platform_ends(case, said, at)
    newer = case.known_at is None or at > case.known_at
    if not newer and case.known_at is not None and at < case.known_at:
        return Step(case, Unmoved.older)
    last = case.known_state or S.reported
    if to is last and case.known_state is not None:
        return Step(case._replace(known_at=at), Unmoved.repeated)
    way = way_between(last, to)
    if way is None:
        return Step(case, Unmoved.impossible)
    onward = RANK[to] > RANK[last]
    if not newer and not onward and len(way) > 2:
        return Step(case, Unmoved.older)
    known = case._replace(known_state=to, known_at=at)
    if case.ended:
        # Our own end and the platform's dispatch have crossed: somebody is on the way, so it is not over.
        if to in BEFORE_DISPATCH or case.ended_how not in ("cancelled", "false_alarm"):
            return Step(known, Unmoved.after_end)
        known = known._replace(ended_at=None, ended_how=None)
    elif not _turns(way) and not _beyond(case.state, to):
        return Step(known, Unmoved.behind)
    return _moved(known, to, at, way, said.rework)


def _stays_ended(case: Standing, taken: Step) -> Step:
    """What goes on in a newer case does not begin again: the platform's late word on this one is only known."""
    after = taken.after
    if not case.refiled or not case.ended or after.ended:
        return taken
    return Step(
        case._replace(filed=after.filed, known_state=after.known_state, known_at=after.known_at), Unmoved.after_end
    )


def _known_there(case: Standing) -> Standing:
    """What the platform speaks of, it has: no operator's 核实 stands in between any more."""
    if case.filed:
        return case
    need = None if case.needs_person is Need.verify else case.needs_person
    return case._replace(filed=True, needs_person=need)


@cache
def _turns(way: tuple[CaseState, ...]) -> bool:
    """Whether this way is no plain going on: what the platform takes back, or goes on with, is so for us too."""
    return any(RANK[one] <= RANK[before] for before, one in pairwise(way)) or way[-1] in (
        S.returned,
        S.check_not_pass,
        S.suspended,
    )


def _beyond(state: CaseState, to: CaseState) -> bool:
    return RANK[to] > RANK[state]


def _moved(case: Standing, to: CaseState, at: datetime, way: tuple[CaseState, ...], rework: int | None) -> Step:
    after, stopped = _running(case, at) if to is not S.suspended else (case, None)
    arrived_at = after.arrived_at
    if RANK[to] >= RANK[S.handling] and to not in (S.returned, S.suspended):
        arrived_at = arrived_at or at
    # What is told out of order within one second of the platform's clock may pass 返工 twice: its own count counts.
    passed = case.rework + sum(one is S.check_not_pass for one in way[1:])
    # 返工 and what is taken back: it is to be repaired again.
    again = to is S.check_not_pass or RANK[to] < RANK[S.handle_finish]
    after = after._replace(
        state=to,
        rework=passed if rework is None else max(case.rework, rework),
        suspended_since=case.suspended_since or at if to is S.suspended else after.suspended_since,
        arrived_at=arrived_at,
        handled_at=None if again else after.handled_at or at,
    )
    return Step(after, skipped=way[1:-1], stopped=stopped)


def _platform_ends(case: Standing, said: Reached, at: datetime) -> Step:
    to, how = said.to, _HOW[said.to] if said.duplicate_of is None else "duplicate"
    known = case._replace(known_state=to, known_at=at if case.known_at is None else max(at, case.known_at))
    if case.ended:
        # It agrees that it is over; why, we said first, but for a plain cancellation.
        if case.ended_how in ("cancelled", "closed"):
            known = known._replace(ended_how=how, duplicate_of=said.duplicate_of)
        return Step(known._replace(state=to, end_confirmed=True))
    after, stopped = _running(known, at)
    if how == "closed" and not case.before_dispatch:
        after = after._replace(arrived_at=after.arrived_at or at, handled_at=after.handled_at or at)
    if case.false_alarm_at is not None:
        how = "false_alarm"
    duplicate_of = said.duplicate_of if how == "duplicate" else None
    after = after._replace(state=to, ended_at=at, ended_how=how, end_confirmed=True, duplicate_of=duplicate_of)
    way = way_between(case.known_state or S.reported, to)
    return Step(
        after._replace(needs_person=_needed_after(case, how)),
        skipped=way[1:-1] if way is not None else (),
        stopped=stopped,
    )


_HOW: dict[CaseState, EndedHow] = {
    S.closed: "closed",
    S.forced_close: "forced_close",
    S.cancelled: "cancelled",
    S.not_accepted: "not_accepted",
}


def _needed_after(case: Standing, how: EndedHow) -> Need | None:
    """Why somebody must look at what the platform has ended. A citizen's case that goes on is about the same place."""
    if case.condition_over_at is None and how not in ("false_alarm", "duplicate"):
        return Need.not_accepted if how == "not_accepted" else Need.closed_while_open
    # Its end was owed to the verdict: who has still to see whether that holds, has.
    return case.needs_person if case.needs_person is Need.worse_after_false_alarm else None


@cache
def way_between(before: CaseState, after: CaseState) -> tuple[CaseState, ...] | None:
    """The shortest way, both ends included; None: there is none."""
    waiting: deque[tuple[CaseState, ...]] = deque([(before,)])
    seen = {before}
    while waiting:
        way = waiting.popleft()
        for following in EDGES[way[-1]]:
            if following is after:
                return (*way, following)
            if following not in seen:
                seen.add(following)
                waiting.append((*way, following))
    return None
