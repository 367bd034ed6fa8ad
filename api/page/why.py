"""Why: what was read, held against which limit, for how long, under which rule. Pure, Chinese."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from alerts.rules.override import Scope as RuleScope
from alerts.storm.readings import sign
from api.page.facts import Facts
from api.page.words import at, figure, lasting, reading
from api.rows import Row
from api.rule_text import rule_text
from underfoot.alarms import Condition, Severity
from underfoot.families import FAMILIES


def turns(facts: Facts) -> list[Row]:
    """Where it was raised, and where it got worse, oldest first; each with what proved it."""
    found: list[Row] = []
    for row in reversed(facts.transitions):
        worse = not found or row["severity"] > found[-1]["severity"]
        if row["region"] == "condition" and row["to_state"] == Condition.active and row["proof"] and worse:
            found.append(row)
    return found


def proof_of(facts: Facts) -> Mapping[str, Any]:
    """What proved that it is as severe as it has been."""
    known = turns(facts)
    proof: Mapping[str, Any] = known[-1]["proof"] if known else facts.episode["proof"]
    return proof


def sentences(facts: Facts, now: datetime) -> tuple[str, ...]:
    known = turns(facts)
    if not known:
        return (_sentence(facts, facts.episode["proof"], at(facts.episode["raised_at"], now)),)
    said = []
    for number, row in enumerate(known):
        label = Severity(row["severity"]).label
        became = f"{label}色告警" if number == 0 else f"升为{label}色"
        said.append(_sentence(facts, row["proof"], f"{at(row['event_at'], now)} {became}"))
    return tuple(said)


def rows(facts: Facts, now: datetime) -> Iterator[tuple[str, str]]:
    """Reading against limit, and how long it had to hold."""
    proof, body = proof_of(facts), facts.rule or {}
    severity = Severity(facts.episode["severity"])
    newest = next((series.points[-1] for series in facts.series if series.points), None)
    if newest is not None and len(facts.series) == 1 and not facts.series[0].is_state:
        series = facts.series[0]
        yield "最近读数", f"{series.label} {reading(newest[1], series.unit)}（{at(newest[0], now)}）"
    level: dict[str, Any] = next((one for one in body.get("levels") or () if one.get("severity") == severity.name), {})
    held = level.get("on_delay_s") or body.get("on_delay_s")
    if held:
        yield "须持续", lasting(timedelta(seconds=held)) if held >= 60 else f"{figure(held)} 秒"
    if (samples := level.get("samples") or body.get("samples") or 1) > 1:
        yield "须连续", f"{samples} 次上报"
    if proof.get("ts") and proof.get("received_at"):
        measured, received = (datetime.fromisoformat(proof[name]) for name in ("ts", "received_at"))
        if received - measured >= timedelta(minutes=1):
            yield "上报迟到", f"{at(measured, now)} 测得，{at(received, now)} 才收到"
    if facts.episode["condition"] == Condition.clearing:
        yield "现在", "已回到限值以内，保持一段时间后解除"


def rule_words(facts: Facts) -> str:
    if facts.rule is None:
        return "规则原文已不在库中。"
    return rule_text(facts.rule, RuleScope.parse(facts.episode["proof"].get("scope", "city")))


def _sentence(facts: Facts, proof: Mapping[str, Any], head: str) -> str:
    words = proof.get("words") or {}
    if words.get("reading"):
        return f"{head}：{words['reading']}。"
    value, label = proof.get("value"), proof.get("label") or facts.episode["title"]
    if value is None:
        return f"{head}：{label}。"
    field, family = proof.get("field") or "", facts.episode["family"]
    column = FAMILIES[family].column.get(field) if family in FAMILIES else None
    if column is not None and column.type == "boolean":
        return f"{head}：设备上报“{column.label}” = {'是' if value else '否'}。"
    unit, limit = proof.get("unit", ""), proof.get("limit")
    said = f"{head}：{label} {reading(value, unit)}"
    if limit is None:
        return f"{said}。"
    below = sign(proof) < 0 or (value == limit and (facts.rule or {}).get("looks") == "below")
    return f"{said}，{'低到' if below else '达到'}限值 {reading(float(limit), unit)}。"
