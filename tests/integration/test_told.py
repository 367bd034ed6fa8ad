"""From the message to whoever acknowledges by its link, and what crews are told of their cases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from psycopg.types.json import Jsonb

from alerts.cases import due
from alerts.cases.acts import judged
from alerts.cases.events import Needs, Noted, Reached, Received, Supervised
from alerts.cases.receipts import waiting
from alerts.cases.record import apply
from alerts.cases.states import CaseState, Need
from alerts.messages.notice import message
from alerts.telling import casework
from tests.integration.api.served import keyed
from tests.integration.duty import City, city_of
from tests.integration.owing import dispatching, eventually
from tests.integration.receivers import Receiver
from underfoot.alarms import Severity
from underfoot.storage.connect import connect

SINK = "INSERT INTO sinks (name, channel, audience, config, bundle_s) VALUES (%s, 'webhook', 'crew', %s, 3)"


@pytest.fixture
def city(module_database: str) -> Iterator[City]:
    with city_of(module_database) as made:
        yield made


def delivered(city: City) -> bool:
    return city.rows("SELECT FROM outbox WHERE state = 'owed'") == []


def test_the_roster_is_told_level_by_level_until_somebody_taps_the_link(city: City) -> None:
    with keyed(city.database) as api, Receiver() as people:
        city.ask.execute("UPDATE sinks SET config = jsonb_build_object('url', %s::text)", [people.url])
        city.ask.execute(SINK, ["crew", Jsonb({"url": people.url})])
        city.roster()
        alarm = city.rise(1)
        city.tick()
        city.tick(6)
        with dispatching(city.database, public_url=api.url):
            eventually(lambda: delivered(city))
        assert city.turns(alarm) == [1, 2]
        link = next(request.body["link"] for request in people.requests if "第2级" in request.body["text"])
        assert re.fullmatch(r"/a/[A-Za-z0-9_-]{1,64}", urlsplit(link).path)
        page = api.client.get(link)
        assert page.status_code == 200
        assert "井盖打开" in page.text
        answer = api.client.post(link, follow_redirects=True)
        assert answer.status_code == 200
        [row] = city.rows("SELECT human, acknowledged_by FROM episodes")
        assert (row["human"], row["acknowledged_by"]) == ("acknowledged", "link:chen")
        city.tick(30)
        assert city.turns(alarm) == [1, 2], "nobody else is told"


def case_of(city: City, alarm: int) -> int:
    [row] = city.rows("SELECT case_key FROM cases WHERE alarm_key = %s", alarm)
    return int(row["case_key"])


def tick(city: City) -> list[str]:
    """What is owed by it, as it reads."""
    before = {row["delivery_key"] for row in city.rows("SELECT delivery_key FROM outbox")}
    with connect(city.database, "test") as connection:
        casework.step(connection, city.now)
    rows = city.rows("SELECT delivery_key, snapshot, s.name FROM outbox o JOIN sinks s USING (sink_key) ORDER BY 1")
    return [f"{row['name']} {message(row['snapshot'], '').text}" for row in rows if row["delivery_key"] not in before]


def happened(city: City, case_key: int, event: Any, note: str = "") -> None:
    with connect(city.database, "test") as connection:
        apply(connection, case_key, event, actor="platform:city", cause="callback", at=city.now, note=note)


def test_what_becomes_of_a_case_is_told_to_whoever_is_responsible_once(city: City) -> None:
    city.ask.execute("INSERT INTO sinks (name, channel, audience, config) VALUES ('p', 'platform', 'platform', '{}')")
    city.ask.execute(
        "INSERT INTO sinks (name, channel, audience, min_severity, config) VALUES ('crew', 'webhook', 'crew', 3, '{}')"
    )
    alarm = city.rise(1, Severity.red)
    case_key = case_of(city, alarm)
    assert tick(city) == []
    city.wait(40)
    with connect(city.database, "test") as connection:
        due.step(connection, city.now)
    [overdue] = tick(city)
    assert overdue.startswith("crew 【超时·红】井盖打开｜人民大道1号 雨水井0001，到场时限")
    assert overdue.endswith("已过10分钟。请立即到场并反馈。查看▸")
    assert tick(city) == [], "once"
    happened(city, case_key, Supervised(), "限今晚完成")
    assert "平台督办：限今晚完成。请优先处置并反馈。" in tick(city)[0]
    happened(city, case_key, Reached(CaseState.check_not_pass), "井圈松动")
    assert "核查未通过：井圈松动。请重新处置。" in tick(city)[0]
    city.clear(1)
    city.now += timedelta(minutes=1)
    happened(city, case_key, Reached(CaseState.closed))
    [closed] = tick(city)
    assert closed.startswith("crew 【结案】井盖打开｜")
    assert tick(city) == []
    [told] = city.rows("SELECT count(*) FROM transitions WHERE region = 'case' AND reason = 'case_told'")
    assert told["count"] == 4
    assert (
        city.rows("SELECT FROM outbox o JOIN sinks USING (sink_key) WHERE notice = 'case' AND audience = 'platform'")
        == []
    )


def filed(city: City, severity: Severity = Severity.red) -> int:
    """A case that the platform has, of an alarm that a crew was told of."""
    city.ask.execute("INSERT INTO sinks (name, channel, audience, config) VALUES ('p', 'platform', 'platform', '{}')")
    city.ask.execute("INSERT INTO sinks (name, channel, audience, config) VALUES ('crew', 'webhook', 'crew', '{}')")
    case_key = case_of(city, city.rise(1, severity))
    [row] = city.rows("SELECT sink_key FROM sinks WHERE name = 'p'")
    happened(city, case_key, Received(row["sink_key"], "A-1"))
    return case_key


CREW, WANG = "crew", "wang"


@pytest.mark.parametrize(
    ("end", "what"),
    [
        (CaseState.closed, "平台已结案，传感器显示仍未解除"),
        (CaseState.forced_close, "平台已强制结案，传感器显示仍未解除"),
        (CaseState.cancelled, "平台已撤销案件，传感器显示仍未解除"),
        (CaseState.not_accepted, "平台不予受理，传感器显示仍未解除"),
    ],
)
def test_what_the_platform_ends_while_it_is_open_sends_somebody_there(city: City, end: CaseState, what: str) -> None:
    city.roster()
    case_key = filed(city)
    assert tick(city) == []
    happened(city, case_key, Reached(end))
    told = sorted(tick(city))
    assert [one.partition(" ")[0] for one in told] == [CREW, WANG]
    for one in told:
        assert one.partition(" ")[2].startswith("【未解除·红】井盖打开｜人民大道1号 雨水井0001，")
        assert one.endswith(f"{what}。请到场核实。查看▸")
    assert tick(city) == [], "once"
    with connect(city.database, "test") as connection:
        [row] = [
            one for one in waiting(connection, city.now) if one["why"] in (Need.closed_while_open, Need.not_accepted)
        ]
    assert [one["person"] for one in row["told"]] == ["王建国"]


def test_what_was_just_mended_is_not_called_open_before_its_sensor_has_decided(city: City) -> None:
    case_key = filed(city)
    city.ask.execute("UPDATE episodes SET condition = 'clearing'")
    happened(city, case_key, Reached(CaseState.closed))
    assert tick(city) == []
    city.clear(1)
    [closed] = tick(city)
    assert closed.startswith("crew 【结案】井盖打开｜")


def test_what_was_just_mended_and_is_not_is_told_as_open(city: City) -> None:
    case_key = filed(city)
    city.ask.execute("UPDATE episodes SET condition = 'clearing'")
    happened(city, case_key, Reached(CaseState.closed))
    assert tick(city) == []
    city.ask.execute("UPDATE episodes SET condition = 'active'")
    assert "传感器显示仍未解除" in tick(city)[0]


@pytest.mark.parametrize(
    ("need", "what"),
    [
        (Need.not_on_platform, "平台上查不到该案件。请电话联系平台。"),
        (Need.goes_on_there, "我方已结束，平台仍在办理。请电话联系平台。"),
        (Need.worse_after_false_alarm, "认定误报后级别升高。请重新核实。"),
    ],
)
def test_who_must_look_is_told_by_name_once(city: City, need: Need, what: str) -> None:
    city.roster()
    case_key = filed(city)
    happened(city, case_key, Needs(need))
    [told] = tick(city)
    assert told.startswith(f"{WANG} 【待")
    assert told.endswith(f"{what}查看▸"), "the crew is there for the hole"
    happened(city, case_key, Needs(need))
    assert tick(city) == [], "once"
    city.wait(1)
    happened(city, case_key, Noted(settles=True))
    happened(city, case_key, Needs(need))
    assert len(tick(city)) == 1, "it was settled, and is so again"
    with connect(city.database, "test") as connection:
        [row] = [one for one in waiting(connection, city.now) if one["why"] == need]
    assert [one["person"] for one in row["told"]] == ["王建国"]


def test_without_a_roster_whoever_is_responsible_is_told(city: City) -> None:
    case_key = filed(city)
    happened(city, case_key, Needs(Need.not_on_platform))
    assert [one.partition(" ")[0] for one in tick(city)] == [CREW]


def test_while_nobody_can_be_told_it_waits_for_somebody(city: City) -> None:
    city.roster()
    case_key = filed(city)
    city.ask.execute("UPDATE sinks SET enabled = false WHERE audience IN ('crew', 'duty')")
    happened(city, case_key, Reached(CaseState.not_accepted))
    assert tick(city) == []
    assert city.rows("SELECT FROM alarms WHERE rule_id = 'duty.uncovered'") != []
    city.ask.execute("UPDATE sinks SET enabled = true WHERE name = 'zhao'")
    [told] = tick(city)
    assert told.startswith("zhao 【未解除·红】"), "the third level in place of the first"


def test_what_is_settled_before_it_was_told_is_told_to_nobody(city: City) -> None:
    city.roster()
    case_key = filed(city)
    happened(city, case_key, Needs(Need.goes_on_there))
    happened(city, case_key, Noted(settles=True))
    assert tick(city) == []


def test_a_verdict_that_is_taken_back_sends_somebody_there(city: City) -> None:
    city.roster()
    filed(city)
    [row] = city.rows("SELECT episode_key FROM episodes")
    for verdict in (False, None):
        with connect(city.database, "test") as connection:
            judged(connection, row["episode_key"], verdict, actor="desk", at=city.now)
    told = sorted(tick(city))
    assert [one.partition(" ")[0] for one in told] == [CREW, WANG]
    assert told[0].endswith("误报认定已撤销，传感器显示仍未解除。请到场核实。查看▸")
