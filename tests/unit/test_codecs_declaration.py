"""A mapping's declaration: what can't be right is refused, and told so that its author finds it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.mapping import MappingError, parse_mapping
from ingest.codecs.patterns import overlap, parts_of, topic_filter
from ingest.codecs.yaml_file import mapping_of
from tests.unit.codec_frames import mapping


def binary(layout: dict[str, Any] | None = None, **part: Any) -> dict[str, Any]:
    return {"format": {"kind": "binary", "fields": {"t": {"at": 0} | part}} | (layout or {})}


# what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"name": "Tried"}, "Tried: name = 'Tried'"),
        ({"name": "cbor"}, "a codec of Underfoot has it"),
        ({"source": ""}, "source = ''"),
        ({"colour": "blue"}, "colour = 'blue': not a word of a mapping"),
        ({"format": "xml"}, "format"),
        ({"format": {"kind": "binary"}}, "format.binary.fields: Field required"),
        (binary(type="u17"), "fields.t.type = 'u17'"),
        (binary(type="bcd"), "bcd needs a size"),
        (binary(type="u8", size=2), "has its own size"),
        (binary(type="u24", order="cdab"), "fields.t: order cdab"),
        (binary(type="u24", layout={"order": "badc"}), "fields.t: order badc"),
        (binary(type="u8", layout={"begins": "6"}), "bytes in hexadecimal"),
        (binary(type="u8", layout={"modbus": {}, "crc16": "low_first"}), "has its own CRC"),
        ({"format": "text", "report": {"items": "data"}}, "reports.0.items: a message of format text has no lists"),
        ({"topics": ["underfoot/v1/410502/cover/{device}/report"]}, "overlaps underfoot/#"),
        ({"topics": ["{area}/{device}"]}, "at least one level must be fixed"),
        ({"topics": ["{a}/v1/{device}"]}, "overlaps underfoot/#"),
        ({"topics": ["http/{device}"]}, "overlaps http/#"),
        ({"topics": ["sl651/{device}"]}, "overlaps sl651/#"),
        ({"topics": ["#"]}, "# has no bounds"),
        ({"topics": ["vendor/#"]}, "# has no bounds"),
        ({"topics": ["$SYS/{device}"]}, "the broker's own"),
        ({"topics": ["a/dev-{device}"]}, "'dev-{device}' is no level"),
        ({"topics": ["a/{device}/{device}"]}, "a name stands there twice"),
        ({"topics": ["a/{device}", "a/b"], "report": {"id": "x"}}, "a/b and a/{device} overlap"),
        ({"topics": ["a/{device}", "b/c"]}, "not each of the topics has a part {device}"),
        ({"topics": []}, "not each of the topics has a part {device}: none"),
        ({"http": True}, "what comes over HTTP has no topic"),
        ({"report": {"id": {"device": None}}}, "quotation marks: '{device}'"),
        ({"report": {"id": {"path": "x", "prefix": "a b"}}}, "reports.0.id.prefix = 'a b'"),
        ({"report": {"family": "tram"}}, "reports.0.family: 'tram' is no family"),
        (
            {"report": {"family": {"path": "t", "families": {"1": "tram"}}}},
            "families.1: 'tram' is no family",
        ),
        ({"report": {"values": {"tilt": "x"}}}, "values.tilt: no field of cover; there are battery_pct"),
        ({"report": {"family": None, "values": {"tilt": "x"}}}, "no field of cover or road"),
        ({"report": {"values": {"tilt_deg": "a..b"}}}, "values.tilt_deg.path.0: 'a..b': an empty name"),
        ({"report": {"values": {"tilt_deg": "a["}}}, "[name=value] is needed"),
        ({"report": {"values": {"tilt_deg": "a[b=1]c"}}}, "a dot is needed before 'c'"),
        ({"report": {"values": {"tilt_deg": "a."}}}, "nothing behind the last dot"),
        ({"report": {"values": {"tilt_deg": {"path": "x", "scale": 0}}}}, "scale 0"),
        ({"report": {"values": {"tilt_deg": {"path": "x", "scale": float("nan")}}}}, "values.tilt_deg.scale = nan"),
        (
            {"report": {"values": {"open": {"path": "x", "choices": {"1": 1, "01": 0}}}}},
            "'01' stands there twice",
        ),
        ({"report": {"values": {"open": {"path": "x", "choices": {"1": True}, "scale": 2}}}}, "exclude each other"),
        ({"report": {"time": {"path": "t"}}}, "one of unit and format"),
        ({"report": {"time": {"path": "t", "unit": "h"}}}, "time.0.unit = 'h'"),
        ({"report": {"time": {"path": "t", "unit": "s", "zone": "Asia/Shanghai"}}}, "has no zone"),
        ({"report": {"time": {"path": "t", "format": "%Y%m%d"}}}, "zone is needed"),
        ({"report": {"time": {"path": "t", "format": "%Y%m%d", "zone": "Asia/Anyang"}}}, "no such time zone"),
        ({"report": {"time": {"path": "t", "format": "%H:%M", "zone": "Asia/Shanghai"}}}, "year, month and day"),
        ({"report": {"time": {"path": "t", "format": "%Q", "zone": "Asia/Shanghai"}}}, "not one that strptime reads"),
        ({"report": {"items": "{device}"}}, "a list of the message is needed"),
        ({"report": {"unpack": {"{device}": "json"}}}, "a text of the message is needed"),
        ({"reports": []}, "reports"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_can_t_be_right_is_refused_with_its_place_and_value(parts: dict[str, Any], told: str) -> None:
    with pytest.raises(MappingError) as refusal:
        mapping(**parts)
    assert told in str(refusal.value)


def test_everything_that_is_wrong_is_told_at_once_and_once() -> None:
    with pytest.raises(MappingError) as refusal:
        mapping(topics=["a/#"], format="xml", report={"family": "tram", "time": {"path": "t"}})
    lines = str(refusal.value).splitlines()
    assert [line.split(":")[1].split(" =")[0].strip() for line in lines] == [
        "topics.0",
        "format",
        "reports.0.family",
        "reports.0.time.0",
    ]


def test_a_body_that_is_no_mapping() -> None:
    with pytest.raises(MappingError, match="name, title, source, format and reports"):
        parse_mapping(["a"])


def test_a_mapping_kept_as_json_is_the_same_mapping() -> None:
    one = mapping(
        http=True,
        shard="north",
        topics=["a/{device}", "b/{device}/+"],
        format={"kind": "json", "encoding": "gb18030"},
        report={
            "id": {"path": ["{device}", "imei"], "agrees": "id", "remove": ":", "prefix": "X-"},
            "when": {"type[a=1].b": ["1", True, 2.5]},
            "items": "data",
            "unpack": {
                "raw": {"kind": "binary", "text": "hex", "modbus": {}, "fields": {"t": {"at": 0, "type": "i16"}}}
            },
            "family": {"path": "kind", "families": {"1": "cover", "2": "pipe"}},
            "time": [{"path": "t", "unit": "s"}, {"path": "u", "format": "%Y%m%d", "zone": "Asia/Shanghai"}],
            "seq": "n",
            "values": {
                "tilt_deg": {"path": ["a", "b"], "scale": 0.1, "offset": 1, "absent": [-1, ""], "valid_if": {"f": "N"}},
                "open": {"path": "s", "choices": {0: False, "open": True, "x": None}},
            },
            "ignored": ["x", "$.y"],
        },
    )
    assert parse_mapping(json.loads(json.dumps(one.body))) == one


# YAML ---------------------------------------------------------------------------------------------------------------

_YAML = """
name: tried
title: 试
source: a test
topics: ["a/{device}"]
format: text
reports:
  id: "{device}"
  family: cover
  values:
    open: {path: s, choices: {on: true, off: false, 2026-07-01: true, 12:30: false}}
"""


def test_yaml_is_read_as_its_author_means_it() -> None:
    one = mapping_of(_YAML.encode(), "file")
    assert one.reports[0].values["open"].choices == {"on": True, "off": False, "2026-07-01": True, "12:30": False}
    assert mapping_of(b"\xef\xbb\xbf" + _YAML.encode(), "file") == one


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (_YAML.replace("off: false", "on: false"), "file: not YAML: line 11: 'on' stands there twice"),
        (_YAML.replace("source: a test", "source: &a x\nshard: *a"), r"line 5: a reference \(\*\) is not taken"),
        ("a: [", "file: not YAML"),
        ("[" * 1500, "file: not YAML"),
        ("a: !!python/object:os.system x", "file: not YAML"),
        ("- a", "file: a mapping has name"),
        ("x" * 300_000, "at most"),
    ],
)
def test_yaml_that_can_t_be_meant_is_refused(text: str, told: str) -> None:
    with pytest.raises(MappingError, match=told):
        mapping_of(text.encode(), "file")


def test_a_file_in_another_encoding_is_told() -> None:
    with pytest.raises(MappingError, match="file: not UTF-8"):
        mapping_of(_YAML.encode("gb18030"), "file")


# topics -------------------------------------------------------------------------------------------------------------

_levels = st.sampled_from(["a", "b", "+"])
_filters = st.lists(_levels, min_size=1, max_size=4).map("/".join) | st.lists(_levels, max_size=3).map(
    lambda levels: "/".join([*levels, "#"])
)
_TOPICS = [levels for size in range(1, 6) for levels in itertools.product("abc", repeat=size)]


def _takes(topic_filter_: str, levels: tuple[str, ...]) -> bool:
    wanted = topic_filter_.split("/")
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        if len(levels) < len(wanted):
            return False
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(one in ("+", given) for one, given in zip(wanted, levels, strict=True))


@given(_filters, _filters)
def test_filters_overlap_where_a_topic_is_taken_by_both(one: str, other: str) -> None:
    assert overlap(one, other) == any(_takes(one, topic) and _takes(other, topic) for topic in _TOPICS)


def test_a_topic_s_named_parts() -> None:
    pattern = "/city/{city}/+/status/{device}"
    assert topic_filter(pattern) == "/city/+/+/status/+"
    assert parts_of(pattern, ["", "city", "410500", "well", "status", "WF-1"]) == {"city": "410500", "device": "WF-1"}
    assert parts_of(pattern, ["city", "410500", "well", "status", "WF-1"]) is None
    assert parts_of(pattern, ["", "city", "410500", "well", "state", "WF-1"]) is None
