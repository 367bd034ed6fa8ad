"""Rain as scenarios ask for it: design storms against the formula they come from, records, tables, moving cells."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from simulators.hydraulics.hydrographs import Series
from simulators.rain import RainError, hyetographs
from simulators.rain.chicago import Site, design_storm, site_named, sites
from simulators.rain.record import record_of
from simulators.rain.spread import minute_means
from simulators.scenario.model import Rain

ONE = {"G1": (0.0, 0.0)}
NOWHERE = Path("/nowhere")
_RAIN: TypeAdapter[Rain] = TypeAdapter(Rain)


def series(*said: dict[str, Any], gages: dict[str, tuple[float, float]] = ONE, minutes: int = 180) -> Series:
    rains = [_RAIN.validate_python(one) for one in said]
    return hyetographs(rains, gages, minutes * 60, NOWHERE)


def chicago(**changes: Any) -> dict[str, Any]:
    return {"rain": "chicago", "site": "shanghai", "period_years": 5, "minutes": 120} | changes


def fell_mm(table: Series) -> float:
    return float(table[:, 0].sum(dtype=np.float64) / 60)


# the formula --------------------------------------------------------------------------------------------------------


def test_q_of_shanghai_becomes_millimetres() -> None:
    # 1600 (1 + 0.846 lg 5) / (60 + 7)^0.656 = 161.43 L/(s·ha) over the worst hour of 5 years: 58.1 mm, by hand.
    q = 1600 * (1 + 0.846 * math.log10(5)) / 67**0.656
    assert q == pytest.approx(161.43, abs=0.01)
    # A litre a second on a hectare for an hour: 3.6 m³ on 10 000 m², 0.36 mm.
    assert float(site_named("shanghai").depth_mm(5, np.array(60.0))) == pytest.approx(q * 0.36)


def test_anyang_grows_by_a_power_of_the_period() -> None:
    hour = np.array(60.0)
    anyang = site_named("anyang")
    assert float(anyang.depth_mm(1, hour)) == pytest.approx(3680 / 76.7**0.858 * 0.36)
    assert float(anyang.depth_mm(10, hour) / anyang.depth_mm(1, hour)) == pytest.approx(10**0.4)


def test_every_site_has_a_source_and_rain_that_can_be() -> None:
    for name, site in sites().items():
        worst_hour = float(site.depth_mm(5, np.array(60.0)))
        assert 30 < worst_hour < 110, f"{name}: {worst_hour:.0f} mm in the worst hour of 5 years"
        assert site.mark in ("R", "M")


_sites = st.builds(
    Site,
    city=st.just("某市"),
    a=st.floats(300, 15000),
    c=st.floats(0.2, 1.5),
    b=st.floats(0.5, 45),
    n=st.floats(0.3, 0.98),
    mark=st.just("P"),
    source=st.just("made up for this test"),
)


@given(_sites, st.floats(0.5, 100), st.integers(5, 1440), st.floats(0.05, 0.95), st.floats(0, 1))
def test_every_duration_around_the_peak_holds_the_formulas_depth(
    site: Site, years: float, minutes: int, peak_at: float, part: float
) -> None:
    storm = design_storm(site, years, minutes, peak_at)
    peak, duration = peak_at * minutes, part * minutes
    from_to = np.array([peak - peak_at * duration, peak + (1 - peak_at) * duration])
    depth = float(site.depth_mm(years, np.array(duration)))
    assert float(np.diff(storm(from_to))[0]) == pytest.approx(depth, rel=1e-9, abs=1e-9)
    # No other stretch as long holds more.
    later = np.minimum(from_to[0] + np.linspace(0, minutes - duration, 7), minutes - duration)
    assert (storm(later + duration) - storm(later) <= depth + 1e-9).all()


@given(_sites, st.floats(0.5, 100), st.integers(5, 300), st.floats(0.05, 0.95), st.integers(0, 3600))
def test_block_means_lose_and_gain_nothing(site: Site, years: float, minutes: int, peak_at: float, begins: int) -> None:
    means = minute_means(design_storm(site, years, minutes, peak_at), begins, minutes + 61)
    assert (means >= 0).all()
    assert means.sum() / 60 == pytest.approx(float(site.depth_mm(years, np.array(float(minutes)))), rel=1e-9)
    assert not means[: begins // 60].any()


def test_instantaneous_intensity_is_the_published_one() -> None:
    site, r, t = site_named("shanghai"), 0.4, 20.0
    a, b, n = site.strength(5), site.b, site.n
    storm = design_storm(site, 5, 120, r)
    for sign, share in ((-1, r), (1, 1 - r)):
        at = 120 * r + sign * t
        slope = float(np.diff(storm(np.array([at - 1e-4, at + 1e-4])))[0] / 2e-4)
        assert slope == pytest.approx(a * ((1 - n) * t / share + b) / (t / share + b) ** (1 + n), rel=1e-6)


def test_a_formula_that_has_no_rain_for_so_short_a_period_says_so() -> None:
    with pytest.raises(RainError, match=r"郑州: period_years 0\.05"):
        series(chicago(site="zhengzhou", period_years=0.05))


def test_an_unknown_site_is_named_with_those_there_are() -> None:
    with pytest.raises(RainError, match="'atlantis' is none of anyang, beijing"):
        series(chicago(site="atlantis"))


# over the run -------------------------------------------------------------------------------------------------------


def test_a_storm_has_its_peak_where_it_was_asked_for() -> None:
    table = series(chicago(peak_at=0.4, begins="00:30"))
    assert table.shape == (181, 1)
    assert table.dtype == np.float32
    assert int(table[:, 0].argmax()) in (30 + 47, 30 + 48)
    assert not table[:30].any()
    assert not table[150:].any()
    assert fell_mm(table) == pytest.approx(float(site_named("shanghai").depth_mm(5, np.array(120.0))), rel=1e-5)


def test_rains_add_up_on_every_gage_alike() -> None:
    both = series(
        {"rain": "uniform", "mm_h": 12, "minutes": 60, "begins": "00:10:30"},
        {"rain": "uniform", "mm_h": 6, "minutes": 30, "begins": "00:20"},
        {"rain": "none"},
        gages={"B": (0, 0), "A": (900, 0)},
    )
    assert (both[:, 0] == both[:, 1]).all()
    assert both[10, 0] == pytest.approx(6), "half of that minute is dry"
    assert both[15, 0] == pytest.approx(12)
    assert both[25, 0] == pytest.approx(18)
    assert fell_mm(both) == pytest.approx(12 + 3, rel=1e-6)


def test_what_falls_after_the_run_is_not_in_it() -> None:
    assert fell_mm(series({"rain": "uniform", "mm_h": 60, "minutes": 600}, minutes=10)[:-1]) == pytest.approx(10)


def test_zhengzhous_hour_holds_what_was_published() -> None:
    table = series({"rain": "record", "event": "zhengzhou-0720"}, minutes=480)
    hours = table[:480, 0].reshape(8, 60).mean(axis=1)
    assert hours[3] == pytest.approx(201.9, abs=0.01)
    assert hours[2:5].sum() == pytest.approx(333, abs=0.01)
    assert hours[4:7].sum() == pytest.approx(552.5 - 201.9 - 200, abs=0.01)
    assert hours[7] == 0
    assert (table >= 0).all()
    assert np.abs(np.diff(table[180:240, 0])).max() < 12, "within the hour it swells and falls, it does not jump"
    record = record_of("zhengzhou-0720")
    assert [hour.mark for hour in record.hours] == ["P", "P", "P", "R", "P", "P", "P"]


def test_a_record_may_be_scaled() -> None:
    assert fell_mm(series({"rain": "record", "event": "zhengzhou-0720", "scale": 0.5}, minutes=480)) == pytest.approx(
        fell_mm(series({"rain": "record", "event": "zhengzhou-0720"}, minutes=480)) / 2, rel=1e-5
    )


def test_a_cell_comes_from_where_it_was_said_to() -> None:
    gages = {
        "west": (-3000.0, 0.0),
        "middle": (0.0, 0.0),
        "east": (3000.0, 0.0),
        "aside": (0.0, 2000.0),
        "south": (0.0, -2000.0),
    }
    cell = {"rain": "cell", "mm_h": 100, "width_m": 2000, "from_deg": 270, "speed_m_s": 5, "over_middle": "01:00"}
    table = series(cell, gages=gages)
    peaks = table.argmax(axis=0)
    assert peaks[0] < peaks[1] < peaks[2]
    assert peaks[1] in (59, 60)
    assert peaks[2] - peaks[1] == pytest.approx(10, abs=1), "3000 m at 5 m/s"
    assert table[:, 1].max() == pytest.approx(100, rel=0.01)
    assert table[:, 3].max() == pytest.approx(50, rel=0.01), "half as strong a half-width aside"
    assert not table[0].any()


def test_a_cell_from_the_north_meets_the_north_first() -> None:
    gages = {"north": (0.0, 3000.0), "south": (0.0, -3000.0)}
    cell = {"rain": "cell", "mm_h": 80, "width_m": 1500, "from_deg": 0, "speed_m_s": 5, "over_middle": "01:00"}
    north, south = series(cell, gages=gages).argmax(axis=0)
    assert north < south


# tables -------------------------------------------------------------------------------------------------------------


def from_csv(tmp_path: Path, text: str | bytes, gages: dict[str, tuple[float, float]] = ONE, **changes: Any) -> Series:
    raw = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "rain.csv").write_bytes(raw)
    rain = _RAIN.validate_python({"rain": "csv", "file": "rain.csv"} | changes)
    return hyetographs([rain], gages, 3600, tmp_path)


def test_a_value_of_a_table_holds_until_the_next(tmp_path: Path) -> None:
    table = from_csv(tmp_path, "\ufeffminute, mm_h\r\n0,12\r\n5,60\r\n10,0\r\n\r\n20,6\r\n", begins="00:02")
    assert table[:, 0].tolist()[:2] == [0, 0]
    assert table[2:7, 0].tolist() == [12] * 5
    assert table[7:12, 0].tolist() == [60] * 5
    assert not table[12:22].any()
    assert table[22:32, 0].tolist() == [6] * 10, "the last as long as the one before it"
    assert not table[32:].any()


def test_each_gage_has_its_own_rows(tmp_path: Path) -> None:
    table = from_csv(
        tmp_path, "minute,gage,mm_h\n0,甲,30\n0,乙,10\n1,甲,0\n", {"乙": (0, 0), "甲": (1, 1), "丙": (2, 2)}
    )
    assert table[0].tolist() == [10, 30, 0]
    assert not table[1:].any()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: columns none"),
        ("time,mm\n0,1\n", "line 1: columns time,mm; wanted: minute,mm_h"),
        ("minute,mm_h\n", "no line of rain"),
        ("minute,mm_h\n0,1\n1,heavy\n", "line 3, column mm_h: 'heavy'"),
        ("minute,mm_h\n0,-2\n", "line 2, column mm_h: '-2'"),
        ("minute,mm_h\n0,1e9\n", "line 2, column mm_h: '1e9' is not a number from 0 and at most 2000"),
        ("minute,mm_h\n0,nan\n", "line 2, column mm_h: 'nan'"),
        ("minute,mm_h\n5,1\n5,2\n", "line 3, column minute: 5 does not come after 5 of line 2"),
        ("minute,mm_h\n0\n", "line 2: 1 columns, and the header has 2"),
        ("minute,gage,mm_h\n0,G9,1\n", r"line 2, column gage: 'G9' is no gage of the network \(G1\)"),
        ("minute,mm_h\n0,1 # 大雨\n".encode("gbk"), "is not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_table_is_said_with_its_place(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    with pytest.raises(RainError, match=complaint):
        from_csv(tmp_path, text)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    rain = _RAIN.validate_python({"rain": "csv", "file": "none.csv"})
    with pytest.raises(RainError, match=r"none\.csv: No such file"):
        hyetographs([rain], ONE, 3600, tmp_path)
