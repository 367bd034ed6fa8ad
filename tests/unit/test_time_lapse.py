"""An installation in lapsed time: its clock runs faster than the machine's, meets it at a moment, and never jumps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from underfoot import clock
from underfoot.clock import CLOCK, Clock, TimeLapse
from underfoot.settings import SettingsError, load
from underfoot.storage.connect import conninfo

SECOND = 1_000_000
MINUTE = 60 * SECOND
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOON_US = int(NOON.timestamp()) * SECOND


class Machine:
    def __init__(self) -> None:
        self.wall_us = NOON_US
        self.booted_us = 5 * SECOND

    def passes(self, us: int) -> None:
        self.wall_us += us
        self.booted_us += us


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(clock, "_wall_us", lambda: made.wall_us)
    monkeypatch.setattr(clock, "_boot_us", lambda: made.booted_us)
    return made


def in_lapse(minutes: float = 3, speed: float = 60) -> Clock:
    """To meet the machine's clock that many minutes after noon."""
    return Clock(TimeLapse(speed, NOON + timedelta(minutes=minutes)))


def test_it_begins_behind_the_machines_and_meets_it_at_its_moment(machine: Machine) -> None:
    ours = in_lapse()
    assert ours.now_us() == NOON_US + 3 * MINUTE - 180 * MINUTE
    machine.passes(MINUTE)
    assert ours.now_us() == NOON_US + 3 * MINUTE - 120 * MINUTE
    machine.passes(2 * MINUTE)
    assert ours.now_us() == machine.wall_us
    machine.passes(MINUTE)
    assert ours.now_us() == machine.wall_us == NOON_US + 4 * MINUTE


def test_it_never_jumps_and_never_stands_still(machine: Machine) -> None:
    ours = in_lapse(minutes=0.05)
    before = ours.now_us()
    for _ in range(6000):
        machine.passes(1000)
        ours.look(600)
        assert 1000 <= ours.now_us() - before <= 60_000
        before = ours.now_us()
    assert (ours.now_us(), ours.steps) == (machine.wall_us, 0)


def test_how_fast_it_runs_is_over_when_it_has_met_the_machines(machine: Machine) -> None:
    ours = in_lapse(minutes=1)
    assert (ours.speed, ours.machine_s(30, 0.1), ours.machine_s(1, 0.1), ours.machine_s(0.01, 0.1)) == (
        60,
        0.5,
        0.1,
        0.01,
    )
    machine.passes(MINUTE)
    assert (ours.speed, ours.machine_s(30, 0.1), ours.machine_s(0.01, 0.1)) == (1, 30, 0.01)


def test_seconds_pass_as_fast_as_it_runs_whatever_the_machines_clock_is_set_to(machine: Machine) -> None:
    ours = in_lapse(minutes=1)
    before = ours.passed_s()
    machine.wall_us -= 3600 * SECOND
    machine.passes(30 * SECOND)
    assert ours.passed_s() - before == pytest.approx(30 * 60)
    machine.passes(40 * SECOND)
    assert ours.passed_s() - before == pytest.approx(60 * 60 + 10)


def test_the_machines_clock_set_forward_is_followed_at_the_next_look(machine: Machine) -> None:
    ours = in_lapse()
    machine.wall_us += MINUTE
    assert ours.now_us() == NOON_US + 3 * MINUTE - 180 * MINUTE
    ours.look(600)
    assert (ours.now_us(), ours.steps) == (NOON_US + 3 * MINUTE - 120 * MINUTE, 1)


def test_whoever_asks_now_and_then_has_looked(machine: Machine) -> None:
    ours = Clock()
    machine.wall_us += 3600 * SECOND
    assert ours.now() == NOON + timedelta(hours=1)


def test_a_lapse_is_written_as_it_is_read() -> None:
    lapse = TimeLapse.parse("60x until 2026-11-22T14:00:00+08:00")
    assert (lapse.speed, lapse.until) == (60, datetime(2026, 11, 22, 6, tzinfo=UTC))
    assert TimeLapse.parse(str(lapse)) == lapse


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("60", "like '60x until"),
        ("60x", "like '60x until"),
        ("fast until 2026-11-22T14:00:00+08:00", "like '60x until"),
        ("0.5x until 2026-11-22T14:00:00+08:00", "0.5x: from 1x to 1000x"),
        ("1001x until 2026-11-22T14:00:00+08:00", "1001x: from 1x to 1000x"),
        ("60x until noon", "'noon': a moment like"),
        ("60x until 2026-11-22T14:00:00", "time zone"),
        ("60x until 9999-01-01T00:00:00Z", "more than 24 h ahead"),
    ],
)
def test_a_lapse_that_cannot_be_is_refused_by_name_and_value(
    monkeypatch: pytest.MonkeyPatch, value: str, says: str
) -> None:
    monkeypatch.setenv("UNDERFOOT_TIME_LAPSE", value)
    with pytest.raises(SettingsError) as refused:
        load()
    assert "UNDERFOOT_TIME_LAPSE" in str(refused.value)
    assert repr(value) in str(refused.value)
    assert says in str(refused.value)


def test_without_the_setting_there_is_no_lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNDERFOOT_TIME_LAPSE", raising=False)
    assert load().time_lapse is None
    assert (CLOCK.lapse, CLOCK.speed, CLOCK.machine_s(2, 0.1)) == (None, 1, 2)
    assert "lapse" not in conninfo("postgresql://u@127.0.0.1/underfoot", "test")


@pytest.fixture
def lapsing() -> Iterator[TimeLapse]:
    lapse = TimeLapse(60, NOON)
    CLOCK.set_going(lapse)
    yield lapse
    CLOCK.set_going(None)


def test_the_database_is_told_of_it(lapsing: TimeLapse) -> None:
    told = conninfo("postgresql://u@127.0.0.1/underfoot", "test")
    assert "-c underfoot.lapse_speed=60" in told
    assert f"-c underfoot.lapse_until={lapsing.until.timestamp()}" in told
