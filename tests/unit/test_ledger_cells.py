from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from underfoot.ledger import cells
from underfoot.ledger.areas import LEVELS, PROVINCES, way_up

CODES = st.integers(min_value=10**15, max_value=2**53 - 1).map(str)
PARSERS: list[Callable[[str], object]] = [
    cells.text,
    cells.identifier,
    cells.device_id,
    cells.family,
    cells.area_code,
    cells.area_name,
    cells.kind,
    cells.coordinate,
    cells.interval,
    cells.date,
    cells.object_state,
    cells.status,
]


@given(st.sampled_from(PARSERS), st.text())
@example(cells.identifier, "9e999999999.+")
@example(cells.coordinate, "1e999999999999")
@example(cells.interval, "9" * 400)
@example(cells.date, "0000-00-00")
def test_a_cell_is_read_or_refused_with_a_reason(parse: Callable[[str], object], cell: str) -> None:
    reason = None
    try:
        parse(cell)
    except ValueError as error:
        reason = str(error)
    assert reason is None or " · " in reason, "Chinese and English"


@given(CODES)
def test_a_code_that_became_a_number_is_the_code(code: str) -> None:
    assert cells.identifier(code) == code
    assert cells.identifier(f"{code}.0") == code
    assert cells.identifier(f"{code[0]}.{code[1:]}E+15") == code
    assert cells.identifier(str(float(code))) == code


@given(CODES, st.integers(min_value=0, max_value=14))
def test_a_code_whose_digits_are_lost_is_refused(code: str, decimals: int) -> None:
    with pytest.raises(ValueError, match="lost digits"):
        cells.identifier(f"{int(code):.{decimals}E}")


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
@example("12E5")
@example("861E10")
@example("0012")
def test_the_marks_that_protect_a_code_are_taken_off(device: str) -> None:
    for written in (device, f"{device}\t", f'="{device}"', f"'{device}", f" {device} "):
        assert cells.device_id(written) == device


@pytest.mark.parametrize("cell", ["a b", "井1", "x" * 65, "a/b", "a#", "#N/A", "C\x001"])
def test_what_no_topic_can_carry_is_no_device_id(cell: str) -> None:
    with pytest.raises(ValueError, match="·"):
        cells.device_id(cell)


@pytest.mark.parametrize(
    ("cell", "family"), [("cover", "cover"), ("LAMP", "lamp"), ("智慧井盖", "cover"), ("多功能灯杆", "lamp"), ("", "")]
)
def test_a_family_is_known_by_name_and_label(cell: str, family: str) -> None:
    assert cells.family(cell) == family


@given(st.sampled_from(sorted(PROVINCES)), st.sampled_from(sorted(LEVELS)), st.data())
def test_an_area_code_has_a_way_up_to_its_province(province: str, digits: int, data: st.DataObject) -> None:
    rest = data.draw(st.from_regex(f"[1-9]{{{digits - 2}}}", fullmatch=True)) if digits > 2 else ""
    code = cells.area_code(province + rest)
    assert code == province + rest
    way = way_up(code)
    assert way[0] == code
    assert way[-1] == province
    assert all(below.startswith(above) and len(above) in LEVELS for below, above in pairwise(way))


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("410502000000", "410502"),
        ("410502003000", "410502003"),
        ("410502003001", "410502003001"),
        ("410502.0", "410502"),
        ("441900", "441900"),
        ("410500", "410500"),
    ],
)
def test_padding_of_an_area_code_is_taken_off(cell: str, code: str) -> None:
    assert cells.area_code(cell) == code


@pytest.mark.parametrize("cell", ["4", "41050", "991234", "文峰区", "4105020031"])
def test_what_is_no_area_code_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="·"):
        cells.area_code(cell)


@given(st.floats(min_value=-180, max_value=180))
def test_a_coordinate_keeps_its_decimals(degrees: float) -> None:
    assert cells.coordinate(repr(degrees)) == degrees
    assert cells.coordinate(f"{degrees:.6f}°") == float(f"{degrees:.6f}")


@pytest.mark.parametrize("cell", ["114°21'10\"", "东经114", "114,35", "nan", "inf", "1 1"])
def test_what_is_no_decimal_degree_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="degrees as a decimal"):
        cells.coordinate(cell)


@given(
    st.integers(min_value=1, max_value=360),
    st.sampled_from(
        [("", 1), ("s", 1), ("秒", 1), ("min", 60), ("分钟", 60), ("h", 3600), ("小时", 3600), ("天", 86_400)]
    ),
)
def test_an_interval_is_read_in_its_unit(number: int, unit: tuple[str, int]) -> None:
    name, seconds = unit
    assert cells.interval(f"{number}{name}") == number * seconds
    assert cells.interval(f"{number}.0 {name}") == number * seconds


@pytest.mark.parametrize("cell", ["0", "-5", "0.5", "15 parsecs", "367d", "often"])
def test_what_is_no_interval_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="1 s to 366 days"):
        cells.interval(cell)


@given(st.dates(min_value=dt.date(1900, 1, 1), max_value=dt.date(2199, 12, 31)))
def test_a_date_is_read_however_it_is_written(day: dt.date) -> None:
    for written in (
        f"{day:%Y-%m-%d}",
        f"{day.year}/{day.month}/{day.day}",
        f"{day.year}年{day.month}月{day.day}日",
        f"{day:%Y%m%d}",
        f"{day:%Y-%m-%d} 00:00:00",
    ):
        assert cells.date(written) == day


@pytest.mark.parametrize("cell", ["2024-06-31", "30.6.2024", "45473", "昨天"])
def test_what_is_no_date_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="2024-06-30"):
        cells.date(cell)


@pytest.mark.parametrize(("cell", "kind"), [("0103", "0103"), ("103", "0103"), ("雨水井盖", "0103"), ("2199", "2199")])
def test_a_kind_is_known_by_code_and_name(cell: str, kind: str) -> None:
    assert cells.kind(cell) == kind


def test_an_area_name_may_name_those_above() -> None:
    assert cells.area_name("安阳市/龙安区") == ("龙安区", "安阳市")
    assert cells.area_name("") == ()
    with pytest.raises(ValueError, match="龙安区"):
        cells.area_name("安阳市//龙安区")
