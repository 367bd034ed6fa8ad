"""Figures: how well the alarms of a run told the truth. Pure; matches → numbers, and the list of what went wrong.

Where a choice is left, it is for whoever is in danger: a hazard of which only a harmless alarm told was not told, an
overflow that nobody forecast was forecast 0 minutes ahead, a blocked pipe that nobody named was not found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from simulators.score.alarms import Record
from simulators.score.matching import FOUND_WITHIN_HOPS, Judged, Matches
from simulators.score.tells import Tells
from simulators.truth import TrueHazard, Truth

DANGEROUS = 2
"""Yellow: from there on somebody may come to harm."""


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(_Plain):
    """Of the hazards of a kind that somebody could see and that had to be told."""

    needed: int
    raised: int
    recall: float | None


class Judgement(_Plain):
    """Of the alarms about a kind."""

    right: int
    false: int
    precision: float | None


class Missed(_Plain):
    hazard: TrueHazard
    why: str


class FalseAlarm(_Plain):
    rule_id: str
    place: str
    raised_ms: int
    severity: int
    about: str
    why: str
    proof: str


class Target(_Plain):
    name: str
    wanted: str
    value: float | None
    met: bool | None
    """None: the run has nothing that it could be measured by."""


class Score(_Plain):
    scenario: str
    seed: int
    network: str
    begins_ms: int
    ends_ms: int
    devices: int
    device_days: float
    recall: float | None
    recall_dangerous: float | None
    recall_by_kind: dict[str, Told]
    unwatched: int
    told_as_bad: float | None
    precision: float | None
    precision_by_kind: dict[str, Judgement]
    road_precision: float | None
    alarms: int
    right: int
    false: int
    kept_back: int
    apart: int
    unknown: dict[str, int]
    false_per_100_device_days: float
    lead_minutes_median: float | None
    lead_minutes_p10: float | None
    overflows: int
    overflows_forecast: int
    warned_minutes_median: float | None
    delay_seconds_median: float | None
    delay_seconds_p95: float | None
    delays_by_installation_clock: bool
    duplicates: int
    blockages: int
    blockages_named: int
    hops: list[int | None]
    localisation_exact: float | None
    localisation_within_1: float | None
    targets: list[Target]
    missed: list[Missed]
    false_alarms: list[FalseAlarm]


def figures(truth: Truth, record: Record, matches: Matches, tells: Tells) -> Score:
    needed = [hazard for hazard in truth.hazards if needs_telling(hazard)]
    raised = {hazard.hazard_id for hazard in needed if is_raised(hazard, matches.tellers[hazard.hazard_id])}
    dangerous = [hazard for hazard in needed if hazard.severity >= DANGEROUS]
    told = [hazard for hazard in needed if hazard.hazard_id in raised]
    counts = Counter(one.verdict for one in matches.judged)
    leads = [lead_minutes(hazard, record, matches) for hazard in needed if hazard.kind == "overflow"]
    warned = [warned_minutes(hazard, record, matches) for hazard in needed if hazard.kind == "overflow"]
    delays = [
        max(record.known_ms(_heard(matches.tellers[hazard.hazard_id])[0].alarm) - hazard.begins_ms, 0) / 1000
        for hazard in told
    ]
    hops = [first_named(hazard, record, matches) for hazard in needed if hazard.kind == "blockage"]
    precision_by_kind = _precision_by_kind(matches)
    score = Score(
        scenario=truth.scenario,
        seed=truth.seed,
        network=truth.network,
        begins_ms=truth.begins_ms,
        ends_ms=truth.ends_ms,
        devices=truth.devices,
        device_days=round(truth.device_days, 3),
        recall=_share(len(raised), len(needed)),
        recall_dangerous=_share(sum(hazard.hazard_id in raised for hazard in dangerous), len(dangerous)),
        recall_by_kind=_recall_by_kind(needed, raised),
        unwatched=sum(hazard.severity > 0 and not hazard.watched for hazard in truth.hazards),
        told_as_bad=_share(sum(_told_as_bad(hazard, matches) for hazard in told), len(told)),
        precision=_share(counts["right"], counts["right"] + counts["false"]),
        precision_by_kind=precision_by_kind,
        road_precision=precision_by_kind["road_flooding"].precision if "road_flooding" in precision_by_kind else None,
        alarms=len(matches.judged),
        right=counts["right"],
        false=counts["false"],
        kept_back=counts["kept_back"],
        apart=counts["apart"],
        unknown=dict(sorted(Counter(one.alarm.rule_id for one in matches.judged if one.verdict == "unknown").items())),
        false_per_100_device_days=round(counts["false"] * 100 / truth.device_days, 4),
        lead_minutes_median=_percentile(leads, 50),
        lead_minutes_p10=_percentile(leads, 10),
        overflows=len(leads),
        overflows_forecast=sum(lead > 0 for lead in leads),
        warned_minutes_median=_percentile(warned, 50),
        delay_seconds_median=_percentile(delays, 50),
        delay_seconds_p95=_percentile(delays, 95),
        delays_by_installation_clock=record.same_clock,
        duplicates=duplicates(matches),
        blockages=len(hops),
        blockages_named=sum(away is not None for away in hops),
        hops=hops,
        localisation_exact=_share(sum(away == 0 for away in hops), len(hops)),
        localisation_within_1=_share(sum(away is not None and away <= FOUND_WITHIN_HOPS for away in hops), len(hops)),
        targets=[],
        missed=[
            Missed(hazard=hazard, why=why_missed(hazard, matches, tells))
            for hazard in needed
            if hazard.hazard_id not in raised
        ],
        false_alarms=[_false_alarm(one) for one in matches.judged if one.verdict == "false"],
    )
    return score.model_copy(update={"targets": _targets(score)})


def needs_telling(hazard: TrueHazard) -> bool:
    return hazard.watched and hazard.severity > 0


def is_raised(hazard: TrueHazard, tellers: Sequence[Judged]) -> bool:
    """Somebody was told, of something at most one severity better than it was."""
    return any(
        not _hidden(one) and _told_severity(hazard, one) >= max(1, hazard.severity - 1) for one in _telling(tellers)
    )


def lead_minutes(overflow: TrueHazard, record: Record, matches: Matches) -> float:
    """How long before an overflow the first forecast of it was known; 0 where none was."""
    return _ahead(overflow, [one for one in matches.tellers[overflow.hazard_id] if one.forecast], record)


def warned_minutes(overflow: TrueHazard, record: Record, matches: Matches) -> float:
    """The same for any right alarm of it, and of what it came from: high water under a cover is a warning, and so is a
    blocked pipe below."""
    return _ahead(overflow, [*matches.tellers[overflow.hazard_id], *matches.warners[overflow.hazard_id]], record)


def first_named(blockage: TrueHazard, record: Record, matches: Matches) -> int | None:
    """How far off the pipe lay to which the first alarm of it sent a crew; None: nobody was sent anywhere."""
    named = [one for one in matches.judged if one.nearest is not None and one.nearest.hazard_id == blockage.hazard_id]
    return min(named, key=lambda one: record.known_ms(one.alarm)).hops if named else None


def duplicates(matches: Matches) -> int:
    """Right alarms that told of nothing of which an earlier episode of the same alarm had not told."""
    seen: set[tuple[str, int]] = set()
    again = 0
    for one in matches.judged:
        told = {(hazard.hazard_id, one.alarm.alarm_key) for hazard in one.told}
        again += bool(told) and told <= seen
        seen |= told
    return again


def why_missed(hazard: TrueHazard, matches: Matches, tells: Tells) -> str:
    tellers = _telling(matches.tellers[hazard.hazard_id])
    if tellers:
        best = max(tellers, key=lambda one: _told_severity(hazard, one))
        if best.verdict == "kept_back":
            return f"{best.alarm.rule_id} was kept back: its gauge was doubted by {', '.join(best.alarm.explained_by)}"
        if best.alarm.hidden:
            return f"{best.alarm.rule_id} was kept back: {', '.join(best.alarm.suppressed)}"
        return f"{best.alarm.rule_id} told of severity {_told_severity(hazard, best)}, it was {hazard.severity}"
    if hazard.kind == "blockage":
        wrong = [one for one in matches.judged if one.nearest is not None and one.nearest.hazard_id == hazard.hazard_id]
        if wrong:
            return f"{wrong[0].alarm.pipe_id} was named, {wrong[0].hops} hops away"
    late = [one for one in matches.judged if any(each.hazard_id == hazard.hazard_id for each in one.hazards)]
    if late:
        return f"{late[0].alarm.rule_id} was known too late, or is no word of it"
    return f"no alarm of {', '.join(rule for rule, of in tells.rules.items() if hazard.kind in of.tells)} at its place"


def _telling(tellers: Sequence[Judged]) -> list[Judged]:
    """Those that said where it was."""
    return [one for one in tellers if not one.upstream]


def _heard(tellers: Sequence[Judged]) -> list[Judged]:
    return [one for one in _telling(tellers) if not _hidden(one)]


def _ahead(overflow: TrueHazard, tellers: Sequence[Judged], record: Record) -> float:
    known = min((record.known_ms(one.alarm) for one in tellers if not _hidden(one)), default=overflow.begins_ms)
    return max(overflow.begins_ms - known, 0) / 60_000


def _hidden(one: Judged) -> bool:
    """Nobody was told of it."""
    return one.alarm.hidden or one.verdict == "kept_back"


def _told_severity(hazard: TrueHazard, one: Judged) -> int:
    """The worst that an alarm said before it was over."""
    until_ms = float("inf") if hazard.ends_ms is None else hazard.ends_ms
    return one.alarm.worst_within(one.alarm.raised_ms, max(until_ms, one.alarm.raised_ms))


def _told_as_bad(hazard: TrueHazard, matches: Matches) -> bool:
    return any(_told_severity(hazard, one) >= hazard.severity for one in _heard(matches.tellers[hazard.hazard_id]))


def _recall_by_kind(needed: Sequence[TrueHazard], raised: set[str]) -> dict[str, Told]:
    kinds = Counter(hazard.kind for hazard in needed)
    found = Counter(hazard.kind for hazard in needed if hazard.hazard_id in raised)
    return {
        kind: Told(needed=kinds[kind], raised=found[kind], recall=_share(found[kind], kinds[kind]))
        for kind in sorted(kinds)
    }


def _precision_by_kind(matches: Matches) -> dict[str, Judgement]:
    right = Counter(one.about for one in matches.judged if one.verdict == "right")
    false = Counter(one.about for one in matches.judged if one.verdict == "false")
    return {
        kind: Judgement(right=right[kind], false=false[kind], precision=_share(right[kind], right[kind] + false[kind]))
        for kind in sorted({*right, *false})
    }


def _targets(score: Score) -> list[Target]:
    return [
        _target("险情告知 hazards raised", score.recall, "≥", 0.98),
        _target("积水告警准确 road precision", score.road_precision, "≥", 0.95),
        _target("冒溢预警提前 min lead median", score.lead_minutes_median, "≥", 10),
        _target("误报 false / 100 device-days", score.false_per_100_device_days, "≤", 1),
        _target("堵管定位一段内 within one hop", score.localisation_within_1, "≥", 0.80),
    ]


def _target(name: str, value: float | None, sign: str, limit: float) -> Target:
    met = None if value is None else (value >= limit if sign == "≥" else value <= limit)
    return Target(name=name, wanted=f"{sign} {limit:g}", value=value, met=met)


def _false_alarm(one: Judged) -> FalseAlarm:
    alarm = one.alarm
    shown = {name: alarm.proof[name] for name in ("field", "value", "unit") if alarm.proof.get(name) not in (None, "")}
    return FalseAlarm(
        rule_id=alarm.rule_id,
        place=alarm.device_id or alarm.pipe_id or alarm.gateway_id or alarm.asset_code or alarm.subject,
        raised_ms=alarm.raised_ms,
        severity=alarm.severity,
        about=one.about,
        why=one.why,
        proof=" ".join(str(value) for value in shown.values()),
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _percentile(values: Sequence[float], at: float) -> float | None:
    return round(float(np.percentile(values, at)), 2) if values else None
