"""Devices (设备): the sensor units, and what each said last."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls, places
from api.models.ledger import Device, DeviceDetail, DevicePage
from api.parameters import AreaCode, DeviceIdPath, FamilyName, IntKey, Paged, ShardName, Text
from api.problems import not_found
from api.roles import V1
from api.rows import fetch_all, fetch_one, one_page

router = APIRouter(prefix=f"{V1}/devices", tags=["devices"], route_class=GuardedRoute)

_NO_FILTER: dict[str, object] = dict.fromkeys(
    ("device_id", "areas", "units", "family", "status", "shard", "vendor", "asset_key")
)


class DeviceFilters(Paged):
    family: FamilyName | None = Field(None, description="设备类别")
    area: AreaCode | None = Field(None, description="Only in this area and below", examples=["410502"])
    status: Literal["in_service", "maintenance", "retired"] | None = Field(None, description="Only of this status")
    vendor: Text | None = Field(None, description="Exactly this vendor", examples=["某厂"])
    shard: ShardName | None = Field(None, description="Only of this shard", examples=["main"])
    asset: IntKey | None = Field(None, description="Only fixed to this asset (its key)", examples=[312])


@router.get("", summary="List devices")
def list_devices(pool: Pool, caller: WhoCalls, filters: Annotated[DeviceFilters, Query()]) -> DevicePage:
    """Devices in the order in which they were entered, each with when it was last heard."""
    after = redeem(filters, "devices", filters.cursor, (int,))[0] if filters.cursor else 0
    with pool.connection() as connection:
        asked = {
            **places(connection, caller.scope, filters.area),
            "asset_key": filters.asset,
            **filters.model_dump(include={"family", "status", "vendor", "shard"}),
        }
        rows = fetch_all(
            connection, "api_devices.list_devices", {**_NO_FILTER, **asked, "after": after, "limit": filters.limit + 1}
        )
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "devices", (row["device_key"],)))
    return DevicePage(items=[Device.of(row) for row in rows], next=following)


@router.get("/{device_id}", summary="One device and its latest values")
def get_device(pool: Pool, caller: WhoCalls, device_id: DeviceIdPath) -> DeviceDetail:
    """A device with the values of its newest report: each with unit and Chinese label."""
    with pool.connection() as connection:
        asked = {**_NO_FILTER, **caller.scope.params(), "device_id": device_id, "after": 0, "limit": 1}
        row = fetch_one(connection, "api_devices.list_devices", asked)
    if row is None:
        raise not_found(f"device {device_id!r}")
    return DeviceDetail.of(row)
