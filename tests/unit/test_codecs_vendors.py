"""The mappings that ship, each with its vendor's message; and which codec reads what."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.arrival import Arrival
from ingest.codecs import gateway
from ingest.codecs.contract import Decoded, Unusable
from ingest.codecs.mapping import Mapping, parse_mapping
from ingest.codecs.mappings import UnreadableMapping, shipped, shipped_text
from ingest.codecs.table import Codecs
from ingest.codecs.yaml_file import mapping_of
from ingest.reasons import Rejection
from ingest.validate import judge_values
from tests.unit.codec_frames import (
    BATCH,
    CBOR,
    CODECS,
    CTWING,
    CTWING_BINARY,
    FLOW,
    NOW_MS,
    REPORT,
    RIGHT,
    WELL,
    arrival,
    as_agreed,
    decoded,
    hj212,
    mapping,
    modbus,
)
from underfoot.families import FAMILIES

WELL_TOPIC = "/city/410500/well/status/WF-0312"
PROFILE = "http/ctwing-ad19prof"


def one(topic: str, payload: Any, declared: str | None = None) -> Decoded:
    (part,) = decoded(CODECS, topic, payload, declared)
    assert isinstance(part, Decoded), part
    return part


def refused(topic: str, payload: Any) -> Unusable:
    (part,) = decoded(CODECS, topic, payload)
    assert isinstance(part, Unusable), part
    return part


# what ships ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapping_", shipped().values(), ids=shipped())
def test_a_shipped_mapping_is_one_file_that_is_itself_when_kept(mapping_: Mapping) -> None:
    assert mapping_of(shipped_text(mapping_.name).encode(), "file") == mapping_
    assert parse_mapping(json.loads(json.dumps(mapping_.body))) == mapping_
    assert mapping_.topics or mapping_.http


def test_all_that_ships_can_be_in_force_together() -> None:
    filters = sorted(topic for each in shipped().values() for topic in each.filters)
    assert filters == [
        "/city/+/well/status/+",
        "dtu/+/up",
        "hj212/+/up",
    ]
    assert {each.shard for each in shipped().values()} == {"main"}


@pytest.mark.parametrize(("topic", "payload", "declared"), RIGHT[:-1])
def test_what_is_right_is_read_whole(topic: str, payload: bytes, declared: str | None) -> None:
    """No value of the examples is set aside, wherever the message says its family."""
    parts = decoded(CODECS, topic, payload, declared)
    as_agreed(parts)
    for part in parts:
        assert isinstance(part, Decoded), part
        family = FAMILIES[part.family or "cover"]
        accepted, set_aside = judge_values(family.model, part.report["values"])
        assert set_aside == {}
        assert not accepted.__pydantic_extra__


def test_a_well_of_an_mqtt_vendor() -> None:
    part = one(WELL_TOPIC, WELL)
    assert (part.device_id, part.family, part.area) == ("WF-0312", "cover", None)
    assert part.report == {"ts": NOW_MS, "values": {"tilt_deg": 22.4, "battery_pct": 89, "open": True}}
    assert one(WELL_TOPIC, WELL | {"status": "normal"}).report["values"]["open"] is False
    assert one(WELL_TOPIC, WELL | {"tilt": -9999}).report["values"]["tilt_deg"] is None
    assert "device_id = 'WF-0313'" in refused(WELL_TOPIC, WELL | {"device_id": "WF-0313"}).detail


@pytest.mark.parametrize("as_text", [False, True], ids=["objects", "texts"])
def test_a_push_of_ctwing_read_by_the_platform(as_text: bool) -> None:
    inner: Any = CTWING["payload"]
    if as_text:
        inner = json.dumps(inner | {"serviceData": json.dumps(inner["serviceData"])})
    part = one(PROFILE, CTWING | {"payload": inner})
    assert (part.device_id, part.family) == ("860374051096202", "cover")
    assert part.report == {
        "ts": NOW_MS,
        "values": {"rsrp_dbm": -114, "battery_pct": 100, "open": True, "vibration": None},
        "unmapped": {"payload": {"serviceData": {"SNR": 1, "CSQ": 5, "Cell_ID": "38848339"}}},
    }


@given(st.integers(44, 140))
def test_a_signal_is_negative_however_it_is_sent(rsrp: int) -> None:
    for sent in (rsrp, -rsrp, str(rsrp)):
        data = {"payload": {"serviceData": {"RSRP": sent}}}
        assert one(PROFILE, CTWING | data).report["values"] == {"rsrp_dbm": -rsrp}


@pytest.mark.parametrize(
    ("status", "open_", "vibration"), [(0, False, False), (1, True, None), (2, None, True), (3, False, False)]
)
def test_an_alarm_status_of_ctwing(status: int, open_: bool | None, vibration: bool | None) -> None:
    values = one(PROFILE, CTWING | {"payload": {"serviceData": {"Alarm_Status": status}}}).report["values"]
    assert values == {"open": open_, "vibration": vibration}


def test_what_else_ctwing_pushes_is_refused_by_name() -> None:
    assert "messageType = 'commandResponse'" in refused(PROFILE, CTWING | {"messageType": "commandResponse"}).detail
    assert "topic = 'v1/up/ad'" in refused(PROFILE, CTWING_BINARY).detail
    assert "id IMEI" in refused(PROFILE, {key: value for key, value in CTWING.items() if key != "IMEI"}).detail


def test_a_push_of_ctwing_with_the_unit_s_own_bytes() -> None:
    part = one("http/ctwing-ad-modbus", CTWING_BINARY)
    assert part.report["values"] == {"tilt_deg": 22, "open": True, "vibration": False}
    # A public push of another product: its bytes are no Modbus reply, and nothing is made up of them.
    other = "AQFWMS4wAAAAACMAAAAH/wAlODYyNTkyMDUxNjUxNDcyAAEAMjUAODAAAAAAAAABAQAAAAEAAASD"
    part_ = refused("http/ctwing-ad-modbus", CTWING_BINARY | {"payload": {"APPdata": other}})
    assert part_.reason is Rejection.unsupported_frame
    assert "unpack.payload.APPdata" in part_.detail
    damaged = base64.b64encode(modbus(1, 22, 1, 0)[:-1] + b"\0").decode()
    assert (
        refused("http/ctwing-ad-modbus", CTWING_BINARY | {"payload": {"APPdata": damaged}}).reason is Rejection.checksum
    )


@pytest.mark.parametrize(("topic", "declared"), [("dtu/C-1/up", None), (REPORT, "dtu-modbus-cover")])
def test_a_cover_on_rs485_behind_a_dtu(topic: str, declared: str | None) -> None:
    part = one(topic, modbus(1, 22, 0, 1), declared)
    assert (part.device_id, part.family) == ("C-1", "cover")
    assert part.report == {"values": {"tilt_deg": 22, "open": False, "vibration": True}, "unmapped": {"version": 1}}
    assert one(topic, modbus(1, 0xFFFF, 0, 1), declared).report["values"]["tilt_deg"] is None


def test_a_flow_of_hj212_behind_a_dtu() -> None:
    part = one("hj212/DTU-1/up", hj212(FLOW))
    assert (part.device_id, part.family) == ("010000A8900016F000169DC0", "pipe")
    assert part.report == {"ts": NOW_MS, "values": {"flow_m3_h": 45, "temperature_c": "18.4"}}
    faulty = one("hj212/DTU-1/up", hj212(FLOW.replace("w00000-Flag=N", "w00000-Flag=D"))).report["values"]
    assert faulty["flow_m3_h"] == {"given": "12.5", "problem": "CP.w00000-Flag = 'D'"}
    assert "CN = '2061'" in refused("hj212/DTU-1/up", hj212(FLOW.replace("CN=2011", "CN=2061"))).detail


def test_a_damaged_packet_harms_no_neighbour() -> None:
    good = hj212(FLOW)
    parts = decoded(CODECS, "hj212/DTU-1/up", good + good.replace(b"Rtd=12.5", b"Rtd=92.5") + b"noise" + good)
    assert [part.reason if isinstance(part, Unusable) else "read" for part in parts] == [
        "read",
        Rejection.checksum,
        Rejection.unsupported_frame,
        "read",
    ]


# which codec reads what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "declared"),
    [
        ("a/b", None),
        ("", None),
        ("/", None),
        ("/city/410500/well/status", None),
        ("city/410500/well/status/WF-1", None),
        ("http/mqtt-well-status", None),
        ("http/nothing", None),
        ("http", None),
        ("underfoot/v1/410502/cover/C-1", None),
        ("underfoot/v1/410502/cover/C-1/status", "json"),
        ("underfoot/v2/410502/cover/C-1/report", None),
        ("underfoot/v1/410502/pump/GW-1/batch", None),
        ("underfoot/v1/shard/main/probe", None),
    ],
)
def test_a_topic_that_nobody_reads(topic: str, declared: str | None) -> None:
    assert CODECS.of(topic, declared) is None


def test_each_way_in_has_its_codec() -> None:
    named = {
        (REPORT, "json"): b'{"values":{}}',
        (REPORT, None): b'{"values":{}}',
        (REPORT, "cbor"): cbor2.dumps({"values": {}}),
        (CBOR, None): cbor2.dumps({"values": {}}),
        (CBOR, "json"): cbor2.dumps({"values": {}}),
        (BATCH, None): b'{"device_id":"C-1","values":{}}',
    }
    for (topic, declared), payload in named.items():
        (part,) = decoded(CODECS, topic, payload, declared)
        assert isinstance(part, Decoded)
        assert part.device_id == "C-1"
    (part,) = decoded(CODECS, "sl651/0012345678", b"\0")
    assert isinstance(part, Unusable)


def test_a_declared_mapping_that_is_not_in_force_is_told() -> None:
    (part,) = decoded(CODECS, REPORT, b"{}", "gone")
    assert (part.reason, part.device_id) == (Rejection.mapping_failed, "C-1")
    assert "'gone', and no such mapping is in force" in part.detail


def test_a_mapping_that_can_t_be_read_any_more_keeps_its_topics_and_refuses_by_name() -> None:
    unreadable = UnreadableMapping("old", "main", ("old/{device}",), True, "old: format = 'xml'")
    codecs = Codecs([unreadable, mapping()])
    for topic in ("old/D-1", "http/old"):
        (part,) = decoded(codecs, topic, b"{}")
        assert part.reason is Rejection.mapping_failed
        assert "old: format = 'xml'" in part.detail
    assert isinstance(decoded(codecs, "vendor/D-1/up", {"tilt": 1})[0], Decoded)


def test_a_message_that_breaks_a_codec_is_kept_and_the_shard_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_arrival: Arrival) -> list[Decoded | Unusable]:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(gateway, "decode", broken)
    codec = Codecs().of(BATCH, None)
    assert codec is not None
    with caplog.at_level(logging.ERROR):
        (part,) = codec(arrival(BATCH, b"[]"))
    assert isinstance(part, Unusable)
    assert part.payload == b"[]"
    assert "the codec failed: ZeroDivisionError" in part.detail
    assert "a fault of ours" in caplog.text


def test_the_worked_example_of_the_document_is_a_mapping_that_reads_its_message() -> None:
    page = (Path(__file__).parents[2] / "docs" / "codecs.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n", 1)[1].split("```", 1)[0]
    message = page.split("```json\n", 1)[1].split("```", 1)[0]
    topic = next(line.split()[1] for line in page.splitlines() if line.strip().startswith("topic "))
    (part,) = decoded(Codecs([mapping_of(example.encode(), "docs/codecs.md")]), topic, message.encode())
    assert isinstance(part, Decoded), part
    _accepted, set_aside = judge_values(FAMILIES[part.family or ""].model, part.report["values"])
    assert part.report["values"]
    assert set_aside == {}
