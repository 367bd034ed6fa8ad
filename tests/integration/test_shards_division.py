"""The division in the real database: where devices go, what a hand-over moves with them, and what holds it up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event

import pytest

from ingest.codecs.mappings import add, shipped, withdraw
from ingest.division import Plan, advance, read_division
from ingest.offline import find_silent
from ingest.redivide import ShardError, redivide, split_by_district
from ingest.tenure import hold, watch_lock
from ingest.worker import Worker
from tests.integration.shard import Shard, shard_of
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement
from underfoot.topics import filters_of


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        yield made


@pytest.fixture
def operator(module_database: str) -> Iterator[Connection]:
    with connect(module_database, "shards") as connection:
        yield connection


def place(shard: Shard, device_id: str) -> str:
    return str(shard.one("SELECT shard FROM devices WHERE device_id = %s", device_id)["shard"])


def register(shard: Shard, device_id: str, district: str) -> None:
    shard.ask.execute(
        "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
        " SELECT %s, 'cover', %s, min(asset_key), 60 FROM assets",
        [device_id, district],
    )


def ran_once(shard: Shard) -> None:
    """Its session has existed, and is subscribed to everything."""
    shard.ask.execute(
        "UPDATE shards SET session_known = true, subscribed = %s WHERE shard = 'main'", [filters_of(None)]
    )


def subscribe(shard: Shard, name: str) -> None:
    plan = read_division(shard.tenure.connection).plan(name)
    shard.tenure.connection.commit()
    shard.ask.execute("UPDATE shards SET subscribed = %s WHERE shard = %s", [list(plan.filters), name])


def step(shard: Shard, name: str = "main") -> bool:
    """The holder's own probe is back."""
    with shard.tenure.connection.transaction():
        plan = read_division(shard.tenure.connection).plan(name)
        return advance(shard.tenure.connection, name, plan)


def test_a_device_belongs_to_its_districts_shard_whoever_registers_it(shard: Shard, operator: Connection) -> None:
    register(shard, "C-90", "410503")
    assert place(shard, "C-90") == "main"
    shard.end()  # nobody holds main, and no session of it was ever
    assert redivide(operator, {"410503": "north"}, actor="test").moved == ["410503"]
    register(shard, "C-91", "410503")
    register(shard, "C-92", "410505")
    assert [place(shard, each) for each in ("C-90", "C-91", "C-92")] == ["north", "north", "main"]
    shard.ask.execute("UPDATE devices SET district = '410505' WHERE device_id = 'C-91'")
    assert place(shard, "C-91") == "main"


def test_holders_hear_of_a_device_that_has_changed_its_shard(shard: Shard, operator: Connection) -> None:
    register(shard, "C-90", "410503")
    shard.end()
    redivide(operator, {"410503": "north", "410505": "south"}, actor="test")
    shard.begin()
    with hold(shard.database, "north", Event()) as north, hold(shard.database, "south", Event()) as south:
        assert north is not None
        assert south is not None
        shard.ask.execute("UPDATE devices SET updated_at = clock_timestamp() WHERE device_id = 'C-90'")
        shard.ask.execute("UPDATE devices SET district = '410502' WHERE device_id = 'C-90'")
        until(lambda: watch_lock(shard.tenure) == ["underfoot_shards"])
        until(lambda: watch_lock(north) == ["underfoot_shards"])
        assert watch_lock(south) == [], "it has nothing to do with it"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_district_moves_only_step_by_step(shard: Shard, operator: Connection) -> None:
    register(shard, "C-90", "410503")
    ran_once(shard)
    shard.restart()
    assert redivide(operator, {"410503": "north"}, actor="test").begun == ["410503"]
    assert not step(shard), "the new shard's session is not there yet"
    assert place(shard, "C-90") == "main"
    subscribe(shard, "north")
    assert step(shard), "all that came until then is committed"
    assert place(shard, "C-90") == "main"
    assert step(shard), "it is handed over"
    assert place(shard, "C-90") == "north"
    assert shard.one("SELECT districts FROM shards WHERE shard = 'north'")["districts"] == ["410503"]
    assert shard.rows("SELECT * FROM shard_moves") == []
    assert not step(shard)
    assert shard.one("SELECT count(*) FROM audit WHERE action = 'shard.divide'")["count"] == 1


def test_a_shard_gives_its_last_district_away_and_still_says_how_far_it_is(shard: Shard, operator: Connection) -> None:
    ran_once(shard)
    shard.restart()
    assert redivide(operator, {"410502": "north"}, actor="test").begun == ["410502"]
    subscribe(shard, "north")
    for expected in ("main", "north"):
        shard.restart()
        shard.catch_up()
        assert place(shard, "C-1") == expected
    shard.restart()
    assert not any("410502" in topic_filter for topic_filter in shard.tenure.plan.filters)
    before = shard.one("SELECT caught_up_to FROM shards WHERE shard = 'main'")["caught_up_to"]
    shard.catch_up()
    assert shard.one("SELECT caught_up_to FROM shards WHERE shard = 'main'")["caught_up_to"] > before


def test_who_registers_devices_holds_a_hand_over_up_and_no_report(shard: Shard, operator: Connection) -> None:
    register(shard, "C-90", "410503")
    ran_once(shard)
    redivide(operator, {"410503": "north"}, actor="test")
    subscribe(shard, "north")
    assert step(shard)
    with connect(shard.database, "importing") as importing:
        importing.execute(
            "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
            " SELECT 'C-91', 'cover', '410503', min(asset_key), 60 FROM assets"
        )
        assert not step(shard)
        shard.commit(shard.says("C-1", {"open": True}))
        importing.commit()
    assert step(shard)
    assert (place(shard, "C-90"), place(shard, "C-91")) == ("north", "north")


def test_an_alarm_goes_with_its_device_and_so_does_a_close_that_waits(shard: Shard, operator: Connection) -> None:
    shard.commit(shard.says("C-1", {"open": True}))
    ran_once(shard)
    redivide(operator, {"410502": "north"}, actor="test")
    episode = shard.one("SELECT episode_key, alarm_key FROM episodes")
    command = {
        "episode_key": episode["episode_key"],
        "alarm_key": episode["alarm_key"],
        "actor": "li",
        "reason": "看过",
    }
    shard.post("close", command, "close:1")
    subscribe(shard, "north")
    assert step(shard)
    assert step(shard)
    assert shard.one("SELECT shard FROM inbox WHERE key = 'close:1'")["shard"] == "north"
    shard.restart()
    shard.look_around()
    assert shard.open() == {"cover.open": 4}, "it is main's no longer"
    with hold(shard.database, "north", Event()) as north:
        assert north is not None
        worker = Worker(shard.settings, north)
        worker.commit([], look_around=True)
        worker._session.close()
    assert shard.open() == {}
    assert shard.outcome("close:1") == "done"


def test_what_was_looked_at_ahead_is_forwarded_though_the_ledger_has_changed_since(
    shard: Shard, operator: Connection
) -> None:
    register(shard, "C-90", "410503")
    shard.end()
    redivide(operator, {"410503": "north"}, actor="test")
    shard.begin()
    topic, payload = "underfoot/v1/410503/cover/C-90/report", b'{"values":{"open":true}}'
    shard.commit(shard.message(topic, payload))
    came = shard.message(topic, payload)
    ahead = shard.worker._understand([came])
    assert (len(ahead.judged.forward), ahead.strangers) == (1, [])
    shard.worker._registry_changed.set()
    shard.worker.commit([came], ahead, look_around=False)
    assert shard.one("SELECT sum(forwarded)::int AS forwarded FROM books")["forwarded"] == 2
    assert shard.rows("SELECT * FROM quarantine") == []


def test_one_change_at_a_time_and_what_is_wrong_is_named(shard: Shard, operator: Connection) -> None:
    ran_once(shard)
    redivide(operator, {"410502": "north"}, actor="test")
    with pytest.raises(ShardError, match="410502 are on their way"):
        redivide(operator, {"410503": "south"}, actor="test")
    with pytest.raises(ShardError, match="on its way from main to north"):
        redivide(operator, {"410502": "south"}, actor="test")
    assert redivide(operator, {"410502": "north"}, actor="test").begun == ["410502"]
    assert redivide(operator, {"410502": "main"}, actor="test").called_back == ["410502"]
    with pytest.raises(ShardError, match="district = '4105'"):
        redivide(operator, {"4105": "north"}, actor="test")
    with pytest.raises(ShardError, match="shard = 'No'"):
        redivide(operator, {"410502": "No"}, actor="test")


def test_a_shard_with_devices_does_not_wait_for_one_that_is_far_behind(shard: Shard, operator: Connection) -> None:
    register(shard, "C-90", "410503")
    shard.end()
    redivide(operator, {"410503": "north"}, actor="test")
    ran_once(shard)
    shard.ask.execute("UPDATE shards SET caught_up_to = now() - interval '5 minutes' WHERE shard = 'main'")
    with pytest.raises(ShardError, match=r"main is 30\d s behind"):
        redivide(operator, {"410502": "north"}, actor="test")
    assert redivide(operator, {"410502": "south"}, actor="test").begun == ["410502"]


def test_split_leaves_alone_what_is_split(shard: Shard, operator: Connection) -> None:
    register(shard, "C-90", "410503")
    shard.end()
    redivide(operator, {"410503": "north"}, actor="test")
    assert split_by_district(operator, actor="test").moved == ["410502"]
    assert split_by_district(operator, actor="test").moved == []
    assert (place(shard, "C-1"), place(shard, "C-90")) == ("410502", "north")


def test_every_district_is_found_without_reading_every_device(shard: Shard) -> None:
    shard.ask.execute(
        "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
        " SELECT 'x' || n, 'cover', 410600 + n % 7, (SELECT min(asset_key) FROM assets), 60"
        " FROM generate_series(1, 20000) n"
    )
    shard.ask.execute("ANALYZE devices")
    districts = [row["district"] for row in shard.rows(statement("shard.districts"))]
    assert districts == ["410502", *(f"41060{n}" for n in range(7))]
    plan = "\n".join(row["QUERY PLAN"] for row in shard.rows("EXPLAIN " + statement("shard.districts")))
    assert "Seq Scan on devices" not in plan, plan


# silence ------------------------------------------------------------------------------------------------------------


def silent(shard: Shard) -> int:
    """How many its holder finds silent."""
    with hold(shard.database, "north", Event()) as tenure:
        assert tenure is not None
        return len(find_silent(tenure).outcomes)


@pytest.fixture
def gauge(shard: Shard, operator: Connection) -> Shard:
    """Only N-1 is in service, in a shard of its own which is caught up; `main` and `south` are, too."""
    shard.ask.execute("UPDATE devices SET created_at = now() - interval '30 days'")
    shard.ask.execute("UPDATE devices SET status = 'retired' WHERE device_id <> 'N-1'")
    shard.end()
    redivide(operator, {"410502": "north", "410505": "south"}, actor="test")
    shard.ask.execute("UPDATE shards SET caught_up_to = now()")
    return shard


def test_a_silent_device_of_any_shard_is_noticed(gauge: Shard) -> None:
    assert silent(gauge) == 1


@pytest.mark.parametrize("behind", ["NULL", "'2020-01-01'"])
def test_while_main_is_behind_nobody_is_called_silent(gauge: Shard, behind: str) -> None:
    """What is pushed, or read by a mapping, comes to `main` first: it may be this device's report that waits there."""
    gauge.ask.execute(f"UPDATE shards SET caught_up_to = {behind} WHERE shard = 'main'")
    assert silent(gauge) == 0


def test_while_its_gateways_shard_is_behind_a_device_is_not_called_silent(gauge: Shard) -> None:
    gauge.ask.execute("UPDATE shards SET caught_up_to = NULL WHERE shard = 'south'")
    assert silent(gauge) == 1, "it has nothing to do with that shard"
    gauge.ask.execute("INSERT INTO gateways (gateway_id, district) VALUES ('G-1', '410505')")
    gauge.ask.execute("UPDATE devices SET gateway_key = (SELECT gateway_key FROM gateways) WHERE device_id = 'N-1'")
    assert silent(gauge) == 0


def test_while_a_message_waits_in_an_inbox_silence_counts_only_until_then(gauge: Shard) -> None:
    gauge.ask.execute(
        "INSERT INTO inbox (shard, kind, payload, key, created_at)"
        " VALUES ('main', 'message', '{}', 'waits', now() - interval '31 days')"
    )
    assert silent(gauge) == 0
    gauge.ask.execute("UPDATE inbox SET consumed_at = now()")
    assert silent(gauge) == 1


# vendors' mappings --------------------------------------------------------------------------------------------------


def plan(shard: Shard, name: str = "main") -> Plan:
    shard.restart()
    return read_division(shard.tenure.connection).plan(name)


def test_a_mappings_topics_are_subscribed_to_and_given_up_with_it(shard: Shard, operator: Connection) -> None:
    mapping = shipped()["mqtt-well-status"]
    add(operator, mapping, actor="test")
    assert plan(shard) == Plan((*filters_of(None), *mapping.filters))
    subscribe(shard, "main")
    withdraw(operator, mapping.name, actor="test")
    assert plan(shard) == Plan(tuple(filters_of(None)), surplus=tuple(mapping.filters))


def test_a_mapping_that_goes_to_another_shard_is_not_given_up_before_that_one_has_subscribed(
    shard: Shard, operator: Connection
) -> None:
    mapping = shipped()["mqtt-well-status"]
    shard.ask.execute("INSERT INTO shards (shard, filters) VALUES ('north', '{}')")
    add(operator, mapping, actor="test")
    operator.commit()
    subscribe(shard, "main")
    add(operator, mapping.model_copy(update={"shard": "north"}), actor="test")
    operator.commit()
    assert plan(shard).surplus == ()
    subscribe(shard, "north")
    assert plan(shard).surplus == tuple(mapping.filters)
