"""The condition region of one alarm against a slow model that keeps every sample and looks back over all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import TypeAdapter

from alerts.record import state_from_json
from alerts.transition import NORMAL, Change, Limits, Sample, State, due_us, on_sample, on_silence
from underfoot.alarms import Condition, Reason

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
    )


def sample(value: float, at_s: float, received_s: float | None = None) -> Sample:
    at_us = START + int(at_s * SECOND)
    received_us = at_us if received_s is None else START + int(received_s * SECOND)
    return Sample(value, at_us, received_us, {"value": value, "ts_us": at_us})


@dataclass
class Model:
    """The rule by its words: all samples are kept, and each question is answered by looking back over them."""

    limits: Limits
    samples: list[Sample] = field(default_factory=list)
    level: int = 0

    def _run(self, holds: list[bool]) -> list[Sample]:
        """The newest samples for which it has held without interruption."""
        run: list[Sample] = []
        for one, held in zip(reversed(self.samples), reversed(holds), strict=True):
            if not held:
                break
            run.insert(0, one)
        return run

    def over(self, level: int) -> list[Sample]:
        return self._run([one.value >= self.limits.reach[level - 1] for one in self.samples])

    def under(self, level: int) -> list[Sample]:
        return self._run([one.value < self.limits.leave[level - 1] for one in self.samples])

    @property
    def condition(self) -> Condition:
        if self.level == 0:
            return Condition.pending if any(self.over(n) for n in self._levels()) else Condition.normal
        left_all = all(self.under(level) for level in range(1, self.level + 1))
        return Condition.clearing if left_all else Condition.active

    def _levels(self) -> range:
        return range(1, len(self.limits.reach) + 1)

    def take(self, one: Sample) -> None:
        self.samples.append(one)
        raised = [
            level
            for level in self._levels()
            if level > self.level
            and len(run := self.over(level)) >= self.limits.samples[level - 1]
            and run
            and one.at_us - run[0].at_us >= self.limits.on_delay_us[level - 1]
        ]
        if raised:
            self.level = max(raised)
            return
        while self.level:
            run = self.under(self.level)
            enough = len(run) >= self.limits.off_samples and bool(run)
            if not enough or one.at_us - run[0].at_us < self.limits.off_delay_us:
                break
            self.level -= 1

    def wait(self, until_us: int) -> None:
        """Nothing came until then, though everything that was sent has come."""
        if not self.limits.by_silence:
            return
        raised = [
            level
            for level in self._levels()
            if level > self.level
            and (run := self.over(level))
            and until_us - run[0].received_us >= self.limits.on_delay_us[level - 1]
        ]
        if raised:
            self.level = max(raised)
        while self.level:
            run = self.under(self.level)
            if not run or until_us - run[0].received_us < self.limits.off_delay_us:
                break
            self.level -= 1


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
    )


class Alarm(RuleBasedStateMachine):
    """Samples and silences in any order; a restart (the state by way of JSON) at any time."""

    @initialize(limits=some_limits())
    def begin(self, limits: Limits) -> None:
        self.limits = limits
        self.state = NORMAL
        self.model = Model(limits)
        self.at_us = START
        self.now_us = START
        self.condition, self.level = Condition.normal, 0

    @rule(value=st.integers(-5, 25), after_s=st.integers(0, 5), way_s=st.integers(0, 3))
    def report(self, value: int, after_s: int, way_s: int) -> None:
        """A report `after_s` after the last one, by the device's clock; it took `way_s` to reach us."""
        self.at_us += after_s * SECOND
        self.now_us = max(self.now_us, self.at_us) + way_s * SECOND
        one = Sample(float(value), self.at_us, self.now_us, {"value": value})
        self.state, changes = on_sample(self.limits, self.state, one)
        self.model.take(one)
        self._chained(changes)
        assert all(change.proof == one.proof and change.at_us == one.at_us for change in changes)

    @rule(seconds=st.integers(0, 12))
    def silence(self, seconds: int) -> None:
        self.now_us += seconds * SECOND
        due = due_us(self.limits, self.state)
        changed = False
        while True:
            self.state, changes = on_silence(self.limits, self.state, self.now_us)
            self._chained(changes)
            if not changes:
                break
            changed = True
            assert all(change.at_us <= self.at_us for change in changes), "silence proves what a report had begun"
        self.model.wait(self.now_us)
        assert changed == (due is not None and due <= self.now_us), "what is due is when something is proven"

    @rule()
    def restart(self) -> None:
        stored = TypeAdapter(State).dump_json(self.state)
        loaded = state_from_json(TypeAdapter(dict).validate_json(stored), len(self.limits.reach))
        assert loaded == self.state
        self.state = loaded

    def _chained(self, changes: list[Change]) -> None:
        """Each change begins where the one before it ended."""
        for change in changes:
            assert (change.before, change.level_before) == (self.condition, self.level)
            assert (change.before, change.level_before) != (change.after, change.level), "a change changes something"
            self.condition, self.level = change.after, change.level
            assert (change.level == 0) == (change.after in (Condition.normal, Condition.pending))
            rises = {Reason.limit_reached, Reason.severity_rose, Reason.held_in_silence, Reason.back_over_limit}
            if change.level != change.level_before:
                assert (change.reason in rises) == (change.level > change.level_before)

    @invariant()
    def as_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        assert (self.state.level, self.state.condition) == (self.model.level, self.model.condition)
        assert (self.condition, self.level) == (self.state.condition, self.state.level), "every change was named"
        assert self.state.settled == (due_us_by_hand(self.state) == [])


def due_us_by_hand(state: State) -> list[object]:
    return [held for held in (*state.rising, *state.falling) if held is not None]


TestAlarm = Alarm.TestCase


def play(rules: Limits, *samples: Sample) -> tuple[State, list[Change]]:
    state, seen = NORMAL, []
    for one in samples:
        state, changes = on_sample(rules, state, one)
        seen += changes
    return state, seen


def words(changes: list[Change]) -> list[tuple[Reason, Condition, int]]:
    return [(change.reason, change.after, change.level) for change in changes]


def test_value_at_the_limit_is_over_it() -> None:
    state, changes = play(limits(5), sample(5, 0))
    assert words(changes) == [(Reason.limit_reached, Condition.active, 1)]
    assert state == State(level=1)


def test_dead_band_keeps_the_episode() -> None:
    rules = limits(5, band=2)
    state, changes = play(rules, sample(6, 0), sample(3, 1), sample(4.9, 2))
    assert state == State(level=1)
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
    assert after == State(level=1)


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
    assert state == NORMAL


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_state_of_a_rule_that_has_other_levels_now(levels: int) -> None:
    """A new version with fewer or more levels keeps the episode, and forgets what was on its way."""
    rules = limits(5, 15, 27, 40, band=3, off_s=600)
    state, _ = play(rules, sample(41, 0), sample(0, 60))
    stored = TypeAdapter(State).dump_python(state, mode="json")
    assert state_from_json(stored, 4) == state
    assert state_from_json(stored, levels) == State(level=levels)


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
