"""Out of service (检修中): from a crew's arrival to its done nobody is told of what its work order is about."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from alerts.regions.actions import Order, begin_out_of_service, cause_of, end_out_of_service
from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls, device_key_of
from api.masking import discreet
from api.models.actions import OrderBegun, OrderDone, OrderName
from api.models.regions import OutOfService, OutOfServicePage
from api.parameters import Paged
from api.problems import Problem, invalid, not_found
from api.roles import V1
from api.rows import Row, audit, fetch_all, fetch_one, one_page
from api.scope import Scope
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection

router = APIRouter(prefix=f"{V1}/out-of-service", tags=["out of service"], route_class=GuardedRoute)

_OrderPath = Annotated[OrderName, Path(description="The work order's reference", examples=["WO-20260701-017"])]


class OrderFilters(Paged):
    """What began last comes first."""


@router.get("", summary="List work orders under way")
def list_orders(pool: Pool, caller: WhoCalls, filters: Annotated[OrderFilters, Query()]) -> OutOfServicePage:
    """Each with the kinds of alarm that it is about, and of how many something was kept back."""
    reached_key = None
    if filters.cursor is not None:
        [reached_key] = redeem(filters, "orders", filters.cursor, (int,))
    with pool.connection() as connection:
        params = {"cause": None, "reached_key": reached_key, "limit": filters.limit + 1, **caller.scope.params()}
        rows = fetch_all(connection, "api_alarms.orders", params)
        rows = discreet(connection, caller.role, rows, "actor", texts=("reason",))
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "orders", (row["newest"],)))
    return OutOfServicePage(items=[OutOfService.model_validate(row) for row in rows], next=following)


@router.post("", summary="A crew has arrived: put what its order is about out of service")
def begin_order(pool: Pool, caller: WhoCalls, body: OrderBegun) -> OutOfService:
    """Only alarms of the named rules, those included that have never been raised; all others go on as ever. Whoever was
    told of an episode is still told its end. Again is the same as once; with other places or rules it adds these."""
    with pool.connection() as connection:
        order = _order(connection, body, caller.scope)
        was = fetch_one(connection, "api_alarms.order_was", {"cause": order.cause, **caller.scope.params()})
        if was is not None and was["elsewhere"]:
            raise Problem("conflict", f"order = {body.order!r}: an order of this reference is under way elsewhere.")
        keys = begin_out_of_service(connection, order, caller.name, CLOCK.now(), reason=body.reason)
        if not keys:
            raise invalid("rules", body.rules, "there is nothing here that these rules judge", place="body")
        audit(
            connection,
            caller.name,
            "order.begin",
            f"order:{body.order}",
            asset=body.asset,
            device=body.device,
            rules=body.rules,
            reason=body.reason,
            alarms=len(keys),
        )
        row = _find(connection, body.order, caller.scope)
    if row is None:
        raise Problem("conflict", f"order {body.order} was ended meanwhile.")
    return OutOfService.model_validate(row)


@router.delete("/{order}", summary="The order is done: back in service")
def end_order(pool: Pool, caller: WhoCalls, order: _OrderPath) -> OrderDone:
    """Its alarms are told of again; what was kept back, by their present state. Again is the same as once."""
    with pool.connection() as connection:
        was = fetch_one(connection, "api_alarms.order_was", {"cause": cause_of(order), **caller.scope.params()})
        if was is None or not was["found"] or was["elsewhere"]:
            raise not_found(f"work order {order}")
        ended = end_out_of_service(connection, order, caller.name, CLOCK.now())
        if ended:
            audit(connection, caller.name, "order.end", f"order:{order}", alarms=ended)
    return OrderDone(order=order, ended=ended)


def _find(connection: Connection, order: str, scope: Scope) -> Row | None:
    params = {"cause": cause_of(order), "reached_key": None, "limit": 1, **scope.params()}
    return fetch_one(connection, "api_alarms.orders", params)


def _order(connection: Connection, body: OrderBegun, scope: Scope) -> Order:
    """The order in keys; what it names must be there."""
    there = fetch_one(connection, "api_alarms.asset_there", {"asset_key": body.asset}) if body.asset else None
    if body.asset is not None and (there is None or not scope.holds(there["area_code"], there["maintenance_unit"])):
        raise invalid("asset", body.asset, "there is no asset with this key; see /api/v1/assets", place="body")
    rules = sorted({rule for rule in body.rules if not rule.endswith(".*")})
    groups = sorted({rule.removesuffix(".*") for rule in body.rules if rule.endswith(".*")})
    known = {row["rule_id"] for row in fetch_all(connection, "api_alarms.rule_ids", {})}
    for rule in rules:
        if rule not in known:
            raise invalid("rules", rule, "there never was such a rule; see /api/v1/rules", place="body")
    for group in groups:
        if not any(rule_id.startswith(f"{group}.") for rule_id in known):
            raise invalid("rules", f"{group}.*", "there never was a rule of this name; see /api/v1/rules", place="body")
    return Order(body.order, device_key_of(connection, scope, body.device, place="body"), body.asset, rules, groups)
