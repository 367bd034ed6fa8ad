"""Devices: where they are, who is near whom, and what they said last, for whoever judges several of them."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from psycopg import sql

from alerts.judge.outcome import RuleInForce
from alerts.rules.composite import CompositeRule, Input
from underfoot.families import Family
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_PLACES_KEPT_S = 30.0
_METRES_A_DEGREE = 111_195.0


@dataclass(frozen=True, slots=True)
class Device:
    device_key: int
    device_id: str
    family: str
    district: str
    area_code: str
    tags: tuple[str, ...]
    asset_key: int
    gateway_key: int | None
    shard: str
    lon: float | None
    lat: float | None

    def rule_for(self, rule: RuleInForce) -> RuleInForce | None:
        """The rule with the numbers that count for this device; None: it is not judged by it."""
        variant = rule.variant_for(device_id=self.device_id, area_code=self.area_code, tags=self.tags)
        if variant is None:
            return rule
        return RuleInForce(variant.rule, variant.version) if variant.enabled else None


@dataclass(frozen=True, slots=True)
class Newest:
    """A device's newest values. A field that its newest report did not carry has the last value it was given."""

    ts_us: int
    received_us: int
    values: dict[str, Any]

    def fresh(self, now_us: int, max_age_s: float) -> bool:
        """By when it came: a clock that is wrong must not hide what the device says."""
        return now_us - self.received_us <= max_age_s * 1e6


@dataclass(frozen=True, slots=True)
class Span:
    """What a value did over a span up to the device's newest report."""

    ts_us: int
    received_us: int
    first: float
    last: float
    least: float
    most: float
    said: int
    lasted_us: int

    def covers(self, span_s: float) -> bool:
        """Long enough to speak for the span: its first report fell near the beginning."""
        return self.lasted_us >= 0.75 * span_s * 1e6


def devices_of(connection: Connection, device_keys: Collection[int]) -> dict[int, Device]:
    """Of these, those that are in service."""
    if not device_keys:
        return {}
    rows = connection.execute(statement("city.devices"), {"device_keys": list(device_keys)})
    return {row[0]: _device(row) for row in rows}


def newest_of(
    connection: Connection, family: Family, fields: Sequence[str], device_keys: Collection[int]
) -> dict[int, Newest]:
    if not device_keys:
        return {}
    query = sql.SQL(statement("city.latest")).format(
        latest=sql.Identifier(family.latest_table), fields=sql.SQL(", ").join(map(sql.Identifier, fields))
    )
    rows = connection.execute(query, {"device_keys": list(device_keys)})
    return {
        key: Newest(microseconds(ts), microseconds(received_at), dict(zip(fields, values, strict=True)))
        for key, ts, received_at, *values in rows
    }


def spans_of(
    connection: Connection, family: Family, field: str, span_s: float, device_keys: Collection[int], since: datetime
) -> dict[int, Span]:
    """Of devices heard since then. Of late ones that came meanwhile it is the span as it is known now."""
    params: dict[str, Any] = {"device_keys": list(device_keys), "span_s": span_s, "since": since}
    params["oldest"] = read_from(connection, family, span_s, params)
    if params["oldest"] is None:
        return {}
    query = sql.SQL(statement("city.spans")).format(
        latest=sql.Identifier(family.latest_table), table=sql.Identifier(family.table), field=sql.Identifier(field)
    )
    rows = connection.execute(query, params)
    return {
        key: Span(
            microseconds(ts),
            microseconds(received_at),
            first,
            last,
            least,
            most,
            said,
            microseconds(last_at) - microseconds(first_at),
        )
        for key, ts, received_at, first, last, least, most, said, first_at, last_at in rows
    }


def read_from(connection: Connection, family: Family, span_s: float, params: dict[str, Any]) -> datetime | None:
    """The earliest time of which any of these devices' spans has reports; None: nobody was heard."""
    query = sql.SQL(statement("city.oldest")).format(latest=sql.Identifier(family.latest_table))
    [(oldest,)] = connection.execute(query, params).fetchall()
    return None if oldest is None else oldest - timedelta(seconds=span_s)


def reaching(connection: Connection, family: Family, any_of: Iterable[sql.Composable], since: datetime) -> list[int]:
    """Devices whose newest values reach what a rule asks, heard since then."""
    query = sql.SQL(statement("city.reaching")).format(
        latest=sql.Identifier(family.latest_table), reaches=sql.SQL(" OR ").join(any_of)
    )
    return [key for (key,) in connection.execute(query, {"since": since})]


def matching(connection: Connection, name: str, keys: Collection[int], family: str) -> dict[int, list[int]]:
    """By asset (`at_assets`) or gateway (`behind_gateways`), the devices of a family there."""
    found: dict[int, list[int]] = {}
    if keys:
        for key, device_key in connection.execute(
            statement(f"city.{name}"), {"keys": list(keys), "family": family}
        ).fetchall():
            found.setdefault(key, []).append(device_key)
    return found


def sources_of(
    connection: Connection, places: Places, one: Input, rule: CompositeRule, devices: Mapping[int, Device]
) -> dict[int, list[int]]:
    """Whom an input asks about each device."""
    family = one.family or rule.family
    match one.of:
        case "same_asset":
            found = matching(connection, "at_assets", {d.asset_key for d in devices.values()}, family)
            return {key: _but(key, found.get(device.asset_key, [])) for key, device in devices.items()}
        case "same_gateway":
            gateways = {d.gateway_key for d in devices.values() if d.gateway_key is not None}
            found = matching(connection, "behind_gateways", gateways, family)
            return {key: _but(key, found.get(device.gateway_key or 0, [])) for key, device in devices.items()}
        case "nearest":
            near_by, metres = places.of(connection, family), one.within_m or 0.0
            near = {key: near_by.nearest(d.lon, d.lat, metres, but=key) for key, d in devices.items()}
            return {key: [] if at is None else [at[0].device_key] for key, at in near.items()}
        case _:
            return {key: [key] for key in devices}


def _but(key: int, found: Collection[int]) -> list[int]:
    return [one for one in found if one != key]


def rained(connection: Connection, since: datetime) -> set[str]:
    """Districts in which it rained at any time since then."""
    return {area for (area,) in connection.execute(statement("city.rained"), {"since": since})}


def caught_up(connection: Connection) -> dict[str, int]:
    """By shard, until when all that was sent is committed. A shard that has never caught up is not in it."""
    return {shard: microseconds(at) for shard, at in connection.execute(statement("city.caught_up"))}


class Places:
    """The devices of a family by place; asked anew every half minute."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[float, _Places]] = {}

    def of(self, connection: Connection, family: str) -> _Places:
        read_at, places = self._families.get(family, (-math.inf, None))
        if places is None or time.monotonic() - read_at > _PLACES_KEPT_S:
            rows = connection.execute(statement("city.devices_of_family"), {"family": family})
            places = _Places([_device(row) for row in rows])
            self._families[family] = (time.monotonic(), places)
        return places


class _Places:
    def __init__(self, devices: Sequence[Device]) -> None:
        self.devices = devices
        self._placed = [device for device in devices if device.lon is not None and device.lat is not None]
        self._lon = np.array([device.lon for device in self._placed], np.float64)
        self._lat = np.array([device.lat for device in self._placed], np.float64)

    def within(self, lon: float | None, lat: float | None, metres: float) -> list[Device]:
        """Those within so far of a place, the nearest first; none where the place is not known."""
        return [device for device, _ in self._near(lon, lat, metres)]

    def nearest(
        self, lon: float | None, lat: float | None, metres: float, but: int | None = None
    ) -> tuple[Device, float] | None:
        """The nearest of them and how far it is (metres); None: there is none within `metres`."""
        return next((found for found in self._near(lon, lat, metres) if found[0].device_key != but), None)

    def _near(self, lon: float | None, lat: float | None, metres: float) -> list[tuple[Device, float]]:
        if lon is None or lat is None or not self._placed:
            return []
        east = (self._lon - lon) * math.cos(math.radians(lat))
        distance = np.hypot(east, self._lat - lat) * _METRES_A_DEGREE
        near = np.flatnonzero(distance <= metres)
        return [(self._placed[at], float(distance[at])) for at in near[np.argsort(distance[near], kind="stable")]]


def apart_m(device: Device, lon: float | None, lat: float | None) -> float:
    """How far a place is from a device; infinite where either is not known."""
    if device.lon is None or device.lat is None or lon is None or lat is None:
        return math.inf
    east = (device.lon - lon) * math.cos(math.radians(lat))
    return math.hypot(east, device.lat - lat) * _METRES_A_DEGREE


def _device(row: tuple[Any, ...]) -> Device:
    key, device_id, family, district, area_code, tags, *rest = row
    return Device(key, device_id, family, district, area_code, tuple(tags), *rest)
