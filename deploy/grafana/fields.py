"""How Grafana shows a value: label, unit and decimals as the families declare them, severities in Chinese."""

from __future__ import annotations

from typing import Any

from ingest.reasons import Rejection
from underfoot.alarms import Severity
from underfoot.families import FAMILIES, Column

Json = dict[str, Any]

COLORS: dict[Severity, str] = {
    Severity.blue: "blue",
    Severity.yellow: "yellow",
    Severity.orange: "orange",
    Severity.red: "red",
}
ALARM_STATES = {"unacknowledged": "未确认", "acknowledged": "已确认", "cleared": "已恢复未确认"}
DEVICE_STATES = {"online": "在线", "offline": "离线", "never_reported": "从未上报"}
REJECTIONS: dict[str, str] = {
    Rejection.unknown_topic: "主题不符",
    Rejection.undecodable: "无法解码",
    Rejection.empty: "空报文",
    Rejection.not_an_object: "不是对象",
    Rejection.values_missing: "缺 values",
    Rejection.unknown_device: "未登记的设备",
    Rejection.family_mismatch: "类别与设备不符",
    Rejection.area_mismatch: "区划与设备不符",
    Rejection.retained_without_time: "保留消息无时间",
    Rejection.unknown_gateway: "网关未登记",
    Rejection.not_of_gateway: "设备不属于该网关",
    Rejection.vendor_mismatch: "设备不属于该厂商",
    Rejection.too_large: "报文过大",
    Rejection.nested_too_deep: "嵌套过深",
    Rejection.checksum: "校验错误",
    Rejection.unsupported_frame: "不支持的报文",
    Rejection.rate_limited: "上报过于频繁",
    Rejection.mapping_failed: "映射失败",
    Rejection.rejected_by_database: "数据库拒收",
}
SINK_STATES = {"working": "正常", "failing": "故障", "disabled": "停用"}


def named(family: str, field: str, **span: float) -> Json:
    """The field config of a declared quantity, under its label."""
    return {"displayName": label(family, field), **scale(family, field, **span)}


def label(family: str, field: str) -> str:
    return FAMILIES[family].column[field].label


def scale(family: str, field: str, *, low: float | None = None, high: float | None = None) -> Json:
    """Unit and decimals of a declared quantity; [`low`, `high`] is what a gauge spans, within what is possible."""
    column = FAMILIES[family].column[field]
    shown: Json = {"unit": _unit(column)}
    if column.resolution is not None:
        shown["decimals"] = _decimals(column.resolution)
    for name, bound in (("min", low), ("max", high)):
        if bound is None:
            continue
        if column.low is None or column.high is None or not column.low <= bound <= column.high:
            raise ValueError(
                f"{family}.{field}: {name} = {bound} is outside what is possible, {column.low} to {column.high}"
            )
        shown[name] = bound
    return shown


def severities() -> list[Json]:
    """1 to 4 as 蓝 to 红, in their colours."""
    texts = {
        str(severity.value): {"text": severity.label, "color": COLORS[severity], "index": severity.value}
        for severity in Severity
    }
    return [{"type": "value", "options": texts}]


def severity_steps() -> Json:
    steps: list[Json] = [{"value": None, "color": "gray"}]
    steps += [{"value": severity.value, "color": COLORS[severity]} for severity in Severity]
    return {"mode": "absolute", "steps": steps}


def families() -> list[Json]:
    return texts({family.name: family.label for family in FAMILIES.values()})


def every_field() -> list[Json]:
    """A field's name as its label with its unit, for tables that have one row a value."""
    labels: dict[str, str] = {}
    for family in FAMILIES.values():
        for column in family.columns:
            label = f"{column.label}（{column.unit}）" if column.unit else column.label
            if labels.setdefault(column.name, label) != label:
                raise ValueError(f"{family.name}.{column.name}: another family calls this field {labels[column.name]}")
    return texts(labels)


def texts(names: dict[str, str]) -> list[Json]:
    """What stands in the database → what people read."""
    return [
        {
            "type": "value",
            "options": {str(name): {"text": text, "index": i} for i, (name, text) in enumerate(names.items())},
        }
    ]


def steps(*limits: tuple[float | None, str]) -> Json:
    """Colours from a value on; the first has no lower end."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in limits]}


def _unit(column: Column) -> str:
    # As declared, and not one of Grafana's own units: those rescale (0.2 m becomes 200 mm) and speak English.
    return f"suffix:{column.unit}" if column.unit else "none"


def _decimals(resolution: float) -> int:
    digits = f"{resolution:.9f}".rstrip("0")
    return len(digits) - digits.index(".") - 1
