"""API keys: a 256-bit random secret that is shown once; only its SHA-256 is kept, and found again by it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import psycopg
from pydantic import BaseModel, Field

from api.parameters import Instant
from api.people import rights
from api.people.rights import RightsError
from api.people.secrets import Kind, digest, new
from api.roles import Role
from api.rows import audit, fetch_all, fetch_one
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection


class ApiKey(BaseModel):
    """A key, without its secret."""

    name: str = Field(examples=["control-room"])
    role: Role
    areas: list[str] | None = Field(None, description="Subtrees of areas; null: the whole city", examples=[["410502"]])
    units: list[str] | None = Field(None, description="养护单位; null: every one", examples=[None])
    created_at: Instant
    expires_at: Instant | None = Field(None, description="Since then it opens nothing; null: until it is revoked")
    revoked_at: Instant | None = Field(description="Since then it opens nothing", examples=[None])


class NewApiKey(ApiKey):
    secret: str = Field(description="Shown this once", examples=["uf_" + "x" * 43])


class KeyExistsError(Exception):
    """The name is taken; names are never used twice, so that the audit log stays readable."""


class UnknownKeyError(Exception):
    """No key has this name."""


def create(
    connection: Connection,
    name: str,
    role: Role,
    actor: str,
    *,
    areas: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    expires_at: datetime | None = None,
) -> NewApiKey:
    if expires_at is not None and expires_at <= CLOCK.now():
        raise RightsError("expires_at", expires_at.isoformat(), "must be in the future")
    rights.check(connection, role, areas, units)
    secret = new(Kind.key)
    params = {
        "name": name,
        "role": role.value,
        "areas": rights.settled(areas),
        "units": rights.settled(units),
        "expires_at": expires_at,
        "secret_hash": digest(secret),
    }
    try:
        with connection.transaction():
            row = fetch_one(connection, "api_keys.create_key", params)
    except psycopg.errors.UniqueViolation:
        raise KeyExistsError(f"there is a person named {name!r} already; an actor is a key or a person") from None
    if row is None:
        raise KeyExistsError(f"there is a key named {name!r} already; names are not used twice, revoked ones included")
    audit(
        connection,
        actor,
        "api_key.create",
        f"api_key:{name}",
        role=role.value,
        areas=row["areas"],
        units=row["units"],
        expires_at=expires_at.isoformat() if expires_at is not None else None,
    )
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
