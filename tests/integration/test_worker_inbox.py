"""What does not come under a device's own topic: by the inbox, from gateways, in other codecs, by vendors' mappings, or
for another shard. The same judging, the same books."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import cbor2
import pytest

from ingest.codecs.mappings import add, shipped
from tests.integration.shard import Shard, shard_of
from underfoot.inbox import Message, post_messages
from underfoot.quarantine import Selection, replay
from underfoot.storage.connect import connect

GATEWAY = "underfoot/v1/410502/gateway/G-1/batch"
WELL = "/city/410500/well/status/C-1"


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        made.ask.execute(
            "WITH bound AS (INSERT INTO gateways (gateway_id, district) VALUES ('G-1', '410502') RETURNING gateway_key)"
            " UPDATE devices SET gateway_key = bound.gateway_key FROM bound WHERE device_id IN ('C-1', 'R-1')"
        )
        made.restart()
        yield made


def push(shard: Shard, topic: str, body: bytes, key: str, **more: Any) -> list[bool]:
    with connect(shard.database, "test", autocommit=True) as connection:
        return post_messages(connection, [Message("main", topic, body, shard.now_us, "http", key, **more)])


def well_status(shard: Shard, device_id: str, **said: Any) -> bytes:
    return json.dumps({"device_id": device_id, "ts": shard.now_us // 1_000_000, "battery": 89} | said).encode()


def whole_books(shard: Shard) -> dict[str, int]:
    names = ("received", "by_inbox", "stored", "duplicate", "quarantined", "forwarded")
    sums = ", ".join(f"sum({name})::int AS {name}" for name in names)
    return {name: number for name, number in shard.one(f"SELECT {sums} FROM books").items() if number}


def mapped(shard: Shard, name: str = "mqtt-well-status", **changes: Any) -> None:
    with connect(shard.database, "test", autocommit=True) as connection:
        add(connection, shipped()[name].model_copy(update=changes), actor="test")
    shard.restart()


def test_a_pushed_report_is_stored_once_and_judged_like_any_other(shard: Shard) -> None:
    report = json.dumps({"ts": shard.now_us // 1000, "values": {"open": True}}).encode()
    assert push(shard, shard.topic("C-1"), report, "a") == [True]
    assert push(shard, shard.topic("C-1"), report, "a") == [False]
    shard.look_around()
    assert shard.open("C-1") == {"cover.open": 4}
    assert shard.outcome("a") == "done"
    assert whole_books(shard) == {"received": 1, "by_inbox": 1, "stored": 1}
    shard.look_around()
    assert whole_books(shard)["received"] == 1, "consumed once"


def test_order_is_kept_in_the_inbox_and_before_what_comes_by_mqtt(shard: Shard) -> None:
    for n in range(5):
        push(shard, shard.topic("C-1"), json.dumps({"values": {"open": n % 2 == 0}}).encode(), f"k{n}")
        shard.wait(1_000_000)
    shard.commit(shard.says("C-1", {"open": False}), look_around=True)
    assert shard.reasons("cover.open") == ["limit_reached", "below_limit"] * 3


def test_an_account_speaks_for_its_own_devices_only(shard: Shard) -> None:
    mapped(shard)
    for key, vendor in (("theirs", "乙厂"), ("ours", "甲厂")):
        push(shard, WELL, well_status(shard, "C-1", status="open"), key, vendor=vendor)
    shard.look_around()
    (kept,) = shard.rows("SELECT reason, vendor, source FROM quarantine")
    assert kept == {"reason": "vendor_mismatch", "vendor": "乙厂", "source": "http"}
    assert shard.open("C-1")["cover.open"] == 4


def test_a_gateway_speaks_for_the_devices_bound_to_it(shard: Shard) -> None:
    members = [
        {"device_id": "C-1", "ts": shard.now_us // 1000, "values": {"open": True}},
        {"device_id": "C-2", "ts": shard.now_us // 1000, "values": {"open": True}},
        {"device_id": "R-1", "values": "none"},
        {"device_id": "X-1", "values": {}},
    ]
    shard.commit(shard.message(GATEWAY, json.dumps(members).encode()))
    assert shard.open() == {"cover.open": 4}
    assert sorted(shard.quarantined()) == ["not_of_gateway", "unknown_device", "values_missing"]
    assert shard.books() | {"redelivered": 0, "late": 0} == {
        "received": 1, "redelivered": 0, "unpacked": 3, "stored": 1, "duplicate": 0, "quarantined": 3, "late": 0,
    }  # fmt: skip
    shard.commit(shard.message(GATEWAY.replace("410502", "410503"), json.dumps(members[:1]).encode()))
    assert shard.quarantined()[-1] == "area_mismatch"
    shard.commit(shard.message(GATEWAY.replace("G-1", "G-2"), json.dumps(members[:1]).encode()))
    assert shard.quarantined()[-1] == "unknown_gateway"


def test_cbor_under_its_topic_and_by_declaration(shard: Shard) -> None:
    open_now = cbor2.dumps({"ts": shard.now_us // 1000, "values": {"open": True}})
    shard.commit(shard.message(shard.topic("C-1").replace("/report", "/cbor"), open_now))
    assert shard.open("C-1") == {"cover.open": 4}
    shard.commit(shard.message(shard.topic("C-2"), open_now))
    assert shard.quarantined() == ["undecodable"]
    shard.ask.execute("UPDATE devices SET codec = 'cbor', updated_at = clock_timestamp() WHERE device_id = 'C-2'")
    shard.worker._registry_changed.set()
    shard.commit(shard.message(shard.topic("C-2"), open_now))
    assert shard.open("C-2") == {"cover.open": 4}


def test_a_mapping_is_mended_and_its_quarantine_replayed(shard: Shard) -> None:
    shard.commit(shard.message(WELL, well_status(shard, "C-1", status="open")))
    assert shard.quarantined() == ["unknown_topic"]
    received_at = shard.one("SELECT received_at FROM quarantine")["received_at"]
    mapped(shard)
    shard.wait(3_600_000_000)
    with connect(shard.database, "test", autocommit=True) as connection:
        replay(connection, Selection(reason="unknown_topic"), actor="li")
    shard.look_around()
    assert shard.one("SELECT received_at FROM report_cover")["received_at"] == received_at, "the time that it came"
    assert shard.one("SELECT released_at IS NOT NULL AS released FROM quarantine")["released"]
    assert whole_books(shard) == {"received": 2, "by_inbox": 1, "stored": 1, "quarantined": 1}


def test_what_is_another_shards_is_forwarded_to_it(shard: Shard) -> None:
    shard.ask.execute("INSERT INTO shards (shard, filters, districts) VALUES ('east', '{}', '{410503}')")
    shard.ask.execute("UPDATE devices SET shard = 'east', district = '410503' WHERE device_id = 'C-2'")
    shard.restart()
    topic = shard.topic("C-2").replace("410502", "410503")
    came = shard.message(topic, json.dumps({"values": {"open": True}}).encode())
    shard.commit(came, shard.says("C-1", {"open": False}))
    (forwarded,) = shard.rows("SELECT shard, payload, body FROM inbox WHERE kind = 'message'")
    assert forwarded["shard"] == "east"
    assert forwarded["payload"]["topic"] == topic.replace("/report", "/forwarded")
    assert forwarded["payload"]["received_us"] == came.received_us
    assert whole_books(shard) == {"received": 2, "stored": 1, "forwarded": 1}
    shard.ask.execute("UPDATE devices SET shard = 'main', codec = 'cbor' WHERE device_id = 'C-2'")
    shard.ask.execute("UPDATE inbox SET shard = 'main'")
    shard.restart()
    shard.look_around()
    assert shard.open("C-2") == {"cover.open": 4}, "what is forwarded is JSON, whatever the device sends"
