"""Record: what happened, line by line, in plain Chinese. Pure; the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from alerts.cases.states import CaseState
from alerts.regions.human import by_platform
from api.masking import masked_text
from api.models.alarms import reason_label
from api.page.facts import Named
from api.page.reader import who
from api.page.words import at, reading
from api.rows import Row
from underfoot.alarms import Condition, Human, Reason, Severity


@dataclass(frozen=True, slots=True)
class Line:
    when: str
    said: str
    kind: str
    """`raise`, `clear`, `people`, `case` or nothing in particular."""


_PEOPLE = {
    Reason.acknowledged: "{who}接单",
    Reason.unacknowledged: "{who}撤销接单",
    Reason.realarm: "接单后超时未处置，重新提醒",
    Reason.severity_rose: "级别升高，需重新接单",
    Reason.escalated: "无人接单，升级通知",
    Reason.no_receipt: "平台没有回执，请电话联系",
}
_BEGINS = {
    Reason.shelved: "{who}搁置告警",
    Reason.explained: "由所在险情一并说明，不再单独通知",
    Reason.out_of_service: "{who}开始检修",
    Reason.flapping_began: "反复波动，暂停通知",
}


def record(
    transitions: Sequence[Row],
    comments: Sequence[Row],
    case_steps: Sequence[Row],
    named: Named,
    now: datetime,
    *,
    sees_names: bool,
) -> tuple[Line, ...]:
    def called(actor: str) -> str:
        return who(actor, named, sees_names=sees_names)

    lines = chain(
        (
            (row["received_at"], row["transition_no"], _transition(row, called(row["actor"]), now))
            for row in transitions
        ),
        ((row["at"], 0, (f"{called(row['actor'])}：{masked_text(row['text'])}", "people")) for row in comments),
        ((row["at"], row["step_no"], _step(row, called(row["actor"]))) for row in case_steps),
    )
    told = sorted(((moment, number, found) for moment, number, found in lines if found is not None), reverse=True)
    return tuple(Line(at(moment, now), said, kind) for moment, _, (said, kind) in told)


def _transition(row: Row, actor: str, now: datetime) -> tuple[str, str] | None:
    match row["region"]:
        case "condition":
            return _condition(row, now)
        case "human":
            return _human(row, actor)
        case "suppression":
            return _suppression(row, actor)
        case _:
            return None  # the case's own steps say it


def _condition(row: Row, now: datetime) -> tuple[str, str] | None:
    before, after = row["from_state"], row["to_state"]
    why = _because(row, now)
    if after == Condition.normal:
        return f"解除：{why}", "clear"
    if before == Condition.normal:
        return f"告警（{Severity(row['severity']).label}）：{why}", "raise"
    if row["reason"] in (Reason.severity_rose, Reason.severity_fell, Reason.incident_grew):
        return f"变为{Severity(row['severity']).label}色：{why}", "raise"
    if after == Condition.clearing:
        return f"正在恢复：{why}", ""
    if before == Condition.clearing:
        return f"又达到限值：{why}", "raise"
    return why, ""


def _because(row: Row, now: datetime) -> str:
    proof, label = row["proof"] or {}, reason_label(row["reason"]) or row["reason"]
    words = proof.get("words") or {}
    said = words.get("reading") or ""
    if not said and proof.get("value") is not None and proof.get("label"):
        is_state = isinstance((proof.get("values") or {}).get(proof.get("field")), bool)
        said = proof["label"] if is_state else f"{proof['label']} {reading(proof['value'], proof.get('unit', ''))}"
    if not said:
        return label
    behind = (row["received_at"] - row["event_at"]).total_seconds()
    late = f"（设备时间 {at(row['event_at'], now)}）" if behind > 120 else ""
    return f"{label}，{said}{late}"


def _human(row: Row, actor: str) -> tuple[str, str]:
    if row["reason"] == Reason.acknowledged and by_platform(row["actor"]):
        return f"{actor}立案", "case"
    known = _PEOPLE.get(Reason(row["reason"])) if row["reason"] in set(Reason) else None
    if known is not None:
        return known.format(who=actor), "people"
    done = "接单" if row["to_state"] == Human.acknowledged else "撤销接单"
    return f"{actor}{done}", "people"


def _suppression(row: Row, actor: str) -> tuple[str, str]:
    known = _BEGINS.get(Reason(row["reason"])) if row["reason"] in set(Reason) else None
    return (known.format(who=actor) if known else reason_label(row["reason"]) or row["reason"]), ""


def _step(row: Row, actor: str) -> tuple[str, str] | None:
    if row["from_state"] == row["to_state"] and not row["note"]:
        return None
    state = CaseState(row["to_state"]).label
    note = f"：{masked_text(row['note'])}" if row["note"] else ""
    return f"案件{state}（{actor}）{note}", "case"
