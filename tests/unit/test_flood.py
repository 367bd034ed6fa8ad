"""What one device may send, and when it is no longer a flood."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.flood import Allowance, Flooding


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def over(allowance: Allowance, *slots: int) -> list[bool]:
    found: list[bool] = allowance.over(np.array(slots, np.int32)).tolist()
    return found


def test_a_backlog_passes_and_a_flood_does_not() -> None:
    clock = Clock()
    allowance = Allowance(2, 5, clock)
    assert over(allowance, 0, 0, 0, 0, 0) == [False] * 5
    assert over(allowance, 0, 1, 0) == [True, False, True], "the neighbour is not harmed"
    clock.now += 1
    assert over(allowance, 0, 0, 0) == [False, False, True], "two a second"
    clock.now += 3600
    assert over(allowance, *[0] * 6) == [False] * 5 + [True], "never more than the burst"


def test_a_part_of_a_report_is_not_lost() -> None:
    clock = Clock()
    allowance = Allowance(0.5, 1, clock)
    assert over(allowance, 3) == [False]
    clock.now += 1
    assert over(allowance, 3) == [True]
    clock.now += 1
    assert over(allowance, 3) == [False], "half a report a second, twice"


@given(st.lists(st.lists(st.integers(0, 4), max_size=12), max_size=12), st.integers(1, 6))
def test_as_a_plain_bucket_would_count(batches: list[list[int]], burst: int) -> None:
    clock = Clock()
    allowance = Allowance(1, burst, clock)
    left = dict.fromkeys(range(5), float(burst))
    for batch in batches:
        expected = []
        for slot in batch:
            expected.append(left[slot] < 1)
            left[slot] -= 0 if left[slot] < 1 else 1
        assert over(allowance, *batch) == expected
        clock.now += 1
        left = {slot: min(tokens + 1, float(burst)) for slot, tokens in left.items()}


@pytest.mark.parametrize("quiet_s", [599.0, 601.0])
def test_a_flood_is_over_when_it_has_been_quiet_for_a_while(quiet_s: float) -> None:
    clock = Clock()
    flooding = Flooding(600, clock)
    assert flooding.seen(7)
    assert not flooding.seen(7)
    clock.now += quiet_s
    assert flooding.ended() == ([7] if quiet_s > 600 else [])
    assert flooding.seen(7) is (quiet_s > 600)
