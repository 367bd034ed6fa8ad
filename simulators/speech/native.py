"""Protocol v1: JSON, compact CBOR, and a member of a gateway's batch (docs/protocol.md). From its page alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import cbor2
import orjson

from simulators.message import encode
from simulators.site import Site
from simulators.speech.writer import Said, Writer
from underfoot.families import FAMILIES
from underfoot.topics import ROOT, GatewayTopic

_EVERYTHING = {name: family.fields for name, family in FAMILIES.items()}

_POWERED = {"battery_v": 0, "battery_pct": 1, "rsrp_dbm": 2, "temperature_c": 3}
_NUMBERS: dict[str, dict[str, int]] = {
    "cover": {
        **_POWERED,
        "tilt_deg": 4,
        "open": 5,
        "vibration": 6,
        "water_below_rim_m": 7,
        "h2s_mg_m3": 8,
        "ch4_lel_pct": 9,
        "co_mg_m3": 10,
        "o2_vol_pct": 11,
    },
    "road": {**_POWERED, "depth_cm": 4, "place": 5},
    "pipe": {**_POWERED, "level_m": 4, "fill_ratio": 5, "flow_m3_h": 6, "velocity_m_s": 7, "network": 8},
    "pump": {"running": 0, "current_a": 1, "forebay_level_m": 2, "fault": 3, "fault_code": 4},
    "rain": {**_POWERED, "amount_mm": 4, "intensity_mm_h": 5},
    "lamp": {
        "on": 0,
        "dimming_pct": 1,
        "voltage_v": 2,
        "current_a": 3,
        "power_w": 4,
        "energy_kwh": 5,
        "leakage_ma": 6,
        "touch_voltage_v": 7,
        "tilt_deg": 8,
        "door_open": 9,
        "pm2_5_ug_m3": 10,
        "noise_db": 11,
    },
}
"""What the protocol's page numbers a family's fields with, for ever."""

_TS, _SEQ, _VALUES = 0, 1, 2
_EPOCH_TAG, _FRACTION_TAG = 1, 4


def _report_topic(site: Site) -> str:
    return site.device.topic


def _json(said: Said) -> bytes:
    return encode(said.ts_ms, said.seq, said.values, as_text=said.site.device.time_as_text)


def _cbor_topic(site: Site) -> str:
    device = site.device
    return f"{ROOT}/{device.district}/{device.family}/{device.device_id}/cbor"


def _cbor(said: Said) -> bytes:
    """In whole seconds: such a unit pays for every byte."""
    numbers = _NUMBERS[said.site.device.family]
    report: dict[int, Any] = {_TS: cbor2.CBORTag(_EPOCH_TAG, said.ts_ms // 1000)}
    if said.seq is not None:
        report[_SEQ] = said.seq
    report[_VALUES] = {numbers[name]: _short(value) for name, value in said.values.items()}
    return cbor2.dumps(report)


def _short(value: Any) -> Any:
    """12.5 as 125 × 10⁻¹: four bytes, and what the sensor's display says."""
    if not isinstance(value, float):
        return value
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{value}: no number to be sent")  # noqa: TRY004 - it is a float, and none that can be said
    mantissa = int("".join(map(str, digits))) * (-1 if sign else 1)
    if exponent >= 0:
        return mantissa * 10**exponent
    while mantissa and exponent < 0 and mantissa % 10 == 0:
        mantissa, exponent = mantissa // 10, exponent + 1
    return mantissa if not exponent or not mantissa else cbor2.CBORTag(_FRACTION_TAG, [exponent, mantissa])


def _batch_topic(site: Site) -> str:
    """A gateway stands in the district of its devices."""
    return str(GatewayTopic(site.device.district, site.gateway_id))


def _member(said: Said) -> bytes:
    device = said.site.device
    report: dict[str, Any] = {"device_id": device.device_id, "family": device.family, "ts": said.ts_ms}
    if said.seq is not None:
        report["seq"] = said.seq
    report["values"] = said.values
    return orjson.dumps(report)


def batch(members: list[bytes]) -> bytes:
    """One message of a gateway. What is damaged is in it as text, as the gateway heard it."""
    return b'{"reports":[' + b",".join(members) + b"]}"


JSON = Writer("json", _EVERYTHING, _report_topic, _json)
CBOR = Writer("cbor", _EVERYTHING, _cbor_topic, _cbor, step_ms=1000, damage="cut")
GATEWAY = Writer("gateway", _EVERYTHING, _batch_topic, _member)
