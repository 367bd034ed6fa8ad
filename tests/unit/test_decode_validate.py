"""From bytes to rows: every reason to reject, what is set aside and kept, times and clocks. Nothing may break it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.judge.outcome import RuleInForce
from alerts.rules import shipped_pack
from ingest.arrival import Arrival
from ingest.decode import LARGEST, Item, Rejected, claims, decode, read_ahead
from ingest.flood import Allowance
from ingest.packets import ProtocolError, publishes
from ingest.reasons import MEANING, Rejection
from ingest.registry import FAMILY_NAMES, DeviceRows, Registry
from ingest.shape import plain_integers
from ingest.validate import Judged, event_time, storable, unknown_ids, validate
from ingest.validate import judge as judge_family
from tests.unit.payloads import COVER, any_json, payloads, topics
from underfoot.reports import NO_SEQ, Quality, Reports, canonical

NOW_US = 1_780_000_000_000_000
NOW_MS = NOW_US // 1000
DAY_MS = 86_400_000
CREATED = datetime(2026, 1, 1, tzinfo=UTC)


class Device(NamedTuple):
    device_id: str
    family: str
    district: int
    interval_s: int


DEVICES = (
    Device("C-1", "cover", 410502, 86_400),
    Device("C-2", "cover", 410503, 86_400),
    Device("P-1", "pipe", 410502, 900),
    Device("P-2", "pipe", 410502, 900),
    Device("R-1", "road", 410502, 900),
    Device("U-1", "pump", 410502, 60),
)


@pytest.fixture
def registry() -> Registry:
    return known_devices()


RULES = [RuleInForce(rule, 1) for rule in shipped_pack()]


def known_devices() -> Registry:
    made = Registry(RULES)
    some = len(DEVICES)
    made.take_in(
        DeviceRows(
            device_id=[device.device_id for device in DEVICES],
            device_key=np.arange(1, some + 1, dtype=np.int32),
            family=np.array([FAMILY_NAMES.index(device.family) for device in DEVICES], np.int16),
            district=np.array([device.district for device in DEVICES], np.int32),
            interval_s=np.array([device.interval_s for device in DEVICES], np.int32),
            registered_us=np.zeros(some, np.int64),
            gateway_key=np.zeros(some, np.int32),
            vendor_no=np.zeros(some, np.int32),
            vendors=["甲厂"],
        )
    )
    put(made, "C-1", "baseline", "tilt_deg", 3.5)
    put(made, "P-1", "from_ledger", "network", 1)  # a storm sewer by its asset's class
    put(made, "P-2", "from_ledger", "network", 0)
    put(made, "R-1", "from_ledger", "place", 1)
    return made


def put(registry: Registry, device_id: str, what: str, name: str, value: float) -> None:
    devices, slot = registry.at(registry.by_id[device_id])
    (devices.evaluator.baseline if what == "baseline" else devices.from_ledger)[name][slot] = value


class NoCodecs:
    def of(self, topic: str, declared: str | None) -> None:
        return None


def arrival(
    payload: Any,
    topic: str = COVER,
    *,
    packet_id: int = 7,
    dup: bool = False,
    retain: bool = False,
    received_us: int = NOW_US,
) -> Arrival:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    content, canonical_raw = read_ahead(raw)
    return Arrival(topic, raw, packet_id, 1, dup, retain, received_us, 1, None, content, canonical_raw)


def judge(registry: Registry, *arrivals: Arrival) -> Judged:
    items, undecodable = decode(arrivals, registry, NoCodecs())
    judged = validate(items, registry).settle()
    judged.rejected += undecodable
    return judged


@dataclass
class Row:
    """One stored row, as the table will have it."""

    values: dict[str, Any]
    ts_us: int
    quality: Quality
    seq: int | None
    extra: dict[str, Any]
    digest: int


def rows(judged: Judged) -> list[Row]:
    found = []
    for _, made, items in judged.families:
        assert len(items) == len(made)
        for n in range(len(made)):
            values = {name: column[n] for name, column in made.columns.items() if not np.isnan(column[n])}
            extra = json.loads(made.extra[n] or b"{}")
            quality = Quality(int(made.quality[n]))
            found.append(
                Row(
                    values,
                    int(made.ts_us[n]),
                    quality,
                    None if made.seq[n] == NO_SEQ else int(made.seq[n]),
                    extra,
                    int(made.digest[n]),
                )
            )
    return found


def only(registry: Registry, payload: Any, topic: str = COVER, **how: Any) -> Row:
    judged = judge(registry, arrival(payload, topic, **how))
    assert judged.rejected == []
    (row,) = rows(judged)
    return row


def cover(values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ts": NOW_MS, "values": values} | more


# rejected -----------------------------------------------------------------------------------------------------------

REJECTED: list[tuple[Rejection, Any, str]] = [
    (Rejection.undecodable, b"{", COVER),
    (Rejection.undecodable, b"\x00\x01\x02", COVER),
    (Rejection.undecodable, b" ", COVER),
    (Rejection.undecodable, b'{"values": {"tilt_deg": 1}} trailing', COVER),
    (Rejection.undecodable, '{"values": {"状态": "开"}}'.encode("gb18030"), COVER),
    (Rejection.undecodable, b'\xef\xbb\xbf{"values": {}}', COVER),
    (Rejection.undecodable, b'{"values": {"x": ' + b"[" * 3000 + b"]" * 3000 + b"}}", COVER),
    (Rejection.nested_too_deep, b'{"values": {"x": ' + b"[" * 32 + b"]" * 32 + b"}}", COVER),
    (Rejection.too_large, b'{"values": {}, "x": "' + b"x" * LARGEST + b'"}', COVER),
    (Rejection.nested_too_deep, b'{"values": {"x": ' + b"[" * 100 + b"]" * 100 + b"}}", COVER),
    (Rejection.undecodable, b'{"values": {"x": ' + b"9" * 5000 + b"}}", COVER),
    (Rejection.undecodable, b'{"values": {"open": true, "open": false}}', COVER),
    (Rejection.undecodable, b'{"ts": 1, "ts": 2, "values": {}}', COVER),
    (Rejection.undecodable, b'{"values": {"open": true}, "values": {"open": false}}', COVER),
    (Rejection.empty, b"", COVER),
    (Rejection.empty, b"[]", COVER),
    (Rejection.not_an_object, b"12", COVER),
    (Rejection.not_an_object, b'"open"', COVER),
    (Rejection.not_an_object, b"null", COVER),
    (Rejection.not_an_object, b"[1]", COVER),
    (Rejection.not_an_object, b"[[]]", COVER),
    (Rejection.values_missing, {}, COVER),
    (Rejection.values_missing, {"ts": NOW_MS, "values": None}, COVER),
    (Rejection.values_missing, {"ts": NOW_MS, "values": [1]}, COVER),
    (Rejection.values_missing, {"ts": NOW_MS, "tilt_deg": 80}, COVER),
    (Rejection.unknown_topic, cover({}), "underfoot/v1/410502/cover/C-1"),
    (Rejection.unknown_topic, cover({}), "underfoot/v2/410502/cover/C-1/report"),
    (Rejection.unknown_topic, cover({}), "underfoot/v1/4105/cover/C-1/report"),
    (Rejection.unknown_topic, cover({}), "underfoot/v1/４１０５０２/cover/C-1/report"),
    (Rejection.unknown_topic, cover({}), "underfoot/v1/410502/cover/C 1/report"),
    (Rejection.unknown_topic, cover({}), f"underfoot/v1/410502/cover/{'C' * 65}/report"),
    (Rejection.unknown_device, cover({}), "underfoot/v1/410502/cover/C-9/report"),
    (Rejection.family_mismatch, cover({}), "underfoot/v1/410502/pipe/C-1/report"),
    (Rejection.family_mismatch, cover({}), "underfoot/v1/410502/manhole/C-1/report"),
    (Rejection.area_mismatch, cover({}), "underfoot/v1/410503/cover/C-1/report"),
]


@pytest.mark.parametrize(("reason", "payload", "topic"), REJECTED)
def test_rejected_whole_with_its_reason(registry: Registry, reason: Rejection, payload: Any, topic: str) -> None:
    came = arrival(payload, topic)
    judged = judge(registry, came)
    assert judged.families == []
    (rejected,) = judged.rejected
    assert rejected.reason == reason
    assert rejected.arrival == came
    assert rejected.detail or reason is Rejection.empty
    if not isinstance(payload, bytes) or not payload.startswith(b"["):
        assert rejected.payload == came.payload
    if reason in (Rejection.unknown_device, Rejection.family_mismatch, Rejection.area_mismatch):
        assert rejected.device_id == topic.split("/")[4]


@pytest.mark.parametrize("ts", [None, "yesterday", NOW_MS - 8 * DAY_MS, NOW_MS + 6 * 60_000, 0, math.nan])
def test_retained_message_nobody_can_date(registry: Registry, ts: Any) -> None:
    """A broker gives it again at every subscribe: filed under its receipt, it would open (or close!) a cover anew."""
    (rejected,) = judge(registry, arrival({"ts": ts, "values": {"open": False}}, retain=True)).rejected
    assert rejected.reason == Rejection.retained_without_time


def test_retained_message_with_its_time_is_a_report(registry: Registry) -> None:
    assert only(registry, cover({"open": True}), retain=True).ts_us == NOW_US


def test_every_reason_has_its_meaning() -> None:
    assert MEANING.keys() == set(Rejection)


def test_array_is_judged_item_by_item(registry: Registry) -> None:
    payload = (
        b'[{"ts": %d, "values": {"tilt_deg": 1}}, 5, {"ts": 1}, {"values": {"open": true, "open": false}}, null,'
        b' {"ts": %d, "values": {"tilt_deg": 2}}]' % (NOW_MS - 1000, NOW_MS)
    )
    judged = judge(registry, arrival(payload))
    assert [row.values for row in rows(judged)] == [{"tilt_deg": 1}, {"tilt_deg": 2}]
    assert [(rejected.reason, rejected.payload) for rejected in judged.rejected] == [
        (Rejection.values_missing, b'{"ts":1}'),
        (Rejection.not_an_object, b"5"),
        (Rejection.undecodable, b'{"values":{"open":true,"open":false}}'),
        (Rejection.not_an_object, b"null"),
    ]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"values": {"open": true, "open": true}}',
        b'[{"values": {"open": true}}, {"values": {"open": false}}]',
        b'{"values": {"note": "\\"open\\": true, \\"open\\": false", "open": true}}',
        b'{"values": {"a": {"n": 1}, "b": {"n": 2}, "open" : true}}',
    ],
)
def test_no_contradiction(registry: Registry, payload: bytes) -> None:
    """The same name in several objects, in a text, or twice with one value, says nothing twice."""
    judged = judge(registry, arrival(payload))
    assert judged.rejected == []
    assert rows(judged)[0].values == {"open": 1}


# values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"NaN", "nan"),
        (b"Infinity", "inf"),
        (b"-Infinity", "-inf"),
        (b"1e999", "inf"),
        (b"-999", -999),
        (b"-9999", -9999),
        (b"65535", 65535),
        (b"180.1", 180.1),
        (b'"NaN"', "NaN"),
        (b'"N/A"', "N/A"),
        (b'""', ""),
        (b"[12.5]", [12.5]),
        (b'{"v": NaN}', {"v": "nan"}),
        (b"1" + b"0" * 400, 10**400),
        (b'"\\u0000"', "\\u0000"),
        (b'"\\ud800"', "\\ud800"),
    ],
)
def test_impossible_value_is_set_aside_and_the_rest_lives(registry: Registry, raw: bytes, kept: Any) -> None:
    row = only(registry, b'{"ts": %d, "values": {"tilt_deg": %s, "open": true}}' % (NOW_MS, raw))
    assert row.values == {"open": 1}
    assert row.extra == {"set_aside": {"tilt_deg": kept}}
    assert row.quality == Quality.values_set_aside


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("open", 2), ("open", "打开"), ("open", "2"), ("open", 0.5), ("open", []), ("rsrp_dbm", 114),
        ("o2_vol_pct", 30.1), ("water_below_rim_m", -5.1), ("battery_pct", 101), ("temperature_c", -999),
    ],
)  # fmt: skip
def test_vendors_codes_are_no_values(registry: Registry, name: str, value: Any) -> None:
    assert only(registry, cover({name: value})).extra == {"set_aside": {name: value}}


@pytest.mark.parametrize(
    ("said", "meant"),
    [(True, 1), (1, 1), (1.0, 1), ("true", 1), ("1", 1), ("on", 1), (False, 0), (0, 0), ("false", 0), ("0", 0)],
)
def test_ways_to_say_yes_and_no(registry: Registry, said: Any, meant: int) -> None:
    row = only(registry, cover({"open": said}))
    assert (row.values, row.extra) == ({"open": meant}, {})


@pytest.mark.parametrize(("said", "meant"), [("12.5", 12.5), (0, 0), (180, 180), (-0.0, 0.0), (1e-320, 0.0)])
def test_ways_to_say_a_number(registry: Registry, said: Any, meant: float) -> None:
    assert only(registry, cover({"tilt_deg": said})).values["tilt_deg"] == pytest.approx(meant)


def test_null_is_not_said(registry: Registry) -> None:
    row = only(registry, cover({"tilt_deg": None, "open": None}))
    assert (row.values, row.quality) == ({}, 0)


def test_enumeration_is_its_number_or_set_aside(registry: Registry) -> None:
    topic = "underfoot/v1/410502/road/R-1/report"
    assert only(registry, cover({"depth_cm": 3, "place": 0}), topic).values == {"depth_cm": 3, "place": 0}
    row = only(registry, cover({"depth_cm": 3, "place": 7}), topic)
    assert row.extra == {"set_aside": {"place": 7}}
    assert row.values["place"] == 1, "what the ledger says of the place stands in"


def test_ledger_answers_what_a_device_does_not_say(registry: Registry) -> None:
    def network(device_id: str, **said: int) -> float | None:
        topic = f"underfoot/v1/410502/pipe/{device_id}/report"
        return only(registry, cover({"fill_ratio": 0.5} | said), topic).values.get("network")

    assert network("P-1") == 1, "by its asset's class, 0103 雨水井盖"
    assert network("P-2") == 0, "by its own attribute"
    assert network("P-1", network=0) == 0, "what it says itself comes first"


def test_unknown_fields_and_keys_are_kept(registry: Registry) -> None:
    row = only(registry, cover({"tilt_deg": 1, "pressure": [1, {"a": None}], "型号": "JG"}, fw="1.2", seq=5))
    assert row.extra == {"values": {"pressure": [1, {"a": None}], "型号": "JG"}, "report": {"fw": "1.2"}}
    assert (row.quality, row.seq) == (Quality.fields_unknown, 5)


@pytest.mark.parametrize("seq", ["5", 5.5, True, 2**63, -(2**63), -(2**63) - 1, [5]])
def test_seq_that_is_none_is_kept(registry: Registry, seq: Any) -> None:
    row = only(registry, cover({"tilt_deg": 1}, seq=seq))
    assert row.seq is None
    assert row.extra == {"seq": seq}


@pytest.mark.parametrize("seq", [0, -1, 2**63 - 1, -(2**63) + 1])
def test_seq_at_its_bounds(registry: Registry, seq: int) -> None:
    assert only(registry, cover({"tilt_deg": 1}, seq=seq)).seq == seq


def test_name_that_is_half_a_character(registry: Registry) -> None:
    row = only(registry, b'{"ts": %d, "values": {"\\ud800": 1, "tilt_deg": -999, "open": true, "x": 2}}' % NOW_MS)
    assert row.values == {"open": 1}
    assert row.extra == {"set_aside": {"\\ud800": 1, "tilt_deg": -999}, "values": {"x": 2}}


def test_names_that_python_knows_are_only_names(registry: Registry) -> None:
    odd = {"__class__": 1, "model_config": 2, "self": 3, "__dict__": 4, "model_fields": 5, "": 6}
    assert only(registry, cover({"open": True} | odd)).extra == {"values": odd}


# what jsonb takes ---------------------------------------------------------------------------------------------------


def visible(value: Any) -> Any:
    """As it must be read back: what jsonb cannot hold as its visible text."""
    if isinstance(value, str):
        return re.sub("[\0\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {visible(name): visible(inner) for name, inner in value.items()}
    return [visible(inner) for inner in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text("ab\0\\u0", max_size=6), any_json | st.text('\0\\u0"', max_size=8), max_size=4))
def test_extra_is_json_that_jsonb_takes(extra: dict[str, Any]) -> None:
    raw = storable(extra)
    assert b"\0" not in raw
    read = json.loads(raw)
    if len({visible(name) for name in extra}) == len(extra):
        assert read == visible(extra)


@given(any_json)
def test_canonical_form_does_not_depend_on_order_or_space(value: Any) -> None:
    raw = canonical(value)
    again = json.loads(json.dumps(value, indent=2))
    assert canonical(again) == raw
    if isinstance(value, dict):
        assert canonical(dict(reversed(value.items()))) == raw


def test_reports_that_differ_only_in_what_is_no_number_differ() -> None:
    said = [canonical({"tilt_deg": value}) for value in (None, math.nan, math.inf, -math.inf, 0)]
    assert len(set(said)) == 5


# digests ------------------------------------------------------------------------------------------------------------


def digests(registry: Registry, *arrivals: Arrival) -> list[int]:
    return [row.digest for row in rows(judge(registry, *arrivals))]


def test_same_report_digests_the_same_however_it_is_written(registry: Registry) -> None:
    a, b, c = digests(
        registry,
        arrival(b'{"ts":%d,"values":{"tilt_deg":1.5,"open":false}}' % NOW_MS),
        arrival(b'{ "values": {"open": false, "tilt_deg": 1.50}, "ts": %d }' % NOW_MS, packet_id=8, dup=True),
        arrival(b'[{"ts":%d,"values":{"tilt_deg":1.5,"open":false}}]' % NOW_MS, packet_id=9, received_us=NOW_US + 5),
    )
    assert a == b == c


def test_report_without_a_usable_time_is_known_by_its_packet(registry: Registry) -> None:
    """Two heartbeats with one content are two reports; so are two items of one array."""
    for ts in (None, 1000, "soon"):
        beat = {"ts": ts, "values": {"open": False}}
        once, again, other = digests(
            registry, arrival(beat), arrival(beat, dup=True, received_us=NOW_US + 9), arrival(beat, packet_id=8)
        )
        assert once == again
        assert once != other
        first, second = digests(registry, arrival([beat, beat]))
        assert first != second


# times --------------------------------------------------------------------------------------------------------------

NOON = 1_780_056_000_000_000  # 2026-05-29T12:00:00Z


@pytest.mark.parametrize(
    ("ts", "expected_us"),
    [
        (NOON // 1000, NOON),
        (NOON / 1000 + 0.5, NOON + 500),
        ("2026-05-29T12:00:00Z", NOON),
        ("2026-05-29t12:00:00z", NOON),
        ("2026-05-29T20:00:00+08:00", NOON),
        ("2026-05-29T06:30:00-05:30", NOON),
        ("2026-05-29 20:00:00+08:00", NOON),
        ("2026-05-29T12:00:00.123Z", NOON + 123_000),
        ("2026-05-29T12:00:00.123456789Z", NOON + 123_456),
    ],
)
def test_times_that_can_be_read(ts: Any, expected_us: int) -> None:
    assert event_time(ts, NOON + 1) == (expected_us, 0)


UNREADABLE = [
    "2026-05-29T12:00:00", "2026-05-29", "2026-05-29 20:00:00", "12:00", "", "now", "1780056000000",
    "2026-02-30T12:00:00Z",
    "2026-05-29T24:30:00Z", "２０２６-05-29T12:00:00Z", "\0", True, False, [], {}, [NOON],
]  # fmt: skip
UNTRUSTED = [
    0, -1, 1, NOON // 1_000_000, NOON, math.nan, math.inf, -math.inf, 1e300, 10**400, -(10**400),
    "1970-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", NOON // 1000 - 7 * DAY_MS - 1, NOON // 1000 + 300_001,
]  # fmt: skip


@pytest.mark.parametrize("ts", UNREADABLE)
def test_time_that_cannot_be_read_is_that_of_receipt(ts: Any) -> None:
    assert event_time(ts, NOON) == (NOON, Quality.time_unreadable)


@pytest.mark.parametrize("ts", UNTRUSTED)
def test_time_that_cannot_be_trusted_is_that_of_receipt(ts: Any) -> None:
    assert event_time(ts, NOON) == (NOON, Quality.time_untrusted)


@pytest.mark.parametrize("off_ms", [-7 * DAY_MS, -DAY_MS, 0, 299_999, 300_000])
def test_time_inside_the_trusted_range(off_ms: int) -> None:
    assert event_time(NOON // 1000 + off_ms, NOON) == (NOON + off_ms * 1000, 0)


@given(any_json | st.text("0123456789-:TZ+. ") | st.datetimes().map(str))
def test_any_time_at_all(ts: Any) -> None:
    ts_us, mark = event_time(ts, NOON)
    assert (mark == 0) or ts_us == NOON
    assert NOON - 7 * DAY_MS * 1000 <= ts_us <= NOON + 300_000_000


@pytest.mark.parametrize("ts", ["soon", 5, True, "2026-05-29T12:00:00"])
def test_devices_own_time_is_kept(registry: Registry, ts: Any) -> None:
    row = only(registry, {"ts": ts, "values": {"open": True}})
    assert row.ts_us == NOW_US
    assert row.extra == {"device_ts": ts}


def test_absent_time_is_that_of_receipt(registry: Registry) -> None:
    row = only(registry, {"values": {"open": True}})
    assert (row.ts_us, row.quality, row.extra) == (NOW_US, Quality.time_absent, {})


# clocks -------------------------------------------------------------------------------------------------------------

HOUR_MS = 3_600_000


def told(registry: Registry, *said: tuple[int, int, int | None]) -> list[tuple[int, Quality]]:
    """(ms after NOW it came, off by so many ms, seq) → (ms after NOW it is filed under, its mark); one batch each."""
    found = []
    for came_ms, off_ms, seq in said:
        report = {"ts": NOW_MS + came_ms + off_ms, "values": {"open": True}} | ({} if seq is None else {"seq": seq})
        judged = judge(registry, arrival(report, received_us=NOW_US + came_ms * 1000))
        (row,) = rows(judged)
        found.append(((row.ts_us - NOW_US) // 1000, row.quality))
        remember(registry, judged)
    return found


def remember(registry: Registry, judged: Judged) -> None:
    """As the worker does after a commit."""
    for devices, made, _ in judged.families:
        outcome = devices.evaluator.judge(made)
        devices.evaluator.apply(outcome, made)
        for row in outcome.latest_rows:
            if (seq := int(made.seq[row])) != NO_SEQ:
                devices.evaluator.newest_seq[int(made.slot[row])] = seq


@pytest.mark.parametrize("seqs", [(1, 2), (None, None)])
@pytest.mark.parametrize("off_ms", [-NOW_MS, 8 * HOUR_MS, -8 * DAY_MS])
def test_clock_beyond_trust(registry: Registry, off_ms: int, seqs: tuple[int | None, int | None]) -> None:
    """1970, +8 h: filed under its receipt, and in order."""
    assert told(registry, (0, 0, seqs[0]), (60_000, off_ms, seqs[1])) == [
        (0, Quality(0)),
        (60_000, Quality.time_untrusted),
    ]


@pytest.mark.parametrize("off_ms", [-8 * HOUR_MS, -DAY_MS])
def test_clock_set_back_with_seq_is_news(registry: Registry, off_ms: int) -> None:
    assert told(registry, (0, 0, 1), (60_000, off_ms, 2), (120_000, off_ms, 3), (180_000, 0, 4)) == [
        (0, Quality(0)),
        (60_000, Quality.clock_stepped),
        (120_000, Quality.clock_stepped),
        (180_000, Quality(0)),
    ]


@pytest.mark.parametrize("off_ms", [-8 * HOUR_MS, -DAY_MS])
def test_clock_set_back_without_seq_is_left_late(registry: Registry, off_ms: int) -> None:
    assert told(registry, (0, 0, None), (60_000, off_ms, None)) == [(0, Quality(0)), (60_000 + off_ms, Quality(0))]


def test_clock_ahead_then_corrected(registry: Registry) -> None:
    assert told(registry, (0, 240_000, 1), (60_000, 0, 2), (90_000, 0, 3)) == [
        (240_000, Quality(0)),
        (60_000, Quality.clock_stepped),
        (90_000, Quality(0)),
    ]


def test_backlog_with_seq_stays_where_it_was(registry: Registry) -> None:
    """Newest first, or a gap filled later: a lower seq with an older time."""
    assert told(registry, (0, 0, 10), (1000, -HOUR_MS, 8), (2000, -2 * HOUR_MS, 9), (3000, 0, 11)) == [
        (0, Quality(0)),
        (1000 - HOUR_MS, Quality(0)),
        (2000 - 2 * HOUR_MS, Quality(0)),
        (3000, Quality(0)),
    ]


def test_backlog_in_order_after_silence(registry: Registry) -> None:
    said = [(n, -(10 - n) * HOUR_MS, n + 1) for n in range(10)]
    assert told(registry, *said) == [(n - (10 - n) * HOUR_MS, Quality(0)) for n in range(10)]


def test_counter_that_began_again_is_no_backlog(registry: Registry) -> None:
    """A device that was restarted counts from 0; its time goes on."""
    assert told(registry, (0, 0, 500), (60_000, 0, 0), (120_000, -HOUR_MS, 1)) == [
        (0, Quality(0)),
        (60_000, Quality(0)),
        (120_000, Quality.clock_stepped),
    ]


def test_stepped_clock_inside_one_batch(registry: Registry) -> None:
    judged = judge(
        registry,
        *(
            arrival({"ts": NOW_MS + off, "seq": seq, "values": {"open": True}}, received_us=NOW_US + seq, packet_id=seq)
            for seq, off in ((1, 240_000), (2, 0), (3, 10))
        ),
    )
    assert [row.quality for row in rows(judged)] == [0, Quality.clock_stepped, 0]


def test_a_report_that_is_too_deep_harms_no_other_of_its_array(registry: Registry) -> None:
    deep = b'{"values": {"x": ' + b"[" * 40 + b"]" * 40 + b"}}"
    payload = b'[{"ts": %d, "values": {"open": true}}, %b, {"ts": %d, "values": {"open": false}}]' % (
        NOW_MS,
        deep,
        NOW_MS,
    )
    judged = judge(registry, arrival(payload))
    assert [row.values for row in rows(judged)] == [{"open": 1}, {"open": 0}]
    (rejected,) = judged.rejected
    assert (rejected.reason, json.loads(rejected.payload)) == (Rejection.nested_too_deep, json.loads(deep))


def test_half_a_character_far_inside_is_refused_like_any_other_depth(registry: Registry) -> None:
    payload = b'{"values": {"x": "\\ud800", "y": ' + b"[" * 600 + b"]" * 600 + b"}}"
    (rejected,) = judge(registry, arrival(payload)).rejected
    assert (rejected.reason, rejected.payload) == (Rejection.undecodable, payload)


# two ways to one judgement -------------------------------------------------------------------------------------------

values_said = st.dictionaries(
    st.sampled_from(["tilt_deg", "open", "battery_pct", "energy", "place"]) | st.text(max_size=3),
    st.none() | st.booleans() | st.integers(-200, 200) | st.integers() | st.floats() | st.text(max_size=4) | any_json,
    max_size=6,
)


@given(
    st.lists(
        st.tuples(values_said, st.sampled_from(["ts", "seq", "values", "fw"]), any_json | st.integers(-9, 9)),
        max_size=5,
    ),
    st.sampled_from(["cover", "road"]),
)
def test_column_by_column_is_as_the_declaration_judges(
    said: list[tuple[dict[str, Any], str, Any]], family: str
) -> None:
    """What passes as plainly right is what the declaration itself would have made of it."""
    registry = known_devices()
    topic = f"underfoot/v1/410502/{family}/{'C-1' if family == 'cover' else 'R-1'}/report"
    items = []
    for n, (values, key, value) in enumerate(said):
        report = {"ts": NOW_MS + n, "seq": n, "values": values} | ({key: value} if key != "values" else {})
        came = arrival(json.dumps(report).encode(), topic, packet_id=n, received_us=NOW_US + n)
        items += decode([came], registry, NoCodecs())[0]
    if not items:
        return
    devices, slot = registry.at(registry.by_id["C-1" if family == "cover" else "R-1"])
    slots = np.full(len(items), slot, np.int32)
    quick = judge_family(devices, slots, items)
    slow = judge_family(devices, slots, items, doubt_all=True)
    for name in devices.family.fields:
        np.testing.assert_array_equal(quick.columns[name], slow.columns[name])
    for name in ("ts_us", "digest", "quality", "seq", "substituted"):
        np.testing.assert_array_equal(getattr(quick, name), getattr(slow, name))
    assert quick.extra == slow.extra


# whatever comes -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(payloads(NOW_MS), topics, st.booleans(), st.booleans()), max_size=8))
def test_anything_becomes_rows_and_rejections_that_add_up(
    came: list[tuple[bytes, str, bool, bool]],
) -> None:
    registry = known_devices()
    arrivals = [
        arrival(payload, topic, packet_id=n, dup=dup, retain=retain, received_us=NOW_US + n)
        for n, (payload, topic, dup, retain) in enumerate(came)
    ]
    items, undecodable = decode(arrivals, registry, NoCodecs())
    judged = validate(items, registry).settle()
    stored = sum(len(made) for _, made, _ in judged.families)
    assert stored + len(judged.rejected) == len(items)
    found = [*(item.arrival for item in items), *(one.arrival for one in undecodable)]
    assert {one.packet_id for one in found} == set(range(len(arrivals))), "none is lost"
    for _, made, its_items in judged.families:
        check_storable(made, its_items)
    for rejected in (*judged.rejected, *undecodable):
        check_kept(rejected)
    assert unknown_ids((item.claim for item in items), registry) == sorted(
        {str(one.device_id) for one in judged.rejected if one.reason is Rejection.unknown_device}
    )


def check_storable(made: Reports, items: list[Item]) -> None:
    for name, column in made.columns.items():
        low, high = made.family.column[name].low, made.family.column[name].high
        known = column[~np.isnan(column)]
        assert np.isfinite(known).all()
        assert low is None or high is None or ((known >= low) & (known <= high)).all()
    for n, item in enumerate(items):
        extra = made.extra[n]
        assert extra is None or (b"\0" not in extra and isinstance(orjson.loads(extra), dict))
        assert made.received_us[n] == item.arrival.received_us
        orjson.dumps(made.values[n])


def check_kept(rejected: Rejected) -> None:
    assert rejected.reason in Rejection
    assert rejected.payload or rejected.reason in (Rejection.empty, Rejection.unknown_topic)


def test_unknown_ids_are_looked_up_only_where_they_can_be_ids(registry: Registry) -> None:
    came = [
        arrival({}, f"underfoot/v1/410502/cover/{device_id}/report") for device_id in ("C-1", "N-1", "N-1", "a\0b", "")
    ]
    items, _ = decode(came, registry, NoCodecs())
    assert unknown_ids((item.claim for item in items), registry) == ["N-1"]
    assert unknown_ids(claims(came, registry), registry) == [], "plain JSON says it by its items"
    other = [one._replace(payload=b"\xa1", content=None, raw=b"") for one in came]
    assert unknown_ids(claims(other, registry), registry) == ["N-1"]


def test_what_is_judged_again_is_charged_once(registry: Registry) -> None:
    cover = registry.families["cover"]
    cover.allowance = Allowance(0.001, 5)
    items, _ = decode([arrival({"values": {"open": True}}) for _ in range(4)], registry, NoCodecs())
    validate(items, registry)
    assert validate(items, registry).settle().rejected == []
    over = validate(items, registry).settle()
    assert [one.reason for one in over.rejected] == [Rejection.rate_limited] * 3
    ((_, reports, kept),) = over.families
    assert len(reports) == len(kept) == 1
    assert over.flooding


def test_a_seq_that_is_none_makes_no_other_doubtful() -> None:
    numbers, odd = plain_integers([5.5, NO_SEQ, "x", 2**70, 7])
    assert odd.tolist() == [True, False, True, True, False]
    assert numbers.tolist() == [0, NO_SEQ, 0, 0, 7]


@pytest.mark.parametrize("packet", [b"\x30\x00", b"\x30\x01\x00", b"\x30\x80\x00", b"\x32\x03\x00\x01a"])
def test_a_packet_that_is_no_publish_is_named(packet: bytes) -> None:
    with pytest.raises(ProtocolError, match="bytes"):
        publishes(packet, 0, NOW_US, 1, read_ahead)
