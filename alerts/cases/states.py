"""States: where a case can be, from where it may go where, and the words for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class CaseState(StrEnum):
    """As 数字城管 has them. 核实 is before filing (is it there?), 核查 after the repair (is it mended?)."""

    reported = "reported"
    pending_verify = "pending_verify"
    pending_register = "pending_register"
    accepted = "accepted"
    not_accepted = "not_accepted"
    pending_dispatch = "pending_dispatch"
    dispatched = "dispatched"
    pending_handle = "pending_handle"
    handling = "handling"
    suspended = "suspended"
    returned = "returned"
    handle_finish = "handle_finish"
    pending_check = "pending_check"
    checking = "checking"
    check_pass = "check_pass"  # noqa: S105 (no password)
    check_not_pass = "check_not_pass"  # noqa: S105
    pending_close = "pending_close"
    closed = "closed"
    forced_close = "forced_close"
    cancelled = "cancelled"

    @property
    def label(self) -> str:
        return STATE_LABELS[self]


S = CaseState

STATE_LABELS: dict[CaseState, str] = {
    S.reported: "已上报",
    S.pending_verify: "待核实",
    S.pending_register: "待立案",
    S.accepted: "已受理",
    S.not_accepted: "不予受理",
    S.pending_dispatch: "待派遣",
    S.dispatched: "已派遣",
    S.pending_handle: "待处置",
    S.handling: "处置中",
    S.suspended: "挂账",
    S.returned: "已回退",
    S.handle_finish: "处置完成",
    S.pending_check: "待核查",
    S.checking: "核查中",
    S.check_pass: "核查通过",
    S.check_not_pass: "核查不通过（返工）",
    S.pending_close: "待结案",
    S.closed: "已结案",
    S.forced_close: "强制结案",
    S.cancelled: "已撤销",
}

EndedHow = Literal["closed", "forced_close", "cancelled", "not_accepted", "merged", "duplicate", "false_alarm"]

ENDED_LABELS: dict[EndedHow, str] = {
    "closed": "结案",
    "forced_close": "强制结案",
    "cancelled": "撤销",
    "not_accepted": "不予受理",
    "merged": "并入险情案件",
    "duplicate": "与市民上报重复",
    "false_alarm": "误报",
}


def state_said(state: CaseState, ended_how: EndedHow | None) -> str:
    """Where a case is, and how it ended, where its state does not say that already."""
    ended = "" if ended_how is None or ENDED_LABELS[ended_how] in state.label else f"（{ENDED_LABELS[ended_how]}）"
    return state.label + ended


class Need(StrEnum):
    """Why a named person must look (column `needs_person`)."""

    verify = "verify"
    not_accepted = "not_accepted"
    closed_while_open = "closed_while_open"
    not_on_platform = "not_on_platform"
    goes_on_there = "goes_on_there"
    worse_after_false_alarm = "worse_after_false_alarm"

    @property
    def label(self) -> str:
        return NEED_LABELS[self]

    @property
    def until_over(self) -> bool:
        """Whether it is settled by the alarm's end."""
        return self in (Need.verify, Need.not_accepted, Need.closed_while_open, Need.worse_after_false_alarm)


NEED_LABELS: dict[Need, str] = {
    Need.verify: "待人工核实后上报",
    Need.not_accepted: "平台不予受理，告警仍未解除",
    Need.closed_while_open: "案件已结束，告警仍未解除",
    Need.not_on_platform: "平台上没有该案件",
    Need.goes_on_there: "我方已结束，平台仍在办理",
    Need.worse_after_false_alarm: "认定误报后级别升高",
}

FINAL = frozenset({S.closed, S.forced_close, S.cancelled, S.not_accepted})

_LINE = (
    S.reported,
    S.pending_verify,
    S.pending_register,
    S.accepted,
    S.pending_dispatch,
    S.dispatched,
    S.pending_handle,
    S.handling,
    S.handle_finish,
    S.pending_check,
    S.checking,
    S.check_pass,
    S.pending_close,
    S.closed,
)

RANK: dict[CaseState, int] = {state: place for place, state in enumerate(_LINE)} | {
    S.not_accepted: _LINE.index(S.accepted),
    S.suspended: _LINE.index(S.handling),
    S.returned: _LINE.index(S.handling),
    S.check_not_pass: _LINE.index(S.check_pass),
    S.forced_close: _LINE.index(S.closed),
    S.cancelled: _LINE.index(S.closed),
}
"""How far a case has come. What is beside the line is as far as what it stands beside."""

BEFORE_DISPATCH = frozenset(state for state in S if RANK[state] < RANK[S.dispatched])
"""Nobody is on the way yet. (`returned` is not one of them: somebody was.)"""

_BESIDE: dict[CaseState, tuple[CaseState, ...]] = {
    S.reported: (S.not_accepted,),
    S.pending_verify: (S.not_accepted,),
    S.pending_register: (S.not_accepted,),
    S.dispatched: (S.returned, S.suspended),
    S.pending_handle: (S.returned, S.suspended),
    S.handling: (S.suspended, S.returned),
    S.suspended: (S.handling, S.pending_handle),
    S.returned: (S.pending_dispatch, S.dispatched),
    S.checking: (S.check_not_pass,),
    S.check_not_pass: (S.handling, S.pending_handle, S.dispatched, S.pending_dispatch),
}

EDGES: dict[CaseState, tuple[CaseState, ...]] = {
    state: ()
    if state in FINAL
    else (
        *((_LINE[_LINE.index(state) + 1],) if state in _LINE else ()),
        *_BESIDE.get(state, ()),
        S.forced_close,
        S.cancelled,
    )
    for state in S
}
"""From where to where in one step. Any case that is not over may be cancelled or closed by force."""
