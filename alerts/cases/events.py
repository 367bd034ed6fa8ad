"""Events: what may happen to a case. What each does to it is alerts/cases/lifecycle.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from alerts.cases.states import CaseState, Need
from alerts.duty.calendar import TimeKind

ClockName = Literal["arrive", "repair"]
"""arrive: somebody is there, and it is safe. repair: it is mended."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time limit of a case, and when it runs out."""

    by: datetime
    kind: TimeKind
    amount: float


@dataclass(frozen=True, slots=True)
class Reached:
    """The platform says that the case is there. `rework`: how often it was sent back, if the platform counts that.
    `duplicate_of`: it has ended it because a citizen's case with this number goes on instead."""

    to: CaseState
    rework: int | None = None
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """The platform has taken a notice, and has given the case this number."""

    sink_key: int
    platform_no: str | None


@dataclass(frozen=True, slots=True)
class Verified:
    """An operator has found that it exists (核实): it goes to the platform."""


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """An operator has found that there was nothing."""


@dataclass(frozen=True, slots=True)
class NoFalseAlarm:
    """… and has taken that back."""


@dataclass(frozen=True, slots=True)
class ConditionOver:
    """The alarm has cleared."""


@dataclass(frozen=True, slots=True)
class Recurred:
    """The alarm is open again while this case is not over: `case_key` is the new episode's."""

    case_key: int


@dataclass(frozen=True, slots=True)
class Refiled:
    """This case is over, its alarm is not, and has a case again: `case_key`."""

    case_key: int


@dataclass(frozen=True, slots=True)
class Worsened:
    """The alarm got worse: a higher level, and the clocks of the worse severity where they end sooner."""

    level: int
    arrive: Clock | None
    repair: Clock | None


@dataclass(frozen=True, slots=True)
class Arrived:
    """Somebody of ours is there."""


@dataclass(frozen=True, slots=True)
class Handled:
    """Somebody of ours has repaired it."""


@dataclass(frozen=True, slots=True)
class Suspended:
    """挂账: it can't go on for now."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """… it goes on."""


@dataclass(frozen=True, slots=True)
class Supervised:
    """督办, or no more."""

    on: bool = True


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An operator has cancelled it."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An operator has found that a citizen's case on the platform is about the same, and goes on instead."""

    of: str


@dataclass(frozen=True, slots=True)
class Merged:
    """An incident's case goes on instead."""

    into: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """A clock has run out."""

    clock: ClockName


@dataclass(frozen=True, slots=True)
class Needs:
    """A named person must look, and why."""

    why: Need


@dataclass(frozen=True, slots=True)
class Noted:
    """Somebody has said something; `settles`: what a person had to look at is seen to."""

    settles: bool = False


CaseEvent = (
    Reached
    | Received
    | Verified
    | FalseAlarm
    | NoFalseAlarm
    | ConditionOver
    | Recurred
    | Refiled
    | Worsened
    | Arrived
    | Handled
    | Suspended
    | Resumed
    | Supervised
    | Cancelled
    | Duplicate
    | Merged
    | Overdue
    | Needs
    | Noted
)

_NAMES: dict[type, str] = {
    Reached: "reached",
    Received: "received",
    Verified: "verified",
    FalseAlarm: "false_alarm",
    NoFalseAlarm: "no_false_alarm",
    ConditionOver: "condition_over",
    Recurred: "recurred",
    Refiled: "refiled",
    Worsened: "worsened",
    Arrived: "arrived",
    Handled: "handled",
    Suspended: "suspended",
    Resumed: "resumed",
    Supervised: "supervised",
    Cancelled: "cancelled",
    Duplicate: "duplicate",
    Merged: "merged",
    Overdue: "overdue",
    Needs: "needs_person",
    Noted: "noted",
}


EVENT_LABELS: dict[str, str] = {
    "opened": "立案上报",
    "reached": "平台状态",
    "received": "平台收到",
    "verified": "核实属实",
    "false_alarm": "误报",
    "no_false_alarm": "撤销误报认定",
    "condition_over": "告警解除",
    "recurred": "告警再次发生",
    "refiled": "再次立案",
    "worsened": "级别升高",
    "arrived": "到场",
    "handled": "处置完成",
    "suspended": "挂账",
    "resumed": "恢复处置",
    "supervised": "督办",
    "cancelled": "撤销",
    "duplicate": "与市民上报重复",
    "merged": "并入险情案件",
    "overdue_arrive": "到场超时",
    "overdue_repair": "处置超时",
    "needs_person": "需人工处理",
    "noted": "备注",
}
"""Each event as `case_steps.event` has it, and the first line of every record (`opened`), in words."""


def name_of(event: CaseEvent) -> str:
    """As `case_steps.event` has it. The two clocks' ends are two events, so that each can be told by its name."""
    if isinstance(event, Overdue):
        return f"overdue_{event.clock}"
    return _NAMES[type(event)]
