"""Sessions: a short access token beside a refresh token that is good once.

A refresh token shown a second time was stolen from somebody, from us or from its thief: its session is over for both.
Of tokens only hashes are kept. Each begin, renewal and end enters the audit log in its transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from api.people import accounts, passwords
from api.people.accounts import clean_name
from api.people.guessing import Attempt
from api.people.rights import RightsError
from api.people.secrets import Kind, digest, kind_of, new
from api.rows import Row, audit, fetch_all, fetch_one, run
from underfoot.settings import Settings
from underfoot.storage.connect import Connection

ACCESS_GOOD_FOR = timedelta(minutes=10)
_AGENT_AT_MOST = 200

Carrier = Literal["token", "cookie"]


@dataclass(frozen=True, slots=True)
class Whence:
    """Where a request came from."""

    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What opens a session, shown this once."""

    person: str
    session_key: int
    carrier: Carrier
    access: str
    access_until: datetime
    refresh: str
    refresh_until: datetime


class NotOpenedError(Exception):
    """No session: `why` is for the audit log alone, who asks is told nothing."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def log_in(
    connection: Connection, name: str, password: str, carrier: Carrier, whence: Whence, settings: Settings
) -> Tokens:
    """A session for who knows the password. `connection` must be in autocommit: a try is committed before it is judged.

    Raises NotOpenedError and MustWaitError; a name that nobody has takes as long as one with another password.
    """
    person = _named(connection, name)
    attempt = Attempt(connection, name, None if person is None else person["person_key"], whence.address)
    attempt.count()
    kept = person["password_hash"] if person is not None and person["disabled_at"] is None else None
    if not passwords.verified(password, kept) or person is None:
        _refused(connection, person, whence)
        raise NotOpenedError("the name or the password is not right")
    with connection.transaction():
        person = accounts.locked(connection, person["name"])
        if person["password_hash"] != kept or person["disabled_at"] is not None:
            raise NotOpenedError("the account was changed at the same moment")
        attempt.was_right()
        if passwords.outdated(kept):
            renewed = {"person_key": person["person_key"], "before": kept, "password_hash": passwords.hashed(password)}
            run(connection, "people.rehash", renewed)
        return begin(connection, person, carrier, whence, settings, by="password")


def _named(connection: Connection, name: str) -> Row | None:
    try:
        return fetch_one(connection, "people.find", {"name": clean_name(name)})
    except RightsError:
        return None


def _refused(connection: Connection, person: Row | None, whence: Whence) -> None:
    """A name that nobody has is not written down: it may be a password in the wrong field."""
    subject = f"person:{person['name']}" if person is not None else "person:?"
    disabled = person is not None and person["disabled_at"] is not None
    with connection.transaction():
        audit(connection, "system", "session.refuse", subject, address=whence.address, disabled=disabled)


def begin(
    connection: Connection, person: Row, carrier: Carrier, whence: Whence, settings: Settings, *, by: str
) -> Tokens:
    """A session of `person`, who has shown who they are."""
    for old in ("tokens", "sessions", "guesses", "oidc"):
        run(connection, f"sessions.purge_{old}", {})
    params = {
        "person_key": person["person_key"],
        "kind": carrier,
        "longest": timedelta(hours=settings.session_longest_h),
        "address": whence.address,
        "agent": whence.agent[:_AGENT_AT_MOST],
    }
    row = fetch_one(connection, "sessions.begin", params)
    if row is None:
        raise AssertionError("an insert that returns nothing")
    audit(
        connection,
        person["name"],
        "session.begin",
        f"session:{row['session_key']}",
        by=by,
        carrier=carrier,
        address=whence.address,
        agent=params["agent"],
    )
    return _tokens(connection, row["session_key"], person["name"], carrier, settings)


def _tokens(connection: Connection, session_key: int, name: str, carrier: Carrier, settings: Settings) -> Tokens:
    access, access_until = _token(connection, session_key, Kind.access, ACCESS_GOOD_FOR)
    refresh, refresh_until = _token(connection, session_key, Kind.refresh, timedelta(hours=settings.session_idle_h))
    return Tokens(name, session_key, carrier, access, access_until, refresh, refresh_until)


def _token(connection: Connection, session_key: int, kind: Kind, good_for: timedelta) -> tuple[str, datetime]:
    secret = new(kind)
    params = {"token_hash": digest(secret), "session_key": session_key, "kind": kind.name, "good_for": good_for}
    row = fetch_one(connection, "sessions.add_token", params)
    if row is None:
        raise AssertionError("an insert that returns nothing")
    return secret, row["expires_at"]


def renew(connection: Connection, secret: str, carrier: Carrier, whence: Whence, settings: Settings) -> Tokens:
    """Both tokens anew. Raises NotOpenedError; that a stolen token ended its session is committed all the same."""
    if kind_of(secret) is not Kind.refresh:
        raise NotOpenedError("this is no refresh token")
    with connection.transaction():
        found = fetch_one(connection, "sessions.lock_refresh", {"token_hash": digest(secret)})
        if found is None or found["kind"] != carrier:
            raise NotOpenedError("no session has this refresh token")
        if found["used_at"] is None and found["good"]:
            run(connection, "sessions.use_refresh", {"token_hash": digest(secret)})
            run(connection, "sessions.forget_access", {"session_key": found["session_key"]})
            run(connection, "sessions.renewed", {"session_key": found["session_key"]})
            tokens = _tokens(connection, found["session_key"], found["name"], carrier, settings)
            audit(
                connection,
                found["name"],
                "session.renew",
                f"session:{found['session_key']}",
                address=whence.address,
            )
            return tokens
        if found["used_at"] is not None and not found["ended"]:
            run(connection, "sessions.end", {"session_key": found["session_key"], "because": "reused"})
            audit(
                connection,
                "system",
                "session.reused",
                f"session:{found['session_key']}",
                person=found["name"],
                address=whence.address,
            )
    raise NotOpenedError("the refresh token was used before: its session is over")


def end(connection: Connection, session_key: int, actor: str, because: str = "log_out") -> bool:
    """One session is over. Returns whether it was not before."""
    ended = fetch_one(connection, "sessions.end", {"session_key": session_key, "because": because})
    if ended is not None:
        audit(connection, actor, "session.end", f"session:{session_key}", because=because)
    return ended is not None


def end_own(connection: Connection, person: Row) -> int:
    """Log out everywhere."""
    ended = accounts.end_sessions(connection, person["person_key"], "log_out_everywhere")
    audit(connection, person["name"], "session.end_all", f"person:{person['name']}", sessions=ended)
    return ended


def of_person(connection: Connection, person_key: int) -> list[Row]:
    return fetch_all(connection, "sessions.of_person", {"person_key": person_key})


@contextmanager
def each_by_itself(connection: Connection) -> Iterator[Connection]:
    """`connection` so that what is written is committed at once, for what must stay though the request is refused."""
    connection.commit()
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.autocommit = False
