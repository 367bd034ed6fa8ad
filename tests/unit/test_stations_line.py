"""A line: what one station's bytes become, before any socket or database."""

from __future__ import annotations

import pytest

from ingest.codecs.sl651.frame import ACK, EOT, ESC, NAK
from ingest.stations.line import Line, Taken
from ingest.stations.post import Queue, Waiting
from tests.unit import sl651_frames as known
from tests.unit.sl651_frames import STATION, built, observed, packets

NOW = observed("2607011200", "39 23 00001000")


def one(data: bytes, line: Line | None = None) -> Taken:
    (taken,) = (line or Line()).feed(data)
    return taken


def test_a_report_is_a_message_with_its_answer() -> None:
    taken = one(known.TIMED)
    assert (taken.topic, taken.body, taken.answer) == ("sl651/0011223344", known.TIMED, known.TIMED_ANSWER)
    assert taken.key.startswith("sl651/0011223344/0034/1707181100/")


def test_a_heartbeat_is_neither_posted_nor_answered() -> None:
    line = Line()
    assert line.feed(known.HEARTBEAT) == []
    assert (line.heartbeats, line.station, bytes(line.replies)) == (1, STATION, b"")


@pytest.mark.parametrize(
    ("line", "data", "end"),
    [
        (Line(), built(NOW), ESC),
        (Line(stay_online=False), built(NOW), EOT),
        (Line(), built(NOW, end=0x17), ACK),
    ],
)
def test_how_an_answer_ends(line: Line, data: bytes, end: int) -> None:
    assert one(data, line).answer[-3] == end


def test_what_answers_a_question_that_was_never_asked_is_kept_and_not_answered() -> None:
    assert one(known.NO_STATION_CLASS).answer == b""


def test_sent_again_with_a_new_sending_time_it_has_the_same_key() -> None:
    assert one(built(NOW)).key == one(built(NOW, sent="260701121510")).key


@pytest.mark.parametrize(
    "other",
    [
        built(NOW, serial=8),
        built(NOW, station="0012345679"),
        built(NOW, function=0x33),
        built(observed("2607011205", "39 23 00001000")),
        built(observed("2607011200", "39 23 00001001")),
    ],
)
def test_another_report_has_another_key(other: bytes) -> None:
    assert one(built(NOW)).key != one(other).key


def test_packets_are_one_message_and_one_answer() -> None:
    sent = packets(bytes.fromhex(NOW), 12)
    line = Line()
    taken = [message for data in sent for message in line.feed(data)]
    assert [message.body for message in taken] == [b"".join(sent)]
    assert taken[0].answer[13:17] == b"\x16" + (len(sent) << 12 | len(sent)).to_bytes(3, "big")
    assert taken[0].answer[-3] == ESC
    assert not line.replies


def test_a_missing_packet_is_asked_for_until_it_comes() -> None:
    sent = packets(bytes.fromhex(NOW), 8)
    line = Line()
    assert [line.feed(data) for data in (sent[0], sent[3], sent[-1])] == [[], [], []]
    assert line.replies[14:17] == (len(sent) << 12 | 2).to_bytes(3, "big")
    assert line.replies[-3] == NAK
    taken = [message for data in sent for message in line.feed(data)]
    assert [message.body for message in taken] == [b"".join(sent)]


def test_an_unfinished_message_is_kept_when_the_line_ends() -> None:
    first, second, _ = packets(bytes.fromhex(NOW), 12)
    line = Line()
    assert line.feed(second) == line.feed(first) == []
    (taken,) = line.end()
    assert (taken.topic, taken.body, taken.answer) == (f"sl651/{STATION}", first + second, b"")


def test_a_message_longer_than_is_gathered_is_kept_in_parts() -> None:
    sent = packets(bytes(4000), 1000)
    line = Line(most_bytes=2500)
    taken = [message for data in sent for message in line.feed(data)] + line.end()
    assert b"".join(message.body for message in taken) == b"".join(sent)
    assert all(message.answer == b"" for message in taken)


def test_garbage_is_kept_once_under_its_bytes() -> None:
    line = Line()
    (first,) = line.feed(known.TIMED[:40] + b"\x55" + known.TIMED[41:])
    assert (first.topic, first.answer) == ("sl651/unknown", b"")
    line.feed(known.HEARTBEAT)
    (again,) = line.feed(first.body)
    assert (again.topic, again.key) == (f"sl651/{STATION}", first.key)
    assert line.malformed == 2


def test_who_sends_nothing_but_garbage_is_hopeless() -> None:
    line = Line()
    for _ in range(15):
        line.feed(b"x" * 1024)
    assert not line.hopeless
    line.feed(known.HEARTBEAT)
    for _ in range(16):
        assert not line.hopeless
        line.feed(b"x" * 1024)
    assert line.hopeless


def test_a_queue_weighs_what_is_not_committed_yet() -> None:
    queue = Queue(3000)
    messages = [Waiting(1, Taken("t", bytes(1000), str(number)), 0) for number in range(3)]
    queue.put(messages[:1])
    assert not queue.full
    queue.put(messages[1:])
    assert queue.full
    assert queue.take(2) == messages[:2]
    assert queue.full
    queue.done(messages[:2])
    assert not queue.full
    assert queue.half_full
    queue.close()
    assert queue.take(2) == messages[2:]
    assert queue.take(2) == []
