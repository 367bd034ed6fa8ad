"""What an alarm's page says, from facts made by hand: words, clocks, who was told, the record, safety, why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest

from api.page.case import case_view
from api.page.facts import Facts, Named, is_well
from api.page.reader import who
from api.page.record import record
from api.page.safety import safety
from api.page.told import told
from api.page.why import sentences
from api.page.words import at, figure, lasting, left

NOW = datetime(2026, 7, 21, 14, 0, tzinfo=UTC)
"""22:00 in the city."""


def ago(**by: float) -> datetime:
    return NOW - timedelta(**by)


# words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(seconds=-5), "不到 1 分钟"),
        (timedelta(seconds=59), "不到 1 分钟"),
        (timedelta(minutes=59, seconds=59), "59 分钟"),
        (timedelta(hours=2), "2 小时"),
        (timedelta(hours=47, minutes=5), "47 小时 5 分"),
        (timedelta(hours=76), "3 天 4 小时"),
    ],
)
def test_how_long_it_lasts(span: timedelta, said: str) -> None:
    assert lasting(span) == said


def test_a_countdown_turns_at_the_deadline() -> None:
    assert left(NOW + timedelta(minutes=7, seconds=30), NOW) == "还剩 7 分钟"
    assert left(NOW, NOW) == "已超时 不到 1 分钟"
    assert left(ago(minutes=9), NOW) == "已超时 9 分钟"


def test_times_are_the_citys_and_the_day_is_said_where_it_is_another() -> None:
    assert at(ago(minutes=22), NOW) == "21:38"
    assert at(ago(hours=22, minutes=1), NOW) == "昨日23:59"
    assert at(ago(days=20), NOW) == "7月1日22:00"


@pytest.mark.parametrize(
    ("value", "said"), [(19.5, "19.5"), (25.04, "25"), (0.125, "0.125"), (1300.4, "1300"), (0, "0")]
)
def test_figures_are_as_exact_as_it_matters(value: float, said: str) -> None:
    assert figure(value) == said


def test_the_countdown_of_the_script_says_the_same_words() -> None:
    script = (files("api.page") / "templates" / "page.js").read_text(encoding="utf-8")
    for words in ("还剩 ", "已超时 ", "不到 1 分钟", " 分钟", " 小时 ", " 小时", " 天 ", " 天"):
        assert f'"{words}"' in script


# people ---------------------------------------------------------------------------------------------------------------

NAMED = Named(
    of_sink={"li-qiang": "李强"},
    of_person={"wangjg": "王建国"},
    sinks={
        "li-qiang": {"audience": "duty", "maintenance_unit": None},
        "wenfeng": {"audience": "crew", "maintenance_unit": "文峰养护所"},
        "city": {"audience": "platform", "maintenance_unit": None},
    },
)


@pytest.mark.parametrize(
    ("actor", "called", "to_a_viewer"),
    [
        ("link:li-qiang", "李强", "李*"),
        ("wangjg", "王建国", "王**"),
        ("link:wenfeng", "文峰养护所", "文峰养护所"),
        ("city", "一网统管平台", "一网统管平台"),
        ("platform:city", "一网统管平台", "一网统管平台"),
        ("platform:gone", "一网统管平台", "一网统管平台"),
        ("engine", "系统", "系统"),
        ("control-room", "control-room", "control-room"),
        ("赵工", "赵工", "赵*"),
        ("link:wangjg", "wangjg", "wangjg"),
    ],
)
def test_an_actor_is_called_as_people_call_him(actor: str, called: str, to_a_viewer: str) -> None:
    assert who(actor, NAMED, sees_names=True) == called
    assert who(actor, NAMED, sees_names=False) == to_a_viewer


def delivery(**more: Any) -> dict[str, Any]:
    row = {
        "sink": "wenfeng",
        "channel": "wecom",
        "notice": "raise",
        "state": "delivered",
        "attempts": 1,
        "receipt": None,
    }
    return (
        row
        | {"created_at": ago(minutes=22), "settled_at": ago(minutes=22), "next_attempt_at": None, "verdict": None}
        | more
    )


def test_who_could_not_be_reached_is_said_without_the_receivers_answer() -> None:
    rows = [
        delivery(state="owed", settled_at=None, attempts=3, next_attempt_at=NOW + timedelta(minutes=2)),
        delivery(state="dead", last_error="errcode 40058 secret"),
        delivery(state="dropped", verdict="already_over"),
        delivery(sink="city", channel="platform", receipt={"platform_no": "A-17"}),
        delivery(sink="robot-7", channel="webhook", notice="escalate"),
    ]
    waiting, dead, dropped, platform, unknown = told(rows, NAMED, NOW, sees_names=True)
    assert (waiting.state, waiting.note) == ("waiting", "已试 3 次未成，22:02 再发")
    assert (dead.state, dead.note) == ("failed", "请改用电话通知")
    assert dropped.note == "轮到通知时险情已解除，不派人前往"
    assert (platform.whom, platform.note) == ("一网统管平台", "平台编号 A-17")
    assert (unknown.whom, unknown.what) == ("接口", "升级通知"), "no id of ours"


# the record -----------------------------------------------------------------------------------------------------------


def transition(number: int, **more: Any) -> dict[str, Any]:
    row = {"transition_no": number, "region": "condition", "from_state": "normal", "to_state": "active", "severity": 4}
    row |= {"reason": "limit_reached", "actor": "engine", "event_at": ago(minutes=30), "received_at": ago(minutes=30)}
    return row | {"proof": {"label": "倾角", "value": 78.2, "unit": "°"}} | more


def test_a_state_has_no_number() -> None:
    proof = {"field": "open", "label": "井盖打开", "value": 1.0, "unit": "", "values": {"open": True}}
    [line] = record([transition(1, proof=proof)], [], [], NAMED, NOW, sees_names=True)
    assert line.said == "告警（红）：达到限值，井盖打开"


def test_the_record_reads_as_people_speak_and_the_newest_comes_first() -> None:
    rows = [
        transition(1, severity=3),
        transition(
            2, from_state="active", reason="severity_rose", event_at=ago(minutes=29), received_at=ago(minutes=20),
        ),
        transition(
            3, region="human", from_state="unacknowledged", to_state="acknowledged", reason="acknowledged",
            actor="link:li-qiang", received_at=ago(minutes=18), proof=None,
        ),
        transition(
            4, region="suppression", from_state="none", to_state="shelved", reason="shelved", actor="wangjg",
            received_at=ago(minutes=9),
        ),
        transition(5, region="case", reason="acknowledged", received_at=ago(minutes=8)),
        transition(
            6, from_state="active", to_state="normal", reason="closed_by_hand", received_at=ago(minutes=1), proof=None,
        ),
    ]  # fmt: skip
    comment = {"at": ago(minutes=15), "actor": "wangjg", "text": "井圈松动，电话13812345678"}
    step = {
        "step_no": 2,
        "from_state": "dispatched",
        "to_state": "handling",
        "event": "x",
        "at": ago(minutes=12),
        "actor": "city",
        "cause": "callback",
        "note": "已到场",
    }
    lines = record(rows, [comment], [step], NAMED, NOW, sees_names=True)
    assert [line.said for line in lines] == [
        "解除：人工关闭",
        "王建国搁置告警",
        "案件处置中（一网统管平台）：已到场",
        "王建国：井圈松动，电话138****5678",
        "李强接单",
        "变为红色：级别升高，倾角 78.2°（设备时间 21:31）",
        "告警（橙）：达到限值，倾角 78.2°",
    ]
    assert [line.when for line in lines][:2] == ["21:59", "21:51"]


# the case -------------------------------------------------------------------------------------------------------------


def case(**more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(
        (
            "arrived_at",
            "handled_at",
            "ended_at",
            "ended_how",
            "suspended_since",
            "platform_no",
            "duplicate_of",
            "needs_person",
            "arrive_overdue_at",
            "repair_overdue_at",
        )
    )
    row |= {f"{name}_kind": "urgent_hour" for name in ("arrive", "repair")} | {
        "arrive_amount": 0.5,
        "repair_amount": 6.0,
    }
    row |= {"state": "dispatched", "code": "0103", "code_name": "雨水井盖", "condition_name": "井盖打开", "level": 2}
    row |= {
        "rework": 0,
        "supervised": False,
        "arrive_by": NOW + timedelta(minutes=8),
        "repair_by": NOW + timedelta(hours=5),
        "suspension_stops": ["arrive", "repair"],
    }
    return row | more


def test_two_clocks_run_on_a_case() -> None:
    shown = case_view(case(), NOW)
    assert shown is not None
    assert shown.number == "平台尚未回编号"
    assert [(clock.said, clock.state) for clock in shown.clocks] == [
        ("还剩 8 分钟", "running"),
        ("还剩 5 小时", "running"),
    ]
    late = case_view(case(arrive_by=ago(minutes=3), arrived_at=ago(minutes=1), platform_no="A-1", supervised=True), NOW)
    assert late is not None
    assert [clock.state for clock in late.clocks] == ["missed", "running"]
    assert late.clocks[0].until is None
    assert late.flags == ("督办",)


def test_a_case_that_is_over_or_suspended_counts_nothing_down() -> None:
    over = case_view(case(state="cancelled", ended_at=NOW, ended_how="false_alarm"), NOW)
    waits = case_view(case(state="suspended", suspended_since=ago(hours=1)), NOW)
    assert over is not None
    assert waits is not None
    assert over.state == "已撤销（误报）"
    assert all(clock.until is None for clock in (*over.clocks, *waits.clocks))
    assert waits.flags == ("挂账",)
    assert case_view(None, NOW) is None


def test_a_suspension_stops_only_the_clocks_that_it_may() -> None:
    """As shipped: the repair waits, making safe does not."""
    shown = case_view(case(state="suspended", suspended_since=ago(hours=1), suspension_stops=["repair"]), NOW)
    assert shown is not None
    assert [(clock.said, clock.state) for clock in shown.clocks] == [
        ("还剩 8 分钟", "running"),
        ("挂账，暂停计时", "kept"),
    ]


# safety ---------------------------------------------------------------------------------------------------------------

EPISODE: dict[str, Any] = dict.fromkeys(
    ("family", "kind", "pipe_key", "baseline", "device_key", "expected_interval_s", "cleared_at")
) | {
    "rule_id": "cover.open",
    "title": "井盖打开",
    "proof": {},
    "severity": 4,
    "raised_at": ago(minutes=30),
    "condition": "active",
}
FACTS = Facts(
    episode=EPISODE, rule=None, transitions=(), deliveries=(), comments=(), series=(), span=(ago(hours=1), NOW),
    around=None, gas_limits=(), gas_read=None, case=None, case_steps=(), incident=None, named=NAMED,
)  # fmt: skip
LIMITS = [
    {"field": "o2_vol_pct", "looks": "below", "limit": 19.5},
    {"field": "o2_vol_pct", "looks": "above", "limit": 23.5},
    {"field": "ch4_lel_pct", "looks": "above", "limit": 10.0},
]


def facts(episode: dict[str, Any], **more: Any) -> Facts:
    return replace(FACTS, episode=EPISODE | episode, **more)


@pytest.mark.parametrize(
    ("oxygen", "methane", "barred"),
    [(20.6, 3.0, []), (19.5, 10.0, ["氧气", "甲烷"]), (24.0, None, ["氧气"]), (None, 9.9, [])],
)
def test_nobody_goes_down_and_the_gas_that_bars_it_is_named(
    oxygen: float | None, methane: float | None, barred: list[str]
) -> None:
    read = {"ts": ago(minutes=10), "values": {"o2_vol_pct": oxygen, "ch4_lel_pct": methane}}
    shown = safety(facts({"kind": "0103", "family": "cover"}, gas_limits=LIMITS, gas_read=read), NOW)
    assert shown is not None
    assert shown.forbidden == "禁止下井"
    assert [gas.name for gas in shown.gases if gas.barred] == barred
    assert shown.gases[0].allowed == "19.5–23.5 %vol", "a limit is never rounded"


def test_an_old_gas_reading_is_said_to_be_old() -> None:
    about = {"kind": "0102", "family": "cover"}
    old = safety(facts(about, gas_limits=LIMITS, gas_read={"ts": ago(hours=9), "values": {"ch4_lel_pct": 1.0}}), NOW)
    none = safety(facts(about, gas_limits=LIMITS), NOW)
    assert old is not None
    assert none is not None
    assert "已不代表现在" in old.gas_note
    assert "没有气体监测" in none.gas_note


@pytest.mark.parametrize(
    ("episode", "words"),
    [
        ({"pipe_key": 3, "rule_id": "drainage.blockage"}, "禁止下井"),
        ({"family": "road", "kind": "2100", "rule_id": "road.underpass"}, "勿涉水、勿驶入"),
        ({"family": "road", "kind": "2100", "rule_id": "road.ponding"}, "勿涉水"),
        ({"family": "lamp", "kind": "0118", "rule_id": "lamp.leakage"}, "勿触灯杆"),
        ({"family": "pump", "kind": "2115", "rule_id": "pump.fault"}, "未断电勿动机组"),
    ],
)
def test_each_place_has_its_own_warning(episode: dict[str, Any], words: str) -> None:
    shown = safety(facts(episode), NOW)
    assert shown is not None
    assert shown.forbidden == words


def test_what_is_a_well() -> None:
    assert [kind for kind in ("0101", "0103", "0104", "0114", "0116", "0118", "0127", "2102") if is_well(kind)] == [
        "0101", "0103", "0114", "0127",
    ]  # fmt: skip


# why ------------------------------------------------------------------------------------------------------------------


def test_a_reading_below_its_limit_is_said_to_be_below() -> None:
    proof = {"field": "water_below_rim_m", "label": "水面距井口", "value": 0.28, "unit": "m", "limit": 0.3}
    assert sentences(facts({"proof": proof}), NOW) == ("21:30：水面距井口 0.28 m，低到限值 0.3 m。",)


def test_an_alarm_without_a_reading_says_what_the_engine_noted() -> None:
    assert sentences(facts({"proof": {"label": "代理重启后没有会话"}}), NOW) == ("21:30：代理重启后没有会话。",)
