"""HJ 212-2017 segments: `##`, four digits of length, the segment, four digits of CRC, CR LF; several in one message."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingest.codecs.checksums import crc16_hj212
from ingest.codecs.layout import FrameError
from ingest.codecs.pairs import pairs
from ingest.reasons import Rejection

MOST_SEGMENTS = 1000
_BEGIN = re.compile(rb"##([0-9]{4})")
_HEAD = 6
_HEX = frozenset(b"0123456789abcdefABCDEF")


def segments(payload: bytes) -> Iterator[tuple[bytes, bytes | FrameError]]:
    """Each packet as it came, with its segment or what is wrong with it. Bytes that are no packet are one such part."""
    start = at = found = 0
    while at < len(payload):
        end = _packet_end(payload, at)
        if end is None:
            following = _BEGIN.search(payload, at + 1)
            at = len(payload) if following is None else following.start()
            continue
        if start < at:
            yield payload[start:at], _no_packet(payload[start:at])
        found += 1
        if found > MOST_SEGMENTS:
            detail = f"more than {MOST_SEGMENTS} segments in one message"
            yield payload[at:], FrameError(Rejection.too_large, detail)
            return
        yield payload[at:end], _segment(payload[at:end].rstrip(b"\r\n"))
        start = at = end
    if start < len(payload):
        yield payload[start:], _no_packet(payload[start:])


def _packet_end(payload: bytes, at: int) -> int | None:
    """Where the packet that begins here ends; None where none does. Nothing is computed yet: a claim is cheap."""
    begin = _BEGIN.match(payload, at)
    if begin is None:
        return None
    end = begin.end() + int(begin[1]) + 4
    crc = payload[end - 4 : end]
    if len(crc) < 4 or not _HEX.issuperset(crc):
        return None
    rest = payload[end : end + 2]
    if rest == b"\r\n":
        return end + 2
    # Some DTUs cut the line's end off, at a message's end.
    return end + len(rest) if rest in (b"", b"\r", b"\n") and end + len(rest) == len(payload) else None


def _segment(packet: bytes) -> bytes | FrameError:
    segment, crc = packet[_HEAD:-4], packet[-4:]
    right = f"{crc16_hj212(segment):04X}"
    if crc.decode().upper() != right:
        return FrameError(Rejection.checksum, f"CRC is {crc.decode()}, should be {right}")
    return segment


def _no_packet(part: bytes) -> FrameError:
    if not part.strip():
        return FrameError(Rejection.empty, "only white space")
    detail = "no packet of HJ 212: ##, 4 digits of length, that many bytes, 4 hexadecimal digits, CR LF"
    return FrameError(Rejection.unsupported_frame, detail)


def read_segment(segment: bytes) -> dict[str, object]:
    """The segment's keys; those of its command (`CP=&&…&&`) under `CP`."""
    text = segment.decode("gb18030", "replace")
    head, opened, rest = text.partition("CP=&&")
    command, _closed, tail = rest.rpartition("&&") if opened else ("", "", "")
    found: dict[str, object] = {**pairs(head + tail, ";", "=")}
    if opened:
        found["CP"] = pairs(command.replace(",", ";"), ";", "=")
    return found
