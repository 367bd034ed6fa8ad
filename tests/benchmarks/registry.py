"""What a million registered devices cost: at the start, in memory, and with each report."""

from __future__ import annotations

import time
from typing import NamedTuple

from tests.benchmarks.figures import Figure, median
from tests.benchmarks.rig import Rig, rig, stored, underfoot, wait_for, wait_until_ready

MANY = 1_000_000
FEW = 1_000
REPORTS = 60_000
HEARD = 50_000
"""So many of the many report, each for the first time in a process or again, as in a city's worst minute."""
REPEATS = 3


class _Cost(NamedTuple):
    ready_s: float
    rss_mb: float
    cpu_us: float


def figures() -> list[Figure]:
    few, many = _costs(FEW), _costs(MANY)
    return [
        Figure("ingest.ready_1m_devices_s", many.ready_s, "s", "ready_1k_devices_s", few.ready_s),
        Figure("ingest.rss_1m_devices_mb", many.rss_mb, "MB", "rss_1k_devices_mb", few.rss_mb),
        Figure("ingest.cost_1m_vs_1k_devices", many.cpu_us, "µs", "cost_1k_devices_us", few.cpu_us),
    ]


def _costs(devices: int) -> _Cost:
    with rig(devices) as made:
        heard = min(devices, HEARD)
        runs = [_cost(made, heard, repeat) for repeat in range(REPEATS + 1)][1:]
    return _Cost(*(median(values) for values in zip(*runs, strict=True)))


def _cost(made: Rig, heard: int, repeat: int) -> _Cost:
    """From the start of the process to its first probe's commit; its peak memory; CPU µs a report."""
    made.restart_broker()
    before = stored(made)
    began = time.monotonic()
    with made.run(underfoot(), "ingest", log="ingest") as watched:
        wait_until_ready(made)
        ready_s = time.monotonic() - began
        cpu_before = watched.cpu_s()
        made.load(REPORTS, repeat, devices=heard)
        wait_for(lambda: stored(made) - before >= REPORTS, 300, "all reports stored")
        cpu_us = (watched.cpu_s() - cpu_before) / REPORTS * 1e6
        return _Cost(ready_s, watched.peak_rss_mb(), cpu_us)
