"""A rule, and the reading that met it, as sentences that an operator reads (Chinese)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from alerts.rules import (
    ForecastRule,
    JudgedRule,
    LateHazardRule,
    Level,
    LevelRule,
    MismatchRule,
    NoDataRule,
    RateRule,
    Rule,
    RuleError,
    SlopeRule,
    SystemRule,
    parse_rule,
)
from alerts.rules.override import CITY, Scope
from api.chinese import choice, duration, meaning, number, severity, value_of, with_unit
from api.parameters import CITY_ZONE
from api.rule_text_city import city_text


def rule_text(body: dict[str, Any], scope: Scope = CITY, *, enabled: bool = True) -> str:
    """The rule in words, as it is within a scope; a body of an older form, which no rule of today has, is named by its
    title only."""
    try:
        rule = parse_rule(body)
    except RuleError:
        return f"{body.get('title', '规则')}（旧格式规则，见规则原文）。"
    if scope == CITY:
        return f"{rule.title}：{_text(rule)}"
    if not enabled:
        return f"{rule.title}：{_of(scope)}不按本规则判断。"
    return f"{rule.title}：{_of(scope)}按：{_text(rule)}"


def _of(scope: Scope) -> str:
    match scope.kind:
        case "area":
            return f"区划 {scope.name} 内"
        case "tag":
            return f"标签为“{scope.name}”的部件"
        case "device":
            return f"设备 {scope.name} "
        case _:
            return "全市"


def _text(rule: Rule) -> str:
    match rule:
        case JudgedRule():
            return _judged(rule)
        case NoDataRule():
            grace = f"再加 {number(rule.grace_s)} 秒" if rule.grace_s else ""
            return (
                f"超过设备应报周期的 {number(rule.intervals)} 倍{grace}未上报"
                f" → {severity(rule.severity)}；恢复上报即解除。"
            )
        case LateHazardRule():
            return (
                f"仅迟到上报显示{severity(rule.of_at_least)}色及以上险情"
                f" → {severity(rule.severity)}，待人工核查；新上报到达即解除。"
            )
        case SystemRule():
            return f"本系统自身的故障 → {severity(rule.severity)}；故障消除即解除。"
        case _:
            return city_text(rule)


def proof_sentence(proof: dict[str, Any], raised_at: datetime, subject: str) -> str:
    """What was read, when, and against which limit; without a reading, what the engine noted instead."""
    when = _clock(raised_at)
    label = proof.get("label") or proof.get("field") or ""
    if proof.get("value") is None:
        noted_at = datetime.fromisoformat(proof["ts"]) if proof.get("ts") else raised_at
        of = f"（{_clock(noted_at)}）" if noted_at != raised_at else ""
        return f"{when} {subject}{label or '触发本规则'}{of}。"
    unit = f" {proof['unit']}" if proof.get("unit") else ""
    said = f"{when} {subject}上报{label} {value_of(proof['value'])}{unit}"
    if proof.get("limit") is None or isinstance(proof["value"], bool):
        return f"{said}。"
    return f"{said}，达到限值 {value_of(proof['limit'])}{unit}。"


def _clock(moment: datetime) -> str:
    return moment.astimezone(CITY_ZONE).strftime("%Y-%m-%d %H:%M:%S")


# rules on single devices --------------------------------------------------------------------------------------------


def _judged(rule: JudgedRule) -> str:
    levels = "；".join(f"{_reached(rule, level)} → {severity(level.severity)}" for level in rule.levels)
    sentences = [f"{_measured(rule)} {levels}"]
    if isinstance(rule, LevelRule) and rule.worst_from is not None:
        from_ = with_unit(rule.worst_from, rule.column.unit)
        sentences.append(f"{rule.column.label} ≥ {from_} 时不论基准值即为最高级")
    if isinstance(rule, MismatchRule):
        sentences += [f"{meaning(rule.family, name, value)}时才判断" for name, value in rule.commanded.items()]
    sentences += [f"{meaning(rule.family, name, value)}时才判断" for name, value in rule.when.items()]
    sentences += [f"{meaning(rule.family, name, value)}时不判断" for name, value in rule.unless.items()]
    if isinstance(rule, SlopeRule):
        sentences.append(f"至少 {rule.samples} 次上报、跨 {duration(rule.at_least_s)}才判断，上报中断即重新计算")
    sentences.append("持续时间内无相反上报即认定" if rule.proof == "silence" else "由持续时间内的上报认定")
    cleared = "恢复"
    if rule.off_delay_s:
        cleared += f"并保持 {duration(rule.off_delay_s)}"
    if rule.off_samples > 1:
        cleared += f"、连续 {rule.off_samples} 次上报"
    return "。".join([*sentences, f"{cleared}后解除"]) + "。"


def _measured(rule: JudgedRule) -> str:
    label = rule.column.label
    match rule:
        case RateRule():
            return f"最近 {duration(rule.over_s)}内{label}每 {duration(rule.per_s)}的变化"
        case ForecastRule():
            way = "涨到" if rule.by == "rising" else "落到"
            to = with_unit(rule.to, rule.column.unit)
            to = f"井口（台账无井口标高时为 {to}）" if rule.to_rim else to
            since = "" if rule.beyond is None else f"（自 {with_unit(rule.beyond, rule.column.unit)} 起）"
            return f"按最近 {duration(rule.over_s)}的趋势，{label}{way} {to} 所余时间{since}"
        case MismatchRule():
            rated = with_unit(rule.rated, rule.column.unit)
            return f"{label}为额定值的百分比（台账无额定值时按 {rated}）"
        case LevelRule():
            if rule.against_baseline:
                label += "高出基准值" if rule.against_baseline == "rise" else "与基准值之差"
            if rule.sum_over_s is not None:
                label += f" {duration(rule.sum_over_s)}累计"
            if rule.mean_over_s is not None:
                label += f" {duration(rule.mean_over_s)}平均"
    return label


def _unit(rule: JudgedRule) -> str:
    if isinstance(rule, RateRule):
        return rule.column.unit
    return rule.shown_as[1]


def _reached(rule: JudgedRule, level: Level) -> str:
    states = rule.states if isinstance(rule, LevelRule) else ()
    if states:
        reached = f"= {'、'.join(choice(rule.column, state) for state in states)}"
    else:
        unit = _unit(rule)
        reached = f"{'≥' if rule.looks == 'above' else '≤'} {with_unit(level.limit, unit)}"
        if level.dead_band:
            reached += f"（回差 {with_unit(level.dead_band, unit)}）"
    return reached + _held(level)


def _held(level: Level) -> str:
    """How long, and in how many reports, a level is to be held."""
    said = f" 持续 {duration(level.on_delay_s)}" if level.on_delay_s else ""
    return said + (f" 至少 {level.samples} 次上报" if level.samples > 1 else "")
