"""Escalations on their way: told by name to a person's sink, dropped where they have become pointless."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg.types.json import Jsonb

from tests.integration.duty import City, city_of
from tests.integration.owing import dispatching, eventually
from tests.integration.receivers import Receiver
from underfoot.alarms import Severity


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


CREW = "INSERT INTO sinks (name, channel, audience, config) VALUES ('crew', 'webhook', 'crew', %s)"


@pytest.fixture
def city(module_database: str, receiver: Receiver) -> Iterator[City]:
    with city_of(module_database) as made, Receiver() as crew:
        made.ask.execute("UPDATE sinks SET config = jsonb_build_object('url', %s::text)", [receiver.url])
        made.ask.execute(CREW, [Jsonb({"url": crew.url})])  # else people on duty are told in its place
        made.roster()
        yield made


TAKEN = (
    "UPDATE outbox SET state = 'delivered', settled_at = now() FROM sinks s"
    " WHERE s.sink_key = outbox.sink_key AND s.audience = 'crew'"
)
PLATFORM = "INSERT INTO sinks (name, channel, audience, config) VALUES ('city', 'platform', 'platform', '{}')"


def settled(city: City) -> list[tuple[str, str, str, str]]:
    rows = city.rows(
        "SELECT s.name, o.notice, o.state, o.verdict FROM outbox o JOIN sinks s USING (sink_key)"
        " WHERE s.name <> 'crew' ORDER BY delivery_key"
    )
    return [(row["name"], row["notice"], row["state"], row["verdict"]) for row in rows]


def deliver(city: City) -> None:
    with dispatching(city.database):
        eventually(lambda: "owed" not in {row[2] for row in settled(city)})


def test_a_person_on_duty_reads_it_and_its_end(city: City, receiver: Receiver) -> None:
    city.rise(1)
    city.tick(6)
    deliver(city)
    texts = {request.body["text"] for request in receiver.requests}
    assert texts == {
        text
        for text in texts
        if text.startswith("【红】井盖打开｜人民大道1号 雨水井0001，") and text.endswith("。请立即确认。查看▸")
    }
    assert any("王建国未确认（第2级）" in text for text in texts)
    city.clear(1)
    deliver(city)
    assert settled(city)[2:] == [("wang", "clear", "delivered", "tell"), ("chen", "clear", "delivered", "tell")]
    assert receiver.requests[-1].body["text"].startswith("【解除】井盖打开")


@pytest.mark.parametrize(
    ("meanwhile", "verdict"),
    [("acknowledge", "answered_meanwhile"), ("shelve", "suppressed_meanwhile")],
)
def test_what_was_answered_or_suppressed_meanwhile_is_not_told(
    city: City, receiver: Receiver, meanwhile: str, verdict: str
) -> None:
    alarm = city.rise(1)
    city.tick()
    getattr(city, meanwhile)(alarm)
    deliver(city)
    assert settled(city) == [("wang", "escalate", "dropped", verdict)]
    assert receiver.requests == []


def test_what_is_over_meanwhile_is_told_neither_before_nor_after(city: City, receiver: Receiver) -> None:
    city.rise(1)
    city.tick()
    city.clear(1)
    deliver(city)
    assert [row[1:] for row in settled(city)] == [
        ("escalate", "dropped", "already_over"),
        ("clear", "dropped", "end_of_never_told"),
    ]
    assert receiver.requests == []


def test_a_delivery_taken_meanwhile_is_not_telephoned_about(city: City, receiver: Receiver) -> None:
    city.ask.execute(PLATFORM)
    city.acknowledge(city.rise(1))
    city.ask.execute(TAKEN)
    city.tick(16)
    city.ask.execute("UPDATE outbox SET state = 'delivered', settled_at = now() WHERE notice = 'raise'")
    deliver(city)
    assert settled(city)[1:] == [("wang", "escalate", "dropped", "answered_meanwhile")]
    assert receiver.requests == []


def test_one_that_is_still_not_taken_is_although_the_alarm_was_acknowledged(city: City, receiver: Receiver) -> None:
    city.ask.execute(PLATFORM)
    city.acknowledge(city.rise(1))
    city.ask.execute(TAKEN)
    city.tick(16)
    city.ask.execute("UPDATE outbox SET state = 'dead', settled_at = now() WHERE notice = 'raise'")
    deliver(city)
    assert settled(city)[1:] == [("wang", "escalate", "delivered", "tell")]
    assert "起city15分钟无回执。请电话核实city。" in receiver.requests[0].body["text"]


def test_a_duty_sink_hears_of_nothing_else(city: City, receiver: Receiver) -> None:
    """Alarms that crews and platforms are told of are not its business, however severe."""
    for severity in (Severity.orange, Severity.red):
        city.rise(1 if severity is Severity.red else 2, severity)
    assert settled(city) == []
