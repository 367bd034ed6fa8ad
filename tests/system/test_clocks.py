"""A wrong clock never hides an open cover: whatever time its device says, an operator sees an open alarm.

Every scenario has a cover of its own and goes on step by step; all of them go side by side, once with one ingest
throughout, once with a new one at each step, which knows only what the database does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.system.city import DEVICES, City
from tests.system.evidence import stored_numbers, the_record_is_whole
from tests.system.fleet import now_ms, report
from tests.system.publisher import publishing

_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000

Alarms = dict[str, int]
RED: Alarms = {"cover.open": 4}
TO_BE_CHECKED: Alarms = {"cover.late_hazard": 1}
NONE: Alarms = {}

CLOCKS: dict[str, Callable[[], int]] = {
    "1970": lambda: 90_000,
    "+8 h": lambda: now_ms() + 8 * _HOUR,
    "−8 h": lambda: now_ms() - 8 * _HOUR,
    "−1 d": lambda: now_ms() - _DAY,
    "−30 d": lambda: now_ms() - 30 * _DAY,
    "−4 min": lambda: now_ms() - 4 * _MINUTE,
    "+4 min": lambda: now_ms() + 4 * _MINUTE,
}
BELIEVED_TO_BE_BACKLOG = ("−8 h", "−1 d", "−4 min")


@dataclass
class Step:
    """What the cover says next, at what time by its own clock, and what is to be seen then."""

    opened: bool
    clock: Callable[[], int] | None
    alarms: Alarms
    ts: int | None = None


@dataclass
class Scenario:
    name: str
    counts: bool
    steps: list[Step] = field(default_factory=list)

    def says(self, opened: bool, clock: Callable[[], int] | None, alarms: Alarms) -> Scenario:
        self.steps.append(Step(opened, clock, alarms))
        return self


def scenarios() -> list[Scenario]:
    began = now_ms()
    made = []
    for counts in (True, False):
        seq = "with seq" if counts else "without seq"
        for name, clock in CLOCKS.items():
            # Perhaps it is backlog: where nothing tells, an operator is asked.
            doubtful = name in BELIEVED_TO_BE_BACKLOG and not counts
            seen = TO_BE_CHECKED if doubtful else RED
            made.append(
                Scenario(f"{name} when it opens, {seq}", counts).says(False, now_ms, NONE).says(True, clock, seen)
            )
        made.append(
            Scenario(f"+4 min, then corrected, {seq}", counts)
            .says(False, lambda: now_ms() + 4 * _MINUTE, NONE)
            .says(True, now_ms, RED if counts else TO_BE_CHECKED)
            # Its clock is past the time that it had claimed: the next word makes it certain.
            .says(True, lambda: now_ms() + 4 * _MINUTE + 50 * _SECOND, RED)
        )
        for name in ("+8 h", "1970"):
            # Not believed in the first place: what follows with the right time is no older than it.
            made.append(
                Scenario(f"{name}, then corrected, {seq}", counts)
                .says(False, CLOCKS[name], NONE)
                .says(True, now_ms, RED)
                .says(False, now_ms, NONE)
            )
        made.append(
            Scenario(f"the newest first, then the backlog, {seq}", False)
            .says(False, lambda: began, NONE)
            .says(False, lambda: began - 3 * _HOUR, NONE)
            .says(True, lambda: began - 2 * _HOUR, TO_BE_CHECKED)
            .says(False, lambda: began - _HOUR, TO_BE_CHECKED)
            .says(False, now_ms, NONE)
        )
    for name in ("−8 h", "−1 d"):
        # Set back for good: with `seq`, every report counts on, under the time of its receipt.
        clock = CLOCKS[name]
        made.append(
            Scenario(f"{name} for good", counts=True)
            .says(False, now_ms, NONE)
            .says(True, clock, RED)
            .says(False, clock, NONE)
            .says(True, clock, RED)
        )
    made.append(
        Scenario("no clock at all", counts=False).says(False, None, NONE).says(True, None, RED).says(False, None, NONE)
    )
    made.append(
        Scenario("−1 d ever since it was installed", counts=False)
        .says(False, CLOCKS["−1 d"], NONE)
        .says(True, CLOCKS["−1 d"], RED)
        .says(False, CLOCKS["−1 d"], NONE)
    )
    made.append(
        Scenario("a backlog in its order", counts=False)
        .says(False, lambda: began - 3 * _HOUR, NONE)
        .says(True, lambda: began - 2 * _HOUR, RED)
        .says(False, lambda: began - _HOUR, NONE)
    )
    made.append(
        Scenario("an old word that all is well", counts=False)
        .says(True, lambda: began, RED)
        .says(False, lambda: began - _MINUTE, RED)
        .says(True, lambda: began - 2 * _MINUTE, RED)
        .says(False, now_ms, NONE)
    )
    return made


@pytest.mark.parametrize("restarted", [False, True], ids=["one ingest", "restarted at each step"])
def test_an_open_cover_is_seen_whatever_its_clock_says(city: City, restarted: bool) -> None:
    city.start_ingest()
    covers = dict(zip(DEVICES["cover"], scenarios(), strict=False))
    wrong: list[str] = []
    for number in range(max(len(scenario.steps) for scenario in covers.values())):
        if restarted:
            city.installation.end_processes()
            city.start_ingest()
        with publishing(city) as publisher:
            for index, (cover, scenario) in enumerate(covers.items()):
                if number < len(scenario.steps):
                    step = scenario.steps[number]
                    step.ts = step.clock() if step.clock is not None else None
                    n, seq = 100 * index + number, number + 7 if scenario.counts else None
                    tilt = 78.0 if step.opened else 1.0
                    publisher.send(report(cover, step.ts, n, seq, open=step.opened, tilt_deg=tilt))
            publisher.acknowledged()
        city.caught_up()
        for cover, scenario in covers.items():
            if number < len(scenario.steps):
                alarms, expected = city.open_alarms(cover), scenario.steps[number].alarms
                if alarms != expected:
                    wrong.append(f"{scenario.name}, step {number + 1}: {alarms} instead of {expected}")
    assert not wrong, "\n".join(wrong)
    every_report_is_kept_with_the_time_it_said(city, list(covers.values()))
    the_record_is_whole(city)


def every_report_is_kept_with_the_time_it_said(city: City, told: list[Scenario]) -> None:
    said: dict[int, int | None] = {
        100 * index + number: step.ts
        for index, scenario in enumerate(told)
        for number, step in enumerate(scenario.steps)
    }
    assert stored_numbers(city) == dict.fromkeys(said, 1)
    kept: list[tuple[Any, ...]] = city.rows(
        "SELECT (extra #>> '{report,n}')::int, (extract(epoch FROM ts) * 1000)::bigint,"
        " (extra ->> 'device_ts')::bigint, ts = received_at FROM report_cover"
    )
    for number, ts, device_ts, under_receipt in kept:
        if under_receipt:
            assert device_ts == said[number], f"report {number}: the device's own time is lost"
        else:
            assert (ts, device_ts) == (said[number], None), f"report {number}"


def test_what_came_late_is_history_as_it_was(city: City) -> None:
    """Oldest first, nothing newer known: opened two hours ago, closed one hour ago, with those times on record."""
    city.start_ingest()
    cover, began = DEVICES["cover"][0], now_ms()
    with publishing(city) as publisher:
        for n, (ago, opened) in enumerate(((3, False), (2, True), (1, False)), 1):
            publisher.send(report(cover, began - ago * _HOUR, n, open=opened))
        publisher.acknowledged()
    city.caught_up()
    assert city.rows(
        "SELECT (extract(epoch FROM raised_at) * 1000)::bigint, (extract(epoch FROM cleared_at) * 1000)::bigint"
        " FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'cover.open'"
    ) == [(began - 2 * _HOUR, began - _HOUR)]
    assert city.open_alarms(cover) == {}
