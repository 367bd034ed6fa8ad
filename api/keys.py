"""API keys: a 256-bit random secret that is shown once; only its SHA-256 is kept, and found again by it."""

from __future__ import annotations

import hashlib
import re
import secrets
from threading import Lock
from time import monotonic

from psycopg_pool import ConnectionPool
from pydantic import BaseModel, Field

from api.parameters import Instant
from api.roles import Role
from api.rows import audit, fetch_all, fetch_one
from underfoot.storage.connect import Connection

_SECRET = re.compile(r"uf_[A-Za-z0-9_-]{43}", re.ASCII)


class Caller(BaseModel):
    """Whose key it is; the name is the actor in the audit log."""

    name: str
    role: Role


class ApiKey(BaseModel):
    """A key, without its secret."""

    name: str = Field(examples=["control-room"])
    role: Role
    created_at: Instant
    revoked_at: Instant | None = Field(description="Since then it opens nothing", examples=[None])


class NewApiKey(ApiKey):
    secret: str = Field(description="Shown this once", examples=["uf_" + "x" * 43])


class KeyExistsError(Exception):
    """The name is taken; names are never used twice, so that the audit log stays readable."""


class UnknownKeyError(Exception):
    """No key has this name."""


def create(connection: Connection, name: str, role: Role, actor: str) -> NewApiKey:
    secret = f"uf_{secrets.token_urlsafe(32)}"
    row = fetch_one(connection, "api_keys.create_key", {"name": name, "role": role.value, "secret_hash": _hash(secret)})
    if row is None:
        raise KeyExistsError(f"there is a key named {name!r} already; names are not used twice, revoked ones included")
    audit(connection, actor, "api_key.create", f"api_key:{name}", role=role.value)
    return NewApiKey(**row, secret=secret)


def revoke(connection: Connection, name: str, actor: str) -> ApiKey:
    """Revoke `name`; again is the same as once."""
    key = fetch_one(connection, "api_keys.lock_key", {"name": name})
    if key is None:
        raise UnknownKeyError(f"there is no key named {name!r}")
    if key["revoked_at"] is None:
        key = fetch_one(connection, "api_keys.revoke_key", {"name": name})
        audit(connection, actor, "api_key.revoke", f"api_key:{name}")
    return ApiKey.model_validate(key)


def listed(connection: Connection, after: str, limit: int) -> list[ApiKey]:
    rows = fetch_all(connection, "api_keys.list_keys", {"after": after, "limit": limit})
    return [ApiKey.model_validate(row) for row in rows]


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class KeyRing:
    """Who a secret belongs to, remembered for a moment so that not every call asks the database.

    A revoked key opens for `REMEMBERED_S` more at most (5 s are promised). What is not a key is not remembered.
    """

    REMEMBERED_S = 4.0

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._lock = Lock()

    def remembered(self, secret: str) -> Caller | None:
        """The caller, if the database was asked a moment ago. Never blocks."""
        with self._lock:
            until, caller = self._known.get(_hash(secret), (0.0, None))
        return caller if monotonic() < until else None

    def caller(self, secret: str) -> Caller | None:
        """The caller, from the database; None where the secret is no valid key's."""
        if not _SECRET.fullmatch(secret):
            return None
        hashed = _hash(secret)
        asked = monotonic()
        with self._pool.connection() as connection:
            row = fetch_one(connection, "api_keys.find_key", {"secret_hash": hashed})
        caller = Caller.model_validate(row) if row is not None else None
        with self._lock:
            if caller is None:
                self._known.pop(hashed, None)
            else:
                self._known[hashed] = (asked + self.REMEMBERED_S, caller)
        return caller
