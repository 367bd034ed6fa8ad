"""The three regions of one alarm against a slow reference that keeps all that has come and looks back over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import TypeAdapter

from alerts.judge.flapping import BEGINS_AT, CALM, OVER_BELOW, share
from alerts.judge.transition import (
    NORMAL,
    Change,
    Changes,
    Flapped,
    Limits,
    Sample,
    State,
    due_us,
    fitted,
    on_sample,
    on_silence,
)
from alerts.record.recorder import state_from_json
from alerts.regions.human import UNSEEN, acknowledge, realarm, severity_rose, unacknowledge
from alerts.regions.suppression import InForce, Region, begun, found, kinds, of_kind, outgrown, without
from tests.unit.reference_alarm import People, ReferenceCondition, Suppressed
from underfoot.alarms import Condition, Reason, Severity, Suppression

SECOND = 1_000_000
START = 1_780_000_000 * SECOND


def limits(
    *reach: float,
    band: float = 0.0,
    on_s: float = 0.0,
    samples: int = 1,
    off_s: float = 0.0,
    off_samples: int = 1,
    by_silence: bool = False,
) -> Limits:
    return Limits(
        reach=reach,
        leave=tuple(limit - band for limit in reach),
        severity=tuple(range(1, len(reach) + 1)),
        on_delay_us=tuple(int(on_s * SECOND) for _ in reach),
        samples=tuple(samples for _ in reach),
        off_delay_us=int(off_s * SECOND),
        off_samples=off_samples,
        by_silence=by_silence,
        calm_us=3600 * SECOND,
    )


def sample(value: float, at_s: float, received_s: float | None = None) -> Sample:
    at_us = START + int(at_s * SECOND)
    received_us = at_us if received_s is None else START + int(received_s * SECOND)
    return Sample(value, at_us, received_us, {"value": value, "ts_us": at_us})


@st.composite
def some_limits(draw: st.DrawFn) -> Limits:
    count = draw(st.integers(1, 4))
    reach = sorted(draw(st.lists(st.integers(0, 20), min_size=count, max_size=count, unique=True)))
    # Each level is left before the one below it, as rules.py demands.
    leave: list[float] = []
    for limit in reach:
        lowest = leave[-1] + 1 if leave else limit - 4
        leave.append(draw(st.integers(int(min(lowest, limit)), limit)))
    delay = st.sampled_from([0, 0, 1, 3, 10])
    return Limits(
        reach=tuple(float(limit) for limit in reach),
        leave=tuple(float(limit) for limit in leave),
        severity=tuple(range(1, count + 1)),
        on_delay_us=tuple(draw(delay) * SECOND for _ in reach),
        samples=tuple(draw(st.integers(1, 3)) for _ in reach),
        off_delay_us=draw(delay) * SECOND,
        off_samples=draw(st.integers(1, 3)),
        by_silence=draw(st.booleans()),
        calm_us=draw(st.sampled_from([5, 40, 3600])) * SECOND,
    )


KINDS = st.sampled_from([Suppression.shelved, Suppression.by_design, Suppression.out_of_service])


class Alarm(RuleBasedStateMachine):
    """The three regions of one alarm: samples and silences in any order, what people and causes do to it meanwhile, and
    a restart (the condition by way of JSON) at any time."""

    @initialize(limits=some_limits())
    def begin(self, limits: Limits) -> None:
        self.limits = limits
        self.state, self.seen = NORMAL, UNSEEN
        self.region: Region = ()
        self.reference = ReferenceCondition(limits)
        self.people, self.suppressed = People(), Suppressed()
        self.at_us = START
        self.now_us = START
        self.condition, self.level = Condition.normal, 0

    # condition ------------------------------------------------------------------------------------------------------

    @rule(value=st.integers(-5, 25), after_s=st.integers(0, 5), way_s=st.integers(0, 3))
    def report(self, value: int, after_s: int, way_s: int) -> None:
        """A report `after_s` after the last one, by the device's clock; it took `way_s` to reach us."""
        self._report(value, after_s, way_s)

    @rule(high=st.integers(15, 25), low=st.integers(-5, 5), times=st.integers(2, 12), after_s=st.integers(0, 11))
    def sways(self, high: int, low: int, times: int, after_s: int) -> None:
        for _ in range(times):
            self._report(high, after_s, 0)
            self._report(low, after_s, 0)

    def _report(self, value: int, after_s: int, way_s: int) -> None:
        self.at_us += after_s * SECOND
        self.now_us = max(self.now_us, self.at_us) + way_s * SECOND
        one = Sample(float(value), self.at_us, self.now_us, {"value": value})
        self.state, changes = on_sample(self.limits, self.state, one)
        self.reference.report(one)
        self._chained(changes)
        assert all(change.at_us <= one.at_us for change in changes), "nothing is proven beyond the newest report"

    @rule(seconds=st.integers(0, 60))
    def silence(self, seconds: int) -> None:
        self.now_us += seconds * SECOND
        due = due_us(self.limits, self.state)
        self.state, changes = on_silence(self.limits, self.state, self.now_us)
        self._chained(changes)
        assert on_silence(self.limits, self.state, self.now_us) == (self.state, []), "all of it at once"
        self.reference.silence(self.now_us)
        assert bool(changes) == (due is not None and due <= self.now_us), "what is due is when something is proven"

    @rule()
    def restart(self) -> None:
        stored = TypeAdapter(State).dump_json(self.state)
        loaded = state_from_json(TypeAdapter(dict).validate_json(stored), len(self.limits.reach))
        assert loaded == self.state
        self.state = loaded

    def _chained(self, changes: Changes) -> None:
        """Each change begins where the one before it ended; what follows from it in the other regions."""
        for change in changes:
            if isinstance(change, Flapped):
                self._flapped(change)
                continue
            assert (change.before, change.level_before) == (self.condition, self.level)
            assert (change.before, change.level_before) != (change.after, change.level), "a change changes something"
            self.condition, self.level = change.after, change.level
            assert (change.level == 0) == (change.after in (Condition.normal, Condition.pending))
            rises = {Reason.limit_reached, Reason.severity_rose, Reason.held_in_silence, Reason.back_over_limit}
            if change.level != change.level_before:
                assert (change.reason in rises) == (change.level > change.level_before)
            if change.level > change.level_before:
                self._rises(change)

    def _rises(self, change: Change) -> None:
        if change.level_before == 0:
            self.seen = UNSEEN
            self.people.begins()
        elif (taken_back := severity_rose(self.seen)) is not None:
            self.seen = taken_back.after
        if change.level_before:
            self.people.severity_rises()
        severity = self.limits.severity[change.level - 1]
        self.region = without(self.region, outgrown(self.region, severity))
        self.suppressed.severity_is(severity)

    def _flapped(self, change: Flapped) -> None:
        if change.began:
            assert not of_kind(self.region, Suppression.flapping), "once"
            self.region = begun(self.region, InForce(Suppression.flapping))
            self.suppressed.begins(Suppression.flapping)
        else:
            assert of_kind(self.region, Suppression.flapping), "what has begun"
            self.region = without(self.region, of_kind(self.region, Suppression.flapping))
            self.suppressed.ends(Suppression.flapping)

    # people and causes ----------------------------------------------------------------------------------------------

    @rule()
    def acknowledged(self) -> None:
        change = acknowledge(self.seen, "li", datetime(2026, 7, 1, tzinfo=UTC))
        self.seen = change.after if change is not None else self.seen
        self.people.acknowledge()

    @rule()
    def taken_back(self) -> None:
        change = unacknowledge(self.seen)
        self.seen = change.after if change is not None else self.seen
        self.people.unacknowledge()

    @rule()
    def reminded_of(self) -> None:
        """A day later it is there still."""
        now = datetime(2026, 7, 2, tzinfo=UTC)
        change = realarm(self.seen, is_open=bool(self.level), after=timedelta(hours=1), now=now)
        self.seen = change.after if change is not None else self.seen
        if self.reference.level:
            self.people.realarms()

    @rule(kind=KINDS, cause=st.sampled_from(["", "order:1", "order:2"]))
    def suppresses(self, kind: Suppression, cause: str) -> None:
        severity = self.limits.severity[self.level - 1] if self.level else None
        if found(self.region, kind, cause) is None:
            self.region = begun(self.region, InForce(kind, cause, severity))
            unknown = Severity.orange if kind is Suppression.by_design else Severity.red
            self.suppressed.begins(kind, cause, bears=severity if severity is not None else unknown)

    @rule(kind=KINDS, cause=st.sampled_from([None, "", "order:1", "order:2"]))
    def is_over(self, kind: Suppression, cause: str | None) -> None:
        self.region = without(self.region, of_kind(self.region, kind, cause))
        self.suppressed.ends(kind, cause)

    # what must hold -------------------------------------------------------------------------------------------------

    @invariant()
    def as_the_reference(self) -> None:
        if not hasattr(self, "reference"):
            return
        reference = self.reference
        assert (self.state.level, self.state.condition) == (reference.level, reference.condition)
        assert (self.condition, self.level) == (self.state.condition, self.state.level), "every change was named"
        assert self.state.settled == (not any((*self.state.rising, *self.state.falling)))
        assert self.state.history.flapping == reference.flapping
        assert self.seen.human is self.people.human
        assert list(kinds(self.region)) == self.suppressed.kinds
        assert (Suppression.flapping in kinds(self.region)) == reference.flapping


TestAlarm = Alarm.TestCase


def play(rules: Limits, *samples: Sample) -> tuple[State, Changes]:
    state = NORMAL
    seen: Changes = []
    for one in samples:
        state, changes = on_sample(rules, state, one)
        seen += changes
    return state, seen


def words(changes: Changes) -> list[tuple[Reason, Condition, int]]:
    return [(change.reason, change.after, change.level) for change in changes if isinstance(change, Change)]


def plain(state: State) -> State:
    """But for what flapping is seen by."""
    return replace(state, history=CALM)


def test_value_at_the_limit_is_over_it() -> None:
    state, changes = play(limits(5), sample(5, 0))
    assert words(changes) == [(Reason.limit_reached, Condition.active, 1)]
    assert plain(state) == State(level=1)


def test_dead_band_keeps_the_episode() -> None:
    rules = limits(5, band=2)
    state, changes = play(rules, sample(6, 0), sample(3, 1), sample(4.9, 2))
    assert plain(state) == State(level=1)
    assert len(changes) == 1
    assert words(on_sample(rules, state, sample(2.99, 3))[1]) == [(Reason.below_limit, Condition.normal, 0)]


def test_delay_and_samples_are_both_needed() -> None:
    rules = limits(5, on_s=3, samples=3)
    assert words(play(rules, sample(6, 0), sample(6, 10))[1]) == [(Reason.limit_reached, Condition.pending, 0)]
    assert play(rules, sample(6, 0), sample(6, 1), sample(6, 2))[0].condition == Condition.pending
    assert play(rules, sample(6, 0), sample(6, 1), sample(6, 3))[0].level == 1


def test_an_interruption_begins_again() -> None:
    rules = limits(5, on_s=3)
    state, changes = play(rules, sample(6, 0), sample(4, 2), sample(6, 4), sample(6, 6))
    assert state.condition == Condition.pending
    assert words(changes) == [
        (Reason.limit_reached, Condition.pending, 0),
        (Reason.below_limit, Condition.normal, 0),
        (Reason.limit_reached, Condition.pending, 0),
    ]


def test_buffered_sample_does_not_fire_by_its_age() -> None:
    """A duration is between device times: a sample that was an hour on its way has not held for an hour."""
    rules = limits(5, on_s=600)
    state, _ = play(rules, sample(6, 0, received_s=3600))
    assert state.condition == Condition.pending
    assert on_silence(rules, state, START + 9_000 * SECOND) == (state, []), "and this rule goes by samples"


def test_silence_counts_from_receipt() -> None:
    rules = limits(5, on_s=600, by_silence=True)
    state, _ = play(rules, sample(6, 0, received_s=3600))
    assert due_us(rules, state) == START + 4200 * SECOND
    assert on_silence(rules, state, START + 4199 * SECOND)[1] == []
    after, changes = on_silence(rules, state, START + 4200 * SECOND)
    assert words(changes) == [(Reason.held_in_silence, Condition.active, 1)]
    assert changes[0].at_us == START, "it has been so since the report, by the device's clock"
    assert plain(after) == State(level=1)


def test_back_over_the_limit_is_the_same_episode() -> None:
    rules = limits(5, band=2, off_s=600)
    _, changes = play(rules, sample(6, 0), sample(2, 10), sample(3, 20), sample(2, 30), sample(2, 630))
    assert words(changes) == [
        (Reason.limit_reached, Condition.active, 1),
        (Reason.below_limit, Condition.clearing, 1),
        (Reason.back_over_limit, Condition.active, 1),
        (Reason.below_limit, Condition.clearing, 1),
        (Reason.below_limit, Condition.normal, 0),
    ]


def test_a_level_is_left_for_the_one_below() -> None:
    rules = limits(5, 15, 27, band=3)
    _, changes = play(rules, sample(30, 0), sample(14, 10), sample(1, 20))
    assert words(changes) == [
        (Reason.limit_reached, Condition.active, 3),
        (Reason.severity_fell, Condition.active, 2),
        (Reason.below_limit, Condition.normal, 0),
    ]


def test_gauge_that_dries_and_sleeps_is_cleared_by_silence() -> None:
    """Draining past one level and then dry: the last report, then nothing. No level may be left open for ever."""
    rules = limits(5, 15, 27, 40, band=3, off_s=600, by_silence=True)
    state, _ = play(rules, sample(41, 0), sample(30, 60), sample(0, 120))
    assert state.condition == Condition.clearing
    state, changes = on_silence(rules, state, START + 660 * SECOND)
    assert words(changes) == [(Reason.severity_fell, Condition.clearing, 3)]
    assert due_us(rules, state) == START + 720 * SECOND
    state, changes = on_silence(rules, state, START + 720 * SECOND)
    assert words(changes) == [(Reason.clear_in_silence, Condition.normal, 0)]
    assert changes[0].at_us == START + 120 * SECOND
    assert plain(state) == NORMAL


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_state_of_a_rule_that_has_other_levels_now(levels: int) -> None:
    """A new version with fewer or more levels keeps the episode, and forgets what was on its way."""
    rules = limits(5, 15, 27, 40, band=3, off_s=600)
    state, _ = play(rules, sample(41, 0), sample(0, 60))
    stored = TypeAdapter(State).dump_python(state, mode="json")
    assert state_from_json(stored, 4) == state
    assert plain(state_from_json(stored, levels)) == State(level=levels)


def test_state_kept_in_another_form_keeps_its_episode() -> None:
    assert state_from_json({"level": 3, "falling": {"since_us": 1}, "falling_to": 0}, 4) == State(level=3)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20)), max_size=30))
def test_state_survives_json(reports: list[tuple[int, int]]) -> None:
    rules = limits(5, 15, 27, band=3, on_s=10, samples=2, off_s=10, off_samples=2)
    at_s, state = 0, NORMAL
    for value, after_s in reports:
        at_s += after_s
        state, _ = on_sample(rules, state, sample(value, at_s))
        assert state_from_json(TypeAdapter(State).dump_python(state, mode="json"), 3) == state


# silence in event time ----------------------------------------------------------------------------------------------


def tilt() -> Limits:
    return limits(10, 30, band=2, on_s=3, by_silence=True)


def test_the_next_report_shows_what_the_silence_before_it_has_proven() -> None:
    """A cover tilts, and is back ten seconds later: it was tilted, whenever these two came here."""
    _, changes = play(tilt(), sample(20, 0, received_s=3600), sample(0, 10, received_s=3600))
    assert words(changes) == [
        (Reason.limit_reached, Condition.pending, 0),
        (Reason.held_in_silence, Condition.active, 1),
        (Reason.below_limit, Condition.normal, 0),
    ]
    assert [change.at_us - START for change in changes] == [0, 0, 10 * SECOND]
    assert words(play(tilt(), sample(20, 0), sample(0, 2))[1])[-1] == (Reason.below_limit, Condition.normal, 0)


def test_one_buffered_sample_alone_proves_nothing() -> None:
    """Its age by our clock is no duration: nobody knows what came after it."""
    state, changes = play(tilt(), sample(20, 0, received_s=86_400))
    assert words(changes) == [(Reason.limit_reached, Condition.pending, 0)]
    assert on_silence(tilt(), state, START + 86_402 * SECOND)[1] == []


@st.composite
def timed(draw: st.DrawFn) -> list[Sample]:
    """Reports that arrive as they are made."""
    at_s, made = 0, []
    for _ in range(draw(st.integers(1, 25))):
        at_s += draw(st.sampled_from([0, 1, 2, 5, 20, 100]))
        made.append(sample(draw(st.integers(-5, 25)), at_s))
    return made


@given(some_limits(), timed(), st.data())
def test_live_and_backlog_in_order_give_the_same_record(rules: Limits, live: list[Sample], data: st.DataObject) -> None:
    """Live, timers look between the reports, now and then; a backlog comes at once, and nobody looks."""
    state, seen = NORMAL, list[object]()
    for before, one in zip([None, *live], live, strict=False):
        for now_us in sorted(data.draw(st.lists(st.integers(0, 100), max_size=3), label="looks")):
            moment = (before.received_us if before is not None else START) + now_us * SECOND
            if moment < one.received_us:
                state, changes = on_silence(rules, state, moment)
                seen += changes
        state, changes = on_sample(rules, state, one)
        seen += changes
    later, backlog = play(rules, *(replace(one, received_us=live[-1].received_us) for one in live))

    def record(changes: Iterable[object]) -> list[tuple[object, ...]]:
        return [
            (one.reason, one.before, one.after, one.level, one.at_us)
            if isinstance(one, Change)
            else (one.began, one.at_us)
            for one in changes
            if isinstance(one, Change | Flapped)
        ]

    assert record(seen) == record(backlog)
    assert (state.level, state.condition, state.history.bits) == (later.level, later.condition, later.history.bits)


# flapping -----------------------------------------------------------------------------------------------------------


def flaps(changes: Changes) -> list[tuple[bool, int]]:
    return [(one.began, (one.at_us - START) // SECOND) for one in changes if isinstance(one, Flapped)]


def swaying(times: int, every_s: int = 60) -> list[Sample]:
    return [sample(9 if n % 2 == 0 else 0, n * every_s) for n in range(times)]


def test_the_newest_change_weighs_most() -> None:
    assert share((1 << 20) - 1) == pytest.approx(1.0)
    assert share(1) * 20 == pytest.approx(1.2)
    assert share(1 << 19) * 20 == pytest.approx(0.8)


def test_flapping_begins_at_thirty_percent_and_is_over_below_twenty_five() -> None:
    rules = limits(5)
    state, changes = play(rules, *swaying(6))
    assert flaps(changes) == [(True, 300)], "five changes are 29 %, the sixth is 34 %"
    quiet = []
    for n in range(6, 30):
        before = share(state.history.bits)
        state, more = on_sample(rules, state, sample(0, n * 60))
        if state.history.flapping:
            assert before >= OVER_BELOW
        quiet += more
    assert len(flaps(quiet)) == 1
    assert not state.history.flapping
    assert share(0b111111) >= BEGINS_AT > share(0b11111)


@pytest.mark.parametrize("last", [9.0, 0.0, 4.0])
def test_flapping_is_over_in_every_state_of_the_condition(last: float) -> None:
    """Over the limit, below it, between: each goes on reporting the same, and flapping ends while that stays."""
    rules = limits(5, band=2, off_s=1)
    state, changes = play(rules, *[sample(0 if n % 3 else 9, n * 2) for n in range(25)])
    assert [began for began, _ in flaps(changes)] == [True]
    assert state.condition is Condition.active
    for n in range(24, 70):
        state, more = on_sample(rules, state, sample(last, n * 2))
        changes += more
    assert [began for began, _ in flaps(changes)] == [True, False]
    assert state.history == CALM
    assert state.settled


def test_flapping_is_over_when_the_device_falls_silent() -> None:
    """An open cover that has swayed in a storm and then says nothing for a day is not kept from anybody."""
    rules = replace(limits(5, by_silence=True), calm_us=600 * SECOND)
    state, _ = play(rules, *swaying(7))
    assert state.history.flapping
    assert state.level == 1
    due = due_us(rules, state)
    assert due == START + (360 + 600) * SECOND
    state, changes = on_silence(rules, state, due)
    assert flaps(changes) == [(False, 960)]
    assert state == State(level=1), "the episode stays as it is"


def test_state_under_other_levels_goes_on_flapping() -> None:
    rules = limits(5, 15, band=1)
    state, _ = play(rules, *[sample(20 if n % 2 == 0 else 0, n) for n in range(7)])
    kept = fitted(state, 1)
    assert (kept.level, kept.history) == (1, state.history)
