"""Frames of SL 651-2014 as a station writes them, and the centre's acknowledgements as it reads them. Its own code, so
that a mistake in the listener's is not repeated here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

HEARTBEAT, TIMED, ADDITIONAL, HOURLY = 0x2F, 0x32, 0x33, 0x34
NAMES = {HEARTBEAT: "heartbeat", TIMED: "timed", ADDITIONAL: "additional", HOURLY: "hourly"}
_HEAD = 14
_RIVER_STATION = b"\x48"


class Acknowledgement(NamedTuple):
    """What the centre has answered, and how: `end` is its control byte."""

    serial: int
    function: int
    end: int


def checksum(data: bytes) -> bytes:
    """CRC-16/Modbus, high byte first."""
    register = 0xFFFF
    for byte in data:
        register = STEPS[(register ^ byte) & 0xFF] ^ (register >> 8)
    return bytes(((register >> 8) & 0xFF, register & 0xFF))


def _after_eight_shifts(value: int) -> int:
    for _ in range(8):
        odd, value = value & 1, value >> 1
        value ^= 0xA001 * odd
    return value


STEPS = [_after_eight_shifts(value) for value in range(256)]
"""What eight shifts make of a byte, with the polynomial of Modbus."""


def digits(number: int, size: int) -> bytes:
    """`number` in BCD, `size` bytes of it."""
    return bytes.fromhex(f"{number:0{2 * size}d}")


def clock(at: datetime, fields: int) -> bytes:
    """The first fields of year, month, day, hour, minute, second."""
    return bytes.fromhex(at.strftime("%y%m%d%H%M%S")[: 2 * fields])


def frame(
    station: str, function: int, serial: int, sent: datetime, elements: bytes = b"", observed: bytes = b""
) -> bytes:
    """A whole frame upward. With `observed` (five digits' bytes) it says who and when before its elements."""
    text = serial.to_bytes(2, "big") + clock(sent, 6)
    if observed:
        text += b"\xf1\xf1" + bytes.fromhex(station) + _RIVER_STATION + b"\xf0\xf0" + observed
    text += elements
    head = b"\x7e\x7e\x01" + bytes.fromhex(station) + b"\x12\x34" + bytes((function,)) + len(text).to_bytes(2, "big")
    whole = head + b"\x02" + text + b"\x03"
    return whole + checksum(whole)


def rain_today(tenths_mm: int) -> bytes:
    return b"\x20\x19" + digits(tenths_mm, 3)


def rain_in_all(tenths_mm: int) -> bytes:
    return b"\x26\x19" + digits(tenths_mm, 3)


def level(millimetres: int) -> bytes:
    return b"\x39\x23" + digits(millimetres, 4)


def voltage(hundredths_v: int) -> bytes:
    return b"\x38\x12" + digits(hundredths_v, 2)


def rain_of_the_hour(tenths_mm: Iterable[int]) -> bytes:
    return b"\xf4\x60" + bytes(tenths_mm)


def levels_of_the_hour(centimetres: Iterable[int]) -> bytes:
    return b"\xf5\xc0" + b"".join(value.to_bytes(2, "big") for value in centimetres)


def read_acknowledgements(data: bytes) -> tuple[list[Acknowledgement], int]:
    """Those that are whole, and how many bytes they took. Raises ValueError where it is none."""
    found, at = [], 0
    while len(data) - at >= _HEAD:
        size = _HEAD + (int.from_bytes(data[at + 11 : at + 13], "big") & 0xFFF) + 3
        if data[at : at + 2] != b"\x7e\x7e" or data[at + 11] >> 4 != 8 or data[at + 13] != 2:
            raise ValueError(f"no acknowledgement: {data[at : at + 32].hex()}")
        if len(data) - at < size:
            break
        if checksum(data[at : at + size - 2]) != data[at + size - 2 : at + size]:
            raise ValueError(f"an acknowledgement with a wrong checksum: {data[at : at + size].hex()}")
        serial = int.from_bytes(data[at + _HEAD : at + _HEAD + 2], "big")
        found.append(Acknowledgement(serial, data[at + 10], data[at + size - 3]))
        at += size
    return found, at
