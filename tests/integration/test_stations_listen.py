"""The listener on real sockets and a real inbox: who is acknowledged, when, and what happens when things go wrong."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ingest import listen as listening
from ingest.stations.post import Queue
from tests.conftest import OwnStack
from tests.integration.listener import listener_on, until
from tests.unit import sl651_frames as known
from tests.unit.sl651_frames import built, crc, observed, packets

_ANSWER = 25


@contextmanager
def locked_inbox(database_url: str) -> Iterator[None]:
    """The database is there, and takes nothing."""
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE inbox IN SHARE MODE")
        yield
        connection.rollback()


def answers(station: socket.socket, count: int, seconds: float = 15) -> list[bytes]:
    station.settimeout(seconds)
    data = b""
    while len(data) < count * _ANSWER:
        more = station.recv(65_536)
        assert more, f"closed after {data.hex()}"
        data += more
    found = [data[at : at + _ANSWER] for at in range(0, len(data), _ANSWER)]
    assert all(crc(answer[:-2]) == answer[-2:] for answer in found)
    return found


def stays_silent(station: socket.socket, seconds: float = 0.5) -> None:
    station.settimeout(seconds)
    with pytest.raises(TimeoutError):
        station.recv(1)


def is_closed(station: socket.socket, seconds: float = 10) -> bool:
    station.settimeout(seconds)
    try:
        return station.recv(1) == b""
    except ConnectionResetError:
        return True


def report(number: int) -> bytes:
    return built(observed("2607011200", f"39 23 {number:08d}"), serial=number)


def test_a_frame_is_posted_as_it_came_and_acknowledged(database: str) -> None:
    with listener_on(database) as listener, listener.station() as station:
        station.sendall(known.TIMED)
        assert answers(station, 1) == [known.TIMED_ANSWER]
        assert listener.rows() == [("main", "message", "sl651/0011223344", "sl651", known.TIMED)]


def test_nobody_is_acknowledged_before_the_commit(database: str) -> None:
    with listener_on(database) as listener, listener.station() as station:
        with locked_inbox(database):
            station.sendall(known.TIMED)
            stays_silent(station, 1.0)
        assert answers(station, 1) == [known.TIMED_ANSWER]
        assert listener.bodies() == [known.TIMED]


def test_what_is_there_already_is_acknowledged_again(database: str) -> None:
    with listener_on(database) as listener:
        with listener.station() as station:
            station.sendall(known.TIMED + known.TIMED)
            assert answers(station, 2) == [known.TIMED_ANSWER] * 2
        with listener.station() as station:
            station.sendall(known.TIMED)
            assert answers(station, 1) == [known.TIMED_ANSWER]
        assert listener.bodies() == [known.TIMED]


def test_each_station_gets_its_own_answers_in_order(database: str) -> None:
    with listener_on(database) as listener, contextlib.ExitStack() as opened:
        stations = [opened.enter_context(listener.station()) for _ in range(20)]
        for place, station in enumerate(stations):
            station.sendall(b"".join(report(100 * place + number) for number in range(1, 6)))
        for place, station in enumerate(stations):
            serials = [int.from_bytes(answer[14:16], "big") for answer in answers(station, 5)]
            assert serials == [100 * place + number for number in range(1, 6)]
        assert len(listener.bodies()) == 100


def test_a_frame_in_many_pieces(database: str) -> None:
    with listener_on(database) as listener, listener.station() as station:
        station.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in known.TIMED:
            station.sendall(bytes([byte]))
        assert answers(station, 1) == [known.TIMED_ANSWER]
        assert listener.bodies() == [known.TIMED]


def test_damaged_frames_are_posted_and_not_acknowledged(database: str) -> None:
    damaged = known.TIMED[:40] + b"\x55" + known.TIMED[41:]
    with listener_on(database) as listener, listener.station() as station:
        station.sendall(b"\r\n" + damaged)
        until(lambda: len(listener.rows()) == 2, "garbage in the inbox")
        stays_silent(station)
        station.sendall(known.TIMED)
        assert answers(station, 1) == [known.TIMED_ANSWER]
        assert [(row[2], row[4]) for row in listener.rows()] == [
            ("sl651/unknown", b"\r\n"),
            ("sl651/unknown", damaged),
            ("sl651/0011223344", known.TIMED),
        ]


def test_heartbeats_keep_a_line_and_nothing_else(database: str) -> None:
    with listener_on(database, stations_idle_s=2) as listener, listener.station() as station:
        for _ in range(5):
            station.sendall(known.HEARTBEAT)
            stays_silent(station, 0.7)
        assert listener.rows() == []
        assert is_closed(station), "silent for longer than allowed"


def test_packets_and_the_one_that_was_lost(database: str) -> None:
    sent = packets(bytes.fromhex(observed("2607011200", "39 23 00001000")), 12)
    with listener_on(database) as listener, listener.station() as station:
        station.sendall(sent[0] + sent[2])
        station.settimeout(10)
        asked = station.recv(100)
        assert (asked[14:17], asked[-3]) == ((3 << 12 | 2).to_bytes(3, "big"), 0x15)
        station.sendall(sent[1])
        answer = station.recv(100)
        assert (answer[14:17], answer[-3]) == ((3 << 12 | 3).to_bytes(3, "big"), 0x1B)
        assert listener.bodies() == [b"".join(sent)]


def test_who_has_closed_its_side_still_gets_its_answer(database: str) -> None:
    with listener_on(database) as listener, listener.station() as station:
        station.sendall(known.TIMED + known.TIMED[:20])
        station.shutdown(socket.SHUT_WR)
        assert answers(station, 1) == [known.TIMED_ANSWER]
        assert is_closed(station)
        until(lambda: listener.bodies() == [known.TIMED, known.TIMED[:20]], "the beginning of a frame, kept")


def test_more_connections_than_allowed(database: str) -> None:
    with listener_on(database, stations_connections=2) as listener, contextlib.ExitStack() as opened:
        until(lambda: listener.rows() == [], "database")
        first, second, third = (opened.enter_context(listener.station()) for _ in range(3))
        assert is_closed(third)
        for station in (first, second):
            station.sendall(known.TIMED)
            answers(station, 1)
        first.close()
        time.sleep(0.3)
        with listener.station() as station:
            station.sendall(known.TIMED)
            answers(station, 1)


def test_who_speaks_something_else_is_shown_out(database: str) -> None:
    with listener_on(database) as listener, listener.station() as station:
        said = b"GET / HTTP/1.1\r\n" * 64
        station.sendall(said * 30)
        assert is_closed(station)
        until(lambda: listener.bodies() == [said], "what it said, once")


def test_many_stations_are_held_back_while_the_database_takes_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far more is sent than may wait; nothing is lost, and nobody is read from meanwhile."""
    monkeypatch.setattr(listening, "_WAITING_BYTES", 50_000)
    queues: list[Queue] = []

    def kept(most: int) -> Queue:
        queues.append(Queue(most))
        return queues[-1]

    monkeypatch.setattr(listening, "Queue", kept)
    count = 400
    with listener_on(database, stations_idle_s=1) as listener, contextlib.ExitStack() as opened:
        stations = [opened.enter_context(listener.station()) for _ in range(4)]
        with locked_inbox(database):
            for place, station in enumerate(stations):
                station.settimeout(0.5)
                station.sendall(b"".join(report(place * count + number) for number in range(1, count + 1)))
            until(lambda: queues[0].full, "full queue")
            time.sleep(2.5)
            assert sum(len(message.taken.body) for message in queues[0]._messages) < 60_000
            assert listener.rows() == []
        for station in stations:
            assert len(answers(station, count, 60)) == count
        assert len(set(listener.bodies())) == 4 * count


def test_it_lives_through_a_database_that_is_gone(own_stack: OwnStack) -> None:
    with listener_on(own_stack.database_url) as listener, listener.station() as station:
        station.sendall(report(1))
        answers(station, 1)
        own_stack.stop("postgres", kill=True)
        station.sendall(report(2))
        stays_silent(station, 1.0)
        with listener.station() as another:
            another.sendall(report(3))
            stays_silent(another, 0.5)
            own_stack.start("postgres")
            assert int.from_bytes(answers(another, 1, 30)[0][14:16], "big") == 3
        assert int.from_bytes(answers(station, 1, 30)[0][14:16], "big") == 2
        assert sorted(listener.bodies()) == sorted([report(1), report(2), report(3)])


def test_an_orderly_end_answers_what_it_has_read(database: str) -> None:
    with listener_on(database) as listener, listener.station() as station:
        with locked_inbox(database):
            station.sendall(report(1) + report(2))
            time.sleep(0.5)
            listener.stop.set()
            stays_silent(station, 0.5)
        assert len(answers(station, 2)) == 2
        assert is_closed(station)
        assert listener.end() < 10
        assert listener.bodies() == [report(1), report(2)]


def test_it_ends_although_the_database_takes_nothing(database: str) -> None:
    with listener_on(database) as listener, listener.station() as station, locked_inbox(database):
        station.sendall(report(1))
        stays_silent(station, 0.3)
        assert listener.end() < 25
        assert is_closed(station)
