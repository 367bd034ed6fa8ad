"""Me: who calls, what they may and see; and what a person does about their own account."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api import browser
from api.access import GuardedRoute, too_many
from api.callers import Caller
from api.dependencies import Pool, WhoCalls
from api.parameters import BigKey, Instant
from api.people import accounts, passwords, sessions
from api.people.guessing import Attempt, MustWaitError
from api.people.passwords import WeakPasswordError
from api.problems import Problem, invalid, not_found
from api.roles import V1, Role
from api.routers.session import Ended, Password
from api.rows import Row
from underfoot.storage.connect import Connection

router = APIRouter(prefix=f"{V1}/me", tags=["people"], route_class=GuardedRoute)


class Me(BaseModel):
    """Who calls. Areas and units that are null are all."""

    name: str = Field(examples=["wangjianguo"])
    kind: Literal["key", "person"] = Field(examples=["person"])
    display_name: str = Field(examples=["王建国"])
    role: Role
    role_label: str = Field(examples=["值班操作员"])
    areas: list[str] | None = Field(examples=[["410502"]])
    units: list[str] | None = Field(examples=[None])


class OwnSession(BaseModel):
    session_key: int = Field(examples=[12])
    this: bool = Field(description="The one that asks", examples=[True])
    kind: Literal["token", "cookie"]
    began_at: Instant
    renewed_at: Instant
    expires_at: Instant = Field(description="However much it is used")
    address: str = Field(examples=["10.1.2.3"])
    agent: str = Field(description="What the program said it is", examples=["Mozilla/5.0"])


class OwnSessions(BaseModel):
    items: list[OwnSession]


class NewPassword(BaseModel):
    model_config = ConfigDict(extra="forbid")

    old_password: Password = Field(examples=["从前那一句长话"])
    new_password: Password = Field(examples=["另一句自己记得住的长话"])


@router.get("", summary="Who calls, and what they may")
def get_me(pool: Pool, caller: WhoCalls) -> Me:
    """Of a key or of a person."""
    display_name = ""
    if caller.person is not None:
        with pool.connection() as connection:
            display_name = accounts.find(connection, caller.person)["display_name"]
    return Me(
        name=caller.name,
        kind=caller.kind,
        display_name=display_name,
        role=caller.role,
        role_label=caller.role.label,
        areas=None if caller.scope.areas is None else list(caller.scope.areas),
        units=None if caller.scope.units is None else list(caller.scope.units),
    )


@router.put("/password", summary="Change one's password")
def change_password(pool: Pool, caller: WhoCalls, request: Request, wanted: NewPassword) -> Ended:
    """Every other session is over then. The old password is guessed at no faster here than when logging in."""
    with pool.connection() as connection:
        with sessions.each_by_itself(connection):
            person = _person(connection, caller)
            attempt = Attempt(connection, caller.name, person["person_key"], browser.address_of(request))
            try:
                attempt.count()
            except MustWaitError as error:
                raise too_many("Too many wrong passwords", error.wait_s) from None
            if not passwords.verified(wanted.old_password, person["password_hash"]):
                raise invalid("old_password", "(not shown)", "this is not your password", place="body")
            with connection.transaction():
                attempt.was_right()
        before = len(sessions.of_person(connection, person["person_key"]))
        try:
            accounts.set_password(
                connection,
                accounts.locked(connection, caller.name),
                wanted.new_password,
                caller.name,
                but_session=caller.session_key,
            )
        except WeakPasswordError as error:
            raise invalid("new_password", "(not shown)", str(error), place="body") from None
    request.app.state.ring.forget_person(caller.name)
    return Ended(ended=before - 1)


@router.get("/sessions", summary="One's own sessions")
def list_sessions(pool: Pool, caller: WhoCalls) -> OwnSessions:
    """Those that are not over, the last renewed first."""
    with pool.connection() as connection:
        rows = sessions.of_person(connection, _person(connection, caller)["person_key"])
    return OwnSessions(
        items=[OwnSession.model_validate(row | {"this": row["session_key"] == caller.session_key}) for row in rows]
    )


@router.delete("/sessions", summary="Log out everywhere")
def end_sessions(pool: Pool, caller: WhoCalls, request: Request, response: Response) -> Ended:
    """All of one's own sessions are over, this one too."""
    with pool.connection() as connection:
        ended = sessions.end_own(connection, _person(connection, caller))
    request.app.state.ring.forget_person(caller.name)
    browser.take(request, response)
    return Ended(ended=ended)


@router.delete("/sessions/{session_key}", summary="Log out there")
def end_session(
    pool: Pool,
    caller: WhoCalls,
    request: Request,
    session_key: Annotated[BigKey, Path(description="One of one's own sessions", examples=[12])],
) -> Ended:
    """One of one's own sessions is over."""
    with pool.connection() as connection:
        person = _person(connection, caller)
        if session_key not in {row["session_key"] for row in sessions.of_person(connection, person["person_key"])}:
            raise not_found(f"session {session_key} of yours")
        sessions.end(connection, session_key, caller.name)
    request.app.state.ring.forget_person(caller.name)
    return Ended(ended=1)


def _person(connection: Connection, caller: Caller) -> Row:
    if caller.person is None:
        raise Problem("role-too-low", "A key has no account.")
    return accounts.find(connection, caller.person)
