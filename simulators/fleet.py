"""The fleet: every device of a roster reporting as its family does, through one evening or none.

    plan + profiles → messages in the order in which they are due → `misbehaviour` → `play`

Nothing here knows the real time: messages are made for seconds of the run, and a clock that is passed in dates them.
The same roster, plan, seed and clock give the same bytes.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from random import Random

from simulators.devices import Profile, profile
from simulators.message import Clock, Due, Message, encode
from simulators.plan import Befalling, Plan
from simulators.roster import RosterDevice

_SWITCHED_ON_WITHIN = 0.06
"""The part of a scenario's run in which every device reports for the first time."""

_IN_TIME = 0.8
_INTERVALS_ALLOWED = {"cover": 1.5}
"""How many of its expected intervals a device may be silent without being missed; 3 where it is not named. A low rate
stretches intervals, but never beyond `_IN_TIME` of that."""

_DAY_S = 86_400
_DUSK_S, _DAWN_S = 18.5 * 3600, 6 * 3600
_SHANGHAI_S = 8 * 3600
_SEQ_PER_S = 100
"""A device's seq begins with the clock, so that a fleet that is started again goes on counting upwards."""


class _Unit:
    """One device at work."""

    __slots__ = ("befalling", "device", "interval_s", "last_ms", "last_s", "profile", "seq", "topic")

    def __init__(self, device: RosterDevice, made: Profile, befalling: Befalling | None, seq: int | None) -> None:
        self.device = device
        self.profile = made
        self.befalling = befalling
        self.topic = device.topic.encode()
        self.interval_s = float(device.interval_s)
        self.seq = seq
        self.last_ms = 0
        self.last_s = 0.0


class Fleet:
    """`rate`: reports a second over the run, on average; without it every device keeps to the ledger's interval."""

    def __init__(
        self, roster: Sequence[RosterDevice], plan: Plan, *, seed: int, clock: Clock, rate: float | None = None
    ) -> None:
        self.plan = plan
        self.clock = clock
        self.random = Random(f"fleet {seed}")
        first_seq = clock(0.0) * _SEQ_PER_S // 1000
        self.units = [
            _Unit(
                device,
                profile(device, self.random),
                plan.befalling.get(device.device_id),
                first_seq if device.counts else None,
            )
            for device in roster
        ]
        self._set_intervals(rate)

    def messages(self) -> Iterator[Due]:
        """What the fleet sends, in order, until the run is over. Once: devices remember."""
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
            yield Due(at_s, self._report(unit, at_s, "event" if event else "heartbeat"))
            heapq.heappush(due, self._next(unit, number, at_s))

    def _first_reports(self) -> list[tuple[float, int, bool]]:
        due = []
        for number, unit in enumerate(self.units):
            within_s = unit.interval_s
            if self.plan.scenario is not None:
                within_s = min(within_s, _SWITCHED_ON_WITHIN * self.plan.seconds)
            due.append((self.random.uniform(0, within_s), number, False))
        heapq.heapify(due)
        return due

    def _next(self, unit: _Unit, number: int, at_s: float) -> tuple[float, int, bool]:
        """When this device reports again: at its interval, or at once where something happens to it before that."""
        interval_s = unit.interval_s * self.random.uniform(0.95, 1.0)
        if self.plan.wet(at_s):
            interval_s *= unit.profile.wet_interval
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

    def _report(self, unit: _Unit, at_s: float, kind: str) -> Message:
        now_ms = self.clock(at_s)
        around = self.plan.surroundings(at_s, _night(now_ms))
        forced = unit.befalling.forced(at_s) if unit.befalling is not None else {}
        values = unit.profile.report(around, forced, at_s - unit.last_s)
        ts_ms = max(now_ms, unit.last_ms + 1)
        unit.last_ms, unit.last_s = ts_ms, at_s
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
        weights = sum((1 - wet + wet / unit.profile.wet_interval) / math.sqrt(unit.interval_s) for unit in self.units)
        for unit in self.units:
            longest_s = unit.interval_s * _INTERVALS_ALLOWED.get(unit.device.family, 3.0) * _IN_TIME
            unit.interval_s = min(math.sqrt(unit.interval_s) * weights / ordinary, longest_s)


def _night(now_ms: int) -> bool:
    time_of_day_s = (now_ms / 1000 + _SHANGHAI_S) % _DAY_S
    return time_of_day_s >= _DUSK_S or time_of_day_s < _DAWN_S
