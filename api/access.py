"""The door: every route asks for a key of the role it needs before anything of the request is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from fastapi.routing import APIRoute

from api import vendors
from api.keys import Caller, KeyRing
from api.problems import Problem
from api.roles import Door, Role, needed_role


class GuardedRoute(APIRoute):
    """A route that admits callers by `api.roles.NEEDED`. Without a line there, it cannot be made."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        needed = {method: needed_role(method, self.path) for method in self.methods or ()}

        async def guarded(request: Request) -> Response:
            role = needed[request.method]
            if role is Door.vendor:
                request.state.account = await run_in_threadpool(vendors.admit, request)
            elif role is not None:
                request.state.caller = await _admit(request, role)
            return await handle(request)

        return guarded


async def _admit(request: Request, role: Role) -> Caller:
    secret = _bearer(request)
    ring: KeyRing = request.app.state.ring
    caller = ring.remembered(secret) or await run_in_threadpool(ring.caller, secret)
    if caller is None:
        raise _no_key("the key is not known, or was revoked")
    if not caller.role.may(role):
        raise Problem(
            "role-too-low",
            f"{request.method} {request.url.path} needs the role {role.value};"
            f" the key {caller.name!r} has the role {caller.role.value}.",
        )
    return caller


def _bearer(request: Request) -> str:
    header = request.headers.get("authorization")
    if header is None:
        raise _no_key("the Authorization header is missing")
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise _no_key("the Authorization header is not of the form `Bearer <key>`")
    return secret.strip()


def _no_key(why: str) -> Problem:
    return Problem(
        "no-key",
        f"Send `Authorization: Bearer <key>`: {why}. `underfoot keys create` makes a key.",
        headers={"WWW-Authenticate": 'Bearer realm="underfoot"'},
    )
