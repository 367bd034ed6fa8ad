"""The words of alarms, written down once: severities, states, transitions and their reasons.

What a state means and when it changes is alerts/transition.py; these are only the names that tables, API, messages
and people share.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Severity(IntEnum):
    """蓝 < 黄 < 橙 < 红."""

    blue = 1
    yellow = 2
    orange = 3
    red = 4

    @property
    def label(self) -> str:
        return "蓝黄橙红"[self.value - 1]


class Condition(StrEnum):
    """The engine's region of an alarm. Stale is no state of its own: without data the condition is frozen."""

    normal = "normal"
    pending = "pending"
    active = "active"
    clearing = "clearing"


class Human(StrEnum):
    """The operators' region of an episode."""

    unacknowledged = "unacknowledged"
    acknowledged = "acknowledged"


class SubjectKind(StrEnum):
    """What an alarm is about. `subject_key` is the device_key, asset_key, shard_key, sink_key, …"""

    device = "device"
    asset = "asset"
    pipe = "pipe"
    gateway = "gateway"
    shard = "shard"
    rule = "rule"
    sink = "sink"


class Reason(StrEnum):
    """Why a transition happened. Stored with every transition; shown to operators by `REASON_LABELS`."""

    limit_reached = "limit_reached"
    severity_rose = "severity_rose"
    severity_fell = "severity_fell"
    below_limit = "below_limit"
    back_over_limit = "back_over_limit"
    held_in_silence = "held_in_silence"
    clear_in_silence = "clear_in_silence"
    no_data = "no_data"
    data_again = "data_again"
    late_hazard = "late_hazard"
    newer_report_normal = "newer_report_normal"
    newer_report_raised = "newer_report_raised"
    session_lost = "session_lost"
    session_restored = "session_restored"
    flooding = "flooding"
    flood_over = "flood_over"
    sink_failing = "sink_failing"
    sink_working = "sink_working"
    rule_withdrawn = "rule_withdrawn"
    closed_by_hand = "closed_by_hand"
    acknowledged = "acknowledged"


REASON_LABELS: dict[Reason, str] = {
    Reason.limit_reached: "达到限值",
    Reason.severity_rose: "级别升高",
    Reason.severity_fell: "级别降低",
    Reason.below_limit: "恢复到限值以下",
    Reason.back_over_limit: "再次超限",
    Reason.held_in_silence: "持续时间内无相反上报",
    Reason.clear_in_silence: "恢复后持续时间内无相反上报",
    Reason.no_data: "超时未上报",
    Reason.data_again: "恢复上报",
    Reason.late_hazard: "迟到上报显示险情，待核查",
    Reason.newer_report_normal: "新上报显示正常",
    Reason.newer_report_raised: "新上报已正式告警",
    Reason.session_lost: "消息会话丢失，期间上报可能缺失",
    Reason.session_restored: "消息会话已恢复",
    Reason.flooding: "上报异常频繁，超出部分已隔离",
    Reason.flood_over: "上报恢复正常频率",
    Reason.sink_failing: "推送目标故障",
    Reason.sink_working: "推送目标恢复",
    Reason.rule_withdrawn: "规则停用",
    Reason.closed_by_hand: "人工关闭",
    Reason.acknowledged: "已确认",
}
