"""Who is told, in the transaction that raises the alarm; and what becomes of what nobody can be told of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from alerts.judge.outcome import Transition
from alerts.record.recorder import Recorder
from alerts.telling import nobody
from alerts.telling.explain import NoSuchAlarmError, explain
from tests.integration.duty import RULES, City, city_of
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.reports import microseconds
from underfoot.storage.connect import connect


@pytest.fixture
def city(module_database: str) -> Iterator[City]:
    with city_of(module_database) as made:
        made.ask.execute("UPDATE assets SET owner_unit = '市政公司' WHERE area_code = '410502'")
        yield made


def crew(city: City, name: str, **columns: Any) -> None:
    given = {"name": name, "channel": "webhook", "audience": "crew", "config": Jsonb({"url": "http://127.0.0.1:1/"})}
    values = given | columns
    city.ask.execute(
        f"INSERT INTO sinks ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})".encode(),
        list(values.values()),
    )


def owed(city: City, notice: str = "raise") -> list[str]:
    rows = city.rows("SELECT s.name FROM outbox o JOIN sinks s USING (sink_key) WHERE o.notice = %s ORDER BY 1", notice)
    return [row["name"] for row in rows]


def tick(city: City) -> None:
    with connect(city.database, "test") as connection:
        nobody.step(connection, city.now)


def nobody_told(city: City) -> list[tuple[str, str | None]]:
    rows = city.rows(
        "SELECT area_code, clear_reason FROM alarms JOIN episodes USING (alarm_key) WHERE rule_id = 'duty.nobody'"
        " ORDER BY episode_key"
    )
    return [(row["area_code"], row["clear_reason"]) for row in rows]


def test_by_unit_then_owner_then_area_then_whoever_is_for_the_rest_then_the_roster(city: City) -> None:
    city.roster()
    city.rise(1)
    assert owed(city) == ["wang"], "nobody else: whoever is on duty in the district"
    crew(city, "rest")
    city.rise(3)
    assert owed(city)[-1:] == ["wang"]
    assert "rest" in owed(city)
    crew(city, "district", area_code="410502")
    crew(city, "owner", owner_unit="市政公司")
    city.rise(5)
    city.rise(2)
    assert sorted(owed(city)) == ["owner", "rest", "rest", "wang"], "北关区 has no owner, and another district"
    crew(city, "unit", maintenance_unit="文峰养护所")
    city.rise(4)
    assert "unit" in owed(city)


def test_whoever_was_told_is_told_the_end_whoever_is_responsible_by_then(city: City) -> None:
    city.roster()
    city.rise(1, Severity.orange)
    crew(city, "unit", maintenance_unit="文峰养护所")
    city.change(1, Severity.orange, Severity.red, Reason.severity_rose)
    assert owed(city, "change") == ["unit", "wang"]
    city.clear(1)
    assert owed(city, "clear") == ["unit", "wang"]


def test_nobody_at_all_is_an_alarm_until_there_is_somebody_who_is_then_told(city: City) -> None:
    alarm = city.rise(1)
    city.rise(2)
    tick(city)
    assert owed(city) == []
    assert nobody_told(city) == [("410502", None), ("410503", None)]
    tick(city)
    assert len(nobody_told(city)) == 2, "once a district"
    crew(city, "district", area_code="410502")
    tick(city)
    assert owed(city) == ["district"]
    assert nobody_told(city) == [("410502", "somebody"), ("410503", None)]
    city.clear(1)
    city.acknowledge(
        city.rows("SELECT alarm_key FROM alarms WHERE area_code = '410503' AND device_key IS NOT NULL")[0]["alarm_key"]
    )
    tick(city)
    assert owed(city, "clear") == ["district"]
    assert nobody_told(city)[1] == ("410503", "somebody")
    assert city.rows("SELECT * FROM unrouted") == []
    assert alarm


def test_a_platform_that_takes_it_is_somebody(city: City) -> None:
    city.ask.execute("INSERT INTO sinks (name, channel, audience, config) VALUES ('p', 'platform', 'platform', '{}')")
    city.rise(1)
    tick(city)
    assert owed(city) == ["p"]
    assert nobody_told(city) == []


def test_who_asked_not_to_be_told_of_so_little_is_not_and_it_is_no_alarm(city: City) -> None:
    crew(city, "unit", maintenance_unit="文峰养护所", min_severity=3)
    crew(city, "rest")
    city.rise(1, Severity.yellow)
    tick(city)
    assert owed(city) == []
    assert nobody_told(city) == []


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sinks=st.lists(
        st.fixed_dictionaries(
            {
                "maintenance_unit": st.sampled_from([None, "文峰养护所", "别的所"]),
                "owner_unit": st.sampled_from([None, "市政公司"]),
                "area_code": st.sampled_from([None, "4105", "410502", "410503"]),
                "enabled": st.booleans(),
            }
        ),
        max_size=3,
    ),
    roster=st.booleans(),
    device=st.integers(1, 6),
)
def test_every_raise_reaches_somebody_or_raises_the_alarm(
    module_database: str, sinks: list[dict[str, Any]], roster: bool, device: int
) -> None:
    with city_of(module_database) as city:
        city.ask.execute("UPDATE assets SET owner_unit = '市政公司' WHERE area_code = '410502'")
        for number, sink in enumerate(sinks):
            crew(city, f"crew-{number}", **sink)
        if roster:
            city.roster()
        city.rise(device)
        tick(city)
        assert bool(owed(city)) != bool(nobody_told(city))


# company -------------------------------------------------------------------------------------------------------------


def test_alarms_at_one_cabinet_have_company_and_red_does_not_wait(city: City) -> None:
    crew(city, "unit", maintenance_unit="文峰养护所", bundle_s=3)
    crew(city, "machine")
    city.ask.execute("""UPDATE assets SET attributes = '{"cabinet": "PX-12"}' WHERE area_code = '410502'""")
    for device in (1, 3):
        city.rise(device, Severity.orange)
    city.rise(5, Severity.red)
    city.rise(2, Severity.orange)
    rows = city.rows(
        "SELECT company, severity, next_attempt_at - created_at > '2 s' AS waits FROM outbox ORDER BY delivery_key"
    )
    together = "raise|3|cover.open|cabinet:PX-12"
    assert [tuple(row.values()) for row in rows] == [
        (together, 3, True),
        (together, 3, True),
        ("raise|4|cover.open|cabinet:PX-12", 4, False),
        (None, 3, False),
    ]
    city.clear(1, Severity.orange)
    [row] = city.rows("SELECT company FROM outbox WHERE notice = 'clear'")
    assert row["company"] == "clear|cover.open|cabinet:PX-12"


def test_two_thousand_alarms_at_once(city: City) -> None:
    """Fifty units and areas with sinks of their own; one in four alarms concerns nobody but the roster."""
    city.roster()
    city.ask.execute(
        "INSERT INTO assets (asset_code, kind, name, area_code, maintenance_unit)"
        " SELECT 'B' || n, '0103', '井' || n, '410502', CASE WHEN n % 4 = 0 THEN '' ELSE '所' || n % 50 END"
        " FROM generate_series(1, 2000) n"
    )
    for number in range(50):
        crew(city, f"unit-{number}", maintenance_unit=f"所{number}")
    keys = [row["asset_key"] for row in city.rows("SELECT asset_key FROM assets WHERE asset_code LIKE 'B%%'")]
    at = microseconds(city.now)
    raised = [
        Transition(
            SubjectKind.asset, key, RULES["cover.open"], Reason.limit_reached, Condition.normal, Condition.active,
            0, 4, at, at, {"ts_us": at, "received_us": at, "field": "open", "value": 1.0},
        )
        for key in keys
    ]  # fmt: skip
    begun = time.monotonic()
    with connect(city.database, "test") as connection:
        Recorder(connection).record(raised)
    assert time.monotonic() - begun < 20, "no question is asked alarm by alarm"
    assert len(owed(city)) == 2000


# explained -----------------------------------------------------------------------------------------------------------


def test_it_is_explained_who_is_told_and_why(city: City) -> None:
    city.roster()
    crew(city, "owner", owner_unit="市政公司", min_severity=3)
    city.rise(1)
    city.rise(2)
    episodes = [row["episode_key"] for row in city.rows("SELECT episode_key FROM episodes ORDER BY 1")]
    with connect(city.database, "test") as connection:
        first, second = (explain(connection, key) for key in episodes)
        with pytest.raises(NoSuchAlarmError, match="there is no alarm 99"):
            explain(connection, 99)
    assert first.sinks == ["owner"]
    assert "\n".join(first.lines()) == "\n".join(
        [
            f"告警 {episodes[0]}：井盖打开（红），文峰区 人民大道1号 雨水井0001",
            "  1. 养护单位“文峰养护所”：没有推送目标",
            "  2. 权属单位“市政公司”：owner（橙级及以上）",
            "→ 按权属单位通知：owner",
            "案件推送平台：没有配置平台",
            "通知记录：",
            first.lines()[-1],
        ]
    )
    assert "owner 发生（红） 待送" in first.lines()[-1]
    assert second.sinks == ["li"]
    assert "  5. 值班表 北关区：li 李强（全天，第1级）（蓝级及以上）" in second.lines()
