"""Every message that the shipped rules lead to, on realistic assets, for a person to read.

`python -m tests.unit.rule_messages` writes tests/unit/messages.txt.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alerts.messages.notice import message
from alerts.rules import shipped_pack
from underfoot.alarms import Severity

FILE = Path(__file__).with_name("messages.txt")

_RAISED = "2026-07-01T13:38:00+00:00"
_RECEIVED = "2026-07-01T13:38:04+00:00"

_ASSETS: dict[str, tuple[str, str, str]] = {
    "cover": ("4105020103000312", "雨水井0312", "人民大道与文峰大道交叉口东北角人行道"),
    "road": ("4105020406000007", "东风路铁路桥下", "东风路与中州路交叉口南150米"),
    "pipe": ("4105020102000112", "W12井", "安钢大道梅东路口西南角"),
    "pump": ("4105022115000003", "洪河屯泵站", "洪河屯村北环路"),
    "rain": ("4105020000000021", "文峰区政府雨量站", "永明路"),
    "lamp": ("4105020118004021", "路灯杆4021", "中华路与文明大道交叉口北80米路东"),
}
_VALUES = {
    "tilt_deg": 38.4, "water_below_rim_m": 0.12, "ch4_lel_pct": 31.0, "h2s_mg_m3": 24.6, "co_mg_m3": 33.0,
    "o2_vol_pct": 18.2, "battery_pct": 9.0, "battery_v": 3.08, "rsrp_dbm": -122.0, "depth_cm": 42.0, "fill_ratio": 1.08,
    "forebay_level_m": 4.63, "leakage_ma": 46.0, "touch_voltage_v": 27.3, "current_a": 0.04, "voltage_v": 261.0,
    "pm2_5_ug_m3": 88.0, "amount_mm": 54.2, "level_m": 1.284, "intensity_mm_h": 64.0,
}  # fmt: skip
_DETAILS = {
    "sink.failing": "paishui-crew：HTTP 404",
    "duty.uncovered": "1级无人可通知",
    "duty.nobody": "3条告警无推送目标、无值班人员",
    "city.step_failing": "escalation：OperationalError",
    "city.late_hazard": "积水上涨未开泵",
    "rule.failing": "rain.hour：ZeroDivisionError",
    "shard.session_lost": "410502",
}
_WORDS = {
    "drainage.blockage": {
        "place": "W12→W13",
        "reading": "上游满管、下游0.2m，已25分钟",
        "act": "带疏通车查W13，禁止下井",
    },
    "drainage.overload_forecast": {"place": "洪河屯泵站汇水区", "reading": "约18分钟后东风路铁路桥下一带满管"},
    "gateway.outage": {"reading": "12台失联（共40台）"},
}


def snapshot(rule: Any, severity: int, **changes: Any) -> Any:
    family = getattr(rule, "family", None) or ("cover" if rule.rule_id == "drainage.blockage" else None)
    asset = _ASSETS.get(family or "")
    crew, case = getattr(rule, "crew", None), getattr(rule, "case", None)
    whole: dict[str, Any] = {
        "installation_id": "i", "alarm_key": 12, "episode": 1, "transition_no": 1, "notice": "raise",
        "reason": "limit_reached", "rule_id": rule.rule_id, "rule_version": 1, "title": rule.title,
        "severity": severity, "worst_severity": severity, "event_at": _RAISED, "raised_at": _RAISED,
        "raised_received_at": _RECEIVED, "cleared_at": None, "proof": proof(rule),
        "crew": crew.model_dump() if crew is not None else None,
        "case": case.model_dump() if case is not None else None,
        "device": {"device_id": f"{family}-0312", "family": family, "vendor": ""} if family else None,
        "asset": {
            "asset_code": asset[0], "code_scheme": "GB/T 30428.2-2013", "kind": asset[0][6:10], "name": asset[1],
            "address": f"河南省安阳市文峰区{asset[2]}", "lon": 114.352345, "lat": 36.101234,
            "owner_unit": "市政公司", "maintenance_unit": "排水管理所",
        } if asset else None,
        "area": {"code": "410502", "name": "文峰区", "district": "410502"},
    }  # fmt: skip
    return whole | changes


def proof(rule: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"ts": _RAISED, "received_at": _RECEIVED, "field": "", "label": "最近上报"}
    if rule.rule_id in _WORDS:
        return base | {"value": 12.0, "unit": "m", "words": _WORDS[rule.rule_id]}
    column = getattr(rule, "column", None)
    if column is None:
        detail = _DETAILS.get(rule.rule_id)
        return base if detail is None else base | {"label": detail}
    label, unit = getattr(rule, "shown_as", (column.label, column.unit))
    value = {"rate": 5.6, "forecast": 12.4, "mismatch": 6.0}.get(rule.kind, _VALUES.get(column.name))
    return base | {
        "field": column.name, "label": label, "unit": unit, "value": 1.0 if value is None else value,
        "values": {column.name: True if value is None else value},
    }  # fmt: skip


def severities(rule: Any) -> list[int]:
    found = {
        level.severity
        for name in ("levels", "dry", "wet", "storm", "standing_water")
        for level in getattr(rule, name, ()) or ()
    }
    if getattr(rule, "severity", None):
        found.add(rule.severity)
    return sorted(Severity[name].value for name in found)


_NOT_TOLD = ("escalation", "working_time", "health", "storm", "weather", "filing")


def rules() -> list[Any]:
    return [rule for rule in shipped_pack() if rule.kind not in _NOT_TOLD and severities(rule)]


def lines() -> Iterator[str]:
    yield "# What people read: every shipped rule at each of its severities, then its end; then other notices."
    yield "# Written by `python -m tests.unit.rule_messages`; the link follows each ▸."
    for rule in rules():
        yield f"\n## {rule.rule_id}"
        for severity in severities(rule):
            yield message(snapshot(rule, severity), "").text
        over = {"notice": "clear", "reason": "below_limit", "cleared_at": "2026-07-01T14:02:30+00:00"}
        yield message(snapshot(rule, severities(rule)[-1], **over), "").text
    yield from _others()


def _others() -> Iterator[str]:
    by_id = {rule.rule_id: rule for rule in shipped_pack()}
    cover, lamp, road = by_id["cover.open"], by_id["lamp.touch_voltage"], by_id["road.underpass"]
    yield "\n## 级别变化"
    yield message(snapshot(road, 4, notice="change", reason="severity_rose", worst_severity=4), "").text
    yield message(snapshot(road, 3, notice="change", reason="severity_fell", worst_severity=4), "").text
    yield "\n## 无人确认（值班逐级）"
    for level, told_at, who in ((1, "13:38:02", []), (2, "13:43:10", ["王建国"]), (3, "13:53:30", ["陈静", "赵敏"])):
        told = {
            "level": level, "since": _RAISED, "told_at": f"2026-07-01T{told_at}+00:00", "unanswered": who, "sink": "",
            "delivery_key": None, "waiting": 0,
        }  # fmt: skip
        yield message(snapshot(cover, 4, notice="escalate", reason="escalated", escalation=told), "").text
    silent = {
        "level": 1, "since": _RAISED, "told_at": "2026-07-01T13:53:30+00:00", "unanswered": [], "sink": "shi-pingtai",
        "delivery_key": 7, "waiting": 3,
    }  # fmt: skip
    yield message(snapshot(cover, 4, notice="escalate", reason="no_receipt", escalation=silent), "").text
    yield "\n## 案件"
    for what, note, by, state in (
        ("overdue_arrive", "", "2026-07-01T14:08:00+00:00", "dispatched"),
        ("overdue_repair", "", "2026-07-01T10:08:00+00:00", "handling"),
        ("rework", "井圈未清理，仍有松动", None, "check_not_pass"),
        ("supervised", "市领导批示，限今晚完成", None, "handling"),
        ("supervised", "", None, "handling"),
        ("closed", "", None, "closed"),
        ("closed_while_open", "", None, "closed"),
        ("closed_while_open", "现场已恢复", None, "forced_close"),
        ("closed_while_open", "", None, "cancelled"),
        ("not_accepted", "非本级职责", None, "not_accepted"),
        ("no_false_alarm", "", None, "cancelled"),
        ("not_on_platform", "", None, "dispatched"),
        ("goes_on_there", "", None, "cancelled"),
        ("worse_after_false_alarm", "", None, "cancelled"),
    ):
        news = {
            "what": what, "state": state, "at": "2026-07-01T14:15:00+00:00", "told_at": "2026-07-01T14:20:00+00:00",
            "by": by, "note": note,
        }  # fmt: skip
        yield message(snapshot(cover, 4, notice="case", reason="case_told", news=news), "").text
    yield "\n## 同一控制箱多处"
    lamps = [snapshot(lamp, 3) for _ in range(10)]
    for number, one in enumerate(lamps, start=4021):
        one["asset"] = one["asset"] | {"name": f"路灯杆{number}", "address": f"中华路{number - 3900}号"}
    yield message(lamps[0], "", lamps[1:]).text
    ended = [
        one | {"notice": "clear", "reason": "below_limit", "cleared_at": "2026-07-01T14:02:30+00:00"} for one in lamps
    ]
    yield message(ended[0], "", ended[1:]).text
    yield "\n## 汇总（免打扰结束，或超出机器人每分钟条数）"
    mixed = [*lamps[:4], snapshot(by_id["cover.tilt"], 3), snapshot(by_id["pipe.foul_full"], 2), *ended[4:6]]
    yield message(mixed[0], "", mixed[1:]).text
    yield "\n## 更正"
    late = {"verdict": "unfounded", "raised_at": None, "cleared_at": None, "worst_severity": None}
    corrected = snapshot(cover, 4, notice="correct", reason="late_data", event_at="2026-07-01T14:30:00+00:00")
    yield message(corrected | {"proof": corrected["proof"] | {"correction": late}}, "").text


def main() -> None:
    FILE.write_text(text(), encoding="utf-8")


def text() -> str:
    from underfoot.clock import CLOCK

    before = CLOCK.now
    CLOCK.now = lambda: datetime(2026, 7, 1, 23, 0, tzinfo=UTC)  # type: ignore[method-assign]
    try:
        return "\n".join(lines()) + "\n"
    finally:
        CLOCK.now = before  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
