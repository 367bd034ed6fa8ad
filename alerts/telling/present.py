"""Present: who of the roster is on duty at a moment, and by which sink to tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.duty.roster import OnDuty, Person, Plan, Roster, everybody, responsible
from alerts.duty.store import DutySink, duty_sinks, has_roster, load_roster
from alerts.telling.routing import Receiver
from underfoot.storage.connect import Connection


@dataclass(frozen=True)
class Present:
    """The roster as it is at this moment; a city without one has nobody on duty."""

    roster: Roster
    people: tuple[OnDuty, ...]
    sinks: dict[str, DutySink]

    @classmethod
    def load(cls, connection: Connection, now: datetime) -> Present:
        if not has_roster(connection):
            return cls(Roster(Plan()), (), {})
        roster = load_roster(connection)
        return cls(roster, everybody(roster, now), duty_sinks(connection))

    def receivers(self, area: str | None) -> Sequence[Receiver]:
        """Those of the first level at which anybody on duty in this area can be told, each sink once."""
        for level in self.roster.plan.levels:
            found: dict[int, Receiver] = {}
            for one in responsible(self.roster, self.people, area, level):
                name = one.person.sink or ""
                sink = self.sinks.get(name)
                if sink is not None:
                    said = f"{one.person.name}（{one.shift}，第{level}级）"
                    found.setdefault(sink.sink_key, Receiver(sink.sink_key, name, sink.min_severity, said))
            if found:
                return tuple(found.values())
        return ()

    def first(self, area: str | None, units: Sequence[str]) -> Sequence[Person]:
        """Those of the first level on duty in this area, of these units where any of them is of one."""
        of_level = tuple(one.person for one in responsible(self.roster, self.people, area, 1))
        of_unit = tuple(person for person in of_level if person.unit and person.unit in units)
        return of_unit or of_level

    def of_sink(self, name: str) -> Sequence[Person]:
        """Whose sink this is."""
        return tuple(person for person in self.roster.plan.people if person.sink == name)
