"""Verify: walk rows and seals side by side, in bounded memory, to the first thing that is not as it was sealed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg import IsolationLevel, ServerCursor

from underfoot.audit.chain import BEGINNING, Entry, Head, Seal, link
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

UNSEALED_AT_MOST = timedelta(minutes=15)
"""The sealer comes by every few seconds. A row that waits longer was held up, or nobody seals."""

_ROWS_AT_ONCE = 2000
_LAST = 2**63 - 1

Kind = Literal["changed", "missing", "inserted", "cut", "unsealed", "head"]


@dataclass(frozen=True, slots=True)
class Broken:
    """The first link that does not hold, and what that means."""

    audit_key: int
    kind: Kind
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`sealed` rows held, up to `head`; `unsealed` ones wait for the sealer."""

    sealed: int
    unsealed: int
    head: Head | None
    broken: Broken | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the chain: from one row's number to another's, both included."""

    first: int = 1
    last: int = _LAST

    @property
    def params(self) -> dict[str, int]:
        return {"first": self.first, "last": self.last}


def stretch_of(connection: Connection, since: datetime | None, until: datetime | None) -> Stretch:
    """From the first act since a time to the last one before another. Empty where there is none."""
    first, last = 1, _LAST
    if since is not None:
        row = connection.execute(statement("audit.first_since"), {"since": since}).fetchone()
        first = row[0] if row is not None else _LAST
    if until is not None:
        row = connection.execute(statement("audit.last_until"), {"until": until}).fetchone()
        last = row[0] if row is not None else 0
    return Stretch(first, last)


@contextmanager
def one_view(connection: Connection) -> Iterator[None]:
    """All that is read within is of one moment."""
    connection.rollback()
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        yield
    finally:
        connection.rollback()
        connection.isolation_level = None
        connection.read_only = None


def verify(
    connection: Connection,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    noted: Head | None = None,
) -> Verdict:
    """`noted`: a head from elsewhere; it must be in the chain still. The caller's transaction, if any, is ended."""
    with one_view(connection):
        stretch = stretch_of(connection, since, until)
        verdict = _walk(connection, stretch, now)
        if noted is not None and verdict.broken is None:
            verdict = Verdict(verdict.sealed, verdict.unsealed, verdict.head, _compare(connection, noted))
    return verdict


def _compare(connection: Connection, noted: Head) -> Broken | None:
    row = connection.execute(statement("audit.seal_of"), {"audit_key": noted.audit_key}).fetchone()
    if row is None:
        return Broken(noted.audit_key, "head", "was sealed when its head was noted, and is gone: the end was cut off")
    if row[0] != noted.hash:
        return Broken(noted.audit_key, "head", "has another seal than was noted: the chain was written anew")
    return None


def _walk(connection: Connection, stretch: Stretch, now: datetime) -> Verdict:
    before = connection.execute(statement("audit.seal_before"), {"first": stretch.first}).fetchone()
    walk = _Walk(Head(*before) if before is not None else Head(0, BEGINNING))
    with _cursor(connection, "rows", stretch) as rows, _cursor(connection, "seals", stretch) as seals:
        broken = walk.along((Entry(*row) for row in rows), (Seal(*seal) for seal in seals), _newest_seal(connection))
    if broken is None and walk.unsealed:
        params = stretch.params | {"before": now - UNSEALED_AT_MOST}
        late = connection.execute(statement("audit.waiting_too_long"), params).fetchone()
        broken = _unsealed(*late) if late is not None else None
    return Verdict(walk.sealed, walk.unsealed, walk.head if walk.head.audit_key else None, broken)


@dataclass
class _Walk:
    """How far the chain holds."""

    head: Head
    sealed: int = 0
    unsealed: int = 0

    def along(self, rows: Iterator[Entry], seals: Iterator[Seal], newest: int) -> Broken | None:
        row = next(rows, None)
        for seal in seals:
            broken = self._one(row, seal)
            if broken is not None:
                return broken
            self.head = Head(seal.audit_key, seal.hash)
            self.sealed += 1
            row = next(rows, None)
        while row is not None:
            if row.audit_key < newest:
                return _inserted(row, self.head)
            self.unsealed += 1
            row = next(rows, None)
        return None

    def _one(self, row: Entry | None, seal: Seal) -> Broken | None:
        if row is not None and row.audit_key < seal.audit_key:
            return _inserted(row, self.head)
        if seal.previous != self.head.hash:
            return _cut(seal, self.head)
        if row is None or row.audit_key > seal.audit_key:
            return Broken(seal.audit_key, "missing", f"was sealed at {seal.sealed_at}, and is gone")
        if link(seal.previous, row, seal.sealed_at) != seal.hash:
            message = f"is not what was sealed at {seal.sealed_at}: the row, or its seal, was changed"
            return Broken(seal.audit_key, "changed", message)
        return None


def _inserted(row: Entry, head: Head) -> Broken:
    message = f"has no seal, though later rows have: it was put in afterwards, or its seal taken away (after {head})"
    return Broken(row.audit_key, "inserted", message)


def _cut(seal: Seal, head: Head) -> Broken:
    after = f"row {head.audit_key}" if head.audit_key else "the beginning"
    return Broken(seal.audit_key, "cut", f"does not follow {after}: what was sealed between them is gone")


def _unsealed(audit_key: int, at: str) -> Broken:
    minutes = UNSEALED_AT_MOST // timedelta(minutes=1)
    message = (
        f"of {at} is not sealed after {minutes} min: is `underfoot alerts` running? Or is a transaction open,"
        " or a large backlog being sealed?"
    )
    return Broken(audit_key, "unsealed", message)


def _newest_seal(connection: Connection) -> int:
    row = connection.execute(statement("audit.newest_seal")).fetchone()
    return row[0] if row is not None else 0


@contextmanager
def _cursor(
    connection: Connection, what: Literal["rows", "seals"], stretch: Stretch
) -> Iterator[ServerCursor[tuple[Any, ...]]]:
    """Of the server's: never more than a few thousand rows are here."""
    with connection.cursor(name=f"audit_{what}") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(statement(f"audit.walk_{what}"), stretch.params)
        yield cursor
