"""Vendors' covers in their own JSON: one published over MQTT, and two that China Telecom's CTWing pushes over HTTP.

Written from the vendors' messages as the shipped mappings' heads show them.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson

from simulators.site import Site
from simulators.speech.frames import COVER_FIELDS, modbus_cover
from simulators.speech.writer import Said, Writer

_NORMAL, _OPEN, _LOOSE = 0, 1, 2
_CSQ_MOST = 31


def _well_topic(site: Site) -> str:
    return f"/city/{site.device.district[:4]}00/well/status/{site.device.device_id}"


def _well(said: Said) -> bytes:
    values = said.values
    message: dict[str, Any] = {"device_id": said.site.device.device_id}
    if "tilt_deg" in values:
        message["tilt"] = values["tilt_deg"]
    if "battery_pct" in values:
        message["battery"] = values["battery_pct"]
    if "open" in values:
        message["status"] = "abnormal" if values["open"] else "normal"
    return orjson.dumps({**message, "ts": said.ts_ms // 1000})


def _push_topic(name: str) -> Any:
    topic = f"http/{name}"
    return lambda _site: topic


def _profile(said: Said) -> bytes:
    """Read by the platform, which says one status only: open before loose."""
    values = said.values
    data: dict[str, Any] = {}
    if "rsrp_dbm" in values:
        rsrp = round(values["rsrp_dbm"])
        data = {"SNR": (rsrp + 120) // 3, "RSRP": -rsrp, "CSQ": min(max((rsrp + 113) // 2, 0), _CSQ_MOST)}
    if "battery_pct" in values:
        data["Battery_Level"] = round(values["battery_pct"])
    if "open" in values or "vibration" in values:
        data["Alarm_Status"] = _OPEN if values.get("open") else _LOOSE if values.get("vibration") else _NORMAL
    return _push(said, "v1/up/ad19prof", {"serviceId": "notification", "serviceData": data})


def _own_bytes(said: Said) -> bytes:
    return _push(said, "v1/up/ad", {"APPdata": base64.b64encode(modbus_cover(said.values)).decode()})


def _push(said: Said, topic: str, payload: dict[str, Any]) -> bytes:
    """`timestamp` is the platform's: when it had the message. The IMEI is what the ledger knows the unit by."""
    imei = said.site.device.device_id
    return orjson.dumps(
        {
            "upPacketSN": -1,
            "upDataSN": -1,
            "topic": topic,
            "timestamp": said.sent_ms,
            "tenantId": "10461180",
            "serviceId": "",
            "protocol": "lwm2m",
            "productId": "15014772",
            "payload": payload,
            "messageType": "dataReport",
            "deviceType": "",
            "deviceId": hashlib.blake2b(imei.encode(), digest_size=16).hexdigest(),
            "assocAssetId": "",
            "IMSI": "undefined",
            "IMEI": imei,
        }
    )


WELL_STATUS = Writer(
    "mqtt-well-status", {"cover": ("tilt_deg", "battery_pct", "open")}, _well_topic, _well, step_ms=1000
)
CTWING_PROFILE = Writer(
    "ctwing-ad19prof",
    {"cover": ("rsrp_dbm", "battery_pct", "open", "vibration")},
    _push_topic("ctwing-ad19prof"),
    _profile,
    own_clock=False,
    push=True,
)
CTWING_BYTES = Writer(
    "ctwing-ad-modbus",
    COVER_FIELDS,
    _push_topic("ctwing-ad-modbus"),
    _own_bytes,
    steps={"tilt_deg": 1.0},
    own_clock=False,
    push=True,
)
