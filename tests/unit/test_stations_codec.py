"""The codec of SL 651-2014: from frames, published and made up, to reports; and the station map."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.contract import Codec, Decoded, Unusable
from ingest.codecs.sl651 import decode, station_codec
from ingest.codecs.sl651.elements import CHINA, read_elements, read_time
from ingest.codecs.sl651.stations import StationMapError, load_station_map
from tests.unit import sl651_frames as known
from tests.unit.sl651_frames import STATION, arrival, built, closed, observed, packets

RAIN, PIPE = f"{STATION}-rain", f"{STATION}-pipe"


def read(data: bytes, codec: Codec = decode) -> list[Decoded | Unusable]:
    return codec(arrival(data))


def reports(data: bytes, codec: Codec = decode) -> dict[str, list[dict[str, Any]]]:
    """Reports by device; there must be nothing else."""
    found: dict[str, list[dict[str, Any]]] = {}
    for item in read(data, codec):
        assert isinstance(item, Decoded), item
        found.setdefault(item.device_id, []).append(item.report)
    return found


def unusable(data: bytes) -> list[tuple[str, str]]:
    return [(item.reason.value, item.detail) for item in read(data) if isinstance(item, Unusable)]


# published frames -----------------------------------------------------------------------------------------------------


def test_a_timed_report() -> None:
    at = "2017-07-18T11:00:00+08:00"
    assert reports(known.TIMED) == {
        "0011223344-rain": [{"ts": at, "values": {"battery_v": 10.99}, "sl651": {"20": 4.0, "26": 4.0}}],
        "0011223344-pipe": [{"ts": at, "values": {"level_m": 10.49, "battery_v": 10.99}}],
    }
    assert [item.family for item in read(known.TIMED) if isinstance(item, Decoded)] == ["rain", "pipe"]


def test_an_hourly_report_becomes_reports_with_their_own_times() -> None:
    """0.5 mm fell between 11:10 and 11:15; the last of the series is the level at 12:00, which 39 says, too."""
    found = [item for item in read(known.HOURLY) if isinstance(item, Decoded)]
    rain = [item.report for item in found if item.family == "rain" and "amount_mm" in item.report["values"]]
    begin = datetime(2022, 6, 21, 11, 5, tzinfo=CHINA)
    times = [(begin + place * timedelta(minutes=5)).isoformat() for place in range(12)]
    assert [report["ts"] for report in rain] == times
    assert [report["values"]["amount_mm"] for report in rain] == [0, 0, 0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    levels = [item.report for item in found if item.family == "pipe"]
    assert [report["ts"] for report in levels] == [*times, times[-1]]
    assert [report["values"]["level_m"] for report in levels] == [7.24, 7.24] + [7.97] * 11
    assert levels[-1]["values"] == {"level_m": 7.97, "battery_v": 12.07}
    # The maker's own uniform series after that is kept, with where it begins.
    assert unusable(known.HOURLY) == [("unsupported_frame", "byte 104: element 79 79 in a uniform series")]


def test_what_the_map_does_not_read_is_kept_and_named() -> None:
    ((reason, detail),) = unusable(known.SOIL)
    assert reason == "unsupported_frame"
    assert detail.endswith("reads none of its elements: 0E, 03, 45, 38, FF02")


@pytest.mark.parametrize(
    ("data", "detail"),
    [(known.HEARTBEAT, "a heartbeat is no report"), (known.NO_STATION_CLASS, "function 4A: is not read")],
)
def test_functions_that_are_no_reports(data: bytes, detail: str) -> None:
    ((reason, said),) = unusable(data)
    assert (reason, detail in said) == ("unsupported_frame", True)


# elements -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [0x30, 0x31, 0x32, 0x33, 0x34, 0x35])
def test_elements_mean_the_same_in_every_report(function: int) -> None:
    frame = built(observed("2607011200", "39 23 00001234 38 12 1250"), function=function)
    assert reports(frame) == {
        PIPE: [{"ts": "2026-07-01T12:00:00+08:00", "values": {"level_m": 1.234, "battery_v": 12.5}}]
    }


@pytest.mark.parametrize(
    ("element", "level"),
    [
        ("39 1A 051300", 513.00),
        ("39 23 00000127", 0.127),
        ("39 2B FF00000127", -0.127),
        ("39 0B 01", 0.001),
        ("39 20 00000012", 12.0),
    ],
)
def test_digits_and_decimals(element: str, level: float) -> None:
    (report,) = reports(built(observed("2607011200", element)))[PIPE]
    assert report["values"] == {"level_m": level}


@pytest.mark.parametrize("nothing", ["FFFFFFFF", "AAAAAAAA"])
def test_no_value_is_no_value(nothing: str) -> None:
    (report,) = reports(built(observed("2607011200", f"39 23 {nothing} 3A 23 00001000 38 12 1250")), PIPE_3A)[PIPE]
    assert report["values"] == {"level_m": 1.0}


def test_a_value_that_is_no_number_is_kept_as_it_came() -> None:
    (report,) = reports(built(observed("2607011200", "39 23 00A01234 38 12 1250")))[PIPE]
    assert report["values"] == {"battery_v": 12.5}
    assert report["sl651"] == {"39": "00A01234"}


def test_status_and_unknown_elements_are_kept_beside() -> None:
    text = observed("2607011200", "39 23 00001234 45 20 00000012 03 11 0185 FF 85 08 24")
    (report,) = reports(built(text))[PIPE]
    assert report["sl651"] == {"45": "00000012", "03": 18.5, "FF85": 24.0}


def test_series_of_the_hour_with_gaps_on_the_hour() -> None:
    """Said to be observed at 12:00, it is the hour that ends there; FF is no value."""
    text = observed("2607011200", "F4 60 FF 01 FE" + "00" * 9 + "F5 C0 FFFF" + "0064" * 11)
    found = reports(built(text, function=0x34))
    assert [(report["ts"][11:16], report["values"]["amount_mm"]) for report in found[RAIN]][:3] == [
        ("11:10", 0.1),
        ("11:15", 25.4),
        ("11:20", 0.0),
    ]
    assert [report["ts"][11:16] for report in found[PIPE]][::10] == ["11:10", "12:00"]
    assert {report["values"]["level_m"] for report in found[PIPE]} == {1.0}


def test_a_uniform_series_and_the_voltage_after_it() -> None:
    text = observed("2607011200", "04 18 000030 39 23 00001000 FFFFFFFF 00003000 38 12 1250")
    found = reports(built(text, function=0x31))[PIPE]
    assert found == [
        {"ts": "2026-07-01T12:00:00+08:00", "values": {"level_m": 1.0}},
        {"ts": "2026-07-01T13:00:00+08:00", "values": {"level_m": 3.0}},
        {"ts": "2026-07-01T13:00:00+08:00", "values": {"battery_v": 12.5}},
    ]


def test_observation_time_before_the_station_and_none_at_all() -> None:
    turned = built(f"F0F0 2607011155 F1F1 {STATION} 48 39 23 00001000")
    assert reports(turned)[PIPE][0]["ts"] == "2026-07-01T11:55:00+08:00"
    without = built("39 23 00001000", sent="260701120110")
    assert reports(without)[PIPE][0]["ts"] == "2026-07-01T12:01:10+08:00"


def test_a_time_that_is_none_goes_on_as_it_came() -> None:
    """The path then files the report under its receipt and keeps what the device said."""
    (report,) = reports(built(observed("2613321299", "39 23 00001000")))[PIPE]
    assert report == {"ts": "2613321299", "values": {"level_m": 1.0}}
    assert read_time(bytes.fromhex("2A0701120000")) == "2a0701120000"


def test_sent_again_it_is_the_same_reports() -> None:
    text = observed("2607011105", "F4 60" + "05" * 12)
    first = built(text, function=0x34, serial=7, sent="260701120010")
    again = built(text, function=0x34, serial=8, sent="260701123010")
    assert reports(first) == reports(again)


def test_text_typed_by_hand_is_kept_for_people() -> None:
    ((reason, detail),) = unusable(built("F2F2" + "水位正常".encode("gb2312").hex(), function=0x35))
    assert (reason, detail) == ("unsupported_frame", "byte 0: a text typed by hand")


@pytest.mark.parametrize(
    "elements",
    ["39", "39 23 0000", "F4 58" + "00" * 11, "39 00", "04 18 000030 39 23 0000", "F3F3 FFD8"],
)
def test_what_cannot_be_read_on_is_kept_and_the_rest_lives(elements: str) -> None:
    found = read(built(observed("2607011200", "39 23 00001000" + elements)))
    assert [item.report["values"] for item in found if isinstance(item, Decoded)] == [{"level_m": 1.0}]
    (left,) = [item for item in found if isinstance(item, Unusable)]
    assert left.reason.value == "unsupported_frame"
    assert left.detail.startswith(f"byte {26 if elements.startswith('04') else 21}: ")


# messages -------------------------------------------------------------------------------------------------------------


def test_packets_are_read_as_one() -> None:
    text = bytes.fromhex(observed("2607011105", "F4 60" + "05" * 12 + "F5 C0" + "0064" * 12))
    whole = reports(built(text, function=0x34, serial=9))
    assert reports(b"".join(packets(text, 20))) == whole
    assert len(whole[RAIN]) == len(whole[PIPE]) == 12


def test_packets_that_are_not_all_there() -> None:
    first, _, third = packets(bytes(50), 20)
    ((reason, detail),) = unusable(first + third)
    assert (reason, detail) == ("unsupported_frame", "packets 1, 3 of 3")


def test_a_body_of_several_frames_is_read_frame_by_frame() -> None:
    broken = known.TIMED[:40] + b"\x55" + known.TIMED[41:]
    found = read(known.TEST_REPORT + broken + b"junk" + known.TIMED)
    assert [item.device_id for item in found if isinstance(item, Decoded)] == [
        "0012345678-rain",
        "0012345678-pipe",
        "0011223344-rain",
        "0011223344-pipe",
    ]
    assert [(item.reason.value, item.payload) for item in found if isinstance(item, Unusable)] == [
        ("checksum", broken),
        ("unsupported_frame", b"junk"),
    ]


def test_nothing_is_unusable_too() -> None:
    assert unusable(b"") == [("empty", "no byte")]


def mutated(data: bytes, changes: list[tuple[int, int]], *, mend: bool) -> bytes:
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(changed)] = value
    return closed(bytes(changed[:-3]), changed[-3]) if mend else bytes(changed)


@given(
    st.sampled_from([*known.PUBLISHED, *packets(b"\x39\x23" * 20, 20)]),
    st.lists(st.tuples(st.integers(14, 400), st.integers(0, 255)), max_size=8),
    st.booleans(),
)
def test_mutated_frames_never_raise(data: bytes, changes: list[tuple[int, int]], mend: bool) -> None:
    found = read(mutated(data, changes, mend=mend))
    assert found
    assert all(isinstance(item, (Decoded, Unusable)) for item in found)


@given(st.binary(max_size=300))
def test_any_bytes_never_raise(data: bytes) -> None:
    assert read(data)
    assert read(built(data))
    assert read_elements(data).left in (b"", data[len(data) - len(read_elements(data).left) :])


# the station map ------------------------------------------------------------------------------------------------------


def mapped(yaml: str, folder: Path) -> Codec:
    path = folder / "stations.yaml"
    path.write_text(yaml, encoding="utf-8")
    return station_codec(load_station_map(path))


PIPE_3A = station_codec(
    load_station_map().model_validate(
        [
            {
                "stations": ["*"],
                "devices": [{"device_id": "{station}-pipe", "family": "pipe", "fields": {"3A": "level_m"}}],
            }
        ]
    )
)


def test_the_first_entry_that_matches_reads_the_station(tmp_path: Path) -> None:
    codec = mapped(
        """
        - stations: ["00123*"]
          devices:
            - {device_id: "road-{station}", family: road, fields: {"39": depth_cm, "38": battery_v}}
        - stations: ["*"]
          devices:
            - {device_id: "{station}", family: pipe, fields: {"39": level_m, "27": flow_m3_h, "37": velocity_m_s}}
        """,
        tmp_path,
    )
    text = observed("2607011200", "39 23 00000127 27 2B 0000000250 37 1B 000500 38 12 1250")
    ((device, (report,)),) = reports(built(text), codec).items()
    assert (device, report["values"]) == ("road-0012345678", {"depth_cm": 12.7, "battery_v": 12.5})
    ((device, (report,)),) = reports(built(text, station="0099000001"), codec).items()
    assert device == "0099000001"
    assert report["values"] == {"level_m": 0.127, "flow_m3_h": 900.0, "velocity_m_s": 0.5}


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ('{device_id: "{station}", family: cover, fields: {"39": level}}', "the family cover has no such field"),
        ('{device_id: "{station}", family: drain, fields: {"39": level_m}}', "family = 'drain': one of cover, road"),
        ('{device_id: "gauge", family: pipe, fields: {"39": level_m}}', "device_id = 'gauge'"),
        ('{device_id: "{station} x", family: pipe, fields: {"39": level_m}}', "device_id = '{station} x'"),
        ('{device_id: "{station}", family: rain, fields: {"20": amount_mm}}', "a running total"),
        ('{device_id: "{station}", family: rain, fields: {"22": amount_mm, F4: amount_mm}}', "would count twice"),
        ('{device_id: "{station}", family: road, fields: {"20": depth_cm}}', "in mm, which is not turned into cm"),
        ('{device_id: "{station}", family: road, fields: {"48": depth_cm}}', "an element without a unit"),
        ('{device_id: "{station}", family: road, fields: {"38": battery_v}}', "shown_by: empty"),
        ('{device_id: "{station}", family: road, fields: {"39": depth_cm}, also: 1}', "Extra inputs"),
    ],
)
def test_a_wrong_map_says_where_and_what(device: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(StationMapError, match="stations_map = ") as raised:
        mapped(f'- {{stations: ["*"], devices: [{device}]}}', tmp_path)
    assert said in str(raised.value)


def test_a_map_that_is_not_there_or_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(StationMapError, match="cannot be read"):
        load_station_map(tmp_path / "none.yaml")
    with pytest.raises(StationMapError, match="not YAML"):
        mapped("- [", tmp_path)
