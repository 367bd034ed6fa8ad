"""Past: what was said until a moment that has been, moment after moment, as if every report had come when it was true.

Stored reports are read piece by piece and take effect at their own time. Only a device whose clock is behind in all
that it says, by more than an hour, is believed by when its reports came: that is a wrong clock, and no lateness.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from psycopg import sql

from alerts.city.devices import Device, Newest, Places, Span, caught_up, devices_of, sources_of
from alerts.city.weather import Districts, Fall, Falls, Now, Verdict, wettest
from alerts.drainage.graph import DrainageGraph
from alerts.drainage.readings import Reading, reading_of
from alerts.history.stored import Devices, stored_reports
from alerts.judge.outcome import RuleInForce
from alerts.rules.composite import CompositeRule, Input
from alerts.rules.weather import Weather, WeatherRule
from underfoot.families import FAMILIES, Family
from underfoot.reports import NO_SEQ, TRUSTED_PAST_US, microseconds, moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_WRONG_CLOCK_US = 3_600_000_000
_NEVER = 2**63 - 1
_PIECE_ROWS = 4_000
_PIECE_US = (900_000_000, 6 * 3_600_000_000)


@dataclass(frozen=True)
class Asked:
    """Of whom is judged, and who is asked about it: by family their fields, and their devices. `window_s`: how long
    before a moment what counts at it may have been said. `followed`: fields of which whole spans are asked."""

    subjects: frozenset[int]
    devices: Mapping[str, frozenset[int]]
    fields: Mapping[str, frozenset[str]]
    window_s: float
    followed: frozenset[tuple[str, str]] = frozenset()
    districts: frozenset[str] = frozenset()

    def together(self, other: Asked) -> Asked:
        names = self.devices.keys() | other.devices.keys()
        none: frozenset[Any] = frozenset()
        return Asked(
            self.subjects | other.subjects,
            {name: self.devices.get(name, none) | other.devices.get(name, none) for name in names},
            {name: self.fields.get(name, none) | other.fields.get(name, none) for name in names},
            max(self.window_s, other.window_s),
            self.followed | other.followed,
            self.districts | other.districts,
        )


@dataclass(order=True, slots=True)
class _Word:
    """One report, and from when on it counts."""

    counts_us: int
    ts_us: int
    order: int
    received_us: int = field(compare=False)
    family: str = field(compare=False)
    device_key: int = field(compare=False)
    values: dict[str, Any] = field(compare=False)
    substituted: bool = field(compare=False)


@dataclass(slots=True)
class _Known:
    """What a device has said so far: its newest values, and the course of what is followed."""

    ts_us: int
    counts_us: int
    received_us: int
    values: dict[str, Any] = field(default_factory=dict)
    courses: dict[str, tuple[list[int], list[Any]]] = field(default_factory=dict)


_SILENT = _Known(0, 0, 0)


class Past:
    """A `Said` of moments that have been; `at` moves it on to the next, never back."""

    def __init__(
        self,
        connection: Connection,
        asked: Asked,
        weather: Sequence[RuleInForce],
        districts: Districts,
        *,
        from_us: int,
        grid_us: int,
    ) -> None:
        """Moments begin at `from_us`, and are no closer to each other than `grid_us`."""
        self._connection = connection
        self._asked = asked
        self._weather_rules = weather if asked.districts else ()
        self._districts = districts
        self._grid_us = grid_us
        self._from_us = from_us
        self.read_until_us = from_us - int(asked.window_s * 1e6)
        self._now_us = from_us
        self._waiting: list[_Word] = []
        self._coming: list[_Word] = []
        self._wakes: list[int] = []
        self._known: dict[str, dict[int, _Known]] = {name: {} for name in asked.devices}
        self._behind_us: dict[int, int] = {}
        self._speaking: set[int] = set()
        self._uncounted: set[int] = set()
        self._registry: dict[int, Device] = {}
        self._sources: dict[tuple[int, int], list[int]] = {}
        self._readings: dict[int, Reading] | None = None
        self._graph: DrainageGraph | None = None
        self._weather: dict[str, Now] = {}
        self._wet: dict[str, list[tuple[int, bool]]] = {}
        self._caught_up: dict[str, int] = {}
        self._look_at_clocks()

    # moving on ------------------------------------------------------------------------------------------------------

    def moments(self, until_us: int) -> Iterator[int]:
        """Every moment at which something is said, until then; at each, `come` is to be called before it goes on."""
        piece_us = self._piece_us()
        self._caught_up = caught_up(self._connection)
        while self.read_until_us < until_us:
            end_us = min(self.read_until_us + piece_us, until_us)
            self._read(self.read_until_us, end_us)
            self.read_until_us = end_us
            yield from self._through(end_us)

    def _through(self, until_us: int) -> Iterator[int]:
        while (first_us := self._first_us()) <= until_us:
            end_us = min(first_us + self._grid_us - 1, until_us)
            while self._waiting and self._waiting[0].counts_us <= end_us:
                self._coming.append(heapq.heappop(self._waiting))
            yield self._coming[-1].counts_us if self._coming else first_us

    def _first_us(self) -> int:
        """When the next report counts, or the next gauge may have lost its say."""
        words = (self._waiting[0].counts_us,) if self._waiting else ()
        return min(*words, *self._wakes[:1], _NEVER, _NEVER)

    def come(self, at_us: int) -> bool:
        """It is that moment, and what is said at it is said. Whether there is anything to judge by that."""
        self.at(at_us)
        coming, self._coming = self._coming, []
        for word in coming:
            self._hear(word)
        gone = False
        while self._wakes and self._wakes[0] <= at_us:
            gone = self._silent_since(heapq.heappop(self._wakes)) or gone
        if gone or any(word.family == "rain" for word in coming):
            self._judge_weather()
        return at_us >= self._from_us and (gone or bool(coming))

    def at(self, at_us: int) -> None:
        """Nothing more is said until then."""
        self._now_us = max(at_us, self._now_us)

    def received_us(self, ts_us: int) -> int | None:
        """When the newest report of that time came; None: nobody's newest report is of that time."""
        return next(
            (one.received_us for known in self._known.values() for one in known.values() if one.ts_us == ts_us), None
        )

    def uncounted(self, device_keys: Collection[int]) -> set[int]:
        """Those of them that do not number their reports: what they say late may also be a clock that was set back."""
        return self._uncounted.intersection(device_keys)

    def _hear(self, word: _Word) -> None:
        known = self._known[word.family].get(word.device_key)
        if known is None:
            known = self._known[word.family][word.device_key] = _Known(word.ts_us, word.counts_us, word.received_us)
        if word.ts_us < known.ts_us and not word.substituted:
            return
        known.ts_us, known.counts_us, known.received_us = word.ts_us, word.counts_us, word.received_us
        known.values |= word.values
        for name, value in word.values.items():
            if (word.family, name) in self._asked.followed:
                times, values = known.courses.setdefault(name, ([], []))
                while times and times[-1] > word.ts_us:  # of a clock that was ahead
                    times.pop()
                    values.pop()
                times.append(word.ts_us)
                values.append(value)
        if self._readings is not None:
            self._readings.pop(word.device_key, None)
        if word.family == "rain":
            for each in self._weather_rules:
                if isinstance(each.rule, WeatherRule):
                    heapq.heappush(self._wakes, word.counts_us + int(each.rule.max_age_s * 1e6) + 1)

    def _silent_since(self, at_us: int) -> bool:
        """Whether a rain gauge has lost its say just then."""
        ages = {int(each.rule.max_age_s * 1e6) for each in self._weather_rules if isinstance(each.rule, WeatherRule)}
        return any(at_us - one.counts_us - 1 in ages for one in self._known.get("rain", {}).values())

    # reading --------------------------------------------------------------------------------------------------------

    def _piece_us(self) -> int:
        devices = sum(len(keys) for keys in self._asked.devices.values())
        return int(min(max(_PIECE_ROWS / max(devices, 1) * 300e6, _PIECE_US[0]), _PIECE_US[1]))

    def _look_at_clocks(self) -> None:
        """Whose newest report came long after its time is read from so much earlier on, to tell what is wrong."""
        for name, keys in self._asked.devices.items():
            query = sql.SQL(statement("city.clocks")).format(latest=sql.Identifier(FAMILIES[name].latest_table))
            rows = self._connection.execute(query, {"device_keys": list(keys)}).fetchall()
            self._speaking.update(key for key, _, _ in rows)
            late_us = {key: microseconds(received_at) - microseconds(ts) for key, ts, received_at in rows}
            behind_us = {key: min(us, TRUSTED_PAST_US) for key, us in late_us.items() if us > _WRONG_CLOCK_US}
            if behind_us:
                self._behind_us |= behind_us
                earlier_us = self.read_until_us - max(behind_us.values())
                self._take(FAMILIES[name], frozenset(behind_us), earlier_us, self.read_until_us)

    def _read(self, from_us: int, until_us: int) -> None:
        for name, keys in self._asked.devices.items():
            if keys:
                self._take(FAMILIES[name], keys, from_us, until_us)

    def _take(self, family: Family, keys: frozenset[int], from_us: int, until_us: int) -> None:
        """[from, until) of event time; into what waits to be heard."""
        fields = sorted(self._asked.fields.get(family.name, ()))
        devices = Devices(np.array(sorted(keys), np.int32))
        reports = stored_reports(self._connection, family, devices, from_us, until_us, fields)
        came_us: dict[int, int] = {}
        for row in range(len(reports) - 1, -1, -1):
            key, ts_us, received_us = (
                int(reports.device_key[row]),
                int(reports.ts_us[row]),
                int(reports.received_us[row]),
            )
            came_us[key] = min(received_us, came_us.get(key, received_us))
            if key in self._behind_us:
                self._behind_us[key] = min(self._behind_us[key], max(received_us - ts_us, 0))
            if reports.seq[row] == NO_SEQ:
                self._uncounted.add(key)
            substituted = bool(reports.substituted[row])
            # In order, it would have come at the latest when a later one did; but for a time that is its receipt.
            counts_us = received_us if substituted else came_us[key]
            word = _Word(counts_us, ts_us, row, received_us, family.name, key, reports.values[row], substituted)
            self._waiting.append(word)
        for word in self._waiting:
            if word.family == family.name:
                behind_us = self._behind_us.get(word.device_key, 0)
                behind_us = behind_us if behind_us > _WRONG_CLOCK_US else 0
                word.counts_us = min(word.counts_us, word.ts_us + behind_us)
        heapq.heapify(self._waiting)

    # what was said --------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        return self._connection

    def asked(self, devices: Sequence[Device]) -> Sequence[Device]:
        return [device for device in devices if device.device_key in self._asked.subjects]

    def devices(self, device_keys: Collection[int]) -> dict[int, Device]:
        unknown = [key for key in device_keys if key not in self._registry]
        if unknown:
            self._registry |= devices_of(self._connection, unknown)
        return {key: self._registry[key] for key in device_keys if key in self._registry}

    def sources(
        self, places: Places, one: Input, rule: CompositeRule, devices: Mapping[int, Device]
    ) -> dict[int, list[int]]:
        missing = {key: device for key, device in devices.items() if (id(one), key) not in self._sources}
        if missing:
            found = sources_of(self._connection, places, one, rule, missing)
            self._sources |= {(id(one), key): keys for key, keys in found.items()}
        return {key: self._sources[id(one), key] for key in devices}

    def reaching(self, family: Family, any_of: Iterable[sql.Composable], since: datetime) -> Sequence[int]:
        return sorted(self._asked.subjects)

    def newest(self, family: Family, fields: Sequence[str], device_keys: Collection[int]) -> dict[int, Newest]:
        known = self._known.get(family.name, {})
        return {
            key: Newest(one.ts_us, one.counts_us, {name: one.values.get(name) for name in fields})
            for key in device_keys
            if (one := known.get(key)) is not None
        }

    def spans(
        self, family: Family, field: str, span_s: float, device_keys: Collection[int], since: datetime
    ) -> dict[int, Span]:
        found: dict[int, Span] = {}
        for key, one in self._heard(family.name, device_keys, since):
            times, values = one.courses.get(field, ([], []))
            first = bisect_right(times, one.ts_us - int(span_s * 1e6))
            if first < len(times):
                said = [float(value) for value in values[first:]]
                lasted_us = times[-1] - times[first]
                found[key] = Span(
                    one.ts_us, one.counts_us, said[0], said[-1], min(said), max(said), len(said), lasted_us
                )
        return found

    def falls(self, device_keys: Collection[int], span_s: float, since: datetime) -> dict[int, list[Fall]]:
        found: dict[int, list[Fall]] = {}
        for key, one in self._heard("rain", device_keys, since):
            amounts, intensities = (one.courses.get(name, ([], [])) for name in ("amount_mm", "intensity_mm_h"))
            after_us = one.ts_us - int(span_s * 1e6)
            fallen = dict(_after(amounts, after_us))
            how_hard = dict(_after(intensities, after_us))
            times = sorted(fallen.keys() | how_hard.keys())
            if times:
                found[key] = [Fall(at, fallen.get(at), how_hard.get(at)) for at in times]
        return found

    def levels(self, graph: DrainageGraph) -> list[Reading]:
        """Of a pipe's gauge that has spoken before what is asked of, that it says nothing."""
        if self._readings is None or graph is not self._graph:
            self._readings, self._graph = {}, graph
        for name in ("pipe", "cover"):
            known = self._known.get(name, {})
            speaking = self._speaking & self._asked.devices.get(name, frozenset()) if name == "pipe" else known.keys()
            for key, device in self.devices(speaking - self._readings.keys()).items():
                if device.asset_key not in graph:
                    continue
                one = known.get(key, _SILENT)
                rim_m = graph.nodes[device.asset_key].rim_m
                if name == "cover" and (rim_m is None or "water_below_rim_m" not in one.values):
                    continue
                self._readings[key] = reading_of(graph, device.asset_key, name, one.values, one.ts_us, key)
        return [self._readings[key] for key in sorted(self._readings)]

    def weather(self) -> dict[str, Now]:
        return self._weather

    def rained(self, since: datetime) -> set[str]:
        since_us = microseconds(since)
        return {
            district
            for district, history in self._wet.items()
            if any(
                wet and (history[place + 1][0] if place + 1 < len(history) else math.inf) > since_us
                for place, (_, wet) in enumerate(history)
            )
        }

    def caught_up(self) -> dict[str, int]:
        return {shard: min(at_us, self._now_us) for shard, at_us in self._caught_up.items()}

    def _heard(self, family: str, device_keys: Collection[int], since: datetime) -> Iterator[tuple[int, _Known]]:
        since_us, known = microseconds(since), self._known.get(family, {})
        return ((key, known[key]) for key in device_keys if key in known and known[key].counts_us > since_us)

    def _judge_weather(self) -> None:
        """As the step of that name has it, of the districts that are asked."""
        districts, falls = sorted(self._asked.districts), Falls()
        said: dict[str, list[Verdict]] = {district: [] for district in districts}
        for each in self._weather_rules:
            for district, verdict in self._districts.says(self, each, districts, falls, moment(self._now_us)):
                said[district].append(verdict)
        for district, verdicts in said.items():
            state = wettest([one.state for one in verdicts])
            if district not in self._weather or self._weather[district].state is not state:
                self._weather[district] = Now(state, self._now_us)
                wet = state in (Weather.wet, Weather.storm)
                self._wet.setdefault(district, []).append((self._now_us, wet))


def _after(course: tuple[list[int], list[Any]], after_us: int) -> Iterator[tuple[int, Any]]:
    times, values = course
    first = bisect_right(times, after_us)
    return zip(times[first:], values[first:], strict=True)
