"""A case's life: against a slow and plain model, and by its promises one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.cases.events import (
    Arrived,
    Cancelled,
    CaseEvent,
    Clock,
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
    Refiled,
    Resumed,
    Supervised,
    Suspended,
    Verified,
    Worsened,
    name_of,
)
from alerts.cases.lifecycle import REFUSAL_LABELS, Refusal, Refused, Standing, Step, Unmoved, step, way_between
from alerts.cases.states import EDGES, ENDED_LABELS, FINAL, NEED_LABELS, STATE_LABELS, CaseState, Need
from alerts.duty.calendar import TimeKind
from tests.unit import slow_case

BEGAN = datetime(2026, 7, 1, 21, 38, tzinfo=UTC)
S = CaseState


def at(minutes: float) -> datetime:
    return BEGAN + timedelta(minutes=minutes)


def taken(case: Standing, event: CaseEvent, when: datetime) -> Standing:
    done = step(case, event, when)
    assert isinstance(done, Step), done
    return done.after


def along(*events: tuple[CaseEvent, float], case: Standing | None = None) -> Standing:
    standing = case if case is not None else Standing(S.reported)
    for event, minutes in events:
        standing = taken(standing, event, at(minutes))
    return standing


def said(*states: CaseState) -> Standing:
    """A case of which the platform has said this, minute by minute."""
    return along((Received(1, "A-1"), 0), *((Reached(state), number + 1) for number, state in enumerate(states)))


# against the model ---------------------------------------------------------------------------------------------------

OURS: dict[str, CaseEvent] = {
    "received": Received(1, "A-1"),
    "verified": Verified(),
    "condition_over": ConditionOver(),
    "false_alarm": FalseAlarm(),
    "cancelled": Cancelled(),
    "merged": Merged(99),
    "duplicate": Duplicate("C-7"),
    "refiled": Refiled(98),
    "arrived": Arrived(),
    "handled": Handled(),
    "suspended": Suspended(),
    "resumed": Resumed(),
}
EVENTS = st.one_of(
    st.tuples(st.sampled_from(sorted(OURS)), st.none()),
    st.tuples(st.just("reached"), st.sampled_from(slow_case.STATES)),
)


@given(st.booleans(), st.lists(st.tuples(EVENTS, st.integers(0, 12)), max_size=14))
def test_it_lives_as_the_slow_model_does(filed: bool, course: list[tuple[tuple[str, Any], int]]) -> None:
    case = Standing(S.reported if filed else S.pending_verify, filed=filed)
    model = slow_case.SlowCase(filed=filed)
    for (name, what), minutes in course:
        event = Reached(CaseState(what)) if name == "reached" else OURS[name]
        done = step(case, event, at(minutes))
        before, case = case, done.after if isinstance(done, Step) else case
        model.say(name, what, at(minutes))
        expected = model.now()
        got = {
            "state": case.state.value,
            "how": case.ended_how,
            "confirmed": case.end_confirmed,
            "arrived": case.arrived_at is not None,
            "handled": case.handled_at is not None,
            "rework": case.rework,
            "filed": case.filed,
        }
        assert got == expected, (name, what)
        _hold(before, case)


def _hold(before: Standing, after: Standing) -> None:
    """What holds whatever happens."""
    assert (after.ended_at is not None) == (after.state in FINAL) == (after.ended_how is not None)
    assert (after.suspended_since is not None) == (after.state is S.suspended)
    assert after.rework >= before.rework
    assert after.suspended_s >= before.suspended_s >= 0
    if before.end_confirmed:
        assert (after.state, after.ended_how, after.ended_at) == (before.state, before.ended_how, before.ended_at)
    if before.ended and not after.ended:
        assert before.ended_how in ("cancelled", "false_alarm")
        assert not before.refiled, "there would be two at a time"
        assert after.state not in (S.reported, S.pending_verify, S.pending_register, S.accepted, S.pending_dispatch)


@st.composite
def courses(draw: st.DrawFn) -> list[CaseState]:
    """A way that a platform may take a case, to its end."""
    course = [S.reported]
    while EDGES[course[-1]] and len(course) < 24:
        onward = [one for one in EDGES[course[-1]] if one not in FINAL or one is S.closed or len(course) > 3]
        course.append(draw(st.sampled_from(onward or list(EDGES[course[-1]]))))
    return course[1:]


@given(courses(), st.randoms(use_true_random=False), st.data())
def test_lost_repeated_and_reordered_statements_end_where_the_platform_ended(
    course: list[CaseState], draw: Any, data: st.DataObject
) -> None:
    statements = [(Reached(state), number + 1.0) for number, state in enumerate(course)]
    kept = [one for one in statements[:-1] if data.draw(st.booleans())]
    delivered = [*kept, *kept[:2], statements[-1], statements[-1]]
    draw.shuffle(delivered)
    case = along((Received(1, "A-1"), 0), *delivered)
    assert case.state is course[-1]
    assert case.end_confirmed == (course[-1] in FINAL)


# one by one ----------------------------------------------------------------------------------------------------------


def test_every_state_end_and_refusal_has_words() -> None:
    assert set(STATE_LABELS) == set(CaseState)
    assert set(NEED_LABELS) == set(Need)
    assert set(REFUSAL_LABELS) == set(Refusal)
    assert set(ENDED_LABELS) == {
        "closed",
        "forced_close",
        "cancelled",
        "not_accepted",
        "merged",
        "duplicate",
        "false_alarm",
    }
    assert {state: set(EDGES[state]) for state in CaseState} == {
        CaseState(one): {CaseState(other) for other in slow_case.next_of(one)} for one in slow_case.STATES
    }


def test_a_lost_callback_is_skipped_and_named() -> None:
    done = step(said(S.accepted), Reached(S.handling), at(9))
    assert isinstance(done, Step)
    assert done.skipped == (S.pending_dispatch, S.dispatched, S.pending_handle)
    assert (done.after.state, done.after.arrived_at) == (S.handling, at(9))


@pytest.mark.parametrize(
    ("to", "minutes", "why"),
    [
        (S.accepted, 0.5, Unmoved.older),
        (S.dispatched, 9, Unmoved.repeated),
        (S.accepted, 9, Unmoved.impossible),
    ],
)
def test_what_is_behind_moves_nothing(to: CaseState, minutes: float, why: Unmoved) -> None:
    done = step(said(S.accepted, S.pending_dispatch, S.dispatched), Reached(to), at(minutes))
    assert isinstance(done, Step)
    assert (done.unmoved, done.after.state) == (why, S.dispatched)


def test_the_platform_is_not_ahead_of_our_own_crew() -> None:
    case = along((Arrived(), 8), case=said(S.dispatched))
    done = step(case, Reached(S.pending_handle), at(9))
    assert isinstance(done, Step)
    assert (done.unmoved, done.after.state, done.after.known_state) == (Unmoved.behind, S.handling, S.pending_handle)


def test_rework_is_counted_also_where_its_callback_was_lost() -> None:
    checking = said(S.dispatched, S.handling, S.handle_finish, S.checking)
    told = along((Reached(S.check_not_pass), 6), (Reached(S.handling), 7), case=checking)
    lost = along((Reached(S.handling), 7), case=checking)
    assert (told.rework, lost.rework) == (1, 1)
    assert told.state is lost.state is S.handling
    assert told.handled_at is lost.handled_at is None, "it is to be repaired again"
    assert taken(told, Reached(S.handle_finish), at(20)).handled_at == at(20)


def test_suspension_counts_its_time() -> None:
    case = along((Suspended(), 10), case=said(S.dispatched))
    assert (case.state, case.suspended_since) == (S.suspended, at(10))
    done = step(case, Resumed(), at(70))
    assert isinstance(done, Step)
    assert (done.after.state, done.after.suspended_s, done.stopped) == (S.pending_handle, 3600, (at(10), at(70)))
    by_platform = step(along((Reached(S.suspended), 20), case=said(S.handling)), Reached(S.handling), at(50))
    assert isinstance(by_platform, Step)
    assert (by_platform.after.state, by_platform.after.suspended_s) == (S.handling, 1800)


def test_an_alarm_that_clears_before_dispatch_ends_its_case_and_after_it_waits_for_the_check() -> None:
    before = taken(said(S.accepted), ConditionOver(), at(5))
    assert (before.state, before.ended_how, before.ended_at, before.end_confirmed) == (
        S.cancelled,
        "cancelled",
        at(5),
        False,
    )
    after = taken(said(S.dispatched), ConditionOver(), at(5))
    assert (after.state, after.condition_over_at, after.ended) == (S.dispatched, at(5), False)
    assert taken(after, Reached(S.closed), at(60)).ended_how == "closed"


def test_our_cancellation_and_the_platforms_dispatch_cross() -> None:
    ours = taken(said(S.accepted), ConditionOver(), at(5))
    crossed = taken(ours, Reached(S.dispatched), at(4.9))
    assert (crossed.state, crossed.ended_at, crossed.ended_how) == (S.dispatched, None, None), "somebody is on the way"
    assert taken(crossed, Reached(S.closed), at(60)).end_confirmed
    agreed = taken(ours, Reached(S.cancelled), at(6))
    late = step(agreed, Reached(S.dispatched), at(4.9))
    assert isinstance(late, Step)
    assert (late.unmoved, late.after) == (Unmoved.after_end, agreed)
    as_closed = taken(ours, Reached(S.closed), at(6))
    assert (as_closed.state, as_closed.ended_how, as_closed.ended_at) == (S.closed, "closed", at(5)), "its word counts"


def test_what_was_filed_again_stays_ended_and_is_no_longer_looked_at() -> None:
    ended = taken(said(S.pending_register), Reached(S.not_accepted), at(5))
    refiled = taken(ended, Refiled(98), at(6))
    assert (ended.needs_person, refiled.needs_person) == (Need.not_accepted, None)
    kept = along((Needs(Need.goes_on_there), 7), (Refiled(98), 8), case=ended)
    assert kept.needs_person is Need.goes_on_there, "that is about this one"
    ours = along((Cancelled(), 5), (Refiled(98), 6), case=said(S.accepted))
    crossed = step(ours, Reached(S.dispatched), at(7))
    assert isinstance(crossed, Step)
    assert (crossed.unmoved, crossed.after.state, crossed.after.known_state) == (
        Unmoved.after_end,
        S.cancelled,
        S.dispatched,
    )
    assert taken(crossed.after, Reached(S.closed), at(8)).end_confirmed
    running = step(said(S.accepted), Refiled(98), at(5))
    assert isinstance(running, Step)
    assert (running.unmoved, running.after) == (Unmoved.impossible, said(S.accepted))


def test_a_doubted_verdict_is_doubted_past_the_platform_s_end() -> None:
    doubted = along((FalseAlarm(), 5), (Needs(Need.worse_after_false_alarm), 6), case=said(S.dispatched))
    closed = taken(doubted, Reached(S.closed), at(9))
    assert (closed.ended_how, closed.needs_person) == ("false_alarm", Need.worse_after_false_alarm)
    assert taken(closed, ConditionOver(), at(10)).needs_person is None


@pytest.mark.parametrize("end", [Merged(7), Duplicate("C-7")])
def test_what_goes_on_in_another_case_does_not_begin_again(end: CaseEvent) -> None:
    case = taken(said(S.accepted), end, at(5))
    crossed = step(case, Reached(S.dispatched), at(6))
    assert isinstance(crossed, Step)
    assert (crossed.unmoved, crossed.after.state) == (Unmoved.after_end, S.cancelled)
    confirmed = taken(case, Reached(S.closed), at(7))
    assert (confirmed.state, confirmed.ended_how, confirmed.end_confirmed) == (S.closed, case.ended_how, True)


def test_only_who_has_not_been_sent_is_cancelled_or_merged_by_us() -> None:
    for event in (Cancelled(), Merged(7)):
        assert step(said(S.dispatched), event, at(9)) == Refused(Refusal.dispatched)
        assert taken(said(S.pending_dispatch), event, at(9)).state is S.cancelled


def test_a_false_alarm() -> None:
    early = taken(said(S.accepted), FalseAlarm(), at(5))
    assert (early.state, early.ended_how) == (S.cancelled, "false_alarm")
    late = taken(said(S.dispatched), FalseAlarm(), at(5))
    assert (late.ended, late.false_alarm_at) == (False, at(5)), "the platform calls its people back"
    assert taken(late, Reached(S.closed), at(9)).ended_how == "false_alarm"
    taken_back = taken(early, NoFalseAlarm(), at(6))
    assert taken_back.needs_person is Need.closed_while_open, "it is open, and nobody goes there"


@pytest.mark.parametrize(
    ("end", "need"),
    [
        (S.not_accepted, Need.not_accepted),
        (S.closed, Need.closed_while_open),
        (S.forced_close, Need.closed_while_open),
        (S.cancelled, Need.closed_while_open),
    ],
)
def test_a_person_must_look_where_the_platform_ends_what_is_still_open(end: CaseState, need: Need) -> None:
    open_still = taken(said(S.pending_register), Reached(end), at(9))
    assert (open_still.ended, open_still.needs_person) == (True, need)
    assert taken(open_still, ConditionOver(), at(20)).needs_person is None
    assert taken(open_still, Noted(settles=True), at(20)).needs_person is None
    over = along((ConditionOver(), 8), (Reached(end), 9), case=said(S.dispatched))
    assert over.needs_person is None


@pytest.mark.parametrize("end", [S.not_accepted, S.cancelled, S.closed])
def test_what_the_platform_ends_for_a_citizens_case_needs_nobody(end: CaseState) -> None:
    reached = Reached(end, duplicate_of="C-7")
    ended = taken(said(S.pending_register), reached, at(9))
    assert (ended.state, ended.ended_how, ended.duplicate_of) == (end, "duplicate", "C-7")
    assert (ended.end_confirmed, ended.needs_person) == (True, None)
    agreed = along((Cancelled(), 8), (reached, 9), case=said(S.accepted))
    assert (agreed.ended_how, agreed.duplicate_of, agreed.end_confirmed) == ("duplicate", "C-7", True)
    linked_first = along((Duplicate("C-1"), 8), (reached, 9), case=said(S.accepted))
    assert (linked_first.ended_how, linked_first.duplicate_of) == ("duplicate", "C-1"), "ours was said first"
    for event, how in ((FalseAlarm(), "false_alarm"), (Merged(99), "merged")):
        kept = along((event, 8), (reached, 9), case=said(S.accepted))
        assert (kept.ended_how, kept.duplicate_of, kept.end_confirmed) == (how, None, True)
    judged = along((FalseAlarm(), 8), (reached, 9), case=said(S.dispatched))
    assert (judged.ended_how, judged.duplicate_of) == ("false_alarm", None)


def test_what_no_platform_has_is_checked_by_its_own_sensor() -> None:
    repaired_first = along((Arrived(), 5), (Handled(), 30))
    assert repaired_first.state is S.handle_finish
    closed = taken(repaired_first, ConditionOver(), at(31))
    assert (closed.state, closed.ended_how, closed.handled_at) == (S.closed, "closed", at(30))
    over_first = along((Arrived(), 5), (ConditionOver(), 20), (Handled(), 30))
    assert (over_first.state, over_first.ended_at) == (S.closed, at(30))
    on_platform = along((Handled(), 30), (ConditionOver(), 31), case=said(S.dispatched))
    assert on_platform.state is S.handle_finish, "there its own 核查 ends it"


def test_verification_comes_first() -> None:
    case = Standing(S.pending_verify, filed=False, needs_person=Need.verify)
    for event in (Arrived(), Handled(), Suspended(), Resumed()):
        assert step(case, event, at(1)) == Refused(Refusal.not_verified)
    verified = taken(case, Verified(), at(2))
    assert (verified.state, verified.filed, verified.needs_person) == (S.pending_register, True, None)
    again = step(verified, Verified(), at(3))
    assert isinstance(again, Step)
    assert again.unmoved is Unmoved.repeated
    assert taken(case, ConditionOver(), at(2)).ended_how == "cancelled"


@pytest.mark.parametrize("event", [Verified(), Arrived(), Handled(), Suspended(), Resumed(), Merged(3), Supervised()])
def test_nobody_does_anything_to_what_is_over(event: CaseEvent) -> None:
    assert step(said(S.closed), event, at(9)) == Refused(Refusal.ended)


def test_acts_are_once() -> None:
    for case, event in (
        (said(S.handling), Arrived()),
        (said(S.handle_finish), Handled()),
        (along((Suspended(), 5), case=said(S.handling)), Suspended()),
        (along((Supervised(), 5), case=said(S.handling)), Supervised()),
        (along((Cancelled(), 5), case=said(S.accepted)), Cancelled()),
        (along((Duplicate("C-7"), 5), case=said(S.accepted)), Duplicate("C-7")),
        (along((FalseAlarm(), 5), case=said(S.accepted)), FalseAlarm()),
        (said(S.accepted), Received(1, "A-1")),
    ):
        done = step(case, event, at(30))
        assert isinstance(done, Step)
        assert (done.unmoved, done.after) == (Unmoved.repeated, case), event


def test_suspending_needs_somebody_who_was_sent() -> None:
    assert step(said(S.accepted), Suspended(), at(5)) == Refused(Refusal.not_dispatched)
    assert step(said(S.handling), Resumed(), at(5)) == Refused(Refusal.not_suspended)
    assert step(said(S.checking), Suspended(), at(5)) == Refused(Refusal.handled)
    assert along((Suspended(), 5)).state is S.suspended, "what no platform has, we suspend ourselves"


def test_each_clock_is_overdue_once_and_only_while_it_runs() -> None:
    case = Standing(
        S.dispatched,
        arrive=Clock(at(30), TimeKind.urgent_hour, 0.5),
        repair=Clock(at(360), TimeKind.urgent_hour, 6),
    )
    assert taken(case, Overdue("arrive"), at(29)).arrive_overdue_at is None, "it was prolonged meanwhile"
    marked = along((Overdue("arrive"), 30), (Overdue("arrive"), 40), (Overdue("repair"), 360), case=case)
    assert (marked.arrive_overdue_at, marked.repair_overdue_at) == (at(30), at(360))
    there = along((Arrived(), 20), (Overdue("arrive"), 30), case=case)
    assert there.arrive_overdue_at is None
    assert (name_of(Overdue("arrive")), name_of(Overdue("repair"))) == ("overdue_arrive", "overdue_repair")


def test_a_worse_alarm_has_the_sooner_clock_and_the_higher_level() -> None:
    soon, late = Clock(at(40), TimeKind.urgent_hour, 0.5), Clock(at(120), TimeKind.urgent_hour, 2)
    case = Standing(S.dispatched, level=1, arrive=late, repair=None)
    worse = taken(case, Worsened(2, soon, soon), at(10))
    assert (worse.level, worse.arrive, worse.repair) == (2, soon, soon)
    assert taken(worse, Worsened(0, late, late), at(11)) == worse
    there = taken(taken(case, Arrived(), at(5)), Worsened(2, soon, None), at(10))
    assert there.arrive == late, "who is there need not arrive again"


def test_what_a_person_must_look_at_stays_until_it_is_settled() -> None:
    case = taken(said(S.dispatched), Needs(Need.not_on_platform), at(5))
    assert case.needs_person is Need.not_on_platform
    assert taken(case, ConditionOver(), at(6)).needs_person is Need.not_on_platform
    assert taken(case, Noted(), at(7)).needs_person is Need.not_on_platform
    assert taken(case, Noted(settles=True), at(7)).needs_person is None


def test_every_way_goes_by_the_edges() -> None:
    for before in CaseState:
        for after in CaseState:
            way = way_between(before, after)
            expected = slow_case.shortest(before, after) if before is not after else None
            if before is after:
                continue
            assert (way is None) == (expected is None), (before, after)
            if way is not None and expected is not None:
                assert len(way) == len(expected), (before, after)
                assert all(onward in EDGES[one] for one, onward in pairwise(way))


def test_the_platforms_own_count_of_rework_counts() -> None:
    """Its clock goes by seconds: of what was told out of order within one, nobody else can say how often it was."""
    case = said(S.accepted, S.dispatched, S.handling, S.handle_finish)
    for rework, expected in ((1, 1), (None, 2)):
        again = taken(case, Reached(S.handling, rework), at(9))  # its check_not_pass has not come yet
        assert again.rework == 1
        assert taken(again, Reached(S.check_not_pass, rework), at(9)).rework == expected
