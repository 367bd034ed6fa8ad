"""Answers about alarms: what is open, why it fired, what was done and who was told."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from alerts.cases.states import CaseState
from alerts.deliver.verdict import VERDICT_LABELS, Verdict
from alerts.record.snapshot import Notice
from alerts.regions.suppression import NONE
from api.models.cases import CaseRef
from api.models.ledger import AreaRef, AssetRef
from api.models.regions import Comment, Corrected, Suppressing, state_label
from api.parameters import Instant, Page
from api.rows import Row
from underfoot.alarms import REASON_LABELS, Condition, Human, Reason, Severity, SubjectKind

DELIVERY_LABELS = {"owed": "待推送", "delivered": "已送达", "dead": "推送失败", "dropped": "无需推送"}


def reason_label(reason: str | None) -> str | None:
    return REASON_LABELS[Reason(reason)] if reason in set(Reason) else reason


class Proof(BaseModel):
    """The reading that proved it, copied when it happened. What a rule does not look at is null."""

    model_config = ConfigDict(extra="allow")

    ts: Instant | None = Field(None, description="Event time of the report")
    received_at: Instant | None = None
    field: str | None = Field(None, examples=["tilt_deg"])
    label: str | None = Field(None, examples=["倾角"])
    value: Any = Field(None, examples=[78.2])
    unit: str | None = Field(None, examples=["°"])
    limit: Any = Field(None, examples=[30.0])
    values: dict[str, Any] | None = Field(None, description="All values of that report", examples=[{"tilt_deg": 78.2}])


class Alarm(BaseModel):
    """One episode of an alarm: from its raising to its clearing."""

    episode_key: int = Field(description="Its key in this API", examples=[4711])
    alarm_key: int = Field(description="One subject and one rule", examples=[12])
    episode: int = Field(description="Which of the alarm's episodes", examples=[1])
    subject_kind: SubjectKind
    rule_id: str = Field(examples=["cover.open"])
    rule_version: int = Field(examples=[1])
    title: str = Field(examples=["井盖打开"])
    family: str | None = Field(examples=["cover"])
    state: Literal["open", "cleared"]
    condition: Condition = Field(description="The engine's region", examples=["active"])
    condition_label: str = Field(examples=["告警中"])
    human: Human = Field(description="The operators' region; what cleared unseen stays listed as unacknowledged")
    human_label: str = Field(examples=["未确认"])
    suppression: list[Suppressing] = Field(
        description="The suppression region: for what nobody is told of it now; empty: everybody is", examples=[[]]
    )
    suppression_label: str = Field(examples=["正常通知"])
    withheld: bool = Field(
        description="Something was kept back while it was suppressed; if it is open then, the end of that tells it",
        examples=[False],
    )
    stale: bool = Field(description="Its device is offline: the condition is what it was then", examples=[False])
    severity: int = Field(description="1 蓝, 2 黄, 3 橙, 4 红", examples=[4])
    severity_label: str = Field(examples=["红"])
    worst_severity: int = Field(examples=[4])
    raised_at: Instant = Field(description="Event time of the proof")
    raised_received_at: Instant
    cleared_at: Instant | None = Field(description="Event time; null: it is open", examples=[None])
    clear_reason: str | None = Field(examples=[None])
    clear_reason_label: str | None = Field(examples=[None])
    acknowledged_by: str | None = Field(examples=[None])
    acknowledged_at: Instant | None = Field(examples=[None])
    assigned_to: str | None = Field(examples=[None])
    assigned_at: Instant | None = Field(examples=[None])
    confirmed: bool | None = Field(
        description="What people found: true, it was so; false, a false alarm (误报); null: nobody has said",
        examples=[None],
    )
    confirmed_by: str | None = Field(examples=[None])
    confirmed_at: Instant | None = Field(examples=[None])
    corrected: Corrected | None = Field(
        description="What late data has shown of this episode; the episode itself stays as it was", examples=[None]
    )
    comments: int = Field(description="How many; the alarm itself lists them", examples=[0])
    device_id: str | None = Field(examples=["cover-0312"])
    asset: AssetRef | None
    area: AreaRef | None
    proof: Proof

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(row | cls.parts(row))

    @staticmethod
    def parts(row: Row) -> Row:
        return {
            "state": "open" if row["cleared_at"] is None else "cleared",
            "severity_label": Severity(row["severity"]).label,
            "condition_label": state_label(row["condition"]),
            "human_label": state_label(row["human"]),
            "suppression": [Suppressing.of(each) for each in row["suppression"] or ()],
            "suppression_label": state_label(_suppressed(row)),
            "corrected": Corrected.of(row["correction"]),
            "clear_reason_label": reason_label(row["clear_reason"]),
            "asset": AssetRef.of(row),
            "area": AreaRef.of(row),
        }


def _suppressed(row: Row) -> str:
    return "+".join(sorted({each["kind"] for each in row["suppression"] or ()})) or NONE


class AlarmPage(Page):
    items: list[Alarm]


class Why(BaseModel):
    """Why it fired, so that it can be checked by hand."""

    sentence: str = Field(examples=["2026-07-01 21:38:05 设备 cover-0312 上报倾角 78.2 °，达到限值 30 °。"])
    rule_text: str = Field(
        description="The rule's version that raised it, in words", examples=["井盖倾斜：倾角与基准值之差 ≥ 30 ° → 红。"]
    )
    rule_body: dict[str, Any] | None = Field(
        description="That version itself; null: it is no longer on record",
        examples=[{"rule_id": "cover.tilt", "kind": "level"}],
    )


def _label(row: Row, name: str) -> str:
    return CaseState(row[name]).label if row["region"] == "case" else state_label(row[name])


class Transition(BaseModel):
    """One immutable line of an episode's record."""

    transition_no: int = Field(examples=[1])
    region: Literal["condition", "human", "suppression", "case"] = Field(
        description="case: an act on its case of which the platform was told", examples=["condition"]
    )
    from_state: str = Field(examples=["normal"])
    from_label: str = Field(examples=["正常"])
    to_state: str = Field(examples=["active"])
    to_label: str = Field(examples=["告警中"])
    severity: int = Field(examples=[4])
    reason: str = Field(examples=["limit_reached"])
    reason_label: str = Field(examples=["达到限值"])
    actor: str = Field(description="`engine`, or a key's name", examples=["engine"])
    event_at: Instant
    received_at: Instant
    committed_at: Instant
    proof: Proof | None

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(
            row
            | {
                "from_label": _label(row, "from_state"),
                "to_label": _label(row, "to_state"),
                "reason_label": reason_label(row["reason"]),
            }
        )


class Delivery(BaseModel):
    """One message that a sink is owed, and what became of it."""

    delivery_key: int = Field(examples=[9001])
    sink: str = Field(examples=["platform"])
    channel: str = Field(examples=["platform"])
    audience: Literal["platform", "crew", "duty"] = Field(examples=["crew"])
    transition_no: int = Field(examples=[1])
    notice: Notice = Field(examples=["raise"])
    severity: int = Field(examples=[4])
    state: Literal["owed", "delivered", "dead", "dropped"] = Field(examples=["delivered"])
    state_label: str = Field(examples=["已送达"])
    attempts: int = Field(examples=[1])
    created_at: Instant
    settled_at: Instant | None
    next_attempt_at: Instant | None = Field(description="While it is owed", examples=[None])
    verdict: str | None = Field(description="Why the sink was told, or was not; null: undecided", examples=["tell"])
    verdict_label: str | None = Field(examples=["已通知"])
    last_error: str | None = Field(examples=[None])
    receipt: dict[str, Any] | None = Field(
        description="What the sink answered", examples=[{"platform_no": "A-2026-000123"}]
    )
    told_with: int | None = Field(
        None,
        description="Told in one message with other alarms: the delivery by whose link it went; null: by itself",
        examples=[None],
    )

    @classmethod
    def of(cls, row: Row) -> Self:
        verdict = row["verdict"]
        return cls.model_validate(
            row
            | {
                "state_label": DELIVERY_LABELS[row["state"]],
                "verdict_label": VERDICT_LABELS[Verdict(verdict)] if verdict in set(Verdict) else verdict,
            }
        )


class AlarmDetail(Alarm):
    why: Why
    case: CaseRef | None = Field(description="What the city's platform has of it; null: it is no case")
    transitions: list[Transition] = Field(description="Newest first, 1000 at most")
    told: list[Delivery] = Field(description="Newest first, 1000 at most")
    said: list[Comment] = Field(description="Comments, newest first, 1000 at most")
