"""Who calls: the holder of a key, or a person in a session; and the ring that remembers it for a moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from time import monotonic
from typing import Literal

from psycopg_pool import ConnectionPool

from api.people.secrets import Kind, digest, kind_of
from api.roles import Role
from api.rows import Row, fetch_all, fetch_one
from api.scope import Scope
from underfoot.storage.connect import Connection


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is the actor in the audit log. A person has their login name in `person`, and a session."""

    name: str
    role: Role
    scope: Scope = field(default_factory=Scope)
    kind: Literal["key", "person"] = "key"
    person: str | None = None
    session_key: int | None = None
    cookie: bool = False

    def once(self) -> Caller:
        """The same for one request, whose scope nobody has asked yet."""
        return replace(self, scope=self.scope.fresh())


def scope_of(connection: Connection, areas: Sequence[str] | None, units: Sequence[str] | None) -> Scope:
    """A scope with all that its areas mean in the ledger."""
    codes = None
    if areas is not None:
        codes = frozenset(row["code"] for row in fetch_all(connection, "people.codes_within", {"areas": list(areas)}))
    return Scope(None if areas is None else tuple(areas), None if units is None else tuple(units), codes)


class Ring:
    """Who a secret belongs to, remembered for a moment so that not every call asks the database.

    What was revoked, ended or changed counts for `REMEMBERED_S` more at most (5 s are promised). What opens nothing is
    not remembered.
    """

    REMEMBERED_S = 4.0
    AT_MOST = 10_000

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._lock = Lock()

    def remembered(self, secret: str) -> Caller | None:
        """The caller, if the database was asked a moment ago. Never blocks."""
        with self._lock:
            until, caller = self._known.get(digest(secret), (0.0, None))
        return caller if monotonic() < until else None

    def caller(self, secret: str) -> Caller | None:
        """The caller, from the database; None where the secret opens nothing."""
        kind, hashed, asked = kind_of(secret), digest(secret), monotonic()
        if kind is Kind.key:
            find, parameter = "api_keys.find_key", "secret_hash"
        elif kind is Kind.access:
            find, parameter = "sessions.find_access", "token_hash"
        else:
            return None
        with self._pool.connection() as connection:
            row = fetch_one(connection, find, {parameter: hashed})
            caller = _caller(connection, row) if row is not None else None
        with self._lock:
            if len(self._known) >= self.AT_MOST:
                self._known = {key: kept for key, kept in self._known.items() if kept[0] > asked}
            if caller is None:
                self._known.pop(hashed, None)
            else:
                self._known[hashed] = (asked + self.REMEMBERED_S, caller)
        return caller

    def forget_person(self, name: str) -> None:
        """Ask the database again at once, in this process: their sessions or rights are others now."""
        with self._lock:
            self._known = {key: kept for key, kept in self._known.items() if kept[1].person != name}


def _caller(connection: Connection, row: Row) -> Caller:
    scope, role = scope_of(connection, row["areas"], row["units"]), Role(row["role"])
    if "session_key" not in row:
        return Caller(row["name"], role, scope)
    return Caller(
        row["name"],
        role,
        scope,
        kind="person",
        person=row["name"],
        session_key=row["session_key"],
        cookie=row["kind"] == "cookie",
    )
