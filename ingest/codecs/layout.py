"""Binary messages of a fixed layout, as a mapping declares it: which bytes are which field, how a frame is proven.

A Modbus RTU reply is one: a sensor on RS-485 behind a transparent DTU.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ingest.codecs.checksums import crc16_modbus
from ingest.codecs.conversions import Strict
from ingest.reasons import Rejection

MOST_BYTES = 4096
_SIZES = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u24": 3, "i24": 3, "u32": 4, "i32": 4, "u64": 8, "i64": 8}
_FLOATS = {"f32": (4, ">f"), "f64": (8, ">d")}

Order = Literal["abcd", "dcba", "cdab", "badc"]
"""How a number's bytes follow each other: abcd the highest first, dcba the lowest first; cdab and badc the same with
each pair swapped, as many Modbus devices send 32 bits in two registers."""


class FrameError(ValueError):
    """A frame that can't be read."""

    def __init__(self, reason: Rejection, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Part(Strict):
    """One field of the frame."""

    at: int = Field(ge=0, lt=MOST_BYTES, description="Its first byte, from 0 (in a Modbus reply: of the data)")
    type: Literal[
        "u8", "i8", "u16", "i16", "u24", "i24", "u32", "i32", "u64", "i64", "f32", "f64", "bcd", "text", "hex"
    ]
    size: int | None = Field(None, ge=1, le=256, description="Bytes of bcd, text and hex")
    order: Order | None = Field(None, description="Absent: the layout's")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        sized = self.type in ("bcd", "text", "hex")
        if sized != (self.size is not None):
            raise ValueError(f"type {self.type} {'needs a' if sized else 'has its own'} size")
        if self.order is not None:
            self.allows(self.order)
        return self

    def allows(self, order: Order) -> None:
        if order in ("cdab", "badc") and self.type not in ("text", "hex") and self.width % 2 and self.width > 1:
            raise ValueError(f"order {order} swaps pairs of bytes; it has {self.width}")

    @property
    def width(self) -> int:
        return self.size or _SIZES.get(self.type) or _FLOATS[self.type][0]

    def read(self, frame: bytes, order: Order) -> Any:
        """Its value; None where the frame ends before it."""
        raw = frame[self.at : self.at + self.width]
        if len(raw) < self.width:
            return None
        if self.type == "text":
            return raw.rstrip(b"\0 ").decode("utf-8", "replace")
        if self.type == "hex":
            return raw.hex()
        raw = _highest_first(raw, self.order or order)
        if self.type == "bcd":
            digits = raw.hex()
            return digits if digits.isdigit() else f"{digits} is no BCD"
        if self.type in _FLOATS:
            return _plain(struct.unpack(_FLOATS[self.type][1], raw)[0], self.width)
        return int.from_bytes(raw, signed=self.type.startswith("i"))


def _plain(number: float, width: int) -> float | str:
    """Four bytes hold 7 digits: 22.4, and not 22.399999618530273."""
    if not math.isfinite(number):
        return str(number)
    return float(f"{number:.7g}") if width == 4 else number


def _highest_first(raw: bytes, order: Order) -> bytes:
    if order == "dcba":
        return raw[::-1]
    pairs = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    if order == "cdab":
        return b"".join(reversed(pairs))
    if order == "badc":
        return b"".join(pair[::-1] for pair in pairs)
    return raw


class Modbus(Strict):
    """A Modbus RTU reply to "read registers": its CRC is proven, and fields are counted from the data's first byte."""

    slave: int | None = Field(None, ge=1, le=247, description="Only from this address")
    function: Literal[1, 2, 3, 4] = 3

    def data(self, frame: bytes) -> bytes:
        if len(frame) < 5:
            raise FrameError(Rejection.unsupported_frame, f"{len(frame)} bytes are no Modbus reply")
        crc = crc16_modbus(frame[:-2]).to_bytes(2, "little")
        if crc != frame[-2:]:
            raise FrameError(Rejection.checksum, f"CRC is {frame[-2:].hex()}, should be {crc.hex()}")
        slave, function, count = frame[:3]
        if self.slave is not None and slave != self.slave:
            raise FrameError(Rejection.unsupported_frame, f"from address {slave}, not {self.slave}")
        if function == self.function | 0x80:
            raise FrameError(Rejection.unsupported_frame, f"the device answers with Modbus exception {count}")
        if function != self.function:
            raise FrameError(Rejection.unsupported_frame, f"function {function}, not {self.function}")
        if count != len(frame) - 5:
            raise FrameError(Rejection.unsupported_frame, f"says {count} bytes of data, has {len(frame) - 5}")
        return frame[3:-2]


def _hexadecimal(text: str) -> str:
    try:
        return bytes.fromhex(text).hex()
    except ValueError:
        raise ValueError(f"{text!r}: bytes in hexadecimal, like '68 01'") from None


class Layout(Strict):
    """Which bytes are which field."""

    modbus: Modbus | None = Field(None, description="Given: the frame is a Modbus RTU reply")
    length: int | tuple[int, int] | None = Field(None, description="Bytes of the whole: so many, or from … to")
    begins: Annotated[str, AfterValidator(_hexadecimal)] = Field(
        "", description="The bytes it begins with, in hexadecimal"
    )
    crc16: Literal["low_first", "high_first"] | None = Field(
        None, description="CRC-16/MODBUS over all bytes before its own two, which end the frame"
    )
    order: Order = "abcd"
    fields: dict[str, Part] = Field(min_length=1, max_length=256)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.modbus is not None and self.crc16 is not None:
            raise ValueError("a Modbus frame has its own CRC: leave crc16 out")
        for name, part in self.fields.items():
            try:
                part.allows(part.order or self.order)
            except ValueError as error:
                raise ValueError(f"fields.{name}: {error}") from None
        return self

    def read(self, frame: bytes) -> dict[str, Any]:
        """The frame's fields. `FrameError` where it is no such frame."""
        if not frame:
            raise FrameError(Rejection.empty, "no bytes")
        if len(frame) > MOST_BYTES:
            raise FrameError(Rejection.too_large, f"{len(frame)} bytes; a frame has at most {MOST_BYTES}")
        begins = bytes.fromhex(self.begins)
        if not frame.startswith(begins):
            raise FrameError(
                Rejection.unsupported_frame, f"begins with {frame[: len(begins)].hex(' ')}, not {begins.hex(' ')}"
            )
        if self.crc16 is not None:
            order: Literal["little", "big"] = "little" if self.crc16 == "low_first" else "big"
            if len(frame) < 3 or crc16_modbus(frame[:-2]) != int.from_bytes(frame[-2:], order):
                raise FrameError(Rejection.checksum, f"CRC {frame[-2:].hex()} is wrong")
        low, high = self._lengths()
        if not low <= len(frame) <= high:
            allowed = f"{low}" if low == high else f"{low} to {high}"
            raise FrameError(Rejection.unsupported_frame, f"{len(frame)} bytes, not {allowed}")
        data = frame if self.modbus is None else self.modbus.data(frame)
        return dict(self._fields(data))

    def _fields(self, data: bytes) -> Iterator[tuple[str, Any]]:
        for name, part in self.fields.items():
            value = part.read(data, self.order)
            if value is not None:
                yield name, value

    def _lengths(self) -> tuple[int, int]:
        if isinstance(self.length, int):
            return self.length, self.length
        return self.length or (1, MOST_BYTES)
