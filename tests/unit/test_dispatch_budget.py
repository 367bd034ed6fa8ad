"""A robot's budget: never exceeded, and red is held back for no longer than its pace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.deliver.budget import WINDOW_S, Budget, Slots


def test_half_is_for_anything_and_half_is_kept_for_red() -> None:
    budget = Budget(20)
    assert budget.slots(0.0) == Slots(10, 10)
    for _ in range(10):
        budget.promise()
        budget.start(0.0)
    assert budget.slots(0.0) == Slots(1, 0)
    budget.promise()
    assert budget.slots(0.0) == Slots(0, 0), "one red at a time, with all that has gathered"
    budget.start(0.0)
    assert budget.slots(1.0) == Slots(0, 0)
    assert budget.slots(budget.pace_s) == Slots(1, 0)
    assert budget.pace_s < 6.2
    assert budget.slots(WINDOW_S) == Slots(10, 10)


def test_what_is_promised_and_taken_back_is_free_again() -> None:
    budget = Budget(2)
    budget.promise()
    assert budget.slots(0.0) == Slots(0, 0)
    budget.withdraw()
    assert budget.slots(0.0) == Slots(1, 1)


def test_a_second_has_its_budget_too() -> None:
    budget = Budget(100, 5)
    for _ in range(5):
        budget.promise()
        budget.start(10.0)
    assert budget.slots(10.5) == Slots(0, 0)
    assert budget.slots(11.2).red == 5


def test_a_restart_goes_on_with_the_minute_that_has_begun() -> None:
    budget = Budget(4)
    budget.sent_before([10.0, 30.0, 70.0], 1000.0)
    assert budget.slots(1000.0) == Slots(1, 0)
    assert budget.slots(1035.0) == Slots(1, 1)


@pytest.mark.parametrize("per_minute", [1, 2, 5, 20])
@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), min_size=1, max_size=80))
def test_never_exceeded_and_no_red_waits_longer_than_the_pace(per_minute: int, gaps: list[tuple[float, bool]]) -> None:
    """Whoever asks each quarter of a second tells all the red that waits in one message, and so with the rest."""
    budget, waiting, sent, now = Budget(per_minute), {True: [], False: []}, [], 0.0  # type: ignore[var-annotated]
    arrivals, at = [], 0.0
    for gap, red in gaps:
        at += gap
        arrivals.append((at, red))
    longest = 0.0
    while arrivals or waiting[True] or waiting[False]:
        while arrivals and arrivals[0][0] <= now:
            arrived, red = arrivals.pop(0)
            waiting[red].append(arrived)
        slots = budget.slots(now)
        for red, free in ((True, slots.red), (False, slots.other - bool(waiting[True]))):
            if waiting[red] and free >= 1:
                budget.promise()
                budget.start(now)
                sent.append(now)
                if red:
                    longest = max(longest, now - waiting[red][0])
                waiting[red].clear()
        now += 0.25
    for n in range(len(sent) - per_minute):
        assert sent[n + per_minute] - sent[n] >= WINDOW_S
    assert longest <= budget.pace_s + 0.5
