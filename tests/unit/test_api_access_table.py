"""The table of routes, roles and reaches: default deny."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from api import problems
from api.access import PROBES, GuardedRoute
from api.callers import Caller
from api.dependencies import WhoCalls
from api.limits import Buckets
from api.roles import NEEDED, Door, Need, Reach, Role, UndeclaredRouteError, needed
from api.scope import Scope

V1 = "/api/v1"


def test_each_rank_may_what_the_one_before_it_may() -> None:
    ranks = [Role.viewer, Role.operator, Role.administrator]
    for i, role in enumerate(ranks):
        assert [role.may(rank) for rank in ranks] == [n <= i for n in range(3)]


def test_a_role_without_rank_may_only_what_names_it() -> None:
    for role in (Role.crew, Role.integrator, Role.broker):
        assert [other for other in Role if role.may(other)] == [role]
        assert not Need(Role.viewer, Reach.same).admits(role)
        assert Need(Role.administrator, Reach.same, role).admits(role)
        assert not Need(None, Reach.open, role).admits(Role.viewer)


def test_a_route_without_a_declared_role_cannot_be_made() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(UndeclaredRouteError, match=r"GET /api/v1/new: declare in api/roles\.py"):
        router.add_api_route("/api/v1/new", lambda: None)


def test_a_method_without_a_declared_role_cannot_be_added_to_a_declared_path() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(UndeclaredRouteError, match="DELETE /api/v1/devices"):
        router.add_api_route("/api/v1/devices", lambda: None, methods=["DELETE"])


def test_a_route_within_the_callers_scope_that_does_not_ask_who_calls_cannot_be_made() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(UndeclaredRouteError, match="bound to the caller"):
        router.add_api_route("/api/v1/devices", lambda: None)

    def devices(caller: WhoCalls) -> None:
        assert caller

    router.add_api_route("/api/v1/devices", devices)


class _OneCaller:
    """A ring that knows one secret: that of somebody who has a part of the city."""

    def remembered(self, secret: str) -> Caller | None:
        return Caller("wenfeng", Role.viewer, Scope(areas=("410502",))) if secret == "x" else None

    def caller(self, secret: str) -> None:
        return None


def _asked(endpoint: Callable[..., object], secrets: Sequence[str] = ("x",)) -> list[httpx.Response]:
    """The answers of a route of which `endpoint` is the work, to who shows these secrets, one after the other."""
    router = APIRouter(route_class=GuardedRoute)
    router.add_api_route("/api/v1/devices", endpoint)
    app = FastAPI()
    problems.install(app)
    app.state.ring = _OneCaller()
    app.state.paces = Buckets(0.5, 3)
    app.state.unknown_paces = Buckets(0.5, 2)
    app.include_router(router)

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return [
                await client.get("/api/v1/devices", headers={"Authorization": f"Bearer {each}"}) for each in secrets
            ]

    return asyncio.run(ask())


def test_a_route_that_forgets_to_ask_the_scope_is_refused_its_answer() -> None:
    """Whoever writes a route and forgets about scopes shows nobody anything."""

    def forgetful(caller: WhoCalls) -> dict[str, str]:
        return {"everything": caller.name}

    def asking(caller: WhoCalls) -> dict[str, bool]:
        return {"here": caller.scope.holds_area("410502")}

    [answer] = _asked(forgetful)
    assert answer.status_code == 500
    assert "everything" not in answer.text
    [answer] = _asked(asking)
    assert answer.json() == {"here": True}


def test_who_calls_too_often_must_wait() -> None:
    def devices(caller: WhoCalls) -> dict[str, bool]:
        return {"here": caller.scope.is_whole}

    answers = _asked(devices, "xxxx")
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].headers["retry-after"] == "2"
    assert [answer.status_code for answer in _asked(devices, "yyyxx")] == [401, 401, 429, 200, 200]


def test_nobody_is_asked_only_where_it_says_nothing_of_the_city() -> None:
    free = {key for key, need in NEEDED.items() if need.role is None}
    assert {path for _, path in free} >= PROBES
    assert {path for _, path in free} - PROBES == {
        f"{V1}/session",
        f"{V1}/session/refresh",
        f"{V1}/session/password",
        "/login",
        "/login/provider",
        "/login/return",
        "/login/{part}",
    }
    assert all(need.reach is Reach.open for need in NEEDED.values() if not isinstance(need.role, Role))
    assert all(need.reach is not Reach.open for need in NEEDED.values() if isinstance(need.role, Role))


def test_what_writes_needs_more_than_a_viewer() -> None:
    """But for what is the caller's own."""
    for (method, path), need in NEEDED.items():
        if method != "GET" and need.reach not in (Reach.open, Reach.own):
            assert isinstance(need.role, Role), path
            assert not need.admits(Role.viewer), path
            assert needed(method, path) is need


def test_an_administrator_may_all_but_what_a_broker_asks() -> None:
    kept = {
        path
        for (_, path), need in NEEDED.items()
        if isinstance(need.role, Role) and not need.admits(Role.administrator)
    }
    assert kept == {f"{V1}/broker/authenticate", f"{V1}/broker/authorize"}


def test_rights_keys_and_people_are_for_administrators_of_the_whole_city_alone() -> None:
    for (method, path), need in NEEDED.items():
        if path.split("/")[3:4] in (["people"], ["keys"], ["audit"]):
            assert need.roles == (Role.administrator,), (method, path)
            assert need.reach is Reach.whole, (method, path)


def test_only_a_push_comes_in_by_the_vendors_door() -> None:
    assert {path for (_, path), need in NEEDED.items() if need.role is Door.vendor} == {"/api/v1/push/{mapping}"}


def test_only_an_alarms_page_comes_in_by_the_door_of_links() -> None:
    assert {path for (_, path), need in NEEDED.items() if need.role is Door.link} == {"/a/{token}"}
