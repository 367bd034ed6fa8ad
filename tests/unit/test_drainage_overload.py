"""When a catchment's storm sewers will be at their capacity: by hand, and what must never count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.drainage.graph import outfalls
from alerts.drainage.hydraulics import FULLEST, share_of_capacity
from alerts.drainage.overload import Amount, Outlook, Rain, outlooks
from alerts.drainage.params import OverloadParams
from alerts.rules import OverloadRule, RuleError, parse_rule
from tests.unit.networks import NOW_US, fills, graph_of, row_of

MINUTE_US = 60_000_000
PARAMS = OverloadParams()
ROW = graph_of([replace(each, kind="storm") for each in row_of(1, 2, 3, 4, 9)])
HALF = 0.5
"""Half full a pipe carries half of what it carries full."""


def rain(*mm: float, newest_us: int = NOW_US) -> Rain:
    """A station's reports each 5 min, the last of them now; the first of them says that it has not rained."""
    told = (0.0, *mm)
    return Rain([Amount(newest_us - (len(mm) - n) * 5 * MINUTE_US, amount) for n, amount in enumerate(told)])


def of(levels: dict[int, float | None], falls: Rain, **changes: Any) -> Outlook:
    params = PARAMS.model_copy(update=changes)
    readings = fills(ROW, levels)
    found = outlooks(ROW, outfalls(ROW), readings, dict.fromkeys(levels, falls), params, NOW_US)
    assert set(found) == {9}
    return found[9]


def minutes_of(levels: dict[int, float | None], falls: Rain, **changes: Any) -> float:
    """Where there are enough gauges and stations to tell."""
    minutes = of(levels, falls, **changes).minutes
    assert minutes is not None
    return minutes


def test_how_hard_it_may_rain_and_when_it_will_by_hand() -> None:
    """Of 2 + 3 + 4.5 mm in 15 min 8.6 had fallen a minute ago, when the gauges spoke: 34 mm/h. They fill half of the
    capacity, so 69 mm/h fill all of it. It rains 54 mm/h, 1.5 times as hard each 5 min: 69 in 3 min."""
    found = of({1: HALF, 2: HALF, 3: 0.2}, rain(2.0, 3.0, 4.5))
    assert found.bears_mm_h == pytest.approx(2 * 8.6 * 4)
    assert found.mm_h == pytest.approx(54)
    assert found.minutes == pytest.approx(5 * math.log(2 * 8.6 * 4 / 54) / math.log(1.5))
    assert (found.gauges, found.nodes) == (3, (1, 2))


def test_what_fell_half_an_hour_ago_counts_as_far_back_as_it_has_rained() -> None:
    """6 + 8.6 mm since it began 24 min before the gauges spoke: 36.5 mm/h fill half of the capacity, 73 mm/h all of
    it. What fell before the last half hour does not count, nor does a dry quarter of an hour before the rain."""
    bears = 2 * 14.6 / 24 * 60
    assert of({1: HALF, 2: HALF}, rain(3.0, 3.0, 2.0, 3.0, 4.5)).bears_mm_h == pytest.approx(bears, rel=0.01)
    dry_before = of({1: HALF, 2: HALF}, rain(0.0, 0.0, 0.0, 3.0, 3.0, 2.0, 3.0, 4.5))
    assert dry_before.bears_mm_h == pytest.approx(bears, rel=0.01)
    long_before = of({1: HALF, 2: HALF}, rain(9.0, 9.0, 1.0, 1.0, 3.0, 3.0, 2.0, 3.0, 4.5))
    # The last half hour before the gauges spoke: a fifth of the last five minutes but one is left out.
    assert long_before.bears_mm_h == pytest.approx(2 * (14.6 + 1.0 + 0.2) * 2, rel=0.01)


@pytest.mark.parametrize(
    ("falls", "why"),
    [
        ((3.2, 3.2, 3.2), "it does not get harder"),
        ((4.5, 3.0, 2.0), "it eases"),
        ((0.4, 0.6, 0.9), "8 mm/h are no rain for a sewer"),
        ((), "it has not rained"),
    ],
)
def test_what_is_not_foreseen(falls: Sequence[float], why: str) -> None:
    found = of({1: HALF, 2: HALF, 3: HALF}, rain(*falls))
    assert found.minutes == math.inf, why
    assert found.nodes == ()


def test_it_must_rain_a_good_part_of_what_is_too_much_already() -> None:
    """At the beginning everything grows fast: 14 mm/h that double say nothing of 100."""
    assert of({1: 0.25, 2: 0.25}, rain(0.3, 1.0, 2.4)).minutes == math.inf
    assert minutes_of({1: 0.25, 2: 0.25}, rain(0.3, 1.0, 2.4), within=0.1) < math.inf


def test_sewers_that_are_full_already_are_none_that_will_be() -> None:
    assert of({1: 1.4, 2: 1.2, 3: 0.2}, rain(3.0, 3.0, 3.0)).minutes == math.inf
    assert minutes_of({1: 1.4, 2: HALF, 3: HALF}, rain(2.0, 3.0, 4.5)) > 0
    assert of({1: 1.4, 2: 0.7, 3: 0.7}, rain(4.0, 7.0, 14.0)).minutes == 0, "more than they bear falls now"


def test_one_gauge_that_lies_is_no_overload() -> None:
    falls = rain(2.0, 3.0, 4.5)
    assert of({1: 0.9, 2: 0.2, 3: 0.2, 4: 0.2}, falls).minutes == math.inf
    assert minutes_of({1: 0.9, 2: 0.5, 3: 0.2, 4: 0.2}, falls) < 20
    assert of({1: 0.9}, falls).minutes is None, "one alone is asked for two"


def test_what_is_old_or_not_known_says_nothing() -> None:
    levels: dict[int, float | None] = {1: HALF, 2: HALF, 3: None}
    assert of(levels, rain(2.0, 3.0, 4.5)).gauges == 2
    old = rain(2.0, 3.0, 4.5, newest_us=NOW_US - (PARAMS.max_age_s + 60) * 1_000_000)
    assert of(levels, old).minutes is None
    stale = fills(ROW, levels, age_s=PARAMS.max_age_s + 60)
    told = dict.fromkeys(levels, rain(2.0, 3.0, 4.5))
    assert outlooks(ROW, outfalls(ROW), stale, told, PARAMS, NOW_US)[9].minutes is None


def test_foul_sewers_and_places_without_a_station_are_left_out() -> None:
    foul = graph_of(row_of(1, 2, 3, 9))
    falls = rain(2.0, 3.0, 4.5)
    assert outlooks(foul, outfalls(foul), fills(foul, {1: HALF, 2: HALF}), {1: falls, 2: falls}, PARAMS, NOW_US) == {}
    assert outlooks(ROW, outfalls(ROW), fills(ROW, {1: HALF, 2: HALF}), {}, PARAMS, NOW_US) == {}


def test_of_two_gauges_at_a_node_the_newer_counts_once() -> None:
    falls = rain(2.0, 3.0, 4.5)
    both = [*fills(ROW, {1: HALF}, age_s=60), *fills(ROW, {1: 0.2}, age_s=10), *fills(ROW, {2: HALF})]
    found = outlooks(ROW, outfalls(ROW), both, {1: falls, 2: falls}, PARAMS, NOW_US)[9]
    assert (found.gauges, found.minutes) == (2, math.inf)


@given(
    st.lists(st.floats(0, 1.5), min_size=2, max_size=4),
    st.lists(st.floats(0, 20), min_size=3, max_size=6),
    st.floats(1, 3),
)
def test_harder_rain_is_never_later(levels: list[float], falls: list[float], times: float) -> None:
    """The same levels under the same rain, of which the last five minutes are harder."""
    by_node: dict[int, float | None] = {place + 1: level for place, level in enumerate(levels)}
    before = of(by_node, rain(*falls))
    assert before.minutes is None or before.minutes >= 0
    # Read at a moment before the last report, so that what has filled them is the same.
    readings = fills(ROW, by_node, age_s=301)
    told = [rain(*falls[:-1], falls[-1] * factor) for factor in (1.0, times)]
    first, harder = (
        outlooks(ROW, outfalls(ROW), readings, dict.fromkeys(by_node, each), PARAMS, NOW_US)[9].minutes for each in told
    )
    assert first is not None
    assert harder is not None
    assert harder <= first + 1e-6


@given(st.floats(-1, 2), st.floats(0, 1))
def test_a_fuller_pipe_carries_no_less(fill: float, more: float) -> None:
    assert 0 <= share_of_capacity(fill) <= share_of_capacity(fill + more) <= 1
    assert share_of_capacity(HALF) == pytest.approx(0.5)
    assert share_of_capacity(FULLEST) == 1


RULE: dict[str, Any] = {
    "rule_id": "drainage.overload_forecast",
    "kind": "overload",
    "title": "将超载",
    "source": "a test",
    "levels": [{"severity": "yellow", "limit": 20}, {"severity": "orange", "limit": 10}],
}


def test_a_rule_of_overload_is_read() -> None:
    rule = parse_rule(RULE)
    assert isinstance(rule, OverloadRule)
    assert rule.params == PARAMS


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ([("orange", 20), ("yellow", 10)], "rise in severity"),
        ([("yellow", 10), ("orange", 20)], "get fewer"),
        ([("yellow", 10), ("orange", -1)], "down to 0"),
    ],
)
def test_levels_that_cannot_be_are_refused(levels: list[tuple[str, float]], says: str) -> None:
    wrong = [{"severity": severity, "limit": limit} for severity, limit in levels]
    with pytest.raises(RuleError, match=says):
        parse_rule(RULE | {"levels": wrong})
