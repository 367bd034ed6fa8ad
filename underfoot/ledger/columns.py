"""The ledger's columns: their names, and the headers under which a city's own file may have them.

First step of reading a file: header row → columns, by the layout of that kind of ledger (assets and devices here, pipes
in `pipe_row`). A header that is no column of ours is an attribute of what the row is about.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property


class LedgerError(Exception):
    """The ledger cannot be imported, or does not know what was asked for: says which file, row, column, and why."""


@dataclass(frozen=True)
class LedgerColumn:
    """`label` is the column's Chinese header; `aliases` are others that mean it. `unit`: of a length, mm or m; a header
    may say it in brackets, and no other."""

    name: str
    label: str
    aliases: tuple[str, ...] = ()
    unit: str = ""


COLUMNS: dict[str, LedgerColumn] = {
    column.name: column
    for column in (
        LedgerColumn("device_id", "设备编号", ("设备号", "设备ID", "设备编码", "终端编号")),
        LedgerColumn("family", "设备类别", ("设备类型", "设备种类")),
        LedgerColumn("area_code", "区划代码", ("行政区划代码", "行政区划", "区划编码", "区域代码", "区域编码")),
        LedgerColumn("area_name", "区划名称", ("行政区划名称", "区域名称")),
        LedgerColumn("code_scheme", "编码标准", ("编码规则", "编码体系")),
        LedgerColumn("asset_code", "部件编码", ("部件代码", "部件编号", "部件标识码", "部件码")),
        LedgerColumn("kind", "部件类别", ("部件小类", "小类代码", "类别代码", "部件类型", "类别")),
        LedgerColumn("asset_name", "部件名称", ("名称", "点位名称")),
        LedgerColumn(
            "address", "地址/位置", ("地址", "位置", "安装位置", "安装地址", "所在位置", "详细地址", "名称位置")
        ),
        LedgerColumn("lon", "经度", ("longitude", "lng")),
        LedgerColumn("lat", "纬度", ("latitude",)),
        LedgerColumn("place", "积水点类型", ("位置类型",)),
        LedgerColumn("network", "管网类型"),
        LedgerColumn("supervising_unit", "主管单位", ("主管部门",)),
        LedgerColumn("owner_unit", "权属单位", ("产权单位",)),
        LedgerColumn("maintenance_unit", "养护单位", ("维护单位", "管养单位", "运维单位")),
        LedgerColumn("tags", "标签", ("标记", "tag")),
        LedgerColumn("object_state", "部件状态", ("完好状态",)),
        LedgerColumn("defect", "病害", ("病害情况", "病害类型")),
        LedgerColumn("defect_found_on", "发现日期", ("病害发现日期",)),
        LedgerColumn("defect_repaired_on", "完成日期", ("整治完成日期", "修复日期", "病害修复日期", "销号日期")),
        LedgerColumn("safety_net_on", "安全网日期", ("安全网安装日期", "防坠网安装日期")),
        LedgerColumn("vendor", "厂商", ("设备厂商", "生产厂家", "厂家", "供应商")),
        LedgerColumn("model", "型号", ("设备型号", "规格型号")),
        LedgerColumn("expected_interval_s", "上报间隔", ("上报周期", "上报频率", "expected_interval")),
        LedgerColumn("installed_on", "安装日期", ("设备安装日期", "安装时间")),
        LedgerColumn("status", "设备状态"),
        LedgerColumn("codec", "解码器", ("编解码", "报文格式", "解码方式")),
        LedgerColumn("gateway", "网关编号", ("网关", "所属网关", "网关ID", "gateway_id")),
    )
}

ROW_BEFORE, REASON = "原行号", "原因"
"""What a file of rows set aside has beside them; ignored when it is imported."""

_UNIT_SUFFIX = {"秒": "s", "s": "s", "分钟": "min", "分": "min", "min": "min", "小时": "h", "时": "h", "h": "h"}
_FOREIGN_COORDINATES = re.compile(r"gcj|bd-?09|火星|百度|高德|腾讯|高斯|西安80|北京54", re.IGNORECASE)


def squeeze(header: str) -> str:
    """A header without what people vary: width, case, spaces, stars, underscores."""
    return re.sub(r"[\s_*:\-]", "", unicodedata.normalize("NFKC", header)).casefold()


@dataclass(frozen=True)
class Layout:
    """The columns of one kind of ledger. A header names one of `about`, what a row can be about; all that are `needed`;
    and where it names one of `needed_with`, also the one that goes with it."""

    columns: dict[str, LedgerColumn]
    about: frozenset[str]
    needed: tuple[str, ...]
    needed_with: tuple[tuple[str, str], ...] = ()

    @cached_property
    def by_header(self) -> dict[str, str]:
        return {
            squeeze(header): column.name
            for column in self.columns.values()
            for header in (column.name, column.label, *column.aliases)
        }

    def shown(self, names: Iterable[str]) -> str:
        return "、".join(f"{name}（{self.columns[name].label}）" for name in names)


ASSETS = Layout(COLUMNS, frozenset({"device_id", "asset_code"}), ("area_code",), (("device_id", "family"),))
"""The ledger of assets and the devices on them."""

_LENGTHS = {"mm": "mm", "毫米": "mm", "cm": "cm", "厘米": "cm", "m": "m", "米": "m", "km": "km", "公里": "km"}


@dataclass(frozen=True)
class Header:
    """What a file's header row means: for each cell its column, or None where it is an attribute (or has no header)."""

    titles: tuple[str, ...]
    columns: tuple[str | None, ...]
    interval_unit: str

    @property
    def present(self) -> tuple[str, ...]:
        return tuple(name for name in self.columns if name is not None)

    @property
    def attributes(self) -> tuple[str, ...]:
        return tuple(title for index, title in enumerate(self.titles) if self.is_attribute(index))

    def is_attribute(self, index: int) -> bool:
        return self.columns[index] is None and self.titles[index] not in ("", ROW_BEFORE, REASON)


def is_header(cells: list[str], layout: Layout = ASSETS) -> bool:
    """Whether the row is the header, and no title above it ('窨井盖台账'): it names what a row stands for, and more."""
    names = {_column_of(cell, layout)[0] for cell in cells} - {None}
    return len(names) >= 2 and bool(names & layout.about)


def read_header(cells: list[str], layout: Layout = ASSETS) -> Header:
    while cells and not cells[-1]:
        cells = cells[:-1]
    columns: list[str | None] = []
    unit = "s"
    for title in cells:
        name, annotation = _column_of(title, layout)
        if name in ("lon", "lat") and _FOREIGN_COORDINATES.search(annotation):
            raise LedgerError(
                f"列 {title!r}：坐标须先转换为 CGCS2000（或 WGS-84）·"
                " coordinates must be CGCS2000 (or WGS-84); convert them first"
            )
        if name is not None and name in columns:
            other = cells[columns.index(name)]
            raise LedgerError(
                f"列 {other!r} 与 {title!r} 含义相同（{name}），只留一列 · two columns mean {name}: keep one"
            )
        if name is not None and (unit_of := layout.columns[name].unit) != _LENGTHS.get(annotation, unit_of):
            raise LedgerError(
                f"列 {title!r}：单位须为 {unit_of}，请先换算 · the unit must be {unit_of}; convert the column first"
            )
        if name is None and title and cells.count(title) > 1:
            raise LedgerError(f"列 {title!r} 重复，只留一列 · two columns are headed {title!r}: keep one")
        if name == "expected_interval_s" and annotation:
            unit = _UNIT_SUFFIX.get(annotation, "")
            if not unit:
                raise LedgerError(f"列 {title!r}：单位只能是秒、分钟或小时 · the unit may be s, min or h")
        columns.append(name)
    missing = [name for name in layout.needed if name not in columns]
    missing += [name for given, name in layout.needed_with if given in columns and name not in columns]
    if missing:
        raise LedgerError(
            f"缺少列 {layout.shown(missing)} · missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        )
    return Header(tuple(cells), tuple(columns), unit)


def _column_of(title: str, layout: Layout) -> tuple[str | None, str]:
    """The column that a header means, and what stands in brackets behind it."""
    whole = squeeze(title)
    if whole in layout.by_header:
        return layout.by_header[whole], ""
    head, bracket, rest = whole.partition("(")
    if bracket and rest.endswith(")") and head in layout.by_header:
        return layout.by_header[head], rest[:-1]
    return None, ""
