"""Answers about what people and causes do to alarms: what is suppressed and why, comments, corrections, work orders."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from alerts.history.correction import FINDING_LABELS, Finding
from api.models.ledger import AreaRef, AssetRef
from api.parameters import Instant, Page
from api.rows import Row
from underfoot.alarms import SUPPRESSION_LABELS, Condition, Human, Severity, SubjectKind, Suppression

STATE_LABELS: dict[str, str] = {
    Condition.normal: "正常",
    Condition.pending: "待定",
    Condition.active: "告警中",
    Condition.clearing: "恢复中",
    Human.unacknowledged: "未确认",
    Human.acknowledged: "已确认",
    "none": "正常通知",
    **{kind.value: label for kind, label in SUPPRESSION_LABELS.items()},
}


def state_label(state: str) -> str:
    """A state of any region, as operators read it; of several suppressions, all of them."""
    return "、".join(STATE_LABELS.get(part, part) for part in state.split("+"))


class Suppressing(BaseModel):
    """One thing for which nobody is told of an alarm now."""

    kind: Suppression = Field(examples=["shelved"])
    kind_label: str = Field(examples=["搁置"])
    cause: str = Field(
        description="Of several of a kind which: an incident, an alarm, a work order; empty for a shelf", examples=[""]
    )
    since: Instant
    until: Instant | None = Field(description="It ends by itself then; null: whoever began it ends it")
    reason: str = Field(examples=["道路施工，每日进出"])
    actor: str = Field(description="`engine`, or a key's name", examples=["desk"])

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(row | {"kind_label": SUPPRESSION_LABELS[Suppression(row["kind"])]})


class Corrected(BaseModel):
    """What late data has shown of an episode: what its record would be, had all come in time. The newest counts."""

    verdict: str = Field(examples=["changed"])
    verdict_label: str = Field(examples=["更正：时间或级别有变"])
    raised_at: Instant | None = Field(description="Null: it would not have been raised")
    cleared_at: Instant | None
    worst_severity: int | None = Field(description="1 蓝, 2 黄, 3 橙, 4 红", examples=[4])
    committed_at: Instant

    @classmethod
    def of(cls, row: Row | None) -> Self | None:
        if row is None:
            return None
        verdict = row["verdict"]
        label = FINDING_LABELS[Finding(verdict)] if verdict in set(Finding) else verdict
        return cls.model_validate(row | {"verdict_label": label})


class Comment(BaseModel):
    comment_key: int = Field(examples=[77])
    at: Instant
    actor: str = Field(description="A key's name", examples=["desk"])
    text: str = Field(examples=["养护所反馈：井圈松动，明日更换"])


class Suppressed(Suppressing):
    """An alarm that nobody is told of now, and why."""

    suppression_key: int = Field(examples=[31])
    alarm_key: int = Field(examples=[12])
    subject_kind: SubjectKind
    rule_id: str = Field(examples=["cover.open"])
    episode_key: int | None = Field(description="Its last episode; null: it was never raised", examples=[4711])
    title: str | None = Field(examples=["井盖打开"])
    state: Literal["open", "cleared"] | None = Field(examples=["open"])
    severity: int | None = Field(description="1 蓝, 2 黄, 3 橙, 4 红", examples=[4])
    severity_label: str | None = Field(examples=["红"])
    withheld: bool = Field(description="Something was kept back that will be told at the end", examples=[True])
    device_id: str | None = Field(examples=["cover-0312"])
    asset: AssetRef | None
    area: AreaRef | None

    @classmethod
    def of(cls, row: Row) -> Self:
        known = row["episode_key"] is not None
        is_open = known and row["cleared_at"] is None
        more: dict[str, Any] = {
            "kind_label": SUPPRESSION_LABELS[Suppression(row["kind"])],
            "state": ("open" if is_open else "cleared") if known else None,
            "severity_label": Severity(row["severity"]).label if known else None,
            "withheld": bool(is_open and row["withheld"]),
            "asset": AssetRef.of(row),
            "area": AreaRef.of(row),
        }
        return cls.model_validate(row | more)


class SuppressedPage(Page):
    items: list[Suppressed]


class OutOfService(BaseModel):
    """A work order under way, and what nobody is told of until it is done."""

    order: str = Field(examples=["WO-20260701-017"])
    since: Instant
    reason: str = Field(examples=["更换电池"])
    actor: str = Field(examples=["crew-app"])
    rules: list[str] = Field(description="Only alarms of these rules", examples=[["cover.battery", "cover.offline"]])
    devices: list[str] = Field(examples=[["cover-0312"]])
    assets: list[int] = Field(examples=[[312]])
    alarms: int = Field(description="How many alarms, those that were never raised included", examples=[2])
    withheld: int = Field(description="Of how many of them something was kept back", examples=[0])


class OutOfServicePage(Page):
    items: list[OutOfService]
