"""The snapshot in an outbox row: everything a message may say, as it was at the transition.

Written by the batch that made the transition (alerts/record.py), read by messages and channels. Times are RFC 3339.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

Notice = Literal["raise", "change", "clear"]


class ProofShown(TypedDict, total=False):
    """The reading that proved the transition. An offline alarm has no value."""

    ts: str
    received_at: str
    field: str
    label: str
    value: float | None
    unit: str
    limit: float | None
    values: dict[str, Any]


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
