"""Watch: whom to tell at this moment, by the roster and by the sinks that work; and the alarm where there is nobody."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from alerts.duty.calendar import warn_unknown
from alerts.duty.roster import OnDuty, Roster, everybody, responsible
from alerts.duty.store import DutySink, duty_sinks, has_roster, load_roster, top_area
from alerts.record.recorder import Recorder, failure
from alerts.rulebook.book import rule_as_last_known
from underfoot.alarms import Reason, Severity, SubjectKind
from underfoot.city_time import CITY_ZONE
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

UNCOVERED = "duty.uncovered"


@dataclass(frozen=True, slots=True)
class Reached:
    """Somebody on duty, and the sink by which to tell."""

    person: OnDuty
    sink_key: int
    sink: str

    def named(self) -> str:
        return f"{self.person.person.name}（{self.person.shift}）"

    def shown(self) -> dict[str, Any]:
        """On record with the escalation."""
        one = self.person
        return {
            "person": one.person.name,
            "shift": one.shift,
            "level": one.level,
            "sink": self.sink,
            **({"instead_of": one.instead_of} if one.instead_of else {}),
        }


@dataclass
class Watch:
    """The roster as it is in this tick. `uncovered`: where a level's turn had come and nobody could be told."""

    roster: Roster
    sinks: dict[str, DutySink]
    now: datetime
    present: tuple[OnDuty, ...]
    uncovered: set[tuple[str | None, int]] = field(default_factory=set)

    @classmethod
    def load(cls, connection: Connection, now: datetime) -> Watch:
        roster = load_roster(connection)
        warn_unknown(roster.calendar, now.astimezone(CITY_ZONE).date())
        return cls(roster, duty_sinks(connection), now, everybody(roster, now))

    def reached(self, area: str | None, level: int, severity: int) -> list[Reached]:
        """Those of the level who can be told of this, each sink once."""
        found: dict[int, Reached] = {}
        for one in responsible(self.roster, self.present, area, level):
            sink = self.sinks.get(one.person.sink or "")
            if sink is not None and severity >= sink.min_severity:
                found.setdefault(sink.sink_key, Reached(one, sink.sink_key, one.person.sink or ""))
        return list(found.values())

    def whom(self, area: str | None, level: int, severity: int) -> list[Reached]:
        """Whom to tell when this level's turn has come: the level, or the next one above at which somebody is. A turn
        beyond the roster's last level is the last one's again. Nobody at all: empty."""
        last = self.roster.plan.levels[-1]
        level = min(level, last)
        found = self.reached(area, level, severity)
        if not found:
            self.uncovered.add((area, level))
        while not found and level < last:
            level += 1
            found = self.reached(area, level, severity)
        return found


# nobody to tell ------------------------------------------------------------------------------------------------------


def raise_uncovered(connection: Connection, watch: Watch) -> None:
    """An alarm of its own for each area in which a level's turn had come and nobody could be told."""
    found: dict[int, tuple[int, str]] = {}
    for area, level in sorted(watch.uncovered, key=lambda one: (one[1], one[0] or "")):
        code = (area or top_area(connection))[:6]
        found.setdefault(int(code), (level, code))
    for key in {key for key, _ in _open_uncovered(connection)}:
        found.pop(key, None)
    for key, (level, code) in found.items():
        log.warning("duty: nobody to tell at level %d in area %s", level, code)
        _say_uncovered(connection, key, watch.now, level, raised=True, detail=f"{level}级无人可通知")


def clear_covered(connection: Connection, watch: Watch | None, now: datetime) -> None:
    """Somebody is on duty again, or nobody need be any more."""
    opened = _open_uncovered(connection)
    if not opened:
        return
    if watch is None and has_roster(connection):
        watch = Watch.load(connection, now)
    for key, level in opened:
        area = str(key) if key else None
        if watch is None or watch.reached(area, min(level, watch.roster.plan.levels[-1]), Severity.red):
            _say_uncovered(connection, key, now, level, raised=False, detail=f"{level}级")


def _open_uncovered(connection: Connection) -> list[tuple[int, int]]:
    return [(int(key), int(level)) for key, level in connection.execute(statement("duty.uncovered"))]


def _say_uncovered(connection: Connection, key: int, now: datetime, level: int, *, raised: bool, detail: str) -> None:
    rule = rule_as_last_known(connection, UNCOVERED)
    reason = Reason.uncovered if raised else Reason.covered
    said = failure(SubjectKind.area, key, rule, reason, raised=raised, at_us=microseconds(now), detail=detail)
    Recorder(connection).record([replace(said, proof={**said.proof, "level": level})])
