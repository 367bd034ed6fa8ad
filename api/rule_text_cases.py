"""立案条件 and the codes' names in words."""

from __future__ import annotations

from alerts.rules.filing import CodesRule, FilingRule, TimeLimit
from alerts.rules.parts import SeverityName
from api.chinese import number, severity

_LEVELS = ("一般", "重要", "重大")


def filing_text(rule: FilingRule) -> str:
    kind = "部件" if rule.type == "component" else "事件"
    code = {"asset": f"按部件自身的大小类（不明时 {rule.code_if_none}）", "rule": "按告警规则所写的大小类"}.get(
        rule.code, f"{rule.code}（{rule.code_scheme}）"
    )
    said = [f"立案条件：{rule.title}，{kind}案件，{code}"]
    if rule.from_severity != "blue":
        said.append(f"{severity(rule.from_severity)}色及以上才立案")
    if rule.members:
        said.append(f"险情含有 {'、'.join(rule.members)} 类告警时才立案")
    if rule.verify == "operator":
        said.append("须人工核实后上报平台")
    said.append("等级：" + "，".join(f"{severity(name)}{_LEVELS[level]}" for name, level in rule.level.items()))
    said.append(f"到场期限：{_limits(rule.arrive, '不限')}")
    said.append(f"处置期限：{_limits(rule.repair, '至险情消除')}")
    stopped = "、".join("到场" if name == "arrive" else "处置" for name in rule.suspension_stops)
    said.append(f"挂账期间{stopped}计时暂停" if stopped else "挂账期间计时不停")
    return "。".join(said) + "。"


def _limits(by_severity: dict[SeverityName, TimeLimit], without: str) -> str:
    said = [f"{severity(name)}色起 {number(limit.amount)} {limit.kind.label}" for name, limit in by_severity.items()]
    return "，".join(said) or without


def codes_text(rule: CodesRule) -> str:
    return (
        "。".join(
            f"{scheme}：{'、'.join(f'{code} {name}' for code, name in names.items())}"
            for scheme, names in rule.names.items()
        )
        + "。"
    )
