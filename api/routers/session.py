"""Sessions of people: log in, renew, log out; and the first password by a one-time secret.

The answers differ in nothing by which a name could be told from one that nobody has.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api import browser
from api.access import GuardedRoute, too_many
from api.dependencies import Configured, Pool, WhoCalls
from api.parameters import Instant
from api.people import accounts, sessions
from api.people.guessing import MustWaitError
from api.people.passwords import LONGEST, WeakPasswordError
from api.people.sessions import Carrier, NotOpenedError, Tokens
from api.problems import Problem, invalid
from api.roles import V1

router = APIRouter(prefix=f"{V1}/session", tags=["people"], route_class=GuardedRoute)

Password = Annotated[str, StringConstraints(min_length=1, max_length=4 * LONGEST)]
Secret = Annotated[str, StringConstraints(pattern=r"^u[ri]_[A-Za-z0-9_-]{43}$")]
_Carrier = Annotated[
    Literal["token", "cookie"],
    Field(description="cookie: for a browser, which never shows the tokens to a script", examples=["token"]),
]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LogIn(_Wanted):
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(examples=["wangjianguo"])
    password: Password = Field(examples=["一句自己记得住的长话"])
    carrier: _Carrier = "token"


class Renewal(_Wanted):
    refresh_token: Secret | None = Field(
        None, description="A browser sends its cookie instead", examples=["ur_" + "x" * 43]
    )


class FirstPassword(_Wanted):
    invitation: Secret = Field(description="The one-time secret", examples=["ui_" + "x" * 43])
    new_password: Password = Field(examples=["一句自己记得住的长话"])
    carrier: _Carrier = "token"


class Session(BaseModel):
    """A session. With `cookie`, the tokens are in the cookies and null here."""

    person: str = Field(examples=["wangjianguo"])
    access_token: str | None = Field(description="Send it as `Authorization: Bearer …`", examples=["ua_" + "x" * 43])
    access_expires_at: Instant
    refresh_token: str | None = Field(description="Good once, for the next pair", examples=["ur_" + "x" * 43])
    refresh_expires_at: Instant


class Ended(BaseModel):
    ended: int = Field(description="How many sessions are over", examples=[1])


@router.post("", summary="Log in", status_code=201)
def log_in(pool: Pool, settings: Configured, request: Request, response: Response, wanted: LogIn) -> Session:
    """A session for who knows the password. After failures one must wait, longer each time."""
    _from_here(request, wanted.carrier)
    try:
        with pool.connection() as connection, sessions.each_by_itself(connection):
            tokens = sessions.log_in(
                connection, wanted.name, wanted.password, wanted.carrier, browser.whence(request), settings
            )
    except MustWaitError as error:
        raise too_many("Too many failed log-ins", error.wait_s) from None
    except NotOpenedError:
        raise Problem("not-logged-in", "The name or the password is not right.") from None
    return _answer(request, response, tokens)


@router.post("/refresh", summary="Renew a session", status_code=201)
def renew(
    pool: Pool, settings: Configured, request: Request, response: Response, wanted: Renewal | None = None
) -> Session:
    """Both tokens anew; the ones before are good no more. A refresh token that is shown twice ends its session."""
    secret, carrier = _refresh_token(request, wanted)
    try:
        with pool.connection() as connection, sessions.each_by_itself(connection):
            tokens = sessions.renew(connection, secret, carrier, browser.whence(request), settings)
    except NotOpenedError:
        problem = Problem("not-logged-in", "There is no session to renew, or it is over: log in.")
        raise problem from None
    return _answer(request, response, tokens)


@router.post("/password", summary="Set a first password by a one-time secret", status_code=201)
def set_first_password(
    pool: Pool, settings: Configured, request: Request, response: Response, wanted: FirstPassword
) -> Session:
    """The secret is used up, and a session begins. A password that is refused uses nothing up."""
    _from_here(request, wanted.carrier)
    with pool.connection() as connection:
        person = accounts.invited(connection, wanted.invitation)
        if person is None:
            connection.rollback()
            raise Problem("not-logged-in", "This one-time secret opens nothing: it was used, withdrawn, or is too old.")
        try:
            accounts.set_password(connection, person, wanted.new_password, person["name"])
        except WeakPasswordError as error:
            connection.rollback()
            raise invalid("new_password", "(not shown)", str(error), place="body") from None
        whence = browser.whence(request)
        tokens = sessions.begin(connection, person, wanted.carrier, whence, settings, by="invitation")
    return _answer(request, response, tokens)


@router.delete("", summary="Log out")
def log_out(pool: Pool, caller: WhoCalls, request: Request, response: Response) -> Ended:
    """This session is over."""
    if caller.session_key is None:
        raise Problem("role-too-low", "A key has no session.")
    with pool.connection() as connection:
        ended = sessions.end(connection, caller.session_key, caller.name)
    request.app.state.ring.forget_person(caller.name)
    browser.take(request, response)
    return Ended(ended=int(ended))


def _refresh_token(request: Request, wanted: Renewal | None) -> tuple[str, Carrier]:
    if wanted is not None and wanted.refresh_token is not None:
        return wanted.refresh_token, "token"
    cookie = request.cookies.get(browser.refresh_cookie(request))
    if cookie is None:
        raise Problem("not-logged-in", "There is no session to renew: send a refresh_token, or log in.")
    _from_here(request, "cookie")
    return cookie, "cookie"


def _from_here(request: Request, carrier: Carrier) -> None:
    """Cookies are set and renewed only for a page of ours, or somebody else's page could log a browser in."""
    if carrier == "cookie" and not browser.same_origin(request):
        raise Problem("not-from-here", "A browser logs in only from a page of this same address.")


def _answer(request: Request, response: Response, tokens: Tokens) -> Session:
    by_cookie = tokens.carrier == "cookie"
    if by_cookie:
        browser.give(request, response, tokens)
    return Session(
        person=tokens.person,
        access_token=None if by_cookie else tokens.access,
        access_expires_at=tokens.access_until,
        refresh_token=None if by_cookie else tokens.refresh,
        refresh_expires_at=tokens.refresh_until,
    )
