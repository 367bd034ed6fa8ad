"""The world of a run: when it is, how fast it is played, what it counts. Small worlds are in tests/integration."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulators.account import Account
from simulators.hydraulics.hydrographs import Hydrographs
from simulators.message import Due, Message, Part
from simulators.play import Happening, HeldBy, Progress, play
from simulators.wire import Acknowledged, Frame
from simulators.world.books import Comparison, Difference, Expected, faults_of
from simulators.world.folder import RunError, RunFolder, fingerprint
from simulators.world.logins import read_logins
from simulators.world.span import Span

HOUR_MS = 3_600_000
NOW_MS = 1_800_000_000_000


class Broker:
    """Takes what it is offered, as `publisher` does, and acknowledges it at the next turn unless it is held up."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, Message]] = []
        self.queue: deque[Frame] = deque()
        self.in_flight = 0
        self.reconnects = 0
        self.held_up = False

    @property
    def waiting(self) -> int:
        return len(self.queue)

    def lane_of(self, device_id: str) -> int:
        return 0

    def offer(self, lane: int, frame: Frame) -> None:
        self.queue.append(frame)

    def turn(self, pause_s: float) -> list[Acknowledged]:
        time.sleep(pause_s)
        if self.held_up:
            return []
        done = [Acknowledged(frame.tag, time.monotonic()) for frame in self.queue]
        self.taken += [(time.monotonic(), each.tag) for each in done]
        self.queue.clear()
        return done

    def take_resent(self) -> list[Any]:
        return []

    def forget_waiting(self) -> int:
        dropped = len(self.queue)
        self.queue.clear()
        return dropped


def message(number: int, **changes: Any) -> Message:
    return Message(**{"device_id": "C-1", "topic": b"t", "payload": b"%d" % number, "kind": "heartbeat"} | changes)


def every(step_s: float, until_s: float) -> Iterator[Due]:
    number = 0
    while number * step_s <= until_s:
        yield Due(number * step_s, message(number))
        number += 1


def played(broker: Broker, messages: Iterator[Due], **how: Any) -> tuple[Any, float]:
    began = time.monotonic()
    result = play(messages, broker, **how)  # type: ignore[arg-type]
    return result, time.monotonic() - began


# when a run is ------------------------------------------------------------------------------------------------------
def test_a_run_ends_at_the_present_however_fast_it_is_played() -> None:
    for speed in (1.0, 60.0, 3600.0):
        span = Span.ending_at_the_present(6 * 3600, speed, NOW_MS)
        assert span.ends_ms == NOW_MS + round(6 * HOUR_MS / speed)
        assert span.clock(6 * 3600) == span.ends_ms
        assert span.clock(0) == span.begins_ms == span.ends_ms - 6 * HOUR_MS
        # Event time is the present at the end, and behind it all the way there.
        for share in (0.0, 0.3, 0.999):
            present_ms = NOW_MS + share * span.real_s * 1000
            assert span.clock(share * span.seconds) <= present_ms + 1
        assert span.wait_s(NOW_MS) == 0


def test_a_run_that_ends_later_waits_for_its_beginning() -> None:
    span = Span(3600, 60, NOW_MS + 100_000)
    assert span.wait_s(NOW_MS) == pytest.approx(40)
    assert Span(3600, 60, NOW_MS).wait_s(NOW_MS) == 0
    assert Span(3600, 60, NOW_MS).due_in_s(NOW_MS) == pytest.approx(-60), "it had to begin a minute ago"


@pytest.mark.parametrize(("seconds", "speed", "said"), [(3600, 0, "speed: 0"), (3600, 9000, "3600"), (5, 1, "minute")])
def test_a_span_that_cannot_be_is_refused(seconds: float, speed: float, said: str) -> None:
    with pytest.raises(RunError, match=said):
        Span.ending_at_the_present(seconds, speed, NOW_MS)


# how fast it is played ----------------------------------------------------------------------------------------------
def test_an_hour_is_played_in_a_part_of_it_and_in_order() -> None:
    broker = Broker()
    ended, took_s = played(broker, every(36.0, 3600), speed=3600 / 0.6)
    assert [each.payload for _, each in broker.taken] == [b"%d" % number for number in range(101)]
    assert 0.6 <= took_s < 1.2
    middle_s = broker.taken[50][0] - broker.taken[0][0]
    assert 0.25 < middle_s < 0.5
    assert ended.finished
    assert ended.account.sent == 101


def test_a_rate_limit_holds_messages_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.play._BEHIND_S", 0.1)
    broker = Broker()
    seen: list[HeldBy] = []
    ended, took_s = played(
        broker, every(0.001, 0.3), rate_limit=500, on_progress=lambda progress: seen.append(progress.held_by)
    )
    assert ended.account.messages == 301
    assert took_s > 0.45  # 301 messages at 500 a second, less a tenth of a second's at once
    assert set(seen) == {"", "rate limit"}
    assert ended.furthest_behind_s > 0.1


def test_a_broker_that_does_not_take_them_is_waited_for_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.play._MOST_WAITING", 10)
    monkeypatch.setattr("simulators.play._BEHIND_S", 0.1)
    broker = Broker()
    broker.held_up = True
    seen: list[HeldBy] = []

    def look(progress: Progress) -> None:
        seen.append(progress.held_by)
        broker.held_up = progress.elapsed_s < 0.5

    ended, _ = played(broker, every(0.01, 1), speed=10, on_progress=look)
    assert "broker" in seen
    assert ended.finished
    assert [each.payload for _, each in broker.taken] == [b"%d" % number for number in range(101)]


def test_happenings_come_between_the_messages_at_their_moment() -> None:
    broker = Broker()
    counts: list[int] = []
    happenings = [Happening(at_s, lambda: counts.append(len(broker.taken))) for at_s in (0.255, 0.105)]
    played(broker, every(0.01, 0.4), happenings=happenings)
    assert len(counts) == 2
    assert counts[0] <= 11
    assert counts[0] < counts[1] <= 26


def test_a_run_begins_when_it_is_to() -> None:
    broker = Broker()
    _, took_s = played(broker, every(1, 0), starts_at=time.monotonic() + 0.3)
    assert took_s >= 0.3
    _, took_s = played(Broker(), every(0.1, 1.0), starts_at=time.monotonic() - 10)
    assert took_s < 0.5, "what is over already is caught up with"


# what it counts -----------------------------------------------------------------------------------------------------
def test_the_account_knows_every_device_in_a_batch() -> None:
    account = Account()
    parts = (Part("C-1", "event"), Part("L-1", "heartbeat", 0, 1), Part("C-1", "event", 0, 0, 1))
    batch = message(1, device_id="G-1", kind="batch", stores=1, quarantines=1, repeats=1, members=parts)
    account.acknowledged([Acknowledged(batch, 0.0)], 1.0)
    account.acknowledged([Acknowledged(batch, 0.0)], 1.0)
    assert (account.sent, account.to_store, account.to_quarantine) == (2, 1, 1)
    assert account.repeats == 1 + 2 + 1
    assert account.by_device == {"C-1": 1, "L-1": 1}
    assert account.stored_by_device == {"C-1": 1, "L-1": 0}
    assert account.by_kind == {"event": 1, "heartbeat": 1}


def test_what_has_no_time_is_a_report_each_time_that_it_is_said() -> None:
    account = Account()
    once, again = message(1, timed=False), message(1, timed=False, again=True)
    account.acknowledged([Acknowledged(each, 0.0) for each in (once, once, again)], 0.0)
    assert (account.sent, account.repeats, account.untimed_repeats) == (2, 1, 1)
    account.acknowledged([Acknowledged(message(1, timed=False, stores=0, quarantines=1), 0.0)], 0.0)
    assert account.to_quarantine == 0, "the same bytes are one in quarantine"


@pytest.mark.parametrize(
    ("stored", "quarantined", "discarded", "caught_up", "said"),
    [
        ({"A": 3, "B": 2}, 1, 0, True, []),
        ({"A": 2, "B": 2}, 1, 0, True, ["少存 1 条"]),
        ({"A": 4, "B": 2}, 1, 0, True, []),  # one came twice without a time: rightly stored twice
        ({"A": 5, "B": 2}, 1, 0, True, ["多存 2 条"]),
        ({"A": 3, "B": 1}, 0, 0, True, ["少存 1 条", "隔离应有 1 条，实有 0 条"]),
        ({"A": 3, "B": 2}, 0, 1, True, []),  # beyond what is kept of one source: counted, not kept
        ({"A": 3, "B": 2}, 2, 0, True, ["隔离应有 1 条，实有 2 条"]),
        ({"A": 3, "B": 2}, 1, 0, False, ["接入没有赶上"]),
    ],
)
def test_the_books_balance_or_each_fault_is_named(
    stored: dict[str, int], quarantined: int, discarded: int, caught_up: bool, said: list[str]
) -> None:
    expected = Expected(6, 5, 1, 1, Counter(A=3, B=2))
    made = Comparison(distinct_quarantined=quarantined, discarded=discarded)
    differ = [
        Difference(name, count, stored[name])
        for name, count in expected.stored_by_device.items()
        if stored[name] != count
    ]
    faults = list(faults_of(expected, made, differ, caught_up=caught_up))
    assert len(faults) == len(said)
    assert all(fault.startswith(begin) for fault, begin in zip(faults, said, strict=True))


def test_a_load_beside_the_fleet_is_in_the_books_too() -> None:
    expected = Expected(1, 1, 0, 0, Counter(A=1), of_others=1000)
    assert not list(faults_of(expected, Comparison(stored_of_others=1000), [], caught_up=True))
    (fault,) = faults_of(expected, Comparison(stored_of_others=999), [], caught_up=True)
    assert "1000" in fault
    assert "999" in fault


# its folder ---------------------------------------------------------------------------------------------------------
def test_hydrographs_are_kept_for_what_they_follow_from(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    none = np.zeros((3, 0), np.float32)
    rain = np.array([[0.0], [12.5], [3.0]], np.float32)
    made = Hydrographs(60, (), (), ("R1",), none, none, none, none, none, none, rain)
    assert folder.hydrographs_of("a") is None
    folder.keep_hydrographs("a", made)
    kept = folder.hydrographs_of("a")
    assert kept is not None
    assert kept.rain_mm_h.tolist() == rain.tolist()
    assert folder.hydrographs_of("b") is None
    assert fingerprint([b"x", 1, ("a", 0.1)]) == fingerprint([b"x", 1, ("a", 0.1)])
    assert fingerprint([b"x", 1]) != fingerprint([b"x", 2])


def test_a_run_cannot_be_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("", encoding="utf-8")
    with pytest.raises(RunError, match=r"run: .* cannot be a folder"):
        RunFolder(tmp_path / "run")


def test_secrets_are_read_as_they_were_issued(tmp_path: Path) -> None:
    issued = tmp_path / "secrets.csv"
    issued.write_text(
        "kind,name,user_name,secret,expires_at,old_until\ndevice,C-1,410502/cover/C-1,ufd_x,,\n", encoding="utf-8"
    )
    assert read_logins(issued)["C-1"] == ("410502/cover/C-1", "ufd_x")
    issued.write_text("device,secret\nC-1,x\n", encoding="utf-8")
    with pytest.raises(RunError, match="no column kind, name, user_name"):
        read_logins(issued)
    with pytest.raises(RunError, match="No such file"):
        read_logins(tmp_path / "none.csv")
