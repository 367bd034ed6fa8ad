from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underfoot.families import FAMILIES
from underfoot.ledger.columns import COLUMNS, LedgerColumn, LedgerError, is_header, read_header
from underfoot.ledger.row import LAT_RANGE, LON_RANGE, OWN_ASSET_SCHEME, LedgerRow, parse

GOOD = {
    "device_id": "WF-0312",
    "family": "cover",
    "area_code": "410502003",
    "asset_code": "4105020103000312",
    "lon": "114.352812",
    "lat": "36.102345",
}


def understood(**changes: str) -> LedgerRow:
    row, faults = parse(GOOD | changes, {})
    assert not faults
    assert row is not None
    return row


def faults_of(**changes: str) -> dict[str, str]:
    row, faults = parse(GOOD | changes, {})
    assert row is None
    return {fault.column: fault.allowed for fault in faults}


def test_the_kind_is_in_the_code() -> None:
    row = understood()
    assert row.class_code == "0103"
    assert row.default_name == "雨水井盖"
    assert (row.lon, row.lat) == (114.352812, 36.102345)


def test_every_bad_cell_of_a_row_is_named_at_once() -> None:
    assert faults_of(lon="east", expected_interval_s="never", family="tram").keys() == {
        "lon",
        "expected_interval_s",
        "family",
    }


@given(st.floats(*LON_RANGE), st.floats(*LAT_RANGE))
def test_a_place_in_china_is_accepted_and_a_swapped_one_told(lon: float, lat: float) -> None:
    assert understood(lon=repr(lon), lat=repr(lat)).lon == lon
    assert "swapped" in faults_of(lon=repr(lat), lat=repr(lon))["lon"]


@pytest.mark.parametrize(
    ("lon", "lat", "column"), [("0", "0", "lon"), ("114.3", "60", "lat"), ("2.35", "48.86", "lon")]
)
def test_a_place_outside_china_is_refused(lon: str, lat: str, column: str) -> None:
    assert "inside China" in faults_of(lon=lon, lat=lat)[column]


def test_half_a_place_is_refused() -> None:
    assert "together" in faults_of(lat="")["lat"]
    row, faults = parse({name: cell for name, cell in GOOD.items() if name not in ("lon", "lat")}, {})
    assert row is not None
    assert not faults


def test_a_device_needs_a_family_and_a_district() -> None:
    assert faults_of(family="").keys() == {"family"}
    assert "6-digit district" in faults_of(area_code="4105")["area_code"]
    assert understood(device_id="", family="", area_code="4105").area_code == "4105"


def test_a_row_needs_an_asset_or_a_device() -> None:
    assert "device_id" in faults_of(device_id="", asset_code="")["asset_code"]


def test_a_device_without_an_asset_code_stands_for_its_asset() -> None:
    row = understood(asset_code="")
    assert (row.scheme, row.code) == (OWN_ASSET_SCHEME, "WF-0312")
    assert row.default_name == "WF-0312"


@pytest.mark.parametrize("code", ["410502010300031", "41050201030003120", "41050201030003AB", "３"])
def test_the_national_scheme_has_16_digits(code: str) -> None:
    assert "16 digits" in faults_of(asset_code=code)["asset_code"]


def test_18_digits_need_their_own_scheme_and_kind() -> None:
    code = "410502010300031299"
    assert "another code_scheme" in faults_of(asset_code=code)["asset_code"]
    assert faults_of(asset_code=code, code_scheme="GB/T 30428.2-202X").keys() == {"kind"}
    row = understood(asset_code=code, code_scheme="GB/T 30428.2-202X", kind="雨水井盖")
    assert (row.scheme, row.code, row.class_code) == ("GB/T 30428.2-202X", code, "0103")
    assert "reserved" in faults_of(asset_code=code, code_scheme=OWN_ASSET_SCHEME, kind="0103")["code_scheme"]


def test_a_kind_that_contradicts_the_code_is_refused() -> None:
    assert understood(kind="103").class_code == "0103"
    assert "0103" in faults_of(kind="0102")["kind"]


def test_an_empty_interval_is_the_family_s_and_an_absent_date_stays_unknown() -> None:
    for name, family in FAMILIES.items():
        assert understood(family=name, expected_interval_s="").interval_s == family.default_interval_s
    assert understood(expected_interval_s="15min").interval_s == 900


def test_repaired_before_found_is_refused() -> None:
    assert faults_of(defect_found_on="2024-05-02", defect_repaired_on="2024-05-01").keys() == {"defect_repaired_on"}


def test_headers_in_english_and_chinese_mean_the_same() -> None:
    english = read_header(["device_id", "family", "area_code", "asset_code", "lon", "expected_interval_s"])
    chinese = read_header(["＊设备编号", " 设备 类别", "区划代码", "部件编码", "经度（°）", "上报间隔（分钟）"])
    assert english.columns == chinese.columns
    assert (english.interval_unit, chinese.interval_unit) == ("s", "min")


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_column_is_known_under_each_of_its_headers(column: LedgerColumn) -> None:
    for title in (column.name, column.name.upper(), column.label, *column.aliases):
        others = [name for name in ("family", "area_code") if name != column.name]
        assert read_header([title, *others]).columns[0] == column.name


def test_an_unknown_header_is_an_attribute() -> None:
    header = read_header(["区划代码", "部件编码", "材质", "", "承载等级", ""])
    assert header.attributes == ("材质", "承载等级")
    assert header.present == ("area_code", "asset_code")


@pytest.mark.parametrize(
    ("titles", "message"),
    [
        (["部件编码", "地址"], "area_code"),
        (["device_id", "area_code"], "family"),
        (["部件编码", "区划代码", "asset_code"], "mean asset_code"),
        (["部件编码", "区划代码", "备注", "备注"], "headed '备注'"),
        (["部件编码", "区划代码", "经度(GCJ-02)"], "CGCS2000"),
        (["部件编码", "区划代码", "上报间隔(周)"], "s, min or h"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(titles: list[str], message: str) -> None:
    with pytest.raises(LedgerError, match=message.replace("(", r"\(")):
        read_header(titles)


def test_a_title_or_a_data_row_is_no_header() -> None:
    assert not is_header(["窨井盖台账", "", ""])
    assert not is_header(["WF-0312", "cover", "410502"])
    assert not is_header(["部件编码"])
    assert is_header(["序号", "部件编码", "区划代码"])
