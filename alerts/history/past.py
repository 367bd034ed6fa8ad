"""Past: what late data has shown of what has been goes on record, beside what stands there, in the caller's batch.

An episode that was missed is recorded as one that is over: it goes to the platform in order, and to no crew. One that
was otherwise keeps its row; a correction says so, and whoever was told of it is told that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from alerts.history.amend import Missed, Otherwise
from alerts.history.correction import FINDING_LABELS, Finding
from alerts.record.locked import Locked
from alerts.record.recorder import Recorder
from alerts.record.tell import Correction, add
from underfoot.reports import moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


def record_missed(connection: Connection, missed: Sequence[Missed]) -> None:
    if not missed:
        return
    recorded = Recorder(connection).record_past([one.transitions for one in missed])
    _write(
        connection,
        [
            _row(numbers, Finding.missed, one.past.raised_us, one.past.cleared_us, one.past.worst, one.past.levels())
            for one, numbers in zip(missed, recorded, strict=True)
        ],
    )


def record_otherwise(connection: Connection, corrections: Sequence[Otherwise], at: datetime) -> None:
    """After what changes now is recorded. Crews are told where they may be on their way to what never was."""
    if not corrections:
        return
    locked = Locked(connection)
    subjects = [(one.subject[0].value, one.subject[1], one.rule.rule.rule_id) for one in corrections]
    locked.lock_subjects(sorted(set(subjects)))
    alarms = [locked.of(subject) for subject in subjects]
    episodes = locked.episodes(
        (alarm.alarm_key, one.corrected.of.episode) for alarm, one in zip(alarms, corrections, strict=True)
    )
    rows = []
    for alarm, one in zip(alarms, corrections, strict=True):
        said = one.corrected
        row = _row(
            (alarm.alarm_key, said.of.episode, 0),
            said.finding,
            said.raised_us,
            said.cleared_us,
            said.worst,
            said.levels,
        )
        shown = {
            "label": FINDING_LABELS[said.finding],
            "correction": {name: row[name] for name in ("verdict", "raised_at", "cleared_at", "worst_severity")},
        }
        row["transition_no"] = add(
            locked,
            Correction(
                alarm.alarm_key,
                said.of.episode,
                at,
                shown,
                crews=said.finding is Finding.unfounded and said.of.is_open,
                told=said.told,
            ),
            episodes[alarm.alarm_key, said.of.episode],
        )
        rows.append(row)
    locked.write()
    _write(connection, rows)


def _row(
    numbers: tuple[int, int, int],
    finding: Finding,
    raised_us: int | None,
    cleared_us: int | None,
    worst: int | None,
    levels: Any,
) -> dict[str, Any]:
    alarm_key, episode, transition_no = numbers
    return {
        "alarm_key": alarm_key,
        "episode": episode,
        "transition_no": transition_no,
        "verdict": finding.value,
        "raised_at": moment(raised_us) if raised_us is not None else None,
        "cleared_at": moment(cleared_us) if cleared_us is not None else None,
        "worst_severity": worst,
        "proof": {"levels": [[moment(at_us), severity] for at_us, severity in levels]},
    }


def _write(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(statement("history.add_corrections"), {"rows": Jsonb(rows)})
