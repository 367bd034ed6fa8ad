"""CBOR form of protocol v1 (RFC 8949): for NB-IoT units that pay for every byte. docs/protocol.md describes it.

A report is the map it is in JSON, or compact: small integers in place of the names. What JSON has no type for becomes
text, so that a report that came as CBOR is kept as one that came as JSON is.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2

from ingest.arrival import Arrival
from ingest.codecs.contract import MOST_DEEP, MOST_REPORTS, Decoded, Unusable
from ingest.reasons import Rejection
from underfoot.topics import ReportTopic, parse_cbor_topic, parse_report_topic

REPORT_KEYS: tuple[str, ...] = ("ts", "seq", "values")
"""What the integer keys 0, 1, 2 of a compact report mean."""

_POWERED = ("battery_v", "battery_pct", "rsrp_dbm", "temperature_c")

FIELDS: dict[str, tuple[str, ...]] = {
    "cover": (
        *_POWERED,
        "tilt_deg",
        "open",
        "vibration",
        "water_below_rim_m",
        "h2s_mg_m3",
        "ch4_lel_pct",
        "co_mg_m3",
        "o2_vol_pct",
    ),
    "road": (*_POWERED, "depth_cm", "place"),
    "pipe": (*_POWERED, "level_m", "fill_ratio", "flow_m3_h", "velocity_m_s", "network"),
    "pump": ("running", "current_a", "forebay_level_m", "fault", "fault_code"),
    "rain": (*_POWERED, "amount_mm", "intensity_mm_h"),
    "lamp": (
        "on",
        "dimming_pct",
        "voltage_v",
        "current_a",
        "power_w",
        "energy_kwh",
        "leakage_ma",
        "touch_voltage_v",
        "tilt_deg",
        "door_open",
        "pm2_5_ug_m3",
        "noise_db",
    ),
}
"""A field's place here is its number on the wire, for ever: a new field goes to the end of its family's line. (A field
that all families of a kind get is therefore not added to `_POWERED`, but to the end of each.)"""

MOST_BYTES = 65_536
"""Small, as it is for small units: keys that are all sorted alike could make a dictionary of megabytes take minutes."""
_SELF_DESCRIBED = b"\xd9\xd9\xf7"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode(arrival: Arrival) -> list[Decoded | Unusable]:
    topic = parse_cbor_topic(arrival.topic) or parse_report_topic(arrival.topic)
    if topic is None:
        return [Unusable(arrival.payload, Rejection.unknown_topic, arrival.topic)]
    return [
        part._replace(device_id=topic.device_id) if isinstance(part, Unusable) else _report(topic, *part)
        for part in objects(arrival.payload)
    ]


def _report(topic: ReportTopic, item: dict[Any, Any], payload: bytes) -> Decoded | Unusable:
    try:
        report = named(item, REPORT_KEYS)
        values = report.get("values")
        if isinstance(values, dict):
            report["values"] = named(values, FIELDS.get(topic.family, ()))
        report = {name: plain(value) for name, value in report.items()}
    except TwiceError as twice:
        return Unusable(payload, Rejection.undecodable, str(twice), topic.device_id)
    return Decoded(topic.device_id, report, payload, topic.area, topic.family)


class TwiceError(ValueError):
    """A map that says a name twice: nobody can tell which of them is meant."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} stands there twice")


def named(item: dict[Any, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """A map with text for keys: an integer below the number of `names` is that name."""
    found: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < len(names):
            name = names[key]
        else:
            name = key if isinstance(key, str) else str(plain(key))
        if name in found:
            raise TwiceError(name)
        found[name] = value
    return found


# from bytes to Python's types ---------------------------------------------------------------------------------------


def objects(payload: bytes) -> list[tuple[dict[Any, Any], bytes] | Unusable]:
    """Every map of the message (itself, or its array's items) with its bytes, and in its place what is none."""
    if not payload:
        return [Unusable(payload, Rejection.empty, "no bytes")]
    if len(payload) > MOST_BYTES:
        return [Unusable(payload, Rejection.too_large, f"{len(payload)} bytes; CBOR is taken up to {MOST_BYTES}")]
    start = len(_SELF_DESCRIBED) if payload.startswith(_SELF_DESCRIBED) else 0
    head = _array(payload, start)
    start, count = head if head is not None else (start, 1)
    found = list(itertools.islice(_in_turn(payload, start, count), MOST_REPORTS + 1))
    if len(found) > MOST_REPORTS:
        return [Unusable(payload, Rejection.too_large, f"more than {MOST_REPORTS} items in one message")]
    return found or [Unusable(payload, Rejection.empty, "an array without items")]


def _array(payload: bytes, start: int) -> tuple[int, int | None] | None:
    """Where the array's first item starts and how many there are (None: up to a break); None where it is no array."""
    first = payload[start] if start < len(payload) else 0
    if first >> 5 != 4:
        return None
    more = first & 31
    if more < 24:
        return start + 1, more
    if more == 31:
        return start + 1, None
    width = {24: 1, 25: 2, 26: 4, 27: 8}.get(more, 0)
    if not width or len(payload) < start + 1 + width:
        return None
    return start + 1 + width, int.from_bytes(payload[start + 1 : start + 1 + width])


def _in_turn(payload: bytes, start: int, count: int | None) -> Iterator[tuple[dict[Any, Any], bytes] | Unusable]:
    """The items that stand one after the other from `start`. What follows one that can't be read is lost with it."""
    stream = io.BytesIO(payload)
    done = 0
    while done != count if count is not None else payload[start : start + 1] != b"\xff":
        try:
            item, end = _item(stream, start)
        except _UnreadableError as error:
            if error.end is None:
                yield Unusable(payload[start:] if done else payload, error.reason, str(error))
                return
            end = error.end
            yield Unusable(payload[start:end], error.reason, str(error))
        else:
            if isinstance(item, dict):
                yield item, payload[start:end]
            else:
                detail = (
                    f"CBOR of type {type(item).__name__}" if count == 1 else f"an item of type {type(item).__name__}"
                )
                yield Unusable(payload[start:end], Rejection.not_an_object, detail)
        start, done = end, done + 1
    left = len(payload) - start - (1 if count is None else 0)
    if left:
        yield Unusable(payload[start:], Rejection.undecodable, f"{left} bytes after the end of the message")


# TypeError: a map's key that can be none.
_UNREADABLE = (cbor2.CBORError, ValueError, OverflowError, TypeError)


class _UnreadableError(ValueError):
    """`end` is where the item ends, if that much can be told."""

    def __init__(self, reason: Rejection, detail: str, end: int | None) -> None:
        super().__init__(detail)
        self.reason, self.end = reason, end


def _item(stream: io.BytesIO, start: int) -> tuple[Any, int]:
    try:
        return _read(stream, start, strict=True), stream.tell()
    except _UNREADABLE as error:
        detail = str(error.__cause__ or error)
    try:
        _read(stream, start, strict=False)
        end = stream.tell()
    except _UNREADABLE:
        end = None
    reason = Rejection.nested_too_deep if "nesting depth" in detail else Rejection.undecodable
    raise _UnreadableError(reason, detail, end)


def _read(stream: io.BytesIO, start: int, *, strict: bool) -> Any:
    stream.seek(start)
    return cbor2.CBORDecoder(
        stream,
        read_size=1,
        max_depth=MOST_DEEP,
        allow_duplicate_keys=not strict,
        str_errors="strict" if strict else "replace",
        semantic_decoders=_TAGS if strict else _TAGS_SKIPPED,
        tag_hook=_unknown_tag,
    ).decode()


# what JSON has no type for ------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """The value in JSON's own types. Bytes become hexadecimal text; numbers that JSON has none for, their text."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else f"{value:#x}"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in named(dict(value), ()).items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if value is cbor2.undefined:
        return None
    if isinstance(value, cbor2.CBORSimpleValue):
        return f"simple({value.value})"
    return str(value)


Decoder = Callable[[Any, bool], Any]


def _time(seconds: Any, _immutable: bool) -> Any:
    """Tag 1: seconds since 1970, as the RFC 3339 text that a report's `ts` may be."""
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and abs(seconds) < 6e10:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()
    return f"1({plain(seconds)})"


def _date(days: Any, _immutable: bool) -> Any:
    if isinstance(days, int) and not isinstance(days, bool) and abs(days) < 700_000:
        return (_EPOCH + timedelta(days=days)).date().isoformat()
    return f"100({plain(days)})"


def _integer(sign: int) -> Decoder:
    """Tags 2 and 3."""

    def read(magnitude: Any, _immutable: bool) -> Any:
        if not isinstance(magnitude, bytes):
            return f"{2 if sign > 0 else 3}({plain(magnitude)})"
        number = int.from_bytes(magnitude)
        return plain(number if sign > 0 else -1 - number)

    return read


def _fraction(tag: int, base: int) -> Decoder:
    """Tags 4 and 5: mantissa × base ** exponent. Decimal fractions are how a unit without floating point says 12.5."""

    def read(parts: Any, _immutable: bool) -> Any:
        match parts:
            case [int(exponent), int(mantissa)] if abs(exponent) <= 300 and abs(mantissa) < 2**64:
                # One division of exact integers: 125 × 10 ** -1 is 12.5, and no neighbour of it.
                number = mantissa * base**exponent if exponent >= 0 else mantissa / base**-exponent
                return plain(number)
        return f"{tag}({plain(list(parts) if isinstance(parts, tuple) else parts)})"

    return read


def _kept(tag: int) -> Decoder:
    return lambda value, _immutable: f"{tag}({plain(value)})"


def _as_it_is(value: Any, _immutable: bool) -> Any:
    return value


def _refused(value: Any, _immutable: bool) -> Any:
    """References within a message: a few bytes of them are gigabytes once they are written out."""
    raise ValueError("shared values and string references are not taken")


def _unknown_tag(tag: cbor2.CBORTag, _immutable: bool) -> Any:
    return f"{tag.tag}({plain(tag.value)})"


_TAGS: dict[int, Decoder] = {
    0: _as_it_is,  # a time as RFC 3339 text
    1: _time,
    2: _integer(1),
    3: _integer(-1),
    4: _fraction(4, 10),
    5: _fraction(5, 2),
    25: _refused,
    28: _refused,
    29: _refused,
    100: _date,
    256: _refused,
    258: _as_it_is,  # a set, as its array
    1004: _as_it_is,  # a date as text
    55799: _as_it_is,
    # What cbor2 would make an object of, or a regular expression.
    **{tag: _kept(tag) for tag in (30, 35, 36, 37, 43000, 52, 54, 260, 261)},
}
_TAGS_SKIPPED: dict[int, Decoder] = dict.fromkeys(_TAGS, lambda value, _immutable: None)
