"""What every import of a ledger has in common: rows of a file → a staging table; rows that are wrong are told, or set
aside in a file of their own. The table is `pg_temp.ledger_staged`, with file_row, faults, and the ledger's own columns.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from underfoot.ledger.columns import ASSETS, REASON, ROW_BEFORE, Header, Layout, LedgerError
from underfoot.ledger.reader import FileRow, LedgerFile, open_ledger
from underfoot.ledger.row import Fault
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

SHOWN_AT_MOST = 50

Progress = Callable[[int, int], None]
"""Called with how much of the file is done, and how much there is (bytes, or rows of a workbook)."""

Understood = tuple[Any, ...] | list[Fault]
Understand = Callable[[int, dict[str, str], dict[str, str]], Understood]
"""A row's number, its cells by column and its attributes → the staging table's own columns, or what is wrong."""


@dataclass(frozen=True)
class RowFaults:
    row: int
    faults: list[Fault]

    def reason(self) -> str:
        return "；".join(f"{fault.column} = {fault.value!r}：{fault.allowed}" for fault in self.faults)


class LedgerFaultsError(LedgerError):
    """The file has bad rows, and nothing was imported. `first` are the first of them."""

    def __init__(self, first: list[RowFaults], bad_rows: int, rows: int) -> None:
        super().__init__(
            f"{rows} 行中 {bad_rows} 行有误，未导入任何内容 · {bad_rows} of {rows} rows are wrong; nothing was imported"
        )
        self.first = first
        self.bad_rows = bad_rows
        self.rows = rows


@dataclass
class Count:
    new: int = 0
    changed: int = 0
    unchanged: int = 0


def named_cells(header: Header, file_row: FileRow) -> tuple[dict[str, str], dict[str, str]] | Fault:
    """The row's cells by column, and those that are attributes; a row longer than its header is wrong."""
    cells = file_row.cells
    beyond = [cell for cell in cells[len(header.columns) :] if cell]
    if beyond:
        allowed = (
            f"表头只有 {len(header.columns)} 列 · the header has {len(header.columns)} columns: is a comma unquoted?"
        )
        return Fault("", "，".join(beyond), allowed)
    named: dict[str, str] = dict.fromkeys(header.present, "")
    attributes: dict[str, str] = {}
    for index, (name, cell) in enumerate(zip(header.columns, cells, strict=False)):
        if name is None:
            if cell and header.is_attribute(index):
                attributes[header.titles[index]] = cell
        elif name == "expected_interval_s" and cell and header.interval_unit != "s" and cell[-1].isdigit():
            named[name] = cell + header.interval_unit
        else:
            named[name] = cell
    return named, attributes


def stage(
    connection: Connection, ledger: LedgerFile, into: str, columns: int, understand: Understand, progress: Progress
) -> None:
    """Every row of the file into the staging table, by the COPY `into`; it has `columns` that are the ledger's own."""
    nothing = (None,) * columns
    with connection.cursor().copy(statement(into)) as copy:
        for file_row in ledger.rows:
            match named_cells(ledger.header, file_row):
                case Fault() as fault:
                    understood: Understood = [fault]
                case named, attributes:
                    understood = understand(file_row.number, named, attributes)
            if isinstance(understood, list):
                copy.write_row((file_row.number, Jsonb([fault.as_dict() for fault in understood]), *nothing))
            else:
                copy.write_row((file_row.number, None, *understood))
            progress(ledger.done, ledger.total)
    connection.execute(statement("ledger.analyze_staging"))


def refuse_cut_codes(ledger: LedgerFile) -> None:
    if (suspect := ledger.suspect_code) is not None:
        raise LedgerError(
            f"第 {suspect.number} 行：16 位编码以数字形式保存且全部以 0 结尾，Excel 只保留 15 位数字，末位已丢失；"
            "请将该列设为文本后重新填写 ·"
            f" row {suspect.number}: codes of 16 digits are stored as numbers and all end in 0: Excel keeps 15 digits,"
            " so the last is lost; format the column as text and fill it in again"
        )


def count_rows(connection: Connection, *, refuse_faults: bool) -> tuple[int, int]:
    """How many rows are staged, and how many of them are wrong; with `refuse_faults`, none may be."""
    rows, bad_rows = connection.execute(statement("ledger.count_faults")).fetchone() or (0, 0)
    if bad_rows and refuse_faults:
        raise LedgerFaultsError(list(staged_faults(connection, SHOWN_AT_MOST)), bad_rows, rows)
    return rows, bad_rows


def staged_faults(connection: Connection, limit: int | None) -> Iterator[RowFaults]:
    with connection.cursor("ledger_faults") as cursor:
        cursor.execute(statement("ledger.faults"), {"limit": limit})
        for number, faults in cursor:
            yield RowFaults(number, [Fault(**fault) for fault in faults])


def write_bad_rows(
    connection: Connection, path: Path, sheet: str | None, target: Path, layout: Layout = ASSETS
) -> None:
    """The bad rows as they stood in the file, with a reason, so that they can be corrected there and imported again."""
    faults = staged_faults(connection, None)
    wanted = next(faults, None)
    with open_ledger(path, sheet, layout) as ledger, target.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        titles = ledger.header.titles
        own = [index for index, title in enumerate(titles) if title not in (ROW_BEFORE, REASON)]
        writer.writerow([*(titles[index] for index in own), ROW_BEFORE, REASON])
        for row in ledger.rows:
            if wanted is not None and row.number == wanted.row:
                cells = row.cells + [""] * len(titles)
                writer.writerow([*(cells[index] for index in own), row.number, wanted.reason()])
                wanted = next(faults, None)
