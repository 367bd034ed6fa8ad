"""Districts go from shard to shard under load: nothing is lost, nothing is judged out of order, nobody has to help."""

from __future__ import annotations

import csv
import json
import time

import pytest

from tests.system import evidence
from tests.system.city import DISTRICTS, LONG, City, spread, topic, until
from tests.system.fleet import Fleet, Message, now_ms, report
from tests.system.platform import SINK, add_platform_sink
from tests.system.publisher import load, send
from tests.system.workers import crew_of


def shards(city: City) -> dict[str, dict[str, object]]:
    """As `underfoot shards list` tells programs."""
    said = json.loads(city.installation.run("shards", "list", "--json").stdout)
    assert said["moves"] == []
    return {row["shard"]: row for row in said["shards"]}


def devices_are_where_they_belong(city: City) -> None:
    assert city.value("SELECT count(*) FROM devices WHERE shard <> shard_of(district)") == 0


@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.long), 2], ids=["1 worker", "2 workers"])
def test_a_city_is_split_under_load(spread_city: City, size: int) -> None:
    """And put together otherwise, and back again."""
    city = spread_city
    add_platform_sink(city, SINK, "http://127.0.0.1:9/events")
    fleet = Fleet(seed=size, home=spread)
    fleet.clocks_only()  # what reaches two sessions during a move can only be told by its time
    with crew_of(city, size) as crew:
        until(lambda: sum(crew.held().values()) == 1, "tenure")
        city.caught_up()
        with load(city, fleet.message, 800 if LONG else 250):
            until(lambda: evidence.stored_rows(city) > 300, "load under way")
            said = city.installation.run("shards", "split").stdout
            assert "迁移中" not in said
            crew.shared_evenly()
            devices_are_where_they_belong(city)
            until(lambda: city.value("SELECT count(DISTINCT shard) FROM books") == 6, "reports in every shard")
            city.installation.run("shards", "assign", "410503", "410505")
            city.installation.run("shards", "assign", "410506", "east")
            city.installation.run("shards", "assign", "410522", "main")
            devices_are_where_they_belong(city)
            crew.shared_evenly()
            time.sleep(1)
        city.caught_up(seconds=120)
        found = shards(city)
        assert {name: row["districts"] for name, row in found.items()} == {
            "main": None,
            "410502": ["410502"],
            "410503": [],
            "410505": ["410503", "410505"],
            "410506": [],
            "410522": [],
            "east": ["410506"],
        }
        assert sum(row["devices"] for row in found.values()) == 94  # type: ignore[misc]
        filters = [each for row in found.values() for each in row["filters"]]  # type: ignore[attr-defined]
        assert len(filters) == len(set(filters)) == 3 * len(DISTRICTS)
        evidence.everything_is_kept(city, fleet.sent, resent=True)
        evidence.the_books_balance(city, fleet.sent, resent=True)
        evidence.the_alarms_are_right(city, fleet.sent)
        evidence.the_record_is_whole(city)
        assert evidence.everything_is_owed(city, SINK) > 20
        assert not city.rows("SELECT 1 FROM alarms WHERE rule_id = 'shard.session_lost'")


def test_a_city_that_has_never_run_is_split_at_once(spread_city: City) -> None:
    city = spread_city
    said = json.loads(city.installation.run("shards", "split", "--json").stdout)
    assert said == {
        "moved": sorted(DISTRICTS),
        "begun": [],
        "called_back": [],
        "unchanged": [],
        "on_their_way": [],
    }
    devices_are_where_they_belong(city)
    assert json.loads(city.installation.run("shards", "split", "--json").stdout)["moved"] == []


def test_what_goes_nowhere_can_be_called_back(spread_city: City) -> None:
    """No ingest runs: the district stays where it is, whatever waits for it at the broker, until it is called back."""
    city = spread_city
    ingest = city.start_ingest()
    ingest.terminate()
    assert ingest.wait(20) == 0
    begun = json.loads(city.installation.run("shards", "assign", "410503", "north", "--wait", "0", "--json").stdout)
    assert (begun["begun"], begun["on_their_way"]) == (["410503"], ["410503"])
    refused = city.installation.run("shards", "assign", "410505", "south", succeeds=False)
    assert "410503 are on their way" in refused.stderr
    back = json.loads(city.installation.run("shards", "assign", "410503", "main", "--json").stdout)
    assert (back["called_back"], back["on_their_way"]) == (["410503"], [])
    devices_are_where_they_belong(city)
    for district, shard, said in (("41050", "north", "41050"), ("410503", "North!", "North!")):
        assert said in city.installation.run("shards", "assign", district, shard, succeeds=False).stderr


def test_a_device_of_a_new_district_is_heard(spread_city: City) -> None:
    """Its district has no shard: `main` subscribes to it as soon as the ledger has it."""
    city = spread_city
    city.installation.run("shards", "split")
    with crew_of(city, 1) as crew:
        crew.shared_evenly()
        ledger = city.installation.folder / "new.csv"
        with ledger.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["device_id", "family", "area_code", "asset_code", "expected_interval_s"])
            rows.writerow(["cover-901", "cover", "410581", "4105810103000901", "86400"])
            rows.writerow(["cover-902", "cover", "410503", "4105030103000902", "86400"])
        city.installation.run("devices", "import", str(ledger))
        assert dict(city.rows("SELECT device_id, shard FROM devices WHERE device_id LIKE 'cover-90_'")) == {
            "cover-901": "main",
            "cover-902": "410503",
        }
        until(lambda: "underfoot/v1/410581/+/+/report" in str(shards(city)["main"]["filters"]), "its subscription", 15)
        send(city, *(opened(device, home) for device, home in (("cover-901", "410581"), ("cover-902", "410503"))))
        for device in ("cover-901", "cover-902"):
            until(lambda device=device: city.open_alarms(device) == {"cover.open": 4}, f"alarm of {device}")


def test_a_device_that_the_ledger_moves_to_another_district_keeps_its_alarm(spread_city: City) -> None:
    city = spread_city
    city.installation.run("shards", "split")
    with crew_of(city, 1) as crew:
        crew.shared_evenly()
        city.caught_up()
        send(city, opened("cover-001", spread("cover-001")))
        until(lambda: city.open_alarms("cover-001") == {"cover.open": 4}, "alarm")
        epochs = dict(city.rows("SELECT shard, epoch FROM shards"))
        city.do("UPDATE devices SET district = '410522', updated_at = clock_timestamp() WHERE device_id = 'cover-001'")
        before, after = spread("cover-001"), "410522"
        until(
            lambda: all(
                city.value("SELECT epoch FROM shards WHERE shard = %s", shard) > epochs[shard]
                for shard in (before, after)
            ),
            "both shards with what the ledger says now",
        )
        city.caught_up()
        closed = report("cover-001", now_ms(), open=False).payload
        send(city, Message(topic("cover-001", district=after), closed))
        until(lambda: city.open_alarms("cover-001") == {}, "end of the alarm")


def opened(device_id: str, district: str) -> Message:
    return Message(topic(device_id, district=district), report(device_id, now_ms(), open=True).payload)
