"""The words of alarms, written down once: severities, states, transitions and their reasons.

What a state means and when it changes is alerts/judge/transition.py; these are only the names that tables, API,
messages and people share.
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


class Suppression(StrEnum):
    """The suppression region: why nobody is told for now. Several may hold at once."""

    shelved = "shelved"
    by_design = "by_design"
    out_of_service = "out_of_service"
    flapping = "flapping"


SUPPRESSION_LABELS: dict[Suppression, str] = {
    Suppression.shelved: "搁置",
    Suppression.by_design: "由上级险情说明",
    Suppression.out_of_service: "检修中",
    Suppression.flapping: "反复波动",
}


class SubjectKind(StrEnum):
    """What an alarm is about. `subject_key` is the device_key, asset_key, shard_key, sink_key, …"""

    device = "device"
    asset = "asset"
    pipe = "pipe"
    gateway = "gateway"
    area = "area"
    incident = "incident"
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
    rule_changed = "rule_changed"
    rule_failing = "rule_failing"
    rule_working = "rule_working"
    condition_met = "condition_met"
    condition_over = "condition_over"
    blockage_found = "blockage_found"
    blockage_over = "blockage_over"
    gateway_silent = "gateway_silent"
    gateway_again = "gateway_again"
    late_data = "late_data"
    closed_by_hand = "closed_by_hand"
    incident_began = "incident_began"
    incident_grew = "incident_grew"
    incident_over = "incident_over"
    acknowledged = "acknowledged"
    unacknowledged = "unacknowledged"
    realarm = "realarm"
    escalated = "escalated"
    no_receipt = "no_receipt"
    no_callback = "no_callback"
    uncovered = "uncovered"
    covered = "covered"
    nobody = "nobody"
    somebody = "somebody"
    case_told = "case_told"
    shelved = "shelved"
    unshelved = "unshelved"
    shelf_expired = "shelf_expired"
    explained = "explained"
    explained_no_more = "explained_no_more"
    out_of_service = "out_of_service"
    in_service_again = "in_service_again"
    flapping_began = "flapping_began"
    flapping_over = "flapping_over"
    case_verified = "case_verified"
    case_refiled = "case_refiled"
    case_ended = "case_ended"
    case_progress = "case_progress"

    @property
    def label(self) -> str:
        return REASON_LABELS[self]


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
    Reason.rule_changed: "规则已修改",
    Reason.rule_failing: "规则计算出错，已隔离",
    Reason.rule_working: "规则恢复正常",
    Reason.condition_met: "条件成立",
    Reason.condition_over: "条件不再成立",
    Reason.blockage_found: "上游高、下游低，疑似堵塞",
    Reason.blockage_over: "水位差恢复正常",
    Reason.gateway_silent: "网关下多台设备失联",
    Reason.gateway_again: "网关恢复",
    Reason.late_data: "迟到数据更正",
    Reason.closed_by_hand: "人工关闭",
    Reason.incident_began: "险情开始",
    Reason.incident_grew: "险情发展",
    Reason.incident_over: "险情结束",
    Reason.acknowledged: "已确认",
    Reason.unacknowledged: "撤销确认",
    Reason.realarm: "超时未处置，重新提醒",
    Reason.escalated: "无人确认，已上报",
    Reason.no_receipt: "推送无回执，请电话联系",
    Reason.no_callback: "平台无反馈，请电话联系",
    Reason.uncovered: "轮到的值班级别无人可通知",
    Reason.covered: "已有人值班",
    Reason.nobody: "无推送目标，也无值班人员可通知",
    Reason.somebody: "已有人可通知",
    Reason.case_told: "案件进展通知责任单位",
    Reason.shelved: "搁置",
    Reason.unshelved: "取消搁置",
    Reason.shelf_expired: "搁置到期",
    Reason.explained: "由上级险情说明",
    Reason.explained_no_more: "不再由上级险情说明",
    Reason.out_of_service: "检修开始",
    Reason.in_service_again: "检修结束",
    Reason.flapping_began: "反复波动，暂停通知",
    Reason.flapping_over: "波动结束",
    Reason.case_verified: "案件已核实，上报平台",
    Reason.case_refiled: "再次立案，上报平台",
    Reason.case_ended: "案件撤销",
    Reason.case_progress: "案件进展",
}
