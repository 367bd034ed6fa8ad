"""A rule, and the reading that met it, as sentences that an operator reads (Chinese)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from alerts.rules import LateHazardRule, Level, LevelRule, NoDataRule, RuleError, SystemRule, parse_rule
from api.parameters import CITY_ZONE
from underfoot.alarms import Severity
from underfoot.families import FAMILIES, Column


def rule_text(body: dict[str, Any]) -> str:
    """The rule in words; a body of an older form, which no rule of today has, is named by its title only."""
    try:
        rule = parse_rule(body)
    except RuleError:
        return f"{body.get('title', '规则')}（旧格式规则，见规则原文）。"
    match rule:
        case LevelRule():
            return f"{rule.title}：{_levels(rule)}"
        case NoDataRule():
            grace = f"再加 {_number(rule.grace_s)} 秒" if rule.grace_s else ""
            return (
                f"{rule.title}：超过设备应报周期的 {_number(rule.intervals)} 倍{grace}未上报"
                f" → {_label(rule.severity)}；恢复上报即解除。"
            )
        case LateHazardRule():
            return (
                f"{rule.title}：仅迟到上报显示{_label(rule.of_at_least)}色及以上险情"
                f" → {_label(rule.severity)}，待人工核查；新上报到达即解除。"
            )
        case SystemRule():
            return f"{rule.title}：本系统自身的故障 → {_label(rule.severity)}；故障消除即解除。"


def proof_sentence(proof: dict[str, Any], raised_at: datetime, subject: str) -> str:
    """What was read, when, and against which limit; without a reading, what the engine noted instead."""
    when = _clock(raised_at)
    label = proof.get("label") or proof.get("field") or ""
    if proof.get("value") is None:
        noted_at = datetime.fromisoformat(proof["ts"]) if proof.get("ts") else raised_at
        of = f"（{_clock(noted_at)}）" if noted_at != raised_at else ""
        return f"{when} {subject}{label or '触发本规则'}{of}。"
    unit = f" {proof['unit']}" if proof.get("unit") else ""
    said = f"{when} {subject}上报{label} {_value(proof['value'])}{unit}"
    if proof.get("limit") is None or isinstance(proof["value"], bool):
        return f"{said}。"
    return f"{said}，达到限值 {_value(proof['limit'])}{unit}。"


def _clock(moment: datetime) -> str:
    return moment.astimezone(CITY_ZONE).strftime("%Y-%m-%d %H:%M:%S")


def _levels(rule: LevelRule) -> str:
    column = rule.column
    subject = column.label
    if rule.against_baseline:
        subject += "与基准值之差"
    if rule.sum_over_s is not None:
        subject += f" {_duration(rule.sum_over_s)}累计"
    levels = "；".join(f"{_reached(rule, level, column)} → {_label(level.severity)}" for level in rule.levels)
    conditions = [f"{_meaning(rule.family, name, value)}时才判断" for name, value in rule.when.items()]
    conditions += [f"{_meaning(rule.family, name, value)}时不判断" for name, value in rule.unless.items()]
    proven = "持续时间内无相反上报即认定" if rule.proof == "silence" else "由持续时间内的上报认定"
    cleared = "恢复"
    if rule.off_delay_s:
        cleared += f"并保持 {_duration(rule.off_delay_s)}"
    if rule.off_samples > 1:
        cleared += f"、连续 {rule.off_samples} 次上报"
    return "。".join([f"{subject} {levels}", *conditions, proven, f"{cleared}后解除"]) + "。"


def _reached(rule: LevelRule, level: Level, column: Column) -> str:
    if rule.equals is not None:
        reached = f"= {_choice(column, rule.equals)}"
    else:
        unit = f" {column.unit}" if column.unit else ""
        reached = f"{'≥' if rule.looks == 'above' else '≤'} {_number(level.limit)}{unit}"
        if level.dead_band:
            reached += f"（回差 {_number(level.dead_band)}{unit}）"
    if level.on_delay_s:
        reached += f" 持续 {_duration(level.on_delay_s)}"
    if level.samples > 1:
        reached += f" 至少 {level.samples} 次上报"
    return reached


def _meaning(family: str, field: str, value: bool | int) -> str:
    column = FAMILIES[family].column[field]
    return f"{column.label} = {_choice(column, value)} "


def _choice(column: Column, value: bool | int) -> str:
    names = {number: name for name, number in column.choices.items()}
    return names.get(value, _value(value)) if column.choices else _value(value)


def _label(severity: str) -> str:
    return Severity[severity].label


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "是" if value else "否"
    return _number(value) if isinstance(value, int | float) else str(value)


def _number(value: float) -> str:
    return f"{value:g}"


def _duration(seconds: float) -> str:
    for unit, name in ((3600, "小时"), (60, "分钟")):
        if seconds >= unit and seconds % unit == 0:
            return f"{_number(seconds / unit)} {name}"
    return f"{_number(seconds)} 秒"
