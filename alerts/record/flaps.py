"""Flaps: what judging has found of flapping becomes the alarm's suppression region, after the transitions of the same
transaction: by whoever judges, a shard's holder or the city.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import Outcome
from alerts.judge.transition import Flapped, no_longer
from alerts.record.locked import ENGINE, Locked, Subject
from alerts.record.owe import shown_proof
from alerts.regions.suppress import begin, leave, tell_if_over
from alerts.regions.suppression import InForce, of_kind
from underfoot.alarms import SUPPRESSION_LABELS, Reason, SubjectKind, Suppression
from underfoot.reports import moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_KIND = Suppression.flapping

Flaps = tuple[Subject, Flapped]


def of_devices(judged: Iterable[tuple[Evaluator, Outcome]]) -> list[Flaps]:
    return [
        ((SubjectKind.device.value, int(evaluator.device_key[one.slot]), one.rule_id), one.change)
        for evaluator, outcome in judged
        for one in outcome.flapping
    ]


def end_forgotten(connection: Connection, shard: str, flaps: Callable[[int, str], bool], now_us: int) -> None:
    """End the flapping that is on record and of which the engine knows nothing: of a rule that is withdrawn, say.
    `flaps` is asked by device_key and rule_id."""
    rows = connection.execute(statement("flaps.suppressed"), {"shard": shard}).fetchall()
    record_flapping(
        connection,
        [
            ((SubjectKind.device.value, device_key, rule_id), no_longer(now_us))
            for device_key, rule_id in rows
            if not flaps(device_key, rule_id)
        ],
    )


def record_flapping(connection: Connection, found: Sequence[Flaps]) -> None:
    """In the transaction that has recorded their transitions."""
    if not found:
        return
    locked = Locked(connection)
    locked.lock_subjects({subject for subject, _ in found})
    for subject, one in found:
        alarm = locked.of(subject)
        at = moment(one.at_us)
        if one.began:
            severity = alarm.open.severity if alarm.open is not None else None
            begin(locked, alarm, InForce(_KIND, severity=severity, reason=SUPPRESSION_LABELS[_KIND]), ENGINE, at)
        elif over := of_kind(alarm.region, _KIND):
            reason, received_at = Reason.flapping_over, moment(one.received_us)
            number = leave(locked, alarm, over, reason=reason, actor=ENGINE, at=at, received_at=received_at)
            tell_if_over(locked, alarm, number=number, reason=reason, at=at, proof=shown_proof(one.proof))
    locked.write()
