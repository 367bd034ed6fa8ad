"""The city's thread: its epoch, its steps each for itself, and rules that fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import psycopg
import pytest

from alerts.city import engine, weather
from alerts.city.engine import City, FencedError, Step, run_city, take_over
from alerts.city.judging import Rulebook, RuleStep
from alerts.city.memory import BY_CONDITION, Judgement, Remembering
from alerts.city.said import Said
from alerts.city.weather import weather_of
from alerts.judge.outcome import RuleInForce
from alerts.rulebook.book import put, rule_as_last_known
from alerts.rules import CompositeRule
from alerts.rules.weather import Weather, WeatherRule
from tests.integration.owing import eventually, settings
from tests.integration.shard import MINUTE
from tests.integration.town import Town, town_of
from underfoot.storage.connect import Connection, connect


@pytest.fixture
def town(module_database: str) -> Iterator[Town]:
    with town_of(module_database) as made:
        yield made


def leave_a_mark(connection: Connection, now: datetime) -> None:
    connection.execute("INSERT INTO audit (actor, action, subject) VALUES ('test', 'city.mark', %s)", [now.isoformat()])


def break_down(connection: Connection, now: datetime) -> None:
    leave_a_mark(connection, now)
    raise ZeroDivisionError("as a step may")


def marks(town: Town) -> int:
    return int(town.one("SELECT count(*) AS marks FROM audit WHERE action = 'city.mark'")["marks"])


def step_alarms(town: Town) -> list[dict[str, Any]]:
    return town.rows(
        "SELECT proof ->> 'label' AS said, cleared_at IS NULL AS open FROM episodes JOIN alarms USING (alarm_key)"
        " WHERE rule_id = 'city.step_failing' ORDER BY episode_key"
    )


def rule_alarms(town: Town) -> list[tuple[str, bool]]:
    """Rules that fail or have failed, and whether they do so now."""
    rows = town.rows(
        "SELECT proof ->> 'label' AS said, cleared_at IS NULL AS open FROM episodes JOIN alarms USING (alarm_key)"
        " WHERE rule_id = 'rule.failing'"
    )
    return [(row["said"].partition("：")[0], row["open"]) for row in rows]


def test_who_has_lost_the_lock_writes_nothing(town: Town) -> None:
    town.begin([Step("mark", leave_a_mark)])
    town.tick()
    assert marks(town) == 1
    with connect(town.shard.database, "other", autocommit=True) as other:
        take_over(other)
        with pytest.raises(FencedError):
            town.tick()
        assert marks(town) == 1
        with pytest.raises(FencedError):
            City(other, 1, [])


def test_who_takes_over_waits_for_the_step_that_is_under_way(town: Town) -> None:
    """What an epoch has begun is whole before the next one begins: nothing of it can come afterwards."""
    reached, go_on, taken = threading.Event(), threading.Event(), threading.Event()

    def wait(connection: Connection, now: datetime) -> None:
        leave_a_mark(connection, now)
        reached.set()
        assert go_on.wait(10)

    town.begin([Step("wait", wait)])

    def take() -> None:
        with connect(town.shard.database, "other", autocommit=True) as other:
            take_over(other)
            taken.set()

    def tick() -> None:
        with suppress(FencedError):  # or the figures of the tick are still written before the other comes to it
            town.tick()

    ticking, taking = threading.Thread(target=tick), threading.Thread(target=take)
    ticking.start()
    assert reached.wait(10)
    taking.start()
    assert not taken.wait(0.3)
    go_on.set()
    ticking.join(10)
    taking.join(10)
    assert taken.is_set()
    assert marks(town) == 1
    with pytest.raises(FencedError):
        town.tick()


def test_a_failing_step_stops_no_other_and_is_an_alarm(town: Town) -> None:
    broken = [True]

    def sometimes(connection: Connection, now: datetime) -> None:
        if broken[0]:
            break_down(connection, now)

    town.begin([Step("first", sometimes), Step("second", leave_a_mark)])
    town.tick()
    assert marks(town) == 1, "rolled back, and the other done"
    assert step_alarms(town) == [], "once is not yet an alarm: a deadlock is resolved like that"
    town.tick()
    town.tick()
    assert step_alarms(town) == [{"said": "first：ZeroDivisionError", "open": True}]
    town.begin([Step("first", sometimes), Step("second", leave_a_mark)])
    town.tick()
    town.tick()
    assert len(step_alarms(town)) == 1, "another process knows of it"
    broken[0] = False
    town.tick()
    assert [alarm["open"] for alarm in step_alarms(town)] == [False]
    figures = town.one("SELECT state -> 'steps' AS steps FROM engines WHERE name = 'city'")["steps"]
    assert figures["first"]["failures"] == 5
    assert figures["first"]["runs"] == figures["second"]["runs"] == 6
    assert figures["second"]["failures"] == 0
    assert 0 < figures["second"]["last_s"] < figures["second"]["seconds"]


def test_sql_that_fails_is_a_failing_step_too(town: Town) -> None:
    def wrong(connection: Connection, now: datetime) -> None:
        connection.execute("SELECT 1 / 0")

    town.begin([Step("wrong", wrong), Step("second", leave_a_mark)])
    town.tick()
    town.tick()
    assert [alarm["said"] for alarm in step_alarms(town)] == ["wrong：DivisionByZero"]
    assert marks(town) == 2


def test_a_connection_that_is_gone_is_not_a_failing_step(town: Town) -> None:
    def cut(connection: Connection, now: datetime) -> None:
        town.ask.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        connection.execute("SELECT 1")

    town.begin([Step("cut", cut)])
    with pytest.raises(psycopg.OperationalError):
        town.tick()


def test_the_thread_waits_out_the_databases_absence_and_ends_when_fenced(town: Town) -> None:
    stop = threading.Event()
    with connect(town.shard.database, "other", autocommit=True) as other:
        epoch = take_over(other)
        thread = threading.Thread(
            target=run_city, args=(settings(town.shard.database, city_interval_s=0.1), epoch, stop)
        )
        thread.start()

        def runs() -> int:
            state = town.one("SELECT state FROM engines WHERE name = 'city'")["state"]
            return int(state.get("steps", {}).get("weather", {}).get("runs", 0))

        eventually(runs)
        town.ask.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'underfoot-city' AND datname = current_database()"
        )
        before = runs()
        eventually(lambda: runs() > before + 2)
        assert thread.is_alive()
        take_over(other)
        thread.join(10)
        assert not thread.is_alive()
        stop.set()


def test_what_goes_wrong_outside_of_any_step_stops_the_city_only_for_a_moment(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def begin(_: object) -> list[Step]:
        tries.append(1)
        if len(tries) == 1:
            raise KeyError("as a fault of ours may")
        return [Step("mark", leave_a_mark)]

    monkeypatch.setattr(engine, "steps", begin)
    monkeypatch.setattr(engine, "_AGAIN_AFTER_S", 0.05)
    stop = threading.Event()
    with connect(town.shard.database, "other", autocommit=True) as other:
        epoch = take_over(other)
    thread = threading.Thread(target=run_city, args=(settings(town.shard.database, city_interval_s=0.1), epoch, stop))
    thread.start()
    eventually(lambda: marks(town))
    stop.set()
    thread.join(10)
    assert len(tries) == 2


# rules --------------------------------------------------------------------------------------------------------------


def test_a_failing_rule_stops_no_other_rule_of_its_step(town: Town) -> None:
    broken, judged = [True], list[str]()

    def judge(said: Said, in_force: RuleInForce, memory: Remembering, now: datetime) -> list[Judgement]:
        judged.append(in_force.rule.rule_id)
        if in_force.rule.rule_id == "cover.dry_weather_high" and broken[0]:
            said.connection.execute("SELECT no_such_column FROM devices")
        return []

    town.begin([Step("composite", RuleStep(Rulebook(), CompositeRule, judge, reasons=BY_CONDITION))])
    town.tick()
    rules = sorted(set(judged))
    assert len(judged) == len(rules) > 1
    assert step_alarms(town) == []

    assert rule_alarms(town) == [("cover.dry_weather_high", True)]
    town.tick()
    assert rule_alarms(town) == [("cover.dry_weather_high", True)]
    broken[0] = False
    town.tick()
    assert rule_alarms(town) == [("cover.dry_weather_high", False)]


def test_a_weather_rule_that_fails_has_no_say_and_is_an_alarm_while_another_goes_on(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(town.shard.database, "editor") as editor:
        shipped = rule_as_last_known(editor, "rain.weather").rule
        put(editor, shipped.model_copy(update={"rule_id": "rain.weather_too", "wet_mm": 0.4}), actor="test")
    broken = {"rain.weather"}

    def says(falls: list[weather.Fall], rule: WeatherRule) -> Weather:
        if rule.rule_id in broken:
            raise ZeroDivisionError("as a rule may")
        return weather_of(falls, rule)

    monkeypatch.setattr(weather, "weather_of", says)
    town.begin()
    town.says(("N-1", {"amount_mm": 0.2}))
    town.tick()
    assert rule_alarms(town) == [("rain.weather", True)]
    assert town.weather() == "dry", "by the one that judges"
    broken.add("rain.weather_too")
    town.tick()
    town.tick()
    assert town.weather() == "unknown", "by none: whoever asks takes the more sensitive"
    assert step_alarms(town) == [], "the step goes on"
    broken.clear()
    town.tick()
    assert town.weather() == "wet"
    assert sorted(rule_alarms(town)) == [("rain.weather", False), ("rain.weather_too", False)]


def test_a_rule_that_is_withdrawn_ends_what_it_has_open(town: Town) -> None:
    town.device("L-9", "lamp")
    town.device("R-9", "road", east_m=20)
    town.shard.restart()
    for _ in range(2):
        town.says(("R-9", {"depth_cm": 12.0}), ("L-9", {"leakage_ma": 15.0}))
        town.tick()
        town.shard.wait(MINUTE)
    assert town.open()["lamp.leaking_in_water", "device"] == 3
    town.ask.execute(
        "INSERT INTO rules (rule_id, version, body, withdrawn, created_by)"
        " SELECT rule_id, version + 1, body, true, 'test' FROM rules WHERE rule_id = 'lamp.leaking_in_water'"
    )
    town.tick()
    assert ("lamp.leaking_in_water", "device") not in town.open()
    assert town.shard.reasons("lamp.leaking_in_water")[-1] == "rule_withdrawn"
    assert town.conditions("lamp.leaking_in_water") == []
