"""The two clocks of a case: worked examples by hand, by the shipped 立案条件 and the calendar as it is known."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.cases.book import WorkingTime
from alerts.cases.clocks import Reading, prolonged, read, started
from alerts.cases.events import Clock
from alerts.duty.calendar import USUAL, Calendar, DayKind, Entry, TimeKind, work_time_between
from alerts.rules import FilingRule, RuleError, parse_rule, shipped_pack
from underfoot.alarms import Severity
from underfoot.city_time import CITY_ZONE

KNOWN = WorkingTime(Calendar(), USUAL)
# As a city enters what the library does not know yet.
ENTERED = WorkingTime(
    Calendar({date(2027, 1, day): Entry(DayKind.holiday, "元旦", "国办通知") for day in (1, 2, 3)}), USUAL
)
FILINGS = {rule.rule_id: rule for rule in shipped_pack() if isinstance(rule, FilingRule)}
RED, ORANGE, YELLOW, BLUE = Severity.red, Severity.orange, Severity.yellow, Severity.blue


def city(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CITY_ZONE)


def clocks(filing: str, severity: Severity, began: str, working: WorkingTime = KNOWN) -> list[str | None]:
    rule = FILINGS[filing]
    found = [
        started(rule.limit_of("arrive", severity), city(began), working),
        started(rule.limit_of("repair", severity), city(began), working),
    ]
    return [None if clock is None else f"{clock.by.astimezone(CITY_ZONE):%Y-%m-%d %H:%M}" for clock in found]


@pytest.mark.parametrize(
    ("filing", "severity", "began", "arrive", "repair"),
    [
        # 紧急工作时 runs day and night: Friday evening, midnight, 春节.
        ("filing.cover_open", RED, "2026-11-20 17:30", "2026-11-20 18:00", "2026-11-20 23:30"),
        ("filing.cover_open", RED, "2026-11-21 23:50", "2026-11-22 00:20", "2026-11-22 05:50"),
        ("filing.cover_open", ORANGE, "2026-02-16 09:00", "2026-02-16 11:00", "2026-02-17 21:00"),
        ("filing.cover_open", YELLOW, "2026-02-16 09:00", "2026-02-16 11:00", "2026-02-17 21:00"),
        ("filing.cover_gas", RED, "2026-02-28 23:45", "2026-03-01 00:15", "2026-03-01 23:45"),
        ("filing.lamp_leakage", ORANGE, "2026-10-01 03:00", "2026-10-01 03:30", "2026-10-02 03:00"),
        # … also into a year that nobody knows.
        ("filing.cover_open", RED, "2026-12-31 23:50", "2027-01-01 00:20", "2027-01-01 05:50"),
        # Water: until it is gone.
        ("filing.road_water", RED, "2026-07-01 21:38", "2026-07-01 22:08", None),
        # 1 工作日 = 8 h: Friday afternoon, Friday night, a weekend.
        ("filing.lamp_out", YELLOW, "2026-11-20 17:00", None, "2026-11-23 17:00"),
        ("filing.lamp_out", YELLOW, "2026-11-20 22:00", None, "2026-11-23 18:00"),
        ("filing.lamp_out", YELLOW, "2026-11-22 10:00", None, "2026-11-23 18:00"),
        # 春节 2026: the Saturday before is 调休, then rest until the 23rd.
        ("filing.lamp_out", YELLOW, "2026-02-13 16:00", None, "2026-02-14 16:00"),
        ("filing.lamp_out", YELLOW, "2026-02-14 16:00", None, "2026-02-24 16:00"),
        ("filing.lamp_out", YELLOW, "2026-02-18 12:00", None, "2026-02-24 18:00"),
        # 国庆: the eve, and the 调休 Sunday before.
        ("filing.lamp_out", YELLOW, "2026-09-30 17:00", None, "2026-10-08 17:00"),
        ("filing.lamp_section_out", YELLOW, "2026-09-20 10:00", None, "2026-09-20 16:00"),
        # 4 工作时: over lunch, in it, at midnight, at closing time.
        ("filing.lamp_section_out", YELLOW, "2026-11-24 11:00", None, "2026-11-24 17:00"),
        ("filing.lamp_section_out", YELLOW, "2026-11-24 12:30", None, "2026-11-24 18:00"),
        ("filing.lamp_section_out", YELLOW, "2026-11-25 00:00", None, "2026-11-25 12:00"),
        ("filing.lamp_section_out", YELLOW, "2026-11-24 18:00", None, "2026-11-25 12:00"),
        # Both: a door.
        ("filing.cabinet_door", YELLOW, "2026-11-20 17:00", "2026-11-20 19:00", "2026-11-23 17:00"),
    ],
)
def test_worked_examples(filing: str, severity: Severity, began: str, arrive: str | None, repair: str | None) -> None:
    assert clocks(filing, severity, began) == [arrive, repair]


def test_a_year_that_the_calendar_does_not_know_is_taken_by_the_week_until_it_is_entered() -> None:
    eve = ("filing.lamp_section_out", YELLOW, "2026-12-31 16:00")
    assert clocks(*eve)[1] == "2027-01-01 10:00", "a Friday"
    assert KNOWN.calendar.warning(2027) is not None
    assert clocks(*eve, ENTERED)[1] == "2027-01-04 10:00"
    assert ENTERED.calendar.warning(2027) is None


def clock(filing: str, severity: Severity, began: str, name: str = "repair") -> Clock:
    limit = FILINGS[filing].limit_of("arrive" if name == "arrive" else "repair", severity)
    found = started(limit, city(began), KNOWN)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("filing", "began", "since", "until", "by"),
    [
        # Within a working day: 5 h were left on Monday at 10, so they are on Tuesday at 15.
        ("filing.lamp_out", "2026-11-20 17:00", "2026-11-23 10:00", "2026-11-24 15:00", "2026-11-25 10:00"),
        # Over a weekend nothing is won or lost but the half hour of Friday.
        ("filing.lamp_out", "2026-11-20 17:00", "2026-11-20 17:30", "2026-11-22 12:00", "2026-11-23 17:30"),
        # Suspended and resumed outside working hours: the same.
        ("filing.lamp_out", "2026-11-20 17:00", "2026-11-21 09:00", "2026-11-22 09:00", "2026-11-23 17:00"),
        # Over 春节.
        ("filing.lamp_out", "2026-02-14 16:00", "2026-02-14 17:00", "2026-02-20 12:00", "2026-02-24 17:00"),
        # 紧急工作时 by the clock.
        ("filing.cover_open", "2026-11-20 17:30", "2026-11-20 18:00", "2026-11-21 18:00", "2026-11-21 23:30"),
        # What had run out has run out.
        ("filing.cover_open", "2026-11-20 17:30", "2026-11-21 08:00", "2026-11-22 08:00", "2026-11-20 23:30"),
        ("filing.lamp_out", "2026-11-20 17:00", "2026-11-23 17:00", "2026-11-30 08:00", "2026-11-23 17:00"),
    ],
)
def test_suspension_stops_the_clock(filing: str, began: str, since: str, until: str, by: str) -> None:
    before = clock(filing, RED, began)
    after = prolonged(before, city(since), city(until), lambda: KNOWN)
    assert f"{after.by.astimezone(CITY_ZONE):%Y-%m-%d %H:%M}" == by
    assert (after.kind, after.amount) == (before.kind, before.amount)


def test_which_clocks_it_stops_is_the_conditions_to_say() -> None:
    assert {rule.suspension_stops for rule in FILINGS.values()} == {("repair",)}, "who is in danger waits for nobody"
    both = FILINGS["filing.pump"].model_dump(mode="json") | {"suspension_stops": ["arrive", "repair"]}
    parsed = parse_rule(both)
    assert isinstance(parsed, FilingRule)
    assert parsed.suspension_stops == ("arrive", "repair")


@given(
    st.integers(0, 300 * 24 * 60),
    st.sampled_from(list(TimeKind)),
    st.floats(0, 400),
    st.floats(0, 400),
    st.floats(0, 400),
)
def test_a_suspension_gives_back_exactly_what_it_took(
    minutes: int, kind: TimeKind, left_h: float, after_h: float, for_h: float
) -> None:
    start = city("2026-01-01 00:00") + timedelta(minutes=minutes)
    since = start + timedelta(hours=after_h)
    until = since + timedelta(hours=for_h)
    before = Clock(start + timedelta(hours=left_h), kind, 1)
    after = prolonged(before, since, until, lambda: KNOWN)
    if before.by <= since:
        assert after == before
    elif kind in (TimeKind.urgent_hour, TimeKind.natural_day):
        assert after.by - until == before.by - since
    else:
        left = work_time_between(since, before.by, KNOWN.calendar, USUAL)
        assert work_time_between(until, after.by, KNOWN.calendar, USUAL) == left


# how a clock stands --------------------------------------------------------------------------------------------------

BY = Clock(city("2026-11-20 18:00"), TimeKind.urgent_hour, 0.5)


def reading(now: str, clock: Clock | None = BY, **facts: object) -> Reading | None:
    known: dict[str, object] = {"done_at": None, "ended_at": None, "suspended_since": None, "stops": ("repair",)}
    return read("repair", clock, now=city(now), marked=False, **(known | facts))  # type: ignore[arg-type]


def test_a_clock_runs_stands_still_and_stops() -> None:
    running = reading("2026-11-20 17:40")
    assert running is not None
    assert (running.remaining, running.overdue, running.running) == (timedelta(minutes=20), False, True)
    out = reading("2026-11-20 19:00")
    assert out is not None
    assert (out.remaining, out.overdue) == (timedelta(hours=-1), True)
    still = reading("2026-11-20 19:00", suspended_since=city("2026-11-20 17:50"))
    assert still is not None
    assert (still.remaining, still.overdue, still.running) == (timedelta(minutes=10), False, False)
    done = reading("2026-11-21 09:00", done_at=city("2026-11-20 17:55"))
    assert done is not None
    assert (done.remaining, done.overdue, done.running) == (timedelta(minutes=5), False, False)
    late = reading("2026-11-21 09:00", done_at=city("2026-11-20 18:05"))
    assert late is not None
    assert late.overdue
    ended = reading("2026-11-21 09:00", ended_at=city("2026-11-20 17:59"))
    assert ended is not None
    assert (ended.overdue, ended.done_at) == (False, city("2026-11-20 17:59"))
    assert reading("2026-11-20 17:40", None) is None


# 立案条件 as data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field", "why"),
    [
        ({"code": "asset"}, "code_if_none", "is needed with code: asset"),
        ({"code_if_none": "0114"}, "code_if_none", "belongs to code: asset, or rule; the code is 0118"),
        ({"code": "lamp"}, "code", "pattern"),
        ({"level": {"red": 3}}, "level.red", "less than or equal to 2"),
        ({"verify": "somebody"}, "verify", "'none' or 'operator'"),
        ({"repair": {"red": {"kind": "hours", "amount": 1}}}, "repair.red.kind", "urgent_hour"),
        ({"repair": {"red": {"kind": "work_hour", "amount": 0}}}, "repair.red.amount", "greater than 0"),
        ({"repair": {"red": {"kind": "natural_day", "amount": 1e7}}}, "repair.red.amount", "at most 87840 is possible"),
        ({"suspension_stops": ["repair", "repair"]}, "suspension_stops", "each clock once"),
        ({"members": ["road.ponding"]}, "members.0", "pattern"),
        ({"rule_id": "lamp.out"}, "rule_id", "pattern"),
    ],
)
def test_what_cannot_be_a_condition_is_refused_with_its_field(change: dict[str, object], field: str, why: str) -> None:
    body = FILINGS["filing.lamp_out"].model_dump(mode="json") | change
    with pytest.raises(RuleError) as refused:
        parse_rule(body)
    assert any(field == ".".join(map(str, one.path)) and why in str(one) for one in refused.value.problems), [
        (one.path, str(one)) for one in refused.value.problems
    ]


def test_a_rule_names_a_condition_or_a_type_and_a_code_and_not_both() -> None:
    body = next(rule for rule in shipped_pack() if rule.rule_id == "lamp.out").model_dump(mode="json")
    for wrong, why in (
        ({"filing": "filing.lamp_out", "code": "0118"}, "either that or these"),
        ({"code": "0118"}, "a filing, or a type and a code"),
        ({}, "a filing, or a type and a code"),
    ):
        with pytest.raises(RuleError, match=why):
            parse_rule(body | {"case": wrong})


def test_levels_and_limits_count_upwards_from_the_severity_that_has_them() -> None:
    cover = FILINGS["filing.cover_open"]
    assert [cover.level_of(severity) for severity in Severity] == [0, 0, 1, 2]
    limits = [cover.limit_of("repair", severity) for severity in Severity]
    assert [limit.amount for limit in limits if limit is not None] == [36, 36, 36, 6]
    overflow = FILINGS["filing.cover_overflow"]
    assert overflow.limit_of("arrive", YELLOW) is None
