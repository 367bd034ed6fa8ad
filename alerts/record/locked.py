"""Locked: the alarms that a transaction changes, held from reading them to writing them back.

Every region writes through here: the condition (recorder.py), suppression (alerts/regions/suppress.py), what people do
(alerts/regions/actions.py). So transitions are numbered without gaps, and what is owed is one commit with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from alerts.record.owe import Notice, enqueue
from alerts.regions.human import Change, Seen
from alerts.regions.suppression import InForce, Region, kinds
from underfoot.alarms import Condition, Human, Reason, Suppression
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

ENGINE = "engine"

Subject = tuple[str, int, str]
"""Subject kind, subject key, rule id."""


@dataclass
class Episode:
    """An episode as this transaction leaves it."""

    episode: int
    severity: int
    worst: int
    seen: Seen
    raised_at: datetime
    raised_received_at: datetime
    rule_version: int
    title: str
    condition: Condition = Condition.active
    withheld: bool = False
    proof: Any = None
    cleared_at: datetime | None = None
    cleared_received_at: datetime | None = None
    clear_reason: str | None = None


@dataclass
class Alarm:
    """An alarm as this transaction leaves it. `region`: what suppresses it; `open`: its open episode."""

    alarm_key: int
    subject: Subject
    episode: int
    transition_no: int
    region: Region = ()
    keys: dict[tuple[Suppression, str], int] = field(default_factory=dict)
    open: Episode | None = None
    touched: dict[int, Episode] = field(default_factory=dict)


class Locked:
    """Alarms locked for this transaction. What is changed here is written by `write`, each table once."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._alarms: dict[int, Alarm] = {}
        self._by_subject: dict[Subject, Alarm] = {}
        self._transitions: list[dict[str, Any]] = []
        self._begun: dict[tuple[int, Suppression, str], dict[str, Any]] = {}
        self._prolonged: list[dict[str, Any]] = []
        self._ended: list[dict[str, Any]] = []
        self.notices: list[Notice] = []

    # locking --------------------------------------------------------------------------------------------------------

    def lock_subjects(self, subjects: Iterable[Subject]) -> None:
        """Lock the alarms of these subjects; those that have never been are made."""
        rows = [{"subject_kind": kind, "subject_key": key, "rule_id": rule_id} for kind, key, rule_id in subjects]
        params = {"subjects": Jsonb(rows)}
        self._take("alarms.lock_alarms", "alarms.open_episodes_of", params)

    def lock_keys(self, alarm_keys: Sequence[int]) -> None:
        """Lock those of these alarms that there are."""
        self._take("alarms.lock_alarms_by_key", "alarms.open_episodes", {"alarm_keys": list(alarm_keys)})

    def _take(self, name: str, open_episodes: str, params: dict[str, Any]) -> None:
        execute = self.connection.execute
        suppressed = []
        # Both before either is asked for: within a pipeline that is one way there and back. The second is planned anew
        # each time: how much is open is what a storm changes, and a plan that was kept would not know.
        locked, opened = execute(statement(name), params), execute(statement(open_episodes), params, prepare=False)
        for alarm_key, kind, key, rule_id, episode, transition_no, by in locked.fetchall():
            alarm = Alarm(alarm_key, (kind, key, rule_id), episode, transition_no)
            self._alarms[alarm_key] = self._by_subject[alarm.subject] = alarm
            if by:
                suppressed.append(alarm_key)
        for alarm_key, one in _episodes(opened):
            self._alarms[alarm_key].open = one
        if suppressed:
            for alarm_key, key, kind, cause, severity, until, reason in execute(
                statement("suppression.in_force"), {"alarm_keys": suppressed}
            ):
                alarm = self._alarms[alarm_key]
                standing = InForce(Suppression(kind), cause, severity, until, reason)
                alarm.region = (*alarm.region, standing)
                alarm.keys[standing.kind, cause] = key

    def episodes(self, wanted: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Episode]:
        """Episodes of locked alarms by alarm key and number, open or not."""
        found: dict[tuple[int, int], Episode] = {}
        others = []
        for alarm_key, number in wanted:
            opened = self._alarms[alarm_key].open
            if opened is not None and opened.episode == number:
                found[alarm_key, number] = opened
            else:
                others.append((alarm_key, number))
        if others:
            params = {"alarm_keys": [key for key, _ in others], "episodes": [number for _, number in others]}
            for alarm_key, one in _episodes(self.connection.execute(statement("alarms.episodes_of"), params)):
                found[alarm_key, one.episode] = one
        return found

    def __iter__(self) -> Iterator[Alarm]:
        return iter(self._alarms.values())

    def __getitem__(self, alarm_key: int) -> Alarm:
        return self._alarms[alarm_key]

    def of(self, subject: Subject) -> Alarm:
        return self._by_subject[subject]

    # changing -------------------------------------------------------------------------------------------------------

    def row(
        self,
        alarm: Alarm,
        region: str,
        before: str,
        after: str,
        reason: Reason,
        actor: str,
        *,
        episode: int,
        severity: int,
        event_at: datetime,
        received_at: datetime,
        proof: dict[str, Any] | None = None,
    ) -> int:
        """One immutable line of the record; returns its number."""
        alarm.transition_no += 1
        self._transitions.append(
            {
                "alarm_key": alarm.alarm_key,
                "transition_no": alarm.transition_no,
                "episode": episode,
                "region": region,
                "from_state": before,
                "to_state": after,
                "severity": severity,
                "reason": reason.value,
                "actor": actor,
                "event_at": event_at,
                "received_at": received_at,
                "proof": proof,
            }
        )
        return alarm.transition_no

    def change_human(
        self,
        alarm: Alarm,
        episode: Episode,
        change: Change,
        actor: str,
        *,
        at: datetime,
        received_at: datetime,
        proof: dict[str, Any] | None = None,
    ) -> None:
        """The operators' region of an episode changes, on record."""
        before, episode.seen = episode.seen, change.after
        alarm.touched[episode.episode] = episode
        self.row(
            alarm,
            "human",
            before.human.value,
            change.after.human.value,
            change.reason,
            actor,
            episode=episode.episode,
            severity=episode.severity,
            event_at=at,
            received_at=received_at,
            proof=proof,
        )

    def begin(self, alarm: Alarm, one: InForce, actor: str, at: datetime) -> None:
        """A suppression begins; that the region has it is the caller's doing."""
        self._begun[alarm.alarm_key, one.kind, one.cause] = {
            "alarm_key": alarm.alarm_key,
            "kind": one.kind.value,
            "cause": one.cause,
            "since": at,
            "until": one.until,
            "severity": one.severity,
            "reason": one.reason,
            "actor": actor,
        }

    def prolong(self, alarm: Alarm, one: InForce) -> None:
        key = alarm.keys[one.kind, one.cause]
        self._prolonged.append({"suppression_key": key, "until": one.until})

    def end(self, alarm: Alarm, one: InForce, reason: Reason, actor: str, at: datetime) -> None:
        """A suppression ends. One that began in this transaction is in the record of transitions alone."""
        if self._begun.pop((alarm.alarm_key, one.kind, one.cause), None) is not None:
            return
        key = alarm.keys.pop((one.kind, one.cause))
        self._ended.append(
            {"suppression_key": key, "ended_at": at, "ended_by": actor, "end_reason": reason.value},
        )

    # writing --------------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write what changed, and owe what that is to be told."""
        episodes = [self._row_of(alarm, one) for alarm in self for one in alarm.touched.values()]
        counters = [
            {
                "alarm_key": alarm.alarm_key,
                "episode": alarm.episode,
                "transition_no": alarm.transition_no,
                "suppressed": kinds(alarm.region),
            }
            for alarm in self
        ]
        for name, rows in (
            ("alarms.put_episodes", episodes),
            ("suppression.end", self._ended),
            ("suppression.prolong", self._prolonged),
            ("suppression.begin", list(self._begun.values())),
            ("alarms.put_alarms", counters),
            ("alarms.add_transitions", self._transitions),
        ):
            if rows:
                self.connection.execute(statement(name), {"rows": Jsonb(rows)})
        if self.notices:
            enqueue(self.connection, self.notices)

    @staticmethod
    def _row_of(alarm: Alarm, one: Episode) -> dict[str, Any]:
        return {
            "alarm_key": alarm.alarm_key,
            "episode": one.episode,
            "rule_version": one.rule_version,
            "title": one.title,
            "condition": one.condition.value,
            "severity": one.severity,
            "worst_severity": one.worst,
            "human": one.seen.human.value,
            "acknowledged_by": one.seen.by,
            "acknowledged_at": one.seen.at,
            "raised_at": one.raised_at,
            "raised_received_at": one.raised_received_at,
            "cleared_at": one.cleared_at,
            "cleared_received_at": one.cleared_received_at,
            "clear_reason": one.clear_reason,
            "proof": one.proof if one.proof is not None else {},
            "withheld": one.withheld,
        }


def _episodes(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, Episode]]:
    for row in rows:
        alarm_key, episode, severity, worst, human, by, at, raised_at, received_at, version, title = row[:11]
        condition, withheld, cleared_at, cleared_received_at, clear_reason = row[11:]
        yield (
            alarm_key,
            Episode(
                episode=episode,
                severity=severity,
                worst=worst,
                seen=Seen(Human(human), by, at),
                raised_at=raised_at,
                raised_received_at=received_at,
                rule_version=version,
                title=title,
                condition=Condition(condition),
                withheld=withheld,
                cleared_at=cleared_at,
                cleared_received_at=cleared_received_at,
                clear_reason=clear_reason,
            ),
        )
