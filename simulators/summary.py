"""What a run leaves behind for whoever checks the books: the fleet's own count, and the alarms that must have come."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from simulators.account import percentiles_ms
from simulators.plan import Plan
from simulators.play import Played


def summary_of(played: Played, plan: Plan, *, devices: int, seed: int, started_ms: int) -> dict[str, Any]:
    """`sent` is of distinct reports, = to_store + to_quarantine. Only what the broker acknowledged counts."""
    account = played.account
    return {
        "scenario": plan.rehearsal.name if plan.rehearsal is not None else None,
        "seed": seed,
        "devices": devices,
        "started_at": datetime.fromtimestamp(started_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        "seconds": round(played.seconds, 3),
        "finished": played.finished,
        "sent": account.sent,
        "to_store": account.to_store,
        "to_quarantine": account.to_quarantine,
        "repeats": account.repeats,
        "untimed_repeats": account.untimed_repeats,
        "messages": account.messages,
        "redelivered_messages": account.redelivered_messages,
        "unacknowledged_messages": played.unacknowledged_messages,
        "unsent_messages": played.unsent_messages,
        "reconnects": played.reconnects,
        "furthest_behind_s": round(played.furthest_behind_s, 3),
        "puback_ms": percentiles_ms(account.puback_s),
        "by_kind": dict(sorted(account.by_kind.items())),
        "alarms_expected": [asdict(expected) for expected in plan.expected],
        "alarms_possible": [asdict(possible) for possible in plan.possible],
        "left_out": [asdict(left_out) for left_out in plan.left_out],
        "by_device": dict(sorted(account.by_device.items())),
    }
