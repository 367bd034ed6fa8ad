"""A city's indicators: what counts above the line, what below, and what not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from alerts.rulebook.book import install_shipped
from alerts.upward.indicators import Indicators, PeriodError, day_of, indicators, month_of
from tests.integration.filed import Filing
from underfoot.city_time import CITY_ZONE
from underfoot.storage.connect import connect

DAY = date(2026, 7, 1)
LATER = datetime(2026, 7, 3, tzinfo=UTC)


def at(hour: float, day: int = 1) -> datetime:
    return datetime(2026, 7, day, tzinfo=CITY_ZONE) + timedelta(hours=hour)


@pytest.fixture
def filing(database: str) -> Iterator[Filing]:
    owing = Filing(database)
    with connect(database, "test", autocommit=True) as connection:
        install_shipped(connection)
    owing.execute(
        "INSERT INTO areas (code, name, level) VALUES ('410502', '文峰', 'district'), ('410503', '北关', 'district')"
    )
    yield owing
    owing.close()


def device(filing: Filing, number: int, *, area: str = "410502", unit: str = "甲", **columns: Any) -> int:
    [asset] = filing.rows(
        "INSERT INTO assets (asset_code, kind, name, area_code, maintenance_unit) VALUES (%s, '0103', '井', %s, %s)"
        " RETURNING asset_key",
        f"{area}0103{number:06d}",
        area,
        unit,
    )
    given = {
        "device_id": f"c-{number}",
        "family": "cover",
        "district": area,
        "asset_key": asset["asset_key"],
        "expected_interval_s": 900,
        "created_at": at(0) - timedelta(days=30),
    } | columns
    [made] = filing.rows(
        f"INSERT INTO devices ({', '.join(given)}) VALUES ({', '.join(['%s'] * len(given))}) RETURNING device_key",
        *given.values(),
    )
    return int(made["device_key"])


def alarm(filing: Filing, device_key: int, rule: str = "cover.offline") -> int:
    [row] = filing.rows(
        "INSERT INTO alarms (subject_kind, subject_key, rule_id, device_key, asset_key) SELECT"
        " 'device', device_key, %s, device_key, asset_key FROM devices WHERE device_key = %s RETURNING alarm_key",
        rule,
        device_key,
    )
    return int(row["alarm_key"])


def episode(filing: Filing, alarm_key: int, begin: datetime, end: datetime | None, number: int = 1) -> None:
    filing.execute(
        "INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity, raised_at,"
        " raised_received_at, cleared_at, proof) VALUES (%s, %s, 1, '离线', %s, 1, 1, %s, %s, %s, '{}')",
        alarm_key, number, "normal" if end else "active", begin, begin, end,
    )  # fmt: skip


def of(filing: Filing, **scope: Any) -> Indicators:
    with connect(filing.database, "test") as connection:
        return indicators(connection, day_of(DAY), LATER, **scope)


def test_online_counts_device_hours_without_approved_maintenance(filing: Filing) -> None:
    always, off, maintained, fresh = (
        device(filing, 1), device(filing, 2), device(filing, 3), device(filing, 4, created_at=at(18)),
    )  # fmt: skip
    device(filing, 5, status="maintenance")
    device(filing, 6, status="retired")
    device(filing, 7, created_at=at(1, day=2))
    assert always < fresh
    silent = alarm(filing, off)
    episode(filing, silent, at(-5), at(3))  # 3 h of the day
    episode(filing, silent, at(22), None, number=2)  # 2 h
    episode(filing, alarm(filing, off, "cover.open"), at(4), at(9))  # is no silence
    repaired = alarm(filing, maintained)
    episode(filing, repaired, at(10), at(16))  # of these 6 h, 4 are maintained
    for begin, end in ((at(12), at(15)), (at(14), at(17))):
        filing.execute(
            "INSERT INTO suppressions (alarm_key, kind, cause, since, ended_at, reason, actor)"
            " VALUES (%s, 'out_of_service', %s, %s, %s, '', 'crew')",
            repaired, str(begin), begin, end,
        )  # fmt: skip
    online = of(filing)["online"]
    assert (online.numerator, online.denominator) == (3 * 24 + 6 - 5 - 5 - 2, 3 * 24 + 6 - 5)
    assert online.excluded == {"maintenance_hours": 5.0, "maintenance_devices": 1, "retired_devices": 1}


def test_handled_has_one_cohort_above_and_below_the_line(filing: Filing) -> None:
    due: dict[str, Any] = {"repair_by": at(12), "repair_kind": "urgent_hour", "repair_amount": 6, "opened_at": at(6)}
    filing.case(1, **due, handled_at=at(11))
    filing.case(2, **due, handled_at=at(13))  # late, yet within the day
    filing.case(3, **due, handled_at=at(9, day=2))  # not by the day's end
    filing.case(4, **due)
    filing.case(5, **due | {"repair_by": at(12, day=2)}, handled_at=at(11))  # due another day
    filing.case(6, opened_at=at(6))  # has no limit
    filing.case(7, **due, suspended_since=at(8), state="suspended")
    for number, how, state in (
        (8, "false_alarm", "cancelled"),
        (9, "not_accepted", "not_accepted"),
        (10, "cancelled", "cancelled"),
    ):
        filing.case(number, **due, state=state, ended_how=how, ended_at=at(7))
    found = of(filing)
    assert (found["handled"].numerator, found["handled"].denominator) == (2, 4)
    assert (found["on_time"].numerator, found["on_time"].denominator) == (1, 4)
    assert found["on_time"].excluded == {"suspended": 1, "false_alarm": 1, "not_accepted": 1, "cancelled": 1}
    assert found["handled"].rate == 0.5


def test_intact_at_the_end(filing: Filing) -> None:
    keys = [device(filing, number) for number in range(1, 5)]
    filing.execute("UPDATE assets SET object_state = '废弃' WHERE asset_code LIKE '%%000004'")
    filing.execute(
        "INSERT INTO assets (asset_code, kind, name, area_code) VALUES ('4105020103999999', '0103', '井', '410502')"
    )
    broken: tuple[tuple[int, int, dict[str, Any]], ...] = (
        (1, keys[0], {}),
        (2, keys[1], {"handled_at": at(20)}),
        (3, keys[2], {"case_type": "event"}),
    )
    for number, device_key, changes in broken:
        case = filing.case(number, opened_at=at(6), **changes)
        filing.execute(
            "UPDATE alarms SET asset_key = (SELECT asset_key FROM devices WHERE device_key = %s)"
            " WHERE alarm_key = (SELECT alarm_key FROM cases WHERE case_key = %s)",
            device_key, case,
        )  # fmt: skip
    intact = of(filing)["intact"]
    assert (intact.numerator, intact.denominator) == (2, 3)
    assert intact.excluded == {"unmonitored_assets": 1, "abandoned_assets": 1}


def test_some_areas_and_units(filing: Filing) -> None:
    device(filing, 1)
    device(filing, 2, area="410503")
    device(filing, 3, area="410503", unit="乙")
    assert of(filing)["online"].denominator == 72
    assert of(filing, areas=["410503"])["online"].denominator == 48
    assert of(filing, areas=["4105"], units=["乙"])["intact"].denominator == 1
    assert of(filing, areas=[])["online"].rate is None


def test_periods_are_the_citys(database: str) -> None:
    assert month_of("2026-02").end == datetime(2026, 3, 1, tzinfo=CITY_ZONE)
    assert month_of("2026-12").end == datetime(2027, 1, 1, tzinfo=CITY_ZONE)
    with pytest.raises(PeriodError, match="2026-13"):
        month_of("2026-13")
    with connect(database, "test") as connection:
        with pytest.raises(PeriodError, match="not begun"):
            indicators(connection, day_of(DAY), at(-1))
        so_far = indicators(connection, day_of(DAY), at(6))
    assert (so_far.complete, so_far.until) == (False, at(6))
