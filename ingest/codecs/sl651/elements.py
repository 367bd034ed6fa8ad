"""What stands in the text of a report: observation times and elements (要素), each under its own code.

An element is code, definition (high five bits: bytes; low three: decimals) and BCD digits; negative where FF stands
before them; all FF or AA: the station has no value. FF before a code: the maker's own element. Verified on published
frames, as are the five-minute series of the past hour (F4: 12 bytes of 0.1 mm, F5 to FC: 12 × 2 bytes of 0.01 m, in
binary; FF: no value), the observation time before such a series, which is that of its first value, and the uniform
series after a time step (04 18).
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import NamedTuple

CHINA = timezone(timedelta(hours=8))
"""Without daylight saving since 1991: what a station's clock shows."""

STATION, OBSERVED, TEXT, PICTURE = 0xF1, 0xF0, 0xF2, 0xF3
RAIN_SERIES = 0xF4
LEVEL_SERIES = range(0xF5, 0xFD)
STEP, VOLTAGE, STATUS = 0x04, 0x38, 0x45
_OWN = 0xFF
_FIVE_MINUTES = timedelta(minutes=5)

UNITS: dict[str, str] = (
    dict.fromkeys(("02", "03", "0D"), "℃")
    | {"0E": "m", "F4": "mm", "38": "V"}
    | {f"{code:02X}": "mm" for code in range(0x1A, 0x27)}
    | {f"{code:02X}": "m³/s" for code in range(0x27, 0x32)}
    | {"36": "m/s", "37": "m/s"}
    | {f"{code:02X}": "m" for code in range(0x39, 0x44)}
    | {f"{code:02X}": "m" for code in LEVEL_SERIES}
)
"""By element code: the unit of those that a family's field can take."""


class Reading(NamedTuple):
    """One value of one element. `at`: when it was observed; text where that is no time, None where nothing says it."""

    element: str
    at: datetime | str | None
    value: Decimal | str
    """Text: as hexadecimal, where it is no number."""
    series: bool = False


class Contents(NamedTuple):
    readings: list[Reading]
    left: bytes
    """From where it could not be read on."""
    why: str
    """Why that could not be read; empty: nothing is left."""


def read_time(digits: bytes) -> datetime | str:
    """yyMMddHHmm[ss] in BCD, by China's clocks; the digits as they came where that is no time."""
    text = digits.hex()
    try:
        year, *rest = (int(text[at : at + 2]) for at in range(0, len(text), 2))
        return datetime(2000 + year, *rest, tzinfo=CHINA)  # type: ignore[misc, arg-type]
    except ValueError:
        return text


def observation(text: bytes) -> bytes:
    """The five bytes of the first observation time of a report's text; empty where there is none."""
    for at in (0, 8):
        if text[at : at + 2] == bytes((OBSERVED, OBSERVED)) and len(text) >= at + 7:
            return text[at + 2 : at + 7]
    return b""


def read_elements(text: bytes) -> Contents:
    """Every reading in it, in its order. What cannot be read is left from there on; it never raises."""
    return _Reader(text).read()


class _UnreadableError(ValueError):
    pass


class _Reader:
    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0
        self.observed: datetime | str | None = None
        self.step: timedelta | None = None
        self.readings: list[Reading] = []

    def read(self) -> Contents:
        while self.at < len(self.text):
            begun = self.at
            try:
                self._one()
            except _UnreadableError as problem:
                self._voltage_at_the_end(begun)
                return Contents(self.readings, self.text[begun:], f"byte {begun}: {problem}")
        return Contents(self.readings, b"", "")

    def _one(self) -> None:
        code = self._take(1)[0]
        name = f"{code:02X}"
        if code == _OWN:
            name += self._take(1).hex().upper()
        definition = self._take(1)[0]
        if code == STATION == definition:
            self._take(5)
            # The station's class follows its address, but for where another lead-in does.
            if self.text[self.at : self.at + 2] not in (b"", bytes((OBSERVED, OBSERVED))):
                self._take(1)
        elif code == OBSERVED == definition:
            self.observed, self.step = read_time(self._take(5)), None
        elif code in (TEXT, PICTURE) and code == definition:
            raise _UnreadableError("a text typed by hand" if code == TEXT else "a picture")
        elif code == STEP and definition == 0x18:
            self._set_step(self._take(3))
        elif self.step is not None:
            self._uniform(name, definition)
        elif code == RAIN_SERIES:
            self._past_hour(name, definition, 1)
        elif code in LEVEL_SERIES:
            self._past_hour(name, definition, 2)
        else:
            self._plain(name, definition, self._take(definition >> 3))

    def _take(self, size: int) -> bytes:
        taken = self.text[self.at : self.at + size]
        if len(taken) < size:
            raise _UnreadableError(f"{size} bytes announced, {len(taken)} there")
        self.at += size
        return taken

    def _plain(self, name: str, definition: int, digits: bytes) -> None:
        if not digits:
            raise _UnreadableError(f"element {name} of no bytes")
        if name == f"{STATUS:02X}":
            self.readings.append(Reading(name, self.observed, digits.hex().upper()))
        elif (value := _number(digits, definition & 7)) is not None:
            self.readings.append(Reading(name, self.observed, value))

    def _past_hour(self, name: str, definition: int, size: int) -> None:
        """Twelve values, five minutes apart."""
        if definition >> 3 != 12 * size:
            raise _UnreadableError(f"element {name} of {definition >> 3} bytes, not {12 * size}")
        data = self._take(12 * size)
        first = self._series_begins()
        if first.minute == 0:
            # Said to be observed on the hour: the hour that ends there.
            first -= 11 * _FIVE_MINUTES
        for place in range(12):
            value = int.from_bytes(data[size * place : size * (place + 1)])
            if value != (1 << 8 * size) - 1:
                at = first + place * _FIVE_MINUTES
                self.readings.append(Reading(name, at, Decimal(value).scaleb(-size), series=True))

    def _series_begins(self) -> datetime:
        if not isinstance(self.observed, datetime):
            raise _UnreadableError(f"a series observed at {self.observed}")
        return self.observed

    def _set_step(self, step: bytes) -> None:
        try:
            days, hours, minutes = (int(f"{part:02X}") for part in step)
        except ValueError:
            # Binary rather than BCD, as one maker has it.
            days, hours, minutes = step
        self.step = timedelta(days=days, hours=hours, minutes=minutes) or None

    def _uniform(self, name: str, definition: int) -> None:
        """One element's values to the end of the text, a step apart; the voltage may stand after them."""
        size, step = definition >> 3, self.step
        rest = len(self.text) - self.at
        if step is None or not size or f"{definition:02X}" == name:
            raise _UnreadableError(f"element {name} {definition:02X} in a uniform series")
        ends_in_voltage = rest > 4 and (rest - 4) % size == 0 and self._voltage_ends()
        if not ends_in_voltage and rest % size:
            raise _UnreadableError(f"{rest} bytes for values of {size} bytes each of element {name}")
        first, place = self._series_begins(), 0
        while len(self.text) - self.at > 4 * ends_in_voltage:
            value = _number(self._take(size), definition & 7)
            if value is not None:
                self.readings.append(Reading(name, first + place * step, value, series=True))
            place += 1
        self.step = None

    def _voltage_ends(self) -> bool:
        return self.text[-4:-2] == b"\x38\x12" and self.text[-2:].hex().isdecimal()

    def _voltage_at_the_end(self, begun: int) -> None:
        """It says how the station is, whatever stands before it that cannot be read."""
        if len(self.text) - begun > 4 and self._voltage_ends():
            self.readings.append(Reading("38", self.observed, Decimal(self.text[-2:].hex()).scaleb(-2)))


def _number(digits: bytes, decimals: int) -> Decimal | str | None:
    """None: the station has no value."""
    if digits.count(0xFF) == len(digits) or digits.count(0xAA) == len(digits):
        return None
    text = digits.hex()
    sign = ""
    if text.startswith("ff"):
        sign, text = "-", text[2:]
    return Decimal(sign + text).scaleb(-decimals) if text.isdecimal() else digits.hex().upper()
