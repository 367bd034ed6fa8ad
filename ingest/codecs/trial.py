"""What would become of a message: its reports as they would be stored, and what of it is refused. Nothing is stored."""

from __future__ import annotations

from typing import Any

from ingest.arrival import Arrival
from ingest.codecs.contract import Codec, Decoded, Unusable
from ingest.reasons import MEANING
from ingest.validate import event_time, judge_values
from underfoot.families import FAMILIES, Family
from underfoot.reports import Quality, moment

_OWN = frozenset({"ts", "seq", "values"})


def outcome(codec: Codec, topic: str, payload: bytes, *, received_us: int, family: str | None) -> list[dict[str, Any]]:
    """Every report of the message, and every part that is none. `family` stands for the ledger's, where no other is."""
    arrival = Arrival(topic, payload, 1, 1, False, False, received_us, 1)
    return [
        _refused(part) if isinstance(part, Unusable) else _stored(part, received_us, family) for part in codec(arrival)
    ]


def _refused(part: Unusable) -> dict[str, Any]:
    return {
        "stored": False,
        "device_id": part.device_id,
        "reason": part.reason.value,
        "meaning": MEANING[part.reason],
        "detail": part.detail,
        "payload": part.payload.decode("utf-8", "backslashreplace")[:500],
    }


def _stored(part: Decoded, received_us: int, family_of_ledger: str | None) -> dict[str, Any]:
    report = part.report
    ts_us, mark = event_time(report.get("ts"), received_us)
    told: dict[str, Any] = {
        "stored": True,
        "device_id": part.device_id,
        "family": part.family or family_of_ledger,
        "family_of_ledger": part.family is None,
        "area": part.area,
        "gateway_id": part.gateway_id,
        "time": moment(ts_us).isoformat(),
        "time_mark": Quality(mark).name if mark else None,
        "device_ts": report.get("ts"),
        "seq": report.get("seq"),
    }
    values = report.get("values")
    family = FAMILIES.get(told["family"] or "")
    if not isinstance(values, dict):
        told |= {"stored": False, "reason": "values_missing", "detail": f"values = {values!r}"[:200]}
    elif family is None:
        told["unjudged"] = values
    else:
        told |= _judged(family, values)
    kept = {name: value for name, value in report.items() if name not in _OWN}
    return told | ({"kept_beside": kept} if kept else {})


def _judged(family: Family, values: dict[str, Any]) -> dict[str, Any]:
    accepted, set_aside = judge_values(family.model, values)
    fields = [
        {"field": column.name, "label": column.label, "value": value, "unit": column.unit}
        for column in family.columns
        if (value := getattr(accepted, column.name)) is not None
    ]
    return {"values": fields, "set_aside": set_aside, "not_of_family": accepted.__pydantic_extra__ or {}}
