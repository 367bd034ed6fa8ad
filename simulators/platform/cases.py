"""A case (案件) on the stand-in platform, and the way that it may go, as the domain has it:

    reported → (核实) → 立案 → 派遣 → 处置 (挂账, 回退) → 核查 (返工) → 结案

A step that is not on that way is refused, whoever asks for it. Every step stays in the case's history.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class CaseState(StrEnum):
    """The names as platforms write them; `LABELS` has what people read."""

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
    check_pass = "check_pass"  # noqa: S105 - it passes the check
    check_not_pass = "check_not_pass"  # noqa: S105
    pending_close = "pending_close"
    closed = "closed"
    forced_close = "forced_close"
    cancelled = "cancelled"


LABELS = {
    CaseState.reported: "上报",
    CaseState.pending_verify: "待核实",
    CaseState.pending_register: "待立案",
    CaseState.accepted: "已立案",
    CaseState.not_accepted: "不予立案",
    CaseState.pending_dispatch: "待派遣",
    CaseState.dispatched: "已派遣",
    CaseState.pending_handle: "待处置",
    CaseState.handling: "处置中",
    CaseState.suspended: "挂账",
    CaseState.returned: "回退",
    CaseState.handle_finish: "处置完成",
    CaseState.pending_check: "待核查",
    CaseState.checking: "核查中",
    CaseState.check_pass: "核查通过",
    CaseState.check_not_pass: "核查不通过（返工）",
    CaseState.pending_close: "待结案",
    CaseState.closed: "已结案",
    CaseState.forced_close: "强制结案",
    CaseState.cancelled: "作废",
}
_S = CaseState
FINAL = frozenset({_S.not_accepted, _S.closed, _S.forced_close, _S.cancelled})
BEFORE_DISPATCH = frozenset(
    {_S.reported, _S.pending_verify, _S.pending_register, _S.accepted, _S.pending_dispatch, _S.returned}
)
WAY: dict[CaseState, tuple[CaseState, ...]] = {
    _S.reported: (_S.pending_verify, _S.pending_register),
    _S.pending_verify: (_S.pending_register, _S.not_accepted),
    _S.pending_register: (_S.accepted, _S.not_accepted),
    _S.accepted: (_S.pending_dispatch,),
    _S.pending_dispatch: (_S.dispatched,),
    _S.dispatched: (_S.pending_handle, _S.returned),
    _S.pending_handle: (_S.handling, _S.returned),
    _S.handling: (_S.handle_finish, _S.suspended, _S.returned),
    _S.suspended: (_S.handling,),
    _S.returned: (_S.pending_dispatch,),
    _S.handle_finish: (_S.pending_check,),
    _S.pending_check: (_S.checking,),
    _S.checking: (_S.check_pass, _S.check_not_pass),
    _S.check_not_pass: (_S.pending_handle,),
    _S.check_pass: (_S.pending_close,),
    _S.pending_close: (_S.closed,),
}
"""Beside that, whoever may can force a case closed or declare it void as long as it is open."""


class NotPossibleError(ValueError):
    """A step that is not on the way of a case: says from where, to where, and what there is."""


@dataclass
class Case:
    """`key` is the alarm and its episode: a platform number stands for one of them."""

    platform_no: str
    key: str
    level: int
    title: str
    push_id: str
    """Of the notice by which it was reported, or of the newest: callbacks name it."""
    callback_url: str | None = None
    state: CaseState = CaseState.reported
    history: list[dict[str, Any]] = field(default_factory=list)
    rework: int = 0
    returns: int = 0
    overdue: bool = False
    supervised: bool = False
    duplicate_of: str | None = None
    """A citizen's case, by its number: it goes on instead of this one."""
    cleared: bool = False
    """The alarm itself is over."""

    @property
    def open(self) -> bool:
        return self.state not in FINAL

    def may_become(self) -> tuple[CaseState, ...]:
        return (*WAY.get(self.state, ()), CaseState.forced_close, CaseState.cancelled) if self.open else ()

    def become(
        self, state: CaseState, at_ms: float, by: str, note: str = "", duplicate_of: str | None = None
    ) -> dict[str, Any]:
        """Take one step; returns its line of the history."""
        if state not in self.may_become():
            allowed = "、".join(self.may_become()) or "nothing: it is over"
            raise NotPossibleError(f"{self.platform_no}: {self.state} cannot become {state}; it may become {allowed}")
        self.state = state
        self.duplicate_of = duplicate_of
        self.rework += state is CaseState.check_not_pass
        self.returns += state is CaseState.returned
        step = {"state": state.value, "label": LABELS[state], "at_ms": at_ms, "by": by, "note": note}
        self.history.append(step)
        return step

    def shown(self) -> dict[str, Any]:
        return {
            "platform_no": self.platform_no,
            "event": self.key,
            "push_id": self.push_id,
            "level": self.level,
            "title": self.title,
            "state": self.state.value,
            "label": LABELS[self.state],
            "open": self.open,
            "rework": self.rework,
            "returns": self.returns,
            "overdue": self.overdue,
            "supervised": self.supervised,
            "duplicate_of": self.duplicate_of,
            "cleared": self.cleared,
            "may_become": [state.value for state in self.may_become()],
            "history": self.history,
        }
