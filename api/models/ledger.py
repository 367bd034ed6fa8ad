"""Answers about areas, assets and devices."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from api.parameters import Instant, Page
from api.rows import Row
from underfoot.families import FAMILIES
from underfoot.reports import Quality

Level = Literal["province", "city", "district", "street", "community"]


class Area(BaseModel):
    code: str = Field(description="行政区划代码", examples=["410502"])
    name: str = Field(examples=["文峰区"])
    level: Level = Field(examples=["district"])
    parent_code: str | None = Field(examples=["410500"])


class AreaPage(Page):
    items: list[Area]


class AreaNode(BaseModel):
    """An area with what lies in it."""

    code: str = Field(examples=["410500"])
    name: str = Field(examples=["安阳市"])
    level: Level = Field(examples=["city"])
    children: list[AreaNode] = Field(description="By code; empty at the asked depth", examples=[[]])


class AreaTree(BaseModel):
    roots: list[AreaNode]


class AreaDetail(Area):
    line: list[Area] = Field(description="From the top of the tree down to this area")
    assets: int = Field(description="Assets here and below", examples=[5120])
    devices: int = Field(description="Devices here and below", examples=[830])
    open_alarms: int = Field(description="Open alarms here and below", examples=[3])
    worst_severity: int | None = Field(description="Of them, 1 蓝 to 4 红", examples=[4])


class AreaRef(BaseModel):
    code: str = Field(examples=["410502"])
    name: str = Field(examples=["文峰区"])

    @classmethod
    def of(cls, row: Row) -> Self | None:
        return cls(code=row["area_code"], name=row["area_name"]) if row["area_code"] is not None else None


class AssetRef(BaseModel):
    """Where something is: the asset a device is fixed to."""

    asset_key: int = Field(examples=[312])
    asset_code: str = Field(description="部件编码", examples=["4105020103000312"])
    kind: str = Field(description="部件小类代码", examples=["0103"])
    name: str = Field(examples=["雨水井0312"])
    address: str = Field(examples=["人民大道文峰路口东北角"])
    lon: float | None = Field(description="CGCS2000", examples=[114.372615])
    lat: float | None = Field(description="CGCS2000", examples=[36.098779])
    maintenance_unit: str = Field(description="养护单位", examples=["文峰区市政养护所"])

    @classmethod
    def of(cls, row: Row) -> Self | None:
        if row["asset_key"] is None:
            return None
        names = {"kind": "asset_kind", "name": "asset_name"}
        return cls.model_validate({field: row[names.get(field, field)] for field in cls.model_fields})


class Asset(BaseModel):
    asset_key: int = Field(examples=[312])
    code_scheme: str = Field(examples=["GB/T 30428.2-2013"])
    asset_code: str = Field(description="部件编码", examples=["4105020103000312"])
    kind: str = Field(description="部件小类代码", examples=["0103"])
    name: str = Field(examples=["雨水井0312"])
    area: AreaRef
    address: str = Field(examples=["人民大道文峰路口东北角"])
    lon: float | None = Field(description="CGCS2000", examples=[114.372615])
    lat: float | None = Field(description="CGCS2000", examples=[36.098779])
    source_crs: str = Field(examples=["CGCS2000"])
    supervising_unit: str = Field(description="主管单位", examples=["安阳市城市管理局"])
    owner_unit: str = Field(description="权属单位", examples=["安阳市排水公司"])
    maintenance_unit: str = Field(description="养护单位", examples=["文峰区市政养护所"])
    tags: list[str] = Field(
        description="标签: words of the city's own; a rule's override may be about one", examples=[["学校门口"]]
    )
    object_state: Literal["完好", "破损", "丢失", "废弃"]
    defect: str | None = Field(description="病害", examples=["井圈破损"])
    defect_found_on: date | None = Field(examples=["2026-05-11"])
    defect_repaired_on: date | None = Field(examples=["2026-05-13"])
    safety_net_on: date | None = Field(description="安全网安装日期", examples=["2025-09-01"])
    attributes: dict[str, Any] = Field(examples=[{}])
    devices: int = Field(description="How many devices are fixed to it; most covers have none yet", examples=[1])
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(row | {"area": AreaRef.of(row)})


class AssetPage(Page):
    items: list[Asset]


class AssetDevice(BaseModel):
    device_id: str = Field(examples=["cover-0312"])
    family: str = Field(examples=["cover"])
    status: str = Field(examples=["in_service"])


class AssetDetail(Asset):
    fixed_devices: list[AssetDevice]


class Reading(BaseModel):
    """One value, with what its family's declaration says of it."""

    field: str = Field(examples=["tilt_deg"])
    label: str = Field(examples=["倾角"])
    unit: str = Field(examples=["°"])
    value: Any = Field(examples=[78.2])
    choice: str | None = Field(None, description="Of an enumeration: the value's name", examples=[None])


class Latest(BaseModel):
    """A device's newest report. It may trail what is stored by a second."""

    ts: Instant = Field(description="The report's event time")
    received_at: Instant = Field(description="When the last report came, a late one included")
    seq: int | None = Field(examples=[118])
    quality: list[str] = Field(description="Marks on the report", examples=[["late"]])
    readings: list[Reading]

    @classmethod
    def of(cls, row: Row) -> Self | None:
        if row["ts"] is None:
            return None
        columns = FAMILIES[row["family"]].column
        readings = []
        for field, value in sorted(
            row["values"].items(), key=lambda item: list(columns).index(item[0]) if item[0] in columns else 99
        ):
            column = columns.get(field)
            choices = {number: name for name, number in column.choices.items()} if column else {}
            readings.append(
                Reading(
                    field=field,
                    label=column.label if column else field,
                    unit=column.unit if column else "",
                    value=value,
                    choice=choices.get(value) if choices else None,
                )
            )
        return cls(
            ts=row["ts"],
            received_at=row["received_at"],
            seq=row["seq"],
            quality=marks(row["quality"]),
            readings=readings,
        )


def marks(quality: int) -> list[str]:
    """The names of a report's marks."""
    return [mark.name for mark in Quality if mark.name is not None and mark & quality]


class Device(BaseModel):
    device_id: str = Field(examples=["cover-0312"])
    family: str = Field(examples=["cover"])
    family_label: str = Field(examples=["智慧井盖"])
    district: str = Field(description="The {area} of its topic", examples=["410502"])
    shard: str = Field(examples=["main"])
    vendor: str = Field(examples=["某厂"])
    model: str = Field(examples=["JG-200"])
    expected_interval_s: int = Field(examples=[86400])
    installed_on: date | None = Field(examples=["2026-03-01"])
    status: Literal["in_service", "maintenance", "retired"]
    asset: AssetRef | None
    area: AreaRef | None
    last_ts: Instant | None = Field(description="Event time of its newest report; null: it never reported")
    last_received_at: Instant | None = Field(description="When it was last heard")

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls.model_validate(
            row
            | {
                "family_label": FAMILIES[row["family"]].label,
                "asset": AssetRef.of(row),
                "area": AreaRef.of(row),
                "last_ts": row["ts"],
                "last_received_at": row["received_at"],
                "latest": Latest.of(row),
            }
        )


class DevicePage(Page):
    items: list[Device]


class DeviceDetail(Device):
    baseline: dict[str, Any] = Field(description="What it reads at rest", examples=[{"tilt_deg": 3.5}])
    created_at: Instant
    updated_at: Instant
    latest: Latest | None = Field(description="Null: it never reported")
