"""The vectorised judge against stepping each report by itself through `transition`, however the reports are cut into
batches; and what only a batch has: sums over time, lines through samples, several reports of one device."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerts.judge.outcome import Transition
from alerts.judge.transition import NORMAL
from tests.unit.batches import LAMP_OUT, SECOND, START, Bench, One, reports
from tests.unit.cover_rules import GUARDED, LATE, OPEN, TILT, WATER, words
from tests.unit.one_by_one import OneByOne
from underfoot.alarms import Reason

RAIN: list[dict[str, Any]] = [
    {
        "rule_id": "rain.hour",
        "kind": "level",
        "field": "amount_mm",
        "sum_over_s": 3600,
        "levels": [{"severity": "blue", "limit": 20, "dead_band": 2}, {"severity": "orange", "limit": 50}],
    },
    {
        "rule_id": "rain.burst",
        "kind": "level",
        "field": "amount_mm",
        "sum_over_s": 300,
        "levels": [{"severity": "yellow", "limit": 10}],
    },
    {
        "rule_id": "rain.mean",
        "kind": "level",
        "field": "amount_mm",
        "mean_over_s": 2400,
        "mean_of_parts": 3,
        "levels": [{"severity": "blue", "limit": 7.01, "dead_band": 2}],
    },
]


def told(transitions: list[Transition]) -> dict[tuple[int, str], list[tuple[Any, ...]]]:
    """By device and rule, in order: between devices and rules a batch has no order of its own."""
    lists: dict[tuple[int, str], list[tuple[Any, ...]]] = defaultdict(list)
    for t in transitions:
        key = t.subject_key - 100, t.rule.rule.rule_id
        lists[key].append((t.reason, t.before, t.after, t.severity_before, t.severity, t.at_us))
    return lists


def told_slowly(slow: OneByOne) -> dict[tuple[int, str], list[tuple[Any, ...]]]:
    lists: dict[tuple[int, str], list[tuple[Any, ...]]] = defaultdict(list)
    for slot, rule_id, *rest in slow.seen:
        lists[slot, rule_id].append(tuple(rest))
    return lists


maybe_state = st.sampled_from([None, None, True, False, False])
cover_values = st.fixed_dictionaries(
    {},
    optional={
        "tilt_deg": st.sampled_from([None, 0.0, 2.0, 9.9, 10.0, 12.0, 13.0, 15.0, 17.0, 25.0, 30.0, 33.0, 60.0]),
        "open": maybe_state,
        "vibration": maybe_state,
        "water_below_rim_m": st.sampled_from([None, -1.0, 0.0, 0.05, 0.5, 1.0, 1.05, 1.1, 1.2, 3.0]),
    },
)


STEPS_S = (0.001, 1.0, 1.0, 2.0, 30.0, 400.0)


@st.composite
def arrivals(
    draw: st.DrawFn, values: st.SearchStrategy[dict[str, Any]], steps_s: Sequence[float] = STEPS_S
) -> list[One]:
    """Reports of three devices as they arrive, one message each: mostly in order, some late, some with another's time,
    some with a time of ours instead of theirs (substituted), a few clocks ahead."""
    found: list[One] = []
    now_s = 0.0
    for _ in range(draw(st.integers(1, 40))):
        now_s += draw(st.sampled_from(steps_s))
        slot = draw(st.integers(0, 2))
        off_s = draw(st.sampled_from([0.0, 0.0, 0.0, 0.0, -1.0, -2.0, -3600.0, 240.0]))
        at_s = draw(st.sampled_from([now_s + off_s, now_s + off_s, math.floor((now_s + off_s) / 10) * 10.0]))
        substituted = draw(st.sampled_from([False, False, False, True]))
        found.append(One(slot, now_s if substituted else at_s, draw(values), now_s, substituted))
    return found


@st.composite
def cut(
    draw: st.DrawFn, values: st.SearchStrategy[dict[str, Any]], steps_s: Sequence[float] = STEPS_S
) -> list[list[One]]:
    """The arrivals in batches of any size; inside a batch the devices may be shuffled, since they do not matter to each
    other: of each device the order stays."""
    rest, batches = draw(arrivals(values, steps_s)), []
    while rest:
        size = draw(st.integers(1, len(rest)))
        batch, rest = rest[:size], rest[size:]
        places = draw(st.permutations(range(size)))
        of_device: dict[int, list[One]] = defaultdict(list)
        for one in batch:
            of_device[one.slot].append(one)
        batches.append([of_device[slot].pop(0) for slot in (batch[place].slot for place in places)])
    return batches


BASELINE = {0: 0.0, 1: 3.0, 2: 33.0}


@given(cut(cover_values))
def test_batches_say_what_each_report_says(batches: list[list[One]]) -> None:
    bench = Bench.of("cover", TILT, WATER, OPEN, GUARDED)
    bench.evaluator.baseline["tilt_deg"][:] = [BASELINE[slot] for slot in range(3)]
    slow = OneByOne("cover", [TILT, WATER, OPEN, GUARDED], BASELINE)
    for batch in batches:
        bench.judge(*batch)
        for one in batch:
            slow.take(one)
    assert told(bench.transitions) == told_slowly(slow)
    assert sorted((one.slot, one.rule_id, one.change.began, one.change.at_us) for one in bench.flapping) == sorted(
        slow.flaps
    )
    kept = {(rule_id, slot): state.level for rule_id, slot, state in bench.evaluator.unsettled()}
    assert kept == {key: state.level for key, state in slow.states.items() if state != NORMAL}
    for slot, newest in slow.newest.items():
        assert bench.evaluator.newest_us[slot] == newest


rain_values = st.fixed_dictionaries({}, optional={"amount_mm": st.sampled_from([None, 0.0, 0.2, 4.0, 9.0, 12.5, 30.0])})


@given(cut(rain_values))
@example([[One(0, at, {"amount_mm": 12.0}, 90_000 + at) for at in range(0, 86_400, 3000)]])
def test_sums_over_time_in_any_batches(batches: list[list[One]]) -> None:
    bench = Bench.of("rain", *RAIN)
    slow = OneByOne("rain", RAIN, {})
    for batch in batches:
        bench.judge(*batch)
        for one in batch:
            slow.take(one)
    assert told(bench.transitions) == told_slowly(slow)


RATE: dict[str, Any] = {
    "rule_id": "lamp.warming",
    "kind": "rate",
    "field": "leakage_ma",
    "per_s": 60,
    "over_s": 420,
    "at_least_s": 60,
    "levels": [{"severity": "yellow", "limit": 1, "dead_band": 0.5}, {"severity": "orange", "limit": 4}],
    "off_samples": 2,
}
FALL: dict[str, Any] = RATE | {
    "rule_id": "lamp.cooling",
    "looks": "below",
    "over_s": 200,
    "levels": [{"severity": "blue", "limit": -2}],
    "unless": {"door_open": True},
}
FORECAST: dict[str, Any] = {
    "rule_id": "lamp.will_leak",
    "kind": "forecast",
    "field": "leakage_ma",
    "to": 30,
    "by": "rising",
    "noise_per_min": 0.5,
    "over_s": 420,
    "at_least_s": 60,
    "levels": [{"severity": "yellow", "limit": 20, "dead_band": 5}, {"severity": "orange", "limit": 5, "samples": 2}],
}
RISE: dict[str, Any] = {
    "rule_id": "lamp.leakage_rise",
    "kind": "level",
    "field": "leakage_ma",
    "against_baseline": "rise",
    "levels": [{"severity": "yellow", "limit": 10, "dead_band": 3}],
}
lamp_values = st.fixed_dictionaries(
    {"leakage_ma": st.sampled_from([None, 0.0, 1.0, 2.0, 4.0, 9.0, 14.0, 22.0, 30.0, 31.0])},
    optional={
        "on": maybe_state,
        "door_open": maybe_state,
        "current_a": st.sampled_from([None, 0.0, 0.09, 0.1, 0.11, 0.125, 0.3, 0.5, 1.0]),
    },
)


@settings(max_examples=150)
@given(cut(lamp_values, [0.001, 10.0, 20.0, 30.0, 30.0, 40.0, 400.0]))
def test_slopes_forecasts_and_mismatches_in_any_batches(batches: list[list[One]]) -> None:
    rules = [RATE, FALL, FORECAST, LAMP_OUT, RISE]
    bench = Bench.of("lamp", *rules)
    bench.evaluator.baseline["current_a"][:] = [np.nan, 1.0, 0.0]
    bench.evaluator.baseline["leakage_ma"][:] = [np.nan, 1.0, 0.0]
    slow = OneByOne("lamp", rules, {1: 1.0, 2: 0.0})
    for batch in batches:
        bench.judge(*batch)
        for one in batch:
            slow.take(one)
    assert told(bench.transitions) == told_slowly(slow)


def test_rule_that_sums_forgets_what_is_too_old_to_count() -> None:
    bench = Bench.of("rain", *RAIN)
    for at_s in range(0, 40_000, 300):
        bench.judge(One(0, at_s, {"amount_mm": 0.2}))
    assert len(bench.evaluator.measures.sums["amount_mm"].windows[0]) == (3600 + 300) / 300


# one report at a time -----------------------------------------------------------------------------------------------


def test_at_the_same_time_the_later_arrival_wins() -> None:
    """A heartbeat and an event of one second: a vendor's clock has no finer one."""
    first = Bench.of("cover", OPEN)
    assert words(first.judge(One(0, 5, {"open": False}, 6), One(0, 5, {"open": True}, 7))) == [
        ("cover.open", Reason.limit_reached, 4)
    ]
    then = Bench.of("cover", OPEN)
    then.judge(One(0, 5, {"open": True}, 6), One(0, 5, {"open": False}, 7))
    assert [t.severity for t in then.transitions] == [4, 0]
    apart = Bench.of("cover", OPEN)
    apart.judge(One(0, 5, {"open": True}, 6))
    apart.judge(One(0, 5, {"open": False}, 7))
    assert told(apart.transitions) == told(then.transitions)


def test_latest_row_is_the_newest_and_of_equals_the_last() -> None:
    bench = Bench.of("cover", OPEN)
    made = reports(
        bench.family,
        [One(0, 9, {}, 10), One(1, 5, {}, 11), One(0, 9, {}, 12), One(0, 3, {}, 13), One(1, 6, {}, 14)],
    )
    outcome = bench.evaluator.judge(made)
    assert sorted(outcome.latest_rows) == [2, 4]
    assert outcome.late_rows == [3]


def test_reports_of_one_message_count_by_their_time() -> None:
    """An array may hold a backlog with the newest first; it came at one moment."""
    bench = Bench.of("cover", OPEN, LATE)
    batch = [One(0, at_s, {"open": at_s == 20}, received_s=100) for at_s in (30, 20, 10)]
    assert words(bench.judge(*batch)) == [
        ("cover.open", Reason.limit_reached, 4),
        ("cover.open", Reason.below_limit, 0),
    ]
    assert bench.evaluator.newest_us[0] == START + 30 * SECOND


@pytest.mark.parametrize("together", [True, False])
def test_clock_ahead_then_corrected_does_not_hide_an_open_cover(together: bool) -> None:
    """+4 min is trusted. The corrected report is filed under its receipt (its `seq` says so): it is the newest."""
    ahead = One(0, 240, {"open": False}, received_s=0)
    corrected = One(0, 10, {"open": True}, received_s=10, substituted=True)
    bench = Bench.of("cover", OPEN, LATE)
    if together:
        bench.judge(ahead, corrected)
    else:
        bench.judge(ahead)
        bench.judge(corrected)
    assert words(bench.transitions) == [("cover.open", Reason.limit_reached, 4)]
    assert bench.evaluator.newest_us[0] == START + 10 * SECOND
    bench.judge(One(0, 20, {"open": True}), One(0, 30, {"open": False}))
    assert words(bench.transitions)[1:] == [("cover.open", Reason.below_limit, 0)], "it goes on from there"


@pytest.mark.parametrize("together", [True, False])
def test_clock_ahead_then_corrected_without_seq_is_raised_blue(together: bool) -> None:
    """Backlog or a corrected clock: nobody can tell, so an operator is asked."""
    ahead, corrected = One(0, 240, {"open": False}, received_s=0), One(0, 10, {"open": True}, received_s=11)
    bench = Bench.of("cover", OPEN, LATE)
    if together:
        bench.judge(ahead, corrected)
    else:
        bench.judge(ahead)
        bench.judge(corrected)
    assert words(bench.transitions) == [("cover.late_hazard", Reason.late_hazard, 1)]


# unknown freezes ----------------------------------------------------------------------------------------------------


def test_what_a_report_does_not_say_changes_nothing() -> None:
    bench = Bench.of("cover", OPEN, WATER)
    bench.judge(One(0, 0, {"open": True, "water_below_rim_m": 0.5}))
    assert bench.judge(One(0, 10, {}), One(0, 3600, {"tilt_deg": 3.0})) == []
    assert {rule_id for rule_id, _, state in bench.evaluator.unsettled() if state.level} == {
        "cover.open",
        "cover.overflow",
    }


def test_unknown_does_not_interrupt_what_is_on_its_way() -> None:
    bench = Bench.of("cover", GUARDED)
    shaken = {"tilt_deg": 20.0, "vibration": True}
    bench.judge(One(0, 0, shaken))
    bench.judge(One(0, 1, {"tilt_deg": 0.0}), One(0, 2, {"vibration": True}))
    assert words(bench.judge(One(0, 3, shaken))) == [("cover.shaken", Reason.limit_reached, 2)]


def test_guard_that_does_not_hold_ends_the_alarm() -> None:
    bench = Bench.of("cover", GUARDED)
    bench.judge(One(0, 0, {"tilt_deg": 20.0, "vibration": True}), One(0, 1, {"tilt_deg": 20.0, "vibration": True}))
    assert words(bench.judge(One(0, 2, {"tilt_deg": 20.0, "vibration": False}))) == [
        ("cover.shaken", Reason.below_limit, 0)
    ]


def test_unless_unknown_applies() -> None:
    bench = Bench.of("cover", TILT)
    assert words(bench.judge(One(0, 0, {"tilt_deg": 40.0}))) == [("cover.tilt", Reason.limit_reached, 4)]
    bench.judge(One(0, 1, {"open": True}), One(0, 2, {"open": True}))
    assert words(bench.transitions)[-1] == ("cover.tilt", Reason.below_limit, 0), "then it is cover.open's alarm"


def test_proof_is_the_reading_as_it_was() -> None:
    bench = Bench.of("cover", WATER, TILT, OPEN)
    bench.evaluator.baseline["tilt_deg"][:] = 3.0
    values = {"water_below_rim_m": 0.95, "tilt_deg": 43.0, "open": None, "battery_pct": 80.0}
    proofs = {t.rule.rule.rule_id: t.proof for t in bench.judge(One(0, 5, values, 7))}
    water, tilt = proofs["cover.overflow"], proofs["cover.tilt"]
    assert (water["value"], water["limit"], water["unit"], water["label"]) == (0.95, 1.0, "m", "水面距井口")
    assert (tilt["value"], tilt["limit"]) == (40.0, 30.0), "as the rule judged it: from its baseline"
    assert tilt["values"]["tilt_deg"] == 43.0
    assert tilt["values"]["battery_pct"] == 80.0
    assert (tilt["ts_us"], tilt["received_us"]) == (START + 5 * SECOND, START + 7 * SECOND)


def test_proof_of_a_state_is_the_state() -> None:
    closed = OPEN | {"rule_id": "cover.shut", "equals": False}
    bench = Bench.of("cover", closed)
    proof = bench.judge(One(0, 0, {"open": False}))[0].proof
    assert (proof["value"], proof["limit"]) == (0.0, 0.0)
