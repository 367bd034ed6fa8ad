"""The demo's verdict: the fleet's own count against the books, the script against the episodes, the outbox against what
the platform says it was told. Pure: everything comes in as data.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import quantiles
from typing import Any

from deploy.demo_scene import Books
from underfoot.alarms import Reason, Severity, SubjectKind

_PROVEN_BY_SILENCE = frozenset({Reason.held_in_silence.value, Reason.no_data.value})


@dataclass(frozen=True)
class Episode:
    """An episode as it is on record. `reason`, `committed_at`: of the transition that raised it; `kept_back`:
    while an incident speaks for it, nobody is owed a notice."""

    alarm_key: int
    episode: int
    rule_id: str
    subject: str
    title: str
    worst_severity: int
    cleared: bool
    reason: str
    proof_ts: dt.datetime | None
    committed_at: dt.datetime
    kept_back: bool


@dataclass(frozen=True)
class Owed:
    """One delivery to the platform, as the outbox has it."""

    idempotency_key: str
    alarm_key: int
    episode: int
    notice: str
    state: str


@dataclass(frozen=True)
class Evidence:
    """Everything that the verdict is drawn from. `fleet` is the summary that `underfoot simulate rehearsal` wrote;
    `records` is what the platform says has come; `case_rules` are the rules whose alarms are cases there."""

    fleet: Mapping[str, Any]
    books: Books
    distinct_quarantined: int
    episodes: Sequence[Episode]
    owed: Sequence[Owed]
    crew_states: Mapping[str, int]
    case_rules: frozenset[str]
    records: Sequence[Mapping[str, Any]]
    storm_ended_at: dt.datetime


@dataclass
class Summary:
    """What `demo-summary.json` says. Times in milliseconds. `faults` is empty when all is well.

    `alarms_in_incidents` are told as part of an incident (险情) and not one by one, as long as the storm lasts.
    Alarms are counted that are a case on the platform; internal ones (battery, offline, rain, gas that only bars entry)
    are counted apart, for the platform is never told of them.
    """

    verdict: str = "failed"
    faults: list[str] = field(default_factory=list)
    sent: int = 0
    received: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    distinct_quarantined: int = 0
    unpacked: int = 0
    redelivered: int = 0
    books_balance: bool = False
    alarms_expected: int = 0
    alarms_raised: int = 0
    alarms_delivered: int = 0
    alarms_in_incidents: int = 0
    incidents: int = 0
    internal_alarms_expected: int = 0
    internal_alarms_raised: int = 0
    alarms_by_severity: dict[str, int] = field(default_factory=dict)
    platform_notices: int = 0
    platform_repeats: int = 0
    crew_messages: int = 0
    publish_to_delivered_p50_ms: float | None = None
    publish_to_delivered_p99_ms: float | None = None
    proven_by_report: int = 0
    proven_by_silence: int = 0
    decided_to_delivered_by_silence_p99_ms: float | None = None
    seconds: float = 0.0
    seed: int = 0
    hazards_left_out: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.faults

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(evidence: Evidence) -> Summary:
    summary = Summary(seconds=evidence.fleet["seconds"], seed=evidence.fleet["seed"])
    _books(evidence, summary)
    scripted = _alarms(evidence, summary)
    _deliveries(evidence, summary, scripted)
    summary.verdict = "passed" if summary.passed else "failed"
    return summary


def _books(evidence: Evidence, summary: Summary) -> None:
    books, fleet = evidence.books, evidence.fleet
    summary.sent = fleet["sent"]
    summary.received, summary.stored, summary.duplicate = books.received, books.stored, books.duplicate
    summary.quarantined, summary.distinct_quarantined = books.quarantined, evidence.distinct_quarantined
    summary.unpacked, summary.redelivered = books.unpacked, books.redelivered
    summary.books_balance = summary.sent == books.stored + evidence.distinct_quarantined
    if not summary.books_balance:
        summary.faults.append(
            f"账目不平：发出（去重）{summary.sent} ≠ 入库 {books.stored} + 隔离（去重）"
            f"{evidence.distinct_quarantined} · distinct sent ≠ stored + distinct quarantined"
        )
    if not fleet["finished"] or fleet["unacknowledged_messages"]:
        summary.faults.append(
            f"设备侧未发完，未确认 {fleet['unacknowledged_messages']} 条 · the fleet did not finish, or messages were"
            " never acknowledged"
        )
    summary.hazards_left_out = [left["hazard"] for left in fleet["left_out"]]


def _alarms(evidence: Evidence, summary: Summary) -> list[Episode]:
    """Hold the episodes against the script; return those that it foresees."""
    expected = {(alarm["device_id"], alarm["rule_id"]): alarm for alarm in evidence.fleet["alarms_expected"]}
    possible = {(alarm["device_id"], alarm["rule_id"]) for alarm in evidence.fleet["alarms_possible"]}
    episodes = [
        episode
        for episode in evidence.episodes
        if not _of_the_end(episode, evidence) and episode.subject != SubjectKind.incident
    ]
    summary.incidents = sum(episode.subject == SubjectKind.incident for episode in evidence.episodes)
    summary.alarms_by_severity = {
        severity.label: sum(episode.worst_severity == severity for episode in episodes) for severity in Severity
    }
    summary.alarms_expected = sum(rule_id in evidence.case_rules for _, rule_id in expected)
    summary.internal_alarms_expected = len(expected) - summary.alarms_expected
    scripted: list[Episode] = []
    times = Counter((episode.subject, episode.rule_id) for episode in episodes)
    for episode in episodes:
        key = (episode.subject, episode.rule_id)
        alarm = expected.get(key)
        if alarm is None and key in possible:
            continue
        if alarm is None:
            summary.faults.append(f"多报：{_named(episode)} · raised, though the script has no such thing")
            continue
        scripted.append(episode)
        if times[key] > 1:
            summary.faults.append(f"重复触发 {times[key]} 次：{_named(episode)} · raised more than once")
        if Severity(episode.worst_severity).name != alarm["severity"]:
            summary.faults.append(
                f"级别应为{Severity[alarm['severity']].label}，实为{Severity(episode.worst_severity).label}："
                f"{_named(episode)} · another severity than scripted"
            )
        if alarm["clears"] and not episode.cleared:
            summary.faults.append(f"险情已过而未解除：{_named(episode)} · over, and not cleared")
    for (device_id, rule_id), alarm in expected.items():
        if not times[device_id, rule_id]:
            summary.faults.append(f"漏报：{alarm['title']} {rule_id} {device_id} · scripted, and not raised")
    summary.alarms_raised = sum(episode.rule_id in evidence.case_rules for episode in scripted)
    summary.internal_alarms_raised = len(scripted) - summary.alarms_raised
    return scripted


def _deliveries(evidence: Evidence, summary: Summary, scripted: Sequence[Episode]) -> None:
    accepted = [record for record in evidence.records if (record["kind"], record["outcome"]) == ("event", "accepted")]
    came = Counter(record["push_id"] for record in accepted)
    summary.platform_notices = len(accepted)
    summary.platform_repeats = sum(record["outcome"] == "repeat" for record in evidence.records)
    summary.crew_messages = evidence.crew_states.get("delivered", 0)
    for record in evidence.records:
        if record["kind"] == "violation":
            summary.faults.append(f"平台指出：{record['outcome']} {record['detail']} · the platform objects")
    for owed in evidence.owed:
        if owed.state != "delivered" or came[owed.idempotency_key] != 1:
            summary.faults.append(
                f"推送 {owed.notice}（告警 {owed.alarm_key}-{owed.episode}）状态 {owed.state}，平台收到"
                f" {came[owed.idempotency_key]} 次 · owed to the platform, not taken exactly once"
            )
    strangers = came.keys() - {owed.idempotency_key for owed in evidence.owed}
    if strangers:
        summary.faults.append(f"平台收到 {len(strangers)} 条未记账的推送 · the platform was told what was never owed")
    for state in ("owed", "dead"):
        if evidence.crew_states.get(state):
            summary.faults.append(f"班组推送 {evidence.crew_states[state]} 条 {state} · crews were not told")
    received_ms = {
        (int(record["body"]["alarm"]), record["body"]["episode"]): record["received_ms"]
        for record in accepted
        if record["body"]["notice"] == "raise"
    }
    for episode in scripted:
        if episode.rule_id not in evidence.case_rules:
            continue
        if (episode.alarm_key, episode.episode) in received_ms:
            summary.alarms_delivered += 1
        elif episode.kept_back and summary.incidents:
            summary.alarms_in_incidents += 1
        else:
            summary.faults.append(f"未送达平台：{_named(episode)} · a case that the platform was never told of")
    _delays(summary, scripted, received_ms)


def _delays(summary: Summary, scripted: Sequence[Episode], received_ms: Mapping[tuple[int, int], float]) -> None:
    """A report proves an alarm: from its publication. Silence does: from the commit that decided it."""
    by_report: list[float] = []
    by_silence: list[float] = []
    for episode in scripted:
        came_ms = received_ms.get((episode.alarm_key, episode.episode))
        if came_ms is None:
            continue
        if episode.reason in _PROVEN_BY_SILENCE or episode.proof_ts is None:
            by_silence.append(came_ms - episode.committed_at.timestamp() * 1000)
        else:
            by_report.append(came_ms - episode.proof_ts.timestamp() * 1000)
    summary.proven_by_report, summary.proven_by_silence = len(by_report), len(by_silence)
    summary.publish_to_delivered_p50_ms = _percentile(by_report, 50)
    summary.publish_to_delivered_p99_ms = _percentile(by_report, 99)
    summary.decided_to_delivered_by_silence_p99_ms = _percentile(by_silence, 99)


def _percentile(values: list[float], percent: int) -> float | None:
    if len(values) < 2:
        return round(values[0], 1) if values else None
    return round(quantiles(values, n=100, method="inclusive")[percent - 1], 1)


def _of_the_end(episode: Episode, evidence: Evidence) -> bool:
    """The fleet has ended, and now is missed: true, and no part of the evening."""
    return episode.reason == Reason.no_data.value and episode.committed_at >= evidence.storm_ended_at


def _named(episode: Episode) -> str:
    return f"{episode.title} {episode.rule_id} {episode.subject}"
