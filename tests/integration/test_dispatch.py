"""The dispatcher on a real database with real receivers: order, repeats, dead letters, crews, alternates."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts.deliver.verdict import Verdict
from tests.integration.owing import Owing, dispatching, eventually
from tests.integration.receivers import OK, Receiver, Reply, Request
from underfoot.links import redeem, secrets
from underfoot.storage.connect import connect


@pytest.fixture
def owing(database: str) -> Iterator[Owing]:
    owing = Owing(database)
    yield owing
    owing.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def all_in(owing: Owing, state: str, sink_key: int | None = None) -> bool:
    states = owing.states(sink_key)
    return bool(states) and set(states.values()) == {state}


def test_what_is_owed_is_delivered_at_once_with_its_receipt(owing: Owing, receiver: Receiver) -> None:
    sink = owing.sink("platform", receiver.url)
    alarm = owing.alarm(1)
    with dispatching(owing.database) as dispatcher:
        time.sleep(0.5)
        delivery = owing.owe(sink, alarm)
        eventually(lambda: all_in(owing, "delivered"))
        waits = []
        for number in range(2, 6):
            time.sleep(0.25)
            begun = time.monotonic()
            owing.owe(sink, owing.alarm(number))
            eventually(lambda wanted=number: len(receiver.requests) == wanted)  # type: ignore[misc]
            waits.append(receiver.requests[-1].at - begun)
        assert sum(waits) < 1.0, "woken by notifications, not by the look every second"
        eventually(lambda: all_in(owing, "delivered"))
        eventually(lambda: dispatcher.counts()["delivered"] == 5)
    assert {name: count for name, count in dispatcher.counts().items() if count} == {"claimed": 5, "delivered": 5}
    row = owing.delivery(delivery)
    assert row["receipt"]["answer"]["data"]["platform_no"] == "A1"
    assert (row["attempts"], row["last_error"], row["lease_until"], row["verdict"]) == (1, None, None, "tell")
    assert row["settled_at"] is not None
    assert receiver.requests[0].push_id == row["idempotency_key"]


def test_refuses_then_accepts(owing: Owing, receiver: Receiver) -> None:
    answers = iter([Reply(503), Reply(body={"code": 500, "message": "系统繁忙"}), Reply(200, b"<html>"), OK])
    receiver.behaviour = lambda request: next(answers)
    delivery = owing.owe(owing.sink("platform", receiver.url), owing.alarm(1))
    with dispatching(owing.database):
        eventually(lambda: all_in(owing, "delivered"))
    assert len(receiver.requests) == 4
    assert len(set(receiver.push_ids)) == 1
    row = owing.delivery(delivery)
    assert (row["attempts"], row["last_error"]) == (4, None)
    assert owing.sink_row(row["sink_key"])["failures"] == 0


def test_http_200_with_an_error_code_is_not_delivered(owing: Owing, receiver: Receiver) -> None:
    receiver.behaviour = lambda request: Reply(body={"errcode": -1, "errmsg": "system busy"})
    sink = owing.sink("robot", receiver.url, channel="wecom")
    delivery = owing.owe(sink, owing.alarm(1))
    with dispatching(owing.database):
        eventually(lambda: len(receiver.requests) >= 3)
        row = owing.delivery(delivery)
        assert row["state"] == "owed"
        assert "system busy" in row["last_error"]
        receiver.behaviour = lambda request: Reply(body={"errcode": 0})
        eventually(lambda: all_in(owing, "delivered"))


@pytest.mark.parametrize("lost", [Reply(drop=True), Reply(drip_s=0.5)])
def test_an_answer_lost_after_the_receivers_commit_means_a_repeat_under_the_same_key(
    owing: Owing, receiver: Receiver, lost: Reply
) -> None:
    kept: set[str] = set()

    def platform(request: Request) -> Reply:
        first = request.push_id not in kept
        kept.add(request.push_id)
        return lost if first else Reply(409, {"code": 409, "message": "duplicate push_id"})

    receiver.behaviour = platform
    delivery = owing.owe(owing.sink("platform", receiver.url), owing.alarm(1))
    with dispatching(owing.database):
        eventually(lambda: all_in(owing, "delivered"))
    assert receiver.push_ids == [next(iter(kept))] * 2
    assert owing.delivery(delivery)["maybe_told"]


def test_notices_of_one_alarm_arrive_in_order_while_alarms_go_side_by_side(owing: Owing, receiver: Receiver) -> None:
    """Ten alarms with six notices each; every third request is refused once."""
    refused: set[str] = set()
    counted = iter(range(10_000))

    def platform(request: Request) -> Reply:
        time.sleep(0.01)
        if next(counted) % 3 == 0 and request.push_id not in refused:
            refused.add(request.push_id)
            return Reply(500)
        return OK

    receiver.behaviour = platform
    sink = owing.sink("platform", receiver.url)
    alarms = [owing.alarm(number) for number in range(10)]
    for transition in range(1, 7):
        for alarm in alarms:
            owing.owe(sink, alarm, transition, "raise" if transition == 1 else "change")
    with dispatching(owing.database):
        eventually(lambda: all_in(owing, "delivered"), 30)
    taken: dict[str, list[int]] = {}
    seen: set[str] = set()
    for request in receiver.requests:
        taken.setdefault(request.body["alarm"], []).append(request.body["transition_no"])
        seen.add(request.push_id)
    assert len(seen) == 60
    for order in taken.values():
        assert order == sorted(order), "a notice overtook an earlier one of its alarm"
    assert receiver.most_under_way > 1


def test_red_goes_before_yellow(owing: Owing, receiver: Receiver) -> None:
    sink = owing.sink("platform", receiver.url)
    for number in range(40):
        owing.owe(sink, owing.alarm(number), severity=2, worst_severity=2)
    red = owing.owe(sink, owing.alarm(99), severity=4)
    with dispatching(owing.database, delivery_workers=1):
        eventually(lambda: all_in(owing, "delivered"))
    assert receiver.push_ids[0] == owing.delivery(red)["idempotency_key"]


@pytest.mark.parametrize("refusal", [Reply(422), Reply(body={"code": 400, "message": "缺少字段"})])
def test_a_message_the_receiver_will_never_take_is_a_dead_letter_and_its_successors_go_on(
    owing: Owing, receiver: Receiver, refusal: Reply
) -> None:
    receiver.behaviour = lambda request: refusal if request.body["transition_no"] == 1 else OK
    sink = owing.sink("platform", receiver.url)
    alarm = owing.alarm(1)
    deliveries = [owing.owe(sink, alarm, 1), owing.owe(sink, alarm, 2, "change"), owing.owe(sink, alarm, 3, "clear")]
    with dispatching(owing.database):
        eventually(lambda: list(owing.states().values()) == ["dead", "delivered", "delivered"])
    assert len(receiver.requests) == 3, "a dead letter is not tried again"
    assert receiver.requests[2].body["event_type"] == "井盖打开", "each successor has the full snapshot"
    row = owing.delivery(deliveries[0])
    assert (row["attempts"], row["settled_at"] is not None) == (1, True)
    assert "HTTP" in row["last_error"]
    assert owing.sink_row(sink)["failures"] == 0


def test_retry_after_holds_back_the_whole_sink_and_is_no_failure_of_it(owing: Owing, receiver: Receiver) -> None:
    busy_until = time.monotonic() + 1.5

    def platform(request: Request) -> Reply:
        return OK if request.at >= busy_until else Reply(429, headers={"Retry-After": "2"})

    receiver.behaviour = platform
    sink = owing.sink("platform", receiver.url)
    first = owing.owe(sink, owing.alarm(1))
    with dispatching(owing.database, delivery_workers=1):
        eventually(lambda: len(receiver.requests) == 1)
        eventually(lambda: owing.delivery(first)["attempts"] == 1)
        for number in range(2, 6):
            owing.owe(sink, owing.alarm(number))
        assert owing.sink_row(sink)["failures"] == 0
        eventually(lambda: all_in(owing, "delivered"))
    waited = receiver.requests[1].at - receiver.requests[0].at
    assert 1.9 < waited < 4
    assert len(receiver.requests) == 6, "nothing was sent in the pause"


def test_a_receivers_minute_budget_is_kept_where_it_takes_one_alarm_a_message(owing: Owing, receiver: Receiver) -> None:
    sink = owing.sink("hook", receiver.url, channel="webhook", audience="crew", per_minute=5)
    for number in range(12):
        owing.owe(sink, owing.alarm(number), severity=2, worst_severity=2)
    with dispatching(owing.database):
        eventually(lambda: len(receiver.requests) == 3)
        red = owing.owe(sink, owing.alarm(99))
        eventually(lambda: owing.delivery(red)["state"] == "delivered")
        time.sleep(1.2)
        assert len(receiver.requests) == 4, "of five, two are kept for red"
    assert sorted(owing.states().values()) == ["delivered"] * 4 + ["owed"] * 9
    assert owing.rows("SELECT 1 FROM outbox WHERE lease_until IS NOT NULL") == []


def test_after_72_hours_a_delivery_is_given_up_but_never_a_red_one(owing: Owing, receiver: Receiver) -> None:
    receiver.behaviour = lambda request: Reply(409, {"message": "locked"})
    sink = owing.sink("platform", receiver.url)
    days = 72 * 3600 + 60
    old = owing.owe(sink, owing.alarm(1), severity=3, worst_severity=3, owed_for_s=days)
    fallen = owing.owe(sink, owing.alarm(2), severity=3, worst_severity=4, owed_for_s=days)
    red = owing.owe(sink, owing.alarm(3), severity=4, owed_for_s=days)
    young = owing.owe(sink, owing.alarm(4), severity=3, worst_severity=3, owed_for_s=days - 3600)
    with dispatching(owing.database):
        eventually(lambda: owing.delivery(old)["state"] == "dead")
        eventually(lambda: all(owing.delivery(key)["attempts"] >= 3 for key in (fallen, red, young)))
    assert [owing.delivery(key)["state"] for key in (fallen, red, young)] == ["owed"] * 3


# crews ---------------------------------------------------------------------------------------------------------------


def crew(owing: Owing, receiver: Receiver) -> int:
    return owing.sink("crew", receiver.url, channel="webhook", audience="crew")


def notices(receiver: Receiver) -> list[tuple[int, str]]:
    return [(request.body["alarm"]["alarm_key"], request.body["alarm"]["notice"]) for request in receiver.requests]


def test_a_crew_is_told_and_told_the_end(owing: Owing, receiver: Receiver) -> None:
    sink = crew(owing, receiver)
    alarm = owing.alarm(1)
    owing.owe(sink, alarm)
    with dispatching(owing.database):
        eventually(lambda: all_in(owing, "delivered"))
        owing.end(alarm)
        owing.owe(sink, alarm, 2, "clear", reason="below_limit")
        eventually(lambda: all_in(owing, "delivered") and len(receiver.requests) == 2)
    assert receiver.requests[0].body["text"].startswith("【红】井盖打开｜")
    assert receiver.requests[1].body["text"].startswith("【解除】井盖打开｜")
    address, token = receiver.requests[0].body["link"].rsplit("/", 1)
    assert address == "https://underfoot.example/a"
    with connect(owing.database, "test") as connection:
        link = redeem(secrets(connection), token, datetime.now(UTC))
    first = min(owing.states())
    assert (link.alarm_key, link.episode, link.delivery_key) == (alarm, 1, first), "as the receiver of this delivery"


def test_a_crew_is_not_sent_to_what_is_over_but_the_platform_is_told_all(owing: Owing, receiver: Receiver) -> None:
    sinks = [crew(owing, receiver), owing.sink("platform", receiver.url)]
    alarm = owing.alarm(1, over=True)
    told = {sink: [owing.owe(sink, alarm, 1), owing.owe(sink, alarm, 2, "change", reason="severity_rose"),
                   owing.owe(sink, alarm, 3, "clear", reason="below_limit")] for sink in sinks}  # fmt: skip
    with dispatching(owing.database) as dispatcher:
        eventually(lambda: "owed" not in owing.states().values())
        assert dispatcher.counts()["dropped"] == 3
    assert [request.body["notice"] for request in receiver.requests] == ["raise", "change", "clear"]
    rows = [owing.delivery(key) for key in told[sinks[0]]]
    assert [row["state"] for row in rows] == ["dropped"] * 3
    assert [row["verdict"] for row in rows] == [Verdict.already_over, Verdict.already_over, Verdict.end_of_never_told]
    assert [row["attempts"] for row in rows] == [0] * 3


BACKLOG: dict[str, Any] = {"raised_at": "2026-07-01T12:00:00+00:00", "raised_received_at": "2026-07-01T12:30:00+00:00"}


def test_a_late_raise_waits_and_is_dropped_if_the_backlog_ends_it(owing: Owing, receiver: Receiver) -> None:
    sink = crew(owing, receiver)
    ends, stays, prompt = owing.alarm(1), owing.alarm(2), owing.alarm(3)
    ending = owing.owe(sink, ends, owed_for_s=57.5, **BACKLOG)
    staying = owing.owe(sink, stays, owed_for_s=57.5, **BACKLOG)
    begun = time.monotonic()
    owing.owe(sink, prompt)
    with dispatching(owing.database):
        eventually(lambda: notices(receiver) == [(prompt, "raise")])
        assert {owing.delivery(key)["verdict"] for key in (ending, staying)} == {Verdict.wait_for_backlog}
        owing.end(ends)
        owing.owe(sink, ends, 2, "clear", reason="below_limit")
        eventually(lambda: "owed" not in owing.states().values())
    assert notices(receiver) == [(prompt, "raise"), (stays, "raise")]
    assert receiver.requests[1].at - begun > 2.0
    assert owing.delivery(ending)["verdict"] == Verdict.over_in_backlog
    assert owing.delivery(ending)["state"] == "dropped"
    assert owing.rows("SELECT verdict FROM outbox WHERE notice = 'clear'") == [{"verdict": Verdict.end_of_never_told}]


def test_the_end_follows_where_the_crew_may_have_been_told(owing: Owing, receiver: Receiver) -> None:
    """The raise was taken and its answer lost; before the repeat the alarm is over."""
    receiver.behaviour = lambda request: Reply(drop=True)
    sink = crew(owing, receiver)
    alarm = owing.alarm(1)
    raised = owing.owe(sink, alarm)
    with dispatching(owing.database, delivery_retry_base_s=60):
        eventually(lambda: owing.delivery(raised)["maybe_told"])
    receiver.behaviour = lambda request: Reply(204)
    owing.end(alarm)
    owing.owe(sink, alarm, 2, "clear", reason="below_limit")
    owing.execute("UPDATE outbox SET next_attempt_at = now()")
    with dispatching(owing.database):
        eventually(lambda: list(owing.states().values()) == ["dropped", "delivered"])
    assert [kind for _, kind in notices(receiver)][-1] == "clear"


def test_a_refused_raise_was_not_told_so_neither_is_its_end(owing: Owing, receiver: Receiver) -> None:
    receiver.behaviour = lambda request: Reply(503)
    sink = crew(owing, receiver)
    alarm = owing.alarm(1)
    raised = owing.owe(sink, alarm)
    with dispatching(owing.database):
        eventually(lambda: owing.delivery(raised)["attempts"] >= 1)
        owing.end(alarm)
        owing.owe(sink, alarm, 2, "clear", reason="below_limit")
        receiver.behaviour = lambda request: Reply(204)
        owing.execute("UPDATE sinks SET open_until = NULL")
        owing.execute("UPDATE outbox SET next_attempt_at = now()")  # it may have been tried often meanwhile
        eventually(lambda: all_in(owing, "dropped"))
    assert {kind for _, kind in notices(receiver)} == {"raise"}


# the alternate channel -----------------------------------------------------------------------------------------------


def test_red_goes_by_the_alternate_too_after_a_minute_once_and_its_end_follows_there(owing: Owing) -> None:
    with Receiver(lambda request: Reply(500)) as first, Receiver(lambda request: Reply(204)) as second:
        spare = owing.sink("spare", second.url, channel="webhook", audience="crew")
        sink = owing.sink("crew", first.url, channel="webhook", audience="crew", alternate="spare")
        red, young, orange = owing.alarm(1), owing.alarm(2), owing.alarm(3)
        original = owing.owe(sink, red, owed_for_s=58.5)
        owing.owe(sink, young)
        owing.owe(sink, orange, severity=3, worst_severity=3, owed_for_s=300)
        begun = time.monotonic()
        with dispatching(owing.database):
            eventually(lambda: second.requests)
            assert time.monotonic() - begun > 1.0
            time.sleep(1.5)
            assert notices(second) == [(red, "raise")], "once, and only what is red and a minute old"
            copy = owing.rows("SELECT * FROM outbox WHERE sink_key = %s", spare)[0]
            assert copy["alternate_of"] == original
            assert copy["idempotency_key"] != owing.delivery(original)["idempotency_key"]
            # The first sink takes everything again, and the alarm ends: whoever was told is told that.
            first.behaviour = lambda request: Reply(204)
            owing.execute("UPDATE sinks SET open_until = NULL, failures = 0")
            owing.execute("UPDATE outbox SET next_attempt_at = now() WHERE state = 'owed'")
            eventually(lambda: "owed" not in owing.states(sink).values())
            owing.end(red)
            owing.owe(sink, red, 2, "clear", reason="below_limit")
            eventually(lambda: notices(second) == [(red, "raise"), (red, "clear")])
            eventually(lambda: (red, "clear") in notices(first))


def test_what_the_alternate_has_in_its_own_right_is_not_sent_there_twice(owing: Owing) -> None:
    with Receiver(lambda request: Reply(500)) as first, Receiver(lambda request: Reply(204)) as second:
        spare = owing.sink("spare", second.url, channel="webhook", audience="crew", alternate="crew")
        sink = owing.sink("crew", first.url, channel="webhook", audience="crew", alternate="spare")
        alarm = owing.alarm(1)
        owing.owe(sink, alarm, owed_for_s=120)
        owing.owe(spare, alarm, owed_for_s=120)
        with dispatching(owing.database):
            eventually(lambda: second.requests)
            time.sleep(1.5)
    assert len(second.requests) == 1
    assert owing.rows("SELECT count(*) AS n FROM outbox") == [{"n": 2}]


# stopping ------------------------------------------------------------------------------------------------------------


def test_at_the_end_what_is_under_way_is_finished_and_the_rest_given_back(owing: Owing, receiver: Receiver) -> None:
    begun = threading.Event()

    def slow(request: Request) -> Reply:
        begun.set()
        time.sleep(0.4)
        return OK

    receiver.behaviour = slow
    sink = owing.sink("platform", receiver.url)
    for number in range(30):
        owing.owe(sink, owing.alarm(number))
    with dispatching(owing.database, delivery_workers=2):
        assert begun.wait(5)
    states = owing.states()
    delivered = [key for key, state in states.items() if state == "delivered"]
    assert len(delivered) == len(receiver.requests)
    assert 1 <= len(delivered) < 30
    assert owing.rows("SELECT 1 FROM outbox WHERE lease_until IS NOT NULL") == []
    assert owing.rows("SELECT 1 FROM outbox WHERE state = 'owed' AND attempts > 0") == []
