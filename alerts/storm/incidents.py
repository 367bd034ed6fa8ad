"""Incidents: in flood, the alarms of a catchment are told as one, red ones by themselves. A step of the city.

Nothing is remembered here that the database does not know. Members stay whole in the record: raised, changed and
cleared as any alarm, only that nobody is told of them meanwhile (alerts/regions/suppress.py). When the flood is over
they are let go, never more in one window than an operator can read, the worst first; then what is still open is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from psycopg.types.json import Jsonb

from alerts.judge.outcome import RuleInForce
from alerts.regions.suppress import suppress, unsuppress
from alerts.rulebook.book import rule_as_last_known
from alerts.storm import flood
from alerts.storm.catchments import Catchment, Located, Network, catchment_of, names_of, network_now
from alerts.storm.flood import District
from alerts.storm.gate import KEPT_BACK_UP_TO, flood_cause
from alerts.storm.rule import RULE_ID, storm_rule
from alerts.storm.telling import Incident, tell_end, tell_now
from underfoot.alarms import Reason, Suppression
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_TOGETHER = 2000
"""More wait for the next tick, held as they are, so that no transaction keeps ingest waiting for long."""


@dataclass(slots=True)
class OpenAlarm:
    """An open alarm of a rule that belongs to a storm. `incident_key`, `alone`: None where no incident has it."""

    alarm_key: int
    episode: int
    rule_id: str
    severity: int
    withheld: bool
    suppressed: list[str]
    where: Located
    district: str
    incident_key: int | None
    alone: bool | None


def incident_cause(incident_key: int) -> str:
    return f"incident:{incident_key}"


def step(connection: Connection, now: datetime) -> None:
    """Begin and end floods, group what is new, tell what has changed, let go of what is over."""
    rule = storm_rule(connection)
    in_force = rule is not None
    if rule is None:
        rule = _withdrawn(connection)
        if rule is None:
            return
    districts = flood.step(connection, rule, in_force, now)
    if districts:
        _Storm(connection, {district.area_code: district for district in districts}, now).work()


def _withdrawn(connection: Connection) -> RuleInForce | None:
    """The rule as it last was, for what it left open; None: it has never been."""
    [(version,)] = connection.execute(statement("storm.rule_version"), {"rule_id": RULE_ID}).fetchall()
    return rule_as_last_known(connection, RULE_ID) if version is not None else None


@dataclass
class _Storm:
    """One tick over the districts about which there is something to do."""

    connection: Connection
    districts: dict[str, District]
    now: datetime
    alarms: list[OpenAlarm] = field(default_factory=list)
    incidents: dict[int, Incident] = field(default_factory=dict)

    def work(self) -> None:
        """What is to change is found first, then locked together in the order in which ingest locks: no deadlock."""
        held, cleared = self._held(), self._cleared()
        self._load()
        new = [a for a in self.alarms if a.incident_key is None and self.districts[a.district].flood is not None]
        new, waiting = new[:_TOGETHER], {alarm.alarm_key for alarm in new[_TOGETHER:]}
        leaving = [one for district in self.districts.values() for one in self._leaving(district)]
        self._lock({*(a.alarm_key for a in (*new, *leaving)), *(key for key, _ in held), *(key for _, key in cleared)})

        self._leave([(alarm_key, "cleared") for _, alarm_key in cleared])
        self._stand_alone()
        self._join(self._unchanged(new))
        members = {(alarm.incident_key, alarm.alarm_key) for alarm in self.alarms}
        self._let_go({one for one in cleared if one not in members})
        self._release_held([one for one in held if one[0] not in waiting])
        self._leave([(m.alarm_key, "told" if _would_be_told(m) else "released") for m in leaving])
        self._let_go({(m.incident_key, m.alarm_key) for m in leaving if m.incident_key is not None})
        self._tell({m.alarm_key for m in leaving})

    # reading --------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        districts = list(self.districts)
        rules = sorted({group.rule for district in self.districts.values() for group in district.numbers.groups})
        rows = self.connection.execute(
            statement("storm.open_alarms"), {"rule_ids": rules, "districts": districts}, prepare=False
        )
        for key, episode, rule_id, severity, withheld, by, asset, area, district, lon, lat, incident, alone in rows:
            where = Located(asset, area, lon, lat)
            self.alarms.append(
                OpenAlarm(key, episode, rule_id, severity, withheld, by, where, district, incident, alone)
            )
        for row in self.connection.execute(statement("storm.open_incidents"), {"districts": districts}):
            incident = Incident(*row)
            self.incidents[incident.incident_key] = incident

    def _held(self) -> list[tuple[int, str]]:
        causes = [flood_cause(area_code) for area_code in self.districts]
        return self.connection.execute(statement("storm.held"), {"causes": causes}).fetchall()

    def _cleared(self) -> list[tuple[int, int]]:
        return self.connection.execute(statement("storm.cleared_members")).fetchall()

    def _lock(self, alarm_keys: Collection[int]) -> None:
        if alarm_keys:
            self.connection.execute(statement("alarms.lock_alarms_by_key"), {"alarm_keys": sorted(alarm_keys)})

    def _unchanged(self, new: Sequence[OpenAlarm]) -> list[OpenAlarm]:
        """Without what has changed since it was read: it may be red by now, and is the next tick's."""
        keys = [alarm.alarm_key for alarm in new]
        found = set(self.connection.execute(statement("storm.open_now"), {"alarm_keys": keys})) if keys else set()
        return [alarm for alarm in new if (alarm.alarm_key, alarm.episode, alarm.severity) in found]

    def _incidents_of(self, district: District) -> list[Incident]:
        return [one for one in self.incidents.values() if one.area_code == district.area_code]

    # joining --------------------------------------------------------------------------------------------------------

    def _stand_alone(self) -> None:
        """What has become red has left suppression by itself, and stays told by itself until it is over."""
        risen = [a for a in self.alarms if a.alone is False and a.severity > KEPT_BACK_UP_TO]
        if risen:
            keys = [alarm.alarm_key for alarm in risen]
            self.connection.execute(statement("storm.stand_alone"), {"alarm_keys": keys})
            for alarm in risen:
                alarm.alone = True

    def _join(self, new: Sequence[OpenAlarm]) -> None:
        joined: list[OpenAlarm] = []
        if new:
            network = network_now(self.connection)
            names = names_of(self.connection, {alarm.where.area_code for alarm in new})
            for district in self.districts.values():
                here = [alarm for alarm in new if alarm.district == district.area_code]
                joined += self._join_here(district, here, network, names)
        rows = [
            {"incident_key": a.incident_key, "alarm_key": a.alarm_key, "episode": a.episode, "alone": a.alone}
            for a in joined
        ]
        if rows:
            self.connection.execute(statement("storm.join"), {"rows": Jsonb(rows), "now": self.now})

    def _join_here(
        self, district: District, new: Sequence[OpenAlarm], network: Network, names: Mapping[str, str]
    ) -> list[OpenAlarm]:
        numbers = district.numbers
        placed = [(catchment_of(alarm.where, network, names, numbers.nearest_m), alarm) for alarm in new]
        incidents = {incident.catchment: incident for incident in self._incidents_of(district)}
        for alarm in new:
            alarm.alone = alarm.severity > KEPT_BACK_UP_TO or numbers.group[alarm.rule_id].alone
        joined: list[OpenAlarm] = []
        for catchment, pairs in groupby(sorted(placed, key=_by_catchment), key=lambda pair: pair[0]):
            alarms = [alarm for _, alarm in pairs]
            incident = incidents.get(catchment.key)
            if incident is None:
                if len(alarms) < numbers.least_members or all(alarm.alone for alarm in alarms):
                    continue
                incident = self._begin(district, catchment)
            for alarm in alarms:
                alarm.incident_key = incident.incident_key
            self._suppress(incident, [alarm.alarm_key for alarm in alarms if not alarm.alone])
            joined += alarms
        return joined

    def _begin(self, district: District, catchment: Catchment) -> Incident:
        title = f"{district.name}{'' if catchment.name == district.name else catchment.name}{district.numbers.title}"
        params = {
            "area_code": district.area_code,
            "catchment": catchment.key,
            "name": catchment.name,
            "title": title,
            "now": self.now,
        }
        [row] = self.connection.execute(statement("storm.begin_incident"), params).fetchall()
        incident = self.incidents[row[0]] = Incident(*row)
        return incident

    def _suppress(self, incident: Incident, alarm_keys: Sequence[int]) -> None:
        suppress(
            self.connection,
            alarm_keys,
            Suppression.by_design,
            cause=incident_cause(incident.incident_key),
            reason=f"归入{incident.title}",
            up_to=KEPT_BACK_UP_TO,
            instead_of=flood_cause(incident.area_code),
            at=self.now,
        )

    # letting go -----------------------------------------------------------------------------------------------------

    def _let_go(self, members: Collection[tuple[int, int]]) -> None:
        """Nobody keeps these (incident, alarm) back any more: what was kept back and is open is told now."""
        for incident_key, pairs in groupby(sorted(members), key=lambda pair: pair[0]):
            unsuppress(
                self.connection,
                alarm_keys=[alarm_key for _, alarm_key in pairs],
                kind=Suppression.by_design,
                cause=incident_cause(incident_key),
                reason=Reason.explained_no_more,
                at=self.now,
            )

    def _release_held(self, held: list[tuple[int, str]]) -> None:
        """What no incident has taken is told by itself."""
        taken = {alarm.alarm_key for alarm in self.alarms if alarm.incident_key is not None}
        for cause, pairs in groupby(sorted(held, key=lambda pair: pair[1]), key=lambda pair: pair[1]):
            unsuppress(
                self.connection,
                alarm_keys=[alarm_key for alarm_key, _ in pairs if alarm_key not in taken],
                kind=Suppression.by_design,
                cause=cause,
                reason=Reason.explained_no_more,
                at=self.now,
            )

    def _leaving(self, district: District) -> list[OpenAlarm]:
        """When the flood is over: members that are let go in this tick; no more are told than an operator can read."""
        if district.flood is not None:
            return []
        keys = {incident.incident_key for incident in self._incidents_of(district)}
        members = [alarm for alarm in self.alarms if alarm.incident_key in keys]
        telling = sorted((member for member in members if _would_be_told(member)), key=lambda member: -member.severity)
        told = telling[: self._room(district)] if telling else []
        return told + [member for member in members if not _would_be_told(member)]

    def _leave(self, leaving: Sequence[tuple[int, str]]) -> None:
        rows = [{"alarm_key": alarm_key, "because": because} for alarm_key, because in leaving]
        if rows:
            self.connection.execute(statement("storm.leave"), {"rows": Jsonb(rows), "now": self.now})

    def _tell(self, left: Collection[int]) -> None:
        """Tell what has changed of incidents; end those whose flood is over and that have let everybody go."""
        for district in self.districts.values():
            for incident in self._incidents_of(district):
                key = incident.incident_key
                if district.flood is not None:
                    tell_now(self.connection, incident, district.name, district.rule, self.now)
                elif not any(a.incident_key == key and a.alarm_key not in left for a in self.alarms):
                    tell_end(self.connection, incident, district.name, district.rule, self.now)
                    self.connection.execute(statement("storm.end_incident"), {"incident_key": key, "now": self.now})

    def _room(self, district: District) -> int:
        """How many more an operator can read in this window."""
        since = self.now - timedelta(seconds=district.numbers.window_s)
        params = {"area_code": district.area_code, "since": since}
        [(told,)] = self.connection.execute(statement("storm.told_since"), params).fetchall()
        return max(district.numbers.enter_above - district.raised - int(told), 0)


def _by_catchment(pair: tuple[Catchment, OpenAlarm]) -> tuple[str, str, bool]:
    return (pair[0].key, pair[0].name, pair[0].network)


def _would_be_told(member: OpenAlarm) -> bool:
    """Whether something was kept back of it that is told when the incident lets go."""
    return not member.alone and member.withheld and member.suppressed == [Suppression.by_design.value]
