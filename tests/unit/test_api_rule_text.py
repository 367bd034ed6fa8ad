"""Rules and proofs as sentences."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from alerts.rules import shipped_pack
from alerts.rules.override import Scope
from api.rule_text import proof_sentence, rule_text

OFFLINE = {"rule_id": "x.off", "family": "road", "title": "离线", "source": "s", "severity": "blue"}
RAISED = datetime(2026, 7, 1, 13, 38, 5, tzinfo=UTC)


def _level(**more: Any) -> dict[str, Any]:
    body = {"rule_id": "x.y", "kind": "level", "family": "road", "title": "积水", "source": "s", "field": "depth_cm"}
    return body | {"levels": [{"severity": "red", "limit": 25}]} | more


def test_every_shipped_rule_reads_as_a_sentence() -> None:
    for rule in shipped_pack():
        text = rule_text(rule.model_dump(mode="json"))
        assert text.startswith(f"{rule.title}："), rule.rule_id
        assert text.endswith("。"), rule.rule_id
        assert "旧格式" not in text, rule.rule_id
        assert "None" not in text, rule.rule_id


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (_level(), "积水：积水深度 ≥ 25 cm → 红。由持续时间内的上报认定。恢复后解除。"),
        (
            _level(when={"place": 1}, proof="silence", off_delay_s=600, off_samples=2),
            (
                "积水：积水深度 ≥ 25 cm → 红。位置类型 = underpass 时才判断。"
                "持续时间内无相反上报即认定。恢复并保持 10 分钟、连续 2 次上报后解除。"
            ),
        ),
        (
            _level(unless={"place": 0}, levels=[{"severity": "blue", "limit": 5, "dead_band": 2, "on_delay_s": 90}]),
            (
                "积水：积水深度 ≥ 5 cm（回差 2 cm） 持续 90 秒 → 蓝。位置类型 = road 时不判断。"
                "由持续时间内的上报认定。恢复后解除。"
            ),
        ),
        (
            _level(family="cover", field="open", equals=True, levels=[{"severity": "red"}]),
            "积水：井盖打开 = 是 → 红。由持续时间内的上报认定。恢复后解除。",
        ),
        (
            _level(family="rain", field="amount_mm", sum_over_s=3600)
            | {"levels": [{"severity": "yellow", "limit": 20, "samples": 2}]},
            "积水：时段雨量 1 小时累计 ≥ 20 mm 至少 2 次上报 → 黄。由持续时间内的上报认定。恢复后解除。",
        ),
        (
            _level(family="cover", field="battery_pct", looks="below", levels=[{"severity": "blue", "limit": 20}]),
            "积水：电池电量 ≤ 20 % → 蓝。由持续时间内的上报认定。恢复后解除。",
        ),
        (
            OFFLINE | {"kind": "no_data", "intervals": 3, "grace_s": 300},
            "离线：超过设备应报周期的 3 倍再加 300 秒未上报 → 蓝；恢复上报即解除。",
        ),
        (
            OFFLINE | {"kind": "late_hazard", "title": "迟到险情"},
            "迟到险情：仅迟到上报显示橙色及以上险情 → 蓝，待人工核查；新上报到达即解除。",
        ),
        (
            _level(kind="rate", per_s=300, over_s=600, at_least_s=60, levels=[{"severity": "red", "limit": 2}]),
            (
                "积水：最近 10 分钟内积水深度每 5 分钟的变化 ≥ 2 cm → 红。"
                "至少 3 次上报、跨 1 分钟才判断，上报中断即重新计算。由持续时间内的上报认定。恢复后解除。"
            ),
        ),
        (
            _level(kind="forecast", to=40, by="rising", noise_per_min=0.1, over_s=600, at_least_s=60)
            | {"levels": [{"severity": "red", "limit": 15, "dead_band": 5}]},
            (
                "积水：按最近 10 分钟的趋势，积水深度涨到 40 cm 所余时间 ≤ 15 分钟（回差 5 分钟） → 红。"
                "至少 3 次上报、跨 1 分钟才判断，上报中断即重新计算。由持续时间内的上报认定。恢复后解除。"
            ),
        ),
        (
            _level(kind="mismatch", family="lamp", field="current_a", commanded={"on": True}, rated=0.45)
            | {"looks": "below", "levels": [{"severity": "yellow", "limit": 20}]},
            (
                "积水：电流为额定值的百分比（台账无额定值时按 0.45 A） ≤ 20 % → 黄。开灯指令 = 是 时才判断。"
                "由持续时间内的上报认定。恢复后解除。"
            ),
        ),
        (
            _level(family="cover", field="tilt_deg", against_baseline=True, worst_from=90),
            (
                "积水：倾角与基准值之差 ≥ 25 ° → 红。倾角 ≥ 90 ° 时不论基准值即为最高级。"
                "由持续时间内的上报认定。恢复后解除。"
            ),
        ),
        ({"rule_id": "x.y", "kind": "of_tomorrow", "title": "旧规则"}, "旧规则（旧格式规则，见规则原文）。"),
        ({}, "规则（旧格式规则，见规则原文）。"),
    ],
)
def test_a_rule_in_words(body: dict[str, Any], text: str) -> None:
    assert rule_text(body) == text


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        ("area:410502", "区划 410502 内按：积水深度 ≥ 25 cm → 红。"),
        ("tag:学校门口", "标签为“学校门口”的部件按：积水深度 ≥ 25 cm → 红。"),
        ("device:R-1", "设备 R-1 按：积水深度 ≥ 25 cm → 红。"),
    ],
)
def test_a_rule_as_it_is_for_a_scope(scope: str, text: str) -> None:
    assert rule_text(_level(), Scope.parse(scope)).startswith(f"积水：{text}")
    off = rule_text(_level(), Scope.parse(scope), enabled=False)
    assert off == f"积水：{text.partition('按：')[0]}不按本规则判断。"


@pytest.mark.parametrize(
    ("proof", "sentence"),
    [
        (
            {"label": "倾角", "value": 78.2, "unit": "°", "limit": 30.0},
            "2026-07-01 21:38:05 设备 A 上报倾角 78.2 °，达到限值 30 °。",
        ),
        (
            {"label": "井盖打开", "value": True, "unit": "", "limit": 1.0},
            "2026-07-01 21:38:05 设备 A 上报井盖打开 是。",
        ),
        ({"field": "level_m", "value": 2}, "2026-07-01 21:38:05 设备 A 上报level_m 2。"),
        (
            {"label": "最近上报", "field": "", "ts": "2026-06-30T00:00:00+00:00"},
            "2026-07-01 21:38:05 设备 A 最近上报（2026-06-30 08:00:00）。",
        ),
        ({}, "2026-07-01 21:38:05 设备 A 触发本规则。"),
    ],
)
def test_a_proof_in_words(proof: dict[str, Any], sentence: str) -> None:
    assert proof_sentence(proof, RAISED, "设备 A ") == sentence
