"""What an endpoint may ask for: the database, who calls, and keys of things that a filter names."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from psycopg_pool import ConnectionPool

from api.callers import Caller
from api.problems import invalid
from api.rows import Row, fetch_all, fetch_one
from api.scope import Scope
from underfoot.settings import Settings
from underfoot.storage.connect import Connection


def _pool(request: Request) -> ConnectionPool[Connection]:
    pool: ConnectionPool[Connection] = request.app.state.pool
    return pool


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


# A connection is taken inside the endpoint (`with pool.connection()`), not by a dependency: a dependency's end comes
# after the answer is sent, and nothing may be answered before its COMMIT.
Pool = Annotated[ConnectionPool[Connection], Depends(_pool)]
WhoCalls = Annotated[Caller, Depends(_caller)]
Configured = Annotated[Settings, Depends(_settings)]


def areas_within(connection: Connection, code: str | None) -> list[str] | None:
    """The codes that a filter by area means; None where it was not asked for. An area that is not there is an error."""
    if code is None:
        return None
    codes = [row["code"] for row in fetch_all(connection, "api_areas.codes_within", {"code": code})]
    if not codes:
        raise invalid("area", code, "no area has this code, or one that begins with it; see /api/v1/areas/tree")
    return codes


def places(connection: Connection, scope: Scope, code: str | None = None) -> dict[str, list[str] | None]:
    """The parameters `areas` and `units` of a list: of what a filter by area means, what lies in the caller's scope. An
    area outside is an error as one that is not there."""
    within = scope.params(areas_within(connection, code))
    if code is not None and not within["areas"]:
        raise invalid("area", code, "no area has this code, or one that begins with it; see /api/v1/areas/tree")
    return within


def find_device(connection: Connection, scope: Scope, device_id: str) -> Row | None:
    """What the reports of a device are kept under; None where there is none in the caller's scope."""
    row = fetch_one(connection, "api_devices.find_device", {"device_id": device_id})
    return row if row is not None and scope.holds(row["area_code"], row["maintenance_unit"]) else None


def device_key_of(connection: Connection, scope: Scope, device_id: str | None, *, place: str = "query") -> int | None:
    """The key of the device that a caller names."""
    if device_id is None:
        return None
    row = find_device(connection, scope, device_id)
    if row is None:
        raise invalid("device", device_id, "no device reports under this id; see /api/v1/devices", place=place)
    key: int = row["device_key"]
    return key


def known_rule(connection: Connection, rule_id: str | None) -> str | None:
    """The rule that a filter names, in force or not."""
    if rule_id is not None:
        row = fetch_one(connection, "api_rules.rule_exists", {"rule_id": rule_id})
        if row is None or not row["found"]:
            raise invalid("rule", rule_id, "there never was such a rule; see /api/v1/rules")
    return rule_id
