"""People of the tests: accounts with passwords, and their sessions."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from api.people import accounts, passwords
from api.roles import Role
from tests.integration.api.served import Served
from underfoot.storage.connect import connect

SESSION = "/api/v1/session"
PASSWORD = "雨夜里巡查的老张 walks home"

EMPTY = "TRUNCATE people, invitations, sessions, session_tokens, guesses, oidc_logins RESTART IDENTITY CASCADE"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


def make_hashing_cheap(patch: pytest.MonkeyPatch) -> None:
    """What makes guessing dear makes tests slow; tests/unit/test_api_passwords.py sees to what it costs in earnest."""
    patch.setattr(passwords, "_hasher", CHEAP)
    patch.setattr(passwords, "_NOBODYS", CHEAP.hash("nobody's"))


def add(database: str, name: str, role: Role, *, password: str | None = PASSWORD, **rights: Any) -> None:
    with connect(database, "test") as connection:
        row = accounts.add(connection, name, role, "test", **rights)
        if password is not None:
            accounts.set_password(connection, row, password, "test")


def try_log_in(served: Served, name: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    return served.client.post(f"{served.url}{SESSION}", json={"name": name, "password": password}, **more)


def log_in(served: Served, name: str, password: str = PASSWORD) -> dict[str, Any]:
    answer = try_log_in(served, name, password)
    assert answer.status_code == 201, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens
