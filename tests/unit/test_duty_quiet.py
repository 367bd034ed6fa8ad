"""Quiet hours by the city's clock and calendar; how they are written."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alerts.duty.calendar import Calendar
from alerts.duty.shifts import Quiet, quiet_until
from underfoot.city_time import CITY_ZONE

CALENDAR = Calendar()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CITY_ZONE)


def until(now: str, *spans: str) -> str | None:
    found = quiet_until([Quiet.parsed(span) for span in spans], at(now), CALENDAR)
    return None if found is None else f"{found.astimezone(CITY_ZONE):%m-%d %H:%M}"


def test_over_midnight_it_belongs_to_the_day_on_which_it_begins() -> None:
    night = "22:00-07:00"
    assert until("2026-07-01T21:59", night) is None
    assert until("2026-07-01T22:00", night) == "07-02 07:00"
    assert until("2026-07-02T06:59", night) == "07-02 07:00"
    assert until("2026-07-02T07:00", night) is None
    # 2026-07-03 is a Friday: its night goes into Saturday; Saturday's own is no workday's.
    assert until("2026-07-04T02:00", f"{night} workday") == "07-04 07:00"
    assert until("2026-07-04T23:00", f"{night} workday") is None
    assert until("2026-07-04T23:00", f"{night} 6,7") == "07-05 07:00"


def test_a_public_holiday_and_a_day_that_is_worked_instead_count_as_what_they_are() -> None:
    assert until("2026-10-01T23:00", "22:00-07:00 holiday") == "10-02 07:00"
    assert until("2026-10-10T23:00", "22:00-07:00 holiday") is None, "调休: this Saturday is worked"


def test_stretches_without_a_gap_are_one() -> None:
    assert until("2026-07-01T22:30", "22:00-00:00", "00:00-06:00", "06:00-07:30") == "07-02 07:30"


def test_what_never_ends_is_asked_again_after_some_days() -> None:
    assert until("2026-07-01T22:30", "00:00-12:00", "12:00-00:00") is not None


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 20)),  # noqa: DTZ001 (hypothesis wants them naive)
    st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda span: span[0] != span[1]),
)
def test_one_stretch_is_what_a_clock_says(now: datetime, span: tuple[int, int]) -> None:
    begin, end = span
    quiet = Quiet.model_validate(
        {"from": f"{begin // 60:02}:{begin % 60:02}", "until": f"{end // 60:02}:{end % 60:02}"}
    )
    moment = now.replace(tzinfo=CITY_ZONE)
    minute = now.hour * 60 + now.minute
    inside = begin <= minute < end if begin < end else minute >= begin or minute < end
    found = quiet_until([quiet], moment, CALENDAR)
    assert (found is not None) is inside
    if found is not None:
        assert timedelta() < found - moment <= timedelta(days=1)


@pytest.mark.parametrize(
    "text",
    ["", "22:00", "22-7", "22:00-25:00", "22:00-07:00 sundays", "22:00-07:00 8", "22:00-22:00", "22:00:30-07:00"],
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Quiet.parsed(text)


def test_as_people_read_it() -> None:
    assert str(Quiet.parsed("22:00-07:00")) == "22:00–07:00"
    assert str(Quiet.parsed("22:00-07:00 workday")) == "22:00–07:00 工作日"
    assert str(Quiet.parsed("12:00-14:00 6,7")) == "12:00–14:00 周六日"
