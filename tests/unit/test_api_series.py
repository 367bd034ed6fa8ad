"""Filling gaps of a series on its grid: nothing is made up where nothing was measured for too long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.parameters import CITY_ZONE
from api.series import WIDTHS, Fill, bucket_items, columns_of, fill_gaps, statistics
from underfoot.families import FAMILIES

START = datetime(2026, 7, 1, tzinfo=UTC)
COLUMNS = columns_of("road", ["depth_cm"])
NAMES = ["reports", *(f"depth_cm.{each}" for each in statistics(COLUMNS[0]))]


def _frame(known: dict[int, float], minutes: int) -> pd.DataFrame:
    """Buckets of `minutes` that have one report each, by their number."""
    index = pd.DatetimeIndex([START + timedelta(minutes=minutes * n) for n in sorted(known)], tz="UTC", name="bucket")
    rows = [[1, 1, value, value, value, value, value] for _, value in sorted(known.items())]
    return pd.DataFrame(rows, columns=NAMES, index=index.tz_convert(CITY_ZONE), dtype=object)


def _filled(known: dict[int, float], count: int, fill: Fill, max_gap_min: int) -> list[dict[str, Any]]:
    span = (START, START + timedelta(minutes=10 * count))
    frame = fill_gaps(_frame(known, 10), COLUMNS, fill, WIDTHS["10m"], span, timedelta(minutes=max_gap_min))
    return bucket_items(frame, COLUMNS)


series = st.dictionaries(st.integers(0, 19), st.floats(-5, 1000, width=32), min_size=1)


@given(series, st.sampled_from(["empty", "previous", "linear"]), st.integers(1, 250))
def test_the_grid_is_whole_and_what_was_measured_stays(known: dict[int, float], fill: Fill, max_gap: int) -> None:
    items = _filled(known, 20, fill, max_gap)
    assert [item["ts"] for item in items] == [START + timedelta(minutes=10 * n) for n in range(20)]
    for n, item in enumerate(items):
        values = item["values"]["depth_cm"]
        assert item["reports"] == values["count"] == (1 if n in known else 0)
        if n in known:
            assert values["avg"] == values["last"] == pytest.approx(known[n])
        else:
            assert (values["min"], values["max"], values["sum"]) == (None, None, None)


@given(series, st.integers(1, 250))
def test_previous_carries_on_exactly_as_far_as_allowed(known: dict[int, float], max_gap: int) -> None:
    for n, item in enumerate(_filled(known, 20, "previous", max_gap)):
        before = max((k for k in known if k <= n), default=None)
        near = before is not None and (n - before) * 10 <= max_gap
        assert item["values"]["depth_cm"]["last"] == (known[before] if near and before is not None else None)


@given(series, st.integers(1, 250))
def test_linear_lies_between_its_neighbours_or_is_nothing(known: dict[int, float], max_gap: int) -> None:
    for n, item in enumerate(_filled(known, 20, "linear", max_gap)):
        before = max((k for k in known if k <= n), default=None)
        after = min((k for k in known if k >= n), default=None)
        drawn = item["values"]["depth_cm"]["avg"]
        if before is None or after is None or (n not in known and (after - before) * 10 > max_gap):
            assert drawn is None
        else:
            share = (n - before) / (after - before) if after > before else 0.0
            assert drawn == pytest.approx(known[before] + share * (known[after] - known[before]), abs=1e-6)


def test_a_state_has_no_average_and_an_enumeration_no_order() -> None:
    for family in FAMILIES.values():
        for column in family.columns:
            if column.type == "boolean":
                assert statistics(column) == ("count", "true", "last")
            elif column.choices:
                assert statistics(column) == ("count", "last")
            else:
                assert set(statistics(column)) == {"count", "min", "max", "avg", "sum", "last"}


def test_a_field_that_a_family_has_not() -> None:
    with pytest.raises(KeyError, match="depth_cm"):
        columns_of("cover", ["depth_cm"])
    assert [column.name for column in columns_of("cover", ["open", "tilt_deg", "open"])] == ["open", "tilt_deg"]
