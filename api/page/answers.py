"""Answers: a view in its template, as one response: no other file, no other host, nothing for caches
and robots to keep.

Style and script stand inline, under a nonce that is another each time: one round trip on a bad line.
"""

from __future__ import annotations

import gzip
import secrets
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from api.page.view import View

_COMPRESSED_FROM = 1000
_PART = "x-part"
"""The header by which page.js asks for what is new."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is shown instead of an alarm, and what to do about it."""

    status: int
    title: str
    said: str
    steps: tuple[str, ...]
    link: str = ""
    link_said: str = ""


def alarm_page(request: Request, view: View, curve_names: tuple[str, ...] = ()) -> Response:
    return _answer(
        request,
        200,
        "alarm.html",
        v=view,
        curve_names=curve_names,
        now_ms=_milliseconds(view.now),
        ms=_milliseconds,
        js=_text("page.js"),
    )


def fault_page(request: Request, fault: Fault, headers: dict[str, str] | None = None) -> Response:
    answer = _answer(request, fault.status, "fault.html", fault=fault)
    answer.headers.update(headers or {})
    return answer


def back_to(request: Request) -> Response:
    """After a POST: the page again, so that a reload or a second tap does not send it again."""
    answer = RedirectResponse(request.url.path, 303)
    _seal(answer, "default-src 'none'")
    return answer


def prepare() -> None:
    """Make ready what the first reader would have to wait for."""
    for name in ("alarm.html", "fault.html", "base.html", "part.html"):
        _environment().get_template(name)


# how it is made -------------------------------------------------------------------------------------------------------


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("api.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


@cache
def _text(name: str) -> Markup:
    """A file of ours, as it stands: what is ours needs no escaping."""
    return Markup((files("api.page") / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _answer(request: Request, status: int, template: str, **said: object) -> Response:
    nonce = secrets.token_urlsafe(12)
    # A page that refreshes itself has its style already, and may not bring a second one.
    layout = "part.html" if _PART in request.headers else "base.html"
    made = _environment().get_template(template).render(layout=layout, nonce=nonce, css=_text("page.css"), **said)
    page = made.encode()
    answer = Response(page, status, media_type="text/html; charset=utf-8")
    if len(page) >= _COMPRESSED_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        answer = Response(gzip.compress(page, 5), status, {"Content-Encoding": "gzip"}, "text/html; charset=utf-8")
    _seal(
        answer,
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:;"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    )
    return answer


def _seal(answer: Response, policy: str) -> None:
    answer.headers["Content-Security-Policy"] = policy
    # The token in the address goes to nobody else. To ourselves it may: without it a browser calls the origin of a form
    # `null`, and a form of ours could not be told from somebody else's.
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    answer.headers["Vary"] = "Accept-Encoding, X-Part"
