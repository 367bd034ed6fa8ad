"""Messages as crews read them: what must stand in them always does, and they never grow past 70 characters."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.messages.notice import LONGEST_ACT, LONGEST_TITLE, asset_place, city_time, description, message
from alerts.messages.wording import LONGEST
from alerts.rules import shipped_pack
from underfoot.alarms import Reason

LINK = "https://underfoot.example/api/v1/alarms/12"


def snapshot(**changes: Any) -> Any:
    """21:38 in Shanghai a cover was found open."""
    whole: dict[str, Any] = {
        "installation_id": "i",
        "alarm_key": 12,
        "episode": 1,
        "transition_no": 1,
        "notice": "raise",
        "reason": "limit_reached",
        "rule_id": "cover.open",
        "rule_version": 1,
        "title": "井盖打开",
        "severity": 4,
        "worst_severity": 4,
        "event_at": "2026-07-01T13:38:00+00:00",
        "raised_at": "2026-07-01T13:38:00+00:00",
        "raised_received_at": "2026-07-01T13:38:04+00:00",
        "cleared_at": None,
        "proof": {
            "ts": "2026-07-01T13:38:00+00:00",
            "received_at": "2026-07-01T13:38:04+00:00",
            "field": "tilt_deg",
            "label": "倾角",
            "value": 78.2,
            "unit": "°",
            "limit": 30.0,
            "values": {"tilt_deg": 78.2},
        },
        "crew": {"act": "先围挡", "tool": "", "end": "复位", "make_safe_min": 30},
        "case": {"type": "component", "code": "0103"},
        "device": {"device_id": "cover-0312", "family": "cover", "vendor": ""},
        "asset": asset(),
        "area": {"code": "410502", "name": "文峰区", "district": "410502"},
    }
    return whole | changes


def asset(**changes: Any) -> dict[str, Any]:
    return {
        "asset_code": "4105020103000312",
        "code_scheme": "GB/T 30428.2-2013",
        "kind": "0103",
        "name": "雨水井0312",
        "address": "人民大道文峰路口东北角",
        "lon": 114.352345,
        "lat": 36.101234,
        "owner_unit": "",
        "maintenance_unit": "排水管理所",
    } | changes


def text(**changes: Any) -> str:
    return message(snapshot(**changes), LINK).text


def test_a_raise_says_where_what_since_when_the_act_and_by_when() -> None:
    assert str(message(snapshot(), LINK)) == (
        "【红】井盖打开｜人民大道文峰路口东北角 雨水井0312，倾角78°，21:38起。先围挡，22:08前复位。接单▸" + LINK
    )


def test_a_tool_is_brought_once() -> None:
    order = {"act": "立即断路设卡，勿涉水", "tool": "泵车", "end": "水退", "make_safe_min": 30}
    assert "立即断路设卡，勿涉水，带泵车，22:08前水退。" in text(crew=order)
    named_in_act = {"act": "带疏通车查下游，禁止下井", "tool": "疏通车", "end": "水位恢复", "make_safe_min": 120}
    assert "带疏通车查下游，禁止下井，23:38前水位恢复。" in text(crew=named_in_act)


def test_the_clock_says_the_day_where_it_is_another() -> None:
    late = text(raised_at="2026-07-01T15:50:00+00:00", raised_received_at="2026-07-01T15:50:02+00:00")
    assert "23:50起" in late
    assert "次日00:20前复位" in late
    backlog = text(raised_at="2026-06-28T01:02:00+00:00", raised_received_at="2026-07-01T13:38:04+00:00")
    assert "6月28日09:02起" in backlog
    assert "22:08前复位" in backlog
    assert "昨日23:59起" in text(raised_at="2026-06-30T15:59:00Z", raised_received_at="2026-07-01T13:38:04Z")


def test_without_a_time_limit_there_is_no_deadline() -> None:
    assert "前" not in text(crew={"act": "围挡", "tool": "", "end": "复位", "make_safe_min": None})


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (78.2, "°", "倾角78°"),
        (9.96, "m", "倾角10m"),
        (3.05, "V", "倾角3V"),
        (0.25, "m", "倾角0.25m"),
        (-0.1, "m", "倾角-0.1m"),
        (0.0, "m", "倾角0m"),
    ],
)
def test_a_reading_is_rounded_for_people(value: float, unit: str, shown: str) -> None:
    said = text(proof=snapshot()["proof"] | {"value": value, "unit": unit})
    assert f"，{shown}，" in said


def test_a_state_is_not_repeated_as_a_reading() -> None:
    said = text(
        proof={"field": "open", "label": "井盖打开", "value": 1.0, "unit": "", "limit": 1.0, "values": {"open": True}}
    )
    assert said.count("井盖打开") == 1
    assert "1.0" not in said


def test_a_change_tells_the_new_severity_and_keeps_the_first_deadline() -> None:
    said = text(notice="change", reason="severity_rose", severity=4, event_at="2026-07-01T13:50:00Z")
    assert said.startswith("【红】井盖打开｜")
    assert "级别升为红" in said
    assert "22:08前复位" in said
    assert "级别降为橙" in text(notice="change", reason="severity_fell", severity=3)


def test_an_end_tells_that_it_is_over_and_orders_nothing() -> None:
    said = text(notice="clear", reason="below_limit", cleared_at="2026-07-01T14:02:30+00:00", worst_severity=4)
    assert said == "【解除】井盖打开｜人民大道文峰路口东北角 雨水井0312，22:02恢复正常。查看▸"
    assert "围挡" not in said
    by_hand = text(notice="clear", reason="closed_by_hand", cleared_at="2026-07-01T14:02:30+00:00")
    assert "22:02人工关闭" in by_hand


def test_no_ids_codes_or_coordinates_even_where_the_ledger_has_them_in_its_names() -> None:
    said = text(
        asset=asset(
            name="雨水井 4105020103000312",
            address="河南省安阳市文峰区人民大道(114.352345,36.101234)cover-0312 电话13803720000",
        )
    )
    for secret in ("4105020103000312", "114.35", "36.10", "cover-0312", "13803720000", "tilt_deg"):
        assert secret not in said
    assert "人民大道" in said
    assert "文峰区" not in said


def test_a_market_is_not_taken_for_a_city() -> None:
    assert "人民路菜市场门口" in text(asset=asset(address="人民路菜市场门口"))


def test_a_long_address_keeps_its_corner_and_the_name() -> None:
    said = text(
        asset=asset(
            address="河南省安阳市文峰区光华路街道办事处辖区范围内人民大道与文峰路交叉口东北角人行道第三盏路灯下"
        )
    )
    assert len(said) <= LONGEST
    assert "第三盏路灯下 雨水井0312" in said
    assert "先围挡" in said


def test_what_has_no_asset_is_placed_in_its_area() -> None:
    assert "｜文峰区，" in text(asset=None, device=None)
    assert text(asset=None, device=None, area=None, proof=None, crew=None) == "【红】井盖打开｜21:38起。查看▸"


_words = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=80)
_moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001 (hypothesis wants them naive)
    lambda moment: f"{moment.isoformat()}+00:00"
)


@given(
    title=st.text(alphabet="井盖打开积水漏电险情告警", min_size=1, max_size=LONGEST_TITLE),
    act=st.text(alphabet="先围挡断路设卡勿涉水触灯杆，", min_size=1, max_size=LONGEST_ACT),
    tool=_words,
    end=_words,
    minutes=st.none() | st.integers(1, 100_000),
    name=_words,
    address=_words,
    area=_words,
    label=_words,
    unit=_words,
    value=st.none() | st.floats(-1e6, 1e6),
    severity=st.integers(1, 4),
    notice=st.sampled_from(["raise", "change", "clear"]),
    reason=st.sampled_from([*Reason]),
    raised=_moments,
    received=_moments,
    cleared=st.none() | _moments,
)
def test_never_longer_and_severity_title_and_act_always_stand(**drawn: Any) -> None:
    said = text(
        notice=drawn["notice"],
        reason=drawn["reason"].value,
        title=drawn["title"],
        severity=drawn["severity"],
        raised_at=drawn["raised"],
        raised_received_at=drawn["received"],
        cleared_at=drawn["cleared"],
        crew={"act": drawn["act"], "tool": drawn["tool"], "end": drawn["end"], "make_safe_min": drawn["minutes"]},
        asset=asset(name=drawn["name"], address=drawn["address"]),
        area={"code": "410502", "name": drawn["area"], "district": "410502"},
        proof={"field": "f", "label": drawn["label"], "value": drawn["value"], "unit": drawn["unit"], "values": {}},
    )
    assert len(said) <= LONGEST
    assert "\n" not in said
    assert drawn["title"] in said
    if drawn["notice"] == "clear":
        assert said.startswith("【解除】")
        assert said.endswith("查看▸")
    else:
        assert said.startswith(f"【{'蓝黄橙红'[drawn['severity'] - 1]}】")
        assert drawn["act"] in said
        assert said.endswith("接单▸")


@given(
    what=st.sampled_from(["closed_while_open", "not_accepted", "no_false_alarm"]),
    state=st.sampled_from(["closed", "forced_close", "cancelled", "not_accepted"]),
    title=st.text(alphabet="井盖打开积水漏电险情告警", min_size=1, max_size=LONGEST_TITLE),
    note=_words,
    name=_words,
    address=_words,
    at=_moments,
    told_at=_moments,
)
def test_what_is_over_there_and_open_here_says_so_and_what_to_do(**drawn: Any) -> None:
    news = {name: drawn[name] for name in ("what", "state", "at", "told_at", "note")} | {"by": None}
    said = text(
        notice="case", news=news, title=drawn["title"], asset=asset(name=drawn["name"], address=drawn["address"])
    )
    assert len(said) <= LONGEST
    assert said.startswith(f"【未解除·红】{drawn['title'][:15]}")
    assert "仍未解除" in said
    assert said.endswith("。请到场核实。查看▸")


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_a_title_or_act_of_any_length_is_cut_not_dropped(title: str, act: str) -> None:
    said = text(title=title, crew={"act": act, "tool": "", "end": "", "make_safe_min": 30})
    assert len(said) <= LONGEST


def test_every_shipped_rule_fits_whole() -> None:
    for rule in shipped_pack():
        crew = getattr(rule, "crew", None)
        if crew is None or rule.kind == "storm":  # a digest has words of its own (test_storm.py)
            continue
        assert len(rule.title) <= LONGEST_TITLE, rule.rule_id
        assert len(crew.act) <= LONGEST_ACT, rule.rule_id
        said = text(title=rule.title, crew=crew.model_dump())
        assert rule.title in said
        assert crew.act in said
        assert re.search(r"\d\d:\d\d前", said), said


def test_times_for_platforms_are_the_citys() -> None:
    assert city_time("2026-07-01T13:38:00+00:00") == "2026-07-01 21:38:00"
    assert city_time("2026-07-01T16:38:00.5Z") == "2026-07-02 00:38:00"


def test_a_description_is_a_whole_sentence() -> None:
    assert description(snapshot()) == "井盖打开：人民大道文峰路口东北角 雨水井0312，倾角78°（限值30°），21:38起。"
    assert "22:02" not in description(snapshot(notice="clear", reason="below_limit", cleared_at="2026-07-01T14:02:30Z"))
    assert description(snapshot(notice="clear", reason="below_limit")).endswith("，恢复到限值以下。")
    assert asset_place(snapshot()) == "人民大道文峰路口东北角 雨水井0312"
