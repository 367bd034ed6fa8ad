"""Robots and gateways answer HTTP 200 whatever happens: a code in the body tells, and no error is taken for success.

Real servers on the loopback; the stand-in's robot counts messages as WeCom does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from alerts.deliver import outbox
from alerts.deliver.budget import Slots
from alerts.deliver.outgoing import Outgoing
from simulators.platform.app import PlatformSettings
from tests.integration.owing import Owing, dispatching, eventually, settings, snapshot
from tests.integration.receivers import Receiver, Reply, Request
from tests.integration.stand_in import running
from underfoot.storage.connect import connect


@pytest.fixture
def owing(database: str) -> Iterator[Owing]:
    owing = Owing(database)
    yield owing
    owing.close()


SMS: dict[str, Any] = {
    "based_on": "aliyun",
    "sign_name": "安阳城管",
    "template_code": "SMS_1",
    "numbers": ["13803720001"],
    "signer": {"kind": "aliyun-rpc", "access_key_id": "id", "access_key_secret": "SECRET"},
}


@pytest.mark.parametrize(
    ("channel", "config", "busy", "broken", "bad", "good"),
    [
        (
            "wecom", {},
            {"errcode": 45009, "errmsg": "api freq out of limit"},
            {"errcode": 93000, "errmsg": "invalid webhook url"},
            {"errcode": 40058, "errmsg": "content exceed max length"},
            {"errcode": 0, "errmsg": "ok"},
        ),
        (
            "dingtalk", {"secret": "SEC1"},
            {"errcode": 130101, "errmsg": "send too fast"},
            {"errcode": 310000, "errmsg": "sign not match"},
            {"errcode": 430104, "errmsg": "content"},
            {"errcode": 0, "errmsg": "ok"},
        ),
        (
            "feishu", {"secret": "s"},
            {"code": 11232, "msg": "frequency limited"},
            {"code": 19021, "msg": "sign match fail"},
            {"code": 9499, "msg": "Bad Request"},
            {"code": 0, "msg": "success"},
        ),
        (
            "sms", SMS,
            {"Code": "isv.BUSINESS_LIMIT_CONTROL"},
            {"Code": "isv.AMOUNT_NOT_ENOUGH"},
            {"Code": "isv.MOBILE_NUMBER_ILLEGAL"},
            {"Code": "OK", "BizId": "1"},
        ),
    ],
)  # fmt: skip
def test_a_200_with_an_error_code_is_not_success(
    owing: Owing, channel: str, config: dict[str, Any], busy: Any, broken: Any, bad: Any, good: Any
) -> None:
    said = [broken]
    with Receiver(lambda request: Reply(body=said[0])) as robot:
        sink = owing.sink("robot", robot.url, channel=channel, audience="crew", **config)
        first = owing.owe(sink, owing.alarm(1))
        with dispatching(owing.database):
            eventually(lambda: owing.sink_row(sink)["failures"] >= 2)
            assert owing.delivery(first)["state"] == "owed"
            said[0] = bad
            owing.execute("UPDATE sinks SET failures = 0, open_until = NULL")
            owing.execute("UPDATE outbox SET next_attempt_at = now()")
            eventually(lambda: owing.delivery(first)["state"] == "dead")
            said[0] = busy
            failed = owing.sink_row(sink)["failures"]
            second = owing.owe(sink, owing.alarm(2))
            eventually(lambda: owing.sink_row(sink)["closed"])
            assert owing.delivery(second)["state"] == "owed"
            assert owing.sink_row(sink)["failures"] == failed, "who is busy has not failed"
            said[0] = good
            owing.execute("UPDATE sinks SET open_until = NULL")
            owing.execute("UPDATE outbox SET next_attempt_at = now()")
            eventually(lambda: owing.delivery(second)["state"] == "delivered")


def test_a_storm_at_a_robot_that_takes_twenty_a_minute_is_never_refused(owing: Owing) -> None:
    """Sixty alarms at once, of three kinds; then red: that is told at once, and not one message is refused."""
    with running(PlatformSettings()) as platform:
        url = f"{str(platform.base_url).rstrip('/')}/cgi-bin/webhook/send?key=crew"
        sink = owing.sink("crew", url, channel="wecom", audience="crew")
        with dispatching(owing.database):
            for number in range(60):
                rule: dict[str, Any] = {"rule_id": f"x.rule_{number % 3}", "title": f"险情{number % 3}"}
                owing.owe(sink, owing.alarm(number), severity=2, worst_severity=2, **rule)
            eventually(lambda: list(owing.states().values()).count("delivered") >= 9)
            red = owing.owe(sink, owing.alarm(99))
            begun = time.monotonic()
            eventually(lambda: owing.delivery(red)["state"] == "delivered")
            assert time.monotonic() - begun < 2.5
        robot = platform.get("/records", params={"kind": "robot"}).json()
    assert {one["outcome"] for one in robot} == {"accepted"}
    assert len(robot) <= 11
    assert robot[-1]["content"].startswith("【红】井盖打开｜")


def slots(outgoing: Outgoing, owing: Owing) -> dict[str, Slots | None]:
    """As a round finds them."""
    with connect(owing.database, "test") as connection:
        sinks = outbox.sinks_at_work(connection)
        outgoing.look_at(connection, sinks)
        return {sink.name: outgoing.slots(sink) for sink in sinks}


def test_after_a_restart_a_robot_goes_on_with_what_all_of_its_sinks_have_sent(owing: Owing) -> None:
    with Receiver(lambda request: Reply(body={"errcode": 0})) as robot:
        a, b = (owing.sink(name, robot.url, channel="wecom", audience="crew") for name in ("a", "b"))
        for number in range(6):
            owing.owe(b if number else a, owing.alarm(number))
        with dispatching(owing.database):
            eventually(lambda: set(owing.states().values()) == {"delivered"})
        sent = len(robot.requests)
    assert sent > 1
    left = Slots(10 - sent, 10 - sent)
    assert slots(Outgoing(settings(owing.database)), owing) == {"a": left, "b": left}


def test_of_two_sinks_of_one_robot_the_smaller_budget_counts_for_both_and_stays(owing: Owing) -> None:
    with Receiver(lambda request: Reply(body={"errcode": 0})) as robot:
        for name, per_minute in (("a", 20), ("b", 4)):
            owing.sink(name, robot.url, channel="wecom", audience="crew", per_minute=per_minute)
        outgoing = Outgoing(settings(owing.database))
        for _ in range(2):
            assert slots(outgoing, owing) == {"a": Slots(2, 2), "b": Slots(2, 2)}
        owing.execute("UPDATE sinks SET enabled = false WHERE name = 'b'")
        assert slots(outgoing, owing) == {"a": Slots(10, 10)}


def test_another_budget_forgets_nothing_that_is_under_way(owing: Owing) -> None:
    with Receiver(lambda request: Reply(body={"errcode": 0})) as robot:
        sink = owing.sink("a", robot.url, channel="wecom", audience="crew")
        outgoing = Outgoing(settings(owing.database))
        slots(outgoing, owing)
        with connect(owing.database, "test") as connection:
            [at_work] = outbox.sinks_at_work(connection)
        budget = outgoing.budget(at_work)
        assert budget is not None
        budget.promise()
        owing.execute("UPDATE sinks SET config = config || '{\"per_minute\": 6}' WHERE sink_key = %s", sink)
        assert slots(outgoing, owing) == {"a": Slots(2, 2)}


@pytest.mark.parametrize("budget", [{}, {"per_minute": 12}], ids=["unbounded", "six at once"])
def test_a_message_about_several_that_is_refused_goes_one_by_one_before_any_is_called_bad(
    owing: Owing, budget: dict[str, Any]
) -> None:
    def answer(request: Request) -> Reply:
        text = request.body["content"]
        return Reply(body={"code": 400 if "5处" in text or "西关" in text else 0})

    with Receiver(answer) as gateway:
        sink = owing.sink("sms", gateway.url, channel="sms", audience="crew", numbers=["13803720001"], **budget)
        asset = snapshot()["asset"]
        keys = [
            owing.owe(sink, owing.alarm(n), company="lamps", asset=asset | ({"address": "西关"} if n == 3 else {}))
            for n in range(5)
        ]
        with dispatching(owing.database):
            eventually(lambda: "owed" not in owing.states().values())
        assert list(owing.states().values()) == ["delivered"] * 3 + ["dead", "delivered"]
        assert len(gateway.requests) == 6, "once together, and each once"
        assert owing.delivery(keys[3])["attempts"] == 1
