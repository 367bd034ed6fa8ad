"""The codec of SL 651-2014 (水文监测数据通信规约): from a station's frame to the reports in it.

A message is one frame, or the packets of one, as the listener (ingest.stations) has put it into the inbox. A station
is no device: the station map says which of its elements are which device's fields. docs/stations.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from ingest.arrival import Arrival
from ingest.codecs.contract import Codec, Decoded, Unusable
from ingest.codecs.sl651.elements import STATUS, VOLTAGE, Reading, read_elements, read_time
from ingest.codecs.sl651.frame import HEARTBEAT, MANUAL, TEST, Frame, FrameError, Said, join
from ingest.codecs.sl651.packets import Packets
from ingest.codecs.sl651.split import Splitter
from ingest.codecs.sl651.stations import MappedDevice, StationMap, load_station_map
from ingest.reasons import Rejection

__all__ = ["decode", "station_codec"]

_READ = range(TEST, MANUAL + 1)
_VOLTAGE, _STATUS = f"{VOLTAGE:02X}", f"{STATUS:02X}"
_WHOLE_STATION = (_VOLTAGE, _STATUS)
_Time = datetime | str | None


def station_codec(station_map: StationMap) -> Codec:
    """The codec that reads stations as this map says."""

    def decode(arrival: Arrival) -> list[Decoded | Unusable]:
        found: list[Decoded | Unusable] = []
        for said in _messages(arrival.payload):
            found += [said] if isinstance(said, Unusable) else _reports(said, arrival.payload, station_map)
        return found or [Unusable(arrival.payload, Rejection.empty, "no byte")]

    return decode


def _messages(payload: bytes) -> list[Said | Unusable]:
    """What a body says, message by message; the packets of one message are put together."""
    splitter, packets = Splitter(), Packets()
    found: list[Said | Unusable] = []
    for piece in splitter.feed(payload) + splitter.settle():
        if piece.frame is None:
            problem = piece.problem or FrameError(Rejection.unsupported_frame, "no frame")
            found.append(Unusable(piece.data, problem.reason, str(problem)))
        elif not piece.frame.total:
            found.append(join([piece.frame]))
        else:
            found += [_incomplete(left) for left in packets.add(piece.frame)]
            if (whole := packets.take_whole()) is not None:
                found.append(join(whole))
    return found + [_incomplete(left) for left in packets.give_up()]


def _incomplete(frames: list[Frame]) -> Unusable:
    detail = f"packets {', '.join(str(frame.number) for frame in frames)} of {frames[0].total}"
    return Unusable(b"".join(frame.data for frame in frames), Rejection.unsupported_frame, detail)


def _reports(said: Said, payload: bytes, station_map: StationMap) -> list[Decoded | Unusable]:
    if said.function not in _READ:
        what = "a heartbeat is no report" if said.function == HEARTBEAT else "is not read"
        return [Unusable(payload, Rejection.unsupported_frame, f"function {said.function:02X}: {what}")]
    contents = read_elements(said.text)
    sent = read_time(said.sent)
    readings = [reading._replace(at=sent) if reading.at is None else reading for reading in contents.readings]
    shared = [reading for reading in readings if reading.element in _WHOLE_STATION]
    found: list[Decoded | Unusable] = []
    devices = station_map.devices(said.station)
    for device in devices:
        device_id = device.device_id.replace("{station}", said.station)
        others = frozenset[str]().union(*(other.elements for other in devices if other is not device))
        own = [reading for reading in readings if reading.element not in others - device.elements]
        found += [
            Decoded(device_id, report, payload, family=device.family) for report in _of_device(device, own, shared)
        ]
    if contents.why:
        found.append(Unusable(payload, Rejection.unsupported_frame, contents.why))
    elif not found:
        elements = ", ".join(dict.fromkeys(reading.element for reading in readings)) or "none"
        detail = f"station {said.station}: its entry of the station map reads none of its elements: {elements}"
        found.append(Unusable(payload, Rejection.unsupported_frame, detail))
    return found


def _of_device(device: MappedDevice, readings: list[Reading], shared: list[Reading]) -> list[dict[str, Any]]:
    """The device's reports: one for each time of a series, and one for each observation time of its other elements.

    What holds for the whole station (voltage, status) goes to the newest observation. Serial and sending time stand in
    none of them: sent again, a report is the same report.
    """
    shows = [reading for reading in readings if reading.element in device.shown_by]
    series: dict[_Time, dict[str, float]] = {}
    observed: dict[_Time, list[Reading]] = {}
    for reading in shows:
        if reading.series and reading.element in device.fields and isinstance(reading.value, Decimal):
            field, value = device.value(reading.element, reading.value)
            series.setdefault(reading.at, {})[field] = value
        elif not reading.series:
            observed.setdefault(reading.at, [])
    for reading in readings:
        if not reading.series and reading.element not in _WHOLE_STATION and reading.at in observed:
            observed[reading.at].append(reading)
    if not observed and series:
        observed[_newest(series)] = []
    if observed:
        observed[_newest(observed)] += shared
    reports = [{"ts": _ts(at), "values": values} for at, values in series.items()]
    for at, those in observed.items():
        report = _observed(device, at, those)
        if report["values"] or len(report) > 2:
            reports.append(report)
    # By their time, so that none is late by its place in the frame.
    return sorted(reports, key=lambda report: str(report["ts"]))


def _observed(device: MappedDevice, at: _Time, readings: list[Reading]) -> dict[str, Any]:
    values: dict[str, float] = {}
    beside: dict[str, float | str] = {}
    for reading in readings:
        if isinstance(reading.value, str):
            beside[reading.element] = reading.value
        elif reading.element in device.fields:
            field, value = device.value(reading.element, reading.value)
            values[field] = value
        else:
            beside[reading.element] = float(reading.value)
    report: dict[str, Any] = {"ts": _ts(at), "values": values}
    if beside:
        report["sl651"] = beside
    return report


def _newest(times: Iterable[_Time]) -> _Time:
    return max(times, key=lambda at: (isinstance(at, datetime), str(at)))


def _ts(at: _Time) -> str | None:
    return at.isoformat() if isinstance(at, datetime) else at


decode = station_codec(load_station_map())
"""The codec with the shipped station map."""
