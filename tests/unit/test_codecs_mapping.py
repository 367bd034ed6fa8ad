"""From a vendor's message to reports, as a mapping says: whose they are, and what becomes of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.codecs.contract import Decoded, Unusable
from ingest.codecs.mapping import Mapping
from ingest.codecs.table import Codecs
from ingest.reasons import Rejection
from tests.unit.codec_frames import NOW_MS, REPORT, as_agreed, decoded, mapping

TOPIC = "vendor/D-1/up"


def read(one: Mapping, content: Any, topic: str = TOPIC, declared: str | None = None) -> list[Decoded | Unusable]:
    parts: list[Decoded | Unusable] = decoded(Codecs([one]), topic, content, declared)
    as_agreed(parts)
    return parts


def report(one: Mapping, content: Any, topic: str = TOPIC, declared: str | None = None) -> dict[str, Any]:
    (part,) = read(one, content, topic, declared)
    assert isinstance(part, Decoded), part
    return part.report


def refused(one: Mapping, content: Any, topic: str = TOPIC) -> str:
    (part,) = read(one, content, topic)
    assert isinstance(part, Unusable), part
    assert part.reason is Rejection.mapping_failed
    assert part.detail.startswith("tried: ")
    return part.detail


# whose it is, and what becomes of the rest --------------------------------------------------------------------------


def test_the_topic_or_the_message_says_whose_it_is() -> None:
    parts = read(mapping(), {"tilt": 3})
    assert [(part.device_id, part.family, part.area) for part in parts if isinstance(part, Decoded)] == [
        ("D-1", "cover", None)
    ]
    mac = mapping(report={"id": {"path": "mac", "remove": ":-", "prefix": "LR"}})
    (part,) = read(mac, {"tilt": 3, "mac": "AA:BB-01"})
    assert part.device_id == "LRAABB01"
    (part,) = read(mapping(report={"id": "imei"}), {"tilt": 3, "imei": 860374051096202})
    assert part.device_id == "860374051096202"


@pytest.mark.parametrize(
    ("id_", "message", "told"),
    [
        ("imei", {}, "id imei: nothing is there"),
        (["imei", "sn"], {"tilt": 1}, "id imei or sn: nothing is there"),
        ("imei", {"imei": "A B"}, "id imei = 'A B': a device_id has 1 to 64"),
        ("imei", {"imei": ""}, "id imei = ''"),
        ("imei", {"imei": True}, "id imei = True"),
        ("imei", {"imei": 1.5}, "id imei = 1.5"),
        ("imei", {"imei": {"a": 1}}, "id imei = dict"),
        ("imei", {"imei": "x" * 65}, "id imei = 'xxx"),
        ({"path": "{device}", "agrees": "imei"}, {"imei": "D-2"}, "id {device} = 'D-1', but imei = 'D-2'"),
    ],
)
def test_nobody_s_report_is_refused(id_: Any, message: dict[str, Any], told: str) -> None:
    assert told in refused(mapping(report={"id": id_}), {"tilt": 1} | message)


def test_the_family_by_a_value() -> None:
    one = mapping(report={"family": {"path": "kind", "families": {"1": "cover", "灯": "lamp"}}})
    assert [read(one, {"tilt": 1, "kind": kind})[0].family for kind in (1, "1", "灯")] == ["cover", "cover", "lamp"]  # type: ignore[union-attr]
    assert "family kind = 3, not 1 or 灯" in refused(one, {"tilt": 1, "kind": 3})
    (part,) = read(mapping(report={"family": None}), {"tilt": 1})
    assert isinstance(part, Decoded)
    assert part.family is None


def test_what_is_not_read_is_kept_and_what_is_ignored_is_not() -> None:
    one = mapping(report={"ignored": ["fw"], "seq": "n", "when": {"type": "up"}})
    content = {"tilt": 1, "n": "7", "type": "up", "fw": "1.2", "net": {"csq": 9}}
    assert report(one, content) == {"seq": 7, "values": {"tilt_deg": 1}, "unmapped": {"net": {"csq": 9}}}


def test_a_message_without_any_of_the_values_is_refused_unless_it_is_a_heartbeat() -> None:
    assert "values: nothing is at any of tilt" in refused(mapping(), {"n": 1})
    assert report(mapping(report={"values": {}}), {"n": 1}) == {"values": {}, "unmapped": {"n": 1}}


def test_a_message_is_read_by_the_first_form_that_fits_it() -> None:
    form = {"id": "{device}", "family": "cover"}
    alarm = form | {"when": {"type": "alarm"}, "values": {"open": "lid"}}
    status = form | {"when": {"type": ["status", "heartbeat"]}, "values": {"tilt_deg": "tilt"}}
    one = mapping(reports=[alarm, status])
    assert report(one, {"type": "alarm", "lid": 1})["values"] == {"open": 1}
    assert report(one, {"type": "Status", "tilt": 2})["values"] == {"tilt_deg": 2}
    assert "none of its forms fits; of the last, type = 'boot', not status or heartbeat" in refused(
        one, {"type": "boot"}
    )
    assert "when: type = nothing, not up" in refused(mapping(report={"when": {"type": "up"}}), {"tilt": 1})


LISTED = {"items": "data", "id": "mac", "time": {"path": "$.ts", "unit": "s"}}


def test_several_reports_in_one_message() -> None:
    one = mapping(report=LISTED)
    items = [{"mac": "A", "tilt": 1, "csq": 9}, 3, {"mac": "B"}, {"mac": "C", "tilt": 2}]
    parts = read(one, {"ts": NOW_MS // 1000, "gw": "G", "data": items})
    assert [part.report if isinstance(part, Decoded) else (part.device_id, part.detail) for part in parts] == [
        {"ts": NOW_MS, "values": {"tilt_deg": 1}, "unmapped": {"csq": 9}, "around": {"gw": "G"}},
        (None, "tried: id mac: nothing is there"),
        ("B", "tried: values: nothing is at any of tilt"),
        {"ts": NOW_MS, "values": {"tilt_deg": 2}, "around": {"gw": "G"}},
    ]
    for part in parts:
        (again,) = read(one, part.payload)
        assert again == part, "what quarantine keeps of an item is read as that item again"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"data": []}, Rejection.empty),
        ({"data": {}}, Rejection.mapping_failed),
        ({}, Rejection.mapping_failed),
        ({"data": [{}] * 10_001}, Rejection.too_large),
        ({"data": [{}] * 10_000, "x": "y" * 2000}, Rejection.too_large),
    ],
)
def test_a_list_that_is_none_or_too_long(content: Any, reason: Rejection) -> None:
    (part,) = read(mapping(report=LISTED), content)
    assert isinstance(part, Unusable)
    assert part.reason is reason


def test_a_list_at_the_top_is_taken_apart() -> None:
    parts = read(mapping(), [{"tilt": 1}, {"tilt": 2}, 3])
    assert [isinstance(part, Decoded) for part in parts] == [True, True, False]


def test_a_text_inside_the_message_is_unpacked() -> None:
    one = mapping(
        report={
            "unpack": {"payload": "json", "payload.raw": {"kind": "text", "between": ","}},
            "values": {"tilt_deg": "payload.raw.t", "open": "payload.lid"},
        }
    )
    inner = {"raw": "t=22.4,v=3", "lid": True}
    wanted = {"values": {"tilt_deg": "22.4", "open": True}, "unmapped": {"payload": {"raw": {"v": "3"}}}}
    assert report(one, {"payload": json.dumps(inner)}) == wanted
    assert report(one, {"payload": inner}) == wanted, "some products send it as an object"
    (part,) = read(one, {"payload": "{"})
    assert isinstance(part, Unusable)
    assert part.reason is Rejection.undecodable
    assert part.detail.startswith("tried: unpack.payload = '{': ")
    (part,) = read(one, {"payload": "[{}, {}]"})
    assert "2 messages in one text" in part.detail  # type: ignore[union-attr]


def test_json_in_the_national_encoding() -> None:
    one = mapping(format={"kind": "json", "encoding": "gb18030"}, report={"items": "data", "id": "设备"})
    content = json.dumps({"data": [{"设备": "D1", "tilt": 1}, {"设备": "井", "tilt": 2}]}, ensure_ascii=False)
    good, bad = read(one, content.encode("gb18030"))
    assert isinstance(good, Decoded)
    assert read(one, bad.payload) == [bad]
    (part,) = read(one, b"\xff")
    assert part.reason is Rejection.undecodable  # type: ignore[union-attr]


def test_under_a_report_topic_the_topic_says_whose_it_is() -> None:
    one = mapping(topics=[], report={"id": "imei", "values": {"tilt_deg": "tilt"}})
    (part,) = read(one, {"tilt": 1}, REPORT, "tried")
    assert isinstance(part, Decoded)
    assert (part.device_id, part.area, part.family) == ("C-1", "410502", "cover")
    (part,) = read(one, {}, REPORT, "tried")
    assert part.device_id == "C-1"
