"""Messages of every codec, for tests: one that is right for each, and what may become of it on its way."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import cbor2

from ingest.arrival import Arrival
from ingest.codecs.checksums import crc16_hj212, crc16_modbus
from ingest.codecs.contract import Decoded, Unusable
from ingest.codecs.mapping import Mapping, parse_mapping
from ingest.codecs.mappings import shipped
from ingest.codecs.table import Codecs

NOW_US = 1_782_878_400_000_000
NOW_MS = NOW_US // 1000

REPORT = "underfoot/v1/410502/cover/C-1/report"
CBOR = "underfoot/v1/410502/cover/C-1/cbor"
BATCH = "underfoot/v1/410502/gateway/GW-1/batch"


def arrival(topic: str, payload: bytes) -> Arrival:
    return Arrival(topic, payload, 7, 1, False, False, NOW_US, 1)


def decoded(
    codecs: Codecs, topic: str, payload: bytes | dict[str, Any] | list[Any], declared: str | None = None
) -> Any:
    codec = codecs.of(topic, declared)
    assert codec is not None, topic
    return codec(arrival(topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode()))


def mapping(**parts: Any) -> Mapping:
    """A mapping with what every mapping needs."""
    form = {"id": "{device}", "family": "cover", "values": {"tilt_deg": "tilt"}}
    given = {"name": "tried", "title": "试", "source": "a test", "topics": ["vendor/{device}/up"], "format": "json"}
    return parse_mapping(given | {"reports": [form | parts.pop("report", {})]} | parts)


def modbus(*registers: int, slave: int = 1, function: int = 3) -> bytes:
    data = b"".join(register.to_bytes(2) for register in registers)
    frame = bytes((slave, function, len(data))) + data
    return frame + crc16_modbus(frame).to_bytes(2, "little")


def hj212(segment: str) -> bytes:
    raw = segment.encode()
    return b"##%04d%s%04X\r\n" % (len(raw), raw, crc16_hj212(raw))


CTWING = {
    "upPacketSN": -1,
    "upDataSN": -1,
    "topic": "v1/up/ad19prof",
    "timestamp": NOW_MS,
    "tenantId": "10461180",
    "serviceId": "",
    "protocol": "lwm2m",
    "productId": "15014772",
    "payload": {
        "serviceId": "notification",
        "serviceData": {
            "SNR": 1,
            "RSRP": 114,
            "CSQ": 5,
            "Battery_Level": 100,
            "Alarm_Status": 1,
            "Cell_ID": "38848339",
        },
    },
    "messageType": "dataReport",
    "deviceType": "",
    "deviceId": "acf7baaee65e431eadfb8f5fe50e8b81",
    "assocAssetId": "",
    "IMSI": "undefined",
    "IMEI": "860374051096202",
}
CTWING_BINARY = CTWING | {
    "topic": "v1/up/ad",
    "payload": {"APPdata": base64.b64encode(modbus(1, 22, 1, 0)).decode()},
}
WELL = {"device_id": "WF-0312", "tilt": 22.4, "battery": 89, "status": "abnormal", "ts": NOW_MS // 1000}
FLOW = (
    "QN=20260701120000123;ST=21;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;"
    "CP=&&DataTime=20260701120000;w00000-Rtd=12.5,w00000-Flag=N;w01010-Rtd=18.4,w01010-Flag=N&&"
)
NATIVE = {"ts": NOW_MS, "seq": 17, "values": {"tilt_deg": 12.5, "open": False}}

LISTED = mapping(
    name="listed",
    topics=["listed/{gateway}/up"],
    report={
        "id": "mac",
        "items": "data",
        "time": {"path": "$.ts", "unit": "s"},
        "values": {"tilt_deg": "points[code=tilt].value", "open": {"path": "points[code=open].value", "bit": 0}},
    },
)
TEXT = mapping(name="keyed", topics=["keyed/{device}"], format="text", report={"seq": "n"})
PACKED = mapping(name="packed", topics=["packed/{device}"], format="cbor")
CODECS = Codecs([*shipped().values(), LISTED, TEXT, PACKED])

RIGHT: list[tuple[str, bytes, str | None]] = [
    (REPORT, json.dumps(NATIVE).encode(), "json"),
    (CBOR, cbor2.dumps(NATIVE), None),
    (CBOR, cbor2.dumps([{0: NOW_MS, 1: 17, 2: {4: 12.5, 5: False}}, {2: {0: 3.6}}]), None),
    (REPORT, cbor2.dumps({0: cbor2.CBORTag(1, NOW_MS // 1000), 2: {4: cbor2.CBORTag(4, [-1, 125])}}), "cbor"),
    (BATCH, json.dumps({"reports": [NATIVE | {"device_id": "C-1"}, NATIVE | {"device_id": "C-2"}]}).encode(), None),
    ("http/ctwing-ad19prof", json.dumps(CTWING).encode(), None),
    ("http/ctwing-ad-modbus", json.dumps(CTWING_BINARY).encode(), None),
    ("/city/410500/well/status/WF-0312", json.dumps(WELL).encode(), None),
    ("dtu/D-1/up", modbus(1, 22, 0, 0), None),
    (REPORT, modbus(1, 22, 0, 0), "dtu-modbus-cover"),
    ("hj212/D-2/up", hj212(FLOW), None),
    (
        "listed/G/up",
        json.dumps({"ts": NOW_MS // 1000, "data": [{"mac": "A1", "points": [{"code": "tilt", "value": 3}]}]}).encode(),
        None,
    ),
    ("keyed/K", b"tilt=22.4;n=5;fw=1.2", None),
    ("packed/P", cbor2.dumps({"tilt": 22.4, "raw": b"\x01"}), None),
    # 遥测站 of SL 651: the public frame that its codec is tested with has its own tests; here its head and a CRC.
    ("sl651/0012345678", bytes.fromhex("7e7e010012345678a0003200080200022607011200000303e4"), None),
]


def mutated(random: random.Random, payload: bytes) -> bytes:
    """The payload with one to four accidents."""
    raw = bytearray(payload)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(raw) + 1)
        match random.randrange(8):
            case 0 if raw:
                raw[at % len(raw)] ^= 1 << random.randrange(8)
            case 1 if raw:
                raw[at % len(raw)] = random.choice(b'\x00\xff\x7f\x80"{}[],:0-e\\#&;=\x9f\xd8\xfb')
            case 2:
                del raw[at:]
            case 3:
                del raw[at : at + random.randint(1, 8)]
            case 4:
                raw[at:at] = random.randbytes(random.randint(1, 8))
            case 5:
                raw[at:at] = raw[at : at + random.randint(1, 60)]
            case 6:
                raw[at:at] = random.choice(_PIECES)
            case _:
                raw += payload
    return bytes(raw[:65_536])


_PIECES = (
    b"[" * 70,
    b'{"a":' * 70,
    b"\x81" * 40,
    b"NaN",
    b"-1e999",
    b"9" * 400,
    b'"\\ud800"',
    b"null",
    b"##0101",
    b"\xd8\x1c\x81\xd8\x1d\x00",
    b"\xc4\x82\x3a\x7f\xff\xff\xff\x01",
    b"\x9b" + b"\x7f" * 8,
    "状态".encode(),
    "状态".encode("gb18030"),
)

_OWN = (dict, list, str, int, float, bool, type(None))


def as_agreed(parts: Any) -> None:
    """What the rest of the path takes for granted of a codec's answer."""
    assert isinstance(parts, list)
    assert parts
    for part in parts:
        assert isinstance(part, Decoded | Unusable)
        assert isinstance(part.payload, bytes)
        if isinstance(part, Decoded):
            assert isinstance(part.device_id, str)
            assert isinstance(part.report, dict)
            assert all(isinstance(name, str) for name in part.report)
            plain(part.report)
        else:
            assert isinstance(part.detail, str)
            assert not part.detail.startswith("the codec failed"), part.detail


def plain(value: Any) -> None:
    """JSON's own types, and no deeper than is written out at ease."""
    level: list[Any] = [value]
    for _ in range(200):
        assert all(type(inner) in _OWN for inner in level), level
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise AssertionError("nested too deeply")
