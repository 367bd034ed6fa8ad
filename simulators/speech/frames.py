"""Devices behind a transparent DTU: a Modbus reply of an RS-485 cover, and HJ 212-2017 packets of a flow meter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from simulators.site import Site
from simulators.speech.writer import Said, Writer
from simulators.stations.frames import STEPS, checksum

_SLAVE, _READ_REGISTERS = 1, 3
_VERSION = 1
_NO_TILT = 0xFFFF
_SHANGHAI = timezone(timedelta(hours=8))

COVER_FIELDS = {"cover": ("tilt_deg", "open", "vibration")}
"""What registers 3000 to 3003 of such a cover hold, behind its version."""


def modbus_cover(values: Mapping[str, Any]) -> bytes:
    """The reply to `01 03 0BB8 0004`. A state that is not measured is 0 in it: a register has no other word."""
    tilt = values.get("tilt_deg")
    registers = (
        _VERSION,
        _NO_TILT if tilt is None else round(tilt),
        int(bool(values.get("open"))),
        int(bool(values.get("vibration"))),
    )
    data = b"".join(register.to_bytes(2, "big") for register in registers)
    reply = bytes((_SLAVE, _READ_REGISTERS, len(data))) + data
    return reply + checksum(reply)[::-1]


def _dtu_topic(site: Site) -> str:
    return f"dtu/{site.device.device_id}/up"


def _modbus(said: Said) -> bytes:
    return modbus_cover(said.values)


def _hj212_topic(site: Site) -> str:
    return f"hj212/{site.device.device_id}/up"


def _hj212(said: Said) -> bytes:
    """Flow in L/s with two decimals, temperature with one, each with its flag N (normal).

    QN says the second of its data: a packet whose bytes differ is another report, and none is told apart by QN alone.
    """
    moment = datetime.fromtimestamp(said.ts_ms // 1000, _SHANGHAI).strftime("%Y%m%d%H%M%S")
    parts = [f"DataTime={moment}"]
    for code, number in _pollutants(said.values):
        parts.append(f"{code}-Rtd={number},{code}-Flag=N")
    head = f"QN={moment}000;ST=21;CN=2011;PW=123456;MN={said.site.device.device_id};Flag=5;"
    segment = f"{head}CP=&&{';'.join(parts)}&&".encode()
    return b"##%04d%b%04X\r\n" % (len(segment), segment, hj212_checksum(segment))


def _pollutants(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    said = []
    if "flow_m3_h" in values:
        said.append(("w00000", f"{values['flow_m3_h'] / 3.6:.2f}"))
    if "temperature_c" in values:
        said.append(("w01010", f"{values['temperature_c']:.1f}"))
    return said


def hj212_checksum(data: bytes) -> int:
    """As appendix A of the standard: a byte goes into the lower half of what has moved down, then eight shifts."""
    register = 0xFFFF
    for byte in data:
        register = register >> 8 ^ byte
        register = register >> 8 ^ STEPS[register & 0xFF]
    return register


MODBUS_COVER = Writer(
    "dtu-modbus-cover", COVER_FIELDS, _dtu_topic, _modbus, steps={"tilt_deg": 1.0}, timed=False, damage="bit"
)
HJ212_PIPE = Writer(
    "dtu-hj212-pipe",
    {"pipe": ("flow_m3_h", "temperature_c")},
    _hj212_topic,
    _hj212,
    steps={"flow_m3_h": 0.036},
    step_ms=1000,
    damage="bit",
)
