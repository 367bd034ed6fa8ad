"""Replay: original bytes and time of receipt, oldest first, once, and only what was not understood yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ingest import quarantine_cli
from ingest.arrival import Origin
from ingest.quarantine import released
from ingest.quarantine_cli import commands
from ingest.reasons import Rejection
from tests.integration.rejecting import BEGAN_US, Quarantine
from underfoot import quarantine as store
from underfoot.quarantine import Replayed, Selection, replay, to_replay
from underfoot.storage.connect import connect

BEGAN = datetime.fromtimestamp(BEGAN_US // 1_000_000, UTC)


@pytest.fixture
def kept(database: str) -> Iterator[Quarantine]:
    made = Quarantine(database)
    yield made
    made.close()


def everything(kept: Quarantine, **more: Any) -> Replayed:
    return replay(kept.connection, Selection(), actor="li", **more)


def posted(kept: Quarantine) -> list[int]:
    """Quarantine keys in the inbox, in its order."""
    return [row["payload"]["quarantine_key"] for row in kept.inbox()]


def test_a_replay_is_the_message_as_it_came(kept: Quarantine) -> None:
    every_byte = bytes(range(256))
    kept.keep(
        kept.reject(payload=every_byte, at_s=3.000001, topic="http/ctwing", origin=Origin(1, "http", "甲厂")),
        kept.reject("C-1", payload=b"x", at_s=4, vendor="乙厂"),
    )
    pushed, published = kept.keys()
    assert everything(kept) == Replayed(2, 0, 2)
    first, second = kept.inbox()
    assert (first["shard"], first["kind"], first["body"]) == ("main", "message", every_byte)
    assert first["key"] == f"replay:{pushed}:0"
    assert first["payload"] == {
        "topic": "http/ctwing",
        "received_us": BEGAN_US + 3_000_001,
        "source": "http",
        "vendor": "甲厂",
        "quarantine_key": pushed,
    }
    assert (second["payload"]["vendor"], second["payload"]["quarantine_key"]) == (None, published), (
        "the ledger's vendor of a device is no login: it may have been what was wrong"
    )


def test_it_goes_oldest_first_whatever_order_it_was_kept_in(kept: Quarantine) -> None:
    kept.keep(kept.reject(at_s=30), kept.reject(at_s=10), kept.reject(at_s=20), kept.reject(at_s=10))
    third, first, second, also_first = kept.keys()
    everything(kept)
    assert posted(kept) == [first, also_first, second, third]


def test_what_is_under_way_is_not_posted_twice_and_a_second_failure_makes_it_new(kept: Quarantine) -> None:
    kept.keep(kept.reject(), kept.reject())
    first, second = kept.keys()
    assert everything(kept) == Replayed(2, 0, 2)
    assert everything(kept) == Replayed(2, 2, 0), "they wait"
    kept.consume()
    with kept.connection.transaction():
        kept.keep(kept.again(first, Rejection.values_missing))
        released(kept.connection, [second])
    assert to_replay(kept.connection, Selection()) == Replayed(1, 0, 0)
    assert everything(kept) == Replayed(1, 0, 1)
    assert [row["key"] for row in kept.inbox()][2:] == [f"replay:{first}:1"]


def test_released_rows_are_never_replayed(kept: Quarantine) -> None:
    kept.keep(kept.reject(), kept.reject())
    first, second = kept.keys()
    released(kept.connection, [first])
    assert replay(kept.connection, Selection(quarantine_keys=[first]), actor="li") == Replayed(0, 0, 0)
    everything(kept)
    assert posted(kept) == [second]


def test_it_goes_batch_by_batch_with_an_audit_row_each(kept: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_BATCH", 3)
    kept.keep(*[kept.reject("X-1", at_s=100 - number) for number in range(8)])
    seen: list[int] = []
    selection = Selection(reason="unknown_device", device_ids=["X-1"], since=BEGAN)
    assert replay(kept.connection, selection, actor="li", progress=seen.append) == Replayed(8, 0, 8)
    assert seen == [3, 6, 8]
    assert posted(kept) == sorted(kept.keys(), reverse=True)
    audit = kept.rows("SELECT actor, action, subject, detail FROM audit ORDER BY audit_key")
    said = {"reason": "unknown_device", "device_ids": ["X-1"], "since": "2026-07-01T04:00:00+00:00"}
    assert [row["detail"] for row in audit] == [said | {"posted": number} for number in (3, 3, 2)]
    assert {(row["actor"], row["action"], row["subject"]) for row in audit} == {
        ("li", "quarantine.replay", "quarantine")
    }


def test_large_messages_make_small_batches(kept: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_BATCH_BYTES", 100)
    kept.keep(*[kept.reject(payload=b"x" * size, at_s=place) for place, size in enumerate((60, 30, 500, 30, 30, 50))])
    seen: list[int] = []
    everything(kept, progress=seen.append)
    assert seen == [2, 3, 5, 6]
    assert posted(kept) == kept.keys()


def test_at_most_so_many_and_the_next_call_goes_on(kept: Quarantine) -> None:
    kept.keep(*[kept.reject(at_s=number) for number in range(5)])
    assert everything(kept, most=2) == Replayed(5, 0, 2)
    assert everything(kept, most=2) == Replayed(5, 2, 2)
    assert everything(kept, most=2) == Replayed(5, 4, 1)
    assert posted(kept) == kept.keys()


def test_what_comes_meanwhile_is_not_chased(kept: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_BATCH", 1)
    kept.keep(kept.reject(at_s=1), kept.reject(at_s=2))
    assert everything(kept, progress=lambda done: void(kept.keep(kept.reject(at_s=100 + done)))) == Replayed(2, 0, 2)
    assert len(kept.kept()) == 4


def void(_: object) -> None:
    return None


def test_holders_are_woken(kept: Quarantine) -> None:
    kept.keep(kept.reject())
    with connect(kept.database, "listener", autocommit=True) as listener:
        listener.execute("LISTEN underfoot_inbox")
        everything(kept)
        assert [notify.payload for notify in listener.notifies(timeout=5, stop_after=1)] == ["main"]
        everything(kept)
        assert list(listener.notifies(timeout=0.3)) == []


def test_within_a_transaction_it_is_part_of_it(kept: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_BATCH", 1)
    kept.keep(kept.reject(), kept.reject())
    with kept.connection.transaction(force_rollback=True):
        assert everything(kept).posted == 2
    assert kept.inbox() == []
    assert kept.rows("SELECT FROM audit") == []


def test_each_filter_selects(kept: Quarantine) -> None:
    kept.keep(
        kept.reject("A", Rejection.unknown_device, at_s=0),
        kept.reject("B", Rejection.values_missing, at_s=60, vendor="甲厂"),
        kept.reject("C", Rejection.unknown_device, at_s=120, origin=Origin(1, "http", "甲厂"), topic="http/x"),
        kept.reject("A", Rejection.checksum, at_s=180, origin=Origin(1, "sl651"), topic="sl651/1"),
    )
    a, b, c, d = kept.keys()

    def found(**wanted: Any) -> list[int]:
        selection = Selection(**wanted)
        rows = store.listed(kept.connection, selection, limit=10)
        assert to_replay(kept.connection, selection).matching == len(rows)
        assert sum(row["messages"] for row in store.counts(kept.connection, selection)) == len(rows)
        with kept.connection.transaction(force_rollback=True):
            assert replay(kept.connection, selection, actor="li").posted == len(rows)
            assert posted(kept) == sorted(row["quarantine_key"] for row in rows)
        return sorted(row["quarantine_key"] for row in rows)

    assert found() == [a, b, c, d]
    assert found(reason="unknown_device") == [a, c]
    assert found(source="mqtt") == [a, b]
    assert found(source="http") == [c]
    assert found(vendor="甲厂") == [b, c]
    assert found(device_ids=["A"]) == [a, d]
    assert found(device_ids=["B", "C"]) == [b, c]
    assert found(device_ids=[]) == []
    assert found(since=BEGAN + timedelta(seconds=60)) == [b, c, d]
    assert found(until=BEGAN + timedelta(seconds=60)) == [a]
    assert found(quarantine_keys=[a, d, 4711]) == [a, d]
    assert found(shard="other") == []
    assert found(reason="unknown_device", vendor="甲厂") == [c]


# the command --------------------------------------------------------------------------------------------------------


class Command:
    def __call__(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(commands, ["quarantine", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return " ".join(result.output.replace("│", " ").split())

    def json(self, *arguments: str) -> Any:
        result = CliRunner().invoke(commands, ["quarantine", *arguments, "--json"])
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)


@pytest.fixture
def command(database: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    monkeypatch.setattr(quarantine_cli, "out", Console(width=300))
    return Command()


def test_the_command_lists_counts_shows_and_replays(kept: Quarantine, command: Command) -> None:
    kept.keep(
        kept.reject("A", payload='{"倾角": 1}'.encode(), at_s=0),
        kept.reject("B", Rejection.undecodable, payload=b"\xff\x00", at_s=60, vendor="甲厂"),
    )
    first, second = kept.keys()
    assert [row["quarantine_key"] for row in command.json("list")] == [second, first]
    assert [row["device_id"] for row in command.json("list", "--since", "2026-07-01T12:01")] == ["B"]
    assert "2026-07-01 12:01:00" in command("list", "--vendor", "甲厂")
    counted = command.json("counts")
    assert [(row["reason"], row["source"], row["vendor"], row["messages"]) for row in counted] == [
        ("undecodable", "mqtt", "甲厂", 1),
        ("unknown_device", "mqtt", "", 1),
    ]
    assert "no device of that device_id is in the ledger" in command("counts")
    shown = command.json("show", str(first))
    assert (shown["payload_text"], shown["payload_base64"]) == ('{"倾角": 1}', "eyLlgL7op5IiOiAxfQ==")
    assert '{"倾角": 1}' in command("show", str(first))
    assert "ff 00" in command("show", str(second))
    assert command.json("show", str(second))["payload_text"] is None
    dry = command.json("replay", "--device", "A", "--dry-run")
    assert dry == {"matching": 1, "under_way": 0, "posted": 1, "dry_run": True}
    assert kept.inbox() == []
    assert "已回放 replayed 1" in command("replay", "--device", "A")
    assert command.json("replay", "--all") == {"matching": 2, "under_way": 1, "posted": 1, "dry_run": False}
    assert posted(kept) == [first, second]
    assert all(row["actor"].startswith("cli:") for row in kept.rows("SELECT actor FROM audit"))
    released(kept.connection, [first])
    assert [row["quarantine_key"] for row in command.json("list", "--state", "released")] == [first]
    assert "已通过" in command("list", "--state", "all")
    assert [row["reason"] for row in command.json("counts")] == ["undecodable"]


def test_a_payload_is_shown_without_what_a_terminal_would_obey(kept: Quarantine, command: Command) -> None:
    kept.keep(kept.reject(payload=b"\x1b[2J\x1b]0;owned\x07[red]x"))
    shown = command("show", str(kept.keys()[0]))
    assert "\x1b" not in shown
    assert r"\x1b[2J\x1b]0;owned\x07[red]x" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay",), "say which: --reason, --source, --vendor, --device, --since, --until, --key; or --all"),
        (("replay", "--since", "yesterday"), "--since 'yesterday': a time like 2026-07-01 or"),
        (("list", "--until", "2026-13-01"), "--until '2026-13-01': a time like"),
        (("list", "--limit", "0"), "should be greater than or equal to 1"),
        (("list", "--source", "fax"), "'fax' is not one of 'mqtt', 'http', 'sl651'"),
        (("show", "4711"), "4711: there is no such message in quarantine"),
        (("show", "x"), "unable to parse string as an integer"),
        (("replay", "--key", "0"), "should be greater than or equal to 1"),
    ],
)
def test_what_the_command_refuses(kept: Quarantine, command: Command, arguments: tuple[str, ...], said: str) -> None:
    assert said in command(*arguments, code=2)
    assert kept.inbox() == []
