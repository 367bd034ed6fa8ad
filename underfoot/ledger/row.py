"""One row of a ledger as data: an asset, and the device fixed to it if there is one.

A field that is None was no column of the file: what is known stays. An empty cell means empty.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from underfoot.families import FAMILIES
from underfoot.ledger import cells
from underfoot.ledger.kinds import KINDS

NATIONAL_SCHEME = "GB/T 30428.2-2013"
OWN_ASSET_SCHEME = "device"
"""The code scheme of an asset that nobody gave a 部件 code: it is named after the device that it carries."""

LON_RANGE = (73.0, 136.0)
LAT_RANGE = (3.0, 54.0)

Text = Annotated[str | None, BeforeValidator(cells.text)]
Identifier = Annotated[str | None, BeforeValidator(cells.identifier)]
Date = Annotated[dt.date | None, BeforeValidator(cells.date)]
Coordinate = Annotated[float | None, BeforeValidator(cells.coordinate)]


@dataclass(frozen=True)
class Fault:
    """What is wrong with one cell: which column, what stood there, and what is allowed."""

    column: str
    value: str
    allowed: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class LedgerRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    device_id: Annotated[str | None, BeforeValidator(cells.device_id)] = None
    family: Annotated[str | None, BeforeValidator(cells.family)] = None
    area_code: Annotated[str, BeforeValidator(cells.area_code)]
    area_name: Annotated[tuple[str, ...], BeforeValidator(cells.area_name)] = ()
    code_scheme: Text = None
    asset_code: Identifier = None
    kind: Annotated[str | None, BeforeValidator(cells.kind)] = None
    asset_name: Text = None
    address: Text = None
    lon: Coordinate = None
    lat: Coordinate = None
    place: Annotated[str | None, BeforeValidator(cells.place)] = None
    network: Annotated[str | None, BeforeValidator(cells.network)] = None
    supervising_unit: Text = None
    owner_unit: Text = None
    maintenance_unit: Text = None
    tags: Annotated[tuple[str, ...] | None, BeforeValidator(cells.tags)] = None
    object_state: Annotated[str | None, BeforeValidator(cells.object_state)] = None
    defect: Text = None
    defect_found_on: Date = None
    defect_repaired_on: Date = None
    safety_net_on: Date = None
    vendor: Text = None
    model: Text = None
    expected_interval_s: Annotated[int | None, BeforeValidator(cells.interval)] = None
    installed_on: Date = None
    status: Annotated[str | None, BeforeValidator(cells.status)] = None
    codec: Annotated[str | None, BeforeValidator(cells.codec)] = None
    gateway: Annotated[str | None, BeforeValidator(cells.device_id)] = None
    attributes: dict[str, Annotated[str, BeforeValidator(cells.text)]] = Field(default_factory=dict)

    @property
    def scheme(self) -> str:
        return (self.code_scheme or NATIONAL_SCHEME) if self.asset_code else OWN_ASSET_SCHEME

    @property
    def code(self) -> str:
        return self.asset_code or self.device_id or ""

    @property
    def class_code(self) -> str | None:
        return self.code[6:10] if self.scheme == NATIONAL_SCHEME else self.kind

    @property
    def default_name(self) -> str:
        """What an asset is called that nobody named: messages to crews and platforms name it."""
        return KINDS.get(self.class_code or "") or self.code

    @property
    def kept(self) -> dict[str, str]:
        """The asset's attributes: the file's own columns, and what the asset answers where its device does not."""
        answers = {"place": self.place, "network": self.network}
        return self.attributes | {name: choice for name, choice in answers.items() if choice}

    @property
    def interval_s(self) -> int | None:
        if self.expected_interval_s is None and self.family:
            return FAMILIES[self.family].default_interval_s
        return self.expected_interval_s

    def faults(self) -> Iterator[Fault]:
        """What is wrong between the cells of the row."""
        if not self.area_code:
            yield Fault("area_code", "", "必填 · required")
        if self.device_id:
            if not self.family:
                yield Fault("family", "", "有设备编号时必填 · required where there is a device_id")
            if 0 < len(self.area_code) < 6:
                yield Fault(
                    "area_code",
                    self.area_code,
                    "设备至少要有 6 位区县代码 · a device needs at least its 6-digit district",
                )
        elif not self.asset_code:
            yield Fault("asset_code", "", "部件编码与设备编号至少填一个 · a row needs an asset_code or a device_id")
        yield from self._code_faults()
        yield from self._place_faults()
        if self.defect_found_on and self.defect_repaired_on and self.defect_repaired_on < self.defect_found_on:
            yield Fault(
                "defect_repaired_on",
                str(self.defect_repaired_on),
                f"不早于发现日期 {self.defect_found_on} · not before it was found on {self.defect_found_on}",
            )

    def _code_faults(self) -> Iterator[Fault]:
        code = self.asset_code
        if not code:
            return
        plain = code.isascii() and code.isdigit()
        if self.scheme == NATIONAL_SCHEME:
            if not plain or len(code) != 16:
                hint = "；18 位编码须另填编码标准" if plain and len(code) == 18 else ""
                also = "; 18 digits need another code_scheme" if hint else ""
                yield Fault("asset_code", code, f"16 位数字（{NATIONAL_SCHEME}）{hint} · 16 digits{also}")
            elif self.kind and self.kind != code[6:10]:
                yield Fault(
                    "kind",
                    self.kind,
                    f"部件编码第 7–10 位是 {code[6:10]} · digits 7 to 10 of the asset_code are {code[6:10]}",
                )
        else:
            if self.scheme == OWN_ASSET_SCHEME:
                yield Fault(
                    "code_scheme",
                    self.scheme,
                    "系统保留，请填所用标准号 · reserved: name the standard that the code follows",
                )
            if len(code) > 64 or not code.isascii() or not code.isprintable() or " " in code:
                yield Fault(
                    "asset_code", code, "1–64 个无空格的字母、数字或符号 · 1 to 64 ASCII characters without spaces"
                )
            if not self.kind:
                yield Fault(
                    "kind",
                    "",
                    f"编码标准不是 {NATIONAL_SCHEME} 时必填 · required where the code_scheme is not {NATIONAL_SCHEME}",
                )

    def _place_faults(self) -> Iterator[Fault]:
        if self.lon is None and self.lat is None:
            return
        if self.lon is None or self.lat is None:
            yield Fault("lon" if self.lon is None else "lat", "", "经纬度须同时填写 · lon and lat go together")
            return
        if _within(self.lat, LON_RANGE) and _within(self.lon, LAT_RANGE):
            yield Fault(
                "lon",
                f"{self.lon}",
                f"经纬度写反了（纬度列是 {self.lat}）· lon and lat are swapped (lat is {self.lat})",
            )
            return
        for column, value, allowed in (("lon", self.lon, LON_RANGE), ("lat", self.lat, LAT_RANGE)):
            if not _within(value, allowed):
                low, high = allowed
                yield Fault(column, f"{value}", f"中国境内 {low:g}–{high:g}° · inside China: {low:g} to {high:g}°")


def _within(value: float, allowed: tuple[float, float]) -> bool:
    return allowed[0] <= value <= allowed[1]


def parse(named: dict[str, str], attributes: dict[str, str]) -> tuple[LedgerRow | None, list[Fault]]:
    """The row, or everything that is wrong with it."""
    try:
        row = LedgerRow.model_validate({**named, "attributes": attributes})
    except ValidationError as error:
        return None, cell_faults(error)
    faults = list(row.faults())
    return (None if faults else row), faults


def cell_faults(error: ValidationError) -> list[Fault]:
    """What the functions of `cells` found wrong."""
    return [
        Fault(str(item["loc"][-1]), str(item["input"]), str(item["ctx"]["error"]))
        for item in error.errors(include_url=False)
    ]
