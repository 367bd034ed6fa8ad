"""Receipts: a platform has taken a notice of a case, and said under which number; and what waits for one too long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.cases.events import Received
from alerts.cases.record import Happened, apply_all
from alerts.cases.states import NEED_LABELS
from alerts.rulebook.book import rules_in_force
from alerts.rules import EscalationRule
from underfoot.alarms import Severity
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

ACTOR = "dispatch"

WHY_LABELS: dict[str, str] = {
    "no_receipt": "推送无回执，请电话联系平台",
    "no_callback": "已送达，平台一直没有反馈",
} | {need.value: label for need, label in NEED_LABELS.items()}
"""Why a case is in the list of what waits."""


def received(connection: Connection, receipts: Sequence[tuple[int, str | None]]) -> None:
    """Deliveries that their sinks have taken, each with the platform's number if its answer had one; in the transaction
    that settles them. Those of other sinks are none of cases."""
    if not receipts:
        return
    params = {"delivery_keys": [key for key, _ in receipts], "numbers": [number for _, number in receipts]}
    happened = [
        Happened(case_key, Received(sink_key, platform_no), at)
        for case_key, sink_key, platform_no, at in connection.execute(statement("receipts.received"), params)
    ]
    apply_all(connection, happened, actor=ACTOR, cause="receipt")


def waiting(
    connection: Connection,
    now: datetime,
    *,
    areas: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """Cases that wait for the platform's receipt or its first word beyond patience, or for a person."""
    rule = next((one.rule for one in rules_in_force(connection) if isinstance(one.rule, EscalationRule)), None)
    patience = (
        []
        if rule is None
        else [
            {"kind": kind, "severity": Severity[name].value, "wait": f"{minutes} minutes"}
            for kind, limits in (("receipt", rule.no_receipt_min), ("callback", rule.no_callback_min))
            for name, minutes in limits.items()
        ]
    )
    params = {
        "now": now,
        "patience": Jsonb(patience),
        "areas": None if areas is None else list(areas),
        "units": None if units is None else list(units),
        "limit": limit,
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("receipts.waiting"), params, prepare=False).fetchall()
    for row in rows:
        row["why_label"] = WHY_LABELS[row["why"]]
    return rows
