"""Sealer: of an installation the one that chains audit rows, after the fact, so that nobody who acts waits for it.

Rows are chained in the order of their numbers. A number is taken before its transaction commits, so a row may come up
below one that is there already. Nothing is sealed past a number that may still come: whoever inserts holds a lock on
the table from before the number is taken until after the commit. So: note the newest row; note who holds that lock
then; when all of these are done, whatever is not there up to that row will never be. Whoever comes later has a higher
number. A transaction that stays open holds up the chain, and nobody else.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from underfoot.audit.chain import BEGINNING, Entry, Head, link
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

A_TICK = 10_000
"""Rows: what a tick takes of a backlog."""

_PREPARED = "-1/"
"""How PostgreSQL names a prepared transaction; it had another name while it was written."""
_TOLD_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Settling:
    """Up to row `upto` nothing new comes once these transactions are over."""

    upto: int
    writers: frozenset[str]


class Sealer:
    """A step of the city thread. What it remembers between ticks only saves it from waiting anew."""

    def __init__(self, at_most: int = A_TICK) -> None:
        self._at_most = at_most
        self._settling: _Settling | None = None
        self._told_at: datetime | None = None

    def __call__(self, connection: Connection, now: datetime) -> None:
        self.seal(connection, now)

    def seal(self, connection: Connection, now: datetime) -> int:
        """Go on with the chain, in the caller's transaction (read committed). Returns how many rows were sealed."""
        row = connection.execute(statement("audit.newest_seal")).fetchone()
        head = Head(*row) if row is not None else Head(0, BEGINNING)
        upto = self._settled(connection, head)
        if upto is None:
            return 0
        params = {"after": head.audit_key, "upto": upto, "limit": self._at_most}
        entries = [Entry(*one) for one in connection.execute(statement("audit.to_seal"), params)]
        if not entries:
            return 0
        hashes = [head.hash]
        sealed_at = in_form(now)
        for entry in entries:
            hashes.append(link(hashes[-1], entry, sealed_at))
        keys = [entry.audit_key for entry in entries]
        seals = {"sealed_at": now, "keys": keys, "previous": hashes[:-1], "hashes": hashes[1:]}
        connection.execute(statement("audit.add_seals"), seals)
        self._tell(Head(keys[-1], hashes[-1]), now)
        return len(entries)

    def _settled(self, connection: Connection, head: Head) -> int | None:
        """Up to which row nothing new can come any more; None: there is nothing, or it is not known yet."""
        if self._settling is None or self._settling.upto <= head.audit_key:
            [(newest,)] = connection.execute(statement("audit.newest_row")).fetchall()
            if newest is None or newest <= head.audit_key:
                return None
            # In this order: who has a number up to the newest, and is not done, holds the lock by now.
            self._settling = _Settling(newest, self._writers(connection))
            waiting = bool(self._settling.writers)
        else:
            known = self._settling.writers
            waiting = bool(known) and any(
                writer in known or writer.startswith(_PREPARED) for writer in self._writers(connection)
            )
        return None if waiting else self._settling.upto

    @staticmethod
    def _writers(connection: Connection) -> frozenset[str]:
        return frozenset(name for (name,) in connection.execute(statement("audit.writers")))

    def _tell(self, head: Head, now: datetime) -> None:
        """The process's log is elsewhere: what it names can't be taken out of the database unseen."""
        if self._told_at is None or now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            log.info("audit: the head of the chain is %s", head)


def in_form(moment: datetime) -> str:
    """As PostgreSQL writes a time in JSON: UTC, no needless zeros."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"
