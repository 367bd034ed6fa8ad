"""Sessions of browsers: cookies that no script reads and no other site sends, and a second look at where a call that
may change something comes from."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from fastapi import Request, Response

from api.people.sessions import Tokens, Whence
from api.roles import V1
from underfoot.settings import Settings

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
REFRESH_PATH = f"{V1}/session"
"""The refresh token is sent nowhere else."""


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def is_secure(request: Request) -> bool:
    """Whether the browser has come by https, as far as we can know behind a proxy."""
    public = settings_of(request).public_url
    return request.url.scheme == "https" or (public is not None and urlsplit(public).scheme == "https")


def access_cookie(request: Request) -> str:
    # With the prefix the browser itself sees to it that nobody else's page, subdomains' included, has set it.
    return "__Host-underfoot" if is_secure(request) else "underfoot"


def refresh_cookie(request: Request) -> str:
    return "__Secure-underfoot-refresh" if is_secure(request) else "underfoot-refresh"


def give(request: Request, response: Response, tokens: Tokens) -> None:
    _set(request, response, access_cookie(request), tokens.access, tokens.access_until, "/")
    _set(request, response, refresh_cookie(request), tokens.refresh, tokens.refresh_until, REFRESH_PATH)


def take(request: Request, response: Response) -> None:
    for name, path in ((access_cookie(request), "/"), (refresh_cookie(request), REFRESH_PATH)):
        response.delete_cookie(name, path=path, secure=is_secure(request), httponly=True, samesite="strict")


def _set(request: Request, response: Response, name: str, value: str, until: datetime, path: str) -> None:
    response.set_cookie(
        name,
        value,
        max_age=max(0, int((until - datetime.now(UTC)).total_seconds())),
        path=path,
        secure=is_secure(request),
        httponly=True,
        samesite="strict",
    )


def same_origin(request: Request) -> bool:
    """Whether a page of ours made the call. Browsers say so in headers that no script can set; without either, no."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return site is not None
    ours = {f"{request.url.scheme}://{request.url.netloc}"}
    if (public := settings_of(request).public_url) is not None:
        parts = urlsplit(public)
        ours.add(f"{parts.scheme}://{parts.netloc}")
    return origin in ours


def whence(request: Request) -> Whence:
    return Whence(address_of(request), request.headers.get("user-agent", ""))


def address_of(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"
