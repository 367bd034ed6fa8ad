"""The fleet: every device of a roster reporting as its family does, through one evening or none.

    plan → when each device reports → stage → profiles → messages, in order → `misbehaviour` → `play`

Nothing here knows the real time: messages are made for seconds of the run, and a clock that is passed in dates them.
The same roster, plan, seed and clock give the same bytes.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np

from simulators.daylight import air_c_at, burning, dark_at, hour_of
from simulators.devices import Profiles, sighted
from simulators.message import Clock, Due, Message, encode
from simulators.plan import Befalling, Plan
from simulators.roster import RosterDevice
from simulators.site import Circumstances
from simulators.stage import Stage

_SWITCHED_ON_WITHIN = 0.06
"""The part of a rehearsal in which every device reports for the first time."""

_IN_TIME = 0.8
_INTERVALS_ALLOWED = {"cover": 1.5}
"""How many of its expected intervals a device may be silent without being missed; 3 where it is not named. A low rate
stretches intervals, but never beyond `_IN_TIME` of that."""

_WET_INTERVAL = {"road": 1 / 15, "pipe": 1 / 3, "rain": 1 / 5}
"""A family's interval in rain, as a share of the dry one."""

_TOGETHER = 1024
"""So many reports are measured at once: profiles work in columns."""
_SEQ_PER_S = 100
"""A device's seq begins with the clock, so that a fleet that is started again goes on counting upwards."""


class _Unit:
    """One device at work."""

    __slots__ = (
        "befalling",
        "device",
        "fallen_mm",
        "interval_s",
        "last_ms",
        "last_s",
        "lit_h",
        "reports",
        "seq",
        "topic",
        "wet_interval",
    )

    def __init__(self, device: RosterDevice, befalling: Befalling | None, seq: int | None) -> None:
        self.device = device
        self.wet_interval = _WET_INTERVAL.get(device.family, 1.0)
        self.befalling = befalling
        self.topic = device.topic.encode()
        self.interval_s = float(device.interval_s)
        self.seq = seq
        self.last_ms = 0
        self.last_s = self.lit_h = self.fallen_mm = 0.0
        self.reports = 0


class Fleet:
    """`rate`: reports a second over the run, on average; without it every device keeps to the ledger's interval."""

    def __init__(
        self, roster: Sequence[RosterDevice], plan: Plan, *, seed: int, clock: Clock, rate: float | None = None
    ) -> None:
        self.plan = plan
        self.clock = clock
        self.random = Random(f"fleet {seed}")
        self.stage = Stage(roster, seed)
        self.profiles = Profiles(self.stage.sites, seed)
        first_seq = clock(0.0) * _SEQ_PER_S // 1000
        self.units = [
            _Unit(
                device,
                plan.befalling.get(device.device_id),
                first_seq if device.counts else None,
            )
            for device in roster
        ]
        self._set_intervals(rate)

    def messages(self) -> Iterator[Due]:
        """What the fleet sends, in order, until the run is over. Once: devices remember."""
        moments = self._moments()
        while block := list(itertools.islice(moments, _TOGETHER)):
            yield from self._measured(block)

    def _moments(self) -> Iterator[tuple[float, int, bool]]:
        """When which device reports, and whether because something happened to it: in order."""
        due = self._first_reports()
        seconds = self.plan.seconds
        while due:
            at_s, number, event = heapq.heappop(due)
            if at_s >= seconds:
                return
            unit = self.units[number]
            if unit.befalling is not None and unit.befalling.silent(at_s):
                heapq.heappush(due, (unit.befalling.until_s, number, False))
                continue
            yield at_s, number, event
            heapq.heappush(due, self._next(unit, number, at_s))

    def _first_reports(self) -> list[tuple[float, int, bool]]:
        due = []
        for number, unit in enumerate(self.units):
            within_s = unit.interval_s
            if self.plan.rehearsal is not None:
                within_s = min(within_s, _SWITCHED_ON_WITHIN * self.plan.seconds)
            due.append((self.random.uniform(0, within_s), number, False))
        heapq.heapify(due)
        return due

    def _next(self, unit: _Unit, number: int, at_s: float) -> tuple[float, int, bool]:
        """When this device reports again: at its interval, or at once where something happens to it before that."""
        interval_s = unit.interval_s * self.random.uniform(0.95, 1.0)
        if self.plan.wet(at_s):
            interval_s *= unit.wet_interval
        befalling = unit.befalling
        if befalling is None:
            return at_s + interval_s, number, False
        if befalling.every_s is not None and befalling.watched(at_s):
            interval_s = min(interval_s, befalling.every_s)
        if not befalling.hazard.silent:
            for moment_s in (befalling.begins_s, befalling.until_s):
                if at_s < moment_s <= at_s + interval_s:
                    return moment_s, number, True
        return at_s + interval_s, number, False

    def _measured(self, block: list[tuple[float, int, bool]]) -> Iterator[Due]:
        hours = np.array([hour_of(self.clock(at_s)) for at_s, _, _ in block])
        air_c, nights = air_c_at(hours).tolist(), dark_at(hours).tolist()
        seen: list[tuple[int, Circumstances]] = []
        for (at_s, number, _), hour, air, night in zip(block, hours.tolist(), air_c, nights, strict=True):
            befalling = self.units[number].befalling
            scripted = befalling.forced(at_s) if befalling is not None else {}
            seen.append((number, self.stage.around(number, at_s, hour, air, self.plan.storm(at_s, night), scripted)))
        light = burning(hours, np.array([around.dark for _, around in seen])).tolist()
        fallen_before_mm, lit_h, transmissions = [], [], []
        for (number, around), share in zip(seen, light, strict=True):
            unit = self.units[number]
            fallen_before_mm.append(unit.fallen_mm)
            unit.fallen_mm = around.fallen_mm
            unit.lit_h += share * (around.at_s - unit.last_s) / 3600
            lit_h.append(unit.lit_h)
            unit.last_s = around.at_s
            unit.reports += 1
            transmissions.append(unit.reports)
        said = self.profiles.report(
            sighted(seen, fallen_before_mm=fallen_before_mm, lit_h=lit_h, transmissions=transmissions)
        )
        for (at_s, number, event), values in zip(block, said, strict=True):
            yield Due(at_s, self._message(self.units[number], at_s, values, "event" if event else "heartbeat"))

    def _message(self, unit: _Unit, at_s: float, values: dict[str, object], kind: str) -> Message:
        ts_ms = max(self.clock(at_s), unit.last_ms + 1)
        unit.last_ms = ts_ms
        if unit.seq is not None:
            unit.seq += 1
        payload = encode(ts_ms, unit.seq, values, as_text=unit.device.time_as_text)
        return Message(unit.device.device_id, unit.topic, payload, kind)

    def _set_intervals(self, rate: float | None) -> None:
        """Shares of the rate go by 1/√interval, so that a cover that speaks once a day is also heard."""
        if rate is None:
            for unit in self.units:
                unit.interval_s *= _IN_TIME
            return
        if not rate > 0:
            raise ValueError(f"rate: {rate}; reports a second, above 0")
        watching = sum(unit.befalling.watched_reports for unit in self.units if unit.befalling is not None)
        ordinary = max(rate - watching / self.plan.seconds, 0.1 * rate)
        wet = self.plan.wet_share
        weights = sum((1 - wet + wet / unit.wet_interval) / math.sqrt(unit.interval_s) for unit in self.units)
        for unit in self.units:
            longest_s = unit.interval_s * _INTERVALS_ALLOWED.get(unit.device.family, 3.0) * _IN_TIME
            unit.interval_s = min(math.sqrt(unit.interval_s) * weights / ordinary, longest_s)
