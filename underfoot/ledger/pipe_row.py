"""One row of a ledger of pipes as data, and the columns that it may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from underfoot.ledger import cells
from underfoot.ledger.columns import Layout, LedgerColumn
from underfoot.ledger.row import Fault, Text, cell_faults

_COLUMNS = (
    LedgerColumn("pipe_id", "管段编号", ("管段编码", "管段号", "管道编号", "管线编号")),
    LedgerColumn(
        "from_asset", "起点部件", ("起点部件编码", "起点编码", "起点编号", "起点井号", "上游井号", "上游部件")
    ),
    LedgerColumn("to_asset", "终点部件", ("终点部件编码", "终点编码", "终点编号", "终点井号", "下游井号", "下游部件")),
    LedgerColumn("code_scheme", "编码标准", ("编码规则", "编码体系")),
    LedgerColumn("kind", "管段类型", ("管网类型", "管道类型", "管道性质", "管线类型", "污水|雨水")),
    LedgerColumn("diameter_mm", "管径", ("直径", "内径", "管道直径"), "mm"),
    LedgerColumn("length_m", "长度", ("管长", "管段长度", "管道长度"), "m"),
    LedgerColumn("invert_up_m", "起点管底标高", ("起点管底高程", "上游管底标高", "起点管内底标高", "起点标高"), "m"),
    LedgerColumn("invert_down_m", "终点管底标高", ("终点管底高程", "下游管底标高", "终点管内底标高", "终点标高"), "m"),
    LedgerColumn("roughness", "粗糙系数", ("糙率", "粗糙率", "manning_n")),
)
_OPTIONAL = ("code_scheme", "roughness")

PIPES = Layout(
    {column.name: column for column in _COLUMNS},
    frozenset({"pipe_id"}),
    tuple(column.name for column in _COLUMNS if column.name not in _OPTIONAL),
)
"""The ledger of pipes."""

RANGES: dict[str, tuple[float, float, str]] = {
    "diameter_mm": (100, 5000, "mm"),
    "length_m": (0.1, 10_000, "m"),
    # 艾丁湖 lies at −154 m; no town above 5 100 m
    "invert_up_m": (-200, 5500, "m"),
    "invert_down_m": (-200, 5500, "m"),
    # glass 0.009, corrugated metal 0.027 (Chow, table 5-6)
    "roughness": (0.008, 0.04, ""),
}
"""Beyond these a value is a slip of the pen (a wrong unit, a lost point), and its row is wrong."""


class PipeRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    pipe_id: Annotated[str, BeforeValidator(cells.pipe_id)]
    from_asset: Annotated[str, BeforeValidator(cells.identifier)]
    to_asset: Annotated[str, BeforeValidator(cells.identifier)]
    code_scheme: Text = None
    kind: Annotated[str, BeforeValidator(cells.network)]
    diameter_mm: Annotated[float | None, BeforeValidator(cells.millimetres)]
    length_m: Annotated[float | None, BeforeValidator(cells.metres)]
    invert_up_m: Annotated[float | None, BeforeValidator(cells.metres)]
    invert_down_m: Annotated[float | None, BeforeValidator(cells.metres)]
    roughness: Annotated[float | None, BeforeValidator(cells.plain_number)] = None
    attributes: dict[str, Annotated[str, BeforeValidator(cells.text)]] = Field(default_factory=dict)

    def faults(self) -> Iterator[Fault]:
        """What is wrong between the cells of the row, and with values that no pipe has."""
        for name in PIPES.needed:
            if getattr(self, name) in ("", None):
                yield Fault(name, "", "必填 · required")
        if self.from_asset and self.from_asset == self.to_asset:
            yield Fault("to_asset", self.to_asset, "起点与终点不能是同一部件 · not the asset at which it begins")
        beyond = [name for name in RANGES if not _plausible(name, getattr(self, name))]
        for name in beyond:
            low, high, unit = RANGES[name]
            in_unit = f" {unit}" if unit else ""
            allowed = f"{low:g}–{high:g}{in_unit} · from {low:g} to {high:g}{in_unit}"
            yield Fault(name, f"{getattr(self, name):g}", allowed)
        if beyond or self.length_m is None or self.invert_up_m is None or self.invert_down_m is None:
            return
        between = abs(self.invert_up_m - self.invert_down_m)
        if between > self.length_m:
            yield Fault(
                "length_m",
                f"{self.length_m:g}",
                f"不小于两端高差 {between:g} m · not less than the {between:g} m between its inverts",
            )


def _plausible(name: str, value: float | None) -> bool:
    low, high, _ = RANGES[name]
    return value is None or low <= value <= high


def parse_pipe(named: dict[str, str], attributes: dict[str, str]) -> tuple[PipeRow | None, list[Fault]]:
    """The row, or everything that is wrong with it."""
    try:
        row = PipeRow.model_validate({**named, "attributes": attributes})
    except ValidationError as error:
        return None, cell_faults(error)
    faults = list(row.faults())
    return (None if faults else row), faults
