"""The past judged again: whatever order reports come in, and however often, the same is open at the end and the same
stands in the corrected record as if they had come in order; and nothing that was open is missed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerts.history.correction import FINDING_LABELS, Comparison, Finding, Recorded, compare
from alerts.history.episodes import Past
from tests.unit.batches import SECOND, START, One
from tests.unit.hindsight import Street, delivered

LATENCY_S = 0.5
_COVER: list[dict[str, Any]] = [
    {
        "rule_id": "cover.open",
        "kind": "level",
        "field": "open",
        "equals": True,
        "proof": "silence",
        "levels": [{"severity": "red"}],
    },
    {
        "rule_id": "cover.tilt",
        "kind": "level",
        "field": "tilt_deg",
        "proof": "silence",
        "unless": {"open": True},
        "levels": [
            {"severity": "yellow", "limit": 10, "dead_band": 2, "on_delay_s": 30},
            {"severity": "orange", "limit": 20, "dead_band": 2, "on_delay_s": 90},
        ],
        "off_delay_s": 120,
    },
    {
        "rule_id": "cover.h2s",
        "kind": "level",
        "field": "h2s_mg_m3",
        "levels": [
            {"severity": "blue", "limit": 10, "dead_band": 1, "samples": 2},
            {"severity": "red", "limit": 20, "dead_band": 1, "samples": 2, "on_delay_s": 60},
        ],
        "off_delay_s": 60,
        "off_samples": 2,
    },
    {
        "rule_id": "cover.gas_rise",
        "kind": "rate",
        "field": "ch4_lel_pct",
        "over_s": 300,
        "at_least_s": 100,
        "samples": 3,
        "per_s": 60,
        "levels": [{"severity": "orange", "limit": 4, "dead_band": 1}],
    },
]
_RAIN: list[dict[str, Any]] = [
    {
        "rule_id": "rain.quarter",
        "kind": "level",
        "field": "amount_mm",
        "sum_over_s": 900,
        "levels": [
            {"severity": "blue", "limit": 10, "dead_band": 1},
            {"severity": "orange", "limit": 20, "dead_band": 1},
        ],
    },
    {
        "rule_id": "rain.burst",
        "kind": "level",
        "field": "amount_mm",
        "sum_over_s": 120,
        "levels": [{"severity": "yellow", "limit": 6, "samples": 2}],
    },
]
_SETTLED_S = 3600.0

_COVER_SAYS: dict[str, list[Any]] = {
    "open": [True, False],
    "tilt_deg": [3.0, 9.0, 11.0, 15.0, 21.0, 30.0],
    "h2s_mg_m3": [1.0, 9.5, 12.0, 25.0],
    "ch4_lel_pct": [0.0, 3.0, 9.0, 20.0],
}
_RAIN_SAYS: dict[str, list[Any]] = {"amount_mm": [0.0, 0.5, 2.0, 5.0]}


def a_day(chance: random.Random, says: dict[str, list[Any]]) -> list[One]:
    """What a device says, no two reports at one time; a field is not in every report."""
    ones, at_s = [], 0.0
    for number in range(chance.randint(1, 60)):
        at_s += chance.choice([5, 20, 40, 60, 61, 100, 300])
        values = {name: chance.choice(among) for name, among in says.items() if chance.random() < 0.65}
        ones.append(One(0, at_s, values, seq=number))
    return ones


def run(street: Street, arrivals: list[One], *, caught_up_every_s: float, look_back_every: int) -> Street:
    """The shard's holder at work: probes come back, timers look, and now and then the past is judged again."""
    first, last = arrivals[0].received_us, max(one.received_us for one in arrivals) + round(_SETTLED_S * SECOND)
    every_us = round(caught_up_every_s * SECOND)
    coming = iter([*arrivals, None])
    waiting = next(coming)
    for turn, now_us in enumerate(range(first, last + every_us, every_us)):
        while waiting is not None and waiting.received_us <= now_us:
            street.comes(waiting)
            waiting = next(coming)
        street.silence(now_us)
        if turn % look_back_every == 0:
            street.look_back(now_us)
            street.open()
    street.look_back(last)
    street.silence(last)
    return street


def same_as_in_order(rules: list[dict[str, Any]], family: str, says: dict[str, list[Any]], seed: int) -> None:
    chance = random.Random(seed)
    ones = a_day(chance, says)
    in_order = run(
        Street(family, *rules), delivered(ones, [LATENCY_S] * len(ones)), caught_up_every_s=10, look_back_every=1
    )
    assert in_order.replays == 0, "nothing of it was late"
    thrice = [one for one in ones for _ in range(3)]
    spread_s = chance.choice([30, 120, 900])
    shuffled = delivered(thrice, [LATENCY_S + chance.random() * spread_s for _ in thrice])
    again = run(Street(family, *rules), shuffled, caught_up_every_s=10, look_back_every=chance.choice([1, 7, 1000]))
    assert again.open() == in_order.open()
    assert again.corrected() == in_order.corrected()


# Each is a whole day of a shard's work.
days = settings(max_examples=max(settings().max_examples // 4, 1))


@days
@given(st.integers(0, 2**32))
@example(93)
@example(385)
def test_three_times_and_shuffled_is_as_in_order(seed: int) -> None:
    same_as_in_order(_COVER, "cover", _COVER_SAYS, seed)


@days
@given(st.integers(0, 2**32))
def test_three_times_and_shuffled_rain_is_as_in_order(seed: int) -> None:
    same_as_in_order(_RAIN, "rain", _RAIN_SAYS, seed)


@given(st.integers(0, 2**32))
def test_what_was_closed_by_hand_is_never_open_for_an_older_report(seed: int) -> None:
    """Whatever comes late of before it, the operator's word stands until something newer says otherwise."""
    chance = random.Random(seed)
    street = Street("cover", _COVER[0])
    street.comes(One(0, 100.0, {"open": True}, seq=9))
    closed_us = START + 200 * SECOND
    street.close("cover.open", closed_us)
    for number, at_s in enumerate(sorted(chance.sample(range(1, 100), chance.randint(1, 6)))):
        street.comes(One(0, float(at_s), {"open": chance.random() < 0.5}, received_s=300.0 + number, seq=number))
        street.look_back(START + 400 * SECOND)
        assert street.open() == {}
    street.comes(One(0, 500.0, {"open": True}, seq=20))
    assert street.open() == {"cover.open": 4}


def test_memory_is_as_long_as_the_rule_says() -> None:
    street = Street("rain", *_RAIN)
    street.comes(One(0, 1000.0, {"amount_mm": 8.0}, seq=2))
    street.comes(One(0, 400.0, {"amount_mm": 4.0}, received_s=1001.0, seq=1))
    assert street.open() == {}
    street.look_back(START + 1002 * SECOND)
    assert street.open() == {"rain.quarter": 1}
    assert street.corrected()["rain.quarter"] == [(START + 1000 * SECOND, None, 1)]


# the pairing --------------------------------------------------------------------------------------------------------


def recorded(episode: int, raised_us: int, cleared_us: int | None, worst: int = 2, **more: Any) -> Recorded:
    levels = ((raised_us, worst),)
    return Recorded(
        episode, raised_us, cleared_us, worst, levels, is_open=cleared_us is None, row_raised_us=raised_us, **more
    )


def past(raised_us: int, cleared_us: int | None, worst: int = 2) -> Past:
    return Past(raised_us, ((raised_us, worst),), cleared_us=cleared_us)


def findings(comparison: Comparison) -> list[tuple[int, str]]:
    return sorted((one.of.episode, one.finding.value) for one in comparison.corrected)


@pytest.mark.parametrize(
    ("record", "truth", "found"),
    [
        ([recorded(1, 10, 20)], [past(10, 20)], []),
        ([recorded(1, 10, 20)], [past(10, 18)], [(1, "changed")]),
        ([recorded(1, 10, 20)], [past(10, 20, 3)], [(1, "changed")]),
        ([recorded(1, 10, 20)], [], [(1, "unfounded")]),
        ([recorded(1, 10, 20)], [past(30, 40)], [(1, "unfounded")]),
        ([recorded(1, 10, 20), recorded(2, 22, 30)], [past(10, 30)], [(1, "changed"), (2, "merged")]),
        ([recorded(1, 10, 20), recorded(2, 22, None)], [past(10, None)], [(1, "merged"), (2, "changed")]),
        ([recorded(1, 10, 30)], [past(10, 20), past(22, 30)], [(1, "changed")]),
        ([recorded(1, 10, 30, stands=False)], [], []),
        ([recorded(1, 10, 30, stands=False)], [past(12, 30)], [(1, "changed")]),
        ([recorded(1, 1, 4)], [], []),
    ],
)
def test_what_is_said_of_an_episode_on_record(
    record: list[Recorded], truth: list[Past], found: list[tuple[int, str]]
) -> None:
    assert findings(compare(record, truth, 5)) == found


def test_what_is_over_is_never_open_again() -> None:
    comparison = compare([recorded(1, 10, 20)], [past(10, None)], 5)
    assert comparison.opened is not None
    assert comparison.still_open is comparison.ended is None
    assert findings(comparison) == [(1, "merged")]


def test_what_is_open_and_should_be_over_is_ended_at_its_time() -> None:
    comparison = compare([recorded(1, 10, None)], [past(10, 18)], 5)
    assert comparison.ended is not None
    assert comparison.ended[1] is not None
    assert comparison.corrected == [], "its end says it all"
    assert compare([recorded(1, 10, None)], [], 5).ended == (recorded(1, 10, None), None)


def test_every_finding_has_its_words() -> None:
    assert set(FINDING_LABELS) == set(Finding)
