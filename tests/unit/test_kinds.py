"""What each kind of rule raises and ends, report by report; rules that fail, and rules whose numbers differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alerts.judge.means import Means
from alerts.judge.measures import AT_RIM, Measuring
from alerts.judge.outcome import RuleInForce, Transition, Variant
from alerts.rules import RuleError, parse_rule, shipped_pack
from alerts.rules.override import CITY, Override, Scope, overridden
from tests.unit.batches import LAMP_OUT, SECOND, START, Bench, One
from underfoot.alarms import Reason
from underfoot.families import FAMILIES

BASE: dict[str, Any] = {"title": "题", "source": "a test"}
RISE: dict[str, Any] = {
    "rule_id": "road.rise",
    "kind": "rate",
    "field": "depth_cm",
    "per_s": 300,
    "over_s": 420,
    "at_least_s": 120,
    "levels": [{"severity": "yellow", "limit": 2, "dead_band": 1}, {"severity": "orange", "limit": 5, "dead_band": 1}],
}
OVERFLOW: dict[str, Any] = {
    "rule_id": "cover.overflow_forecast",
    "kind": "forecast",
    "field": "water_below_rim_m",
    "to": 0,
    "by": "falling",
    "noise_per_min": 0.005,
    "over_s": 420,
    "at_least_s": 120,
    "levels": [{"severity": "yellow", "limit": 30, "dead_band": 5}, {"severity": "orange", "limit": 15}],
}
DEPTH: dict[str, Any] = {
    "rule_id": "road.ponding",
    "kind": "level",
    "field": "depth_cm",
    "levels": [{"severity": "yellow", "limit": 15}, {"severity": "red", "limit": 40}],
}


def words(transitions: list[Transition]) -> list[tuple[str, Reason, int]]:
    return [(t.rule.rule.rule_id, t.reason, t.severity) for t in transitions]


def depths(*samples: tuple[float, float | None]) -> list[One]:
    return [One(0, at_s, {"depth_cm": depth}) for at_s, depth in samples]


# rate ---------------------------------------------------------------------------------------------------------------


def test_rise_is_seen_from_three_samples_on() -> None:
    bench = Bench.of("road", RISE)
    bench.judge(*depths((0, 0), (60, 0.6)))
    assert bench.transitions == [], "two samples, however fast"
    (raised,) = bench.judge(*depths((120, 1.2)))
    assert (raised.reason, raised.severity) == (Reason.limit_reached, 2)
    proof = raised.proof
    assert (proof["label"], proof["value"], proof["unit"], proof["limit"]) == ("积水深度涨速", 3.0, "cm/5分钟", 2.0)
    assert proof["values"]["depth_cm"] == 1.2


def test_rise_is_over_as_soon_as_two_samples_say_so() -> None:
    bench = Bench.of("road", RISE)
    bench.judge(*depths((0, 0), (60, 2), (120, 4)))
    bench.judge(*depths((3600, 4)))
    assert len(bench.transitions) == 1, "after an hour without a report nothing is known"
    assert words(bench.judge(*depths((3790, 4)))) == [("road.rise", Reason.below_limit, 0)]


def test_gap_of_more_than_two_intervals_breaks_the_line() -> None:
    bench = Bench.of("road", RISE)
    bench.evaluator.interval_s[:] = 60
    assert bench.judge(*depths((0, 0), (60, 10), (181, 20))) == []
    other = Bench.of("road", RISE)
    other.evaluator.interval_s[:] = 60
    assert len(other.judge(*depths((0, 0), (60, 10), (180, 20)))) == 1


def test_unknown_neither_raises_nor_clears_a_rate() -> None:
    bench = Bench.of("road", RISE)
    bench.judge(*depths((0, 0), (60, 2), (120, 4)))
    assert bench.judge(*depths((130, None), (140, None))) == []
    assert bench.judge(*depths((145, 4), (150, 4), (155, 4))) == [], "it still rises by its line"


def test_fast_reporter_is_judged_over_the_whole_span() -> None:
    """Ten reports a second hide no slope, and make none."""
    bench = Bench.of("road", RISE)
    steady = [(n / 10, 5.0 + 0.1 * (n % 2)) for n in range(1500)]
    for first in range(0, 1500, 300):
        bench.judge(*depths(*steady[first : first + 300]))
    assert bench.transitions == []
    rising = [(150 + n / 10, 5.0 + n * 0.002) for n in range(3000)]
    for first in range(0, 3000, 300):
        bench.judge(*depths(*rising[first : first + 300]))
    assert [t.severity for t in bench.transitions] == [2, 3]


def test_only_who_says_the_field_takes_room() -> None:
    bench = Bench.of("road", RISE, devices=1000)
    bench.judge(One(7, 0, {"depth_cm": 1.0}), One(8, 0, {"battery_pct": 50.0}))
    (slopes,) = bench.evaluator.measures.slopes.values()
    assert slopes._rooms._used == 1


# mean ---------------------------------------------------------------------------------------------------------------

DUST = {
    "rule_id": "lamp.pm2_5",
    "kind": "level",
    "field": "pm2_5_ug_m3",
    "mean_over_s": 86400,
    "levels": [{"severity": "blue", "limit": 75, "dead_band": 5}],
}
HOUR_S = 3600
_FIRST_S = HOUR_S - START // SECOND % HOUR_S
"""Where the first whole hour begins."""


def dust(hour: float, value: float, slot: int = 0, **more: Any) -> One:
    return One(slot, _FIRST_S + hour * HOUR_S, {"pm2_5_ug_m3": value}, **more)


def test_a_mean_is_unknown_until_twenty_of_its_hours_have_said_something() -> None:
    bench = Bench.of("lamp", DUST)
    assert not bench.judge(*(dust(n, 500.0) for n in range(19)))
    assert words(bench.judge(dust(19, 80.0))) == [("lamp.pm2_5", Reason.limit_reached, 1)]
    assert bench.transitions[0].proof["value"] == pytest.approx((19 * 500 + 80) / 20)
    assert bench.transitions[0].proof["label"] == "PM2.5 24小时平均"
    gap = 19 + 24 - 18
    assert not bench.judge(dust(gap, 0.0)), "18 of the hours that count are left: neither too much nor enough"


def test_an_hour_with_many_reports_counts_as_one_with_few() -> None:
    bench = Bench.of("lamp", DUST)
    bench.judge(*(dust(n, 70.0) for n in range(23)))
    assert not bench.judge(*(dust(23 + n / 1000, 180.0) for n in range(900))), "(23 × 70 + 180) / 24 = 74.6"
    bench.judge(dust(24, 85.0))
    assert bench.transitions[0].proof["value"] == pytest.approx((22 * 70 + 180 + 85) / 24)


def test_a_mean_over_what_is_over_is_over() -> None:
    bench = Bench.of("lamp", DUST)
    bench.judge(*(dust(n, 100.0) for n in range(24)))
    assert len(bench.transitions) == 1
    bench.judge(*(dust(24 + n, 20.0) for n in range(24)))
    assert words(bench.transitions[1:]) == [("lamp.pm2_5", Reason.below_limit, 0)]


def test_a_late_report_counts_in_its_hour() -> None:
    bench = Bench.of("lamp", DUST)
    bench.judge(*(dust(n, 74.0) for n in range(24)))
    bench.judge(dust(12.5, 300.0, received_s=_FIRST_S + 24 * HOUR_S))
    assert words(bench.judge(dust(23.5, 74.0))) == [("lamp.pm2_5", Reason.limit_reached, 1)], "hour 12 is 187 now"


def test_means_that_are_added_up_elsewhere_are_the_same() -> None:
    """As a restart has it: the sums and counts of each part, from the database, in any order."""
    slots = np.repeat(np.array([3, 5], np.int32), 60)
    ts_us = np.tile(np.arange(60, dtype=np.int64) * 1000 * SECOND, 2)
    values = np.asarray(np.arange(120) % 7 * 10, np.float64)
    judged, loaded = Means("pm2_5_ug_m3", 86400), Means("pm2_5_ug_m3", 86400)
    for one in (judged, loaded):
        one.grow(10)
    judged.apply(judged.judge(slots, ts_us, values, np.arange(120))[1])
    parts = ts_us // loaded.part_us
    known = sorted(set(zip(slots.tolist(), parts.tolist(), strict=True)), key=lambda one: -one[1])
    here = [(slots == slot) & (parts == part) for slot, part in known]
    loaded.add(
        np.array([slot for slot, _ in known], np.int64),
        np.array([part for _, part in known], np.int64),
        np.array([values[which].sum() for which in here]),
        np.array([which.sum() for which in here], np.int64),
    )
    both = np.array([3, 5], np.int64)
    assert (judged._rooms.of(both) == loaded._rooms.of(both)).all()


# forecast -----------------------------------------------------------------------------------------------------------


def water(*samples: tuple[float, float]) -> list[One]:
    return [One(0, at_s, {"water_below_rim_m": metres}) for at_s, metres in samples]


def test_minutes_left_from_the_falling_limb() -> None:
    bench = Bench.of("cover", OVERFLOW)
    bench.judge(*water((0, 1.0), (60, 0.95)))
    (raised,) = bench.judge(*water((120, 0.9)))
    assert (raised.severity, raised.proof["value"], raised.proof["unit"]) == (2, 18.0, "分钟")
    (worse,) = bench.judge(*water((240, 0.7)))
    assert worse.severity == 3
    assert worse.proof["value"] == pytest.approx(0.7 / 0.0757, abs=0.01), "by the line through all four"


def test_water_that_stands_will_never_be_there() -> None:
    """At whatever height: that is another rule's."""
    bench = Bench.of("cover", OVERFLOW)
    assert bench.judge(*water((0, 0.01), (60, 0.01), (120, 0.01), (180, 0.02))) == []
    raised = Bench.of("cover", OVERFLOW)
    raised.judge(*water((0, 1.0), (60, 0.95), (120, 0.9)))
    (ended,) = raised.judge(*water((1000, 0.9)), *water((1120, 0.9)))
    assert ended.reason == Reason.below_limit
    assert (ended.proof["value"], ended.proof["unit"], ended.proof["limit"]) == (0.9, "m", None)


def test_water_beyond_its_limit_has_no_minutes_left() -> None:
    bench = Bench.of("cover", OVERFLOW)
    (raised,) = bench.judge(*water((0, 0.1), (60, 0.0), (120, -0.1)))
    assert (raised.severity, raised.proof["value"]) == (3, 0.0)


def sewer(*samples: tuple[float, float]) -> list[One]:
    return [One(0, at_s, {"fill_ratio": fill, "network": 1}) for at_s, fill in samples]


STORM_SEWER: dict[str, Any] = {
    "rule_id": "pipe.overflow_forecast",
    "kind": "forecast",
    "field": "fill_ratio",
    "to": 2.0,
    "to_rim": True,
    "beyond": 1.0,
    "by": "rising",
    "noise_per_min": 0.002,
    "when": {"network": 1},
    "over_s": 420,
    "at_least_s": 120,
    "levels": [{"severity": "yellow", "limit": 30, "dead_band": 5}],
}


def test_a_storm_sewer_may_fill_and_is_watched_beyond_its_crown() -> None:
    bench = Bench.of("pipe", STORM_SEWER)
    assert bench.judge(*sewer((0, 0.2), (60, 0.5), (120, 0.8), (180, 0.99))) == [], "4 minutes from 2.0, as designed"
    (raised,) = bench.judge(*sewer((240, 1.2)))
    # 0.25 a minute by all of it, but 0.21 of late: the slower counts.
    assert raised.proof["value"] == pytest.approx(0.8 / 0.21, abs=0.02)
    (ended,) = bench.judge(*sewer((300, 0.95)))
    assert ended.reason == Reason.below_limit


def test_the_rim_counts_where_the_ledger_says_it() -> None:
    bench = Bench.of("pipe", STORM_SEWER)
    bench.evaluator.baseline[AT_RIM][0] = 6.0
    rising = sewer((0, 1.0), (60, 1.1), (120, 1.2), (180, 1.3))
    assert bench.judge(*rising) == [], "47 minutes from the rim; from 2.0 it would be 7"
    (raised,) = bench.judge(*sewer((240, 3.5)))
    assert raised.proof["value"] == pytest.approx(2.5 / 0.54, abs=0.3)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"field": "level_m"}, "to_rim"), ({"by": "falling", "to": 0.5}, "to_rim"), ({"beyond": 2.0}, "beyond")],
)
def test_what_no_forecast_of_overflow_can_be(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(RuleError) as refused:
        parse_rule(BASE | STORM_SEWER | {"family": "pipe"} | changes)
    assert refused.value.problems[0].field == field


# mismatch -----------------------------------------------------------------------------------------------------------


def lamp(at_s: float, on: bool | None, current_a: float | None) -> One:
    return One(0, at_s, {"on": on, "current_a": current_a})


def test_lamp_that_is_on_and_draws_nothing() -> None:
    bench = Bench.of("lamp", LAMP_OUT)
    assert [t.severity for t in bench.judge(lamp(0, True, 0.05), lamp(1, True, 0.05))] == [0], "pending"
    (raised,) = bench.judge(lamp(2, True, 0.05))
    assert (raised.severity, raised.proof["value"], raised.proof["limit"], raised.proof["unit"]) == (2, 10.0, 20.0, "%")
    assert bench.judge(lamp(3, None, 0.5), lamp(4, True, None)) == [], "unknown freezes"
    assert words(bench.judge(lamp(5, False, 0.0))) == [("lamp.out", Reason.below_limit, 0)]


def test_what_is_rated_is_the_devices_own() -> None:
    bench = Bench.of("lamp", LAMP_OUT)
    bench.evaluator.baseline["current_a"][0] = 0.2
    bench.judge(*(lamp(n, True, 0.05) for n in range(3)))
    assert bench.transitions == [], "a quarter of 0.2 A"
    bench.judge(*(lamp(n, True, 0.03) for n in range(3, 6)))
    assert [t.severity for t in bench.transitions] == [0, 2]


# level --------------------------------------------------------------------------------------------------------------


def test_one_of_several_fault_codes() -> None:
    bench = Bench.of("pump", CODES)
    said = [(0, 0), (1, 17), (2, 3), (3, 4), (4, 3)]
    bench.judge(*(One(0, at_s, {"fault_code": code}) for at_s, code in said))
    assert [(t.severity, t.proof["value"], t.proof["limit"]) for t in bench.transitions] == [
        (4, 17.0, None), (0, 4.0, None), (4, 3.0, None),
    ]  # fmt: skip


def test_turned_over_is_the_worst_whatever_the_baseline() -> None:
    tilt = next(rule for rule in shipped_pack() if rule.rule_id == "cover.tilt")
    body = tilt.model_dump(mode="json")
    bench = Bench.of("cover", body)
    bench.evaluator.baseline["tilt_deg"][0] = 85.0
    assert words(bench.judge(One(0, 0, {"tilt_deg": 91.0}))) == [("cover.tilt", Reason.limit_reached, 4)]
    assert bench.judge(One(1, 0, {"tilt_deg": 9.0})) == [], "without a baseline it lies level"


def test_rise_needs_a_baseline_to_rise_from() -> None:
    rise = {
        "rule_id": "lamp.leakage_rise",
        "kind": "level",
        "field": "leakage_ma",
        "against_baseline": "rise",
        "levels": [{"severity": "yellow", "limit": 10}],
    }
    bench = Bench.of("lamp", rise)
    bench.evaluator.baseline["leakage_ma"][1] = 12.0
    told = bench.judge(*(One(slot, at_s, {"leakage_ma": 22.5}) for slot in (0, 1) for at_s in (0, 1)))
    assert [t.subject_key for t in told] == [101]
    assert told[0].proof["value"] == 10.5
    assert words(bench.judge(One(1, 5, {"leakage_ma": 0.5}))) == [("lamp.leakage_rise", Reason.below_limit, 0)]


# flapping -----------------------------------------------------------------------------------------------------------


def test_flapping_is_found_in_one_batch_as_in_many() -> None:
    swaying = [One(0, n, {"depth_cm": 0.0 if n % 2 else 20.0}) for n in range(30)]
    calm = [One(0, 30 + n, {"depth_cm": 0.0}) for n in range(30)]
    together, apart = Bench.of("road", DEPTH), Bench.of("road", DEPTH)
    together.judge(*swaying, *calm)
    for one in [*swaying, *calm]:
        apart.judge(one)
    assert together.flapping == apart.flapping
    assert [one.change.began for one in together.flapping] == [True, False]
    assert not list(together.evaluator.unsettled()), "nothing of it is remembered for ever"


def test_closing_by_hand_ends_flapping() -> None:
    bench = Bench.of("road", DEPTH)
    bench.judge(*(One(0, n, {"depth_cm": 0.0 if n % 2 else 20.0}) for n in range(9)))
    outcome = bench.evaluator.judge_closed("road.ponding", 0, 1)
    bench.evaluator.apply(outcome)
    assert [one.change.began for one in outcome.flapping] == [False]
    assert not list(bench.evaluator.unsettled())


# a rule that fails --------------------------------------------------------------------------------------------------


def test_rule_that_raises_stops_no_other(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench.of("road", DEPTH, DEPTH | {"rule_id": "road.other"})
    before = [One(0, 0, {"depth_cm": 20.0}), One(1, 0, {"depth_cm": 0.0})]
    bench.judge(*before)
    measured = Measuring._guarded

    def breaks(self: Measuring, rule: Any, *rest: Any) -> Any:
        if rule.rule_id == "road.ponding":
            raise ZeroDivisionError("no such number")
        return measured(self, rule, *rest)

    with monkeypatch.context() as broken:
        broken.setattr(Measuring, "_guarded", breaks)
        told = bench.judge(One(1, 60, {"depth_cm": 20.0}))
        bench.judge(One(0, 60, {"depth_cm": 0.0}))
    assert words(told) == [("road.other", Reason.limit_reached, 2)]
    assert bench.evaluator.failing == {"road.ponding"}
    assert bench.evaluator.levels["road.ponding"].states[0].level == 1, "nothing of it has changed"
    assert len([record for record in caplog.records if "road.ponding" in record.message]) == 1, "said once"
    assert words(bench.judge(One(1, 120, {"depth_cm": 20.0}))) == [("road.ponding", Reason.limit_reached, 2)]
    assert bench.evaluator.failing == set()


# numbers for a narrower scope ---------------------------------------------------------------------------------------


def in_force(body: dict[str, Any], family: str, *overrides: dict[str, Any]) -> RuleInForce:
    rule = parse_rule(BASE | {"family": family} | body)
    variants = []
    for version, given in enumerate(overrides, 2):
        override = Override.model_validate({"rule_id": rule.rule_id, "source": "a test"} | given)
        complete = overridden(rule, override) if override.numbers else rule
        variants.append(Variant(override.scope, complete, version, override.enabled))
    return RuleInForce(rule, 1, tuple(sorted(variants, key=lambda one: one.precedence)))


def scoped(family: str, *rules: RuleInForce, scopes: dict[str, list[int]], devices: int = 4) -> Bench:
    bench = Bench.of(family, devices=devices)
    evaluator = type(bench.evaluator)(FAMILIES[family], rules)
    evaluator.add_devices(np.arange(100, 100 + devices, dtype=np.int32))
    within = {Scope.parse(text): np.array(slots, np.int64) for text, slots in scopes.items()}
    evaluator.assign(within, np.arange(devices))
    return Bench(FAMILIES[family], evaluator)


LOWER = {"levels": [{"severity": "yellow", "limit": 5}, {"severity": "red", "limit": 10}]}


def test_each_device_has_the_numbers_of_its_narrowest_scope() -> None:
    rule = in_force(
        DEPTH,
        "road",
        {"scope": "area:410502"} | LOWER,
        {"scope": "tag:school", "levels": [{"severity": "orange", "limit": 3}]},
        {"scope": "device:R-4", "enabled": False},
    )
    bench = scoped("road", rule, scopes={"area:410502": [1, 2, 3], "tag:school": [2, 3], "device:R-4": [3]})
    bench.judge(*(One(slot, 0, {"depth_cm": 12.0}) for slot in range(4)))
    found = {t.subject_key - 100: (t.severity, t.rule.version, t.proof.get("scope")) for t in bench.transitions}
    assert found == {1: (4, 2, "area:410502"), 2: (3, 3, "tag:school")}
    bench.judge(*(One(slot, 1, {"depth_cm": 50.0}) for slot in range(4)))
    assert [t.subject_key for t in bench.transitions[2:]] == [100]


def test_numbers_of_slopes_and_of_silence_differ_too() -> None:
    rate = in_force(RISE, "road", {"scope": "device:R-2", "levels": [{"severity": "red", "limit": 1}]})
    silence = {"rule_id": "road.offline", "kind": "no_data", "intervals": 3, "severity": "blue"}
    offline = in_force(
        silence, "road", {"scope": "device:R-2", "intervals": 10.0}, {"scope": "device:R-3", "enabled": False}
    )
    bench = scoped("road", rate, offline, scopes={"device:R-2": [1], "device:R-3": [2]})
    samples = [(0, 0.0), (60, 0.3), (120, 0.6)]
    bench.judge(*(One(slot, at_s, {"depth_cm": depth}) for slot in (0, 1) for at_s, depth in samples))
    assert [(t.subject_key, t.severity) for t in bench.transitions] == [(101, 4)]
    hours = [bench.allowed_us(slot) / 3.6e9 for slot in range(3)]
    assert hours[:2] == [0.75, 2.5]
    assert hours[2] > 1e6


def test_another_device_of_the_same_rules_is_judged_alike() -> None:
    rule = in_force(DEPTH, "road", {"scope": "area:41"} | LOWER)
    bench = scoped("road", rule, scopes={"area:41": [2]})
    bench.evaluator.interval_s[2] = 77
    alone = Bench(bench.family, bench.evaluator.alike(np.array([2])))
    assert (alone.evaluator.device_key.tolist(), alone.evaluator.interval_s.tolist()) == ([102], [77])
    assert [t.severity for t in alone.judge(One(0, 0, {"depth_cm": 10.0}))] == [4]
    assert alone.transitions[0].rule.scope != CITY


# what is wrong with a rule ------------------------------------------------------------------------------------------

CODES: dict[str, Any] = {
    "rule_id": "pump.jammed",
    "kind": "level",
    "field": "fault_code",
    "equals": [3, 17],
    "levels": [{"severity": "red"}],
}
WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("road", RISE | {"samples": 2}, "samples", "greater than or equal to 3"),
    ("road", RISE | {"over_s": 0}, "over_s", "greater than 0"),
    ("road", RISE | {"at_least_s": 420}, "at_least_s", "a seventh shorter"),
    ("road", RISE | {"field": "place", "levels": [{"severity": "red", "limit": 1}]}, "field", "is a state"),
    ("road", RISE | {"field": "tilt_deg"}, "field", "has no field 'tilt_deg'"),
    ("cover", OVERFLOW | {"by": "sinking"}, "by", "sinking"),
    ("cover", OVERFLOW | {"noise_per_min": 0}, "noise_per_min", "greater than 0"),
    ("cover", OVERFLOW | {"looks": "above"}, "looks", "above"),
    ("cover", OVERFLOW | {"levels": [{"severity": "red", "limit": -1}]}, "levels", "never negative"),
    ("lamp", LAMP_OUT | {"commanded": {}}, "commanded", "at least 1"),
    ("lamp", LAMP_OUT | {"commanded": {"on": 1}}, "commanded", "true or false"),
    ("lamp", LAMP_OUT | {"commanded": {"lit": True}}, "commanded", "has no field 'lit'"),
    ("lamp", LAMP_OUT | {"rated": 0}, "rated", "greater than 0"),
    ("road", DEPTH | {"worst_from": 90}, "worst_from", "against a baseline"),
    ("road", DEPTH | {"calm_s": 0}, "calm_s", "greater than 0"),
    ("pump", CODES | {"equals": []}, "equals", "at least 1"),
    ("pump", CODES | {"equals": True}, "equals", "whole number"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("family", "body", "field", "why"), WRONG, ids=lambda part: part if isinstance(part, str) else ""
)
def test_wrong_rule_names_its_field_and_why(family: str, body: dict[str, Any], field: str, why: str) -> None:
    with pytest.raises(RuleError) as raised:
        parse_rule(BASE | {"family": family} | body)
    said = str(raised.value)
    assert said.startswith(f"{body['rule_id']}: {field}")
    assert why in said
