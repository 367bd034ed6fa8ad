"""The verdict after a fault, the same for every fault: the books balance to the last report, the alarms are right,
memory stayed bounded, nobody was called offline for our own outage, and nobody had to help.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.system import evidence
from tests.system.city import City
from tests.system.fleet import STEADY, Fleet
from tests.system.platform import SINK

INGEST_MB, ALERTS_MB = 220, 160
"""Twice what they occupy with a ledger this small and nothing to do."""


def peak_mb(pid: int) -> int:
    """The most memory that the process has ever occupied."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None, f"process {pid} has no memory any more"
    return int(found[1]) // 1024


class Endures:
    """A process that lives through the fault, and never occupies more than that."""

    def __init__(self, process: subprocess.Popen[str], allowed_mb: int) -> None:
        self._process = process
        self._allowed_mb = allowed_mb

    def check(self) -> None:
        assert self._process.poll() is None, f"it ended, with {self._process.returncode}: somebody would have to help"
        assert peak_mb(self._process.pid) <= self._allowed_mb


def silence_is_noticed(
    city: City, interval_s: int, devices: Sequence[str] = STEADY, *, heard_of: bool = False
) -> subprocess.Popen[str]:
    """Start `alerts`, which from now on calls these covers offline after 1.5 times `interval_s` of silence: longer than
    they ever are silent, as long as the fleet can send. `heard_of`: they have reported already."""
    if not heard_of:
        city.do("UPDATE devices SET created_at = now()")
    city.do(
        "UPDATE devices SET expected_interval_s = %s, updated_at = clock_timestamp() WHERE device_id = ANY(%s)",
        interval_s,
        list(devices),
    )
    city.do("NOTIFY underfoot_registry")
    city.installation.environment |= {"UNDERFOOT_TIMER_INTERVAL_S": "0.1"}
    return city.start("alerts")


def all_is_well(
    city: City,
    fleet: Fleet,
    *,
    endures: Sequence[Endures] = (),
    resent: bool = False,
    in_order: bool = True,
    clock_ahead_s: float = 0,
    sink: str = SINK,
) -> dict[str, int]:
    """`resent`: the fleet itself had to send messages again, so that some really came twice. `in_order`: False where
    the broker may give its messages in another order; the alarms are the same in the end. `clock_ahead_s`: of
    the city's own clock. Returns the books."""
    city.caught_up(time.time() + clock_ahead_s, seconds=180)
    evidence.everything_is_kept(city, fleet.sent, resent=resent)
    books = evidence.the_books_balance(city, fleet.sent, resent=resent)
    if in_order:
        evidence.the_alarms_are_right(city, fleet.sent)
    evidence.the_final_alarms_are_right(city, fleet.sent)
    evidence.the_record_is_whole(city)
    assert evidence.everything_is_owed(city, sink) > 10
    evidence.nobody_was_called_offline(city, fleet.sent)
    for process in endures:
        process.check()
    return books
