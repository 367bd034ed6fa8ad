"""The holder's batch and quarantine: a flood is counted in the books, and a newcomer is known once it is approved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.shard import Shard, shard_of
from underfoot.ledger.newcomers import Placement, approve, switch
from underfoot.storage.connect import connect


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database, quarantine_rate_per_s=0, quarantine_burst=5) as made:
        yield made


def whole_books(shard: Shard) -> dict[str, int]:
    return {
        name: int(number)
        for name, number in shard.one(
            "SELECT sum(received) AS received, sum(stored) AS stored, sum(duplicate) AS duplicate,"
            " sum(quarantined) AS quarantined, sum(discarded) AS discarded FROM books"
        ).items()
    }


def test_a_flood_of_garbage_is_capped_and_counted_and_harms_no_good_report(shard: Shard) -> None:
    garbage = [shard.message(shard.topic("C-1"), b"garbage %d" % number) for number in range(40)]
    good = [shard.says("C-1", {"tilt_deg": 3.0 + number / 100}) for number in range(40)]
    shard.commit(*[arrival for pair in zip(garbage, good, strict=True) for arrival in pair])
    assert whole_books(shard) == {"received": 80, "stored": 40, "duplicate": 0, "quarantined": 5, "discarded": 35}
    assert len(shard.quarantined()) == 5
    shard.commit(shard.redelivered(garbage[0]), shard.redelivered(garbage[39]))
    assert whole_books(shard) == {"received": 82, "stored": 40, "duplicate": 1, "quarantined": 5, "discarded": 36}


def test_a_newcomer_is_known_once_it_is_approved(shard: Shard) -> None:
    topic = "underfoot/v1/410502/cover/X-1/report"
    with connect(shard.database, "test", autocommit=True) as connection:
        switch(connection, "410502", True, actor="li")
        shard.commit(shard.message(topic, b'{"values": {"open": true}}'))
        assert [row["device_id"] for row in shard.rows("SELECT device_id FROM newcomers WHERE state = 'waiting'")] == [
            "X-1"
        ]
        assert approve(connection, "X-1", Placement(kind="0103"), actor="li").replayed == 1
    shard.commit(shard.message(topic, b'{"values": {"open": false}}'))
    assert len(shard.rows("SELECT FROM report_cover WHERE NOT open")) == 1
    assert whole_books(shard)["quarantined"] == 1
    assert [row["body"] for row in shard.rows("SELECT body FROM inbox WHERE kind = 'message'")] == [
        b'{"values": {"open": true}}'
    ]
