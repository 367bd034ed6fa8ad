"""Batches as they really come: with poison among them, with two reports in one second, with everything twice."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.system.city import DEVICES, City, topic, until
from tests.system.evidence import stored_numbers, the_record_is_whole
from tests.system.fleet import Message, encoded, now_ms, report
from tests.system.publisher import publishing, send

FIRST = 1_000_000


@contextmanager
def as_one_batch(city: City) -> Iterator[None]:
    """What is sent inside is committed together: ingest is held up in the batch before."""
    with city.locked("books"):
        send(city, report(DEVICES["rain"][-1], now_ms(), FIRST, amount_mm=0.0))
        until(
            lambda: city.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'books'::regclass"),
            "batch that is held up",
        )
        yield
    city.caught_up()


COVER = topic("cover-001")
SOME = {"open": False}

POISON: list[tuple[str, str, bytes, list[str]]] = [
    ("not JSON", COVER, b'{"values": {"open": tru', ["undecodable"]),
    ("not UTF-8", COVER, b'{"values": {"open": true}, "\xff": 1}', ["undecodable"]),
    ("nested 20 000 deep", COVER, b"[" * 20_000 + b"]" * 20_000, ["undecodable"]),
    ("one key twice", COVER, b'{"values": {"open": true}, "values": {"open": false}}', ["undecodable"]),
    ("nothing", COVER, b"", ["empty"]),
    ("an empty array", COVER, b"[]", ["empty"]),
    ("a number", COVER, b"42", ["not_an_object"]),
    ("null", COVER, b"null", ["not_an_object"]),
    ("an array of anything", COVER, b'[1, "two", null, [3], {}]', ["not_an_object"] * 4 + ["values_missing"]),
    ("no values", COVER, b'{"ts": 1}', ["values_missing"]),
    ("values that are none", COVER, b'{"values": [1, 2]}', ["values_missing"]),
    ("an unknown device", topic("stranger-1", family="cover"), encoded({"values": SOME}), ["unknown_device"]),
    ("another family", topic("cover-001", family="lamp"), encoded({"values": SOME}), ["family_mismatch"]),
    ("no family", topic("cover-001", family="sewer"), encoded({"values": SOME}), ["family_mismatch"]),
    ("another district", topic("cover-001", district="410503"), encoded({"values": SOME}), ["area_mismatch"]),
    ("no district", topic("cover-001", district="文峰区"), encoded({"values": SOME}), ["unknown_topic"]),
    ("a strange id", topic("cover 001' --"), encoded({"values": SOME}), ["unknown_topic"]),
    ("refused by the database", COVER, encoded({"ts": 0, "values": {"battery_v": 1.3}}), ["rejected_by_database"]),
]

ODD: list[tuple[str, dict[str, Any] | str]] = [
    ("a value out of range", {"values": {"tilt_deg": 6553.5, "open": False}}),
    ("NaN and the infinities", '{"values": {"tilt_deg": NaN, "battery_v": -Infinity, "co_mg_m3": Infinity}, "n": %d}'),
    ("numbers beyond a float", '{"values": {"tilt_deg": 1e999, "battery_v": -1e999}, "n": %d}'),
    ("an integer beyond 64 bits", '{"values": {"tilt_deg": 1}, "serial": 123456789012345678901234567890, "n": %d}'),
    ("text for a number", {"values": {"tilt_deg": "steep", "open": "maybe"}}),
    ("a number for a state", {"values": {"open": 7}}),
    ("objects for values", {"values": {"tilt_deg": {"x": 1}, "open": [True]}}),
    ("fields that nobody knows", {"values": {"colour": "red", "tilt_deg": 2}, "firmware": {"version": [1, 2]}}),
    ("NUL characters", '{"values": {"note": "a\\u0000b", "\\u0000": 1}, "x\\u0000": "\\\\u0000", "n": %d}'),
    ("half a character", '{"values": {"note": "\\ud800", "open": false}, "n": %d}'),
    ("no value at all", {"values": {}}),
    ("a null", {"values": {"tilt_deg": None, "open": None}}),
    ("a time that is text", {"ts": "gestern", "values": SOME}),
    ("a time that is an object", {"ts": {"s": 1}, "values": SOME}),
    ("a time without a zone", {"ts": "2026-11-21 21:38:00", "values": SOME}),
    ("a time beyond all calendars", {"ts": 9e300, "values": SOME}),
    ("a time before all calendars", {"ts": -(10**18), "values": SOME}),
    ("a time in the year 9999", {"ts": "9999-12-31T23:59:59.999999999+23:59", "values": SOME}),
    ("a count that is none", {"seq": "seven", "values": SOME}),
    ("a count beyond 64 bits", '{"seq": 99999999999999999999, "values": {"open": false}, "n": %d}'),
    ("a great deal", {"values": SOME, "log": "x" * 300_000}),
]
"""Odd, but a report: something of it must be stored, and all of it kept."""


def test_every_good_row_of_a_poisoned_batch_is_stored(city: City) -> None:
    # As a DBA could: a row that only the database itself refuses.
    city.do("ALTER TABLE report_cover ADD CONSTRAINT unlucky CHECK (battery_v IS DISTINCT FROM 1.3::real)")
    city.start_ingest()
    good = [
        report(device_id, now_ms() + number, number, battery_v=3.6, **({"open": False} if "cover" in device_id else {}))
        for number, device_id in enumerate(DEVICES["cover"] + DEVICES["road"] + DEVICES["rain"], 1)
    ]
    odd = [Message(COVER, odd_payload(body, FIRST + number)) for number, (_, body) in enumerate(ODD, 1)]
    among = [Message(where, payload) for _, where, payload, _ in POISON]
    array = [{"ts": now_ms() + n, "n": n, "values": {"tilt_deg": 1.5}} for n in range(2001, 2021)]
    array[3:3] = ["poison", {"n": 1}, {"ts": now_ms(), "values": {"battery_v": 1.3}}]  # type: ignore[list-item]
    messages = [*good, *odd, *among, Message(topic("cover-002"), encoded(array))]
    city.random.shuffle(messages)
    with as_one_batch(city):
        send(city, *messages)

    stored = stored_numbers(city)
    for number, (name, _) in enumerate(ODD, 1):
        assert stored[FIRST + number] == 1, f"{name}: lost"
    expected = {*range(1, len(good) + 1), *range(FIRST, FIRST + len(ODD) + 1), *range(2001, 2021)}
    assert stored == Counter(expected)
    found = Counter((topic, reason) for topic, reason in city.rows("SELECT topic, reason FROM quarantine"))
    wanted = Counter((where, reason) for _, where, _, reasons in POISON for reason in reasons)
    wanted.update((topic("cover-002"), r) for r in ("not_an_object", "values_missing", "rejected_by_database"))
    assert found == wanted
    whole = {(where, payload) for _, where, payload, reasons in POISON if len(reasons) == 1}
    kept = {(where, bytes(payload)) for where, payload in city.rows("SELECT topic, payload FROM quarantine")}
    assert whole <= kept
    assert city.value("SELECT sum(received) FROM books") == len(messages) + 1
    assert city.value("SELECT sum(received + unpacked - stored - duplicate - quarantined) FROM books") == 0


def odd_payload(body: dict[str, Any] | str, n: int) -> bytes:
    return (body % n).encode() if isinstance(body, str) else json.dumps({**body, "n": n}).encode()


def test_what_a_device_really_said_is_kept(city: City) -> None:
    """A value that cannot be is set aside, a field that nobody knows stays: the original can always be read again."""
    city.start_ingest()
    send(
        city,
        Message(COVER, b'{"values": {"tilt_deg": NaN, "battery_v": 65535, "open": false, "colour": "red"}, "n": 1}'),
        Message(COVER, b'{"ts": "gestern", "values": {"note": "a\\u0000b", "open": true}, "seq": "seven", "n": 2}'),
    )
    city.caught_up()
    first, second = city.rows('SELECT tilt_deg, battery_v, "open", extra FROM report_cover ORDER BY received_at')
    assert first[:3] == (None, None, False)
    assert first[3]["set_aside"].keys() == {"tilt_deg", "battery_v"}
    assert first[3]["set_aside"]["battery_v"] == 65535
    assert first[3]["values"] == {"colour": "red"}
    assert second[2] is True
    assert second[3]["device_ts"] == "gestern"
    assert second[3]["seq"] == "seven"
    assert second[3]["values"]["note"] == "a\\u0000b"
    assert city.open_alarms("cover-001") == {"cover.open": 4}


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
@pytest.mark.parametrize("last_says", [True, False], ids=["open last", "heartbeat last"])
def test_two_reports_in_one_second_both_live(city: City, together: bool, last_says: bool) -> None:
    """Clocks of vendors have seconds. The later arrival wins, and a heartbeat never eats an open."""
    city.start_ingest()
    second = now_ms() // 1000 * 1000
    messages = [report("cover-001", second, n, open=said) for n, said in ((1, not last_says), (2, last_says))]
    if together:
        with as_one_batch(city):
            send(city, *messages)
    else:
        for message in messages:
            send(city, message)
            city.caught_up()
    assert stored_numbers(city) - Counter({FIRST: 1}) == Counter([1, 2])
    assert city.open_alarms("cover-001") == ({"cover.open": 4} if last_says else {})
    episodes = city.rows(
        "SELECT cleared_at IS NULL FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'cover.open'"
    )
    assert episodes == [(last_says,)], "the open that came first has left no trace"


def test_everything_twice_and_shuffled(city: City) -> None:
    """Stored: what is distinct; duplicate: the rest; alarms: as the newest report of each device has it."""
    city.start_ingest()
    draw = random.Random(7)
    base = now_ms() - 600_000
    newest: dict[str, tuple[int, bool]] = {}
    messages: list[Message] = []
    for number in range(1, 801):
        device_id = draw.choice(DEVICES["cover"][:40])
        opened = draw.random() < 0.3
        newest[device_id] = (base + number, opened)
        messages.append(report(device_id, base + number, number, open=opened))
    twice = messages * 2
    draw.shuffle(twice)
    with publishing(city) as publisher:
        for message in twice:
            publisher.send(message)
        publisher.acknowledged()
    city.caught_up()

    assert stored_numbers(city) == Counter(range(1, 801))
    assert city.rows("SELECT sum(received), sum(stored), sum(duplicate), sum(quarantined) FROM books") == [
        (1600, 800, 800, 0)
    ]
    the_record_is_whole(city)
    for device_id, (_, opened) in newest.items():
        alarms = city.open_alarms(device_id)
        assert alarms.get("cover.open") == (4 if opened else None), f"{device_id}: {alarms}, newest says open={opened}"
    raised = city.rows(
        "SELECT d.device_id, (extract(epoch FROM e.raised_at) * 1000)::bigint FROM episodes e"
        " JOIN alarms USING (alarm_key) JOIN devices d USING (device_key) WHERE rule_id = 'cover.open'"
    )
    said_open = {
        (json_device(m), json.loads(m.payload)["ts"]) for m in messages if json.loads(m.payload)["values"]["open"]
    }
    assert set(raised) <= said_open
    assert len(raised) == len(set(raised)), "one report has raised two episodes"


def json_device(message: Message) -> str:
    return message.topic.split("/")[4]


def test_the_database_takes_part_in_none_of_this(city: City) -> None:
    """The guard of the guards: books that do not balance cannot be written."""
    with pytest.raises(psycopg.errors.CheckViolation):
        city.do("INSERT INTO books (shard, minute, received) VALUES ('main', now(), 1)")
