"""A receiver is away for two hours while alarms fire and clear: when it is back, both have reached it, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest

from deploy.ports import any_free
from tests.integration.owing import dispatching, eventually
from tests.integration.receivers import OK, Receiver
from tests.integration.shard import MINUTE, Shard, shard_of

_ROUNDS = 12


@pytest.fixture
def shard(database: str) -> Iterator[Shard]:
    with shard_of(database) as shard:
        yield shard


def ten_minutes_later(shard: Shard) -> None:
    """Every wait of the dispatcher's is as much shorter, and what is owed has been owed for as much longer."""
    shard.wait(10 * MINUTE)
    shard.ask.execute(
        "UPDATE outbox SET next_attempt_at = next_attempt_at - interval '10 minutes',"
        " owed_since = owed_since - interval '10 minutes', created_at = created_at - interval '10 minutes'"
        " WHERE state = 'owed'"
    )
    shard.ask.execute("UPDATE sinks SET open_until = open_until - interval '10 minutes'")
    shard.ask.execute("SELECT pg_notify('underfoot_outbox', '')")


def attempts(shard: Shard) -> int:
    return int(shard.one("SELECT coalesce(sum(attempts), 0) AS attempts FROM outbox")["attempts"])


def test_what_fired_and_cleared_meanwhile_arrives_in_order(shard: Shard) -> None:
    port = any_free()
    shard.now_us -= _ROUNDS * 10 * MINUTE
    shard.ask.execute(
        "INSERT INTO sinks (name, channel, audience, config) VALUES"
        " ('platform', 'webhook', 'platform', jsonb_build_object('url', %s::text))",
        [f"http://127.0.0.1:{port}/events"],
    )
    with dispatching(shard.database, delivery_retry_base_s=0.02):
        for number in range(_ROUNDS):
            shard.commit(
                shard.says("C-1", {"open": number % 2 == 0}),
                shard.says("C-2", {"open": number % 3 != 2}),
                shard.says("U-1", {"fault": number % 4 < 2, "running": True}),
            )
            tried = attempts(shard)
            ten_minutes_later(shard)
            eventually(lambda before=tried: attempts(shard) > before)  # type: ignore[misc]
        owed = shard.rows(
            "SELECT state, alarm_key, transition_no, notice FROM outbox ORDER BY alarm_key, transition_no"
        )
        assert {row["state"] for row in owed} == {"owed"}, "nothing is given up, however long it is away"
        assert sum(row["notice"] == "clear" for row in owed) >= 8
        with Receiver(lambda request: OK, port=port) as receiver:
            ten_minutes_later(shard)
            eventually(lambda: not shard.rows("SELECT 1 FROM outbox WHERE state = 'owed'"), 30)
    arrived: dict[int, list[int]] = defaultdict(list)
    for request in receiver.requests:
        alarm = request.body["alarm"]
        arrived[alarm["alarm_key"]].append(alarm["transition_no"])
    expected: dict[int, list[int]] = defaultdict(list)
    for row in owed:
        expected[row["alarm_key"]].append(row["transition_no"])
    assert arrived == expected
