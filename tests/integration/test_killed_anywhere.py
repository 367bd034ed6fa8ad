"""Killed at random points, again and again: in the end record and deliveries are those of a run without a kill."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from alerts.deliver.dispatch import Dispatcher
from ingest.arrival import Arrival
from tests.integration.death import DISPATCHER, HOLDER, Death, Died, mortal
from tests.integration.owing import settings
from tests.integration.receivers import Receiver, Request
from tests.integration.shard import SECOND, Shard, shard_of

_DISPATCH_EVERY = 8
_CALLS_A_STEP = 40
_CALLS_A_START = 250


@dataclass(frozen=True)
class Step:
    """At `at_us` these devices say this: (device_id, values)."""

    at_us: int
    says: list[tuple[str, dict[str, Any]]]
    proves_silence: bool
    delivers: bool


def script(seed: int, steps: int) -> list[Step]:
    """Hazards that come and go in every way the engine knows: pending, raised, worse, better, clearing, flapping."""
    draw = random.Random(seed)
    at_us = time.time_ns() // 1_000_000_000 * SECOND - steps * 30 * SECOND
    made = []
    for number in range(steps):
        at_us += draw.choice([1, 2, 5, 20, 60]) * SECOND
        says: list[tuple[str, dict[str, Any]]] = []
        for device_id, values in (
            ("C-1", {"open": draw.random() < 0.4}),
            ("C-2", {"tilt_deg": draw.choice([1.0, 12.0, 16.0, 40.0])}),
            ("R-1", {"depth_cm": draw.choice([0.0, 4.0, 7.0, 12.0, 26.0, 30.0])}),
            ("P-1", {"fill_ratio": draw.choice([0.5, 0.9, 1.1])}),
            ("U-1", {"fault": draw.random() < 0.3, "running": True}),
        ):
            if draw.random() < 0.35:
                says.append((device_id, values))
        made.append(Step(at_us, says, draw.random() < 0.3, number % _DISPATCH_EVERY == 0 or number == steps - 1))
    return made


@dataclass
class Record:
    """What a run has left: alarms by (device_id, rule_id)."""

    transitions: dict[tuple[str, str], list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))
    episodes: set[tuple[Any, ...]] = field(default_factory=set)
    told: dict[tuple[str, str, str], list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))


class Life:
    """One run of the script by a shard's holder and a dispatcher, which may die."""

    def __init__(self, shard: Shard, death: Death | None, draw: random.Random) -> None:
        self.shard = shard
        self.death = death
        self.draw = draw
        self.redeliveries = 0

    def play(self, steps: list[Step]) -> None:
        for step in steps:
            self.shard.now_us = step.at_us
            arrivals = [self.shard.says(device_id, values) for device_id, values in step.says]
            if arrivals:
                self._until_done(lambda again, a=arrivals: self.shard.commit(*self._as_they_come(a, again)))
            if step.proves_silence:
                self._until_done(lambda _: self.shard.catch_up())
                self.shard.post("timers", {}, f"timers:{step.at_us}")
                self._until_done(lambda _: self.shard.look_around())
            if step.delivers:
                self._deliver()

    def _as_they_come(self, arrivals: list[Arrival], again: int) -> list[Arrival]:
        return [self.shard.redelivered(arrival) for arrival in arrivals] if again else arrivals

    # `...`: what a lambda keeps of the loop around it is a parameter too.
    def _until_done(self, work: Callable[..., None]) -> None:
        """`work` is given how often it was done before."""
        again = 0
        while True:
            try:
                if self.death is not None and not self.death.dead:
                    self.death.due(HOLDER, _CALLS_A_START if again else _CALLS_A_STEP)
                if again:
                    self.shard.restart()
                work(again)
            except Died:
                assert self.death is not None
                self._leave_the_dead()
                self.death.revive()
                again += 1
                self.redeliveries += 1
            else:
                return

    def _leave_the_dead(self) -> None:
        """What a dead process had open is gone already: its exits have nobody to talk to."""
        try:
            self.shard.end()
        except Died:
            self.shard.end()

    def _deliver(self) -> None:
        while self.shard.rows("SELECT 1 FROM outbox WHERE state = 'owed' LIMIT 1"):
            if self.death is not None:
                self.death.due(DISPATCHER, _CALLS_A_STEP)
            died = self._dispatch_until_idle()
            if died and self.death is not None:
                self.death.revive()
                # The leases of the dead have run out by the time that somebody takes over.
                self.shard.ask.execute("UPDATE outbox SET lease_until = now() WHERE lease_until > now()")

    def _dispatch_until_idle(self) -> bool:
        """Whether it died of it."""
        dispatcher = Dispatcher(self.shard.database, settings(self.shard.database, delivery_workers=2))
        stop, died = threading.Event(), threading.Event()

        def run() -> None:
            try:
                dispatcher.run(stop)
            except Died:
                died.set()

        thread = threading.Thread(target=run, name="dispatch")
        thread.start()
        while not died.is_set() and self.shard.rows("SELECT 1 FROM outbox WHERE state = 'owed' LIMIT 1"):
            died.wait(0.005)
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        dispatcher._lanes.stop(5)
        dispatcher._line.close()
        return died.is_set()

    def record(self, received: list[Request]) -> Record:
        record = Record()
        by_key = {}
        for row in self.shard.rows(
            "SELECT o.idempotency_key, d.device_id, al.rule_id, s.name, o.episode, o.transition_no, o.notice,"
            " o.severity, o.state FROM outbox o JOIN sinks s USING (sink_key) JOIN alarms al USING (alarm_key)"
            " JOIN devices d USING (device_key)"
        ):
            assert row["state"] == "delivered", row
            by_key[row["idempotency_key"]] = row
        seen: set[str] = set()
        for request in received:
            if request.push_id in seen:
                continue
            seen.add(request.push_id)
            row = by_key[request.push_id]
            record.told[row["device_id"], row["rule_id"], row["name"]].append(
                (row["episode"], row["transition_no"], row["notice"], row["severity"])
            )
        assert seen == by_key.keys()
        for row in self.shard.rows(
            "SELECT d.device_id, al.rule_id, t.* FROM transitions t JOIN alarms al USING (alarm_key)"
            " JOIN devices d USING (device_key) ORDER BY t.alarm_key, t.transition_no"
        ):
            record.transitions[row["device_id"], row["rule_id"]].append(tuple(row[name] for name in _COMPARED))
        record.episodes = {
            tuple(row.values())
            for row in self.shard.rows(
                "SELECT d.device_id, al.rule_id, e.episode, e.raised_at, e.cleared_at, e.severity, e.worst_severity,"
                " e.condition, e.human, e.clear_reason, e.withheld, al.suppressed::text"
                " FROM episodes e JOIN alarms al USING (alarm_key) JOIN devices d USING (device_key)"
            )
        }
        return record


_COMPARED = ("transition_no", "episode", "region", "from_state", "to_state", "severity", "reason", "event_at")


@contextmanager
def lived(database: str, steps: list[Step], death: Death | None, draw: random.Random) -> Iterator[tuple[Life, Record]]:
    with Receiver() as receiver, shard_of(database) as shard:
        shard.ask.execute(
            "INSERT INTO sinks (name, channel, audience, config) VALUES"
            " ('platform', 'webhook', 'platform', jsonb_build_object('url', %s::text))",
            [receiver.url],
        )
        # What is told as one in a storm depends on when the clock says that it happened, and so on the machine.
        shard.ask.execute(
            "INSERT INTO rules (rule_id, scope, version, body, withdrawn, created_by)"
            " SELECT rule_id, scope, version + 1, body, true, 'a test' FROM rules WHERE rule_id = 'storm.incident'"
        )
        shard.restart()
        life = Life(shard, death, draw)
        life.play(steps)
        yield life, life.record(list(receiver.requests))


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("deaths", [20, pytest.param(1000, marks=pytest.mark.long)])
def test_killed_at_random_points(database: str, monkeypatch: pytest.MonkeyPatch, deaths: int) -> None:
    steps = script(seed=deaths, steps=deaths * 3)
    draw = random.Random(deaths)
    with lived(database, steps, None, draw) as (_, undisturbed):
        pass
    with mortal(monkeypatch, draw) as death, lived(database, steps, death, draw) as (life, disturbed):
        assert death.times >= deaths
        assert life.redeliveries > deaths // 3
    assert len(undisturbed.episodes) >= deaths // 5
    assert any(told for told in undisturbed.told.values())
    assert disturbed.episodes == undisturbed.episodes
    assert disturbed.transitions == undisturbed.transitions
    assert disturbed.told == undisturbed.told
    for notices in disturbed.told.values():
        numbers = [number for _, number, *_ in notices]
        assert numbers == sorted(numbers), "in their order"
