"""Settled: up to which of a table's numbers nothing new can come up any more.

A number is taken before its transaction commits, so a row may come up below one that is there already. Whoever
inserts holds a lock on the table from before the number is taken until after the commit. So: note the newest row; note
who holds that lock then; when all of these are done, whatever is not there up to that row will never be. Whoever comes
later has a higher number.
"""

from __future__ import annotations

from dataclasses import dataclass

from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_PREPARED = "-1/"
"""How PostgreSQL names a prepared transaction; it had another name while it was written."""


@dataclass(frozen=True, slots=True)
class _Settling:
    """Up to row `upto` nothing new comes once these transactions are over."""

    upto: int
    writers: frozenset[str]


class Settled:
    """`newest`, `writers`: the statements that say a table's newest number, and who may be writing to it. What it
    remembers between two calls only saves it from waiting anew."""

    def __init__(self, newest: str, writers: str) -> None:
        self._newest = newest
        self._writers = writers
        self._settling: _Settling | None = None

    def upto(self, connection: Connection, after: int) -> int | None:
        """In the caller's transaction (read committed). None: nothing is after `after`, or it is not known yet."""
        if self._settling is None or self._settling.upto <= after:
            [(newest,)] = connection.execute(statement(self._newest)).fetchall()
            if newest is None or newest <= after:
                return None
            # In this order: who has a number up to the newest, and is not done, holds the lock by now.
            self._settling = _Settling(newest, self._at_work(connection))
            waiting = bool(self._settling.writers)
        else:
            known = self._settling.writers
            waiting = bool(known) and any(
                writer in known or writer.startswith(_PREPARED) for writer in self._at_work(connection)
            )
        return None if waiting else self._settling.upto

    def _at_work(self, connection: Connection) -> frozenset[str]:
        return frozenset(name for (name,) in connection.execute(statement(self._writers)))
