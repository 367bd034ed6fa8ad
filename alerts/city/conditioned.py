"""Conditioned: limits that depend on the weather and on standing water beside the device, judged on its newest values.

In each weather another set of levels counts. They are made comparable: every set has the severities of all sets, and
where it has no limit for one, that severity comes with the next higher. So an episode lives on when the weather turns.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql

from alerts.city.devices import Device, Newest, Places
from alerts.city.memory import Judgement, Remembering
from alerts.city.said import Said
from alerts.city.weather import UNKNOWN
from alerts.judge.outcome import RuleInForce
from alerts.judge.transition import Limits
from alerts.rules.conditioned import SETS, ConditionedRule, SetName, StandingWater
from alerts.rules.expression import Truth
from alerts.rules.parts import Level
from alerts.rules.weather import Weather
from underfoot.alarms import SubjectKind
from underfoot.families import FAMILIES
from underfoot.reports import microseconds

_BY_WEATHER: Mapping[Weather, tuple[SetName, ...]] = {
    Weather.dry: ("dry",),
    Weather.wet: ("wet",),
    Weather.storm: ("storm",),
    Weather.unknown: ("dry", "wet", "storm"),
}


# pure ---------------------------------------------------------------------------------------------------------------


def sign(rule: ConditionedRule) -> float:
    return 1.0 if rule.looks == "above" else -1.0


def limits_of(rule: ConditionedRule, name: SetName) -> Limits:
    """The set's levels as those of all severities that the rule knows."""
    ranks = sorted({level.rank for each in SETS for level in rule.levels_of(each)})
    levels = [min((lv for lv in rule.levels_of(name) if lv.rank >= rank), key=_rank, default=None) for rank in ranks]
    reach = [math.inf if level is None else sign(rule) * level.limit for level in levels]
    return Limits(
        reach=tuple(reach),
        leave=tuple(at - (0.0 if level is None else level.dead_band) for at, level in zip(reach, levels, strict=True)),
        severity=tuple(ranks),
        on_delay_us=tuple(0 if level is None else int(level.on_delay_s * 1e6) for level in levels),
        samples=tuple(1 if level is None else level.samples for level in levels),
        off_delay_us=int(rule.off_delay_s * 1e6),
        off_samples=rule.off_samples,
        by_silence=False,
        calm_us=int(rule.calms_after_s * 1e6),
    )


def set_for(rule: ConditionedRule, weather: Weather, water: Truth) -> SetName:
    """Standing water counts before the weather. Where several sets may hold, the one that alarms earliest."""
    may_hold = () if water else _BY_WEATHER[weather]
    if water is not False and rule.water is not None:
        may_hold = (*may_hold, "standing_water")
    return min(may_hold, key=lambda name: limits_of(rule, name).reach)


def guarded(rule: ConditionedRule, values: Mapping[str, Any]) -> float | None:
    """The value as the limits see it: None where it is unknown or its guard is, −∞ where the rule does not apply."""
    value = values[rule.field]
    for name, wanted in rule.when.items():
        if values[name] is None:
            return None
        if values[name] != wanted:
            return -math.inf
    if any(values[name] == unwanted for name, unwanted in rule.unless.items()):
        return -math.inf
    return None if value is None else sign(rule) * float(value)


def _rank(level: Level) -> int:
    return level.rank


# on what is committed -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Water:
    truth: Truth
    depth_cm: float | None = None


@dataclass(frozen=True, slots=True)
class _Gauge:
    """The nearest road gauge, as far as there is one."""

    said: Newest | None
    metres: float
    there: bool = False

    def judged(self, asked: StandingWater, now_us: int) -> Water:
        """Where there is no gauge, no water is known of, and it is the weather that counts."""
        if not self.there or self.metres > asked.within_m:
            return Water(False)
        depth = self.said.values["depth_cm"] if self.said is not None else None
        if self.said is None or depth is None or not self.said.fresh(now_us, asked.max_age_s):
            return Water(None)
        return Water(depth >= asked.depth_cm, float(depth))


class Conditioned:
    """Judges one such rule: of its devices those that may reach a limit of any set, and those with something open."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def __call__(self, said: Said, in_force: RuleInForce, memory: Remembering, now: datetime) -> Iterator[Judgement]:
        rule = in_force.rule
        assert isinstance(rule, ConditionedRule)  # noqa: S101 - its step asks for this kind
        family, now_us = FAMILIES[rule.family], microseconds(now)
        variants = [rule, *(v.rule for v in in_force.variants if isinstance(v.rule, ConditionedRule))]
        since = now - timedelta(seconds=max(one.max_age_s for one in variants))
        keys = {*said.reaching(family, _reaches(variants), since), *memory.subjects(rule.rule_id)}
        devices = said.devices(keys)
        fields = list(dict.fromkeys((rule.field, *rule.when, *rule.unless)))
        newest = said.newest(family, fields, devices)
        weather, until = said.weather(), said.caught_up()
        standing = self._standing(said, variants, devices.values())
        for key, own_newest in newest.items():
            device = devices[key]
            counting = device.rule_for(in_force)
            own = counting.rule if counting is not None else rule
            assert isinstance(own, ConditionedRule)  # noqa: S101 - an override keeps the kind
            water = standing[key].judged(own.water, now_us) if own.water is not None else Water(False)
            state = weather.get(device.district, UNKNOWN).state
            name = set_for(own, state, water.truth)
            value: float | None = None
            if counting is None:
                value = -math.inf
            elif own_newest.fresh(now_us, own.max_age_s):
                value = guarded(own, own_newest.values)
            yield Judgement(
                subject=(SubjectKind.device, key),
                rule=counting or in_force,
                limits=limits_of(own, name),
                value=value,
                seen=(own_newest.ts_us, name, counting is not None),
                at_us=own_newest.ts_us,
                received_us=own_newest.received_us,
                proof=_proof(own, name, own_newest, value, state, water),
                caught_up_us=until.get(device.shard),
            )

    def _standing(
        self,
        said: Said,
        variants: Collection[ConditionedRule],
        devices: Collection[Device],
    ) -> dict[int, _Gauge]:
        """Of each device, the nearest road gauge that any of the variants asks."""
        reach = max((one.water.within_m for one in variants if one.water is not None), default=None)
        if reach is None:
            return {}
        roads = self._places.of(said.connection, "road")
        nearest = {device.device_key: roads.nearest(device.lon, device.lat, reach) for device in devices}
        keys = {found[0].device_key for found in nearest.values() if found is not None}
        depths = said.newest(FAMILIES["road"], ["depth_cm"], keys)
        return {
            key: _Gauge(None, 0.0) if found is None else _Gauge(depths.get(found[0].device_key), found[1], there=True)
            for key, found in nearest.items()
        }


def _reaches(variants: Collection[ConditionedRule]) -> Iterator[sql.Composable]:
    """What any set of any of them could be reached by, where its guards hold: half of a city's foul sewers need not be
    looked at every few seconds for what is said of storm sewers alone."""
    for rule in variants:
        limits = [level.limit for name in SETS for level in rule.levels_of(name)]
        way, first = (">=", min(limits)) if rule.looks == "above" else ("<=", max(limits))
        needed = [sql.SQL("{} {} {}::real").format(sql.Identifier(rule.field), sql.SQL(way), sql.Literal(first))]
        needed += (sql.SQL("{} = {}").format(sql.Identifier(name), wanted) for name, wanted in rule.when.items())
        needed += (
            sql.SQL("{} IS DISTINCT FROM {}").format(sql.Identifier(name), unwanted)
            for name, unwanted in rule.unless.items()
        )
        yield sql.SQL("({})").format(sql.SQL(" AND ").join(needed))


def _proof(
    rule: ConditionedRule, name: SetName, said: Newest, value: float | None, weather: Weather, water: Water
) -> dict[str, Any]:
    limits = limits_of(rule, name)
    reached = [at for at in limits.reach if value is not None and value >= at]
    limit = (reached or [*limits.reach])[-1 if reached else 0]
    raw = said.values[rule.field]
    proof = {
        "ts_us": said.ts_us,
        "received_us": said.received_us,
        "field": rule.field,
        "label": rule.column.label,
        "unit": rule.column.unit,
        "value": None if raw is None else round(float(raw), 4),
        "limit": sign(rule) * limit if math.isfinite(limit) else None,
        "values": said.values,
        "weather": weather.value,
        "limits_of": name,
    }
    if water.depth_cm is not None:
        proof["water_depth_cm"] = round(water.depth_cm, 1)
    return proof
