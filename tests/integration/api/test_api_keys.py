"""Keys: made, listed and revoked, by administrators and by whoever has the command."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from api.cli import commands
from api.roles import Role
from tests.integration.api.served import Served, problem
from underfoot.storage.migrate import MigrationError


def _run(database: str, *arguments: str) -> Result:
    return CliRunner().invoke(commands, ["keys", *arguments], env={"UNDERFOOT_DATABASE_URL": database})


def _rows(database: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_an_administrator_makes_lists_and_revokes_keys(api: Served) -> None:
    made = api.post("/api/v1/keys", Role.administrator, {"name": "wall", "role": "viewer"})
    assert made.status_code == 201, made.text
    secret = made.json()["secret"]
    assert re.fullmatch(r"uf_[A-Za-z0-9_-]{43}", secret)
    assert api.call("GET", "/api/v1/devices", secret=secret).status_code == 200
    page = api.ok("/api/v1/keys", Role.administrator, limit=4)
    rest = api.ok("/api/v1/keys", Role.administrator, limit=4, cursor=page["next"])
    listed = page["items"] + rest["items"]
    assert [key["name"] for key in listed] == [*sorted(f"the-{role.value}" for role in Role), "wall"]
    assert rest["next"] is None
    assert "secret" not in str(listed)
    revoked = api.call("DELETE", "/api/v1/keys/wall", Role.administrator)
    assert revoked.status_code == 200
    assert revoked.json()["revoked_at"] is not None
    again = api.call("DELETE", "/api/v1/keys/wall", Role.administrator)
    assert again.json() == revoked.json()
    assert api.run(
        "SELECT actor, action, subject, detail FROM audit WHERE subject = 'api_key:wall' ORDER BY audit_key"
    ) == [
        (
            "the-administrator",
            "api_key.create",
            "api_key:wall",
            {"role": "viewer", "areas": None, "units": None, "expires_at": None},
        ),
        ("the-administrator", "api_key.revoke", "api_key:wall", {}),
    ]


def test_only_the_hash_is_kept(api: Served) -> None:
    secret = api.post("/api/v1/keys", Role.administrator, {"name": "wall", "role": "viewer"}).json()["secret"]
    [(kept,)] = api.run("SELECT secret_hash FROM api_keys WHERE name = 'wall'")
    assert kept == hashlib.sha256(secret.encode()).digest()
    everything = str(api.run("SELECT * FROM api_keys")) + str(api.run("SELECT * FROM audit"))
    assert secret not in everything


def test_a_name_is_used_once(api: Served) -> None:
    api.call("DELETE", "/api/v1/keys/the-viewer", Role.administrator)
    taken = api.post("/api/v1/keys", Role.administrator, {"name": "the-viewer", "role": "viewer"})
    assert "'the-viewer'" in problem(taken, 409, "conflict")["detail"]


def test_what_a_key_cannot_be(api: Served) -> None:
    for body, field in [
        ({"name": "a b", "role": "viewer"}, "name"),
        ({"name": "", "role": "viewer"}, "name"),
        ({"name": "x" * 65, "role": "viewer"}, "name"),
        ({"name": "x", "role": "root"}, "role"),
        ({"name": "x"}, "role"),
        ({"name": "x", "role": "viewer", "secret": "mine"}, "secret"),
    ]:
        [error] = problem(api.post("/api/v1/keys", Role.administrator, body), 422, "invalid")["errors"]
        assert error["field"] == field
    problem(api.call("DELETE", "/api/v1/keys/nobody", Role.administrator), 404, "not-found")


def test_the_command_makes_lists_and_revokes_keys(database: str) -> None:
    made = _run(database, "create", "control-room", "--role", "operator")
    assert made.exit_code == 0, made.output
    assert re.fullmatch(r"uf_[A-Za-z0-9_-]{43}\n", made.stdout)
    assert made.stdout.strip() not in made.stderr
    as_json = json.loads(_run(database, "create", "wall", "--role", "viewer", "--json").stdout)
    assert (as_json["name"], as_json["role"], as_json["revoked_at"]) == ("wall", "viewer", None)
    assert as_json["secret"].startswith("uf_")
    assert json.loads(_run(database, "revoke", "wall", "--json").stdout)["revoked_at"] is not None
    assert _run(database, "revoke", "wall").exit_code == 0
    listed = json.loads(_run(database, "list", "--json").stdout)
    assert [(key["name"], key["role"], key["revoked_at"] is None) for key in listed] == [
        ("control-room", "operator", True),
        ("wall", "viewer", False),
    ]
    shown = _run(database, "list").stdout
    assert "control-room" in shown
    assert "operator" in shown
    assert [row[0] for row in _rows(database, "SELECT action FROM audit ORDER BY audit_key")] == [
        "api_key.create",
        "api_key.create",
        "api_key.revoke",
    ]
    assert {row[0].split(":")[0] for row in _rows(database, "SELECT actor FROM audit")} == {"cli"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "a b", "--role", "viewer"], "NAME = 'a b'"),
        (["create", "x", "--role", "root"], "root"),
        (["create", "x"], "--role"),
        (["revoke", "nobody"], "there is no key named 'nobody'"),
    ],
)
def test_what_the_command_refuses(database: str, arguments: list[str], told: str) -> None:
    done = _run(database, *arguments)
    assert done.exit_code != 0
    assert told in done.stderr


def test_a_database_without_tables_is_told(postgres_server: str) -> None:
    for arguments in (["create", "x", "--role", "viewer"], ["list"], ["revoke", "x"]):
        with pytest.raises(MigrationError, match="run `underfoot db migrate`"):
            CliRunner().invoke(
                commands, ["keys", *arguments], env={"UNDERFOOT_DATABASE_URL": postgres_server}, catch_exceptions=False
            )


def test_the_command_does_not_use_a_name_twice(database: str) -> None:
    _run(database, "create", "wall", "--role", "viewer")
    again = _run(database, "create", "wall", "--role", "operator")
    assert again.exit_code == 1
    assert again.stdout == ""
    assert "there is a key named 'wall' already" in again.stderr
