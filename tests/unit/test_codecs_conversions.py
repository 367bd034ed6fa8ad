"""What a mapping's words do to one value: where it is found, how it is compared and converted, when it was."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.conversions import MISSING, Time, Value
from ingest.codecs.paths import as_key, parse_path, without
from ingest.validate import event_time
from tests.unit.codec_frames import NOW_MS, NOW_US
from underfoot.reports import Quality


def value(raw: Any, **how: Any) -> Any:
    found = Value.model_validate({"path": "x"} | how)
    message = {"x": raw} if raw is not MISSING else {}
    return found.read(lambda path: path.find(message))


# paths --------------------------------------------------------------------------------------------------------------

MESSAGE = {"a": {"b": [10, {"code": "tilt", "value": 3}, {"code": 7, "value": 4}], "x.y": 5}, "n": None, "f": False}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b.0", 10),
        ("a.b.1.value", 3),
        ("a.b[code=tilt].value", 3),
        ("a.b[code=7].value", 4),
        ("$.a.b[code=7].value", 4),
        (r"a.x\.y", 5),
        ("f", False),
        ("n", None),
        ("a.b.3", None),
        ("a.b[code=9].value", None),
        ("a.b.-1", None),
        ("a.b.code", None),
        ("f.x", None),
        ("a[code=1]", None),
    ],
)
def test_a_path_finds_what_is_there(path: str, found: Any) -> None:
    assert parse_path(path).find(MESSAGE) == found


def test_what_is_read_is_left_out_of_what_is_kept() -> None:
    paths = [parse_path(path).steps for path in ("a.b[code=tilt].value", "a.b.0", "f", "nothing.there")]
    assert without(MESSAGE, paths) == {"a": {"b": [{"code": 7, "value": 4}], "x.y": 5}}
    assert without({"a": {"b": 1}}, [("a", "b")]) is None
    assert without({"a": {"b": 1}}, [("a",), ("a", "b")]) is None
    assert without({"a": 1, "n": None}, []) == {"a": 1}
    assert MESSAGE["a"]["b"][0] == 10, "the message itself stays"  # type: ignore[index]


@pytest.mark.parametrize(
    "same", [(1, 1.0, "1", " 01 ", "1.0", "+1"), (True, "true", "TRUE"), ("N", "n"), (2.5, "2.50")]
)
def test_a_value_is_known_however_it_is_written(same: tuple[Any, ...]) -> None:
    assert len({as_key(one) for one in same}) == 1


def test_values_that_differ_are_told_apart() -> None:
    different = [0, False, "", "off", -1, 1, True, 1.5, "1_5", "nan", "1e", "2026-07-01", 2**60, 2**60 + 1]
    assert len({as_key(one) for one in different}) == len(different)


# values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "how", "found"),
    [
        (22.4, {}, 22.4),
        ("22.4", {}, "22.4"),
        ([1], {}, [1]),
        (224, {"scale": 0.1}, 22.4),
        ("224", {"scale": 0.1, "offset": -2}, 20.4),
        (" 89 % ", {"suffix": "%"}, 89),
        ("89", {"suffix": "%"}, 89),
        (114, {"sign": "negative"}, -114),
        (-114, {"sign": "negative"}, -114),
        (-5, {"sign": "positive"}, 5),
        (6, {"bit": 1}, True),
        ("6", {"bit": 0}, False),
        (2**40, {"bit": 40}, True),
        (-9999, {"absent": [-9999]}, None),
        ("-9999.0", {"absent": [-9999]}, None),
        ("", {"absent": [""]}, None),
        ("ON", {"choices": {"on": True, "off": False}}, True),
        (2, {"choices": {0: False, 2: None}}, None),
        (MISSING, {"scale": 2}, MISSING),
        (None, {}, MISSING),
        (5, {"path": ["y", "x"]}, 5),
        (False, {"choices": {"true": 1, "false": 0}}, 0),
    ],
)
def test_a_value_is_converted(raw: Any, how: dict[str, Any], found: Any) -> None:
    assert value(raw, **how) == found


@pytest.mark.parametrize(
    ("raw", "how", "problem"),
    [
        ("abc", {"scale": 0.1}, "no number"),
        ("1_000", {"scale": 0.1}, "no number"),
        ("0x10", {"scale": 0.1}, "no number"),
        ("9" * 5000, {"scale": 0.1}, "no number"),
        (float("nan"), {"scale": 0.1}, "no number"),
        (1e299, {"scale": 1e300}, "too large"),
        ("jammed", {"choices": {"open": True, "closed": False}}, "none of open, closed"),
        (1.5, {"bit": 0}, "bits of what is no whole number"),
        (-1, {"bit": 0}, "bits of what is no whole number"),
        (5, {"valid_if": {"flag": ["N", "T"]}}, "flag = 'D'"),
    ],
)
def test_what_can_t_be_converted_stays_with_the_reason(raw: Any, how: dict[str, Any], problem: str) -> None:
    found = Value.model_validate({"path": "x"} | how).read(lambda path: path.find({"x": raw, "flag": "D"}))
    assert found["problem"] == problem
    assert found["given"] is raw


def test_a_value_is_valid_where_its_flag_is_not_there() -> None:
    assert value(5, valid_if={"flag": "N"}) == 5


@given(st.integers(-(10**6), 10**6), st.integers(1, 1000), st.integers(-100, 100))
def test_scaled_is_what_it_is_in_decimal(raw: int, tenths: int, offset: int) -> None:
    found = value(raw, scale=tenths / 10, offset=offset, sign=None)
    assert found == float(raw * Decimal(tenths) / 10 + offset)


# times --------------------------------------------------------------------------------------------------------------


def filed(raw: Any, **how: Any) -> tuple[int, int]:
    ts = Time.model_validate({"path": "t"} | how).read(lambda path: path.find({"t": raw}))
    return event_time(ts, NOW_US)


@pytest.mark.parametrize(
    ("raw", "how"),
    [
        (NOW_MS, {"unit": "ms"}),
        (str(NOW_MS), {"unit": "ms"}),
        (NOW_MS // 1000, {"unit": "s"}),
        (NOW_US, {"unit": "us"}),
        ("2026-07-01T12:00:00+08:00", {"unit": "rfc3339"}),
        ("2026-07-01 12:00:00", {"unit": "rfc3339", "zone": "Asia/Shanghai"}),
        ("2026-07-01 12:00:00", {"format": "%Y-%m-%d %H:%M:%S", "zone": "Asia/Shanghai"}),
        ("20260701120000000", {"format": "%Y%m%d%H%M%S%f", "zone": "Asia/Shanghai"}),
        (20260701120000, {"format": "%Y%m%d%H%M%S", "zone": "Asia/Shanghai"}),
        ("260701120000", {"format": "%y%m%d%H%M%S", "zone": "Asia/Shanghai"}),
        ("2026/07/01 04:00 +0000", {"format": "%Y/%m/%d %H:%M %z"}),
    ],
)
def test_a_time_is_read(raw: Any, how: dict[str, Any]) -> None:
    assert filed(raw, **how) == (NOW_US, 0)


@pytest.mark.parametrize(
    ("raw", "how", "mark"),
    [
        (None, {"unit": "ms"}, Quality.time_absent),
        ("soon", {"unit": "ms"}, Quality.time_unreadable),
        ("soon", {"format": "%Y%m%d", "zone": "Asia/Shanghai"}, Quality.time_unreadable),
        ("2026-07-01 12:00:00", {"unit": "rfc3339"}, Quality.time_unreadable),
        (NOW_MS, {"unit": "rfc3339"}, Quality.time_unreadable),
        ([1], {"unit": "s"}, Quality.time_unreadable),
        (True, {"format": "%Y%m%d", "zone": "Asia/Shanghai"}, Quality.time_unreadable),
        ("9" * 400, {"unit": "s"}, Quality.time_unreadable),
        (NOW_MS, {"unit": "s"}, Quality.time_untrusted),
        (10**290, {"unit": "s"}, Quality.time_untrusted),
        (0, {"unit": "s"}, Quality.time_untrusted),
        ("00010101", {"format": "%Y%m%d", "zone": "Asia/Shanghai"}, Quality.time_untrusted),
    ],
)
def test_a_time_that_can_t_be_is_marked_and_kept(raw: Any, how: dict[str, Any], mark: Quality) -> None:
    assert filed(raw, **how) == (NOW_US, mark)
