"""What people, crews and the city's platform do to alarms, against an engine at work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from alerts.regions import actions as human_actions
from alerts.regions import realarm, shelves
from alerts.regions.actions import Order
from tests.integration.shard import MINUTE, Shard, shard_of
from underfoot.storage.connect import connect

DEFAULTS_MIN = (0, 0, 240, 60)


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        made.sink("city", "platform")
        made.sink("crew", "crew")
        yield made


def now() -> datetime:
    return datetime.now(UTC)


def episode_key(shard: Shard) -> int:
    return int(shard.one("SELECT max(episode_key) AS key FROM episodes")["key"])


def human(shard: Shard) -> tuple[str, str | None]:
    row = shard.one("SELECT human, acknowledged_by FROM episodes ORDER BY episode_key DESC LIMIT 1")
    return row["human"], row["acknowledged_by"]


def human_record(shard: Shard) -> list[tuple[str, str]]:
    rows = shard.rows("SELECT reason, actor FROM transitions WHERE region = 'human' ORDER BY transition_key")
    return [(row["reason"], row["actor"]) for row in rows]


def acknowledge(shard: Shard, actor: str = "wang", at: datetime | None = None) -> None:
    with connect(shard.database, "test") as connection:
        human_actions.acknowledge(connection, [episode_key(shard)], actor, at or now())


def realarmed(shard: Shard, at: datetime) -> None:
    with connect(shard.database, "city") as connection:
        realarm.step(connection, at, DEFAULTS_MIN)


# acknowledging --------------------------------------------------------------------------------------------------------


def test_the_platform_acknowledges_until_a_person_does(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": True}))
    for actor in ("platform:city", "platform:city", "wang", "li", "platform:city"):
        acknowledge(shard, actor)
    assert human(shard) == ("acknowledged", "wang")
    assert human_record(shard) == [("acknowledged", "platform:city"), ("acknowledged", "wang")]


def test_a_new_episode_is_unacknowledged(shard: Shard) -> None:
    shard.commit(shard.says("C-1", {"open": True}))
    acknowledge(shard)
    shard.wait(MINUTE)
    shard.commit(shard.says("C-1", {"open": False}))
    shard.wait(MINUTE)
    shard.commit(shard.says("C-1", {"open": True}))
    assert human(shard) == ("unacknowledged", None)
    listed = shard.rows("SELECT episode, human FROM episodes ORDER BY episode")
    assert [row["human"] for row in listed] == ["acknowledged", "unacknowledged"]


def test_acknowledging_while_the_engine_records_loses_neither(shard: Shard) -> None:
    """Each has the alarm's lock in turn: no number is taken twice, and a rise takes back what came before it."""
    shard.commit(shard.says("R-1", {"depth_cm": 6.0}))
    key, stop, errors = episode_key(shard), threading.Event(), []

    def people() -> None:
        try:
            with connect(shard.database, "an operator", autocommit=True) as connection:
                while not stop.is_set():
                    for act in (human_actions.acknowledge, human_actions.unacknowledge):
                        with connection.transaction():
                            act(connection, [key], "wang", now())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=people)
    thread.start()
    for number in range(30):
        shard.wait(MINUTE)
        shard.commit(shard.says("R-1", {"depth_cm": 30.0 if number % 2 else 6.0 + number / 10}))
    stop.set()
    thread.join(10)
    assert errors == []
    of_alarm = "FROM transitions JOIN alarms USING (alarm_key) WHERE rule_id = 'road.underpass'"
    numbers = shard.rows(f"SELECT transitions.transition_no AS number {of_alarm} ORDER BY transition_key")
    assert [row["number"] for row in numbers] == list(range(1, len(numbers) + 1))
    chain = shard.rows(f"SELECT from_state, to_state {of_alarm} AND region = 'human' ORDER BY transition_key")
    assert [row["to_state"] for row in chain[:-1]] == [row["from_state"] for row in chain[1:]]
    is_now = shard.one("SELECT human FROM episodes WHERE episode_key = %s", key)["human"]
    assert is_now == chain[-1]["to_state"]


# re-alarm -------------------------------------------------------------------------------------------------------------


def test_what_was_acknowledged_and_is_there_still_is_reminded_of(shard: Shard) -> None:
    at = now()
    shard.commit(shard.says("C-1", {"open": True}))
    acknowledge(shard, at=at)
    realarmed(shard, at + timedelta(minutes=59))
    assert human(shard) == ("acknowledged", "wang")
    for _ in range(2):
        realarmed(shard, at + timedelta(minutes=60))
        assert human(shard) == ("unacknowledged", None)
    assert human_record(shard) == [("acknowledged", "wang"), ("realarm", "engine")]
    assert [notice for _, notice, _ in shard.owed("city")] == ["raise"], "nobody is sent a notice by it"


def test_what_is_over_or_suppressed_is_not_reminded_of(shard: Shard) -> None:
    at = now()
    shard.commit(shard.says("C-1", {"open": True}), shard.says("C-2", {"open": True}))
    with connect(shard.database, "test") as connection:
        keys = [row["episode_key"] for row in shard.rows("SELECT episode_key FROM episodes ORDER BY episode_key")]
        human_actions.acknowledge(connection, keys, "wang", at)
        human_actions.shelve(connection, keys[1:], "wang", at, until=at + timedelta(hours=2), reason="施工")
    shard.wait(MINUTE)
    shard.commit(shard.says("C-1", {"open": False}))
    realarmed(shard, at + timedelta(minutes=61))
    assert len(human_record(shard)) == 2
    with connect(shard.database, "city") as connection:
        shelves.step(connection, at + timedelta(hours=2))
    realarmed(shard, at + timedelta(hours=2))
    assert human_record(shard)[2:] == [("realarm", "engine")]


@pytest.mark.parametrize(("after_min", "reminded"), [(5, True), (0, False), (None, False)])
def test_a_rule_says_for_itself_after_how_long(shard: Shard, after_min: int | None, reminded: bool) -> None:
    at = now()
    shard.commit(shard.says("C-1", {"open": True}))
    body: dict[str, Any] = {"realarm_min": after_min}
    shard.ask.execute(
        "INSERT INTO rules (rule_id, version, body, created_by)"
        " SELECT rule_id, version + 1, body || %s, 'li' FROM rules"
        " WHERE rule_id = 'cover.open' ORDER BY version DESC LIMIT 1",
        [Jsonb(body)],
    )
    acknowledge(shard, at=at)
    realarmed(shard, at + timedelta(minutes=6))
    assert (human(shard)[0] == "unacknowledged") == reminded


# shelves and orders ---------------------------------------------------------------------------------------------------


def test_a_shelf_ends_by_itself_and_tells_what_is_so_then(shard: Shard) -> None:
    at = now()
    shard.commit(shard.says("C-1", {"open": True}))
    with connect(shard.database, "test") as connection:
        human_actions.shelve(connection, [episode_key(shard)], "wang", at, until=at + timedelta(hours=1), reason="施工")
    shard.wait(MINUTE)
    shard.commit(shard.says("C-1", {"open": False}))
    shard.wait(MINUTE)
    shard.commit(shard.says("C-1", {"open": True}))
    shard.restart()
    for minutes, suppressed, told in ((59, ["shelved"], 2), (60, [], 3), (90, [], 3)):
        with connect(shard.database, "city") as connection:
            shelves.step(connection, at + timedelta(minutes=minutes))
        assert shard.one("SELECT suppressed FROM alarms")["suppressed"] == suppressed
        assert [notice for _, notice, _ in shard.owed("city")] == ["raise", "clear", "raise"][:told]
    row = shard.one("SELECT ended_by, end_reason FROM suppressions")
    assert tuple(row.values()) == ("engine", "shelf_expired")


def order(shard: Shard, *rules: str) -> Order:
    asset_key = shard.one("SELECT asset_key FROM devices WHERE device_id = 'C-1'")["asset_key"]
    return Order("WO-7", None, asset_key, [rule for rule in rules if "." in rule], [r for r in rules if "." not in r])


def test_a_battery_order_does_not_hide_an_open_cover(shard: Shard) -> None:
    with connect(shard.database, "test") as connection:
        keys = human_actions.begin_out_of_service(
            connection, order(shard, "cover.battery"), "crew", now(), reason="换电池"
        )
    assert len(keys) == 1
    shard.commit(shard.says("C-1", {"open": True, "battery_pct": 5.0}), shard.says("C-2", {"battery_pct": 5.0}))
    assert shard.owed("city") == [("cover.open", "raise", 4)]
    hidden = shard.rows(
        "SELECT rule_id, device_id FROM alarms JOIN devices USING (device_key) WHERE suppressed <> '{}'"
    )
    assert [tuple(row.values()) for row in hidden] == [("cover.battery", "C-1")]
    withheld = shard.rows(
        "SELECT device_id FROM episodes JOIN alarms USING (alarm_key) JOIN devices USING (device_key) WHERE withheld"
    )
    assert [row["device_id"] for row in withheld] == ["C-1"]


def test_done_tells_what_has_stayed(shard: Shard) -> None:
    """A crew replaces a cover: open and shut tells nobody; left open, it is told at the order's end."""
    with connect(shard.database, "test") as connection:
        human_actions.begin_out_of_service(connection, order(shard, "cover"), "crew", now(), reason="换井盖")
    for is_open in (True, False, True):
        shard.wait(MINUTE)
        shard.commit(shard.says("C-1", {"open": is_open}))
    assert shard.owed("city") == shard.owed("crew") == []
    with connect(shard.database, "test") as connection:
        assert human_actions.end_out_of_service(connection, "WO-7", "crew", now()) > 1
        assert human_actions.end_out_of_service(connection, "WO-7", "crew", now()) == 0
    assert shard.owed("city") == shard.owed("crew") == [("cover.open", "raise", 4)]
