"""The vectorised judge against stepping each report by itself through `transition`, however the reports are cut into
batches; and what only a batch has: late reports, sums over time, several reports of one device."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alerts.outcome import Transition
from alerts.rules import LevelRule, parse_rule
from alerts.transition import NORMAL, Limits, Sample, State, on_sample
from tests.unit.batches import SECOND, START, Bench, One, reports
from underfoot.alarms import Condition, Reason, Severity
from underfoot.families import FAMILIES

TILT: dict[str, Any] = {
    "rule_id": "cover.tilt",
    "kind": "level",
    "field": "tilt_deg",
    "against_baseline": True,
    "unless": {"open": True},
    "levels": [
        {"severity": "yellow", "limit": 10, "dead_band": 2, "on_delay_s": 3, "samples": 2},
        {"severity": "orange", "limit": 15, "dead_band": 2, "on_delay_s": 3},
        {"severity": "red", "limit": 30, "dead_band": 5},
    ],
    "off_samples": 2,
}
WATER: dict[str, Any] = {
    "rule_id": "cover.overflow",
    "kind": "level",
    "field": "water_below_rim_m",
    "looks": "below",
    "levels": [{"severity": "blue", "limit": 1.0, "dead_band": 0.1}, {"severity": "red", "limit": 0.0}],
    "off_delay_s": 5,
}
OPEN: dict[str, Any] = {
    "rule_id": "cover.open",
    "kind": "level",
    "field": "open",
    "equals": True,
    "proof": "silence",
    "levels": [{"severity": "red"}],
}
GUARDED: dict[str, Any] = {
    "rule_id": "cover.shaken",
    "kind": "level",
    "field": "tilt_deg",
    "when": {"vibration": True},
    "levels": [{"severity": "yellow", "limit": 12, "samples": 2}],
}
LATE: dict[str, Any] = {"rule_id": "cover.late_hazard", "kind": "late_hazard", "severity": "blue"}
OFFLINE: dict[str, Any] = {"rule_id": "cover.offline", "kind": "no_data", "intervals": 1.5, "severity": "blue"}
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
]


# the slow way -------------------------------------------------------------------------------------------------------


class OneByOne:
    """Each report by itself, in the order of arrival; no arrays, no look at other devices."""

    def __init__(self, family: str, bodies: list[dict[str, Any]], baseline: dict[int, float]) -> None:
        self.rules: list[tuple[LevelRule, Limits]] = []
        for body in bodies:
            rule = parse_rule({"title": "题", "source": "a test", "family": family} | body)
            assert isinstance(rule, LevelRule)
            self.rules.append((rule, comparable(rule)))
        self.baseline = baseline
        self.newest: dict[int, int] = {}
        self.states: dict[tuple[str, int], State] = defaultdict(lambda: NORMAL)
        self.fallen: dict[int, list[tuple[int, float]]] = defaultdict(list)
        self.seen: list[tuple[Any, ...]] = []

    def take(self, one: One) -> None:
        if one.values.get("amount_mm") is not None:
            self.fallen[one.slot].append((one.ts_us, one.values["amount_mm"]))
        if one.ts_us < self.newest.get(one.slot, one.ts_us) and not one.substituted:
            return
        self.newest[one.slot] = one.ts_us
        for rule, limits in self.rules:
            value = self.measure(rule, one)
            if value is None:
                continue
            key = rule.rule_id, one.slot
            self.states[key], changes = on_sample(
                limits, self.states[key], Sample(value, one.ts_us, one.received_us, {})
            )
            for change in changes:
                severities = [level.rank for level in rule.levels]
                before = severities[change.level_before - 1] if change.level_before else 0
                after = severities[change.level - 1] if change.level else 0
                self.seen.append(
                    (one.slot, rule.rule_id, change.reason, change.before, change.after, before, after, change.at_us)
                )

    def measure(self, rule: LevelRule, one: One) -> float | None:
        """None: unknown, which freezes."""
        for name, wanted in rule.when.items():
            if one.values.get(name) is None:
                return None
            if one.values[name] != wanted:
                return -math.inf
        if any(one.values.get(name) == unwanted for name, unwanted in rule.unless.items()):
            return -math.inf
        value = one.values.get(rule.field)
        if value is None:
            return None
        if rule.equals is not None:
            value = float(value == rule.equals)
        if rule.sum_over_s is not None:
            since = one.ts_us - int(rule.sum_over_s * SECOND)
            value = math.fsum(amount for at, amount in self.fallen[one.slot] if since < at <= one.ts_us)
        if rule.against_baseline:
            value = abs(value - self.baseline.get(one.slot, 0.0))
        return float(value if rule.looks == "above" else -value)


def comparable(rule: LevelRule) -> Limits:
    sign = 1 if rule.looks == "above" else -1
    return Limits(
        reach=tuple(sign * level.limit for level in rule.levels),
        leave=tuple(sign * level.limit - level.dead_band for level in rule.levels),
        severity=tuple(level.rank for level in rule.levels),
        on_delay_us=tuple(int(level.on_delay_s * SECOND) for level in rule.levels),
        samples=tuple(level.samples for level in rule.levels),
        off_delay_us=int(rule.off_delay_s * SECOND),
        off_samples=rule.off_samples,
        by_silence=rule.proof == "silence",
    )


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


@st.composite
def arrivals(draw: st.DrawFn, values: st.SearchStrategy[dict[str, Any]], most: int = 40) -> list[One]:
    """Reports of three devices as they arrive, one message each: mostly in order, some late, some with another's time,
    some with a time of ours instead of theirs (substituted), a few clocks ahead."""
    found: list[One] = []
    now_s = 0.0
    for _ in range(draw(st.integers(1, most))):
        now_s += draw(st.sampled_from([0.001, 1.0, 1.0, 2.0, 30.0, 400.0]))
        slot = draw(st.integers(0, 2))
        off_s = draw(st.sampled_from([0.0, 0.0, 0.0, 0.0, -1.0, -2.0, -3600.0, 240.0]))
        at_s = draw(st.sampled_from([now_s + off_s, now_s + off_s, math.floor((now_s + off_s) / 10) * 10.0]))
        substituted = draw(st.sampled_from([False, False, False, True]))
        found.append(One(slot, now_s if substituted else at_s, draw(values), now_s, substituted))
    return found


@st.composite
def cut(draw: st.DrawFn, values: st.SearchStrategy[dict[str, Any]]) -> list[list[One]]:
    """The arrivals in batches of any size; inside a batch the devices may be shuffled, since they do not matter to each
    other: of each device the order stays."""
    rest, batches = draw(arrivals(values)), []
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


def test_rule_that_sums_forgets_what_is_too_old_to_count() -> None:
    bench = Bench.of("rain", *RAIN)
    for at_s in range(0, 40_000, 300):
        bench.judge(One(0, at_s, {"amount_mm": 0.2}))
    assert len(bench.evaluator.windows["amount_mm", 0]) == (3600 + 300) / 300


# one report at a time -----------------------------------------------------------------------------------------------


def words(transitions: list[Transition]) -> list[tuple[str, Reason, int]]:
    return [(t.rule.rule.rule_id, t.reason, t.severity) for t in transitions]


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


# late hazards -------------------------------------------------------------------------------------------------------


def raised_late(bench: Bench) -> list[tuple[Reason, Condition, Condition, str | None]]:
    return [
        (t.reason, t.before, t.after, t.proof.get("of_rule"))
        for t in bench.transitions
        if t.rule.rule.rule_id == "cover.late_hazard"
    ]


def with_newest_at(at_s: float, *bodies: dict[str, Any]) -> Bench:
    bench = Bench.of("cover", *bodies)
    bench.judge(One(0, at_s, {"open": False, "tilt_deg": 0.0, "water_below_rim_m": 3.0}))
    return bench


def test_late_report_changes_no_condition_but_asks_an_operator() -> None:
    bench = with_newest_at(100, OPEN, LATE)
    transition = bench.judge(One(0, 40, {"open": True}, 101))[0]
    assert raised_late(bench) == [(Reason.late_hazard, Condition.normal, Condition.active, "cover.open")]
    assert (transition.severity, transition.at_us) == (Severity.blue, START + 40 * SECOND)
    assert list(bench.evaluator.unsettled()) == []
    assert bench.evaluator.newest_us[0] == START + 100 * SECOND


def test_late_hazard_ends_with_the_next_newer_report_that_says() -> None:
    bench = with_newest_at(100, OPEN, LATE)
    bench.judge(One(0, 40, {"open": True}, 101))
    bench.judge(One(0, 50, {"open": False}, 102))
    bench.judge(One(0, 110, {"tilt_deg": 2.0}))
    assert len(raised_late(bench)) == 1, "neither an older report answers it, nor one that does not say"
    bench.judge(One(0, 120, {"open": False}))
    assert raised_late(bench)[1:] == [(Reason.newer_report_normal, Condition.active, Condition.normal, None)]
    assert bench.evaluator.late == {}


def test_late_hazard_gives_way_to_the_alarm_itself() -> None:
    bench = with_newest_at(100, OPEN, LATE)
    bench.judge(One(0, 40, {"open": True}, 101))
    assert words(bench.judge(One(0, 120, {"open": True}))) == [
        ("cover.open", Reason.limit_reached, 4),
        ("cover.late_hazard", Reason.newer_report_raised, 0),
    ]


def test_no_late_hazard_while_the_alarm_is_open() -> None:
    bench = Bench.of("cover", OPEN, LATE)
    bench.judge(One(0, 100, {"open": True}))
    assert bench.judge(One(0, 40, {"open": True}, 101)) == []


def test_one_late_hazard_at_a_time_and_again_after_its_end() -> None:
    bench = with_newest_at(100, OPEN, LATE)
    bench.judge(One(0, 40, {"open": True}, 101), One(0, 41, {"open": True}, 102))
    bench.judge(One(0, 42, {"open": True}, 103))
    assert len(raised_late(bench)) == 1
    bench.judge(One(0, 120, {"open": False}))
    bench.judge(One(0, 60, {"open": True}, 121))
    assert [reason for reason, *_ in raised_late(bench)] == [
        Reason.late_hazard,
        Reason.newer_report_normal,
        Reason.late_hazard,
    ]


@pytest.mark.parametrize(
    "answers", [({"water_below_rim_m": 3.0}, {"open": False}), ({"open": False}, {"water_below_rim_m": 3.0})]
)
def test_second_hazard_of_a_device_is_answered_for_itself(answers: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """While one late hazard is open another rule's joins it: it ends when both have been answered."""
    bench = with_newest_at(100, OPEN, WATER, LATE)
    bench.judge(One(0, 40, {"water_below_rim_m": -0.5}, 101))
    bench.judge(One(0, 50, {"open": True}, 102))
    assert raised_late(bench) == [
        (Reason.late_hazard, Condition.normal, Condition.active, "cover.overflow"),
        (Reason.late_hazard, Condition.active, Condition.active, "cover.open"),
    ]
    bench.judge(One(0, 110, answers[0]))
    assert len(raised_late(bench)) == 2, "of the other nobody has said anything"
    bench.judge(One(0, 111, answers[1]))
    assert raised_late(bench)[2:] == [(Reason.newer_report_normal, Condition.active, Condition.normal, None)]


def test_two_hazards_in_one_late_report() -> None:
    bench = with_newest_at(100, OPEN, WATER, LATE)
    bench.judge(One(0, 40, {"water_below_rim_m": -0.5, "open": True}, 101))
    assert [(reason, before) for reason, before, *_ in raised_late(bench)] == [
        (Reason.late_hazard, Condition.normal),
        (Reason.late_hazard, Condition.active),
    ]
    bench.judge(One(0, 110, {"water_below_rim_m": -0.5, "open": False}))
    assert raised_late(bench)[-1][0] == Reason.newer_report_raised


@pytest.mark.parametrize(("water_m", "asked"), [(0.9, False), (-0.1, True)])
def test_late_hazard_begins_at_its_least_severity(water_m: float, asked: bool) -> None:
    bench = with_newest_at(100, WATER, LATE)
    assert bool(bench.judge(One(0, 40, {"water_below_rim_m": water_m}, 101))) == asked


def test_substituted_time_is_never_late() -> None:
    bench = with_newest_at(240, OPEN, LATE)
    assert words(bench.judge(One(0, 10, {"open": True}, 10, substituted=True))) == [
        ("cover.open", Reason.limit_reached, 4)
    ]


# silence ------------------------------------------------------------------------------------------------------------


def test_silence_proves_what_a_sleeping_device_began() -> None:
    sleeping = WATER | {"proof": "silence", "levels": [{"severity": "orange", "limit": 0.3, "on_delay_s": 3}]}
    bench = Bench.of("cover", sleeping)
    bench.judge(One(0, 0, {"water_below_rim_m": 0.2}, 1), One(1, 0, {"water_below_rim_m": 0.2}, 1))
    assert bench.evaluator.waits_for_silence
    bench.judge(One(1, 2, {"water_below_rim_m": 3.0}))
    assert bench.silence(3.9) == []
    assert [(t.subject_key, t.reason) for t in bench.silence(4)] == [(100, Reason.held_in_silence)]
    assert not bench.evaluator.waits_for_silence
    bench.judge(One(0, 10, {"water_below_rim_m": 3.0}))
    assert [(t.reason, t.severity) for t in bench.silence(1000)] == [(Reason.clear_in_silence, 0)]
    assert list(bench.evaluator.unsettled()) == []


def test_silence_takes_every_step_that_is_due() -> None:
    """A backlog of ours: by the time it is looked at, raised and risen are both due."""
    rule = TILT | {"proof": "silence", "unless": {}, "levels": [
        {"severity": "yellow", "limit": 10, "on_delay_s": 3},
        {"severity": "red", "limit": 30, "on_delay_s": 600},
    ]}  # fmt: skip
    bench = Bench.of("cover", rule)
    bench.judge(One(0, 0, {"tilt_deg": 40.0}))
    assert words(bench.silence(10)) == [("cover.tilt", Reason.held_in_silence, 2)]
    assert words(bench.silence(600)) == [("cover.tilt", Reason.severity_rose, 4)]


def test_offline_and_its_end() -> None:
    bench = Bench.of("cover", OPEN, OFFLINE)
    assert bench.evaluator.allowed_silence_us(100) == 150 * SECOND
    bench.judge(One(0, 0, {"open": False}))
    raised = bench.offline(0, 0, 151)
    assert [(t.reason, t.severity, t.at_us) for t in raised] == [(Reason.no_data, 1, START + 151 * SECOND)]
    assert bench.offline(0, 0, 160) == [], "once"
    ended = bench.judge(One(1, 200, {"open": False}), One(0, 200, {"open": False}), One(0, 201, {"open": False}))
    assert [(t.reason, t.subject_key, t.severity, t.at_us) for t in ended] == [
        (Reason.data_again, 100, 0, START + 200 * SECOND)
    ]
    assert bench.offline(0, 150, 400) == [], "heard since"
    assert [t.reason for t in bench.offline(0, 201, 400)] == [Reason.no_data]


def test_a_late_report_is_a_sign_of_life() -> None:
    bench = with_newest_at(100, OPEN, OFFLINE)
    bench.offline(0, 100, 300)
    assert [t.reason for t in bench.judge(One(0, 50, {"open": False}, 301))] == [Reason.data_again]


def test_closing_by_hand_starts_again_from_normal() -> None:
    bench = Bench.of("cover", OPEN, OFFLINE, LATE)
    bench.judge(One(0, 0, {"open": True}))
    bench.offline(0, 0, 500)
    bench.judge(One(1, 100, {"open": False}))
    bench.judge(One(1, 50, {"open": True}, 101))
    for rule_id, slot in (("cover.open", 0), ("cover.offline", 0), ("cover.late_hazard", 1)):
        bench.evaluator.apply(bench.evaluator.judge_closed(rule_id, slot))
    assert list(bench.evaluator.unsettled()) == []
    assert (bench.evaluator.offline, bench.evaluator.late) == (set(), {})
    assert words(bench.judge(One(0, 1000, {"open": True}))) == [("cover.open", Reason.limit_reached, 4)]


def test_an_empty_batch_and_rules_of_other_families() -> None:
    bench = Bench.of("road", OPEN | {"rule_id": "road.wet", "field": "depth_cm", "equals": None, "levels": [
        {"severity": "red", "limit": 5},
    ]})  # fmt: skip
    assert bench.judge() == []
    assert FAMILIES["cover"] is not bench.family
    assert words(bench.judge(One(2, 0, {"depth_cm": 5.0}))) == [("road.wet", Reason.limit_reached, 4)]
