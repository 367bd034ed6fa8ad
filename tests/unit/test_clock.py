"""Our time goes on evenly, whatever is done to the machine's; the test is the machine, and sets both of its clocks."""

from __future__ import annotations

import pytest

from underfoot import clock
from underfoot.clock import Clock

SECOND = 1_000_000
HOUR = 3600 * SECOND
NOON = 1_800_000_000 * SECOND


class Machine:
    """`wall_us` can be set; `booted_us` only goes on."""

    def __init__(self) -> None:
        self.wall_us = NOON
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


def test_it_begins_with_the_machines_time_and_goes_on(machine: Machine) -> None:
    ours = Clock()
    assert ours.now_us() == NOON
    machine.passes(HOUR)
    assert ours.now_us() == NOON + HOUR


def test_set_forward_it_follows_at_the_next_look(machine: Machine) -> None:
    ours = Clock()
    machine.wall_us += HOUR
    assert ours.now_us() == NOON
    ours.look(600)
    assert (ours.now_us(), ours.steps) == (NOON + HOUR, 1)


def test_set_back_it_goes_on_until_that_has_lasted(machine: Machine) -> None:
    ours = Clock()
    machine.wall_us -= HOUR
    for seconds in range(1, 601):
        ours.look(600)
        machine.passes(SECOND)
        assert ours.now_us() == NOON + seconds * SECOND
    assert ours.steps == 0
    machine.passes(SECOND)
    ours.look(600)
    assert (ours.now_us(), ours.steps) == (NOON + 601 * SECOND - HOUR, 1)


def test_set_back_and_put_right_it_has_never_noticed(machine: Machine) -> None:
    ours = Clock()
    for _ in range(3):
        machine.wall_us -= HOUR
        ours.look(600)
        machine.passes(400 * SECOND)
        ours.look(600)
        machine.wall_us += HOUR
        machine.passes(SECOND)
        ours.look(600)
    assert (ours.now_us(), ours.steps) == (NOON + 3 * 401 * SECOND, 0)


@pytest.mark.parametrize("drift_us", [-1_500_000, -700, 900, 1_500_000])
def test_small_differences_are_made_up_for_and_time_never_goes_back(machine: Machine, drift_us: int) -> None:
    ours = Clock()
    machine.wall_us += drift_us
    before = ours.now_us()
    for _ in range(2000):
        ours.look(600)
        machine.passes(10_000)
        assert ours.now_us() > before
        before = ours.now_us()
    assert (ours.now_us(), ours.steps) == (machine.wall_us, 0)
