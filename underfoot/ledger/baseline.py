"""A device's baseline: what it reads at rest, field by field. Rules that look against the baseline subtract it."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb
from pydantic import ValidationError

from underfoot.families import FAMILIES, Family
from underfoot.ledger.columns import LedgerError
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


def set_baseline(connection: Connection, device_id: str, changes: dict[str, str], *, actor: str) -> dict[str, Any]:
    """Set (or, with an empty value, remove) fields of a device's baseline; return the whole of it."""
    with connection.transaction():
        found = connection.execute(statement("ledger.device_for_baseline"), {"device_id": device_id}).fetchone()
        if found is None:
            raise LedgerError(
                f"没有设备 {device_id!r} · there is no device {device_id!r}: `underfoot devices list` shows them"
            )
        family, before = FAMILIES[found[0]], found[1]
        baseline = dict(before)
        for name, value in changes.items():
            if value == "":
                _require_field(family, name)
                baseline.pop(name, None)
            else:
                baseline[name] = _value(family, name, value)
        if baseline != before:
            connection.execute(statement("ledger.set_baseline"), {"baseline": Jsonb(baseline), "device_id": device_id})
            connection.execute(statement("ledger.notify_registry"))
            connection.execute(
                statement("ledger.audit"),
                {
                    "actor": actor,
                    "action": "device.baseline",
                    "subject": device_id,
                    "detail": Jsonb({"before": before, "after": baseline}),
                },
            )
    return baseline


def _require_field(family: Family, name: str) -> None:
    if name not in family.column:
        raise LedgerError(
            f"{family.label}没有字段 {name!r} · family {family.name} has no field {name!r};"
            f" it has {', '.join(family.fields)}"
        )


def _value(family: Family, name: str, text: str) -> float | int | bool:
    _require_field(family, name)
    column = family.column[name]
    given: str | int = column.choices.get(text, text)
    try:
        value = getattr(family.model.model_validate({name: given}), name)
    except ValidationError as error:
        unit = f" {column.unit}" if column.unit else ""
        if column.choices:
            allowed = "one of " + ", ".join(f"{choice} ({number})" for choice, number in column.choices.items())
        elif column.low is not None:
            allowed = f"{column.low:g} to {column.high:g}{unit}"
        else:
            allowed = error.errors()[0]["msg"]
        raise LedgerError(f"{name} = {text!r}：允许 · allowed: {allowed}") from None
    return int(value) if column.choices else value
