"""Whom: what routing needs to know, asked for all notices of a transaction at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from alerts.telling.present import Present
from alerts.telling.routing import Concerned, CrewSink, OnDuty, Receiver, Route, Routes
from underfoot.alarms import Severity
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


@dataclass(frozen=True, slots=True)
class Wanted:
    """An alarm of which a crew is to be told. `worst`: of the episode; `has_case`: its platform is told of it, too."""

    alarm_key: int
    worst: int
    has_case: bool


@dataclass(frozen=True, slots=True)
class Found:
    """The sinks to tell. `nobody`: somebody was to be told, and there is nobody at all."""

    sinks: tuple[int, ...]
    nobody: bool

    def joined(self, before: Found) -> Found:
        return Found(tuple(dict.fromkeys((*before.sinks, *self.sinks))), self.nobody and before.nobody)


def whom(connection: Connection, wanted: Sequence[Wanted]) -> list[Found]:
    """Whom to tell of each, in the same order."""
    if not wanted:
        return []
    routes, platforms = routes_now(connection)
    concerned = concerned_by(connection, [one.alarm_key for one in wanted], routes)
    on_duty = on_duty_now(connection)
    found = []
    for one in wanted:
        decided = [
            routes.route(Concerned(unit, owner, lineage, Severity(one.worst if worst is None else worst)), on_duty)
            for unit, owner, lineage, worst in concerned.get(one.alarm_key, ())
        ]
        told = one.has_case and any(one.worst >= least for least in platforms)
        found.append(Found(_sinks(decided), not told and all(route.nobody for route in decided)))
    return found


def responsible(connection: Connection, episodes: Sequence[tuple[int, int]]) -> dict[tuple[int, int], tuple[int, ...]]:
    """Of each alarm and episode: the sinks of whoever is responsible, however little they want to be told of, and of
    whoever was told of it."""
    routes, _ = routes_now(connection)
    concerned = concerned_by(connection, [alarm_key for alarm_key, _ in episodes], routes)
    on_duty = on_duty_now(connection)
    found: dict[tuple[int, int], dict[int, None]] = {}
    for alarm_key, episode in episodes:
        sinks = found.setdefault((alarm_key, episode), {})
        for unit, owner, lineage, _ in concerned.get(alarm_key, ()):
            route = routes.route(Concerned(unit, owner, lineage, Severity.red), on_duty)
            sinks |= dict.fromkeys(one.sink_key for one in (route.decided.receivers if route.decided else ()))
    params = {"alarm_keys": [key for key, _ in episodes], "episodes": [episode for _, episode in episodes]}
    for alarm_key, episode, sink_key in connection.execute(statement("telling.told_of"), params):
        found[alarm_key, episode][sink_key] = None
    return {episode: tuple(sinks) for episode, sinks in found.items()}


def _sinks(decided: Sequence[Route]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(one.sink_key for route in decided for one in route.told))


Whose = tuple[str, str, tuple[str, ...], int | None]
"""Maintenance unit, owner unit, lineage of the area, and of an incident's share the worst."""


def routes_now(connection: Connection) -> tuple[Routes, list[int]]:
    """Crews' sinks by what they are for, and from what severity on each platform is told."""
    crews, platforms = [], []
    for key, name, audience, least, unit, owner, area in connection.execute(statement("telling.sinks")):
        if audience == "platform":
            platforms.append(least)
        else:
            crews.append(CrewSink(Receiver(key, name, Severity(least)), unit, owner, area))
    return Routes(crews), platforms


def concerned_by(connection: Connection, alarm_keys: Sequence[int], routes: Routes) -> dict[int, list[Whose]]:
    """Whose these alarms are; of an incident, one for each of those it concerns."""
    rows = connection.execute(statement("telling.concerned"), {"alarm_keys": list(set(alarm_keys))}).fetchall()
    codes = {area for _, _, _, area, _ in rows if area is not None}
    above: dict[str, list[str]] = {}
    if codes and routes.has_areas:
        above = dict(connection.execute(statement("telling.lineages"), {"codes": sorted(codes)}).fetchall())
    concerned: dict[int, list[Whose]] = {}
    for alarm_key, unit, owner, area, worst in rows:
        lineage = () if area is None else tuple(above.get(area, (area,)))
        concerned.setdefault(alarm_key, []).append((unit, owner, lineage, worst))
    return concerned


def on_duty_now(connection: Connection) -> OnDuty:
    """Asks for the roster only when somebody is found by nothing else."""

    @cache
    def present() -> Present:
        return Present.load(connection, CLOCK.now())

    @cache
    def on_duty(area: str | None) -> tuple[Receiver, ...]:
        return tuple(present().receivers(area))

    return on_duty
