"""The door: every route asks who calls, by a key or a session of the role it needs, before anything of the request is
read; and holds what it answers to the caller's scope (api/roles.py says how)."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from fastapi.routing import APIRoute

from api import browser, vendors
from api.callers import Caller, Ring
from api.limits import Buckets
from api.people.guessing import network_of
from api.problems import Problem
from api.roles import Door, Need, Reach, Role, UndeclaredRouteError, needed

log = logging.getLogger("underfoot.api")

PROBES = frozenset(("/healthz", "/readyz"))
"""Whoever keeps us running asks these as often as they need."""


class GuardedRoute(APIRoute):
    """A route that admits callers by `api.roles.NEEDED`. Without a line there, it cannot be made; nor one within the
    caller's scope that does not ask who calls."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        needs = {method: needed(method, self.path) for method in self.methods or ()}
        for method, need in needs.items():
            if need.reach in (Reach.within, Reach.own) and "caller" not in inspect.signature(self.endpoint).parameters:
                raise UndeclaredRouteError(
                    f"{method} {self.path}: is bound to the caller, and has no `caller: WhoCalls`"
                )

        async def guarded(request: Request) -> Response:
            need = needs[request.method]
            if need.role is Door.vendor:
                request.state.account = await run_in_threadpool(vendors.admit, request)
                return await handle(request)
            if isinstance(need.role, Door):
                # By the signature of a platform's callback, by the token of a message's link: its route looks itself.
                return await handle(request)
            if need.role is None:
                if self.path not in PROBES:
                    _pace_unknown(request)
                return await handle(request)
            caller = await _admit(request, need)
            request.state.caller = caller
            response = await handle(request)
            if need.reach is Reach.within and not caller.scope.asked.at_all:
                log.error("%s %s: answered without asking the caller's scope", request.method, self.path)
                raise Problem(
                    "internal", "This route answered without asking what its caller may see; nothing is shown."
                )
            return response

        return guarded


async def _admit(request: Request, need: Need) -> Caller:
    secret, from_cookie = _shown(request)
    ring: Ring = request.app.state.ring
    found = ring.remembered(secret) or await run_in_threadpool(ring.caller, secret)
    if found is None or found.cookie is not from_cookie:
        _pace_unknown(request)
        raise _no_key("the key or session is not known, is over, or was revoked")
    if from_cookie and request.method not in browser.SAFE and not browser.same_origin(request):
        raise Problem("not-from-here", "A browser's session changes something only from a page of this same address.")
    caller = found.once()
    if caller.role is not Role.broker:
        _pace(request.app.state.paces, f"{caller.kind} {caller.name}")
    if not need.admits(caller.role):
        raise Problem(
            "role-too-low",
            f"{request.method} {request.url.path} needs the role {_roles(need)};"
            f" {_whose(caller)} has the role {caller.role.value}.",
        )
    if need.reach is Reach.whole and not Caller.once(caller).scope.is_whole:
        raise Problem(
            "scope-too-narrow",
            f"{request.method} {request.url.path} concerns the whole city; {_whose(caller)} has only a part of it.",
        )
    if need.reach is Reach.own and caller.person is None:
        raise Problem("role-too-low", f"{request.url.path} is for people who have logged in; a key has nothing there.")
    return caller


def _roles(need: Need) -> str:
    first = need.role.value if need.role is not None else ""
    others = sorted(role.value for role in need.also)
    return f"{', '.join([first, *others[:-1]])} or {others[-1]}" if others else first


def _whose(caller: Caller) -> str:
    return f"the key {caller.name!r}" if caller.kind == "key" else f"{caller.name!r}"


def _shown(request: Request) -> tuple[str, bool]:
    """The secret, and whether it came as a cookie."""
    header = request.headers.get("authorization")
    if header is None:
        cookie = request.cookies.get(browser.access_cookie(request))
        if cookie is not None:
            return cookie, True
        _pace_unknown(request)
        raise _no_key("the Authorization header is missing")
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret:
        _pace_unknown(request)
        raise _no_key("the Authorization header is not of the form `Bearer <key>`")
    return secret.strip(), False


def _pace_unknown(request: Request) -> None:
    _pace(request.app.state.unknown_paces, network_of(browser.address_of(request)))


def _pace(buckets: Buckets, name: str) -> None:
    wait_s = buckets.take(name)
    if wait_s:
        raise too_many("Too many calls in a short time", wait_s)


def too_many(why: str, wait_s: float) -> Problem:
    seconds = max(1, math.ceil(wait_s))
    return Problem("too-many", f"{why}: again in {seconds} s.", headers={"Retry-After": str(seconds)})


def _no_key(why: str) -> Problem:
    return Problem(
        "no-key",
        f"Send `Authorization: Bearer <key>`: {why}. `underfoot keys create` makes a key; people log in at /login.",
        headers={"WWW-Authenticate": 'Bearer realm="underfoot"'},
    )
