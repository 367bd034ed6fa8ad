"""Lanes: a bounded pool of workers that many sinks share, so that none can occupy it.

Each sink has a lane of claimed deliveries. A worker takes from the lanes in turn. A lane runs at most its share at
once, and a share is left for a newcomer; lanes that are failing or slow run at most half of the workers together.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from alerts.channels.interface import Outcome, Retry, SinkFailure
from alerts.deliver.breaker import OPENS_AFTER
from alerts.deliver.budget import Budget

log = logging.getLogger(__name__)

SLOW_S = 1.0
CLAIM_AT_MOST = 100
CLAIM_FOR_S = 0.5
"""As much work is claimed for a lane as it does in this time: what is claimed and waits is late if we die."""


@dataclass(frozen=True)
class Job:
    """One message; `send` makes one attempt. Not begun after `begin_by` (monotonic), for its lease. It takes a slot of
    `budget`."""

    lane: int
    key: int
    begin_by: float
    send: Callable[[], Outcome]
    budget: Budget | None = None


@dataclass(frozen=True)
class Done:
    """What became of a job; no outcome: it was not begun."""

    job: Job
    outcome: Outcome | None


@dataclass
class _Lane:
    failing: bool = False
    failed_in_row: int = 0
    waiting: deque[Job] = field(default_factory=deque)
    running: dict[int, float] = field(default_factory=dict)
    usual_s: float = 0.05

    def slow(self, now: float) -> bool:
        return self.usual_s > SLOW_S or any(now - since > SLOW_S for since in self.running.values())

    def suspect(self, now: float) -> bool:
        return self.failing or self.slow(now)


class Lanes:
    """Start with `start()`; `submit` claimed jobs, `take` what is done."""

    def __init__(self, workers: int, wake: Callable[[], None]) -> None:
        self._workers = workers
        self._wake = wake
        self._lanes: dict[int, _Lane] = {}
        self._turn: deque[int] = deque()
        self._done: list[Done] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._work, name=f"delivery-{n}", daemon=True) for n in range(workers)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def room(self, lane_key: int, *, failing: bool) -> int:
        """How many more messages a sink's lane takes now."""
        now = time.monotonic()
        with self._changed:
            lane = self._lanes.get(lane_key)
            if lane is None:
                lane = self._lanes[lane_key] = _Lane()
                self._turn.append(lane_key)
            lane.failing, lane.failed_in_row = failing, 0
            here = len(lane.waiting) + len(lane.running)
            if failing:
                return max(0, 1 - here)
            share = self._share(lane)
            if lane.slow(now):
                return max(0, share - here)
            wanted = min(max(2 * share, int(CLAIM_FOR_S * share / lane.usual_s)), CLAIM_AT_MOST)
            if len(lane.waiting) > wanted // 2:
                return 0  # few large claims, not many small ones
            return max(0, wanted - len(lane.waiting))

    def submit(self, jobs: list[Job]) -> None:
        with self._changed:
            for job in jobs:
                if job.budget is not None:
                    job.budget.promise()
                self._lanes[job.lane].waiting.append(job)
            self._changed.notify(len(jobs))

    def take(self) -> list[Done]:
        with self._changed:
            done, self._done = self._done, []
            return done

    def withdraw(self, lane_key: int | None = None) -> list[Job]:
        """Take back what has not begun, of one lane or of all."""
        with self._changed:
            lanes = self._lanes.values() if lane_key is None else [self._lanes[lane_key]]
            jobs = [job for lane in lanes for job in lane.waiting]
            for lane in lanes:
                lane.waiting.clear()
            for job in jobs:
                if job.budget is not None:
                    job.budget.withdraw()
            return jobs

    def in_flight(self) -> int:
        with self._changed:
            return sum(len(lane.running) for lane in self._lanes.values())

    def stop(self, timeout_s: float) -> bool:
        """Begin nothing more and wait for what is under way. Whether all of it ended in time."""
        until = time.monotonic() + timeout_s
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    # the workers ------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        job = self._next()
        while job is not None:
            begun = time.monotonic()
            try:
                outcome = job.send()
            except Exception as error:
                # A fault of ours, not of the sink: the delivery stays owed, and the log has the traceback.
                log.exception("delivery %d could not be attempted", job.key)
                outcome = Retry(f"{type(error).__name__}: {error}", against_sink=False, maybe_received=True)
            job = self._next((job, outcome, begun))

    def _next(self, finished: tuple[Job, Outcome, float] | None = None) -> Job | None:
        with self._changed:
            if finished is not None:
                self._finish(*finished)
            while not self._stopping:
                job = self._pick(time.monotonic())
                if job is not None:
                    if finished is not None and job.lane != finished[0].lane:
                        self._changed.notify()  # the share that is free now is another worker's
                    return job
                finished = None
                # Woken by new work or a free share; the time-out, for slowness.
                self._changed.wait(1.0)
            return None

    def _finish(self, job: Job, outcome: Outcome, begun: float) -> None:
        lane = self._lanes[job.lane]
        del lane.running[job.key]
        lane.failed_in_row = lane.failed_in_row + 1 if _against_sink(outcome) else 0
        lane.usual_s += 0.2 * (time.monotonic() - begun - lane.usual_s)
        self._done.append(Done(job, outcome))
        self._wake()

    def _pick(self, now: float) -> Job | None:
        suspects = sum(len(lane.running) for lane in self._lanes.values() if lane.suspect(now))
        for _ in range(len(self._turn)):
            key = self._turn[0]
            self._turn.rotate(-1)
            lane = self._lanes[key]
            self._set_aside_overdue(lane, now)
            if not lane.waiting or len(lane.running) >= self._share(lane):
                continue
            if lane.failed_in_row >= OPENS_AFTER:
                continue  # the breaker is about to open; what is claimed will be taken back
            if lane.suspect(now) and suspects >= max(1, self._workers // 2):
                continue
            job = lane.waiting.popleft()
            lane.running[job.key] = now
            if job.budget is not None:
                job.budget.start(now)
            return job
        return None

    def _set_aside_overdue(self, lane: _Lane, now: float) -> None:
        while lane.waiting and lane.waiting[0].begin_by < now:
            job = lane.waiting.popleft()
            if job.budget is not None:
                job.budget.withdraw()
            self._done.append(Done(job, None))
            self._wake()

    def _share(self, lane: _Lane) -> int:
        if lane.failing:
            return 1
        busy = sum(1 for other in self._lanes.values() if other.waiting or other.running)
        busy += 0 if lane.waiting or lane.running else 1
        return max(1, math.ceil(self._workers / (busy + 1)))


def _against_sink(outcome: Outcome) -> bool:
    return isinstance(outcome, SinkFailure) or (isinstance(outcome, Retry) and outcome.against_sink)
