"""The frame of SL 651-2014 (水文监测数据通信规约) in its HEX/BCD form, both ways, for the codec and the listener.

Verified on frames published by several makers and centres, whose checksums are right (tests/unit/sl651_frames.py): the
order of the fields upward and downward, the length with its direction in the high four bits, CRC-16/Modbus over all
before it with the high byte first, an acknowledgement that repeats serial and sending time and ends in ESC, and a
packet's total and number (12 bits each) after SYN. From the published layout only: the acknowledgement of many packets
(SYN, total, number), and NAK, whose number asks for that packet again.
"""

from __future__ import annotations

from typing import NamedTuple

from ingest.codecs.checksums import crc16_modbus
from ingest.reasons import Rejection

MARK = b"\x7e\x7e"
STX, SYN = 0x02, 0x16
ETX, ETB = 0x03, 0x17
ENQ, EOT, ACK, NAK, ESC = 0x05, 0x04, 0x06, 0x15, 0x1B

HEARTBEAT, TEST, UNIFORM, TIMED, ADDITIONAL, HOURLY, MANUAL, PICTURE = range(0x2F, 0x37)

HEAD = 14
"""Bytes up to the text: mark, centre, station, password, function, length, start."""
TAIL = 3
LONGEST = HEAD + 0xFFF + TAIL
_PACKET = 3
_SERIAL_AND_TIME = 8
_DOWNWARD = 0x8000


class FrameError(ValueError):
    """Bytes that are no frame: for which of the named reasons, and what is wrong."""

    def __init__(self, reason: Rejection, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Frame(NamedTuple):
    """One frame from a station. `text` is what stands between the start (and the packet's number) and the end."""

    data: bytes
    centre: int
    station: bytes
    password: bytes
    function: int
    text: bytes
    end: int
    total: int = 0
    number: int = 0
    """Of a message in many packets: how many, and which; 0: a message of its own."""


class Head(NamedTuple):
    """What a frame's first 14 bytes promise: how long it is in all, or why they begin none."""

    size: int
    problem: FrameError | None = None


def read_head(head: bytes, longest: int) -> Head:
    """Of 14 bytes that begin with the mark."""
    length = head[11] << 8 | head[12]
    start, size = head[13], HEAD + (length & 0xFFF) + TAIL
    if length & 0xF000:
        return _none(f"direction {length >> 12:X}: not from a station")
    if start not in (STX, SYN):
        return _none(f"start {start:02X}: neither STX (02) nor SYN (16)")
    if length < (_SERIAL_AND_TIME if start == STX else _PACKET):
        return _none(f"a text of {length} bytes has no serial")
    if size > longest:
        return Head(0, FrameError(Rejection.too_large, f"a frame of {size} bytes; at most {longest}"))
    return Head(size)


def _none(detail: str) -> Head:
    return Head(0, FrameError(Rejection.unsupported_frame, detail))


def read_frame(data: bytes) -> Frame:
    """The frame that `data` is, all of it. Raises FrameError."""
    if len(data) < HEAD or data[:2] != MARK:
        raise FrameError(Rejection.unsupported_frame, "no frame of SL 651 in HEX/BCD")
    head = read_head(data[:HEAD], LONGEST)
    if head.problem is not None:
        raise head.problem
    if len(data) != head.size:
        raise FrameError(Rejection.unsupported_frame, f"{len(data)} bytes of a frame of {head.size}")
    found, said = crc16_modbus(data[:-2]), data[-2] << 8 | data[-1]
    if found != said:
        raise FrameError(Rejection.checksum, f"checksum {said:04X}, its bytes have {found:04X}")
    end, text = data[-TAIL], data[HEAD:-TAIL]
    if end not in (ETX, ETB):
        raise FrameError(Rejection.unsupported_frame, f"end {end:02X}: neither ETX (03) nor ETB (17)")
    total = number = 0
    if data[HEAD - 1] == SYN:
        total, number = text[0] << 4 | text[1] >> 4, (text[1] & 0xF) << 8 | text[2]
        if not 1 <= number <= total or (number == 1 and len(text) < _PACKET + _SERIAL_AND_TIME):
            raise FrameError(Rejection.unsupported_frame, f"packet {number} of {total}, {len(text)} bytes")
        text = text[_PACKET:]
    return Frame(data, data[2], data[3:8], data[8:10], data[10], text, end, total, number)


class Said(NamedTuple):
    """A whole message of a station: one frame, or the packets of one, in their order."""

    station: str
    function: int
    serial: int
    sent: bytes
    """When it was sent, as six BCD bytes."""
    text: bytes
    """What follows serial and sending time."""


def join(frames: list[Frame]) -> Said:
    """What these frames say together: one frame, or all packets of one message in their order."""
    first = frames[0]
    text = first.text if len(frames) == 1 else b"".join(frame.text for frame in frames)
    return Said(station_number(first.station), first.function, text[0] << 8 | text[1], text[2:8], text[8:])


def station_number(station: bytes) -> str:
    """Ten digits, as the ledger has them."""
    return station.hex().upper()


def acknowledgement(frame: Frame, said: bytes, end: int, number: int | None = None) -> bytes:
    """The centre's answer to a station: its addresses, serial and sending time (`said`) come back, the station first.

    `end`: EOT (done), ESC (done, stay on line), ACK (go on), or NAK with the `number` of a packet that is missing.
    """
    text = said
    if frame.total:
        which = frame.total if number is None else number
        text = (frame.total << 12 | which).to_bytes(3) + said
    data = bytearray(MARK)
    data += frame.station
    data.append(frame.centre)
    data += frame.password
    data.append(frame.function)
    data += (_DOWNWARD | len(text)).to_bytes(2)
    data.append(SYN if frame.total else STX)
    data += text
    data.append(end)
    data += crc16_modbus(bytes(data)).to_bytes(2)
    return bytes(data)
