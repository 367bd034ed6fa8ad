"""Re-alarm: what was acknowledged and is there still is shown as unacknowledged again. A step of the city's engine.

A rule says after how many minutes (`realarm_min`); else the setting says it, by severity. What is suppressed is not
reminded of: somebody has said until when. Nobody is sent a notice by this; the operators' list and escalation go by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from alerts.record.locked import ENGINE
from alerts.regions.actions import change_human
from alerts.regions.human import Change, Seen, realarm
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_TOGETHER = 500
"""More wait for the next tick, so that no transaction holds too many alarms."""


def step(connection: Connection, now: datetime, defaults_min: Sequence[int]) -> None:
    """Take back acknowledgements that are too old. `defaults_min`: after how many minutes, 蓝 黄 橙 红; 0: never."""
    params = {"now": now, "defaults_min": list(defaults_min), "most": _TOGETHER}
    by_wait: dict[int, list[int]] = {}
    for episode_key, after_min in connection.execute(statement("human.waiting_too_long"), params):
        by_wait.setdefault(after_min, []).append(episode_key)
    for after_min, episode_keys in by_wait.items():
        decide = partial(_reminded_of, timedelta(minutes=after_min), now)
        change_human(connection, episode_keys, ENGINE, now, decide)


def _reminded_of(after: timedelta, now: datetime, seen: Seen, is_open: bool) -> Change | None:
    return realarm(seen, is_open=is_open, after=after, now=now)
