"""What a misbehaving fleet says must become of its messages is what decode and validate make of them."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from ingest.arrival import Arrival
from ingest.codecs.table import Codecs
from ingest.decode import decode
from ingest.load import LedgerView
from ingest.registry import Registry
from ingest.validate import validate
from simulators import poison
from simulators.city import City
from simulators.fleet import Fleet
from simulators.message import Message, clock_from
from simulators.misbehaviour import CLOCKS, Misbehaviour
from simulators.plan import Plan
from simulators.roster import read_roster
from underfoot.ledger.importer import import_ledger
from underfoot.storage.connect import connect


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.csv"
    City(devices=60).write(path)
    return path


@pytest.fixture
def registry(database: str, ledger: Path) -> Registry:
    with connect(database, "test") as connection:
        import_ledger(connection, ledger, actor="test")
        followed = LedgerView("main", Registry([]))
        assert followed.refresh(connection) == 60
    return followed.registry


def fate(registry: Registry, messages: list[Message]) -> tuple[int, int]:
    """How many of these messages' reports would be stored, how many quarantined."""
    now_us = time.time_ns() // 1000
    arrivals = [
        Arrival(message.topic.decode(), message.payload, number % 65_535 + 1, 1, False, False, now_us, 1)
        for number, message in enumerate(messages)
    ]
    items, undecodable = decode(arrivals, registry, Codecs([]))
    judged = validate(items, registry).settle()
    stored = sum(len(reports) for _, reports, _ in judged.families)
    return stored, len(undecodable) + len(judged.rejected)


def test_every_kind_of_misbehaviour_meets_the_fate_it_announces(registry: Registry, ledger: Path) -> None:
    clock = clock_from(int(time.time() * 1000) - 30_000)
    settings = ["poison=1", "no_ts=0.05", "backlog=0.1", *(f"{name}=0.05" for name in CLOCKS)]
    fleet = Fleet(read_roster(ledger), Plan(30), seed=3, clock=clock, rate=40)
    by_kind: dict[str, list[Message]] = {}
    for due in Misbehaviour.parse(settings).apply(fleet.messages(), 3):
        by_kind.setdefault(due.message.kind, []).append(due.message)
    assert {f"poison.{kind}" for kind in poison.KINDS} | CLOCKS.keys() | {"no_ts", "backlog"} <= by_kind.keys()
    announced = {
        kind: (sum(message.stores for message in messages), sum(message.quarantines for message in messages))
        for kind, messages in by_kind.items()
    }
    assert {kind: fate(registry, messages) for kind, messages in by_kind.items()} == announced


def test_the_marks_on_what_is_kept_tell_what_was_wrong(registry: Registry, ledger: Path) -> None:
    like = next(
        iter(Fleet(read_roster(ledger), Plan(30), seed=3, clock=clock_from(int(time.time() * 1000))).messages())
    )
    marks: Counter[str] = Counter()
    for kind in ("nan", "infinity", "huge_number", "huge_integer", "out_of_range", "error_code", "wrong_type"):
        made = poison.poison(kind, like.message, 1)
        arrival = Arrival(made.topic.decode(), made.payload, 1, 1, False, False, time.time_ns() // 1000, 1)
        ((_, reports, _),) = validate(decode([arrival], registry, Codecs([]))[0], registry).settle().families
        assert reports.extra[0] is not None
        marks[kind] += b"set_aside" in reports.extra[0]
    assert set(marks.values()) == {1}
