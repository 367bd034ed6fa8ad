"""Due: clocks that have run out are marked, once each, as a step of the case that can be told. A step of the city."""

from __future__ import annotations

from datetime import datetime

from alerts.cases.events import Overdue
from alerts.cases.record import Happened, apply_all
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_TOGETHER = 500


def step(connection: Connection, now: datetime) -> None:
    """One tick. What is more than this waits for the next one."""
    rows = connection.execute(statement("cases.run_out"), {"now": now, "limit": _TOGETHER}).fetchall()
    happened = [Happened(case_key, Overdue(clock), by) for case_key, clock, by in rows]
    apply_all(connection, happened, actor="engine", cause="engine")
