"""Payloads that no decent device would send: one function a kind, each with what is to become of its reports.

Every one differs from every other of its kind, so that distinct messages can be counted by their bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from simulators.message import Message
from underfoot.families import FAMILIES
from underfoot.topics import ReportTopic, parse_report_topic

_DEEP = 20_000
_TOO_MANY = 10_000
"""Reports that a message may have at most (docs/protocol.md)."""
_BLANKS = str.maketrans("01", " \t")


class _Poison(NamedTuple):
    topic: bytes
    payload: bytes
    stores: int
    quarantines: int


_Make = Callable[[Message, int], _Poison]


def poison(kind: str, like: Message, number: int) -> Message:
    """The `number`-th poison of this kind, from the device of `like` and, where it can be, with its values."""
    made = KINDS[kind](like, number)
    return Message(
        like.device_id, made.topic, made.payload, f"poison.{kind}", made.stores, made.quarantines, like.timed
    )


def _whole(payload: Callable[[Message, int], bytes]) -> _Make:
    """Goes to quarantine whole."""
    return lambda like, number: _Poison(like.topic, payload(like, number), 0, 1)


def _elsewhere(change: Callable[[ReportTopic, int], ReportTopic]) -> _Make:
    """A sound report under a topic that is not its device's."""

    def make(like: Message, number: int) -> _Poison:
        topic = parse_report_topic(like.topic.decode())
        if topic is None:
            raise ValueError(f"topic: {like.topic!r} is none of protocol v1")
        payload = b'{"poison":%d,' % number + like.payload[1:]
        return _Poison(str(change(topic, number)).encode(), payload, 0, 1)

    return make


def _with(change: Callable[[dict[str, Any], int], None], *, literal: tuple[str, str] | None = None) -> _Make:
    """Its report is kept; what `change` spoils is set aside. `literal` writes what JSON libraries refuse to."""

    def make(like: Message, number: int) -> _Poison:
        report = orjson.loads(like.payload)
        report["poison"] = number
        change(report, number)
        payload = orjson.dumps(report)
        if literal is not None:
            payload = payload.replace(literal[0].encode(), literal[1].encode())
        return _Poison(like.topic, payload, 1, 0)

    return make


def _first_number(report: dict[str, Any]) -> str:
    values: dict[str, Any] = report["values"]
    return next(name for name, value in values.items() if isinstance(value, (int, float)) and type(value) is not bool)


def _spoil(value: Any) -> Callable[[dict[str, Any], int], None]:
    def change(report: dict[str, Any], number: int) -> None:
        report["values"][_first_number(report)] = value

    return change


def _missing_values(like: Message, number: int) -> bytes:
    return orjson.dumps({"seq": number, "ts": orjson.loads(like.payload)["ts"], "poison": number})


def _add_unknown(value: Any) -> Callable[[dict[str, Any], int], None]:
    def change(report: dict[str, Any], number: int) -> None:
        report["values"]["vendor_note"] = value

    return change


def _another_family(topic: ReportTopic, number: int) -> ReportTopic:
    others = sorted(FAMILIES.keys() - {topic.family})
    return ReportTopic(topic.area, others[number % len(others)], topic.device_id)


def _array(like: Message, number: int) -> _Poison:
    first = orjson.loads(like.payload)
    second = {**first, "poison": number}
    return _Poison(like.topic, orjson.dumps([{**second, "part": 1}, f"broken {number}", {**second, "part": 2}]), 2, 1)


KINDS: dict[str, _Make] = {
    "undecodable": _whole(lambda like, number: b"\xff\xfe\x00" + number.to_bytes(4, "big") + b"\x80"),
    "not_json": _whole(lambda like, number: b"tilt=12.5;open=0;n=%d" % number),
    "truncated": _whole(lambda like, number: b'{"poison":%d,' % number + like.payload[1:-3]),
    "not_an_object": _whole(lambda like, number: b'"report %d"' % number),
    "empty_array": _whole(lambda like, number: b"[" + f"{number:b}".translate(_BLANKS).encode() + b"]"),
    "too_many_items": _whole(lambda like, number: b"[" + b"0," * _TOO_MANY + b"%d]" % number),
    "missing_values": _whole(_missing_values),
    "values_not_an_object": _whole(lambda like, number: b'{"ts":null,"poison":%d,"values":[1,2]}' % number),
    "deep_nesting": _whole(
        lambda like, number: b'{"poison":%d,"values":' % number + b"[" * _DEEP + b"]" * _DEEP + b"}"
    ),
    "unknown_device": _elsewhere(lambda topic, number: ReportTopic(topic.area, topic.family, f"nobody-{number}")),
    "wrong_family": _elsewhere(_another_family),
    "wrong_area": _elsewhere(
        lambda topic, number: ReportTopic(f"{990000 + number % 10_000}", topic.family, topic.device_id)
    ),
    "array_with_a_bad_item": _array,
    "nan": _with(_spoil("@"), literal=('"@"', "NaN")),
    "infinity": _with(_spoil("@"), literal=('"@"', "-Infinity")),
    "huge_number": _with(_spoil("@"), literal=('"@"', "1e999")),
    "huge_integer": _with(_spoil("@"), literal=('"@"', "9" * 400)),
    "out_of_range": _with(_spoil(1.5e9)),
    "error_code": _with(_spoil(-99_999)),
    "wrong_type": _with(_spoil({"value": "high"})),
    "huge_seq": _with(lambda report, number: report.update(seq=2**64 - 1 - number)),
    "lone_surrogate": _with(_add_unknown("@"), literal=('"@"', '"\\ud800"')),
    "nul_character": _with(_add_unknown("a\u0000b\\u0000")),
}
"""Kind → how it is made. docs/simulators.md lists them."""
