"""On record: what has been recorded of subjects under rules, as it was corrected so far, for their past to be held
against.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from alerts.history.correction import Recorded, steps
from underfoot.alarms import Reason, SubjectKind
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_BY_HAND = frozenset({Reason.closed_by_hand, Reason.rule_withdrawn, Reason.rule_changed})


@dataclass
class OnRecord:
    """Of a subject under a rule. `ended_us`: when what was open was ended otherwise than by what was said."""

    episodes: list[Recorded] = field(default_factory=list)
    ended_us: list[int] = field(default_factory=list)


def on_record(
    connection: Connection, kind: SubjectKind, keys: Collection[int], rule_ids: Sequence[str], since: datetime
) -> dict[tuple[int, str], OnRecord]:
    """By subject and rule, what was open then or later."""
    params = {"kind": kind.value, "keys": list(keys), "rule_ids": list(rule_ids), "since": since}
    found: dict[tuple[int, str], OnRecord] = {}
    for row in connection.execute(statement("history.record_of"), params):
        key, rule_id, episode, raised_at, cleared_at, clear_reason, ended_at, proof = row[:8]
        verdict, true_raised_at, true_cleared_at, true_worst, levels, later = row[8:]
        stands = true_raised_at is not None
        known = steps([*_levels(levels if verdict == "changed" else ()), *_levels(later)])
        one = found.setdefault((key, rule_id), OnRecord())
        one.episodes.append(
            Recorded(
                episode,
                microseconds(true_raised_at if stands else raised_at),
                _microseconds(true_cleared_at if stands else cleared_at),
                true_worst or 0,
                known,
                is_open=cleared_at is None,
                stands=stands,
                row_raised_us=microseconds(raised_at),
                proof=proof,
            )
        )
        if clear_reason in _BY_HAND:
            one.ended_us.append(microseconds(ended_at))
    return found


def judged_since(connection: Connection, rule_ids: Sequence[str]) -> dict[str, datetime]:
    """Since when each rule has been judged as it is now; one that is as it was first shipped, always."""
    rows = connection.execute(statement("history.judged_since"), {"rule_ids": list(rule_ids)})
    return {rule_id: since for rule_id, since in rows if since is not None}


def _levels(stored: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
    return [(microseconds(datetime.fromisoformat(at)), severity) for at, severity in stored]


def _microseconds(at: datetime | None) -> int | None:
    return microseconds(at) if at is not None else None
