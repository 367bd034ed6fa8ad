"""Answers about cases (案件), and what people may ask to be done to one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from alerts.cases.clocks import Reading, reading_of
from alerts.cases.events import EVENT_LABELS, ClockName
from alerts.cases.states import ENDED_LABELS, CaseState, Need
from alerts.duty.calendar import TimeKind
from api.models.ledger import AreaRef, AssetRef
from api.parameters import PRINTABLE, Instant, Page, Reasoning
from api.rows import Row
from underfoot.alarms import Severity

LEVELS = ("一般", "重要", "重大")
CLOCK_LABELS: dict[ClockName, str] = {"arrive": "到场", "repair": "处置"}
CAUSE_LABELS = {
    "callback": "平台回传",
    "engine": "系统",
    "operator": "人工",
    "reconcile": "对账",
    "receipt": "平台回执",
}


class CaseClock(BaseModel):
    """A time limit of the case, as it stands now."""

    label: str = Field(examples=["到场"])
    by: Instant
    kind: TimeKind = Field(examples=["urgent_hour"])
    kind_label: str = Field(examples=["紧急工作时"])
    amount: float = Field(examples=[0.5])
    remaining_s: int = Field(description="Until it runs out; below 0: it has run out since so long", examples=[1320])
    overdue: bool = Field(examples=[False])
    done_at: Instant | None = Field(description="It has stopped for good: done, or the case ended", examples=[None])
    stopped_since: Instant | None = Field(description="It stands still: the case is suspended (挂账)", examples=[None])

    @classmethod
    def of(cls, reading: Reading) -> Self:
        clock = reading.clock
        return cls(
            label=CLOCK_LABELS[reading.name],
            by=clock.by,
            kind=clock.kind,
            kind_label=clock.kind.label,
            amount=clock.amount,
            remaining_s=int(reading.remaining.total_seconds()),
            overdue=reading.overdue,
            done_at=reading.done_at,
            stopped_since=reading.stopped_since,
        )


def clocks_of(row: Row, now: datetime) -> dict[str, CaseClock | None]:
    """Both clocks of a case's row."""
    found: dict[str, CaseClock | None] = {}
    names: tuple[ClockName, ...] = ("arrive", "repair")
    for name in names:
        reading = reading_of(row, name, now)
        found[name] = None if reading is None else CaseClock.of(reading)
    return found


class CaseRef(BaseModel):
    """A case as its alarm shows it."""

    case_key: int = Field(examples=[312])
    state: CaseState = Field(examples=["dispatched"])
    state_label: str = Field(examples=["已派遣"])
    condition_name: str = Field(description="立案条件", examples=["井盖缺失、移位、打开"])
    code: str = Field(description="大小类, by `code_scheme`", examples=["0103"])
    code_name: str = Field(examples=["雨水井盖"])
    code_scheme: str = Field(examples=["GB/T 30428.2-2013"])
    level: int = Field(description="0 一般, 1 重要, 2 重大", examples=[2])
    level_label: str = Field(examples=["重大"])
    ended_how: str | None = Field(examples=[None])
    ended_label: str | None = Field(examples=[None])
    needs_person: Need | None = Field(description="Why a named person must look", examples=[None])
    needs_label: str | None = Field(examples=[None])
    platform_no: str | None = Field(description="Its number on the platform", examples=["A-2026-000123"])
    arrive: CaseClock | None = Field(description="到场并设防; null: no limit")
    repair: CaseClock | None = Field(description="修复; null: until it is gone")

    @staticmethod
    def parts(row: Row, now: datetime) -> Row:
        return {
            "state_label": CaseState(row["state"]).label,
            "level_label": LEVELS[row["level"]],
            "ended_label": ENDED_LABELS[row["ended_how"]] if row["ended_how"] is not None else None,
            "needs_label": Need(row["needs_person"]).label if row["needs_person"] is not None else None,
            **clocks_of(row, now),
        }

    @classmethod
    def of(cls, row: Row, now: datetime) -> Self:
        return cls.model_validate(row | cls.parts(row, now))


class Case(CaseRef):
    episode_key: int = Field(description="The alarm's", examples=[4711])
    alarm_key: int = Field(examples=[12])
    episode: int = Field(examples=[1])
    again: int = Field(description="How many earlier cases the episode had", examples=[0])
    title: str = Field(examples=["井盖打开"])
    severity: int = Field(description="1 蓝, 2 黄, 3 橙, 4 红", examples=[4])
    severity_label: str = Field(examples=["红"])
    rule_id: str = Field(examples=["cover.open"])
    filing_id: str = Field(examples=["filing.cover_open"])
    filing_version: int = Field(examples=[1])
    case_type: Literal["component", "event"]
    opened_at: Instant
    filed_at: Instant | None = Field(description="The platform's since then; null: it waits for 核实")
    arrived_at: Instant | None = Field(examples=[None])
    handled_at: Instant | None = Field(examples=[None])
    ended_at: Instant | None = Field(examples=[None])
    end_confirmed: bool = Field(description="The platform has said that it is over", examples=[False])
    condition_over_at: Instant | None = Field(description="The alarm cleared", examples=[None])
    false_alarm_at: Instant | None = Field(examples=[None])
    rework: int = Field(description="返工", examples=[0])
    supervised: bool = Field(description="督办", examples=[False])
    suspended_since: Instant | None = Field(description="挂账", examples=[None])
    suspended_s: float = Field(examples=[0.0])
    sink: str | None = Field(description="The platform that has answered; null: none yet", examples=["city"])
    known_state: str | None = Field(description="What it last said", examples=["dispatched"])
    known_at: Instant | None = Field(description="… and when that was, by its own clock")
    duplicate_of: str | None = Field(description="A citizen's case, by its number on the platform", examples=[None])
    merged_into: int | None = Field(description="An incident's case", examples=[None])
    follows: int | None = Field(description="An earlier case of the alarm that was not over", examples=[None])
    device_id: str | None = Field(examples=["cover-0312"])
    asset: AssetRef | None
    area: AreaRef | None

    @staticmethod
    def parts(row: Row, now: datetime) -> Row:
        return CaseRef.parts(row, now) | {
            "severity_label": Severity(row["severity"]).label,
            "asset": AssetRef.of(row),
            "area": AreaRef.of(row),
        }


class CasePage(Page):
    items: list[Case]


class CaseStep(BaseModel):
    """One immutable line of a case's record."""

    step_no: int = Field(examples=[1])
    event: str = Field(examples=["reached"])
    event_label: str = Field(examples=["平台状态"])
    from_state: str | None = Field(description="Null: it was opened", examples=["accepted"])
    to_state: str = Field(examples=["dispatched"])
    to_label: str = Field(examples=["已派遣"])
    at: Instant = Field(description="As whoever says so has it")
    received_at: Instant
    actor: str = Field(examples=["platform:city"])
    cause: str = Field(examples=["callback"])
    cause_label: str = Field(examples=["平台回传"])
    note: str = Field(examples=[""])
    detail: dict[str, Any] = Field(
        description="`unmoved`: why it moved nothing; `skipped`: states of which nobody told us",
        examples=[{"to": "dispatched", "skipped": ["pending_dispatch"]}],
    )

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(
            row
            | {
                "event_label": EVENT_LABELS.get(row["event"], row["event"]),
                "to_label": CaseState(row["to_state"]).label,
                "cause_label": CAUSE_LABELS[row["cause"]],
            }
        )


class CaseDetail(Case):
    steps: list[CaseStep] = Field(description="Newest first, 1000 at most")


# what may be asked ---------------------------------------------------------------------------------------------------

PlatformNumber = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=PRINTABLE)
]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Saying(_Wanted):
    """Optional body of an act."""

    note: Reasoning | None = Field(None, description="Kept with the case", examples=["已电话通知养护所"])


class Verifying(Saying):
    """核实: is it there?"""

    real: bool = Field(True, description="false: there is nothing; the case ends as a false alarm (误报)")


class Reasoned(_Wanted):
    reason: Reasoning = Field(description="Kept with the case; the platform is told", examples=["等待配件，预计3天"])


class Supervising(Saying):
    on: bool = Field(True, description="false: no more")


class Duplicating(Saying):
    of: PlatformNumber = Field(description="The citizen's case, by its number on the platform", examples=["12345-0088"])


class Noting(_Wanted):
    text: Reasoning = Field(examples=["平台值班员称今晚派人"])
    settles: bool = Field(False, description="What a person had to look at is seen to")
