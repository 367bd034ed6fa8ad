"""Admission: who comes by a link. Secrets are remembered for a moment, so that guessing costs the database nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from time import monotonic

from psycopg_pool import ConnectionPool

from underfoot.links import Link, Secret, redeem, secrets
from underfoot.storage.connect import Connection

RATE_PER_S = 0.5
BURST = 40
"""How often one link may be opened: a page refreshes itself every 20 s, and a crew of some people may share it."""


class Admission:
    """A secret that was voided opens for `REMEMBERED_S` more at most."""

    REMEMBERED_S = 4.0

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool
        self._known: tuple[float, Sequence[Secret]] = (0.0, ())
        self._lock = Lock()

    def admit(self, token: str, now: datetime) -> Link:
        """Raises LinkError."""
        return redeem(self._secrets(), token, now)

    def _secrets(self) -> Sequence[Secret]:
        with self._lock:
            until, known = self._known
        if monotonic() < until:
            return known
        with self._pool.connection() as connection:
            known = secrets(connection)
        with self._lock:
            self._known = (monotonic() + self.REMEMBERED_S, known)
        return known
