"""The calendar: known years as the State Council's notices have them, unknown ones by the week, and working time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.duty.calendar import (
    USUAL,
    Calendar,
    DayKind,
    Entry,
    TimeKind,
    WorkingHours,
    add_work_hours,
    add_work_time,
    deadline,
    known_days,
    library_knows,
)
from alerts.duty.files import DutyError, read_calendar
from underfoot.city_time import CITY_ZONE

KNOWN = Calendar()
UNKNOWN_YEAR = next(year for year in range(2027, 2100) if not library_knows(year))


def kinds(first: str, last: str) -> str:
    """A row of days: W works, H rests."""
    day, end = date.fromisoformat(first), date.fromisoformat(last)
    row = ""
    while day <= end:
        row += "W" if KNOWN.is_workday(day) else "H"
        day += timedelta(days=1)
    return row


@pytest.mark.parametrize(
    ("first", "last", "row"),
    [
        # 国庆 2023: 9月29日至10月6日放假，10月7日（星期六）、10月8日（星期日）上班
        ("2023-09-25", "2023-10-09", "WWWWHHHHHHHHWWW"),
        # 国庆 2024: 10月1日至7日放假，9月29日（星期日）、10月12日（星期六）上班
        ("2024-09-28", "2024-10-13", "HWWHHHHHHHWWWWWH"),
        # 国庆、中秋 2025: 10月1日至8日放假，9月28日（星期日）、10月11日（星期六）上班
        ("2025-09-27", "2025-10-12", "HWWWHHHHHHHHWWWH"),
        # 春节 2025: 1月28日至2月4日放假，1月26日（星期日）、2月8日（星期六）上班
        ("2025-01-25", "2025-02-09", "HWWHHHHHHHHWWWWH"),
        # 国庆 2026: 10月1日至7日放假，9月20日（星期日）、10月10日（星期六）上班
        ("2026-09-19", "2026-09-21", "HWW"),
        ("2026-09-30", "2026-10-11", "WHHHHHHHWWWH"),
    ],
)
def test_known_years(first: str, last: str, row: str) -> None:
    assert kinds(first, last) == row


def test_a_day_has_its_name_and_where_it_is_from() -> None:
    holiday = KNOWN.day(date(2025, 10, 1))
    assert (holiday.kind, holiday.name, holiday.known) == (DayKind.holiday, "国庆节", True)
    assert holiday.source.startswith("chinesecalendar ")
    assert KNOWN.day(date(2025, 9, 28)).name == "国庆节调休"
    assert KNOWN.day(date(2025, 10, 12)).name == "周末"
    assert KNOWN.day(date(2025, 10, 14)).name == ""


def test_a_year_that_nobody_knows_is_taken_by_the_week_and_says_so() -> None:
    day = date(UNKNOWN_YEAR, 10, 1)
    while day.weekday() != 4:
        day += timedelta(days=1)
    friday, saturday = KNOWN.day(day), KNOWN.day(day + timedelta(days=1))
    assert (friday.kind, saturday.kind) == (DayKind.workday, DayKind.holiday)
    assert not friday.known
    assert not saturday.known
    warning = KNOWN.warning(2025, UNKNOWN_YEAR)
    assert warning is not None
    assert f"{UNKNOWN_YEAR}年" in warning
    assert "2025" not in warning
    assert KNOWN.warning(2025) is None


@given(st.dates())
def test_no_day_of_any_year_is_an_error(day: date) -> None:
    assert KNOWN.day(day).kind in DayKind


def test_what_the_city_says_comes_first() -> None:
    monday = date(2025, 10, 13)
    city = Calendar({monday: Entry(DayKind.holiday, "市庆", "市政府通知")})
    assert city.day(monday).source == "市政府通知"
    assert not city.is_workday(monday)
    assert city.is_workday(date(2025, 10, 14))


def test_an_entered_year_is_known() -> None:
    new_year = date(UNKNOWN_YEAR, 1, 1)
    city = Calendar({new_year: Entry(DayKind.holiday, "元旦", "通知")})
    assert city.warning(UNKNOWN_YEAR) is None
    assert city.day(date(UNKNOWN_YEAR, 5, 6)).known
    assert known_days(KNOWN, date(UNKNOWN_YEAR - 1, 12, 30), 5) == 2
    assert known_days(city, date(UNKNOWN_YEAR - 1, 12, 30), 5) == 5


# the file ------------------------------------------------------------------------------------------------------------

FILE = f"""
source: 国务院办公厅关于{UNKNOWN_YEAR}年部分节假日安排的通知
days:
  - {{day: {UNKNOWN_YEAR}-01-01, until: {UNKNOWN_YEAR}-01-03, kind: holiday, name: 元旦}}
  - {{day: {UNKNOWN_YEAR}-02-05, until: {UNKNOWN_YEAR}-02-12, kind: holiday, name: 春节}}
"""


def test_a_calendar_file_is_read() -> None:
    entries = read_calendar(FILE.encode(), "cal.yaml").entries()
    assert len(entries) == 11
    assert entries[date(UNKNOWN_YEAR, 2, 12)].name == "春节"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (FILE.replace("02-12", "02-11"), f"days of {UNKNOWN_YEAR}: 10 holidays"),
        (FILE.replace("02-05", "01-03").replace("02-12", "01-10"), "stands there twice"),
        (FILE.replace("kind: holiday, name: 元旦", "kind: festival, name: 元旦"), "line 4: days.0.kind = 'festival'"),
        (FILE.replace("until: " + f"{UNKNOWN_YEAR}-01-03", "until: 2020-01-01"), "until = 2020-01-01"),
        ("source: x\ndays: []", "days = []"),
        ("days: {", "not YAML"),
    ],
)
def test_a_wrong_calendar_file_says_what_and_where(wrong: str, says: str) -> None:
    with pytest.raises(DutyError) as told:
        read_calendar(wrong.encode(), "cal.yaml")
    assert says in str(told.value)
    assert str(told.value).startswith("cal.yaml")


def test_a_working_day_of_a_year_to_enter_falls_on_a_weekend() -> None:
    day = date(UNKNOWN_YEAR, 3, 1)
    while day.weekday() != 2:
        day += timedelta(days=1)
    with pytest.raises(DutyError, match="falls on a weekend; this is no weekend"):
        read_calendar(f"{FILE}  - {{day: {day}, kind: workday, name: 调休}}\n".encode(), "cal.yaml")


# working time --------------------------------------------------------------------------------------------------------


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CITY_ZONE)


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        ("2026-09-30 17:00", 1, "2026-09-30 18:00"),  # to the end of the day, not the morning after
        ("2026-09-30 17:00", 2, "2026-10-08 09:00"),  # over National Day
        ("2026-10-09 17:30", 1, "2026-10-10 08:30"),  # a Saturday of 调休 is worked
        ("2026-10-10 17:30", 1, "2026-10-12 08:30"),  # the Sunday after it is not
        ("2026-11-20 11:00", 2, "2026-11-20 15:00"),  # over noon
        ("2026-11-20 12:30", 1, "2026-11-20 15:00"),
        ("2026-11-20 03:00", 8, "2026-11-20 18:00"),
        ("2026-11-21 10:00", 0, "2026-11-21 10:00"),  # nothing to wait for
    ],
)
def test_work_hours(start: str, hours: float, end: str) -> None:
    assert add_work_hours(at(start), hours, KNOWN) == at(end)


def test_kinds_of_time() -> None:
    friday = at("2026-11-20 16:00")
    assert deadline(friday, TimeKind.urgent_hour, 6, KNOWN) == at("2026-11-20 22:00")
    assert deadline(friday, TimeKind.work_hour, 6, KNOWN) == at("2026-11-23 12:00")
    assert deadline(friday, TimeKind.work_day, 1, KNOWN) == at("2026-11-23 16:00")
    assert deadline(friday, TimeKind.natural_day, 1.5, KNOWN) == at("2026-11-22 04:00")
    assert timedelta(hours=8) == USUAL.day_length
    assert {kind.label for kind in TimeKind} == {"紧急工作时", "工作时", "工作日", "自然日"}


def test_a_deadline_is_in_its_starts_zone() -> None:
    start = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)  # 17:00 in the city
    found = add_work_hours(start, 1, KNOWN)
    assert found == at("2026-11-20 18:00")
    assert found.tzinfo is UTC


@pytest.mark.parametrize("amount", [-1, 1e9, float("nan")])
def test_an_impossible_amount_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="work_hour = "):
        add_work_hours(at("2026-11-20 16:00"), amount, KNOWN)


def stepping(start: datetime, minutes: int, calendar: Calendar, hours: WorkingHours) -> datetime:
    """The slow, obvious way: minute by minute."""
    moment = start
    while minutes > 0:
        local = moment.astimezone(CITY_ZONE)
        works = calendar.is_workday(local.date()) and any(b <= local.time() < e for b, e in hours.spans)
        moment += timedelta(minutes=1)
        minutes -= works
    return moment


LONG_DAY = WorkingHours(((time(6), time(11, 30)), (time(13), time(21))))


def minutes_from(first: str, days: int) -> st.SearchStrategy[datetime]:
    return st.integers(0, days * 1440).map(lambda minute: at(first) + timedelta(minutes=minute))


@given(
    start=minutes_from("2025-09-01 00:00", 540),
    minutes=st.integers(0, 1000),
    hours=st.sampled_from([USUAL, LONG_DAY]),
)
def test_working_time_is_what_stepping_minute_by_minute_finds(
    start: datetime, minutes: int, hours: WorkingHours
) -> None:
    assert add_work_time(start, timedelta(minutes=minutes), KNOWN, hours) == stepping(start, minutes, KNOWN, hours)


@given(start=minutes_from("2026-01-01 00:00", 330), first=st.floats(0, 40), second=st.floats(0, 40))
def test_working_time_adds_up(start: datetime, first: float, second: float) -> None:
    a, b = timedelta(hours=first), timedelta(hours=second)
    assert add_work_time(add_work_time(start, a, KNOWN), b, KNOWN) == add_work_time(start, a + b, KNOWN)
