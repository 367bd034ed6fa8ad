"""The vendors' door: a vendor account comes in by HTTP Basic, or with the same two as a bearer token.

The database is asked at every push: a credential that was revoked opens nothing from then on.
"""

from __future__ import annotations

import binascii
from base64 import b64decode

from fastapi import Request
from psycopg_pool import ConnectionPool

from api.problems import Problem
from underfoot.identity import Account, authenticate
from underfoot.storage.connect import Connection


def admit(request: Request) -> Account:
    """The vendor account that the request shows the credential of."""
    username, secret = _shown(request)
    pool: ConnectionPool[Connection] = request.app.state.pool
    with pool.connection() as connection:
        account = authenticate(connection, username, secret)
    if account is None:
        raise _not_known("the user name and the secret open nothing, or were revoked")
    if account.kind != "vendor" or account.vendor is None:
        raise Problem(
            "role-too-low",
            f"{request.method} {request.url.path} needs a vendor's account;"
            f" {account.name!r} is the account of a {account.kind}.",
        )
    return account


def _shown(request: Request) -> tuple[str, str]:
    header = request.headers.get("authorization")
    if header is None:
        raise _not_known("the Authorization header is missing")
    scheme, _, rest = header.partition(" ")
    match scheme.lower():
        case "basic":
            try:
                said = b64decode(rest.strip(), validate=True).decode()
            except (binascii.Error, ValueError):
                raise _not_known("what follows `Basic` is not Base64 of `user name:secret` in UTF-8") from None
        case "bearer":
            said = rest.strip()
        case _:
            raise _not_known("the Authorization header is not of the form `Basic …` or `Bearer user name:secret`")
    username, colon, secret = said.partition(":")
    if not colon or not username or not secret:
        raise _not_known("a user name and a secret with a colon between them are needed")
    return username, secret


def _not_known(why: str) -> Problem:
    return Problem(
        "no-key",
        f"Log in as a vendor's account by HTTP Basic: {why}. `underfoot credentials issue vendor` makes one.",
        headers={"WWW-Authenticate": 'Basic realm="underfoot", charset="UTF-8"'},
    )
