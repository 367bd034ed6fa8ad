"""What a flood of garbage does to the throughput of the reports among it."""

from __future__ import annotations

import json

from tests.benchmarks.figures import Figure, median
from tests.benchmarks.rig import Rig, last_commit, rig, stored, underfoot, wait_for, wait_until_ready

DEVICES = 20_000
REPORTS = 300_000
REPEATS = 3
GARBAGE = 0.5
"""Of all messages: as much again as there are reports."""


def figures() -> list[Figure]:
    clean, poisoned = [], []
    with rig(DEVICES) as made:
        for repeat in range(REPEATS):
            clean.append(_reports_per_s(made, 0.0, repeat))
            poisoned.append(_reports_per_s(made, GARBAGE, 100 + repeat))
    return [
        Figure("ingest.good_under_poison_vs_clean", median(poisoned), "reports/s", "without garbage", median(clean)),
    ]


def _reports_per_s(made: Rig, garbage: float, seed: int) -> float:
    """Good reports a second, from the first message to the commit of the last of them."""
    made.restart_broker()
    before = stored(made)
    with made.run(underfoot(), "ingest", log="ingest"):
        wait_until_ready(made)
        command = ["simulate", "load", "--ledger", str(made.ledger), "--devices", str(DEVICES), "--json"]
        command += ["--reports", str(REPORTS), "--garbage", str(garbage), "--seed", str(seed)]
        sent = json.loads(made.call(*command))
        assert sent["sent"] == REPORTS + sent["garbage"], sent
        wait_for(lambda: stored(made) - before >= REPORTS, 300, "all reports stored")
        took: float = last_commit(made) - sent["began_at"]
    assert stored(made) - before == REPORTS
    return REPORTS / took
