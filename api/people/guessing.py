"""Guessing: each failed log-in makes the next one wait longer, by account and by address, up to a quarter of an hour.

Nobody is shut out for good, nor by somebody else: from an address from which a person has logged in lately, only
failures from there count, so that guessing at an account from elsewhere does not stop its owner at their desk. A try is
counted, and committed, before it is judged: many at once get no more tries than one after the other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address

from api.rows import fetch_one, run
from underfoot.storage.connect import Connection

FORGOTTEN = timedelta(hours=24)
LATELY = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    free: int
    longest: timedelta


# From the failure number `free` on one waits 1 s, and each time twice as long.
ACCOUNT = _Kind("account", 5, timedelta(minutes=15))
KNOWN = _Kind("known", 10, timedelta(minutes=1))
ADDRESS = _Kind("address", 20, timedelta(minutes=15))


class MustWaitError(Exception):
    """Too many failed tries; says how long to wait."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"wait {wait_s:.0f} s")
        self.wait_s = max(1, round(wait_s + 0.5))


def network_of(address: str) -> str:
    """What one guesser has: an IPv4 address, or a whole /64 of IPv6."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found)


class Attempt:
    """One try to log in as `name` from `address`. Known or not, the name is treated alike."""

    def __init__(self, connection: Connection, name: str, person_key: int | None, address: str) -> None:
        account, network = name.casefold(), network_of(address)
        known = False
        if person_key is not None:
            params = {"person_key": person_key, "address": address, "lately": LATELY}
            row = fetch_one(connection, "sessions.known_here", params)
            known = row is not None and bool(row["known"])
        self._connection = connection
        self._address = _digest(network)
        self._kind = KNOWN if known else ACCOUNT
        self._account = _digest(f"{account}\n{network}" if known else account)

    def count(self) -> None:
        """Count it. Raises MustWaitError, and then counts nothing."""
        with self._connection.transaction():
            self._count(self._kind, self._account)
            self._count(ADDRESS, self._address)

    def _count(self, kind: _Kind, subject: bytes) -> None:
        params = {
            "kind": kind.name,
            "subject": subject,
            "free": kind.free,
            "longest": kind.longest,
            "forgotten": FORGOTTEN,
        }
        if fetch_one(self._connection, "sessions.guess", params) is None:
            row = fetch_one(self._connection, "sessions.waiting", {"kind": kind.name, "subject": subject})
            raise MustWaitError(row["wait_s"] if row is not None else 1)

    def was_right(self) -> None:
        """It was no guess. What an address has guessed at other accounts stays counted."""
        run(self._connection, "sessions.guessed_right", {"kind": self._kind.name, "subject": self._account})
        run(self._connection, "sessions.uncount", {"subject": self._address})


def _digest(subject: str) -> bytes:
    return hashlib.sha256(subject.encode()).digest()
