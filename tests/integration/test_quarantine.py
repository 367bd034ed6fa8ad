"""What the holder does with rejected messages: kept whole and once, capped, and renewed when a replay fails again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from ingest.arrival import Origin
from ingest.quarantine import Budget, quarantine, released
from ingest.reasons import Rejection
from tests.integration.rejecting import BEGAN_US, Quarantine


@pytest.fixture
def kept(database: str) -> Iterator[Quarantine]:
    made = Quarantine(database)
    yield made
    made.close()


def test_a_message_is_kept_whole_with_where_it_came_from(kept: Quarantine) -> None:
    bytes_ = bytes(range(256))
    push = Origin(7, "http", "甲厂", None)
    done = kept.keep(
        kept.reject("C-1", Rejection.values_missing, payload=bytes_, at_s=1.000001, packet_id=9, vendor="乙厂"),
        kept.reject(None, Rejection.undecodable, topic="http/ctwing", origin=push, vendor="乙厂"),
        kept.reject(None, Rejection.checksum, topic="sl651/0012345678", origin=Origin(8, "sl651")),
    )
    assert done[:3] == (3, 0, 0)
    first, second, third = kept.kept()
    assert bytes(first["payload"]) == bytes_
    topic = "underfoot/v1/410502/cover/C-1/report"
    assert bytes(first["digest"]) == hashlib.sha256(topic.encode() + b"\0" + bytes_).digest()
    assert (first["topic"], first["packet_id"], first["device_id"]) == (topic, 9, "C-1")
    assert first["received_at"].timestamp() == (BEGAN_US + 1_000_001) / 1_000_000
    assert (first["reason"], first["source"], first["vendor"]) == ("values_missing", "mqtt", "乙厂")
    assert (second["reason"], second["source"], second["vendor"]) == ("undecodable", "http", "甲厂"), "the account's"
    assert (third["source"], third["vendor"], third["device_id"]) == ("sl651", "", None)


def test_text_that_the_database_cannot_hold_stays_visible_and_harms_no_neighbour(kept: Quarantine) -> None:
    kept.keep(
        kept.reject("X-1"),
        kept.reject("a\0b\ud800" * 200, topic="t\0\udfff", detail="d\0\ud800" + "x" * 5000, vendor="v\0"),
        kept.reject("X-2"),
    )
    rows = kept.kept()
    assert len(rows) == 3
    assert rows[1]["topic"] == "t\\0\\udfff"
    assert rows[1]["device_id"].startswith("a\\0b\\ud800a\\0")
    assert rows[1]["detail"].startswith("d\\0\\ud800xxx")
    assert (len(rows[1]["detail"]), len(rows[1]["device_id"]), rows[1]["vendor"]) == (1000, 200, "v\\0")


def test_a_redelivered_packet_is_a_duplicate_and_the_same_bytes_sent_again_are_not(kept: Quarantine) -> None:
    first = kept.reject(payload=b"x", packet_id=5)
    assert kept.keep(first)[:3] == (1, 0, 0)
    redelivered = first._replace(arrival=first.arrival._replace(dup=True))
    other_packet = first._replace(arrival=first.arrival._replace(dup=True, packet_id=6))
    assert kept.keep(redelivered, first, other_packet)[:3] == (2, 1, 0)
    assert len(kept.kept()) == 3


def test_a_flood_is_kept_up_to_the_budget_in_order_and_the_rest_is_counted(kept: Quarantine) -> None:
    kept.budget = Budget(0, 10)
    flood = [kept.reject(f"X-{number}", payload=b"%d" % number) for number in range(1000)]
    done = kept.keep(*flood[:500])
    assert done[:3] == (10, 0, 490)
    assert done.added == flood[:10]
    assert kept.keep(*flood[500:])[:3] == (0, 0, 500)
    assert [bytes(row["payload"]) for row in kept.kept()] == [b"%d" % number for number in range(10)]
    assert kept.keep(kept.reject(reason=Rejection.undecodable))[:3] == (1, 0, 0), "another reason has its own budget"


def test_a_device_that_floods_does_not_hide_another(kept: Quarantine) -> None:
    kept.budget = Budget(0, 3)
    kept.keep(*[kept.reject("mad") for _ in range(100)], kept.reject("quiet"))
    assert [row["device_id"] for row in kept.kept()] == ["mad", "mad", "quiet"]


def test_a_replay_is_never_discarded_and_stays_the_row_that_it_was(kept: Quarantine) -> None:
    kept.keep(kept.reject("X-1", payload=b"one"), kept.reject("X-2", payload=b"two"))
    key, other = kept.keys()
    kept.budget = Budget(0, 1)
    kept.keep(kept.reject("X-9"))
    again = kept.again(key, Rejection.family_mismatch, detail="now this", device_id="X-1", vendor="甲厂")
    assert kept.keep(again)[:3] == (0, 1, 0)
    first, second, _ = kept.kept()
    assert (first["quarantine_key"], first["reason"], first["detail"]) == (key, "family_mismatch", "now this")
    assert (first["replays"], first["vendor"], bytes(first["payload"])) == (1, "甲厂", b"one")
    assert (second["quarantine_key"], second["reason"], second["replays"]) == (other, "unknown_device", 0)


def test_parts_of_one_replay_that_fail_renew_its_row_once_and_say_how_many(kept: Quarantine) -> None:
    kept.keep(kept.reject(None, Rejection.mapping_failed, payload=b"whole", topic="http/ctwing"))
    (key,) = kept.keys()
    parts = [kept.again(key, detail=f"part {number}", device_id=f"X-{number}") for number in range(3)]
    assert kept.keep(*parts)[:3] == (0, 3, 0)
    (row,) = kept.kept()
    assert (row["replays"], row["detail"]) == (1, "part 0 (and 2 more of this message)")
    assert (row["device_id"], bytes(row["payload"])) == ("X-0", b"whole")


def test_a_replay_whose_row_is_gone_is_kept_anew(kept: Quarantine) -> None:
    kept.budget = Budget(0, 1)
    kept.keep(kept.reject())
    assert kept.keep(kept.again(4711, payload=b"still here"))[:3] == (1, 0, 0)
    assert bytes(kept.kept()[-1]["payload"]) == b"still here"


def test_what_was_understood_is_released_once(kept: Quarantine) -> None:
    kept.keep(kept.reject("X-1"), kept.reject("X-2"))
    first, second = kept.keys()
    released(kept.connection, [])
    released(kept.connection, [first, first])
    at = kept.kept()[0]["released_at"]
    assert at is not None
    released(kept.connection, [first])
    assert [row["released_at"] for row in kept.kept()] == [at, None]
    assert second == kept.keys()[1]


def test_nothing_rejected_asks_nothing_of_the_database(kept: Quarantine) -> None:
    kept.connection.close()
    assert quarantine(kept.connection, "main", [], kept.budget) == (0, 0, 0, [])


def test_a_batch_that_is_rolled_back_keeps_nothing(kept: Quarantine) -> None:
    with kept.connection.transaction(force_rollback=True):
        kept.keep(kept.reject())
    assert kept.kept() == []
