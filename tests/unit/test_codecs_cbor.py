"""CBOR form of protocol v1: it says what JSON says, its numbers never change, and what JSON has no type for is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs import cbor_v1, json_v1
from ingest.codecs.cbor_v1 import FIELDS, MOST_BYTES, REPORT_KEYS
from ingest.codecs.contract import Decoded, Unusable
from ingest.reasons import Rejection
from tests.unit.codec_frames import CBOR, NOW_MS, REPORT, arrival, as_agreed
from underfoot.families import FAMILIES

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_reports = st.fixed_dictionaries(
    {"values": st.dictionaries(_text, _json, max_size=4)}, optional={"ts": _json, "seq": _json}
)


def read(payload: bytes, topic: str = CBOR) -> list[Decoded | Unusable]:
    parts = cbor_v1.decode(arrival(topic, payload))
    as_agreed(parts)
    return parts


def report(item: Any) -> dict[str, Any]:
    (part,) = read(cbor2.dumps(item))
    assert isinstance(part, Decoded), part
    return part.report


def refused(payload: bytes) -> Unusable:
    (part,) = read(payload)
    assert isinstance(part, Unusable), part
    return part


@given(st.lists(_reports, min_size=1, max_size=4), st.booleans())
def test_what_is_said_in_cbor_is_what_is_said_in_json(reports: list[dict[str, Any]], indefinite: bool) -> None:
    payload = cbor2.dumps(reports, indefinite_containers=indefinite)
    from_json = json_v1.decode(arrival(REPORT, json.dumps(reports).encode()))
    assert [part._replace(payload=b"") for part in read(payload)] == [part._replace(payload=b"") for part in from_json]


@given(st.lists(_reports, min_size=1, max_size=4))
def test_each_report_s_bytes_are_read_as_that_report_again(reports: list[dict[str, Any]]) -> None:
    for part in read(cbor2.dumps(reports)):
        assert read(part.payload) == [part]


@given(st.data())
def test_the_compact_form_says_the_same(data: st.DataObject) -> None:
    family = data.draw(st.sampled_from(sorted(FAMILIES)))
    topic = CBOR.replace("cover", family)
    values = data.draw(st.dictionaries(st.sampled_from(FIELDS[family]), st.integers(-9, 9) | st.booleans(), max_size=6))
    named = {"ts": NOW_MS, "seq": 17, "values": values}
    compact = {0: NOW_MS, 1: 17, 2: {FIELDS[family].index(name): value for name, value in values.items()}}
    (said,), (meant,) = read(cbor2.dumps(compact), topic), read(cbor2.dumps(named), topic)
    assert said._replace(payload=b"") == meant._replace(payload=b"")
    assert len(said.payload) < len(meant.payload)


def test_the_numbers_are_what_devices_were_built_with() -> None:
    """These are on the wire. A line of this test may get longer at its end, and never change."""
    assert REPORT_KEYS == ("ts", "seq", "values")
    powered = ["battery_v", "battery_pct", "rsrp_dbm", "temperature_c"]
    pinned = {
        "cover": [
            *powered,
            "tilt_deg",
            "open",
            "vibration",
            "water_below_rim_m",
            "h2s_mg_m3",
            "ch4_lel_pct",
            "co_mg_m3",
            "o2_vol_pct",
        ],
        "road": [*powered, "depth_cm", "place"],
        "pipe": [*powered, "level_m", "fill_ratio", "flow_m3_h", "velocity_m_s", "network"],
        "pump": ["running", "current_a", "forebay_level_m", "fault", "fault_code"],
        "rain": [*powered, "amount_mm", "intensity_mm_h"],
        "lamp": [
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
        ],
    }
    for family, names in pinned.items():
        assert list(FIELDS[family][: len(names)]) == names


def test_every_field_of_every_family_has_one_number() -> None:
    """Fails for a new field: put it at the end of its family's line in `FIELDS`, and here."""
    assert FIELDS.keys() == FAMILIES.keys()
    for name, family in FAMILIES.items():
        assert sorted(FIELDS[name]) == sorted(family.fields)


def test_a_compact_report_is_a_third_of_json() -> None:
    values = {"battery_v": 3.5, "rsrp_dbm": -97, "tilt_deg": 12.5, "open": False}
    compact = cbor2.dumps(
        {0: cbor2.CBORTag(1, NOW_MS // 1000), 1: 17, 2: {0: 3.5, 2: -97, 4: 12.5, 5: False}}, canonical=True
    )
    assert len(compact) == 25
    assert len(json.dumps({"ts": NOW_MS, "seq": 17, "values": values}, separators=(",", ":"))) > 3 * len(compact)
    (part,) = read(compact)
    assert isinstance(part, Decoded)
    assert part.report == {"ts": "2026-07-01T04:00:00+00:00", "seq": 17, "values": values}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (cbor2.CBORTag(4, [-1, 125]), 12.5),
        (cbor2.CBORTag(4, [2, 3]), 300),
        (cbor2.CBORTag(5, [-1, 3]), 1.5),
        (cbor2.CBORTag(4, [2**40, 1]), "4([1099511627776, 1])"),
        (cbor2.CBORTag(4, "x"), "4(x)"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**70, "0x400000000000000000"),
        (-(2**70), "-0x400000000000000000"),
        (2**64 - 1, 2**64 - 1),
        (b"\x01\xff", "01ff"),
        (cbor2.undefined, None),
        (cbor2.CBORSimpleValue(99), "simple(99)"),
        (cbor2.CBORTag(0, "2026-07-01T12:00:00+08:00"), "2026-07-01T12:00:00+08:00"),
        (cbor2.CBORTag(1, 1.5), "1970-01-01T00:00:01.500000+00:00"),
        (cbor2.CBORTag(1, float("nan")), "1(nan)"),
        (cbor2.CBORTag(1, 1e30), "1(1e+30)"),
        (cbor2.CBORTag(100, 20_000), "2024-10-04"),
        (cbor2.CBORTag(37, b"\x01" * 16), "37(" + "01" * 16 + ")"),
        (cbor2.CBORTag(35, "(a+)+$"), "35((a+)+$)"),
        (cbor2.CBORTag(258, [1, 2]), [1, 2]),
        (cbor2.CBORTag(4711, {"a": b"\x01"}), "4711({'a': '01'})"),
        ({1: 2, "b": {3.5: [b"\x00"]}}, {"1": 2, "b": {"3.5": ["00"]}}),
    ],
)
def test_what_json_has_no_type_for_is_kept_as_text(value: Any, kept: Any) -> None:
    assert report({"values": {"tilt_deg": value}})["values"] == {"tilt_deg": kept}


def test_unknown_numbers_and_names_are_kept() -> None:
    assert report({0: 5, 9: "x", "fw": 1, 2: {77: 1, -1: 2, 4: 3}}) == {
        "ts": 5,
        "9": "x",
        "fw": 1,
        "values": {"77": 1, "-1": 2, "tilt_deg": 3},
    }


@pytest.mark.parametrize(
    ("payload", "reason", "detail"),
    [
        (b"", Rejection.empty, "no bytes"),
        (b"\x80", Rejection.empty, "array without items"),
        (b"\x9f\xff", Rejection.empty, "array without items"),
        (b"\x01", Rejection.not_an_object, "type int"),
        (b'{"values": {}}', Rejection.undecodable, ""),
        (b"\xa1", Rejection.undecodable, "premature end"),
        (cbor2.dumps({2: {}, "values": {}}), Rejection.undecodable, "'values' stands there twice"),
        (cbor2.dumps({2: {4: 1, "tilt_deg": 2}}), Rejection.undecodable, "'tilt_deg' stands there twice"),
        (cbor2.dumps({2: {4: {1: 1, "1": 1}}}), Rejection.undecodable, "'1' stands there twice"),
        (bytes.fromhex("a2000100 02".replace(" ", "")), Rejection.undecodable, "Duplicate map key"),
        (b"\xa0\x00", Rejection.undecodable, "1 bytes after the end"),
        (b"\x81" * 40 + b"\x01", Rejection.nested_too_deep, "depth"),
        (bytes.fromhex("d81c81d81d00"), Rejection.undecodable, "not taken"),
        (bytes(MOST_BYTES + 1), Rejection.too_large, str(MOST_BYTES)),
    ],
)
def test_refused_with_its_reason(payload: bytes, reason: Rejection, detail: str) -> None:
    part = next(part for part in read(payload) if isinstance(part, Unusable))
    assert (part.reason, part.device_id) == (reason, "C-1")
    assert detail in part.detail


def test_a_bad_report_of_an_array_harms_no_neighbour() -> None:
    good = cbor2.dumps({2: {4: 1}})
    twice = bytes.fromhex("a2 00 01 00 02")
    not_text = bytes.fromhex("a1 00 61 ff")
    shared = bytes.fromhex("a1 00 d8 1c 81 d8 1d 00")
    for array in (b"\x85", b"\x9f"):
        payload = array + good + twice + not_text + shared + good + (b"\xff" if array == b"\x9f" else b"")
        parts = read(payload)
        assert [isinstance(part, Decoded) for part in parts] == [True, False, False, False, True]
        assert [part.payload for part in parts] == [good, twice, not_text, shared, good]


def test_what_follows_an_item_without_an_end_goes_with_it() -> None:
    good = cbor2.dumps({2: {4: 1}})
    parts = read(b"\x83" + good + b"\xa1\x00\x1c" + good)
    assert [isinstance(part, Decoded) for part in parts] == [True, False]
    assert parts[1].payload == b"\xa1\x00\x1c" + good


def test_a_message_that_names_itself_cbor_is_read() -> None:
    assert refused(b"\xd9\xd9\xf7\x01").reason is Rejection.not_an_object
    (part,) = read(b"\xd9\xd9\xf7" + cbor2.dumps({2: {4: 1}}))
    assert isinstance(part, Decoded)


def test_under_a_report_topic_a_device_may_have_declared_it() -> None:
    (part,) = read(cbor2.dumps({2: {4: 1}}), REPORT)
    assert isinstance(part, Decoded)
    assert (part.device_id, part.area, part.family) == ("C-1", "410502", "cover")
    (part,) = cbor_v1.decode(arrival("underfoot/v1/41/cover/C-1/cbor", b"\xa0"))
    assert isinstance(part, Unusable)
    assert part.reason is Rejection.unknown_topic


def test_the_document_s_example_is_what_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8").split("## CBOR", 1)[1]
    page = page.split("## Gateway", 1)[0]
    said, wire = (line.strip() for line in page.splitlines() if line.startswith("    ") and line.strip()[0] in "{A")
    (part,) = read(bytes.fromhex(wire))
    assert isinstance(part, Decoded)
    meant = json.loads(said)
    assert part.report == meant | {"ts": "2026-07-01T04:00:00+00:00"}
    compact = json.dumps(meant, separators=(",", ":"))
    assert f"is {len(compact)} bytes in JSON, and {len(part.payload)} in compact CBOR" in page
