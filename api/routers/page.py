"""An alarm's page (告警页面), in Chinese: by the link of a message without logging in, or by its number for who has."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from math import ceil
from typing import Annotated, Any
from urllib.parse import quote

import psycopg
from fastapi import APIRouter, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from psycopg_pool import PoolClosed, PoolTimeout
from starlette.exceptions import HTTPException

from alerts.messages.places import address_and_name, joined
from api import browser
from api.access import GuardedRoute
from api.callers import Caller
from api.dependencies import Configured, Pool, WhoCalls
from api.human import act
from api.limits import Buckets
from api.models.actions import Act
from api.page import faults
from api.page.admission import Admission
from api.page.answers import alarm_page, back_to, fault_page
from api.page.facts import Facts, facts_of
from api.page.reader import Reader, of_caller, of_link
from api.page.view import view
from api.parameters import EpisodeKeyPath
from api.people.guessing import network_of
from api.problems import Problem, not_found
from api.roles import Door, Role, needed
from api.rows import Row, fetch_kept
from api.scope import whole_city
from underfoot.clock import CLOCK
from underfoot.links import Link, LinkError
from underfoot.settings import Settings
from underfoot.storage.connect import Connection

log = logging.getLogger("underfoot.api")

Token = Annotated[
    str, Path(description="Of a message's link", max_length=200, examples=["AcDEBwy_6NoE8_miDn-ZJNtN-13AabSBiHOQOmU"])
]


class PageRoute(GuardedRoute):
    """A route whose reader is a person: what goes wrong is a page, too, and who has not logged in is sent to do it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        by_link = any(needed(method, self.path).role is Door.link for method in self.methods or ())

        async def readable(request: Request) -> Response:
            if not by_link and "text/html" not in request.headers.get("accept", ""):
                return await handle(request)  # a program, which is answered as programs are
            try:
                return await handle(request)
            except Problem as problem:
                return _readable(request, problem)
            except RequestValidationError:
                return fault_page(request, faults.GONE)
            except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed) as error:
                log.warning("an alarm's page: the database does not answer: %s", str(error).strip())
                return fault_page(request, faults.NOT_NOW, {"Retry-After": "5"})
            except HTTPException:
                raise
            except Exception:
                incident = uuid.uuid4().hex[:12]
                log.exception("an alarm's page: error %s", incident)
                return fault_page(request, faults.broken(incident))

        return readable


# For people's eyes: programs have /api/v1/alarms.
router = APIRouter(tags=["page"], route_class=PageRoute, default_response_class=HTMLResponse, include_in_schema=False)


# by a link ------------------------------------------------------------------------------------------------------------


@router.get("/a/{token}", summary="An alarm's page, by the link of a message")
def show_by_link(request: Request, pool: Pool, token: Token) -> Response:
    """The alarm's page. Looking changes nothing: whoever previews links for a chat sees it as well."""
    link = _admitted(request, pool, token)
    with pool.connection() as connection:
        delivery = _delivery(connection, link)
        reader, companions = _receiver(connection, delivery)
        facts = facts_of(connection, delivery["episode_key"], CLOCK.now(), whole_city())
    return _shown(request, facts, reader, companions)


@router.post("/a/{token}", summary="Acknowledge by the link of a message", status_code=303)
def acknowledge_by_link(request: Request, pool: Pool, settings: Configured, token: Token) -> Response:
    """Acknowledge what the message told of, as its receiver. Again is the same as once."""
    # Browsers say so; without the header it is one that is older than that, and nobody else has the token.
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return fault_page(request, faults.NOT_FROM_HERE)
    link = _admitted(request, pool, token)
    with pool.connection() as connection:
        delivery = _delivery(connection, link)
        reader, _ = _receiver(connection, delivery)
        caller = Caller(reader.actor, Role.operator)
        keys = [delivery["episode_key"], *reader.companions]
        _acknowledge(connection, keys, caller, settings, note=f"消息链接，推送 {delivery['delivery_key']}")
    return back_to(request)


def _admitted(request: Request, pool: Pool, token: str) -> Link:
    admission: Admission = request.app.state.admission
    try:
        link = admission.admit(token, CLOCK.now())
    except LinkError as error:
        _pace(request.app.state.unknown_paces, network_of(browser.address_of(request)))
        raise _Refused(error, _number_of(pool, error.link)) from None
    _pace(request.app.state.link_paces, str(link.delivery_key))
    return link


def _delivery(connection: Connection, link: Link) -> Row:
    """The delivery whose link it is."""
    found = fetch_kept(connection, "page.delivery", asdict(link))
    if not found:
        raise not_found("delivery any more by which this link came")
    return found[0]


def _pace(buckets: Buckets, name: str) -> None:
    wait_s = buckets.take(name)
    if wait_s:
        raise Problem("too-many", "Opened too often in a short time.", headers={"Retry-After": str(ceil(wait_s))})


class _Refused(Problem):
    """A link that does not open."""

    def __init__(self, error: LinkError, episode_key: int | None) -> None:
        super().__init__("not-found", str(error))
        self.fault = faults.of_link(error.fault, episode_key)


def _number_of(pool: Pool, link: Link | None) -> int | None:
    """Of a link that has expired: which alarm it was about, for whoever may log in."""
    if link is None:
        return None
    with pool.connection() as connection:
        found = fetch_kept(connection, "page.delivery", asdict(link))
    return found[0]["episode_key"] if found else None


def _receiver(connection: Connection, delivery: Row) -> tuple[Reader, list[Row]]:
    companions = fetch_kept(connection, "page.companions", delivery)
    return of_link(delivery["sink"], tuple(row["episode_key"] for row in companions)), companions


# by its number --------------------------------------------------------------------------------------------------------


@router.get("/alarms/{episode_key}", summary="An alarm's page, for who has logged in")
def show_by_number(request: Request, pool: Pool, caller: WhoCalls, episode_key: EpisodeKeyPath) -> Response:
    """The page of `/a/{token}`, as far as the caller's role lets him read and acknowledge."""
    reader = of_caller(
        caller.name, caller.role, may_acknowledge=needed("POST", "/alarms/{episode_key}").admits(caller.role)
    )
    with pool.connection() as connection:
        facts = facts_of(connection, episode_key, CLOCK.now(), caller.scope)
    return _shown(request, facts, reader, [])


@router.post("/alarms/{episode_key}", summary="Acknowledge on an alarm's page", status_code=303)
def acknowledge_by_number(
    request: Request, pool: Pool, caller: WhoCalls, settings: Configured, episode_key: EpisodeKeyPath
) -> Response:
    """In the caller's name. Again is the same as once; the answer leads back to the page."""
    with pool.connection() as connection:
        if not _acknowledge(connection, [episode_key], caller, settings):
            raise not_found(f"alarm with the episode key {episode_key}")
    return back_to(request)


# both -----------------------------------------------------------------------------------------------------------------


def _shown(request: Request, facts: Facts | None, reader: Reader, companions: list[Row]) -> Response:
    if facts is None:
        raise not_found("such alarm")
    beside = tuple(_companion(row, facts.episode["district"] or "") for row in companions)
    names = tuple(series.label for series in facts.series)
    return alarm_page(request, view(facts, reader, CLOCK.now(), beside), names)


def _companion(row: Row, district: str) -> str:
    codes = {row["asset_code"], row["device_id"]} - {""}
    place = joined(*address_and_name(row["address"], row["name"], area=district, codes=codes))
    over = "（已解除）" if row["cleared_at"] is not None else ""
    return f"{row['title']}｜{place}{over}" if place else f"{row['title']}{over}"


def _acknowledge(
    connection: Connection, keys: list[int], caller: Caller, settings: Settings, note: str | None = None
) -> bool:
    """Whether there is such an alarm in the caller's scope."""
    acted = act(connection, keys, Act(action="acknowledge", note=note), caller, settings)
    return not acted.failed


def _readable(request: Request, problem: Problem) -> Response:
    if isinstance(problem, _Refused):
        return fault_page(request, problem.fault)
    match problem.kind:
        case "no-key":
            return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)
        case "role-too-low" | "scope-too-narrow":
            return fault_page(request, faults.NOT_ALLOWED)
        case "not-from-here":
            return fault_page(request, faults.NOT_FROM_HERE)
        case "too-many":
            wait_s = int(problem.headers.get("Retry-After", "1"))
            return fault_page(request, faults.too_many(wait_s), {"Retry-After": str(wait_s)})
        case "unavailable":
            return fault_page(request, faults.NOT_NOW, {"Retry-After": "5"})
        case "not-found" | "invalid":
            return fault_page(request, faults.GONE)
        case _:
            raise problem
