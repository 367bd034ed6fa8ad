"""Assets (部件): the things in the street; most covers have no sensor yet."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from api.access import GuardedRoute
from api.callers import Caller
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls, places
from api.masking import masked_columns
from api.models.ledger import Asset, AssetDetail, AssetPage
from api.parameters import AreaCode, IntKey, Paged, Text
from api.problems import not_found
from api.roles import V1
from api.rows import Row, fetch_all, fetch_one, one_page

router = APIRouter(prefix=f"{V1}/assets", tags=["assets"], route_class=GuardedRoute)

_NO_FILTER: dict[str, object] = dict.fromkeys(
    ("asset_key", "areas", "units", "asset_code", "kind", "maintenance_unit", "tag", "object_state", "with_device")
)


class AssetFilters(Paged):
    area: AreaCode | None = Field(None, description="Only in this area and below", examples=["410502"])
    asset_code: Text | None = Field(None, description="部件编码", examples=["4105020103000312"])
    kind: str | None = Field(
        None, pattern=r"^[0-9]{2,4}$", description="部件 class code or its first digits", examples=["01"]
    )
    maintenance_unit: Text | None = Field(None, description="养护单位", examples=["文峰区市政养护所"])
    tag: Text | None = Field(None, description="标签: only assets that have it", examples=["学校门口"])
    object_state: Literal["完好", "破损", "丢失", "废弃"] | None = Field(None, description="Only in this state")
    with_device: bool | None = Field(None, description="true: only assets with a device; false: only those without")


@router.get("", summary="List assets")
def list_assets(pool: Pool, caller: WhoCalls, filters: Annotated[AssetFilters, Query()]) -> AssetPage:
    """Assets in the order in which they were entered."""
    after = redeem(filters, "assets", filters.cursor, (int,))[0] if filters.cursor else 0
    with pool.connection() as connection:
        asked = filters.model_dump(include=set(_NO_FILTER)) | places(connection, caller.scope, filters.area)
        rows = fetch_all(
            connection, "api_assets.list_assets", {**_NO_FILTER, **asked, "after": after, "limit": filters.limit + 1}
        )
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "assets", (row["asset_key"],)))
    return AssetPage(items=[Asset.of(_discreet(row, caller)) for row in rows], next=following)


@router.get("/{asset_key}", summary="One asset and the devices fixed to it")
def get_asset(
    pool: Pool, caller: WhoCalls, asset_key: Annotated[IntKey, Path(description="Its key here", examples=[312])]
) -> AssetDetail:
    """Everything that the ledger knows about an asset."""
    with pool.connection() as connection:
        asked = {**_NO_FILTER, **caller.scope.params(), "asset_key": asset_key, "after": 0, "limit": 1}
        row = fetch_one(connection, "api_assets.list_assets", asked)
        if row is None:
            raise not_found(f"asset {asset_key}")
        devices = fetch_all(connection, "api_assets.devices_of", {"asset_key": asset_key})
    return AssetDetail.of(_discreet(row, caller) | {"fixed_devices": devices})


def _discreet(row: Row, caller: Caller) -> Row:
    return row | {"attributes": masked_columns(row["attributes"], caller.role)}
