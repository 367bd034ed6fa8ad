"""What judges a batch has to say of late reports, and of silence."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.batches import SECOND, START, Bench, One
from tests.unit.cover_rules import LATE, OFFLINE, OPEN, TILT, WATER, words
from underfoot.alarms import Condition, Reason, Severity
from underfoot.families import FAMILIES

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
    assert not bench.anything_on_its_way()
    assert bench.evaluator.newest_us[0] == START + 100 * SECOND


def test_late_hazard_ends_with_the_next_newer_report_that_says() -> None:
    bench = with_newest_at(100, OPEN, LATE)
    bench.judge(One(0, 40, {"open": True}, 101))
    bench.judge(One(0, 50, {"open": False}, 102))
    bench.judge(One(0, 110, {"tilt_deg": 2.0}))
    assert len(raised_late(bench)) == 1, "neither an older report answers it, nor one that does not say"
    bench.judge(One(0, 120, {"open": False}))
    assert raised_late(bench)[1:] == [(Reason.newer_report_normal, Condition.active, Condition.normal, None)]
    assert bench.asked() == {}


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
    assert not bench.anything_on_its_way()


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
    assert bench.allowed_us(0) == 150 * SECOND
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
        bench.evaluator.apply(bench.evaluator.judge_closed(rule_id, slot, START))
    assert not bench.anything_on_its_way()
    assert (bench.silent_slots(), bench.asked()) == ([], {})
    assert words(bench.judge(One(0, 1000, {"open": True}))) == [("cover.open", Reason.limit_reached, 4)]


def test_an_empty_batch_and_rules_of_other_families() -> None:
    bench = Bench.of("road", OPEN | {"rule_id": "road.wet", "field": "depth_cm", "equals": None, "levels": [
        {"severity": "red", "limit": 5},
    ]})  # fmt: skip
    assert bench.judge() == []
    assert FAMILIES["cover"] is not bench.family
    assert words(bench.judge(One(2, 0, {"depth_cm": 5.0}))) == [("road.wet", Reason.limit_reached, 4)]
