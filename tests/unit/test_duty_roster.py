"""The roster: who is on duty when, over midnight, by turns, with absences and swaps; and what is wrong with one."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.duty.calendar import Calendar
from alerts.duty.files import DutyError, plan_text, read_plan
from alerts.duty.roster import Plan, Roster, everybody, gaps, masked, on_duty, running
from alerts.duty.shifts import Shift
from underfoot.city_time import CITY_ZONE

PLAN = """
people:
  - {name: 王建国, phone: "13803720001", role: 值班长, unit: 市排水管理所, areas: ["410502"], sink: wang}
  - {name: 李强, phone: 13803720002, areas: ["410502"]}
  - {name: 张伟（排水）, areas: ["410503"]}
  - {name: 陈静, role: 处长}
shifts:
  - {name: 白班, begin: 08:00, end: 18:00, days: workday}
  - {name: 假日班, begin: 08:00, end: 18:00, days: holiday}
  - {name: 夜班, begin: 18:00, end: 08:00}
  - {name: 周会, begin: 09:00, end: 10:00, days: [1, 3]}
assignments:
  - {shift: 白班, people: [王建国, 张伟（排水）], from: 2026-01-01}
  - {shift: 假日班, people: [李强], from: 2026-01-01}
  - {shift: 夜班, turns: [[王建国], [李强]], from: 2026-10-01}
  - {shift: 夜班, areas: ["410503"], people: [张伟（排水）], from: 2026-10-01, until: 2026-12-31}
  - {shift: 白班, level: 2, people: [陈静], from: 2026-01-01}
  - {shift: 夜班, level: 2, people: [陈静], from: 2026-01-01}
absences:
  - {person: 李强, from: "2026-10-04T08:00", until: "2026-10-05T08:00", stand_in: 王建国, reason: 婚假}
swaps:
  - {day: 2026-10-03, shift: 夜班, person: 王建国, stand_in: 张伟（排水）}
"""


def roster(text: str = PLAN, **changes: Any) -> Roster:
    return Roster(read_plan(text.encode(), "roster.yaml"), Calendar(), **changes)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CITY_ZONE)


def who(moment: str, area: str | None = "410502", level: int = 1, of: Roster | None = None) -> list[str]:
    return [one.person.name for one in on_duty(of or roster(), at(moment), area, level)]


@pytest.mark.parametrize(
    ("moment", "area", "level", "names"),
    [
        ("2026-09-30 10:00", "410502", 1, ["王建国"]),  # a Wednesday
        ("2026-10-01 10:00", "410502", 1, ["李强"]),  # National Day
        ("2026-10-10 10:00", "410502", 1, ["王建国"]),  # a Saturday of 调休 is a working day
        ("2026-10-10 10:00", "410503", 1, ["张伟（排水）"]),
        ("2026-10-01 17:59", "410502", 1, ["李强"]),
        ("2026-10-01 18:00", "410502", 1, ["王建国"]),  # the first team's first night
        ("2026-10-02 07:59", "410502", 1, ["王建国"]),  # and it ends on the next day
        ("2026-10-02 08:00", "410502", 1, ["李强"]),
        ("2026-10-02 23:00", "410502", 1, ["李强"]),  # the second team's
        ("2026-10-03 23:00", "410502", 1, ["张伟（排水）"]),  # swapped: the areas are those of whom he stands in for
        ("2026-10-01 23:00", "410503", 1, ["张伟（排水）"]),
        ("2027-01-01 23:00", "410503", 1, []),  # his assignment is over
        ("2027-01-01 07:00", "410503", 1, ["张伟（排水）"]),  # but its last night ends in the new year
        ("2026-10-01 10:00", "410502", 2, []),  # nobody at level 2 on a holiday's day
        ("2026-10-01 20:00", "410503", 2, ["陈静"]),  # she has the whole city
        ("2026-10-01 20:00", "410599", 1, []),
    ],
)
def test_who_is_on_duty(moment: str, area: str, level: int, names: list[str]) -> None:
    assert who(moment, area, level) == names


def test_an_area_covers_what_lies_in_it() -> None:
    assert who("2026-09-30 10:00", "410502001") == ["王建国"]
    assert who("2026-09-30 10:00", "410502001001") == ["王建国"]
    by_tree = roster(PLAN.replace('"410502"', '"410500"'), parents={"410502": "410500", "410500": "41"})
    assert who("2026-09-30 10:00", "410502", of=by_tree) == ["王建国"]
    assert who("2026-09-30 10:00", "410602", of=by_tree) == []


def test_what_has_no_area_goes_to_whoever_has_the_city_else_to_all() -> None:
    assert who("2026-09-30 10:00", None) == ["王建国", "张伟（排水）"]
    assert who("2026-10-01 20:00", None, 2) == ["陈静"]


def test_an_absence_is_filled_by_the_stand_in_by_the_minute() -> None:
    [one] = on_duty(roster(), at("2026-10-04 20:00"), "410502", 1)
    assert (one.person.name, one.instead_of) == ("王建国", "李强")
    away = roster(PLAN.replace(", stand_in: 王建国", ""))
    assert who("2026-10-04 20:00", of=away) == []
    assert who("2026-10-05 08:00") == ["李强"]  # back from the minute on


def test_a_stand_in_who_is_away_has_a_stand_in_and_a_circle_is_nobody() -> None:
    more = "  - {person: 王建国, from: 2026-10-04T00:00, until: 2026-10-06T00:00, stand_in: %s}\nswaps:"
    assert who("2026-10-04 20:00", of=roster(PLAN.replace("swaps:", more % "陈静"))) == ["陈静"]
    assert who("2026-10-04 20:00", of=roster(PLAN.replace("swaps:", more % "李强"))) == []


def test_shifts_say_when_they_began_and_end() -> None:
    [night] = [one for one in running(roster(), at("2026-10-02 03:00")) if one.shift.name == "夜班"]
    assert (night.day, night.begins, night.ends) == (
        date(2026, 10, 1),
        at("2026-10-01 18:00"),
        at("2026-10-02 08:00"),
    )


def test_weekdays() -> None:
    names = [{one.shift.name for one in running(roster(), at(f"2026-11-{day} 09:30"))} for day in (16, 17, 18)]
    assert ["周会" in found for found in names] == [True, False, True]


def test_a_shift_from_eight_to_eight_is_a_whole_day() -> None:
    shift = Shift(name="全天", begin=time(8), end=time(8))
    begins, ends = shift.span(date(2026, 10, 1))
    assert ends - begins == timedelta(days=1)


def seconds_from(first: str, days: int) -> st.SearchStrategy[datetime]:
    return st.integers(0, days * 86_400).map(lambda second: at(first) + timedelta(seconds=second))


@given(
    moment=seconds_from("2026-01-01 00:00", 730),
    begin=st.integers(0, 1439),
    end=st.integers(0, 1439),
    days=st.sampled_from(["all", "workday", "holiday", [1], [6, 7], [5]]),
)
def test_a_shift_is_running_as_its_days_and_clock_say(moment: datetime, begin: int, end: int, days: Any) -> None:
    """Against the slow way: is there a day on which it begins, such that the moment is within it?"""

    def clock(minute: int) -> str:
        return f"{minute // 60:02}:{minute % 60:02}"

    plan = Plan.model_validate({"shifts": [{"name": "班", "begin": clock(begin), "end": clock(end), "days": days}]})
    calendar = Calendar()
    length = (end - begin) % 1440 or 1440
    expected = []
    for back in range(-1, 3):
        day = moment.date() - timedelta(days=back)
        starts = datetime(day.year, day.month, day.day, tzinfo=CITY_ZONE) + timedelta(minutes=begin)
        on = {
            "all": True,
            "workday": calendar.is_workday(day),
            "holiday": not calendar.is_workday(day),
        }.get(days if isinstance(days, str) else "", isinstance(days, list) and day.isoweekday() in days)
        if on and starts <= moment < starts + timedelta(minutes=length):
            expected.append(day)
    assert [one.day for one in running(Roster(plan, calendar), moment)] == sorted(expected)


@given(st.integers(0, 400), st.integers(1, 7), st.integers(1, 4))
def test_turns_follow_each_other(days: int, turn_days: int, teams: int) -> None:
    names = [f"组员{n}" for n in range(teams)]
    plan = Plan.model_validate(
        {
            "people": [{"name": name} for name in names],
            "shifts": [{"name": "班", "begin": "08:00", "end": "08:00"}],
            "assignments": [
                {"shift": "班", "turns": [[name] for name in names], "turn_days": turn_days, "from": "2026-01-01"}
            ],
        }
    )
    turn = 0
    for n in range(days):
        turn = (turn + 1) % teams if (n + 1) % turn_days == 0 else turn
    moment = at("2026-01-01 12:00") + timedelta(days=days)
    assert [one.person.name for one in everybody(Roster(plan), moment)] == [names[turn]]


# gaps ----------------------------------------------------------------------------------------------------------------


def test_gaps_are_where_nobody_is() -> None:
    found = gaps(roster(), at("2026-10-01 08:00"), at("2026-10-02 08:00"))
    shown = {(gap.level, gap.area): (f"{gap.begins:%d %H:%M}", f"{gap.ends:%d %H:%M}") for gap in found}
    assert shown[1, "410503"] == ("01 08:00", "01 18:00")
    assert shown[2, "410502"] == ("01 08:00", "01 18:00")
    assert (1, "410502") not in shown


WHOLE = roster()
GAPS = gaps(WHOLE, at("2026-09-24 00:00"), at("2026-10-21 00:00"))


@given(seconds_from("2026-09-25 00:00", 25))
def test_a_moment_is_in_a_gap_exactly_when_nobody_is_on_duty(moment: datetime) -> None:
    for level in (1, 2):
        for area in ("410502", "410503", None):
            inside = any(g.begins <= moment < g.ends for g in GAPS if (g.level, g.area) == (level, area))
            assert inside == (not on_duty(WHOLE, moment, area, level))


# the file ------------------------------------------------------------------------------------------------------------


def test_a_roster_goes_out_and_comes_in_the_same() -> None:
    plan = read_plan(PLAN.encode(), "roster.yaml")
    assert read_plan(plan_text(plan, "whole").encode(), "again") == plan
    assert "13803720001" not in plan_text(plan)
    assert "138****0001" in plan_text(plan)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("people: [李强]", "people: [李刚]", "'李刚': there is no such person; there are"),
        ("shift: 假日班, people", "shift: 节日班, people", "= '节日班': there is no such shift"),
        ("name: 李强", "name: 王建国", "'王建国': stands there twice"),
        ("begin: 18:00", "begin: 25:00", "shifts.2.begin = '25:00'"),
        ("begin: 18:00", 'begin: "18:00:30"', "in minutes"),
        ("days: workday", "days: monday", "shifts.0.days = 'monday'"),
        ("days: [1, 3]", "days: [8]", "shifts.3.days.0 = 8"),
        ("level: 2", "level: 4", "levels are 1, 2, … without a gap"),
        ("turns: [[王建国], [李强]], ", "", "either people (all on duty together) or turns"),
        ("until: 2026-12-31", "until: 2026-09-01", "until = 2026-09-01"),
        ('until: "2026-10-05T08:00"', 'until: "2026-10-04T08:00"', "must be after from"),
        ("stand_in: 王建国", "stand_in: 李强", "nobody can stand in for himself"),
        ("day: 2026-10-03", "day: 2026-10-02", "'王建国': not in 夜班 on 2026-10-02"),
        ("role: 处长", "rank: 处长", "there is no such field"),
        ('phone: "13803720001"', "phone: 没有", "people.0.phone = '没有'"),
        ("sink: wang", "sink: wang@x", "people.0.sink = 'wang@x'"),
    ],
)
def test_a_wrong_roster_says_which_field_which_value_and_the_line(old: str, new: str, says: str) -> None:
    assert old in PLAN
    with pytest.raises(DutyError) as told:
        read_plan(PLAN.replace(old, new, 1).encode(), "roster.yaml")
    assert says in str(told.value)
    assert "roster.yaml, line " in str(told.value)


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("13803720001", "138****0001"),
        ("0372-5551234", "037*-***1234"),
        ("5551234", "*****34"),
        (None, None),
    ],
)
def test_a_phone_number_is_masked(phone: str | None, shown: str | None) -> None:
    assert masked(phone) == shown


@given(st.from_regex(r"[+0-9][0-9 -]{4,19}", fullmatch=True))
def test_of_any_number_at_least_three_digits_are_hidden(phone: str) -> None:
    hidden = masked(phone)
    assert hidden is not None
    digits = sum(character.isdigit() for character in phone)
    assert hidden.count("*") >= min(digits - 2, 3)
    assert masked(hidden) is not None
