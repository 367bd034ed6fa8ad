"""The dispatcher when things fail: sinks, tokens, the database, the dispatcher itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from alerts.deliver.breaker import OPENS_AFTER
from tests.conftest import OwnStack
from tests.integration.owing import TIMEOUT_S, Owing, dispatching, eventually
from tests.integration.receivers import OK, Receiver, Reply, Request, refusing

WORKERS = 8


@pytest.fixture
def owing(database: str) -> Iterator[Owing]:
    owing = Owing(database)
    yield owing
    owing.close()


def delivered(owing: Owing, sink: int) -> int:
    return list(owing.states(sink).values()).count("delivered")


def opened(owing: Owing, sink: int) -> bool:
    row = owing.sink_row(sink)
    return bool(row["closed"]) and row["failures"] >= OPENS_AFTER


def let_probe(owing: Owing) -> None:
    """As if the 30 s to the next probe had passed."""
    owing.execute("UPDATE sinks SET open_until = now() WHERE open_until IS NOT NULL")


def test_the_breaker_opens_after_five_failures_probes_with_one_and_survives_a_restart(owing: Owing) -> None:
    with Receiver(lambda request: Reply(503)) as receiver:
        sink = owing.sink("platform", receiver.url)
        for number in range(30):
            owing.owe(sink, owing.alarm(number))
        with dispatching(owing.database, delivery_retry_base_s=0.01):
            eventually(lambda: opened(owing, sink))
            time.sleep(1.2)
            tried = len(receiver.requests)
            assert OPENS_AFTER <= tried <= OPENS_AFTER + WORKERS
            assert owing.sink_row(sink)["last_error"] == "HTTP 503"
            assert owing.rows("SELECT 1 FROM outbox WHERE lease_until IS NOT NULL") == []
        owing.execute("UPDATE outbox SET next_attempt_at = now() + interval '1 minute' WHERE attempts > 0")
        with dispatching(owing.database):
            time.sleep(1.2)
            assert len(receiver.requests) == tried, "a restart does not forget that the breaker is open"
            let_probe(owing)
            eventually(lambda: len(receiver.requests) == tried + 1)
            time.sleep(1.2)
            assert len(receiver.requests) == tried + 1, "one probe, not many"
            assert owing.sink_row(sink)["closed"], "and the next one in 30 s"
            receiver.behaviour = lambda request: OK
            let_probe(owing)
            eventually(lambda: delivered(owing, sink) == 30)  # what had been put off for a minute too
    row = owing.sink_row(sink)
    assert (row["failures"], row["open_until"], row["last_error"]) == (0, None, None)
    failing, working = owing.commands()
    assert (failing["kind"], failing["shard"]) == ("sink_failing", "main")
    assert failing["payload"] == {"sink": "platform", "error": "HTTP 503", "sink_key": sink}
    assert working["kind"] == "sink_working"


def test_of_several_dispatchers_one_probes(owing: Owing) -> None:
    over = threading.Event()

    def hang(request: Request) -> Reply:
        over.wait(20)
        return OK

    with Receiver(hang) as receiver:
        sink = owing.sink("platform", receiver.url)
        for number in range(5):
            owing.owe(sink, owing.alarm(number))
        owing.execute("UPDATE sinks SET failures = 5")
        with (
            dispatching(owing.database, delivery_timeout_s=20),
            dispatching(owing.database, delivery_timeout_s=20),
        ):
            eventually(lambda: receiver.requests)
            time.sleep(1.5)
            assert len(receiver.requests) == 1
            over.set()
            eventually(lambda: delivered(owing, sink) == 5)


def test_an_expired_token_is_the_sinks_failure_and_kills_no_delivery(owing: Owing) -> None:
    token = "old"

    def platform(request: Request) -> Reply:
        if request.headers["authorization"] != token:
            return Reply(401, {"code": 401, "message": "token 过期"})
        return OK

    with Receiver(platform) as receiver:
        sink = owing.sink("platform", receiver.url, headers={"Authorization": "old"})
        owing.owe(sink, owing.alarm(1))
        with dispatching(owing.database):
            eventually(lambda: delivered(owing, sink) == 1)
            token = "new"
            for number in range(2, 10):
                owing.owe(sink, owing.alarm(number), severity=3, worst_severity=3, owed_for_s=80 * 3600)
            eventually(lambda: opened(owing, sink))
            assert "dead" not in owing.states().values(), "not even after 72 h"
            assert [command["kind"] for command in owing.commands()] == ["sink_failing"]
            assert "token 过期" in owing.commands()[0]["payload"]["error"]
            owing.execute(
                "UPDATE sinks SET config = jsonb_set(config, '{headers,Authorization}', '\"new\"'), open_until = NULL"
            )
            eventually(lambda: delivered(owing, sink) == 9)
    assert [command["kind"] for command in owing.commands()] == ["sink_failing", "sink_working"]


def test_each_opening_of_a_breaker_is_told_under_a_key_of_its_own(owing: Owing) -> None:
    with Receiver(lambda request: Reply(500)) as receiver:
        sink = owing.sink("platform", receiver.url)
        with dispatching(owing.database, delivery_retry_base_s=0.01):
            for opening in range(2):
                receiver.behaviour = lambda request: Reply(500)
                owing.owe(sink, owing.alarm(opening))
                eventually(lambda: opened(owing, sink))
                receiver.behaviour = lambda request: OK
                let_probe(owing)
                eventually(lambda: "owed" not in owing.states().values())
    assert [command["kind"] for command in owing.commands()] == ["sink_failing", "sink_working"] * 2
    assert len({command["key"] for command in owing.commands()}) == 4


@pytest.mark.parametrize("kind", ["refuses", "hangs", "drips"])
def test_a_dead_sink_stalls_no_other(owing: Owing, kind: str) -> None:
    """100 deliveries wait for the dead one; 60 for the good one arrive as if it were alone."""
    over = threading.Event()

    def hang(request: Request) -> Reply:
        over.wait(20)
        return Reply(drop=True)

    with Receiver(hang if kind == "hangs" else lambda request: Reply(drip_s=0.3)) as dead, refusing() as nobody:
        with Receiver() as good:
            bad_sink = owing.sink("dead", nobody if kind == "refuses" else dead.url)
            good_sink = owing.sink("good", good.url)
            alarms = [owing.alarm(number) for number in range(160)]
            for alarm in alarms[:100]:
                owing.owe(bad_sink, alarm)
            with dispatching(owing.database, delivery_workers=4, delivery_timeout_s=3):
                time.sleep(0.5)
                for alarm in alarms[100:]:
                    owing.owe(good_sink, alarm)
                begun = time.monotonic()
                eventually(lambda: delivered(owing, good_sink) == 60)
                assert time.monotonic() - begun < 2.5, "they waited for the dead sink's time-out"
                over.set()
        assert delivered(owing, bad_sink) == 0


def test_one_message_a_sink_always_fails_on_does_not_keep_it_shut(owing: Owing) -> None:
    with Receiver(lambda request: Reply(500) if request.body["alarm"] == poison else OK) as receiver:
        sink = owing.sink("platform", receiver.url)
        poison = str(owing.alarm(1))
        owing.owe(sink, int(poison))
        with dispatching(owing.database, delivery_retry_base_s=0.01):
            eventually(lambda: opened(owing, sink))
            for number in range(2, 8):
                owing.owe(sink, owing.alarm(number))
            let_probe(owing)
            eventually(lambda: delivered(owing, sink) == 6)


def test_a_sink_whose_settings_no_longer_fit_its_channel_fails_alone(owing: Owing) -> None:
    with Receiver() as receiver:
        broken, unknown = (
            owing.sink("broken", receiver.url, colour="red"),
            owing.sink("smoke", receiver.url, channel="smoke"),
        )
        good = owing.sink("good", receiver.url)
        alarm = owing.alarm(1)
        for sink in (broken, unknown, good):
            owing.owe(sink, alarm)
        with dispatching(owing.database, delivery_retry_base_s=0.01):
            eventually(lambda: delivered(owing, good) == 1)
            eventually(lambda: opened(owing, broken) and opened(owing, unknown))
        assert "colour" in owing.sink_row(broken)["last_error"]
        assert "there is no such channel" in owing.sink_row(unknown)["last_error"]
        assert len(receiver.requests) == 1


def test_a_snapshot_that_cannot_be_read_harms_no_neighbour(owing: Owing) -> None:
    with Receiver(lambda request: Reply(204)) as receiver:
        sink = owing.sink("crew", receiver.url, channel="webhook", audience="crew")
        torn, whole = owing.owe(sink, owing.alarm(1)), owing.owe(sink, owing.alarm(2))
        owing.execute("UPDATE outbox SET snapshot = '{\"notice\": 7}' WHERE delivery_key = %s", torn)
        with dispatching(owing.database):
            eventually(lambda: owing.delivery(whole)["state"] == "delivered")
            eventually(lambda: owing.delivery(torn)["attempts"] >= 2)
        assert owing.delivery(torn)["state"] == "owed"
        assert owing.sink_row(sink)["failures"] == 0


def test_an_answer_that_the_database_cannot_hold_is_a_delivery_all_the_same(owing: Owing) -> None:
    body = b'{"code": 0, "data": {"note": "\\u0000", "path": "\\\\u0000", "long": "' + b"x" * 20_000 + b'"}}'
    answers = iter([Reply(500, b"no\x00 \xff\xfe"), Reply(body=body)])
    with Receiver(lambda request: next(answers)) as receiver:
        delivery = owing.owe(owing.sink("platform", receiver.url), owing.alarm(1))
        with dispatching(owing.database):
            eventually(lambda: owing.delivery(delivery)["state"] == "delivered")
    assert owing.delivery(delivery)["attempts"] == 2
    assert len(str(owing.delivery(delivery)["receipt"])) < 10_000


_DISPATCHER = """
import sys, threading
from alerts.deliver.dispatch import Dispatcher
from underfoot.settings import Settings
settings = Settings(database_url=sys.argv[1], delivery_timeout_s=float(sys.argv[2]), public_url="https://underfoot.example")
Dispatcher(sys.argv[1], settings).run(threading.Event())
"""


def test_killed_in_the_middle_the_delivery_goes_again_under_its_key_when_the_lease_has_run_out(owing: Owing) -> None:
    taken = threading.Event()

    def platform(request: Request) -> Reply:
        first = not taken.is_set()
        taken.set()
        time.sleep(10 * TIMEOUT_S if first else 0)
        return OK

    with Receiver(platform) as receiver:
        delivery = owing.owe(owing.sink("platform", receiver.url), owing.alarm(1))
        process = subprocess.Popen([sys.executable, "-c", _DISPATCHER, owing.database, str(TIMEOUT_S)])
        try:
            assert taken.wait(20)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        row = owing.delivery(delivery)
        assert (row["state"], row["attempts"], row["lease_until"] is not None) == ("owed", 0, True)
        with dispatching(owing.database):
            time.sleep(2.5)
            assert len(receiver.requests) == 1, "its lease outlives a request: nobody else sends meanwhile"
            eventually(lambda: owing.delivery(delivery)["state"] == "delivered", 15)
    assert len(receiver.requests) == 2
    assert len(set(receiver.push_ids)) == 1
    assert owing.delivery(delivery)["maybe_told"]


def test_several_dispatchers_share_an_outbox_without_sending_anything_twice(owing: Owing) -> None:
    with Receiver() as receiver:
        sinks = [owing.sink(f"sink-{number}", receiver.url) for number in range(3)]
        with dispatching(owing.database) as one, dispatching(owing.database) as other:
            for number in range(40):
                alarm = owing.alarm(number)
                for sink in sinks:
                    owing.owe(sink, alarm, 1)
                    owing.owe(sink, alarm, 2, "clear")
            eventually(lambda: set(owing.states().values()) == {"delivered"}, 30)
    shares = [dispatcher.counts()["delivered"] for dispatcher in (one, other)]
    assert sum(shares) == 240
    assert min(shares) > 0
    assert len(receiver.requests) == len(set(receiver.push_ids)) == 240


def test_the_databases_absence_is_waited_out_and_nothing_is_sent_twice(own_stack: OwnStack) -> None:
    owing = Owing(own_stack.database_url)
    under_way = threading.Event()
    go_on = threading.Event()

    def platform(request: Request) -> Reply:
        under_way.set()
        go_on.wait(20)
        return OK

    with Receiver(platform) as receiver:
        sink = owing.sink("platform", receiver.url)
        keys = [owing.owe(sink, owing.alarm(number)) for number in range(3)]
        with dispatching(own_stack.database_url, delivery_timeout_s=30) as dispatcher:
            assert under_way.wait(10)
            owing.close()
            own_stack.stop("postgres")
            go_on.set()
            eventually(lambda: len(receiver.requests) == 3 and dispatcher.counts()["in_flight"] == 0)
            own_stack.start("postgres")
            owing = Owing(own_stack.database_url)
            eventually(lambda: set(owing.states().values()) == {"delivered"}, 20)
            late = owing.owe(sink, owing.alarm(9))
            eventually(lambda: owing.delivery(late)["state"] == "delivered")
    assert len(receiver.requests) == 4, "what was answered while the database was away was remembered"
    assert [owing.delivery(key)["attempts"] for key in keys] == [1, 1, 1]
    owing.close()


def test_a_thousand_deliveries_and_a_sink_that_is_retried(owing: Owing) -> None:
    """A guard against something quadratic; how fast it is says the benchmark."""
    with Receiver() as receiver, refusing() as nobody:
        good, dead = owing.sink("good", receiver.url), owing.sink("dead", nobody)
        owing.execute(
            "INSERT INTO alarms (subject_kind, subject_key, rule_id, episode)"
            " SELECT 'device', n, 'cover.open', 1 FROM generate_series(1, 1000) n"
        )
        template: dict[str, Any] = owing.delivery(owing.owe(good, 1, 99))
        owing.execute("DELETE FROM outbox")
        for sink in (good, dead):
            owing.execute(
                "INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity,"
                " snapshot) SELECT %s || '-' || alarm_key, %s, alarm_key, 1, 1, 'raise', 4, %s::jsonb FROM alarms",
                str(sink), sink, Jsonb(template["snapshot"]),
            )  # fmt: skip
        begun = time.monotonic()
        with dispatching(owing.database):
            eventually(
                lambda: owing.rows("SELECT count(*) AS n FROM outbox WHERE state = 'delivered'")[0]["n"] == 1000, 30
            )
        assert time.monotonic() - begun < 15
    assert len(set(receiver.push_ids)) == len(receiver.requests) == 1000
