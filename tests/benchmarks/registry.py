"""What a million registered devices cost: at the start, in memory, with each report; and a start with alarms open."""

from __future__ import annotations

import time
from typing import NamedTuple

from tests.benchmarks.alerts import publish_open
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.rig import Rig, rig, stored, underfoot, wait_for, wait_until_ready

MANY = 1_000_000
FEW = 1_000
REPORTS = 60_000
HEARD = 50_000
"""So many of the many report, each for the first time in a process or again, as in a city's worst minute."""
OPEN = 10_000
REPEATS = 3


class _Cost(NamedTuple):
    ready_s: float
    rss_mb: float
    cpu_us: float


def figures() -> list[Figure]:
    few, _ = _costs(FEW)
    many, restart_s = _costs(MANY)
    return [
        Figure("ingest.ready_1m_devices_s", many.ready_s, "s", "ready_1k_devices_s", few.ready_s),
        Figure("ingest.rss_1m_devices_mb", many.rss_mb, "MB", "rss_1k_devices_mb", few.rss_mb),
        Figure("ingest.cost_1m_vs_1k_devices", many.cpu_us, "µs", "cost_1k_devices_us", few.cpu_us),
        Figure("alerts.restart_1m_s", restart_s, "s", "ready_1m_devices_s", many.ready_s),
    ]


def _costs(devices: int) -> tuple[_Cost, float]:
    """And the seconds from a start of ingest and alerts until both work again, with many alarms open."""
    with rig(devices) as made:
        heard = min(devices, HEARD)
        runs = [_cost(made, heard, repeat) for repeat in range(REPEATS + 1)][1:]
        _open_alarms(made)
        restart_s = median([_restart_s(made) for _ in range(REPEATS)])
    return _Cost(*(median(values) for values in zip(*runs, strict=True))), restart_s


def _open_alarms(made: Rig) -> None:
    """Covers are opened, as covers are: by their reports."""
    made.restart_broker()
    with made.connect() as connection:
        covers = connection.execute(
            "SELECT district, device_id FROM devices WHERE family = 'cover' ORDER BY device_key DESC LIMIT %s", [OPEN]
        ).fetchall()
    with made.run(underfoot(), "ingest", log="ingest"):
        wait_until_ready(made)
        publish_open(made, [(row[0], row[1]) for row in covers])
        wait_for(lambda: made.value(_OPEN_NOW) == len(covers), 120, "every opened cover an open alarm")


_OPEN_NOW = (
    "SELECT count(*) FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'cover.open' AND cleared_at IS NULL"
)


def _restart_s(made: Rig) -> float:
    made.restart_broker()
    began = time.monotonic()
    with made.run(underfoot(), "ingest", log="ingest"), made.run(underfoot(), "alerts", log="alerts"):
        wait_until_ready(made)
        wait_for(lambda: bool(made.value(_ALERTS_WORK)), 60, "alerts at work")
        return time.monotonic() - began


_ALERTS_WORK = (
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'underfoot-dispatch'"
    " AND datname = current_database() AND query <> ''"
)


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
