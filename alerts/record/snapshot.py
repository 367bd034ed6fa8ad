"""The snapshot in an outbox row: everything a message may say, as it was at the transition.

Written by the batch that made the transition (recorder.py), read by messages and channels. Times are RFC 3339.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from alerts.storm.summary import Summary

Notice = Literal["raise", "change", "clear", "correct", "escalate", "cancel", "progress", "case"]
"""Of these only a platform is told `cancel` and `progress`, an act on a case; and never `case`, which tells crews what
became of one."""


class Words(TypedDict, total=False):
    """What a message says in place of the asset's name, the reading and the rule's act, where a rule knows better."""

    place: str
    reading: str
    act: str


class CorrectionShown(TypedDict):
    """What late data has shown: a Finding of alerts.history.correction, and the episode as it was, where it was one."""

    verdict: str
    raised_at: str | None
    cleared_at: str | None
    worst_severity: int | None


class ProofShown(TypedDict, total=False):
    """The reading that proved the transition. An offline alarm has no value; an incident has a summary, a notice
    `correct` its correction."""

    ts: str
    received_at: str
    field: str
    label: str
    value: float | None
    unit: str
    limit: float | None
    values: dict[str, Any]
    summary: Summary
    correction: CorrectionShown
    words: Words


class CrewOrder(TypedDict):
    """`watch`: the first act while it is blue or yellow, where that is another."""

    act: str
    watch: NotRequired[str]
    tool: str
    end: str
    make_safe_min: int | None


class CaseShown(TypedDict):
    """The case of the alarm, and of an act on it what it was. Its number at the platform, and its events' numbers at
    ours (`duplicate_of`, `merged_into`, `follows`), only where the act is about them."""

    case_key: int | None
    again: int
    type: Literal["component", "event"]
    code: str
    code_scheme: str
    code_name: str
    condition_name: str
    level: int
    state: str
    ended_how: str | None
    arrive_by: str | None
    repair_by: str | None
    arrive_kind: NotRequired[str | None]
    arrive_amount: NotRequired[float | None]
    repair_kind: NotRequired[str | None]
    repair_amount: NotRequired[float | None]
    supervised: NotRequired[bool]
    rework: NotRequired[int]
    act: NotRequired[str]
    note: NotRequired[str]
    platform_no: NotRequired[str | None]
    duplicate_of: NotRequired[str | None]
    merged_into: NotRequired[str | None]


class DeviceShown(TypedDict):
    device_id: str
    family: str
    vendor: str


class AssetShown(TypedDict):
    asset_code: str
    code_scheme: str
    kind: str
    name: str
    address: str
    lon: float | None
    lat: float | None
    owner_unit: str
    maintenance_unit: str


class AreaShown(TypedDict):
    """`street`: its name, where the area is one or lies in one."""

    code: str
    name: str
    district: str | None
    street: NotRequired[str | None]


class EscalationShown(TypedDict):
    """Of a notice `escalate`: whose turn it is, since when somebody is waited for, and who was told before. `sink`: it
    is not that nobody has acknowledged, but that this sink has not taken `delivery_key`, as the worst of `waiting`."""

    level: int
    since: str
    told_at: str
    unanswered: list[str]
    sink: str
    delivery_key: int | None
    waiting: int


class CaseNews(TypedDict):
    """Of a notice `case`: what became of it, or why a person must look. `state`: where it is; `by`: the time limit that
    has run out; `note`: what the platform said."""

    what: Literal[
        "overdue_arrive",
        "overdue_repair",
        "rework",
        "supervised",
        "closed",
        "closed_while_open",
        "not_accepted",
        "no_false_alarm",
        "not_on_platform",
        "goes_on_there",
        "worse_after_false_alarm",
    ]
    state: NotRequired[str]
    at: str
    told_at: str
    by: str | None
    note: str


class PictureShown(TypedDict):
    """A picture of the case. One of `url` and `base64` is there; the rest where it is known."""

    kind: Literal["near", "far", "before", "after"]
    url: NotRequired[str]
    base64: NotRequired[str]
    name: NotRequired[str]
    taken_at: NotRequired[str]
    lon: NotRequired[float]
    lat: NotRequired[float]


class Snapshot(TypedDict):
    installation_id: str
    alarm_key: int
    episode: int
    transition_no: int
    notice: Notice
    reason: str
    rule_id: str
    rule_version: int
    title: str
    severity: int
    worst_severity: int
    event_at: str
    raised_at: str
    raised_received_at: str
    cleared_at: str | None
    proof: ProofShown | None
    crew: CrewOrder | None
    case: CaseShown | None
    device: DeviceShown | None
    asset: AssetShown | None
    area: AreaShown | None
    escalation: NotRequired[EscalationShown]
    news: NotRequired[CaseNews]
    pictures: NotRequired[list[PictureShown]]
