"""A station's life in five-minute steps: rain falls, water rises and drains, and it reports as stations do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from random import Random
from typing import NamedTuple

from simulators.stations import frames

STEP = timedelta(minutes=5)
CHINA = timezone(timedelta(hours=8))
_HOUR = 12
_RISE_MM = 100


def lives_from(now: datetime, steps: int) -> datetime:
    """The full hour from which `steps` lead to now at the latest."""
    began = now - steps * STEP
    return began.replace(minute=0, second=0, microsecond=0)


class Sent(NamedTuple):
    """A frame, and what must come of it: reports of rain and of level, and the rain in tenths of a millimetre."""

    data: bytes
    function: int
    serial: int
    rain_reports: int = 0
    level_reports: int = 0
    tenths_mm: int = 0


class Station:
    """One station. The same seed, number and beginning give the same frames."""

    def __init__(self, number: str, begins: datetime, steps: int, seed: int) -> None:
        self.number = number
        self._begins = begins
        self._steps = steps
        self._random = Random(f"{seed} {number}")
        self._serial = self._random.randrange(1, 60_000)
        self._in_all = self._random.randrange(0, 50_000)
        self._today = 0
        self._water_mm = self._random.randrange(200, 2_000)
        self._volts = self._random.uniform(12.0, 12.9)
        self._shower = self._random.uniform(0.1, 0.6) * steps

    def life(self) -> Iterator[Sent]:
        """Every step a timed report; additional ones while water rises fast; at each hour that of the hour."""
        rain, levels = [], []
        for step in range(1, self._steps + 1):
            at = self._begins + step * STEP
            fallen, before = self._rain(step), self._water_mm
            self._water_mm = max(self._water_mm + 25 * fallen - self._random.randrange(0, 40), 0)
            self._in_all = (self._in_all + fallen) % 1_000_000
            self._today = fallen if at.hour == 8 and at.minute == 0 else self._today + fallen
            rain.append(fallen)
            levels.append(self._water_mm // 10)
            if self._water_mm - before >= _RISE_MM:
                yield self._now(frames.ADDITIONAL, at - STEP / 2, before + (self._water_mm - before) // 2)
            yield self._now(frames.TIMED, at, self._water_mm)
            if step % _HOUR == 0:
                yield self._hour(at, rain[-_HOUR:], levels[-_HOUR:])
            if step % 4 == 0:
                yield Sent(self._frame(frames.HEARTBEAT, at), frames.HEARTBEAT, self._serial)

    def _rain(self, step: int) -> int:
        """Tenths of a millimetre, in tips of 0.5."""
        strength = math.exp(-(((step - self._shower) / 6) ** 2))
        return min(5 * int(self._random.uniform(0, 12) * strength), 250)

    def _now(self, function: int, at: datetime, water_mm: int) -> Sent:
        elements = frames.rain_today(self._today) + frames.rain_in_all(self._in_all)
        elements += frames.level(water_mm) + frames.voltage(round(self._volts * 100))
        observed = at.replace(second=0)
        return Sent(self._report(function, observed, observed, elements), function, self._serial, 1, 1)

    def _hour(self, at: datetime, rain: list[int], levels: list[int]) -> Sent:
        """Its times are those of its first value and its last, as seen in the field; of the level now it says what
        the timed report has said."""
        elements = frames.rain_of_the_hour(rain)
        elements += b"\xf0\xf0" + frames.clock(at, 5) + frames.rain_in_all(self._in_all)
        elements += b"\xf0\xf0" + frames.clock(at - 11 * STEP, 5) + frames.levels_of_the_hour(levels)
        elements += b"\xf0\xf0" + frames.clock(at, 5) + frames.level(self._water_mm)
        elements += frames.voltage(round(self._volts * 100))
        data = self._report(frames.HOURLY, at - 11 * STEP, at, elements)
        return Sent(data, frames.HOURLY, self._serial, 13, 12, sum(rain))

    def _report(self, function: int, observed: datetime, sent: datetime, elements: bytes) -> bytes:
        self._serial = self._serial % 65_535 + 1
        return self._frame(function, sent + timedelta(seconds=10), elements, frames.clock(observed, 5))

    def _frame(self, function: int, sent: datetime, elements: bytes = b"", observed: bytes = b"") -> bytes:
        return frames.frame(self.number, function, self._serial, sent, elements, observed)
