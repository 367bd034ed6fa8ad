"""MQTT 3.1.1 PUBLISH packets out of what was read from the socket, many at a time.

Everything else on the connection (CONNACK, SUBACK, PUBACK, PINGRESP) is paho's; a message through paho costs 10 µs and
here 2. Layout: MQTT 3.1.1, OASIS, 2.2 "Fixed header" and 3.3 "PUBLISH".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingest.arrival import Arrival

_PUBLISH = 0x30
_LONGEST_LENGTH = 4


class ProtocolError(ConnectionError):
    """What came is no MQTT 3.1.1, or nothing that we have asked for."""


ReadAhead = Callable[[bytes], tuple[dict[str, Any] | None, bytes]]


def publishes(
    data: bytes, at: int, received_us: int, generation: int, read_ahead: ReadAhead
) -> tuple[list[Arrival], int]:
    """The PUBLISH packets that stand whole in `data` from `at` on, up to the first packet of another kind, and where
    that is. The n-th was received at `received_us` + n: no two messages at the same moment. `read_ahead` gives what an
    arrival keeps as `content` and `raw`."""
    arrivals: list[Arrival] = []
    made = tuple.__new__
    size = len(data)
    while at + 2 <= size:
        header = data[at]
        if header & 0xF0 != _PUBLISH:
            break
        length = data[at + 1]
        body = at + 2
        if length > 127 and at + 2 < size and data[at + 2] < 128:
            length += (data[at + 2] << 7) - 128
            body += 1
        elif length > 127:
            length, body = remaining_length(data, at + 1)
        end = body + length
        if body == 0 or end > size:
            break
        if length < 2:
            raise ProtocolError(f"a PUBLISH of {length} bytes")
        topic_end = body + 2 + (data[body] << 8) + data[body + 1]
        qos = header >> 1 & 3
        start = topic_end + 2 if qos else topic_end
        if qos > 1 or start > end:
            raise ProtocolError(f"a PUBLISH of {length} bytes at QoS {qos} that is none we could have asked for")
        payload = data[start:end]
        content, raw = read_ahead(payload)
        fields = (
            _text(data[body + 2 : topic_end]),
            payload,
            (data[topic_end] << 8) + data[topic_end + 1] if qos else 0,
            qos,
            header & 8 != 0,
            header & 1 != 0,
            received_us + len(arrivals),
            generation,
            None,
            content,
            raw,
        )
        arrivals.append(made(Arrival, fields))  # as Arrival(*fields), in half the time
        at = end
    return arrivals, at


def whole_packet(data: bytes, at: int) -> int:
    """Where the packet at `at` ends; 0 when it is not all there yet."""
    if at + 2 > len(data):
        return 0
    length, body = remaining_length(data, at + 1)
    return body + length if body and body + length <= len(data) else 0


def remaining_length(data: bytes, at: int) -> tuple[int, int]:
    """The length that stands at `at`, and where the bytes that it counts begin; that is 0 when it is not all there."""
    length = 0
    for place, digit in enumerate(data[at : at + _LONGEST_LENGTH]):
        length |= (digit & 127) << (7 * place)
        if digit < 128:
            return length, at + place + 1
    if len(data) - at >= _LONGEST_LENGTH:
        raise ProtocolError("a packet whose length does not end")
    return 0, 0


def _text(topic: bytes) -> str:
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return topic.decode("utf-8", "backslashreplace")
