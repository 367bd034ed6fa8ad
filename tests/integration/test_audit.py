"""The audit log as evidence: sealed after the fact without blocking anybody, proven, exported, and guarded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from alerts.city.engine import City, steps, take_over
from tests.integration.audited import Log, five
from tests.integration.owing import settings
from underfoot.audit.chain import Head
from underfoot.audit.log import Acts, listed, note_settings
from underfoot.audit.sealer import Sealer
from underfoot.settings import Settings
from underfoot.storage.connect import connect


@pytest.fixture
def log(module_database: str) -> Iterator[Log]:
    made = Log(module_database)
    yield made
    made.connection.close()


# sealing --------------------------------------------------------------------------------------------------------------


def test_rows_are_sealed_once_and_in_their_order(log: Log) -> None:
    keys = [log.act() for _ in range(3)]
    assert (log.seal(), log.seal()) == (3, 0)
    keys.append(log.act())
    assert log.seal() == 1
    assert log.sealed() == keys
    verdict = log.verify()
    assert (verdict.sealed, verdict.unsealed, verdict.broken) == (4, 0, None)
    assert verdict.head is not None
    assert verdict.head.audit_key == keys[-1]


def test_nothing_is_sealed_past_a_row_that_may_still_come(log: Log) -> None:
    before = log.act()
    with connect(log.database, "slow") as slow:
        held = log.act(slow)
        after = log.act()
        assert before < held < after
        assert [log.seal() for _ in range(3)] == [0, 0, 0]
        quick = log.act()
        assert log.verify().broken is None, "it waits, and nothing is wrong"
        slow.commit()
    assert log.seal() == 3, "up to what was there when it was first seen to be open"
    assert log.seal() == 1
    assert log.sealed() == [before, held, after, quick]
    assert log.verify().broken is None


def test_a_number_whose_act_was_rolled_back_holds_nothing_up(log: Log) -> None:
    with connect(log.database, "slow") as slow:
        gone = log.act(slow)
        after = log.act()
        assert log.seal() == 0
        slow.rollback()
    assert log.seal() == 1
    assert gone not in log.sealed()
    assert log.sealed() == [after]
    assert log.verify().broken is None


def test_who_only_reads_or_writes_elsewhere_holds_nothing_up(log: Log) -> None:
    with connect(log.database, "idle") as idle:
        idle.execute("SELECT count(*) FROM audit")
        idle.execute("INSERT INTO areas (code, name, level) VALUES ('990101', 'x', 'district')")
        log.act()
        assert log.seal() == 1
        idle.rollback()


def test_the_chain_goes_on_while_somebody_is_always_writing(log: Log) -> None:
    """Writers that overlap without end: a tick waits for those that it saw, not for those that came since."""
    keys, writers = [], [connect(log.database, "writer") for _ in range(2)]
    try:
        for number in range(12):
            writer = writers[number % 2]
            writer.commit()
            keys.append(log.act(writer))
            log.seal()
        assert log.sealed() == keys[: len(log.sealed())]
        assert len(log.sealed()) >= 3
    finally:
        for writer in writers:
            writer.close()


def test_the_sealer_blocks_nobody(log: Log) -> None:
    log.act()
    with log.connection.transaction():
        assert log.sealer.seal(log.connection, datetime.now(UTC)) == 1
        with connect(log.database, "other", autocommit=True) as other:
            other.execute("SET lock_timeout = '200ms'")
            log.act(other)


def test_a_backlog_is_sealed_by_bounded_ticks(log: Log) -> None:
    log.connection.execute(
        "INSERT INTO audit (actor, action, subject) SELECT 'x', 'x.y', 'z' || n FROM generate_series(1, 250) n"
    )
    log.sealer = Sealer(at_most=100)
    assert [log.seal() for _ in range(4)] == [100, 100, 50, 0]
    assert log.verify().sealed == 250


def test_another_sealer_goes_on_where_the_first_one_stopped(log: Log) -> None:
    log.act()
    log.seal()
    log.sealer = Sealer()
    log.act()
    assert log.seal() == 1
    assert log.verify().broken is None


def test_the_city_thread_seals_and_tells_its_log_the_head(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    log.act()
    with connect(log.database, "city", autocommit=True) as connection:
        city = City(connection, take_over(connection), steps(settings(log.database)))
        with caplog.at_level(logging.INFO, logger="underfoot.audit"):
            for _ in range(3):
                city.tick(datetime.now(UTC))
    verdict = log.verify()
    assert (verdict.broken, verdict.unsealed) == (None, 0)
    told = [record.getMessage() for record in caplog.records if "head of the chain" in record.getMessage()]
    assert len(told) == 1, "once an hour"
    noted = Head.parse(told[0].rpartition(" ")[2])
    assert log.verify(noted=noted).broken is None


# proving --------------------------------------------------------------------------------------------------------------

CHANGES = [
    "actor = 'li'",
    "action = 'alarm.close'",
    "subject = 'episode:2'",
    "at = at + interval '1 microsecond'",
    "at = 'infinity'",
    "detail = detail || '{\"n\": 1.50}'",
    "detail = '{}'",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_a_superuser_changed_is_named(log: Log, change: str) -> None:
    keys = five(log)
    log.meddle(f"UPDATE audit SET {change} WHERE audit_key = {keys[2]}")
    assert log.broken() == (keys[2], "changed")
    assert log.verify().sealed == 2


@pytest.mark.parametrize("change", ["sealed_at = now() - interval '1 day'", "hash = sha256('x')"])
def test_a_seal_that_was_changed_is_named(log: Log, change: str) -> None:
    keys = five(log)
    log.meddle(f"UPDATE audit_seals SET {change} WHERE audit_key = {keys[2]}")
    assert log.broken() == (keys[2], "changed")


def test_a_row_that_is_gone_is_named(log: Log) -> None:
    keys = five(log)
    log.meddle(f"DELETE FROM audit WHERE audit_key = {keys[2]}")
    assert log.broken() == (keys[2], "missing")
    log.meddle(f"DELETE FROM audit_seals WHERE audit_key = {keys[2]}")
    assert log.broken() == (keys[3], "cut")


@pytest.mark.parametrize("at", [0, 4])
def test_a_row_that_is_gone_at_an_end_is_named(log: Log, at: int) -> None:
    keys = five(log)
    log.meddle(f"DELETE FROM audit WHERE audit_key = {keys[at]}")
    assert log.broken() == (keys[at], "missing")


def test_the_beginning_cannot_be_cut_off(log: Log) -> None:
    keys = five(log)
    for table in ("audit", "audit_seals"):
        log.meddle(f"DELETE FROM {table} WHERE audit_key <= {keys[1]}")
    assert log.broken() == (keys[2], "cut")


def test_a_row_put_in_afterwards_is_named(log: Log) -> None:
    keys = five(log)
    with connect(log.database, "slow") as slow:
        hole = log.act(slow)
        slow.rollback()
    log.act()
    log.seal()
    log.meddle(
        f"INSERT INTO audit OVERRIDING SYSTEM VALUE VALUES ({hole}, now(), 'li', 'alarm.close', 'episode:1', '{{}}')"
    )
    assert log.broken() == (hole, "inserted")
    assert log.verify().sealed == len(keys)


def test_rows_swapped_are_named(log: Log) -> None:
    keys = five(log)
    log.meddle(
        f"UPDATE audit a SET actor = 'li' WHERE audit_key = {keys[1]};"
        f"UPDATE audit_seals s SET hash = o.hash, previous = o.previous FROM audit_seals o"
        f" WHERE s.audit_key = {keys[1]} AND o.audit_key = {keys[3]}"
    )
    assert log.broken() == (keys[1], "cut")


def test_a_chain_without_its_end_is_found_by_who_noted_the_head(log: Log) -> None:
    keys = five(log)
    noted = log.verify().head
    assert noted is not None
    log.act()
    log.seal()
    assert log.verify(noted=noted).broken is None, "it has grown since"
    for table in ("audit", "audit_seals"):
        log.meddle(f"DELETE FROM {table} WHERE audit_key >= {keys[3]}")
    assert log.verify().broken is None, "by itself it looks whole"
    assert log.broken(noted=noted) == (keys[4], "head")


def test_a_chain_written_anew_is_found_by_who_noted_the_head(log: Log) -> None:
    keys = five(log)
    noted = log.verify().head
    log.meddle(f"UPDATE audit SET actor = 'li' WHERE audit_key = {keys[1]}")
    log.meddle("DELETE FROM audit_seals")
    log.seal()
    assert log.verify().broken is None
    assert log.broken(noted=noted) == (keys[4], "head")


def test_rows_that_nobody_seals_are_told(log: Log) -> None:
    five(log)
    key = log.act()
    assert log.verify().unsealed == 1
    assert log.broken(now=datetime.now(UTC) + timedelta(minutes=16)) == (key, "unsealed")


def test_a_stretch_is_proven_by_itself(log: Log) -> None:
    keys = five(log)
    for number, key in enumerate(keys):
        log.meddle(f"UPDATE audit SET at = '2026-07-0{number + 1}T08:00:00+08:00' WHERE audit_key = {key}")
    log.meddle("DELETE FROM audit_seals")
    log.seal()
    log.meddle(f"UPDATE audit SET actor = 'li' WHERE audit_key = {keys[0]}")
    third = {"since": datetime(2026, 7, 2, tzinfo=UTC), "until": datetime(2026, 7, 4, tzinfo=UTC)}
    assert log.broken() == (keys[0], "changed")
    found = log.verify(**third)
    assert (found.sealed, found.broken) == (2, None)
    assert log.verify(since=datetime(2027, 1, 1, tzinfo=UTC)).sealed == 0


# what is in it --------------------------------------------------------------------------------------------------------


def test_settings_are_noted_where_they_are_others_than_before(log: Log) -> None:
    first = Settings(database_url=log.database)
    assert [note_settings(log.connection, "alerts", first) for _ in range(2)] == [True, False]
    assert note_settings(log.connection, "api", first)
    assert note_settings(log.connection, "alerts", Settings(database_url=log.database, shelve_longest_h=3))
    newest, _, oldest = listed(log.connection, Acts(action="settings.in_force"), limit=9)
    assert (newest["subject"], newest["detail"]["changed"]) == ("process:alerts", ["UNDERFOOT_SHELVE_LONGEST_H"])
    assert newest["detail"]["settings"]["UNDERFOOT_SHELVE_LONGEST_H"] == "3.0"
    assert oldest["detail"]["changed"] == []
    assert oldest["detail"]["settings"]["UNDERFOOT_DATABASE_URL"] == "********"
