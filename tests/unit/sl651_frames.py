"""Frames of SL 651-2014 that makers and centres have published, with checksums that are right, and frames made here.

The builder is written from the layout alone and shares nothing with the codec; the simulators have a third one.
"""

from __future__ import annotations

from ingest.arrival import Arrival

HEARTBEAT = bytes.fromhex("7E7E01001234567812342F0008020003591011155111036BCA")
MARK_IN_ITS_SERIAL = bytes.fromhex("7E7E00987654321012342F0008027E0822101110074703C3AE")
TEST_REPORT = bytes.fromhex(
    "7E7E010012345678123430002B020003591011154947F1F1001234567848F0F0591011154920190000052619000005392300"
    "000127381211150320FA"
)
TIMED = bytes.fromhex(
    "7E7E05001122334403E832002B020034170718110016F1F1001122334448F0F0170718110020190000402619000040392300"
    "0104903812109903A421"
)
HOURLY = bytes.fromhex(
    "7E7E010051107461FFFF3400AA0201F3220621120110F1F1005110746148F0F02206211105F4600000050000000000000000"
    "00F0F022062112002619000030F0F02206211105F5C002D402D4031D031D031D031D031D031D031D031D031D031DF0F02206"
    "2112003923000079702019000005F0F02206211115041800000F797902114980940211901656021190160902119016097D7D"
    "0006350235000640321000064561860006509161F9F915C115CC15CC15CC38121207037537"
)
SOIL = bytes.fromhex(
    "7E7E010030960357123432002E020560200323200033F1F1003096035747F0F020032320000E1A0049960311016745200000"
    "048038121394FF02082703CD6D"
)
NO_STATION_CLASS = bytes.fromhex("7E7E01003096035700004A000F02017A200623102812F1F100309603570368BC")
PUBLISHED = [HEARTBEAT, MARK_IN_ITS_SERIAL, TEST_REPORT, TIMED, HOURLY, SOIL, NO_STATION_CLASS]

# What a centre has answered to TEST_REPORT and to TIMED.
TEST_ANSWER = bytes.fromhex("7E7E00123456780112343080080200035910111549471B75D4")
TIMED_ANSWER = bytes.fromhex("7E7E00112233440503E83280080200341707181100161BE5D4")

STATION = "0012345678"
SENT = "260701120010"


def crc(data: bytes) -> bytes:
    """Bit by bit, as the standard's appendix has it."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "big")


def closed(head_and_text: bytes, end: int = 0x03) -> bytes:
    data = head_and_text + bytes([end])
    return data + crc(data)


def built(
    text: str | bytes,
    *,
    function: int = 0x32,
    serial: int = 7,
    station: str = STATION,
    sent: str = SENT,
    end: int = 0x03,
) -> bytes:
    """A frame with `text` (hexadecimal, blanks allowed) after serial and sending time."""
    body = serial.to_bytes(2, "big") + bytes.fromhex(sent) + (bytes.fromhex(text) if isinstance(text, str) else text)
    return _frame(2, body, function, station, end)


def packets(text: bytes, size: int, *, function: int = 0x34, serial: int = 9, station: str = STATION) -> list[bytes]:
    """The same message in packets of `size` bytes of text each."""
    whole = serial.to_bytes(2, "big") + bytes.fromhex(SENT) + text
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    total = len(parts)
    return [
        _frame(
            0x16, (total << 12 | number).to_bytes(3, "big") + part, function, station, 3 if number == total else 0x17
        )
        for number, part in enumerate(parts, 1)
    ]


def _frame(start: int, body: bytes, function: int, station: str, end: int) -> bytes:
    head = b"\x7e\x7e\x01" + bytes.fromhex(station) + b"\x12\x34" + bytes([function]) + len(body).to_bytes(2, "big")
    return closed(head + bytes([start]) + body, end)


def observed(time: str, elements: str, station: str = STATION) -> str:
    """The text of a report: who, when, what."""
    return f"F1F1 {station} 48 F0F0 {time} {elements}"


def arrival(payload: bytes, topic: str = f"sl651/{STATION}") -> Arrival:
    return Arrival(topic, payload, 0, 0, False, False, 1_782_878_400_000_000, 0)
