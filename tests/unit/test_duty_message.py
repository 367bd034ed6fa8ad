"""What somebody on duty reads: who has not answered, since when, what, where, in 70 characters."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from alerts.deliver.verdict import VERDICT_LABELS, Facts, Verdict, judge
from alerts.messages.notice import message
from alerts.record.snapshot import Snapshot


def snapshot(escalation: dict[str, Any] | None = None, **changes: Any) -> Snapshot:
    facts: dict[str, Any] = {
        "notice": "escalate",
        "reason": "escalated",
        "title": "井盖打开",
        "proof": None,
        "severity": 4,
        "worst_severity": 4,
        "asset": {
            "asset_code": "4105020103000312",
            "name": "雨水井0312",
            "address": "人民大道文峰路口东北角",
        },
        "device": {"device_id": "cover-0312", "family": "cover", "vendor": ""},
        "area": {"code": "410502", "name": "文峰区", "district": "410502"},
        "escalation": {
            "level": 2,
            "since": "2026-07-01T13:38:00+00:00",
            "told_at": "2026-07-01T13:43:20+00:00",
            "unanswered": ["王建国"],
            "sink": "",
            "delivery_key": None,
            "waiting": 0,
        }
        | (escalation or {}),
    }
    return facts | changes  # type: ignore[return-value]


def text(escalation: dict[str, Any] | None = None, **changes: Any) -> str:
    return message(snapshot(escalation, **changes), "https://x/1").text


def test_who_has_not_answered_since_when_what_and_where() -> None:
    assert text() == (
        "【红】井盖打开｜人民大道文峰路口东北角 雨水井0312，21:38起5分钟，王建国未确认（第2级）。请立即确认。查看▸"
    )


def test_at_once_nobody_is_blamed() -> None:
    assert text({"told_at": "2026-07-01T13:38:02+00:00", "unanswered": [], "level": 1}) == (
        "【红】井盖打开｜人民大道文峰路口东北角 雨水井0312，21:38起，待确认（第1级）。请立即确认。查看▸"
    )


def test_before_anybody_was_told_it_is_the_desk() -> None:
    assert "值班席未确认" in text({"unanswered": [], "level": 1})


def test_hours_and_yesterday() -> None:
    assert "昨日21:38起9小时5分，" in text({"told_at": "2026-07-01T22:43:20+00:00"})


def test_a_delivery_without_a_receipt() -> None:
    assert text({"sink": "shi-pingtai", "waiting": 13, "told_at": "2026-07-01T13:53:00+00:00"}) == (
        "【红】井盖打开｜…道文峰路口东北角 雨水井0312，shi-pingtai15分钟无回执，另12条。请电话核实shi-pingtai。查看▸"
    )


def test_without_asset_and_area() -> None:
    assert text(asset=None, area=None, device=None, title="消息会话丢失") == (
        "【红】消息会话丢失｜21:38起5分钟，王建国未确认（第2级）。请立即确认。查看▸"
    )


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)


@given(
    title=WORDS,
    names=st.lists(WORDS, max_size=4),
    address=WORDS,
    name=WORDS,
    sink=st.sampled_from(["", "shi-pingtai", "x" * 64]),
    minutes=st.integers(0, 100_000),
    level=st.integers(1, 9),
)
def test_never_longer_than_seventy(
    title: str, names: list[str], address: str, name: str, sink: str, minutes: int, level: int
) -> None:
    whole = snapshot({"unanswered": names, "sink": sink, "waiting": 99, "level": level}, title=title)
    assert whole["asset"] is not None
    whole["asset"] = {**whole["asset"], "address": address, "name": name}
    whole["escalation"]["told_at"] = f"2026-0{7 + minutes % 3}-1{minutes % 10}T0{minutes % 10}:00:00+00:00"
    said = message(whole, "").text
    assert len(said) <= 70
    assert said.startswith("【红】")
    assert "\n" not in said


# whether it is still to be told --------------------------------------------------------------------------------------


def facts(**changes: Any) -> Facts:
    given = {"over": False, "told": False, "answered": False, "suppressed": False}
    return Facts(to_crew=True, notice="escalate", behind=timedelta(), owed_for=timedelta(), **given | changes)


def test_an_escalation_of_what_is_over_answered_or_suppressed_is_dropped() -> None:
    assert judge(facts()) is Verdict.tell
    assert judge(facts(over=True, answered=True)) is Verdict.already_over
    assert judge(facts(answered=True)) is Verdict.answered_meanwhile
    assert judge(facts(suppressed=True)) is Verdict.suppressed_meanwhile
    assert all(verdict.drops for verdict in (Verdict.answered_meanwhile, Verdict.suppressed_meanwhile))
    assert set(VERDICT_LABELS) == set(Verdict)
