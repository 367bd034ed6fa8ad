"""Binary layouts, Modbus replies and HJ 212 packets: what is in them, and every way in which one is none."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.checksums import crc16_hj212, crc16_modbus
from ingest.codecs.contract import Decoded, Unusable
from ingest.codecs.hj212 import MOST_SEGMENTS, read_segment, segments
from ingest.codecs.layout import FrameError, Layout
from ingest.codecs.pairs import pairs
from ingest.codecs.table import Codecs
from ingest.reasons import Rejection
from tests.unit.codec_frames import FLOW, decoded, hj212, mapping, modbus


def layout(frame: bytes, **how: Any) -> dict[str, Any]:
    return Layout.model_validate(how).read(frame)


def one(frame: bytes, part: dict[str, Any], **how: Any) -> Any:
    return layout(frame, fields={"x": {"at": 0} | part}, **how).get("x")


def problem(frame: bytes, **how: Any) -> tuple[Rejection, str]:
    with pytest.raises(FrameError) as failure:
        layout(frame, **({"fields": {"x": {"at": 0, "type": "u8"}}} | how))
    return failure.value.reason, str(failure.value)


def swapped(raw: bytes, order: str) -> bytes:
    """A big-endian number's bytes as they would be sent in this order."""
    pairs_of = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    return {
        "abcd": raw,
        "dcba": raw[::-1],
        "cdab": b"".join(reversed(pairs_of)),
        "badc": b"".join(pair[::-1] for pair in pairs_of),
    }[order]


# numbers ------------------------------------------------------------------------------------------------------------


@given(st.data())
def test_a_whole_number_of_any_size_sign_and_order_is_read(data: st.DataObject) -> None:
    width = data.draw(st.sampled_from([1, 2, 3, 4, 8]))
    signed = data.draw(st.booleans())
    order = data.draw(st.sampled_from(["abcd", "dcba", *(["cdab", "badc"] if width % 2 == 0 else [])]))
    low, high = (-(2 ** (width * 8 - 1)), 2 ** (width * 8 - 1) - 1) if signed else (0, 2 ** (width * 8) - 1)
    number = data.draw(st.integers(low, high))
    before = data.draw(st.binary(max_size=5))
    frame = before + swapped(number.to_bytes(width, signed=signed), order) + b"\xff"
    part = {"at": len(before), "type": f"{'i' if signed else 'u'}{width * 8}"}
    assert one(frame, part, order=order) == number
    assert one(frame, part | {"order": order}) == number


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(["abcd", "dcba", "cdab", "badc"]))
def test_a_float_of_four_bytes_is_read_with_its_seven_digits(number: float, order: str) -> None:
    assert one(swapped(struct.pack(">f", number), order), {"type": "f32"}, order=order) == float(f"{number:.7g}")


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["abcd", "dcba", "cdab", "badc"]))
def test_a_float_of_eight_bytes_is_read_as_it_is(number: float, order: str) -> None:
    assert one(swapped(struct.pack(">d", number), order), {"type": "f64"}, order=order) == number


@pytest.mark.parametrize(
    ("frame", "part", "found"),
    [
        (struct.pack(">f", 22.4), {"type": "f32"}, 22.4),
        (struct.pack(">f", float("nan")), {"type": "f32"}, "nan"),
        (b"\x26\x07\x01\x12\x00\x00", {"type": "bcd", "size": 6}, "260701120000"),
        (b"\x00\x12\x00\x78", {"type": "bcd", "size": 4, "order": "dcba"}, "78001200"),
        (b"\x2a", {"type": "bcd", "size": 1}, "2a is no BCD"),
        (b"WF-1\0\0 ", {"type": "text", "size": 7}, "WF-1"),
        (b"\xff\xfe", {"type": "text", "size": 2}, "\ufffd\ufffd"),
        (b"\x01\xab", {"type": "hex", "size": 2}, "01ab"),
        (b"\x01", {"type": "u16"}, None),
        (b"\x01\x02", {"type": "u16", "at": 1}, None),
    ],
)
def test_what_else_a_field_may_be(frame: bytes, part: dict[str, Any], found: Any) -> None:
    assert one(frame, part) == found


def test_a_frame_that_is_none_says_why() -> None:
    assert problem(b"") == (Rejection.empty, "no bytes")
    assert problem(b"\x01", length=2) == (Rejection.unsupported_frame, "1 bytes, not 2")
    assert problem(b"\x01", length=[2, 4]) == (Rejection.unsupported_frame, "1 bytes, not 2 to 4")
    assert problem(b"\x67\x02", begins="68 01") == (Rejection.unsupported_frame, "begins with 67 02, not 68 01")
    assert problem(b"\x68\x01\x00", crc16="low_first")[0] is Rejection.checksum
    assert problem(b"\x68", crc16="low_first")[0] is Rejection.checksum
    assert problem(bytes(5000))[0] is Rejection.too_large


@given(st.binary(min_size=1, max_size=40), st.booleans())
def test_a_crc_of_either_order_is_proven(body: bytes, low_first: bool) -> None:
    crc = crc16_modbus(body).to_bytes(2, "little" if low_first else "big")
    how: dict[str, Any] = {
        "crc16": "low_first" if low_first else "high_first",
        "fields": {"x": {"at": 0, "type": "u8"}},
    }
    assert layout(body + crc, **how) == {"x": body[0]}
    damaged = bytes([body[0] ^ 1]) + body[1:] + crc
    assert problem(damaged, **how)[0] is Rejection.checksum


# Modbus -------------------------------------------------------------------------------------------------------------

_REGISTERS = {"modbus": {"slave": 1}, "fields": {"x": {"at": 2, "type": "i16"}}}


def test_the_crc_is_modbus_s() -> None:
    assert crc16_modbus(b"123456789") == 0x4B37
    assert crc16_modbus(bytes.fromhex("01 03 0000 000A")).to_bytes(2, "little").hex() == "c5cd"


@given(st.lists(st.integers(0, 65_535), min_size=2, max_size=20))
def test_a_reply_s_registers_are_read(registers: list[int]) -> None:
    signed = registers[1] - 65_536 if registers[1] > 32_767 else registers[1]
    assert layout(modbus(*registers), **_REGISTERS) == {"x": signed}


@given(st.lists(st.integers(0, 65_535), min_size=2, max_size=8), st.data())
def test_a_damaged_reply_is_never_read(registers: list[int], data: st.DataObject) -> None:
    frame = bytearray(modbus(*registers))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert problem(bytes(frame), **_REGISTERS)[0] is Rejection.checksum


def test_what_is_no_such_reply_is_told() -> None:
    exception = bytes((1, 0x83, 2))
    exception += crc16_modbus(exception).to_bytes(2, "little")
    assert problem(exception, **_REGISTERS) == (
        Rejection.unsupported_frame,
        "the device answers with Modbus exception 2",
    )
    assert "from address 2, not 1" in problem(modbus(1, 2, slave=2), **_REGISTERS)[1]
    assert "function 4, not 3" in problem(modbus(1, 2, function=4), **_REGISTERS)[1]
    short = bytes((1, 3, 9, 0, 0, 0, 0))
    assert "says 9 bytes of data, has 4" in problem(short + crc16_modbus(short).to_bytes(2, "little"), **_REGISTERS)[1]
    assert "4 bytes are no Modbus reply" in problem(b"\x01\x03\x00\x00", **_REGISTERS)[1]


# written as text ----------------------------------------------------------------------------------------------------


def test_bytes_may_be_written_as_text() -> None:
    fields = {"t": {"at": 0, "type": "u16"}}
    for text, payload in (
        ("hex", b"00E0"),
        ("hex", b" 0x00 e0\r\n"),
        ("base64", base64.b64encode(b"\x00\xe0")),
        ("base64", b"AOA"),
        ("base64", base64.urlsafe_b64encode(b"\x00\xe0\xff\xff").rstrip(b"=")),
    ):
        written = {"kind": "binary", "text": text, "fields": fields}
        codecs = Codecs([mapping(format=written, report={"values": {"tilt_deg": "t"}})])
        (part,) = decoded(codecs, "vendor/D-1/up", payload)
        assert isinstance(part, Decoded), (text, payload)
        assert part.report == {"values": {"tilt_deg": 224}}
        for wrong in (b"!z", b"\xff", b"0"):
            (part,) = decoded(codecs, "vendor/D-1/up", wrong)
            assert isinstance(part, Unusable)
            assert part.reason is Rejection.undecodable


# HJ 212 -------------------------------------------------------------------------------------------------------------

# Public examples of this protocol, with their checksums: the standard's own, and one of a program's.
PUBLIC = [
    b"##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80\r\n",
    hj212(
        "QN=20230803171130538;ST=31;CN=2011;PW=123456;MN=88888880000001234567;Flag=5;CP=&&DataTime=20230803165500;"
        "w01001-Rtd=0.000,w01001-Flag=N;w21003-Rtd=0.000,w21003-Flag=N;w01018-Rtd=0.000,w01018-Flag=N;"
        "e01002-Rtd=0.000,e01002-Flag=N;w01010-Rtd=0.000,w01010-Flag=N;e01001-Rtd=0.000,e01001-Flag=N;"
        "w01003-Rtd=0.000,w01003-Flag=N;w21011-Rtd=0.000,w21011-Flag=N&&"
    ),
]
PUBLIC_LENGTH_AND_CRC = [(b"##0101", b"1C80"), (b"##0354", b"A141")]
# A public one whose checksum is not its segment's.
DAMAGED = (
    b"##0136ST=32;CN=2011;PW=123456;MN=LD130133000015;CP=&&DataTime=20160824003817;B01-Rtd=36.91;"
    b"011-Rtd=231.0,011-Flag=N;060-Rtd=1.803,060-Flag=N&&4980\r\n"
)
_key = st.text("abcdefw0123456789-", min_size=1, max_size=10)
_word = st.text("ABCdef0123456789.:-", max_size=10)


def test_public_packets_are_proven() -> None:
    for packet, (begin, crc) in zip(PUBLIC, PUBLIC_LENGTH_AND_CRC, strict=True):
        assert (packet[:6], packet[-6:-2]) == (begin, crc)
        assert list(segments(packet)) == [(packet, packet[6:-6])]
    for damaged in (DAMAGED, PUBLIC[0].replace(b"ST=32", b"ST=33")):
        ((_, problem_),) = segments(damaged)
        assert isinstance(problem_, FrameError)
        assert problem_.reason is Rejection.checksum


@given(st.dictionaries(_key, _word, max_size=5), st.dictionaries(_key, _word, max_size=5))
def test_a_segment_s_keys_are_read(head: dict[str, str], command: dict[str, str]) -> None:
    text = "".join(f"{key}={value};" for key, value in head.items())
    text += "CP=&&" + ",".join(f"{key}={value}" for key, value in command.items()) + "&&"
    ((_, segment),) = segments(hj212(text))
    assert isinstance(segment, bytes)
    assert read_segment(segment) == head | {"CP": command}


@given(
    st.lists(st.sampled_from([hj212(FLOW), hj212("a=1"), b"junk", b"##", b"##0004", b"\r\n", b"##9999"]), max_size=8)
)
def test_every_byte_is_in_one_part_and_good_packets_are_found(pieces: list[bytes]) -> None:
    payload = b"".join(pieces)
    parts = list(segments(payload))
    assert b"".join(raw for raw, _ in parts) == payload
    good = [raw for raw, segment in parts if isinstance(segment, bytes)]
    assert good == [piece for piece in pieces if piece in (hj212(FLOW), hj212("a=1"))]


def test_a_packet_s_end_may_be_cut_off_where_the_message_ends() -> None:
    for end in (b"", b"\r", b"\n"):
        ((_, segment),) = segments(hj212("a=1").rstrip() + end)
        assert segment == b"a=1"
    first, _second = segments(hj212("a=1").rstrip() + hj212("b=2"))
    assert isinstance(first[1], FrameError)


def test_a_message_has_so_many_segments_at_most() -> None:
    parts = list(segments(hj212("a=1") * (MOST_SEGMENTS + 5)))
    assert len(parts) == MOST_SEGMENTS + 1
    left = parts[-1][1]
    assert isinstance(left, FrameError)
    assert left.reason is Rejection.too_large
    assert len(parts[-1][0]) == 5 * len(hj212("a=1"))


def test_a_key_that_says_two_things_is_refused() -> None:
    assert pairs("a=1;b;;a=1; c = 2 ", ";", "=") == {"a": "1", "b": "", "c": "2"}
    with pytest.raises(FrameError, match="'a' stands there twice"):
        pairs("a=1;a=2", ";", "=")
    assert crc16_hj212(b"") == 0xFFFF
