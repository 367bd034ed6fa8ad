"""The table of routes and roles: default deny."""

from __future__ import annotations

import pytest
from fastapi import APIRouter

from api.access import GuardedRoute
from api.roles import NEEDED, Door, Role, UndeclaredRouteError, needed_role


def test_each_role_may_what_the_one_before_it_may() -> None:
    ranks = [Role.viewer, Role.operator, Role.administrator]
    for i, role in enumerate(ranks):
        assert [role.may(needed) for needed in ranks] == [n <= i for n in range(3)]


def test_a_route_without_a_declared_role_cannot_be_made() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(UndeclaredRouteError, match=r"GET /api/v1/new: declare in api/roles\.py"):
        router.add_api_route("/api/v1/new", lambda: None)


def test_a_method_without_a_declared_role_cannot_be_added_to_a_declared_path() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(UndeclaredRouteError, match="DELETE /api/v1/devices"):
        router.add_api_route("/api/v1/devices", lambda: None, methods=["DELETE"])


def test_only_health_needs_no_key() -> None:
    assert {path for (_, path), role in NEEDED.items() if role is None} == {"/healthz", "/readyz"}


def test_what_writes_needs_more_than_a_viewer() -> None:
    for (method, path), role in NEEDED.items():
        if method != "GET":
            assert role is not None, path
            assert isinstance(role, Door) or not Role.viewer.may(role), path
            assert needed_role(method, path) is role


def test_only_a_push_comes_in_by_the_vendors_door() -> None:
    assert {path for (_, path), needed in NEEDED.items() if needed is Door.vendor} == {"/api/v1/push/{mapping}"}
