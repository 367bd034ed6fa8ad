"""Several alarms in one message, budgets of robots, quiet hours: what a real receiver gets, and what is on record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.deliver.sinks import Sink, add
from alerts.deliver.verdict import Verdict
from alerts.duty.files import read_plan
from alerts.duty.shifts import Quiet
from alerts.duty.store import load_plan, put_plan
from tests.integration.owing import Owing, dispatching, eventually
from tests.integration.receivers import Receiver, Reply, Request
from underfoot.alarms import Severity
from underfoot.city_time import CITY_ZONE
from underfoot.storage.connect import connect

YELLOW: dict[str, Any] = {"severity": 2, "worst_severity": 2}
LIVE: dict[str, Any] = {"title": "灯杆带电", "rule_id": "lamp.touch_voltage", "severity": 3, "worst_severity": 3}


@pytest.fixture
def owing(database: str) -> Iterator[Owing]:
    owing = Owing(database)
    yield owing
    owing.close()


@pytest.fixture
def robot() -> Iterator[Receiver]:
    with Receiver(lambda request: Reply(body={"errcode": 0, "errmsg": "ok"})) as receiver:
        yield receiver


def texts(robot: Receiver) -> list[str]:
    return [request.body["text"]["content"].partition("▸")[0] + "▸" for request in robot.requests]


def settled(owing: Owing) -> bool:
    return "owed" not in owing.states().values()


# one message ---------------------------------------------------------------------------------------------------------


def test_ten_lamps_on_one_cabinet_are_told_and_ended_in_one_message_each(owing: Owing, robot: Receiver) -> None:
    sink = owing.sink("crew", robot.url, channel="wecom", audience="crew")
    alarms = [owing.alarm(number) for number in range(10)]
    for alarm in alarms:
        owing.owe(sink, alarm, company="raise|3|lamp.touch_voltage|cabinet:PX-12", wait_s=0.6, **LIVE)
    begun = time.monotonic()
    with dispatching(owing.database):
        eventually(lambda: settled(owing))
        assert 0.5 < time.monotonic() - begun < 4, "it waits for company, for seconds"
        assert len(robot.requests) == 1
        assert texts(robot)[0].startswith("【橙】灯杆带电10处｜")
        for alarm in alarms:
            owing.end(alarm)
            company = "clear|lamp.touch_voltage|cabinet:PX-12"
            owing.owe(sink, alarm, 2, "clear", company=company, wait_s=0.6, reason="below_limit", **LIVE)
        eventually(lambda: settled(owing) and len(robot.requests) == 2)
    assert texts(robot)[1].startswith("【解除】灯杆带电10处｜")
    told_with = owing.rows("SELECT notice, told_with, count(*) FROM outbox GROUP BY 1, 2 ORDER BY 1 DESC")
    assert [(row["notice"], row["count"]) for row in told_with] == [("raise", 10), ("clear", 10)]
    assert {row["told_with"] for row in told_with} <= owing.states().keys(), "each says in whose message it was told"
    assert set(owing.states().values()) == {"delivered"}


def test_a_refused_message_is_tried_again_whole(owing: Owing, robot: Receiver) -> None:
    answers = iter([Reply(503), Reply(body={"errcode": -1, "errmsg": "busy"})])
    robot.behaviour = lambda request: next(answers, Reply(body={"errcode": 0}))
    sink = owing.sink("crew", robot.url, channel="wecom", audience="crew")
    for number in range(4):
        owing.owe(sink, owing.alarm(number), company="raise|4|cover.open|cabinet:1")
    with dispatching(owing.database):
        eventually(lambda: settled(owing))
    assert [said.split("｜")[0] for said in texts(robot)] == ["【红】井盖打开4处"] * 3
    assert {row["attempts"] for row in owing.rows("SELECT attempts FROM outbox")} == {3}


def test_red_waits_for_nobody_and_goes_ahead_of_its_own_yellow(owing: Owing, robot: Receiver) -> None:
    sink = owing.sink("crew", robot.url, channel="wecom", audience="crew")
    alarm = owing.alarm(1)
    yellow = owing.owe(sink, alarm, company="raise|2|cover.tilt|cabinet:1", wait_s=5, **YELLOW)
    owing.owe(sink, alarm, 2, "change", reason="severity_rose")
    begun = time.monotonic()
    with dispatching(owing.database):
        eventually(lambda: robot.requests)
        assert time.monotonic() - begun < 2
        owing.execute("UPDATE outbox SET next_attempt_at = now()")
        eventually(lambda: settled(owing))
    assert len(robot.requests) == 1
    assert owing.delivery(yellow)["verdict"] == Verdict.overtaken


# budgets -------------------------------------------------------------------------------------------------------------


def test_more_than_a_robot_takes_is_a_digest_and_red_goes_on(owing: Owing, robot: Receiver) -> None:
    """Forty yellow ones at once at a robot that takes 20 a minute; then red ones."""
    sink = owing.sink("crew", robot.url, channel="wecom", audience="crew", per_minute=20)
    for number in range(40):
        owing.owe(
            sink,
            owing.alarm(number),
            **(YELLOW if number % 2 else YELLOW | {"rule_id": "cover.tilt", "title": "井盖倾斜"}),
        )
    with dispatching(owing.database):
        eventually(lambda: settled(owing))
        assert len(robot.requests) <= 10
        assert any("【告警汇总" in said and "黄40：井盖倾斜20、井盖打开20" in said for said in texts(robot))
        sent = len(robot.requests)
        for number in range(100, 100 + 12 - sent):
            owing.owe(sink, owing.alarm(number), **YELLOW)
            eventually(lambda: len(robot.requests) >= 10 or settled(owing))
        waiting = owing.owe(sink, owing.alarm(200), **YELLOW)
        red = owing.owe(sink, owing.alarm(201))
        begun = time.monotonic()
        eventually(lambda: owing.delivery(red)["state"] == "delivered")
        assert time.monotonic() - begun < 2
        assert texts(robot)[-1].startswith("【红】井盖打开｜")
        assert owing.delivery(waiting)["state"] == "owed", "what is not red waits for a slot; it is not dropped"
    assert len(robot.requests) < 20


def test_more_red_than_slots_is_one_message_a_kind(owing: Owing, robot: Receiver) -> None:
    sink = owing.sink("crew", robot.url, channel="wecom", audience="crew", per_minute=20)
    for number in range(50):
        owing.owe(sink, owing.alarm(number))
    with dispatching(owing.database):
        eventually(lambda: settled(owing))
    assert [said.split("｜")[0] for said in texts(robot)] == ["【红】井盖打开50处"]


def test_two_sinks_of_one_robot_share_its_budget(owing: Owing) -> None:
    with Receiver(lambda request: Reply(body={"errcode": 0})) as robot:
        sinks = [owing.sink(name, robot.url, channel="wecom", audience="crew", per_minute=4) for name in ("a", "b")]
        with dispatching(owing.database):
            for number in range(6):
                for sink in sinks:
                    owing.owe(sink, owing.alarm(10 * sink + number), **YELLOW)
            eventually(lambda: len(robot.requests) == 2)
            time.sleep(0.5)
            assert len(robot.requests) == 2


# quiet hours ---------------------------------------------------------------------------------------------------------


def quiet_now(minutes: int) -> list[dict[str, str]]:
    """From an hour ago until the minute that begins in so many minutes."""
    now = datetime.now(CITY_ZONE)
    return [{"from": f"{now - timedelta(hours=1):%H:%M}", "until": f"{now + timedelta(minutes=minutes):%H:%M}"}]


def test_in_quiet_hours_only_red_is_told_and_the_rest_as_one_digest_when_they_end(
    owing: Owing, robot: Receiver
) -> None:
    sink = owing.sink("crew", robot.url, channel="wecom", audience="crew")
    set_quiet(owing, sink, quiet_now(30))
    over, red = owing.alarm(1), owing.alarm(2)
    dropped = owing.owe(sink, over, **YELLOW)
    kept = [owing.owe(sink, owing.alarm(3), **YELLOW)]
    kept += [
        owing.owe(sink, owing.alarm(number), title="井盖倾斜", rule_id="cover.tilt", **YELLOW) for number in (4, 5)
    ]
    owing.owe(sink, red)
    with dispatching(owing.database):
        eventually(lambda: len(robot.requests) == 1)
        assert texts(robot)[0].startswith("【红】")
        eventually(lambda: owing.delivery(kept[0])["verdict"] == Verdict.wait_for_quiet)
        owing.end(over)
        ended = owing.owe(sink, over, 2, "clear", reason="below_limit", **YELLOW)
        waits_until = owing.delivery(kept[0])["next_attempt_at"]
        assert timedelta(minutes=28) < waits_until - datetime.now(UTC) < timedelta(minutes=31)
        # The quiet hours end: here by being taken away.
        set_quiet(owing, sink, [])
        owing.execute("UPDATE outbox SET next_attempt_at = now() WHERE verdict = 'wait_for_quiet'")
        owing.execute("SELECT pg_notify('underfoot_outbox', '')")
        eventually(lambda: settled(owing))
    assert len(robot.requests) == 2
    assert "黄3：井盖倾斜2、井盖打开1" in texts(robot)[1]
    assert owing.delivery(dropped)["verdict"] == Verdict.already_over
    assert owing.delivery(ended)["verdict"] == Verdict.end_of_never_told
    assert {owing.delivery(key)["told_with"] for key in kept} == {kept[0]}


def test_the_end_of_what_was_told_waits_and_is_told_and_of_red_at_once(owing: Owing, robot: Receiver) -> None:
    sink = owing.sink("crew", robot.url, channel="wecom", audience="crew")
    yellow, red = owing.alarm(1), owing.alarm(2)
    with dispatching(owing.database):
        owing.owe(sink, yellow, **YELLOW)
        owing.owe(sink, red)
        eventually(lambda: settled(owing))
        set_quiet(owing, sink, quiet_now(30))
        for alarm, changes in ((yellow, YELLOW), (red, {"severity": 3, "worst_severity": 4})):
            owing.end(alarm)
            owing.owe(sink, alarm, 2, "clear", reason="below_limit", **changes)
        eventually(lambda: len(robot.requests) == 3)
        time.sleep(0.3)
        assert len(robot.requests) == 3
        set_quiet(owing, sink, [])
        owing.execute("UPDATE outbox SET next_attempt_at = now() WHERE verdict = 'wait_for_quiet'")
        eventually(lambda: settled(owing))
    assert [said[:4] for said in texts(robot)[2:]] == ["【解除】", "【解除】"]


def set_quiet(owing: Owing, sink: int, spans: list[dict[str, str]]) -> None:
    with connect(owing.database, "test") as connection:
        row = connection.execute("SELECT name, config FROM sinks WHERE sink_key = %s", [sink]).fetchone()
        assert row is not None
        quiet = tuple(Quiet.model_validate(span) for span in spans)
        settings = Sink(row[0], "wecom", "crew", None, Severity.blue, row[1], quiet=quiet)
        assert add(connection, settings, actor="test", replace=True) == "replaced"


def test_a_persons_own_quiet_hours_count_for_their_sink(owing: Owing, robot: Receiver) -> None:
    sink = owing.sink("wang", robot.url, channel="wecom", audience="duty")
    [span] = quiet_now(30)
    roster = ROSTER.replace(
        "feishu: ou_wang,", f"feishu: ou_wang, quiet: [{{from: '{span['from']}', until: '{span['until']}'}}],"
    )
    with connect(owing.database, "test") as connection:
        plan = read_plan(roster.encode(), "roster.yaml")
        put_plan(connection, plan, actor="test")
        assert load_plan(connection).people == plan.people
    yellow = owing.owe(sink, owing.alarm(1), **YELLOW)
    red = owing.owe(sink, owing.alarm(2))
    with dispatching(owing.database):
        eventually(lambda: owing.delivery(yellow)["verdict"] == Verdict.wait_for_quiet)
        eventually(lambda: owing.delivery(red)["state"] == "delivered")
    assert len(robot.requests) == 1


# whoever is on duty --------------------------------------------------------------------------------------------------

ROSTER = """
people:
  - {name: 王建国, phone: "138 0372 0001", unit: 排水管理所, feishu: ou_wang, sink: wang}
  - {name: 李强, phone: "13803720002", unit: 市政公司, feishu: ou_li}
shifts: [{name: 全天, begin: "08:00", end: "08:00"}]
assignments: [{shift: 全天, people: [王建国, 李强], from: 2020-01-01}]
"""


@pytest.mark.parametrize(
    ("channel", "unit", "mentioned"),
    [
        ("wecom", "排水管理所", ["138 0372 0001"]),
        ("wecom", None, ["138 0372 0001", "13803720002"]),
        ("dingtalk", "市政公司", ["13803720002"]),
        ("feishu", "市政公司", ["ou_li"]),
    ],
)
def test_whoever_is_on_duty_is_mentioned_and_no_log_has_a_number(
    owing: Owing, caplog: pytest.LogCaptureFixture, channel: str, unit: str | None, mentioned: list[str]
) -> None:
    caplog.set_level("DEBUG")
    with Receiver(lambda request: Reply(body={"errcode": 0, "code": 0})) as robot:
        owing.sink("wang", robot.url, channel=channel, audience="duty")
        sink = owing.sink("crew", robot.url, channel=channel, audience="crew")
        owing.execute("UPDATE sinks SET maintenance_unit = %s WHERE sink_key = %s", unit, sink)
        with connect(owing.database, "test") as connection:
            put_plan(connection, read_plan(ROSTER.encode(), "roster.yaml"), actor="test")
        alarm = owing.alarm(1)
        owing.owe(sink, alarm)
        with dispatching(owing.database):
            eventually(lambda: settled(owing))
            owing.end(alarm)
            owing.owe(sink, alarm, 2, "clear", reason="below_limit")
            eventually(lambda: settled(owing) and len(robot.requests) == 2)
    assert mentions(channel, robot.requests[0]) == mentioned
    assert mentions(channel, robot.requests[1]) == [], "an end is nobody's to do"
    assert "1380372" not in caplog.text
    assert "1380372" not in str(owing.rows("SELECT receipt, last_error, snapshot FROM outbox"))
    assert "1380372" not in str(owing.rows("SELECT detail FROM audit WHERE action LIKE 'delivery%%'"))


def mentions(channel: str, request: Request) -> list[str]:
    match channel:
        case "wecom":
            found: list[str] = request.body["text"].get("mentioned_mobile_list", [])
        case "dingtalk":
            found = request.body.get("at", {}).get("atMobiles", [])
        case _:
            text = request.body["content"]["text"]
            found = [part.partition('"')[0] for part in text.split('<at user_id="')[1:]]
    return found
