"""The page at which people log in (Chinese, nothing from elsewhere), and the way to and from the OIDC provider."""

from __future__ import annotations

import html
import logging
from functools import cache
from pathlib import Path as FilePath
from typing import Annotated
from urllib.parse import urlencode

import httpx
from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import browser
from api.access import GuardedRoute
from api.dependencies import Configured, Pool
from api.people import secrets, sessions
from api.people.oidc import Client, LogInRefusedError, ProviderError
from api.people.provided import NoRightsError, person_of
from api.people.sessions import NotOpenedError
from api.problems import Problem, not_found
from api.rows import Row, audit, fetch_one, run
from underfoot.settings import Settings

log = logging.getLogger("underfoot.api")

router = APIRouter(tags=["people"], route_class=GuardedRoute, include_in_schema=False)

_HERE = FilePath(__file__).resolve().parent.parent / "login_page"
_TYPES = {"login.css": "text/css; charset=utf-8", "login.js": "text/javascript; charset=utf-8"}
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_ONWARD = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={url}"><title>登录</title>'
BROWSER_COOKIE = "underfoot-provider"


def own_path(path: str | None) -> str:
    """Where to go after logging in: a path of ours, or the log-in page."""
    fits = path is not None and len(path) <= 500 and path.isprintable() and "\\" not in path
    return path if path is not None and fits and path.startswith("/") and not path.startswith("//") else "/login"


@cache
def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@router.get("/login", summary="The page at which people log in", response_class=HTMLResponse)
def login_page(settings: Configured) -> HTMLResponse:
    """A page for browsers. `next` is where it leads on to: a path of ours."""
    provider = '<a class="button" id="provider" href="/login/provider">统一身份认证登录</a>' if settings.oidc else ""
    page = _file("login.html").replace("<!--provider-->", provider)
    return HTMLResponse(page, headers={"Content-Security-Policy": _CSP})


@router.get("/login/provider", summary="Log in at the OIDC provider", status_code=303, response_class=RedirectResponse)
def to_provider(
    pool: Pool,
    settings: Configured,
    request: Request,
    onward: Annotated[str | None, Query(alias="next", max_length=500, description="A path of ours")] = None,
) -> Response:
    """Leads to the provider, with what only this browser can come back with."""
    client = _client(request)
    began = client.begin(_returning_to(request, settings))
    with pool.connection() as connection:
        run(
            connection,
            "sessions.begin_oidc",
            {
                "state_hash": secrets.digest(began.state),
                "browser_hash": secrets.digest(began.browser),
                "nonce": began.nonce,
                "verifier": began.verifier,
                "onward": own_path(onward),
                "good_for": client.LOG_IN_WITHIN,
            },
        )
    answer = RedirectResponse(began.url, 303)
    # Lax, unlike our sessions: the browser comes back from another site.
    answer.set_cookie(
        BROWSER_COOKIE,
        began.browser,
        max_age=int(client.LOG_IN_WITHIN.total_seconds()),
        path="/login/return",
        secure=browser.is_secure(request),
        httponly=True,
        samesite="lax",
    )
    return answer


@router.get("/login/return", summary="Back from the OIDC provider", response_class=HTMLResponse)
async def from_provider(
    pool: Pool,
    settings: Configured,
    request: Request,
    state: Annotated[str | None, Query(max_length=200)] = None,
    code: Annotated[str | None, Query(max_length=4000)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Checks what the provider says, and begins a session."""
    return await run_in_threadpool(_return, pool, settings, request, state, code, error)


def _return(
    pool: Pool, settings: Settings, request: Request, state: str | None, code: str | None, error: str | None
) -> Response:
    client = _client(request)
    try:
        began, code = _checked(pool, request, state, code, error)
        claims = client.claims(code, began["verifier"], began["nonce"], _returning_to(request, settings))
        with pool.connection() as connection:
            person = person_of(connection, client.config, claims)
            tokens = sessions.begin(
                connection, person, "cookie", browser.whence(request), settings, by=f"provider {client.config.issuer}"
            )
    except (LogInRefusedError, NotOpenedError) as refused:
        return _refused(pool, request, "provider", refused)
    except NoRightsError as refused:
        return _refused(pool, request, "rights", refused)
    request.app.state.ring.forget_person(person["name"])
    # A page and no redirect: what follows a redirect from another site is sent without Strict cookies.
    answer = HTMLResponse(
        _ONWARD.format(url=html.escape(began["onward"], quote=True)), headers={"Content-Security-Policy": _CSP}
    )
    browser.give(request, answer, tokens)
    answer.delete_cookie(BROWSER_COOKIE, path="/login/return", httponly=True, samesite="lax")
    return answer


@router.get("/login/{part}", summary="What the log-in page consists of", response_class=Response)
def login_part(part: Annotated[str, Path(description="login.css or login.js", examples=["login.css"])]) -> Response:
    """Its style and its script."""
    if part not in _TYPES:
        raise not_found("such part of the log-in page")
    return Response(_file(part), media_type=_TYPES[part], headers={"Cache-Control": "no-cache"})


def _checked(pool: Pool, request: Request, state: str | None, code: str | None, error: str | None) -> tuple[Row, str]:
    """The log-in that this browser began, used up by that, and the provider's code."""
    with pool.connection() as connection:
        began = fetch_one(connection, "sessions.take_oidc", {"state_hash": secrets.digest(state or "")})
    if began is None or not began["good"]:
        raise LogInRefusedError("the state is not known, was used, or is too old")
    if secrets.digest(request.cookies.get(BROWSER_COOKIE, "")) != began["browser_hash"]:
        raise LogInRefusedError("another browser began this log-in")
    if code is None:
        raise LogInRefusedError(f"the provider refused: {error!r}")
    return began, code


def _refused(pool: Pool, request: Request, why: str, refused: Exception) -> Response:
    """People are told which of the two it was; our log says the rest."""
    log.warning("a log-in by the provider was refused: %s", refused)
    with pool.connection() as connection:
        audit(connection, "system", "session.refuse", "person:?", address=browser.address_of(request), provider=why)
    return RedirectResponse(f"/login?{urlencode({'refused': why})}", 303)


def _client(request: Request) -> Client:
    client: Client | None = request.app.state.oidc
    if client is None:
        raise not_found("OIDC provider set (UNDERFOOT_OIDC)")
    try:
        client.ready()
    except (ProviderError, httpx.HTTPError) as error:
        log.exception("the OIDC provider does not answer as it should")
        raise Problem("unavailable", f"The provider does not answer: {type(error).__name__}.") from None
    return client


def _returning_to(request: Request, settings: Settings) -> str:
    base = settings.public_url or f"{request.url.scheme}://{request.url.netloc}"
    return f"{base.rstrip('/')}/login/return"
