"""The snapshot in an outbox row: everything a message may say, as it was at the transition.

Written by the batch that made the transition (recorder.py), read by messages and channels. Times are RFC 3339.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from alerts.storm.summary import Summary

Notice = Literal["raise", "change", "clear", "correct", "escalate"]


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
    act: str
    tool: str
    end: str
    make_safe_min: int | None


class CaseKind(TypedDict):
    type: Literal["component", "event"]
    code: str


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
    code: str
    name: str
    district: str | None


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
    case: CaseKind | None
    device: DeviceShown | None
    asset: AssetShown | None
    area: AreaShown | None
    escalation: NotRequired[EscalationShown]
    pictures: NotRequired[list[PictureShown]]
