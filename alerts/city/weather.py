"""Weather: each district dry, wet, in a storm or unknown, by its rain gauges, with the history of that.

The first of the city's steps: limits that depend on the weather ask what it found. Without a gauge that has a say the
weather is unknown, and whoever asks takes the more sensitive of what may hold.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from alerts.city.devices import Places, read_from
from alerts.city.judging import Apart, Rulebook
from alerts.judge.outcome import RuleInForce
from alerts.rules.weather import Weather, WeatherRule
from underfoot.families import FAMILIES
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_RANK = {Weather.dry: 0, Weather.wet: 1, Weather.storm: 2}
_HOUR_S = 3600.0
_MIDDLE_KEPT_S = 600.0


@dataclass(frozen=True, slots=True)
class Fall:
    """One report of a gauge: what fell since the one before it, and how hard it rains."""

    ts_us: int
    amount_mm: float | None
    intensity_mm_h: float | None


@dataclass(frozen=True, slots=True)
class Now:
    """How an area is, and since when."""

    state: Weather
    since_us: int


UNKNOWN = Now(Weather.unknown, 0)


def weather_of(falls: Sequence[Fall], rule: WeatherRule) -> Weather:
    """What a gauge says, by its reports in order of time: as its wettest moment within `hold_s` before its newest."""
    if not falls:
        return Weather.unknown
    until = falls[-1].ts_us - int(rule.hold_s * 1e6)
    return wettest([_weather_at(falls, fall, rule) for fall in falls if fall.ts_us >= until])


def _weather_at(falls: Sequence[Fall], fall: Fall, rule: WeatherRule) -> Weather:
    if fall.intensity_mm_h is not None and fall.intensity_mm_h >= rule.storm_mm_h:
        return Weather.storm
    if fallen(falls, fall.ts_us, rule.storm_over_s) >= rule.storm_mm:
        return Weather.storm
    return Weather.wet if fallen(falls, fall.ts_us, rule.wet_over_s) >= rule.wet_mm else Weather.dry


def fallen(falls: Sequence[Fall], until_us: int, over_s: float) -> float:
    """What fell in (until − over, until]. An intensity alone says that it rains, not how much has fallen."""
    first = bisect_right(falls, until_us - int(over_s * 1e6), key=lambda fall: fall.ts_us)
    last = bisect_right(falls, until_us, key=lambda fall: fall.ts_us)
    return round(sum(fall.amount_mm or 0.0 for fall in falls[first:last]), 6)


def wettest(said: Collection[Weather]) -> Weather:
    """Of those who have a say. Nobody has: unknown."""
    return max((one for one in said if one is not Weather.unknown), key=_RANK.__getitem__, default=Weather.unknown)


def weather_now(connection: Connection) -> dict[str, Now]:
    """By district. One that is not in it is unknown."""
    rows = connection.execute(statement("city.weather_now"))
    return {area: Now(Weather(state), microseconds(since)) for area, state, since in rows}


class _Said(NamedTuple):
    """Of a district by one rule: how many gauges had a say, and the most that one of them had in its last hour."""

    state: Weather
    gauges: int
    most_mm_1h: float


_Falls = dict[tuple[float, float], dict[int, list[Fall]]]
"""By how far back, and how old a gauge's newest report may be."""


class WeatherStep:
    """A rule that fails has no say; where no other has, the weather is unknown."""

    def __init__(self, rulebook: Rulebook, places: Places) -> None:
        self._rulebook = rulebook
        self._places = places
        self._apart = Apart()
        self._judged_at: datetime | None = None
        self._middles: dict[str, tuple[float, tuple[float | None, float | None]]] = {}

    def __call__(self, connection: Connection, now: datetime) -> None:
        in_force = self._rulebook.of_kind(connection, WeatherRule)
        every_s = min((each.rule.every_s for each in in_force if isinstance(each.rule, WeatherRule)), default=0.0)
        soon = self._judged_at is not None and timedelta(0) <= now - self._judged_at < timedelta(seconds=every_s)
        if not in_force or soon:
            return
        self._judged_at = now
        districts = [district for (district,) in connection.execute(statement("city.districts")).fetchall()]
        said: dict[str, list[_Said]] = {district: [] for district in districts}
        falls: _Falls = {}
        for each in in_force:
            with self._apart.judging(connection, each):
                for district, one in self._says(connection, each, districts, falls, now):
                    said[district].append(one)
        self._apart.tell(connection, in_force, now)
        changed: list[dict[str, Any]] = []
        before = weather_now(connection)
        for district in districts:
            state = wettest([one.state for one in said[district]])
            if district in before and state is before[district].state:
                continue
            gauges, most = max(((one.gauges, one.most_mm_1h) for one in said[district]), default=(0, 0.0))
            changed.append(
                {"area_code": district, "state": state, "gauges": gauges, "most_mm_1h": most if gauges else None}
            )
        if changed:
            areas = [one["area_code"] for one in changed]
            connection.execute(statement("city.end_weather"), {"areas": areas, "now": now})
            connection.execute(statement("city.begin_weather"), {"rows": Jsonb(changed), "now": now})

    def _says(
        self, connection: Connection, in_force: RuleInForce, districts: Sequence[str], falls: _Falls, now: datetime
    ) -> list[tuple[str, _Said]]:
        """What one rule says of the districts that it is for."""
        said = []
        for district in districts:
            rule = _for(district, in_force)
            if rule is None:
                continue
            span = (max(rule.storm_over_s, rule.wet_over_s, _HOUR_S) + rule.hold_s, rule.max_age_s)
            if span not in falls:
                falls[span] = self._falls(connection, *span, now)
            said.append((district, self._judge(connection, district, rule, falls[span])))
        return said

    def _falls(self, connection: Connection, span_s: float, max_age_s: float, now: datetime) -> dict[int, list[Fall]]:
        """By gauge, of those that have a say."""
        family = FAMILIES["rain"]
        gauges = [device.device_key for device in self._places.of(connection, family.name).devices]
        params: dict[str, Any] = {"device_keys": gauges, "since": now - timedelta(seconds=max_age_s), "span_s": span_s}
        params["oldest"] = read_from(connection, family, span_s, params)
        falls: dict[int, list[Fall]] = {}
        if params["oldest"] is not None:
            for key, ts, amount, intensity in connection.execute(statement("city.rainfall"), params):
                falls.setdefault(key, []).append(Fall(microseconds(ts), amount, intensity))
        return falls

    def _judge(self, connection: Connection, district: str, rule: WeatherRule, falls: dict[int, list[Fall]]) -> _Said:
        gauges = self._places.of(connection, "rain")
        asked = [device.device_key for device in gauges.devices if device.district == district]
        if not any(key in falls for key in asked) and rule.borrow_within_m:
            near = gauges.within(*self._middle(connection, district), rule.borrow_within_m)
            asked = [device.device_key for device in near]
        having = [falls[key] for key in asked if key in falls]
        most = max((fallen(one, one[-1].ts_us, _HOUR_S) for one in having), default=0.0)
        return _Said(wettest([weather_of(one, rule) for one in having]), len(having), most)

    def _middle(self, connection: Connection, district: str) -> tuple[float | None, float | None]:
        asked_at, middle = self._middles.get(district, (-float("inf"), (None, None)))
        if time.monotonic() - asked_at > _MIDDLE_KEPT_S:
            [middle] = connection.execute(statement("city.middle"), {"district": district}).fetchall()
            self._middles[district] = (time.monotonic(), middle)
        return middle


def _for(district: str, in_force: RuleInForce) -> WeatherRule | None:
    """With the numbers that count for the district."""
    variant = in_force.variant_for(device_id="", area_code=district, tags=())
    rule = in_force.rule if variant is None else variant.rule
    return rule if isinstance(rule, WeatherRule) and (variant is None or variant.enabled) else None
