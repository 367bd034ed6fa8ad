"""One message about several alarms: how many, of what, where and how far; never longer than any other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.messages.notice import message
from alerts.messages.wording import LONGEST
from tests.unit.test_messages import asset, snapshot

LAMP = {
    "rule_id": "lamp.touch_voltage",
    "title": "灯杆带电",
    "severity": 3,
    "worst_severity": 3,
    "crew": {"act": "断电并围挡，勿触灯杆", "tool": "绝缘工具", "end": "电压消除", "make_safe_min": 30},
}


def lamps(count: int, **changes: Any) -> list[Any]:
    """Ten lamps on one cabinet, in the evening."""
    return [
        snapshot(**(LAMP | {"alarm_key": n, "asset": asset(name=f"{n}号灯", address=f"文明大道{100 + n}号")} | changes))
        for n in range(1, count + 1)
    ]


def text(told: list[Any]) -> str:
    return message(told[0], "", told[1:]).text


def test_ten_lamps_on_one_cabinet_are_one_message() -> None:
    assert text(lamps(10)) == (
        "【橙】灯杆带电10处｜文明大道 1号灯至10号灯，21:38起。断电并围挡，勿触灯杆，22:08前电压消除。接单▸"
    )
    assert text(lamps(2)).startswith("【橙】灯杆带电2处｜文明大道 1号灯、2号灯，21:38起。")


def test_their_end_is_one_message_too() -> None:
    over = lamps(10, notice="clear", reason="below_limit", cleared_at="2026-07-01T14:02:30+00:00")
    assert text(over) == "【解除】灯杆带电10处｜文明大道 1号灯至10号灯，22:02均已恢复。查看▸"


def test_what_nobody_acknowledged_is_one_message_too() -> None:
    waited = lamps(3, notice="escalate")
    assert "灯杆带电3处｜" in text(waited)
    assert text(waited).endswith("21:38起未确认。请立即确认。查看▸")


def test_anything_else_is_a_digest_with_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("underfoot.clock.CLOCK.now", lambda: datetime(2026, 7, 1, 23, 0, tzinfo=UTC))
    told = [
        *lamps(3, severity=2),
        snapshot(rule_id="cover.tilt", title="井盖倾斜", severity=3),
        *lamps(2, notice="clear", severity=2),
    ]
    assert text(told) == (
        "【告警汇总07:00】橙1黄3，解除2：井盖倾斜1、灯杆带电3。最重人民大道文峰路口东北角 雨水井0312 井盖倾斜。查看▸"
    )
    ended = [*lamps(1, notice="clear"), snapshot(notice="clear", rule_id="cover.tilt", title="井盖倾斜")]
    assert text(ended) == "【告警汇总07:00】解除2：井盖倾斜1、灯杆带电1。查看▸"


_words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "title": _words.filter(bool),
                "rule_id": st.sampled_from(["a.b", "c.d"]),
                "severity": st.integers(1, 4),
                "notice": st.sampled_from(["raise", "change", "clear"]),
                "asset": st.none() | st.builds(lambda name, address: asset(name=name, address=address), _words, _words),
                "crew": st.none() | st.just(LAMP["crew"]),
            }
        ),
        min_size=2,
        max_size=12,
    )
)
def test_never_longer_and_the_count_always_stands(drawn: list[dict[str, Any]]) -> None:
    told = [snapshot(**one) for one in drawn]
    said = text(told)
    assert len(said) <= LONGEST
    assert "\n" not in said
    news = [one for one in told if one["notice"] != "clear"]
    assert f"{len(told)}处" in said or said.startswith("【告警汇总")
    if said.startswith("【告警汇总") and len(news) < len(told):
        assert f"解除{len(told) - len(news)}" in said
