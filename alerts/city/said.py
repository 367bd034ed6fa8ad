"""Said: what is known of devices at a moment. Whoever judges several of them asks here, be that moment now (`Live`, on
what is committed) or one that has been (alerts/city/past.py): so the past is judged by the same code as the present.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from psycopg import sql

from alerts.city.devices import (
    Device,
    Newest,
    Places,
    Span,
    caught_up,
    devices_of,
    newest_of,
    rained,
    reaching,
    read_from,
    sources_of,
    spans_of,
)
from alerts.city.weather import Fall, Now, weather_now
from alerts.drainage.graph import DrainageGraph
from alerts.drainage.readings import Reading, load_readings
from alerts.rules.composite import CompositeRule, Input
from underfoot.families import FAMILIES, Family
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


class Said(Protocol):
    """`connection`: for what the registry, the ledger and the engine know, whatever the moment."""

    @property
    def connection(self) -> Connection: ...

    def asked(self, devices: Sequence[Device]) -> Sequence[Device]:
        """Those of them that are to be judged."""

    def devices(self, device_keys: Collection[int]) -> dict[int, Device]:
        """Of these, those that are in service."""

    def sources(
        self, places: Places, one: Input, rule: CompositeRule, devices: Mapping[int, Device]
    ) -> dict[int, list[int]]:
        """Whom an input asks about each device."""

    def reaching(self, family: Family, any_of: Iterable[sql.Composable], since: datetime) -> Sequence[int]:
        """Devices whose newest values may reach what a rule asks, heard since then."""

    def newest(self, family: Family, fields: Sequence[str], device_keys: Collection[int]) -> dict[int, Newest]: ...

    def spans(
        self, family: Family, field: str, span_s: float, device_keys: Collection[int], since: datetime
    ) -> dict[int, Span]:
        """Of devices heard since then."""

    def falls(self, device_keys: Collection[int], span_s: float, since: datetime) -> dict[int, list[Fall]]:
        """What fell at each rain gauge in the span up to its newest report, of gauges heard since then."""

    def levels(self, graph: DrainageGraph) -> list[Reading]: ...

    def weather(self) -> dict[str, Now]:
        """By district. One that is not in it is unknown."""

    def rained(self, since: datetime) -> set[str]:
        """Districts in which it rained at any time since then."""

    def caught_up(self) -> dict[str, int]: ...


class Live:
    """Now, by what is committed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def connection(self) -> Connection:
        return self._connection

    def asked(self, devices: Sequence[Device]) -> Sequence[Device]:
        return devices

    def devices(self, device_keys: Collection[int]) -> dict[int, Device]:
        return devices_of(self._connection, device_keys)

    def sources(
        self, places: Places, one: Input, rule: CompositeRule, devices: Mapping[int, Device]
    ) -> dict[int, list[int]]:
        return sources_of(self._connection, places, one, rule, devices)

    def reaching(self, family: Family, any_of: Iterable[sql.Composable], since: datetime) -> Sequence[int]:
        return reaching(self._connection, family, any_of, since)

    def newest(self, family: Family, fields: Sequence[str], device_keys: Collection[int]) -> dict[int, Newest]:
        return newest_of(self._connection, family, fields, device_keys)

    def spans(
        self, family: Family, field: str, span_s: float, device_keys: Collection[int], since: datetime
    ) -> dict[int, Span]:
        return spans_of(self._connection, family, field, span_s, device_keys, since)

    def falls(self, device_keys: Collection[int], span_s: float, since: datetime) -> dict[int, list[Fall]]:
        params: dict[str, Any] = {"device_keys": list(device_keys), "since": since, "span_s": span_s}
        params["oldest"] = read_from(self._connection, FAMILIES["rain"], span_s, params)
        found: dict[int, list[Fall]] = {}
        if params["oldest"] is not None:
            for key, ts, amount, intensity in self._connection.execute(statement("city.rainfall"), params):
                found.setdefault(key, []).append(Fall(microseconds(ts), amount, intensity))
        return found

    def levels(self, graph: DrainageGraph) -> list[Reading]:
        return load_readings(self._connection, graph)

    def weather(self) -> dict[str, Now]:
        return weather_now(self._connection)

    def rained(self, since: datetime) -> set[str]:
        return rained(self._connection, since)

    def caught_up(self) -> dict[str, int]:
        return caught_up(self._connection)
