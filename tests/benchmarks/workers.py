"""What a second worker brings, where a city has several shards."""

from __future__ import annotations

from contextlib import ExitStack

from tests.benchmarks.figures import Figure, median
from tests.benchmarks.rig import Rig, last_commit, rig, stored, underfoot, wait_for, wait_until_ready

DEVICES = 20_000
REPORTS = 80_000
REPEATS = 3


def figures() -> list[Figure]:
    alone, together = [], []
    with rig(DEVICES) as made:
        made.call("shards", "split")
        for repeat in range(REPEATS):
            alone.append(_rate(made, 1, repeat))
            together.append(_rate(made, 2, 100 + repeat))
    return [Figure("ingest.workers_2_vs_1", median(together), "reports/s", "one_worker", median(alone))]


def _rate(made: Rig, workers: int, seed: int) -> float:
    """Reports/s from publish to commit, the shards divided among so many processes."""
    made.restart_broker()
    before = stored(made)
    with ExitStack() as running:
        for number in range(workers):
            running.enter_context(made.run(underfoot(), "ingest", log=f"worker-{number}"))
        wait_until_ready(made, workers=workers)
        began: float = made.load(REPORTS, seed, devices=DEVICES)["began_at"]
        wait_for(lambda: stored(made) - before >= REPORTS, 300, "all reports stored")
        took = last_commit(made) - began
    assert stored(made) - before == REPORTS
    return REPORTS / took
