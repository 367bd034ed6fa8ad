"""The door: every route × every role, and what is no key."""

from __future__ import annotations

import time

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from api.access import GuardedRoute
from api.app import create_app
from api.roles import NEEDED, Door, Need, Reach, Role
from tests.integration.api.served import Served, problem
from underfoot.settings import load

_ARGUMENTS = {
    "{code}": "410502",
    "{asset_key}": "1",
    "{device_id}": "cover-0312",
    "{episode_key}": "2",
    "{rule_id}": "cover.tilt",
    "{quarantine_key}": "1",
    "{kind}": "device",
    "{name}": "nobody",
    "{mapping}": "ctwing",
    "{direction}": "upstream",
    "{incident_key}": "1",
    "{order}": "WO-1",
    "{pipe_id}": "W1",
    "{scope}": "area:410502",
    "{year}": "2026",
    "{session_key}": "1",
    "{case_key}": "1",
    "{part}": "login.css",
    "{token}": "none",
    "{sink}": "none",
}


def _called(path: str) -> str:
    for placeholder, argument in _ARGUMENTS.items():
        path = path.replace(placeholder, argument)
    assert "{" not in path
    return path


def _served_routes() -> set[tuple[str, str]]:
    app = create_app(load(database_url="postgresql://nobody@127.0.0.1:1/none", mqtt_url="mqtt://127.0.0.1:1"))
    found = set()
    for context in iter_route_contexts(app.routes):
        assert isinstance(context.original_route, GuardedRoute), f"{context.path} is not guarded"
        assert isinstance(context.original_route, APIRoute)
        found |= {(method, str(context.path)) for method in context.methods or ()}
    return found


def test_every_route_is_guarded_and_stands_in_the_table_and_the_table_has_no_other() -> None:
    assert _served_routes() == set(NEEDED)


@pytest.mark.parametrize("role", [None, *Role])
def test_every_route_admits_the_roles_it_names_and_no_other(city: Served, role: Role | None) -> None:
    """Of callers who have the whole city; those who have a part of it: test_api_scope.py."""
    for (method, path), need in sorted(NEEDED.items()):
        answer = city.call(method, _called(path), role)
        if need.reach is Reach.open:
            _open(need, path, answer)
        elif role is None:
            problem(answer, 401, "no-key")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        elif not need.admits(role):
            told = problem(answer, 403, "role-too-low")["detail"]
            assert all(each.value in told for each in (need.role, *need.also) if isinstance(each, Role))
            assert f"the-{role.value}" in told
        elif need.reach is Reach.own:
            problem(answer, 403, "role-too-low")
        else:
            assert answer.status_code not in (401, 403), (method, path, answer.text)
            assert answer.status_code < 500, (method, path, answer.text)


def _open(need: Need, path: str, answer: httpx.Response) -> None:
    """No key opens it, and none is needed."""
    if need.role is Door.vendor:
        problem(answer, 401, "no-key")
        assert answer.headers["www-authenticate"].startswith("Basic"), "no key opens a vendor's door"
    elif need.role is None:
        assert answer.status_code in (200, 303, 401, 404, 422, 503), path
    else:
        assert answer.status_code in (400, 401, 403, 404, 422), path


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Basic dXNlcjpwYXNz",
        "Bearer uf_short",
        "Bearer " + "x" * 46,
        "uf_" + "x" * 43,
        "Bearer uf_" + "x" * 43,
    ],
)
def test_what_is_no_key_is_refused(api: Served, header: str) -> None:
    answer = httpx.get(f"{api.url}/api/v1/devices", headers={"Authorization": header})
    problem(answer, 401, "no-key")


def test_a_key_is_refused_before_the_body_is_read(api: Served) -> None:
    answer = httpx.post(f"{api.url}/api/v1/keys", content=b"{not json")
    problem(answer, 401, "no-key")


def test_a_revoked_key_opens_nothing_after_five_seconds(api: Served) -> None:
    assert api.get("/api/v1/devices").status_code == 200
    api.run("UPDATE api_keys SET revoked_at = now() WHERE name = 'the-viewer'")
    revoked_at = time.monotonic()
    while api.get("/api/v1/devices").status_code == 200:
        assert time.monotonic() - revoked_at < 5
        time.sleep(0.1)
    problem(api.get("/api/v1/devices"), 401, "no-key")


def test_a_key_made_a_moment_ago_opens_at_once(api: Served) -> None:
    secret = api.post("/api/v1/keys", Role.administrator, {"name": "new", "role": "viewer"}).json()["secret"]
    assert api.call("GET", "/api/v1/devices", secret=secret).status_code == 200
