"""Store: each report once, none lost, and no row at its neighbours' cost."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.judge.evaluate import Evaluator
from ingest.arrival import Arrival
from ingest.decode import Item
from ingest.registry import FamilyDevices
from ingest.store import Stored, store
from tests.integration.shard import FAMILY, SECOND, Shard, shard_of
from tests.unit.batches import One, reports
from tests.unit.payloads import payloads, topics
from underfoot.families import FAMILIES
from underfoot.storage.arrays import allow_arrays
from underfoot.storage.connect import Connection, connect

TIME_OF_ITS_OWN = 0
TIME_ABSENT = 1


@pytest.fixture
def connection(module_database: str) -> Iterator[Connection]:
    with connect(module_database, "test", autocommit=True) as opened:
        opened.execute("ALTER TABLE report_cover DROP CONSTRAINT IF EXISTS poison")
        for family in FAMILIES.values():
            opened.execute(f"DELETE FROM {family.table}".encode())
        allow_arrays(opened)
        yield opened


class Table:
    """One family's table, and what a tenure remembers of its devices."""

    def __init__(self, connection: Connection, family: str = "cover") -> None:
        self.connection = connection
        self.family = FAMILIES[family]
        self.forget()

    def put(self, *ones: One, dup: bool = False) -> Stored:
        made = reports(self.family, ones)
        items = [Item(Arrival("t", b"", 1, 1, dup, False, one.received_us, 1), {}, b"", b"") for one in ones]
        with self.connection.transaction():
            [stored] = store(self.connection, [(self.devices, made, items)])
        newest_us = self.devices.evaluator.newest_us
        np.maximum.at(newest_us, made.slot[stored.new], made.ts_us[stored.new])
        return stored

    def forget(self) -> None:
        """As if nothing had ever been heard: everything looks new."""
        self.devices = FamilyDevices(self.family, Evaluator(self.family, []))
        self.devices.evaluator.add_devices(np.arange(100, 1100, dtype=np.int32))

    def count(self) -> int:
        row = self.connection.execute(f"SELECT count(*) FROM {self.family.table}").fetchone()
        assert row is not None
        return int(row[0])


def one(at_s: float, digest: int = 1, slot: int = 0, **values: Any) -> One:
    return One(slot, at_s, values or {"tilt_deg": 1.0}, digest=digest)


def refused_rows(stored: Stored) -> list[int]:
    return sorted(row for row, _ in stored.refused)


@pytest.mark.parametrize("family", FAMILIES)
def test_new_reports_and_duplicates_of_every_family(connection: Connection, family: str) -> None:
    table = Table(connection, family)
    field = FAMILIES[family].fields[0]
    ones = [One(n % 2, n, {field: 1}, digest=n) for n in range(5)]
    first = table.put(*ones, ones[2])
    assert (first.new.tolist(), first.duplicates) == ([0, 1, 2, 3, 4], 1)
    assert table.put(*ones).duplicates == 5, "known from memory"
    table.forget()
    again = table.put(One(0, 9, {field: 1}, digest=9), *ones, One(0, 10, {field: 1}, digest=9))
    assert (again.new.tolist(), again.duplicates) == ([0, 6], 5), "known by the table"
    assert table.count() == 7


def test_two_different_reports_in_one_second_both_live(connection: Connection) -> None:
    table = Table(connection)
    assert table.put(one(0, digest=1), one(0, digest=2)).new.tolist() == [0, 1]
    assert table.put(one(0, digest=3), one(0, digest=2)).new.tolist() == [0]
    assert table.put(one(0, digest=1, slot=1)).new.tolist() == [0], "another device"
    assert table.count() == 4


def test_same_moment_to_the_microsecond(connection: Connection) -> None:
    table = Table(connection)
    ones = [one(1 + n / 1e6) for n in range(20)]
    assert len(table.put(*ones).new) == 20
    table.forget()
    stored = table.put(*ones, one(2))
    assert (stored.new.tolist(), stored.duplicates) == ([20], 20)


POISON = "ALTER TABLE report_cover ADD CONSTRAINT poison CHECK (tilt_deg <> 66)"


@pytest.mark.parametrize("known", [[], [3], [0, 1, 2, 3, 4, 5, 6, 7]], ids=["all new", "one known", "all known"])
@pytest.mark.parametrize("bad", [[], [0], [7], [3], [0, 1], [2, 5, 6], list(range(8))], ids=str)
def test_poison_rows_stand_alone(connection: Connection, bad: list[int], known: list[int]) -> None:
    connection.execute(POISON)
    table = Table(connection)
    table.put(*(one(n) for n in known))
    table.forget()
    batch = [one(n, tilt_deg=66.0) if n in bad else one(n) for n in range(8)]
    stored = table.put(*batch)
    # A refused row that the table holds already is a duplicate or refused, as the database comes upon it first.
    assert set(refused_rows(stored)) | set(known) >= set(bad)
    assert stored.new.tolist() == [n for n in range(8) if n not in bad and n not in known]
    assert table.count() == len(set(range(8)) - set(bad) | set(known))
    assert stored.duplicates + len(stored.refused) + len(stored.new) == 8
    assert all("poison" in why for _, why in stored.refused)


def test_random_batches_against_a_set(connection: Connection) -> None:
    """Good, poison and repeated rows in any mixture; memory forgotten now and then, as by a restart."""
    connection.execute(POISON)
    table, chance = Table(connection), random.Random(20261121)
    there: set[tuple[int, float, int]] = set()
    for _ in range(40):
        if chance.random() < 0.3:
            table.forget()
        batch, expected, bad = [], Counter[str](), []
        seen: set[tuple[int, float, int]] = set()
        for _ in range(chance.randint(1, 25)):
            key = (chance.randint(0, 1), chance.randint(0, 30), chance.randint(0, 2))
            poison = key[2] == 0 and key[1] % 7 == 0
            batch.append(One(key[0], key[1], {"tilt_deg": 66.0 if poison else 1.0}, digest=key[2]))
            kind = "duplicate" if key in there or key in seen else "refused" if poison else "new"
            expected[kind] += 1
            seen.add(key)
            if kind == "refused":
                bad.append(len(batch) - 1)
        stored = table.put(*batch)
        there |= {key for key in seen if not (key[2] == 0 and key[1] % 7 == 0)}
        assert refused_rows(stored) == bad
        assert {"new": len(stored.new), "duplicate": stored.duplicates, "refused": len(bad)} == {
            name: expected[name] for name in ("new", "duplicate", "refused")
        }
        assert table.count() == len(there)


def test_substituted_time_is_a_duplicate_only_when_redelivered(connection: Connection) -> None:
    """The same packet on record: its digest is over its packet id. A new packet with DUP is new."""
    now_s = time.time() - 1_780_000_000
    table = Table(connection)

    def beat(at_s: float, digest: int) -> One:
        return One(0, now_s + at_s, {"open": False}, substituted=True, digest=digest, quality=TIME_ABSENT)

    assert len(table.put(beat(0, 1), beat(1, 1)).new) == 2, "the same content twice, not redelivered"
    assert table.put(beat(2, 1), dup=True).duplicates == 1
    table.forget()
    assert table.put(beat(3, 1), dup=True).duplicates == 1
    assert len(table.put(beat(4, 2), dup=True).new) == 1
    own = One(0, now_s + 5, {"open": False}, digest=1, quality=TIME_OF_ITS_OWN)
    assert len(table.put(own, dup=True).new) == 1, "a report with a time of its own is known by that"


# by way of the worker -----------------------------------------------------------------------------------------------


@pytest.fixture
def shard(database: str) -> Iterator[Shard]:
    with shard_of(database) as made:
        yield made


GOOD: dict[str, dict[str, Any]] = {
    "C-1": {"tilt_deg": 3.0}, "R-1": {"depth_cm": 1.0}, "P-1": {"fill_ratio": 0.1}, "U-1": {"current_a": 5.0},
    "N-1": {"amount_mm": 0.2}, "L-1": {"current_a": 0.4, "on": True},
}  # fmt: skip


def test_poison_of_every_family_in_one_batch(shard: Shard) -> None:
    """What the database refuses goes to quarantine whole; all its neighbours are stored, evaluated and acknowledged."""
    for device_id, values in GOOD.items():
        family = FAMILY[device_id[0]]
        shard.ask.execute(f"ALTER TABLE report_{family} ADD CONSTRAINT poison CHECK (seq IS DISTINCT FROM 13)".encode())
        assert FAMILIES[family].column.keys() >= values.keys()
    batch = [shard.says(device_id, values, seq=n) for n in (1, 13, 2, 13) for device_id, values in GOOD.items()]
    batch.append(shard.says("C-2", {"open": True}))
    shard.commit(*batch)
    assert shard.books() | {"received": 0} == {
        "received": 0, "redelivered": 0, "unpacked": 0, "stored": 13, "duplicate": 0, "quarantined": 12, "late": 0,
    }  # fmt: skip
    assert shard.quarantined() == ["rejected_by_database"] * 12
    kept = shard.rows("SELECT payload, detail FROM quarantine")
    assert all(json.loads(bytes(row["payload"]))["seq"] == 13 and "poison" in row["detail"] for row in kept)
    assert shard.open() == {"cover.open": 4}
    shard.commit(*(shard.redelivered(arrival) for arrival in batch))
    assert shard.books()["duplicate"] == 25
    assert len(shard.quarantined()) == 12


def test_refused_report_raises_no_alarm(shard: Shard) -> None:
    shard.ask.execute("ALTER TABLE report_cover ADD CONSTRAINT poison CHECK (open IS NOT true)")
    shard.commit(shard.says("C-1", {"open": True}), shard.says("C-2", {"open": False}))
    assert shard.open() == {}
    assert shard.rows("SELECT device_key FROM device_latest") == [{"device_key": shard.device_key("C-2")}]


def test_everything_sent_twice_and_shuffled(shard: Shard) -> None:
    """Devices interleaved in any way, all of it twice over several batches and a restart: stored once, told once."""
    chance = random.Random(7)
    streams = {
        device_id: [shard.says(device_id, {"open": n % 4 == 1}, shard.now_us - (20 - n) * SECOND) for n in range(12)]
        for device_id in ("C-1", "C-2")
    }
    sent = []
    rest = {device_id: list(stream) for device_id, stream in streams.items()}
    while any(rest.values()):
        sent.append(rest[chance.choice([device_id for device_id, left in rest.items() if left])].pop(0))
    again = [shard.redelivered(arrival) for arrival in sent]
    chance.shuffle(again)
    for number, batch in enumerate(np.array_split(np.arange(24), 5)):
        if number == 3:
            shard.restart()
        shard.commit(*(sent[place] for place in batch))
    for batch in np.array_split(np.arange(24), 4):
        shard.commit(*(again[place] for place in batch))
    assert (shard.books()["stored"], shard.books()["duplicate"]) == (24, 24)
    for row in shard.rows(
        "SELECT device_key, count(*) AS episodes FROM alarms JOIN episodes USING (alarm_key) GROUP BY 1"
    ):
        assert row["episodes"] == 3
    assert shard.open() == {}


@pytest.fixture(scope="module")
def fuzzed(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        yield made


@given(st.lists(st.tuples(payloads(time.time_ns() // 1_000_000), topics, st.booleans()), max_size=10))
def test_whatever_comes_is_committed_and_accounted_for(fuzzed: Shard, came: list[tuple[bytes, str, bool]]) -> None:
    """No bytes stop the shard: they are rows that the table takes, or in quarantine whole."""
    before = fuzzed.books()
    fuzzed.commit(*(fuzzed.message(topic, payload, dup=dup) for payload, topic, dup in came))
    after = fuzzed.books()
    assert after["received"] - before["received"] == len(came)
    kept = sum(fuzzed.one(f"SELECT count(*) FROM {family.table}")["count"] for family in FAMILIES.values())
    assert after["stored"] == kept
    assert after["quarantined"] == fuzzed.one("SELECT count(*) FROM quarantine")["count"]
    assert "rejected_by_database" not in fuzzed.quarantined(), "what the table would refuse is known before"
