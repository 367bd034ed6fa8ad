"""Weather: each district dry, wet, in a storm or unknown, by its rain gauges.

Without a gauge that has a say the weather is unknown, and whoever asks takes the more sensitive of what may hold.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from alerts.city.devices import Places
from alerts.judge.outcome import RuleInForce
from alerts.rules.weather import Weather, WeatherRule
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

if TYPE_CHECKING:
    from alerts.city.said import Said

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


class Verdict(NamedTuple):
    """Of a district by one rule: how many gauges had a say, and the most that one of them had in its last hour."""

    state: Weather
    gauges: int
    most_mm_1h: float


Falls = dict[tuple[float, float], dict[int, list[Fall]]]
"""By how far back, and how old a gauge's newest report may be."""


class Districts:
    """What weather rules say of districts, by what their rain gauges have said. A middle is asked for now and then."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._middles: dict[str, tuple[float, tuple[float | None, float | None]]] = {}

    def says(
        self, said: Said, in_force: RuleInForce, districts: Sequence[str], falls: Falls, now: datetime
    ) -> list[tuple[str, Verdict]]:
        """What one rule says of the districts that it is for."""
        found = []
        gauges = self._places.of(said.connection, "rain")
        for district in districts:
            rule = _for(district, in_force)
            if rule is None:
                continue
            span = (reach_s(rule), rule.max_age_s)
            if span not in falls:
                keys = [device.device_key for device in gauges.devices]
                falls[span] = said.falls(keys, span[0], now - timedelta(seconds=rule.max_age_s))
            found.append((district, self._judge(said.connection, district, rule, falls[span])))
        return found

    def gauges(self, connection: Connection, in_force: RuleInForce, district: str) -> set[int]:
        """The gauges that a district may ask."""
        places, rule = self._places.of(connection, "rain"), _for(district, in_force)
        found = {device.device_key for device in places.devices if device.district == district}
        if rule is not None and rule.borrow_within_m:
            near = places.within(*self._middle(connection, district), rule.borrow_within_m)
            found |= {device.device_key for device in near}
        return found

    def _judge(self, connection: Connection, district: str, rule: WeatherRule, falls: dict[int, list[Fall]]) -> Verdict:
        gauges = self._places.of(connection, "rain")
        asked = [device.device_key for device in gauges.devices if device.district == district]
        if not any(key in falls for key in asked) and rule.borrow_within_m:
            near = gauges.within(*self._middle(connection, district), rule.borrow_within_m)
            asked = [device.device_key for device in near]
        having = [falls[key] for key in asked if key in falls]
        most = max((fallen(one, one[-1].ts_us, _HOUR_S) for one in having), default=0.0)
        return Verdict(wettest([weather_of(one, rule) for one in having]), len(having), most)

    def _middle(self, connection: Connection, district: str) -> tuple[float | None, float | None]:
        asked_at, middle = self._middles.get(district, (-float("inf"), (None, None)))
        if time.monotonic() - asked_at > _MIDDLE_KEPT_S:
            [middle] = connection.execute(statement("city.middle"), {"district": district}).fetchall()
            self._middles[district] = (time.monotonic(), middle)
        return middle


def reach_s(rule: WeatherRule) -> float:
    """How far before a gauge's newest report lies what it is judged by."""
    return max(rule.storm_over_s, rule.wet_over_s, _HOUR_S) + rule.hold_s


def _for(district: str, in_force: RuleInForce) -> WeatherRule | None:
    """With the numbers that count for the district."""
    variant = in_force.variant_for(device_id="", area_code=district, tags=())
    rule = in_force.rule if variant is None else variant.rule
    return rule if isinstance(rule, WeatherRule) and (variant is None or variant.enabled) else None
