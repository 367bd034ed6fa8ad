"""What water does in a pipe: against published figures, and against what must hold whatever the pipe."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from alerts.drainage.hydraulics import (
    FULLEST,
    Bore,
    capacity_m3_s,
    expected_head_m,
    flow_m3_s,
    friction_slope,
    head_loss_m,
    normal_fill,
    section,
    travel_time_s,
    velocity_m_s,
)

FOOT_M = 0.3048
CUBIC_FOOT_M3 = FOOT_M**3

DN300 = Bore(0.3, 60, 0.005, 0.013)

bores = st.builds(
    Bore,
    diameter_m=st.floats(0.1, 5),
    length_m=st.floats(1, 500),
    slope=st.floats(1e-4, 0.2),
    roughness=st.floats(0.009, 0.027),
)
fills = st.floats(0.0, 1.0)


@pytest.mark.parametrize(
    ("diameter_in", "slope", "cfs"),
    [
        # An 8 in pipe at 0.5 %, n = 0.013, full: 0.854 cfs at 2.448 ft/s (civiltoolbox.com/manningpipe, worked example)
        (8, 0.005, 0.854),
        # Full flow at 1 %, n = 0.013 (Concrete Pipe Design Manual, table of full flow coefficients: 35.7 and 226)
        (12, 0.01, 3.57),
        (24, 0.01, 22.6),
    ],
)
def test_a_full_pipe_carries_what_the_tables_say(diameter_in: float, slope: float, cfs: float) -> None:
    pipe = Bore(diameter_in / 12 * FOOT_M, 100, slope, 0.013)
    assert capacity_m3_s(pipe) / CUBIC_FOOT_M3 == pytest.approx(cfs, rel=0.005)


@pytest.mark.parametrize(
    ("fill", "area", "radius", "velocity", "flow"),
    [
        # Geometric elements (Chow 1959, appendix A: A/D², R/D) and, for a constant n, fig. 6-5: V/V0, Q/Q0.
        (0.25, 0.1535, 0.1466, 0.701, 0.137),
        (0.5, 0.3927, 0.2500, 1.0, 0.5),
        (0.75, 0.6319, 0.3017, 1.134, 0.912),
        (0.81, 0.6815, 0.3043, 1.140, 0.989),
        (0.94, 0.7662, 0.2895, 1.103, 1.076),
        (1.0, 0.7854, 0.2500, 1.0, 1.0),
    ],
)
def test_a_part_full_pipe_is_as_in_chow(fill: float, area: float, radius: float, velocity: float, flow: float) -> None:
    water = section(1.0, fill)
    assert water.area_m2 == pytest.approx(area, abs=0.0002)
    assert water.radius_m == pytest.approx(radius, abs=0.0002)
    assert velocity_m_s(DN300, fill) / velocity_m_s(DN300) == pytest.approx(velocity, abs=0.003)
    assert flow_m3_s(DN300, fill) / capacity_m3_s(DN300) == pytest.approx(flow, abs=0.002)


def test_a_dn300_by_hand() -> None:
    # R = D/4 = 0.075; V = 0.075^(2/3) √0.005 / 0.013 = 0.967 m/s; Q = 0.0684 m³/s; 60 m in 62 s
    assert velocity_m_s(DN300) == pytest.approx(0.967, abs=0.001)
    assert capacity_m3_s(DN300) == pytest.approx(0.0684, abs=0.0001)
    assert travel_time_s(DN300, 0.6) == pytest.approx(62.0, abs=0.1)
    # At its capacity friction takes what it falls, 0.3 m; with K = 0.5 also half of V²/2g = 0.0477 m.
    assert head_loss_m(DN300, capacity_m3_s(DN300)) == pytest.approx(0.3, abs=1e-9)
    assert head_loss_m(DN300, capacity_m3_s(DN300), 0.5) == pytest.approx(0.3238, abs=0.0002)


def test_a_pipe_that_does_not_fall_carries_nothing_by_gravity_and_takes_the_slowest_time() -> None:
    for slope in (0.0, -0.01):
        pipe = replace(DN300, slope=slope)
        assert capacity_m3_s(pipe) == 0
        assert normal_fill(pipe, 0.01) is None
        assert travel_time_s(pipe, 0.6) == 100


@pytest.mark.parametrize("name", ["diameter_m", "length_m", "roughness"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_a_pipe_without_size_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} = "):
        replace(DN300, **{name: value})


@given(bores, fills, fills)
def test_more_water_fills_more_and_to_the_fullest_carries_more(bore: Bore, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert section(bore.diameter_m, low).area_m2 <= section(bore.diameter_m, high).area_m2
    assert section(bore.diameter_m, low).wetted_m <= section(bore.diameter_m, high).wetted_m
    if high <= FULLEST:
        assert flow_m3_s(bore, low) <= flow_m3_s(bore, high) * (1 + 1e-12)


@given(bores, fills)
def test_a_little_more_depth_is_a_little_more_of_everything(bore: Bore, fill: float) -> None:
    """No jump anywhere, the empty and the full pipe included."""
    step = 1e-6
    here, there = section(1.0, fill), section(1.0, fill + step)
    assert there.area_m2 - here.area_m2 <= 1.01 * step  # the surface is never wider than the pipe
    assert there.wetted_m - here.wetted_m <= 3 * math.sqrt(step)  # the wall closes in at the crown and at the invert
    assert abs(flow_m3_s(bore, fill + step) - flow_m3_s(bore, fill)) <= 0.01 * capacity_m3_s(bore)


@given(st.floats(-2, 3))
def test_dry_is_empty_and_surcharged_is_full(fill: float) -> None:
    if fill <= 0:
        assert section(0.4, fill).area_m2 == section(0.4, fill).radius_m == 0
    if fill >= 1:
        assert section(0.4, fill) == section(0.4, 1.0)
        assert section(0.4, fill).area_m2 == pytest.approx(math.pi * 0.04)


@given(bores, st.floats(0.001, FULLEST))
@example(Bore(2.83094446943608, 1.0, slope=0.0625, roughness=0.015625), FULLEST)
def test_the_normal_depth_of_a_flow_is_the_depth_that_carries_it(bore: Bore, fill: float) -> None:
    found = normal_fill(bore, flow_m3_s(bore, fill))
    assert found == pytest.approx(fill, abs=1e-6)


@given(bores)
def test_nothing_runs_at_no_depth_and_too_much_at_none(bore: Bore) -> None:
    assert normal_fill(bore, 0) == 0
    most = flow_m3_s(bore, FULLEST)
    assert most == pytest.approx(1.076 * capacity_m3_s(bore), rel=0.001)
    assert normal_fill(bore, most * 1.001) is None


@given(bores, st.floats(1.01, 4))
def test_steeper_wider_and_smoother_pipes_carry_more_and_are_passed_sooner(bore: Bore, factor: float) -> None:
    better = [
        replace(bore, slope=bore.slope * factor),
        replace(bore, diameter_m=bore.diameter_m * factor),
        replace(bore, roughness=bore.roughness / factor),
    ]
    for other in better:
        assert capacity_m3_s(other) > capacity_m3_s(bore)
        assert travel_time_s(other, 0.01) <= travel_time_s(bore, 0.01)
    # Q ~ S^½, D^(8/3), 1/n
    for other, power in zip(better, (0.5, 8 / 3, 1), strict=True):
        assert capacity_m3_s(other) / capacity_m3_s(bore) == pytest.approx(factor**power, rel=1e-6)


@given(bores, st.floats(0.001, 10), st.floats(1.01, 3))
def test_friction_grows_with_the_square_of_the_flow_and_with_the_length(bore: Bore, flow: float, factor: float) -> None:
    assert head_loss_m(bore, flow * factor, 0.5) == pytest.approx(head_loss_m(bore, flow, 0.5) * factor**2)
    assert head_loss_m(replace(bore, length_m=bore.length_m * factor), flow) == pytest.approx(
        head_loss_m(bore, flow) * factor
    )


@given(bores)
def test_at_its_capacity_friction_takes_what_the_pipe_falls(bore: Bore) -> None:
    assert friction_slope(bore, capacity_m3_s(bore)) == pytest.approx(bore.slope)


@given(bores, st.floats(0.0, 3), st.floats(0.0, 3), st.floats(-1, 8), st.floats(-1, 8))
def test_more_flow_and_a_higher_tailwater_never_lower_the_head_to_expect(
    bore: Bore, one: float, other: float, tail: float, tail_too: float
) -> None:
    """`one` and `other` in shares of the capacity, tailwaters from the lower invert."""
    down = 100 - bore.slope * bore.length_m
    less, more = sorted((one * capacity_m3_s(bore), other * capacity_m3_s(bore)))
    low, high = sorted((tail, tail_too))

    def head(flow: float, tailwater: float) -> float:
        return expected_head_m(bore, flow, 100, down + tailwater, 0.5)

    assert head(less, low) <= head(more, low) + 1e-9
    assert head(less, low) <= head(less, high) + 1e-9
    assert head(less, low) >= max(100, down + low) - 1e-9
    assume(more < 0.99 * capacity_m3_s(bore))
    # A tailwater that creeps up moves the head by as much, and by friction over what it fills: no jump at the crown.
    gap = bore.slope - friction_slope(bore, more)
    lost = head_loss_m(bore, more, 0.5) / (gap * bore.length_m)
    assert head(more, low + 1e-6) - head(more, low) <= 1e-6 * (1 + lost) + 1e-9


def test_a_surcharged_pipe_needs_the_head_that_friction_takes() -> None:
    twice = 2 * capacity_m3_s(DN300)
    # Sf = 4 × 0.005 over 60 m: 1.2 m above the lower crown, which is at 99.7 + 0.3.
    assert expected_head_m(DN300, twice, 100, 90) == pytest.approx(101.2)
    assert expected_head_m(DN300, twice, 100, 100.5) == pytest.approx(101.7)


def test_a_pipe_that_rises_is_full_up_to_its_lower_end() -> None:
    rising = replace(DN300, slope=-0.005)
    assert expected_head_m(rising, 0.0, 100, 99) == pytest.approx(100.3)
    assert expected_head_m(rising, 0.001, 100, 99) == pytest.approx(100.6, abs=0.001)
