from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from deploy.demo_scene import Books
from deploy.demo_verdict import Episode, Evidence, Owed, judge

BEGAN = dt.datetime(2026, 7, 1, 13, 0, tzinfo=dt.UTC)
CASE, INTERNAL = "cover.open", "cover.battery"


def at(seconds: float) -> dt.datetime:
    return BEGAN + dt.timedelta(seconds=seconds)


def ms(seconds: float) -> float:
    return at(seconds).timestamp() * 1000


def scripted(device_id: str, rule_id: str = CASE, severity: str = "red", *, clears: bool = True) -> dict[str, Any]:
    return {"device_id": device_id, "rule_id": rule_id, "severity": severity, "title": "井盖打开", "clears": clears}


def episode(alarm_key: int, subject: str, rule_id: str = CASE, **changes: Any) -> Episode:
    made = Episode(
        alarm_key=alarm_key,
        episode=1,
        rule_id=rule_id,
        subject=subject,
        title="井盖打开",
        worst_severity=4 if rule_id == CASE else 1,
        cleared=True,
        reason="limit_reached",
        proof_ts=at(alarm_key),
        committed_at=at(alarm_key + 0.02),
        kept_back=False,
    )
    return replace(made, **changes)


def taken(key: str, alarm_key: int, notice: str = "raise", *, after_s: float = 0.1, **changes: Any) -> dict[str, Any]:
    body = {"alarm": str(alarm_key), "episode": 1, "notice": notice}
    return {
        "kind": "event",
        "outcome": "accepted",
        "push_id": key,
        "received_ms": ms(alarm_key + after_s),
        "body": body,
    } | changes


FLEET: dict[str, Any] = {
    "sent": 1000,
    "finished": True,
    "unacknowledged_messages": 0,
    "seconds": 60.0,
    "seed": 1,
    "left_out": [],
    "alarms_possible": [{"device_id": "C1", "rule_id": "cover.overflow_forecast"}],
    "alarms_expected": [scripted("C1"), scripted("C2"), scripted("C3", INTERNAL, "blue")],
}
GOOD = Evidence(
    fleet=FLEET,
    books=Books(received=1010, stored=990, duplicate=8, quarantined=12),
    distinct_quarantined=10,
    episodes=(episode(1, "C1"), episode(2, "C2"), episode(3, "C3", INTERNAL)),
    owed=(
        Owed("a", 1, 1, "raise", "delivered"),
        Owed("b", 1, 1, "clear", "delivered"),
        Owed("c", 2, 1, "raise", "delivered"),
    ),
    crew_states={"delivered": 4},
    case_rules=frozenset({CASE}),
    records=(taken("a", 1), taken("b", 1, "clear"), taken("c", 2, after_s=0.3)),
    storm_ended_at=at(60),
)


def faults(**changes: Any) -> list[str]:
    return judge(replace(GOOD, **changes)).faults


def test_all_as_it_must_be() -> None:
    summary = judge(GOOD)
    assert summary.passed
    assert summary.verdict == "passed"
    assert (summary.sent, summary.received, summary.stored, summary.duplicate, summary.quarantined) == (
        1000,
        1010,
        990,
        8,
        12,
    )
    assert (summary.alarms_expected, summary.alarms_raised, summary.alarms_delivered) == (2, 2, 2)
    assert (summary.internal_alarms_expected, summary.internal_alarms_raised) == (1, 1)
    assert summary.publish_to_delivered_p50_ms == pytest.approx(200, abs=1)
    assert summary.publish_to_delivered_p99_ms == pytest.approx(298, abs=1)


def test_books_that_do_not_balance() -> None:
    assert "distinct sent ≠ stored" in faults(distinct_quarantined=9)[0]
    assert "distinct sent ≠ stored" in faults(books=replace(GOOD.books, stored=989))[0]
    assert "did not finish" in faults(fleet=FLEET | {"unacknowledged_messages": 3})[0]


def test_an_alarm_that_did_not_come() -> None:
    missing = faults(episodes=GOOD.episodes[1:], owed=GOOD.owed[2:], records=GOOD.records[2:])
    assert len(missing) == 1
    assert missing[0].startswith("漏报：井盖打开 cover.open C1")


def test_an_alarm_too_many() -> None:
    assert faults(episodes=(*GOOD.episodes, episode(9, "C9")))[0].startswith("多报")
    again = faults(episodes=(*GOOD.episodes, episode(1, "C1", episode=2)))
    assert len(again) == 3  # and the second of them was told to nobody
    assert "重复触发 2 次" in again[0]


def test_an_alarm_that_came_otherwise() -> None:
    assert "级别应为红，实为橙" in faults(episodes=(episode(1, "C1", worst_severity=3), *GOOD.episodes[1:]))[0]
    assert "not cleared" in faults(episodes=(episode(1, "C1", cleared=False), *GOOD.episodes[1:]))[0]


def test_devices_missed_after_the_fleet_has_ended_are_no_part_of_the_evening() -> None:
    missed = episode(9, "C9", "cover.offline", reason="no_data", committed_at=at(61))
    assert not faults(episodes=(*GOOD.episodes, missed))
    assert faults(episodes=(*GOOD.episodes, replace(missed, committed_at=at(59))))[0].startswith("多报")


def test_the_platform_must_have_each_notice_once() -> None:
    assert "平台收到 0 次" in faults(records=GOOD.records[1:])[0]
    assert "平台收到 2 次" in faults(records=(*GOOD.records, taken("a", 1)))[0]
    assert "状态 owed" in faults(owed=(replace(GOOD.owed[0], state="owed"), *GOOD.owed[1:]))[0]
    assert "never owed" in faults(records=(*GOOD.records, taken("z", 1, "change")))[0]
    violation = {"kind": "violation", "outcome": "raised_twice", "detail": "alarm 1"}
    assert "raised_twice" in faults(records=(*GOOD.records, violation))[0]


def test_a_repeat_under_the_same_key_is_no_fault() -> None:
    summary = judge(replace(GOOD, records=(*GOOD.records, taken("a", 1, outcome="repeat"))))
    assert summary.passed
    assert summary.platform_repeats == 1


def test_crews_must_have_been_told() -> None:
    assert faults(crew_states={"delivered": 3, "owed": 1})
    assert faults(crew_states={"dead": 1})
    assert not faults(crew_states={"delivered": 3, "dropped": 1})


def test_what_silence_has_proven_is_timed_from_its_commit() -> None:
    by_silence = episode(2, "C2", reason="held_in_silence", committed_at=at(5))
    records = (*GOOD.records[:2], taken("c", 2, received_ms=ms(5.05)))
    summary = judge(replace(GOOD, episodes=(GOOD.episodes[0], by_silence, GOOD.episodes[2]), records=records))
    assert (summary.proven_by_report, summary.proven_by_silence) == (1, 1)
    assert summary.publish_to_delivered_p99_ms == pytest.approx(100, abs=1)
    assert summary.decided_to_delivered_by_silence_p99_ms == pytest.approx(50, abs=1)


def test_what_an_incident_speaks_for_is_told_with_it_and_not_alone() -> None:
    storm = episode(9, "incident", "storm.incident", cleared=False)
    told_with_it = episode(2, "C2", kept_back=True)
    changes: dict[str, Any] = {"owed": GOOD.owed[:2], "records": GOOD.records[:2]}
    summary = judge(replace(GOOD, episodes=(GOOD.episodes[0], told_with_it, GOOD.episodes[2], storm), **changes))
    assert summary.passed
    assert (summary.incidents, summary.alarms_delivered, summary.alarms_in_incidents) == (1, 1, 1)
    assert "never told of" in faults(episodes=(*GOOD.episodes, storm), **changes)[0]
    assert "never told of" in faults(episodes=(GOOD.episodes[0], told_with_it, GOOD.episodes[2]), **changes)[0]
