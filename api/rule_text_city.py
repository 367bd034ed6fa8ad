"""Rules over several devices, over the network, over the watch itself, as sentences (Chinese)."""

from __future__ import annotations

from alerts.rules import (
    BlockageRule,
    CodesRule,
    CompositeRule,
    ConditionedRule,
    DoubtRule,
    EscalationRule,
    FilingRule,
    GatewayOutageRule,
    HealthRule,
    Level,
    OverloadRule,
    Rule,
    StormRule,
    StuckRule,
    WeatherRule,
    WorkingTimeRule,
)
from alerts.rules.composite import Input
from alerts.rules.conditioned import SETS, SetName
from api.chinese import choice, duration, meaning, number, percent, severity, with_unit
from api.rule_text_cases import codes_text, filing_text
from underfoot.families import FAMILIES

_WEATHER: dict[SetName, str] = {"dry": "无雨时", "wet": "有雨时", "storm": "暴雨时", "standing_water": "路面积水时"}


def city_text(rule: Rule) -> str:
    match rule:
        case ConditionedRule():
            return _conditioned(rule)
        case CompositeRule():
            return _composite(rule)
        case DoubtRule():
            return _doubt(rule)
        case StuckRule():
            return _stuck(rule)
        case GatewayOutageRule():
            silent = f"超过应报周期的 {number(rule.intervals)} 倍再加 {duration(rule.grace_s)}未上报"
            return (
                f"网关下设备{silent}的多于 {percent(rule.share)}且不少于 {rule.at_least} 台"
                f" → {severity(rule.severity)}；"
                f"不多于 {percent(rule.over_at_share)}或仅剩 {rule.over_at_most} 台即解除。"
                "其间各设备的离线告警由本告警说明。"
            )
        case WeatherRule():
            return (
                f"{duration(rule.wet_over_s)}内达 {number(rule.wet_mm)} mm 为有雨，{duration(rule.storm_over_s)}内达"
                f" {number(rule.storm_mm)} mm 或雨强达 {number(rule.storm_mm_h)} mm/h 为暴雨；停后保持"
                f" {duration(rule.hold_s)}。雨量站超过 {duration(rule.max_age_s)}未上报不计；本区无站可用时取中心"
                f" {number(rule.borrow_within_m)} m 内的站，仍无则雨情不明。不产生告警，供其他规则引用。"
            )
        case BlockageRule():
            return _blockage(rule)
        case OverloadRule():
            return _overload(rule)
        case StormRule():
            alone = ["红色告警", *dict.fromkeys(group.short for group in rule.groups if group.alone)]
            return (
                f"一个区县 {duration(rule.window_s)}内告警多于 {rule.enter_above} 条即为告警洪泛，少于"
                f" {rule.leave_below} 条即结束；其间同一汇水区（或街道）满 {rule.least_members} 条即汇总为一条险情，"
                f"每 {duration(rule.update_every_s)}最多更新一次；{'、'.join(alone)}单独通知。"
            )
        case EscalationRule():
            return _escalation(rule)
        case WorkingTimeRule():
            spans = "、".join(f"{begin:%H:%M}–{end:%H:%M}" for begin, end in rule.spans)
            return f"每个工作日 {spans}。"
        case HealthRule():
            return (
                f"每名值守人员平均每 10 分钟不多于 {number(rule.mean_per_10_min)} 条、最多"
                f" {number(rule.most_per_10_min)} 条，每小时 {number(rule.per_hour)} 条，每天 {number(rule.per_day)}"
                f" 条；告警洪泛时间少于 {percent(rule.flood_share)}；{number(rule.stale_after_h)} 小时以上无变化的少于"
                f" {rule.stale} 条；每分钟反复 {rule.chattering_per_min} 次以上的不多于 {rule.chattering} 个；"
                f"最频繁的十个不多于 {percent(rule.top_ten_share)}。"
            )
        case FilingRule():
            return filing_text(rule)
        case CodesRule():
            return codes_text(rule)
        case _:
            raise TypeError(f"{rule.rule_id}: there are no words for a {type(rule).__name__}")


def _conditioned(rule: ConditionedRule) -> str:
    unit, sign = rule.column.unit, "≥" if rule.looks == "above" else "≤"
    sets = []
    for name in SETS:
        levels = rule.levels_of(name)
        if levels:
            said = "；".join(_level(level, sign, unit) for level in levels)
            sets.append(f"{_WEATHER[name]}{rule.column.label} {said}")
    sentences = ["。".join(sets)]
    if rule.water is not None:
        sentences.append(
            f"{number(rule.water.within_m)} m 内最近的积水监测点水深 ≥ {number(rule.water.depth_cm)} cm 即为路面积水"
        )
    sentences += [f"{meaning(rule.family, name, value)}时才判断" for name, value in rule.when.items()]
    sentences += [f"{meaning(rule.family, name, value)}时不判断" for name, value in rule.unless.items()]
    sentences.append("雨情或积水情况不明时取更早告警的一组")
    sentences.append(_cleared(rule.off_delay_s, rule.off_samples))
    return "。".join(sentences) + "。"


def _level(level: Level, sign: str, unit: str) -> str:
    said = f"{sign} {with_unit(level.limit, unit)}"
    if level.dead_band:
        said += f"（回差 {with_unit(level.dead_band, unit)}）"
    if level.on_delay_s:
        said += f" 持续 {duration(level.on_delay_s)}"
    if level.samples > 1:
        said += f" 至少 {level.samples} 次上报"
    return f"{said} → {severity(level.severity)}"


_WORDS = {"and": "且", "or": "或", "not": "非"}


def _composite(rule: CompositeRule) -> str:
    parts = []
    for token in rule.holds.replace("(", " ( ").replace(")", " ) ").split():
        if token in rule.inputs:
            parts.append(f"“{_input(rule.inputs[token], rule)}”")
        else:
            parts.append(_WORDS.get(token, {"(": "（", ")": "）"}.get(token, token)))
    held = f"持续 {duration(rule.on_delay_s)}" if rule.on_delay_s else ""
    held += f"至少 {rule.samples} 次判断" if rule.samples > 1 else ""
    return (
        f"{''.join(parts)}成立{held} → {severity(rule.severity)}。条件不明而无法判断时既不告警也不解除。"
        f"{_cleared(rule.off_delay_s, rule.off_samples)}。"
    )


def _input(one: Input, rule: CompositeRule) -> str:
    if one.of == "area_rain":
        return "本区有雨或暴雨" if one.at_least == "wet" else "本区暴雨"
    family = FAMILIES[one.family or rule.family].label
    whose = {
        "self": "",
        "same_asset": f"同一部件的{family}",
        "nearest": f"{number(one.within_m or 0)} m 内最近的{family}",
        "same_gateway": f"同一网关的{family}",
    }[one.of]
    column = one.column(rule.family)
    over = f" {duration(one.over_s or 0)}内" if one.over_s else ""
    match one.test:
        case "above":
            said = f"{column.label} ≥ {with_unit(one.above or 0, column.unit)}"
        case "below":
            said = f"{column.label} ≤ {with_unit(one.below or 0, column.unit)}"
        case "rises_by":
            said = f"{column.label}{over}上升 {with_unit(one.rises_by or 0, column.unit)}"
        case "falls_by":
            said = f"{column.label}{over}下降 {with_unit(one.falls_by or 0, column.unit)}"
        case _:
            said = f"{column.label} = {choice(column, one.equals if one.equals is not None else False)}"
    return f"{whose}{said}"


def _stuck(rule: StuckRule) -> str:
    unit = rule.column.unit
    rain = "，或其间有雨" if rule.rain_moves_it else ""
    return (
        f"{duration(rule.span_s)}内至少 {rule.samples} 次上报，{rule.column.label}变化小于"
        f" {with_unit(rule.still_below, unit)}，而 {number(rule.within_m)} m 内至少 {rule.neighbours} 个同类监测点"
        f"变化达 {with_unit(rule.moved_by, unit)}{rain} → {severity(rule.severity)}；数值再次变化即解除。"
    )


def _doubt(rule: DoubtRule) -> str:
    params = rule.params
    apart = f"管径的 {percent(params.apart_fill)}（{number(params.apart_least_m)} 至 {number(params.apart_m)} m）"
    return (
        f"充满度达 {number(params.from_fill)}，而相邻监测点并无此水位，或水照常流走、下游也不高，或流量不减而水位"
        f" {duration(params.rises_s)}内缓升，相差达{apart}，持续 {duration(rule.on_delay_s)}、至少"
        f" {rule.samples} 次上报 → {severity(rule.severity)}，提请核查该液位计；其间该设备的高水位告警由本告警说明"
        "（红色除外），也不作堵管依据。"
        f"{_cleared(rule.off_delay_s, rule.off_samples)}。"
    )


def _blockage(rule: BlockageRule) -> str:
    params = rule.params
    return (
        f"上游充满度达 {number(params.high_fill_foul)}（污水）或 {number(params.high_fill_storm)}（雨水）、下游低于"
        f" {number(params.flat_fill)}，且水头差比应有的多 {number(params.excess_m)} m 以上，持续"
        f" {duration(rule.on_delay_s)}、至少 {rule.samples} 次判断 → {severity(rule.severity)}，指明疑似管段；"
        "其间受其影响的高水位告警由本告警说明。"
        f"{_cleared(rule.off_delay_s, rule.off_samples)}。"
    )


def _overload(rule: OverloadRule) -> str:
    params = rule.params
    levels = "，".join(f"≤ {number(level.limit)} 分钟 {severity(level.severity)}" for level in rule.levels)
    return (
        f"由管网液位与近 {duration(params.gathers_s)}至 {duration(params.gathers_most_s)}（至多自降雨开始）的雨量推算"
        f"每处雨水管能承受的雨强；雨强达其 {percent(params.within)}"
        f"且仍在增强时，按此趋势估算同一汇水区 {percent(params.share)}（不少于 {params.at_least} 处）监测点"
        "满负荷还有几分钟："
        f"{levels}。{_cleared(rule.off_delay_s, rule.off_samples)}。"
    )


def _escalation(rule: EscalationRule) -> str:
    said = []
    for name, minutes in rule.after_min.items():
        steps = "、".join(f"{number(each)} 分钟通知第 {level} 级" for level, each in enumerate(minutes, start=1))
        said.append(f"{severity(name)}色无人确认满 {steps}")
    again = "、".join(f"{severity(name)}色每 {number(each)} 分钟" for name, each in rule.again_min.items())
    if again:
        said.append(f"此后仍无人确认，{again}再次通知最后一级")
    receipts = "、".join(f"{severity(name)} {number(each)} 分钟" for name, each in rule.no_receipt_min.items())
    if receipts:
        said.append(f"推送未送达满 {receipts}，通知第 1 级电话联系")
    words = "、".join(f"{severity(name)} {number(each)} 分钟" for name, each in rule.no_callback_min.items())
    if words:
        said.append(f"平台收到后无反馈满 {words}，通知第 1 级电话联系")
    return "；".join(said) + "。"


def _cleared(off_delay_s: float, off_samples: int) -> str:
    cleared = "恢复"
    if off_delay_s:
        cleared += f"并保持 {duration(off_delay_s)}"
    if off_samples > 1:
        cleared += f"、连续 {off_samples} 次判断"
    return f"{cleared}后解除"
