"""Drawings: which map and which curve an alarm's page has. Pure; map.py and curve.py draw them."""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup

from alerts.storm.readings import plain_field
from api.page.curve import Limit, Mark, Plot, curve
from api.page.facts import Facts, IncidentFacts
from api.page.map import Sheet, Spot, Stretch, drawn
from api.page.why import proof_of, turns
from api.page.words import at, figure, reading, state_words
from underfoot.alarms import Severity


def map_of(facts: Facts) -> Markup | None:
    if facts.around is None:
        return None
    stretches = [
        Stretch(
            row["from_lon"], row["from_lat"], row["to_lon"], row["to_lat"], row["kind"] == "foul", row["severity"],
            own=row["pipe_key"] == facts.episode["pipe_key"],
        )
        for row in facts.around.pipes
    ]  # fmt: skip
    spots = _members(facts.incident) if facts.incident is not None else [*_neighbours(facts), *_own(facts)]
    bad = sum(spot.severity is not None and not spot.own for spot in spots)
    return drawn(Sheet(facts.around.box, spots, stretches, f"位置图，上北下南；图上另有 {bad} 处告警"))


def _members(incident: IncidentFacts) -> list[Spot]:
    return [
        Spot(member.lon, member.lat, member.place, member.severity)
        for member in incident.members
        if member.lon is not None and member.lat is not None
    ]


def _neighbours(facts: Facts) -> list[Spot]:
    rows = facts.around.assets if facts.around is not None else ()
    ours = {facts.episode["asset_key"]} if facts.episode["pipe_key"] is None else set()
    return [
        Spot(row["lon"], row["lat"], row["title"] or "", row["severity"])
        for row in rows
        if row["asset_key"] not in ours
    ]


def _own(facts: Facts) -> list[Spot]:
    """Of a pipe its lower end, where the crew begins to look; the upper end is named."""
    episode = facts.episode
    severity = facts.episode["severity"] if facts.episode["cleared_at"] is None else None
    if episode["pipe_key"] is None:
        return (
            [Spot(episode["lon"], episode["lat"], episode["name"], severity, own=True)]
            if episode["lon"] is not None
            else []
        )
    found = []
    if episode["from_lon"] is not None:
        found.append(Spot(episode["from_lon"], episode["from_lat"], episode["from_name"], named=True))
    if episode["to_lon"] is not None:
        found.append(Spot(episode["to_lon"], episode["to_lat"], episode["to_name"], severity, own=True))
    return found


def curve_of(facts: Facts, now: datetime) -> Markup | None:
    if not any(series.points for series in facts.series):
        return None
    episode, begin, end = facts.episode, *facts.span
    marks = [
        Mark(row["event_at"], f"{at(row['event_at'], now)} {Severity(row['severity']).label}", f"s{row['severity']}")
        for row in turns(facts)
    ] or [Mark(episode["raised_at"], f"{at(episode['raised_at'], now)} 告警", f"s{episode['worst_severity']}")]
    if episode["cleared_at"] is not None:
        marks.append(Mark(episode["cleared_at"], f"{at(episode['cleared_at'], now)} 解除", "over"))
    values = [value for series in facts.series for _, value in series.points]
    label = "、".join(series.label for series in facts.series)
    about = f"{at(begin, now)} 至 {at(end, now)} 的{label}，最低 {figure(min(values))}，最高 {figure(max(values))}"
    field = episode["proof"].get("field") or ""
    return curve(
        Plot(
            facts.series, begin, end, _limits(facts), marks, about, state_words(field, facts.episode["family"])
        )
    )  # fmt: skip


def _limits(facts: Facts) -> list[Limit]:
    """The rule's limits, where what it judges is what is drawn, or its distance from what the device reads at rest. A
    sum, a mean or a slope is another quantity."""
    proof, body = proof_of(facts), facts.rule or {}
    field = proof.get("field") or ""
    if proof.get("limit") is None or any(series.is_state for series in facts.series):
        return []
    rest = 0.0
    if plain_field(proof) is None:
        known = (facts.episode["baseline"] or {}).get(field)
        if not body.get("against_baseline") or known is None:
            return []
        rest = float(known)
    reached = float(proof["limit"])
    levels = body.get("levels") or () if body.get("kind") == "level" else ()
    severities = {float(one["limit"]): Severity[one["severity"]] for one in levels if one.get("limit") is not None}
    above = "基准+" if rest else ""
    return [
        Limit(
            value + rest,
            f"{severities[value].label if value in severities else '限值'} {above}{figure(value)}",
            f"s{severities[value].value}" if value in severities else "s4",
            value == reached,
        )
        for value in sorted({*severities, reached})
    ]


def curve_note(facts: Facts) -> str:
    proof = proof_of(facts)
    if facts.episode["pipe_key"] is not None and facts.series:
        return "液位从各测点管底算起：上游高、下游低，水在中间过不去。"
    if any(series.is_state for series in facts.series):
        return "点为每次上报。"
    if facts.series and proof.get("limit") is not None and not _limits(facts) and proof.get("label"):
        unit = proof.get("unit", "")
        return f"规则看的是“{proof['label']}”（限值 {reading(float(proof['limit']), unit)}），图上是原始读数。"
    return ""
