"""Late: what reports that came late show together with what others said then, and nobody has judged.

A rule over several devices is judged on what is newest. A device's own past is judged again by its shard's holder, and
handed on to here; then each rule that asks this device is judged through that time, on what was said by then. What is
found so, is a hazard and not on record is put to an operator: it may be over, its clock may be wrong, and it may be the
only sign there is. The record of the rule itself stays as it is.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

from alerts.city.composite import Asked, joined, of_newest, of_span, of_weather, sources_of
from alerts.city.composite import limits_of as composite_limits
from alerts.city.conditioned import guarded, set_for
from alerts.city.conditioned import limits_of as conditioned_limits
from alerts.city.devices import Device, Newest, Places, Span, devices_of, matching
from alerts.city.judging import Rulebook
from alerts.city.memory import Judgement, Remembered, judged
from alerts.judge.outcome import RuleInForce
from alerts.judge.transition import Change, Limits
from alerts.record.recorder import Recorder, failure
from alerts.rulebook.book import rule_as_last_known
from alerts.rules import CompositeRule, ConditionedRule
from alerts.rules.composite import Input
from alerts.rules.conditioned import SETS
from alerts.rules.expression import Truth
from alerts.rules.weather import Weather
from underfoot.alarms import Reason, Severity, SubjectKind
from underfoot.city_time import CITY_ZONE
from underfoot.families import FAMILIES
from underfoot.reports import microseconds, moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

LATE_HAZARD = "city.late_hazard"
OF_AT_LEAST = Severity.orange
"""As of a single device's late hazard: who is asked of everything looks at nothing."""

_TOGETHER = 10
"""Devices whose past is looked at in one tick."""
_SUBJECTS = 50
_MOMENTS = 500
_LONGEST = timedelta(days=8)


class Late:
    def __init__(self, rulebook: Rulebook, places: Places) -> None:
        self._rulebook = rulebook
        self._places = places

    def __call__(self, connection: Connection, now: datetime) -> None:
        marked = connection.execute(statement("city.take_late"), {"most": _TOGETHER}).fetchall()
        if not marked:
            return
        since = {key: max(at, now - _LONGEST) for key, at in marked}
        for key, device in devices_of(connection, list(since)).items():
            try:
                with connection.transaction():
                    self._look_at(connection, device, since[key], now)
            except psycopg.OperationalError:
                raise
            except Exception:
                log.exception("city: what device %d said late could not be looked at", key)

    def _look_at(self, connection: Connection, device: Device, since: datetime, now: datetime) -> None:
        for in_force in self._rulebook.all(connection):
            rule = in_force.rule
            if not isinstance(rule, CompositeRule | ConditionedRule) or _worst(in_force) < OF_AT_LEAST:
                continue
            subjects = self._subjects(connection, rule, device)
            for key, subject in devices_of(connection, subjects[:_SUBJECTS]).items():
                counting = subject.rule_for(in_force)
                if counting is None:
                    continue
                past = _Past(connection, self._places, counting, subject, since, now)
                found = _missed(connection, counting, key, list(past.judgements()), now)
                if found is not None:
                    _ask(connection, counting, key, found, now)

    def _subjects(self, connection: Connection, rule: CompositeRule | ConditionedRule, device: Device) -> list[int]:
        """Of whom the rule speaks when it asks this device."""
        found = [device.device_key] if rule.family == device.family else []
        reach = 0.0
        if isinstance(rule, ConditionedRule):
            reach = rule.water.within_m if rule.water is not None and device.family == "road" else 0.0
        else:
            for one in rule.inputs.values():
                if one.family != device.family:
                    continue
                reach = max(reach, one.within_m or 0.0)
                if one.of == "same_asset":
                    at = matching(connection, "at_assets", [device.asset_key], rule.family)
                    found += at.get(device.asset_key, [])
                elif one.of == "same_gateway" and device.gateway_key is not None:
                    behind = matching(connection, "behind_gateways", [device.gateway_key], rule.family)
                    found += behind.get(device.gateway_key, [])
        if reach:
            near = self._places.of(connection, rule.family).within(device.lon, device.lat, reach)
            found += [one.device_key for one in near]
        return list(dict.fromkeys(found))


def _worst(in_force: RuleInForce) -> Severity:
    """The worst that the rule may raise anywhere."""
    names: list[str] = []
    for rule in (in_force.rule, *(variant.rule for variant in in_force.variants)):
        if isinstance(rule, ConditionedRule):
            names += (level.severity for name in SETS for level in rule.levels_of(name))
        elif isinstance(rule, CompositeRule):
            names.append(rule.severity)
    return max((Severity[name] for name in names), default=Severity.blue)


@dataclass(frozen=True)
class _Course:
    """What a device said of one field, in order of event time."""

    times: list[int]
    values: list[float | bool | int]

    def newest(self, at_us: int, field: str) -> Newest | None:
        place = bisect_right(self.times, at_us) - 1
        if place < 0:
            return None
        return Newest(self.times[place], self.times[place], {field: self.values[place]})

    def span(self, at_us: int, over_s: float) -> Span | None:
        last = bisect_right(self.times, at_us)
        first = bisect_right(self.times, self.times[last - 1] - int(over_s * 1e6)) if last else 0
        values = [float(value) for value in self.values[first:last]]
        if not values:
            return None
        newest = self.times[last - 1]
        lasted = newest - self.times[first]
        return Span(newest, newest, values[0], values[-1], min(values), max(values), len(values), lasted)


class _Past:
    """One rule about one device through a span of the past, by what was said until each moment. A value's age counts
    from when it was said: when it came is what is to make no difference."""

    def __init__(
        self,
        connection: Connection,
        places: Places,
        in_force: RuleInForce,
        subject: Device,
        since: datetime,
        until: datetime,
    ) -> None:
        self._connection = connection
        self._places = places
        self._in_force = in_force
        self._subject = subject
        self._since, self._until = since, until
        self._courses: dict[tuple[str, str, int], _Course] = {}
        self._weather = [
            (microseconds(began), Weather(state))
            for state, began in connection.execute(
                statement("city.weather_of"), {"area": subject.district, "from": since, "until": until}
            )
        ]

    def judgements(self) -> Iterator[Judgement]:
        rule = self._in_force.rule
        if isinstance(rule, CompositeRule):
            yield from self._composite(rule)
        elif isinstance(rule, ConditionedRule):
            yield from self._conditioned(rule)

    def _composite(self, rule: CompositeRule) -> Iterator[Judgement]:
        only = {self._subject.device_key: self._subject}
        sources = {
            name: sources_of(self._connection, self._places, one, rule, only)[self._subject.device_key]
            for name, one in rule.inputs.items()
            if one.of != "area_rain"
        }
        for name, keys in sources.items():
            for key in keys:
                self._load(rule.inputs[name].family or rule.family, rule.inputs[name].field or "", key, _reach(rule))
        limits = composite_limits(rule)
        for at_us in self._moments():
            said = {name: self._said(one, rule, sources.get(name, []), at_us) for name, one in rule.inputs.items()}
            truth = rule.expression.judge({name: one.truth for name, one in said.items()})
            yield self._judgement(limits, None if truth is None else float(truth), at_us)

    def _said(self, one: Input, rule: CompositeRule, sources: Sequence[int], at_us: int) -> Asked:
        if one.of == "area_rain":
            return Asked(of_weather(one, self._weather_at(at_us)), (at_us,), at_us, at_us)
        column, asked = one.column(rule.family), list[Asked]()
        for key in sources:
            course = self._courses[one.family or rule.family, column.name, key]
            newest = course.newest(at_us, column.name)
            if newest is None or not newest.fresh(at_us, one.max_age_s or 0.0):
                asked.append(Asked(None))
            elif one.over_s is None:
                asked.append(of_newest(one, newest, column.name, at_us, one.max_age_s or 0.0))
            else:
                asked.append(Asked(of_span(one, course.span(at_us, one.over_s)), (newest.ts_us,), newest.ts_us, at_us))
        return joined(asked)

    def _conditioned(self, rule: ConditionedRule) -> Iterator[Judgement]:
        key = self._subject.device_key
        fields = [rule.field, *rule.when, *rule.unless]
        own = [self._load(rule.family, name, key, rule.max_age_s) for name in fields]
        gauge = None
        if rule.water is not None:
            near = self._places.of(self._connection, "road")
            gauge = near.nearest(self._subject.lon, self._subject.lat, rule.water.within_m)
        water = None
        if gauge is not None and rule.water is not None:
            water = self._load("road", "depth_cm", gauge[0].device_key, rule.water.max_age_s)
        for at_us in self._moments():
            values = {
                name: None if (newest := course.newest(at_us, name)) is None else newest.values[name]
                for name, course in zip(fields, own, strict=True)
            }
            measured = own[0].newest(at_us, rule.field)
            name = set_for(rule, self._weather_at(at_us), _standing(rule, water, at_us))
            fresh = measured is not None and measured.fresh(at_us, rule.max_age_s)
            yield self._judgement(conditioned_limits(rule, name), guarded(rule, values) if fresh else None, at_us)

    def _load(self, family: str, field: str, device_key: int, before_s: float) -> _Course:
        known = self._courses.get((family, field, device_key))
        if known is not None:
            return known
        query = sql.SQL(statement("city.course")).format(
            table=sql.Identifier(FAMILIES[family].table), field=sql.Identifier(field)
        )
        params = {"device_key": device_key, "since": self._since - timedelta(seconds=before_s), "until": self._until}
        rows = self._connection.execute(query, params).fetchall()
        course = _Course([microseconds(ts) for ts, _ in rows], [value for _, value in rows])
        self._courses[family, field, device_key] = course
        return course

    def _moments(self) -> list[int]:
        """Whenever anything that is asked was said; of very many the newest."""
        since_us = microseconds(self._since)
        return sorted({at for course in self._courses.values() for at in course.times if at >= since_us})[-_MOMENTS:]

    def _weather_at(self, at_us: int) -> Weather:
        return next((state for began, state in reversed(self._weather) if began <= at_us), Weather.unknown)

    def _judgement(self, limits: Limits, value: float | None, at_us: int) -> Judgement:
        proof = {"ts_us": at_us, "received_us": at_us, "field": "", "label": self._in_force.rule.title}
        subject = (SubjectKind.device, self._subject.device_key)
        return Judgement(subject, self._in_force, limits, value, (at_us,), at_us, at_us, proof)


def _reach(rule: CompositeRule) -> float:
    """How far before a moment what counts at it may have been said."""
    return max((one.max_age_s or 0.0) + (one.over_s or 0.0) for one in rule.inputs.values())


def _standing(rule: ConditionedRule, water: _Course | None, at_us: int) -> Truth:
    """As Conditioned has it: no gauge, and no water is known of; one that says nothing, and it is unknown."""
    if rule.water is None or water is None:
        return False
    depth = water.newest(at_us, "depth_cm")
    if depth is None or not depth.fresh(at_us, rule.water.max_age_s):
        return None
    return bool(depth.values["depth_cm"] >= rule.water.depth_cm)


@dataclass(frozen=True)
class _Missed:
    began: Change
    severity: Severity


def _missed(
    connection: Connection, in_force: RuleInForce, device_key: int, judgements: Sequence[Judgement], now: datetime
) -> _Missed | None:
    """The first hazard of these that no episode on record covers."""
    remembered, hazard = Remembered(), None
    for judgement in judgements:
        remembered, changes = judged(remembered, judgement)
        for change in changes:
            if not isinstance(change, Change):
                continue
            severity = judgement.limits.severity[change.level - 1] if change.level else 0
            if hazard is None and severity >= OF_AT_LEAST:
                hazard = _Missed(change, Severity(severity))
            elif hazard is not None and severity < OF_AT_LEAST:
                if not _on_record(connection, in_force, device_key, hazard, moment(change.at_us)):
                    return hazard
                hazard = None
    if hazard is not None and not _on_record(connection, in_force, device_key, hazard, now):
        return hazard
    return None


def _on_record(
    connection: Connection, in_force: RuleInForce, device_key: int, hazard: _Missed, until: datetime
) -> bool:
    params = {
        "device_key": device_key,
        "rule_id": in_force.rule.rule_id,
        "from": moment(hazard.began.at_us),
        "until": until,
    }
    [(known,)] = connection.execute(statement("city.on_record"), params).fetchall()
    return bool(known)


def _ask(connection: Connection, in_force: RuleInForce, device_key: int, found: _Missed, now: datetime) -> None:
    """Put it to an operator. While that is open, what else is found joins it."""
    at = moment(found.began.at_us).astimezone(CITY_ZONE)
    label = f"{in_force.rule.title}（{found.severity.label}，{at:%m-%d %H:%M}起）"
    rule = rule_as_last_known(connection, LATE_HAZARD)
    raised = failure(
        SubjectKind.device,
        device_key,
        rule,
        Reason.late_hazard,
        raised=True,
        at_us=found.began.at_us,
        detail=label,
    )
    proof = raised.proof | {"of_rule": in_force.rule.rule_id, "received_us": microseconds(now)}
    Recorder(connection).record([replace(raised, received_us=microseconds(now), proof=proof)])
