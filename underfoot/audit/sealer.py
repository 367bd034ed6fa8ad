"""Sealer: of an installation the one that chains audit rows, after the fact, so that nobody who acts waits for it.

Rows are chained in the order of their numbers, up to where nothing new can come up any more
(underfoot/storage/settled.py). A transaction that stays open holds up the chain, and nobody else.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from underfoot.audit.chain import BEGINNING, Entry, Head, link
from underfoot.storage.connect import Connection
from underfoot.storage.settled import Settled
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

A_TICK = 10_000
"""Rows: what a tick takes of a backlog."""

_TOLD_EVERY = timedelta(hours=1)


class Sealer:
    """A step of the city thread. What it remembers between ticks only saves it from waiting anew."""

    def __init__(self, at_most: int = A_TICK) -> None:
        self._at_most = at_most
        self._settled = Settled("audit.newest_row", "audit.writers")
        self._told_at: datetime | None = None

    def __call__(self, connection: Connection, now: datetime) -> None:
        self.seal(connection, now)

    def seal(self, connection: Connection, now: datetime) -> int:
        """Go on with the chain, in the caller's transaction (read committed). Returns how many rows were sealed."""
        row = connection.execute(statement("audit.newest_seal")).fetchone()
        head = Head(*row) if row is not None else Head(0, BEGINNING)
        upto = self._settled.upto(connection, head.audit_key)
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

    def _tell(self, head: Head, now: datetime) -> None:
        """The process's log is elsewhere: what it names can't be taken out of the database unseen."""
        if self._told_at is None or now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            log.info("audit: the head of the chain is %s", head)


def in_form(moment: datetime) -> str:
    """As PostgreSQL writes a time in JSON: UTC, no needless zeros."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"
