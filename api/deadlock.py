"""Deadlocks: people and platforms act on alarms and cases that the engine holds too; the database may end ours."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg_pool import ConnectionPool

from underfoot.storage.connect import Connection

log = logging.getLogger("underfoot.api")

_TRIES = 3
_Done = TypeVar("_Done")


def again_after_deadlock(pool: ConnectionPool[Connection], what: str, act: Callable[[Connection], _Done]) -> _Done:
    """`act` in one transaction; again where the database resolved a deadlock with the engine at our cost."""
    for _ in range(_TRIES - 1):
        try:
            with pool.connection() as connection:
                return act(connection)
        except psycopg.errors.DeadlockDetected as error:
            log.warning("%s: again, since: %s", what, error)
    with pool.connection() as connection:
        return act(connection)
