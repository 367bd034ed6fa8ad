"""Accounts of people: who they are, what they may and where, and the one-time secrets with which they set passwords.

Each change enters the audit log in its transaction, and ends the sessions that it makes wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta

import psycopg
from pydantic import BaseModel, Field

from api.parameters import Instant
from api.people import passwords, rights
from api.people.rights import RightsError
from api.people.secrets import Kind, digest, new
from api.roles import Role
from api.rows import Row, audit, fetch_all, fetch_one, run
from underfoot.storage.connect import Connection

INVITATION_GOOD_FOR = timedelta(hours=72)
RESET_GOOD_FOR = timedelta(hours=24)
_NAME = re.compile(r"[\w.@-]{1,64}")


class NoSuchPersonError(Exception):
    """Nobody has this name."""


class PersonExistsError(Exception):
    """The name is taken, by a person or by a key; names are never used twice, so that the audit log stays readable."""


class RefusedError(Exception):
    """It cannot be done as things are; says why."""


class Person(BaseModel):
    """An account, without its secrets."""

    name: str = Field(description="What they log in with; the actor in the audit log", examples=["wangjianguo"])
    display_name: str = Field(description="姓名", examples=["王建国"])
    role: Role
    areas: list[str] | None = Field(description="Subtrees of areas; null: the whole city", examples=[["410502"]])
    units: list[str] | None = Field(description="养护单位; null: every one", examples=[None])
    provider: bool = Field(description="Logs in at the OIDC provider, not with a password")
    password_at: Instant | None = Field(description="Since when the password is as it is; null: none is set")
    disabled_at: Instant | None = Field(description="Since then the account opens nothing", examples=[None])
    created_at: Instant
    created_by: str = Field(examples=["cli:admin"])

    @classmethod
    def of(cls, row: Row) -> Person:
        return cls.model_validate(row | {"provider": row["issuer"] is not None})


class Invitation(BaseModel):
    """A one-time secret with which a person sets their password."""

    secret: str = Field(description="Shown this once", examples=["ui_" + "x" * 43])
    expires_at: Instant


def clean_name(name: str) -> str:
    """A login name in its one form. What else it is, nobody may be called."""
    text = unicodedata.normalize("NFKC", name)
    if not _NAME.fullmatch(text):
        raise RightsError("name", name, "1 to 64 letters, digits, Chinese characters or _ . @ - are allowed")
    return text


def add(
    connection: Connection,
    name: str,
    role: Role,
    actor: str,
    *,
    display_name: str = "",
    areas: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    issuer: str | None = None,
    subject: str | None = None,
) -> Row:
    """A new account that nothing opens yet."""
    if role not in rights.PERSONS_ROLES:
        raise RightsError("role", role.value, f"a person is one of {', '.join(rights.PERSONS_ROLES)}")
    rights.check(connection, role, areas, units)
    params = {
        "name": clean_name(name),
        "display_name": display_name.strip(),
        "role": role.value,
        "areas": rights.settled(areas),
        "units": rights.settled(units),
        "issuer": issuer,
        "subject": subject,
        "actor": actor,
    }
    try:
        with connection.transaction():
            row = fetch_one(connection, "people.add", params)
    except psycopg.errors.UniqueViolation:
        raise PersonExistsError(
            f"the name {name!r} is an actor in the audit log already, a person's or a key's; names are not used twice"
        ) from None
    if row is None:
        raise AssertionError("an insert that returns nothing")
    audit(connection, actor, "person.add", f"person:{row['name']}", **_shown(row), provider=issuer is not None)
    return row


def _shown(row: Row) -> dict[str, object]:
    return {"role": row["role"], "areas": row["areas"], "units": row["units"], "display_name": row["display_name"]}


def listed(connection: Connection, after: str, limit: int) -> list[Row]:
    return fetch_all(connection, "people.listed", {"after": after, "limit": limit})


def find(connection: Connection, name: str) -> Row:
    row = fetch_one(connection, "people.find", {"name": unicodedata.normalize("NFKC", name)})
    if row is None:
        raise NoSuchPersonError(f"there is nobody named {name!r}")
    return row


def locked(connection: Connection, name: str) -> Row:
    row = fetch_one(connection, "people.lock", {"name": unicodedata.normalize("NFKC", name)})
    if row is None:
        raise NoSuchPersonError(f"there is nobody named {name!r}")
    return row


def change(
    connection: Connection,
    name: str,
    actor: str,
    *,
    role: Role,
    areas: Sequence[str] | None,
    units: Sequence[str] | None,
    display_name: str,
) -> Row:
    """Other rights. Sessions go on, with the new ones; again is the same as once."""
    person = locked(connection, name)
    if role not in rights.PERSONS_ROLES:
        raise RightsError("role", role.value, f"a person is one of {', '.join(rights.PERSONS_ROLES)}")
    rights.check(connection, role, areas, units)
    wanted = {
        "role": role.value,
        "areas": rights.settled(areas),
        "units": rights.settled(units),
        "display_name": display_name.strip(),
    }
    before = _shown(person)
    if wanted == before:
        return person
    run(connection, "people.set_rights", {"person_key": person["person_key"], **wanted})
    _still_administered(connection, person)
    audit(connection, actor, "person.rights", f"person:{person['name']}", before=before, **wanted)
    return person | wanted


def disable(connection: Connection, name: str, actor: str) -> Row:
    """The account opens nothing, and its sessions are over. Again is the same as once."""
    person = locked(connection, name)
    if person["disabled_at"] is None:
        run(connection, "people.disable", {"person_key": person["person_key"]})
        _still_administered(connection, person)
        run(connection, "people.withdraw_invitations", {"person_key": person["person_key"]})
        ended = end_sessions(connection, person["person_key"], "disabled")
        audit(connection, actor, "person.disable", f"person:{person['name']}", sessions=ended)
    return find(connection, name)


def enable(connection: Connection, name: str, actor: str) -> Row:
    """The account opens again what it did. Again is the same as once."""
    person = locked(connection, name)
    if person["disabled_at"] is not None:
        run(connection, "people.enable", {"person_key": person["person_key"]})
        audit(connection, actor, "person.enable", f"person:{person['name']}")
    return find(connection, name)


def log_out(connection: Connection, name: str, actor: str) -> int:
    """All sessions of a person are over. Returns how many that were."""
    person = locked(connection, name)
    ended = end_sessions(connection, person["person_key"], "administrator")
    audit(connection, actor, "person.log_out", f"person:{person['name']}", sessions=ended)
    return ended


def invite(
    connection: Connection, name: str, actor: str, *, good_for: timedelta = INVITATION_GOOD_FOR
) -> tuple[Invitation, Row]:
    """A one-time secret with which they set a password. What they were sent before opens nothing any more."""
    person = _with_password(locked(connection, name))
    run(connection, "people.withdraw_invitations", {"person_key": person["person_key"]})
    secret = new(Kind.invitation)
    params = {
        "secret_hash": digest(secret),
        "person_key": person["person_key"],
        "actor": actor,
        "good_for": good_for,
    }
    row = fetch_one(connection, "people.invite", params)
    if row is None:
        raise AssertionError("an insert that returns nothing")
    expires_at: datetime = row["expires_at"]
    audit(connection, actor, "person.invite", f"person:{person['name']}", expires_at=expires_at.isoformat())
    return Invitation(secret=secret, expires_at=expires_at), person


def reset(connection: Connection, name: str, actor: str) -> Invitation:
    """The password opens nothing any more, and sessions are over; a one-time secret for a new one."""
    person = _with_password(locked(connection, name))
    run(connection, "people.forget_password", {"person_key": person["person_key"]})
    ended = end_sessions(connection, person["person_key"], "password")
    audit(connection, actor, "person.reset", f"person:{person['name']}", sessions=ended)
    invitation, _ = invite(connection, name, actor, good_for=RESET_GOOD_FOR)
    return invitation


def set_password(
    connection: Connection, person: Row, password: str, actor: str, *, but_session: int | None = None
) -> None:
    """A new password; every session but `but_session` is over. Raises WeakPasswordError."""
    passwords.check(password, about=(person["name"], person["display_name"], *person["name"].split("@")))
    params = {"person_key": person["person_key"], "password_hash": passwords.hashed(password)}
    run(connection, "people.set_password", params)
    run(connection, "people.withdraw_invitations", {"person_key": person["person_key"]})
    ended = end_sessions(connection, person["person_key"], "password", but=but_session)
    audit(connection, actor, "person.password", f"person:{person['name']}", sessions=ended)


def invited(connection: Connection, secret: str) -> Row | None:
    """Whose one-time secret it is, used up by asking (take it back by rolling back); None where it opens nothing."""
    taken = fetch_one(connection, "people.take_invitation", {"secret_hash": digest(secret)})
    if taken is None:
        return None
    person = locked(connection, taken["name"])
    return person if person["disabled_at"] is None and person["issuer"] is None else None


def end_sessions(connection: Connection, person_key: int, because: str, *, but: int | None = None) -> int:
    params = {"person_key": person_key, "because": because, "but": but}
    return len(fetch_all(connection, "sessions.end_of_person", params))


def _with_password(person: Row) -> Row:
    if person["issuer"] is not None:
        raise RefusedError(f"{person['name']} logs in at {person['issuer']}: there is no password here")
    if person["disabled_at"] is not None:
        raise RefusedError(f"{person['name']} is disabled: enable the account first")
    return person


def _still_administered(connection: Connection, before: Row) -> None:
    """Whoever is left must be able to set this right, also where two are changed at the same time."""
    if before["role"] != Role.administrator or before["areas"] or before["units"] or before["disabled_at"] is not None:
        return
    run(connection, "people.lock_administrators", {})
    row = fetch_one(connection, "people.administrators", {})
    if row is not None and row["administrators"] == 0:
        raise RefusedError("nobody would be left who administers the whole city: make another administrator first")
