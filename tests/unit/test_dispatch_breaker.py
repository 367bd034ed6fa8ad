"""The breaker of a sink and the patience with a delivery."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from alerts.channels.interface import BadMessage, Delivered, Outcome, Retry, SinkFailure
from alerts.deliver import breaker
from alerts.deliver.breaker import LONGEST_BACKOFF_S, PROBE_EVERY_S, Breaker, SinkEvent, backoff_s, event

FRESH = Breaker(0, 0.0)
OPEN = Breaker(5, 0.0)
GOOD = Delivered({})


def after(before: Breaker, outcomes: Sequence[Outcome], base_s: float = 0.0) -> Breaker:
    """Without pauses between failures, unless they are asked for."""
    return breaker.after(before, outcomes, base_s, random.Random(3))


def test_four_failures_in_a_row_leave_it_shut_the_fifth_opens_it() -> None:
    four = after(FRESH, [Retry("refused")] * 4)
    assert four == Breaker(4, 0.0)
    assert event(FRESH, four) is None
    five = after(four, [SinkFailure("401")])
    assert five == Breaker(5, PROBE_EVERY_S)
    assert event(four, five) is SinkEvent.failing


def test_only_failures_in_a_row_count() -> None:
    assert after(FRESH, [Retry("x")] * 4 + [GOOD] + [Retry("x")] * 4) == Breaker(4, 0.0)


@pytest.mark.parametrize("answer", [GOOD, BadMessage("400")])
def test_an_answer_that_makes_sense_closes_it(answer: Outcome) -> None:
    closed = after(Breaker(17, 12.0), [answer])
    assert closed == FRESH
    assert event(Breaker(17, 12.0), closed) is SinkEvent.working


def test_a_failed_probe_keeps_it_open_without_a_second_event() -> None:
    still = after(OPEN, [Retry("refused")])
    assert still == Breaker(6, PROBE_EVERY_S)
    assert event(OPEN, still) is None


def test_a_busy_sink_pauses_and_has_not_failed() -> None:
    paused = after(FRESH, [Retry("429", after_s=7.0, against_sink=False)] * 9)
    assert paused == Breaker(0, 7.0)
    assert event(FRESH, paused) is None
    assert after(Breaker(3, 4.0), [GOOD]) == FRESH, "a success ends the pause between failures"
    assert after(paused, [GOOD]) == Breaker(0, 7.0), "a success that was under way does not end the pause it asked for"


def test_retry_after_of_a_failing_sink_is_kept_if_it_is_longer_than_the_probe() -> None:
    assert after(Breaker(4, 0.0), [Retry("503", after_s=120.0)]) == Breaker(5, 120.0)
    assert after(Breaker(4, 0.0), [Retry("503", after_s=1.0)]) == Breaker(5, PROBE_EVERY_S)


def test_from_the_second_failure_in_a_row_on_the_sink_is_given_time() -> None:
    assert after(FRESH, [Retry("500")], 1.0) == Breaker(1, 0.0), "one alone says little"
    for failures, longest in ((1, 1.0), (2, 2.0), (3, 4.0)):
        pauses = [
            breaker.after(Breaker(failures, 0.0), [Retry("500")], 1.0, random.Random(seed)).closed_for_s
            for seed in range(200)
        ]
        assert 0.0 <= min(pauses) < 0.1 * longest
        assert 0.9 * longest < max(pauses) <= longest


def test_backoff_doubles_with_full_jitter_up_to_five_minutes() -> None:
    draw = random.Random(7)
    for attempt in range(1, 60):
        ceiling = min(2.0 ** (attempt - 1), LONGEST_BACKOFF_S)
        drawn = [backoff_s(attempt, 1.0, draw) for _ in range(300)]
        assert 0.0 <= min(drawn) < 0.1 * ceiling
        assert 0.9 * ceiling < max(drawn) <= ceiling
