"""Reads a ledger file row by row: CSV in UTF-8, GB18030 or UTF-16, or an XLSX workbook. What it is, its bytes say.

First step of an import. Rows are streamed; only an XLSX's shared strings are held in memory.
"""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import io
import itertools
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from underfoot.ledger.columns import ASSETS, Header, Layout, LedgerError, is_header, read_header

HEADER_WITHIN_ROWS = 10
EXACT_IN_A_FLOAT = 2**53
_CHUNK = 1 << 20


@dataclass(frozen=True)
class FileRow:
    """One row as it stands in the file. `number` is the row's in a spreadsheet program; the cells are text."""

    number: int
    cells: list[str]


class LedgerFile:
    """An open ledger: its header, then its rows. `done` and `total` tell how far reading has come."""

    def __init__(self, header: Header, rows: Iterator[FileRow], total: int, progress: _Progress) -> None:
        self.header = header
        self.rows = rows
        self.total = total
        self._progress = progress

    @property
    def done(self) -> int:
        return self._progress.done

    @property
    def suspect_code(self) -> FileRow | None:
        return self._progress.suspect


class _Progress:
    def __init__(self) -> None:
        self.done = 0
        self.suspect: FileRow | None = None


@contextmanager
def open_ledger(path: Path, sheet: str | None = None, layout: Layout = ASSETS) -> Iterator[LedgerFile]:
    try:
        with path.open("rb") as file:
            start = file.read(8)
            file.seek(0)
            if start.startswith(b"PK\x03\x04"):
                with _open_workbook(file, path, sheet, layout) as ledger:
                    yield ledger
            elif start.startswith(b"\xd0\xcf\x11\xe0"):
                raise LedgerError(f"{path}：是旧版 .xls，请另存为 .xlsx 或 CSV · an old .xls: save it as .xlsx or CSV")
            elif sheet is not None:
                raise LedgerError(f"{path}：不是 XLSX，没有工作表 · not an XLSX file: it has no sheets")
            else:
                with _open_csv(file, path, layout) as ledger:
                    yield ledger
    except FileNotFoundError:
        raise LedgerError(f"{path}：没有这个文件 · there is no such file") from None
    except (IsADirectoryError, PermissionError) as error:
        raise LedgerError(f"{path}：无法读取 · cannot be read: {error.strerror}") from None


# CSV ----------------------------------------------------------------------------------------------------------------


@contextmanager
def _open_csv(file: BinaryIO, path: Path, layout: Layout) -> Iterator[LedgerFile]:
    encoding = _encoding(file, path)
    progress = _Progress()
    total = file.seek(0, 2)
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        lines = _lines(text, file, progress)
        start = list(itertools.islice(lines, HEADER_WITHIN_ROWS))
        delimiter = max(",;\t", key="".join(start).count)
        found = _find_header(_numbered(csv.reader(itertools.chain(start, lines), delimiter=delimiter), path), layout)
        if found is None:
            raise _no_header(path, layout)
        yield LedgerFile(*found, total, progress)
    finally:
        text.detach()


def _encoding(file: BinaryIO, path: Path) -> str:
    start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for encoding in ("utf-8-sig", "gb18030"):
        file.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        try:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    raise LedgerError(f"{path}：不是 UTF-8 或 GB18030 文本 · neither UTF-8 nor GB18030 text, and no XLSX file")


def _lines(text: io.TextIOWrapper, file: BinaryIO, progress: _Progress) -> Iterator[str]:
    for line in text:
        progress.done = file.tell()
        yield line


def _numbered(reader: Iterator[list[str]], path: Path) -> Iterator[FileRow]:
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise LedgerError(f"{path} 第 {number} 行：不是有效的 CSV · row {number} is no CSV: {error}") from None
        yield FileRow(number, [cell.strip() for cell in cells])


# XLSX ---------------------------------------------------------------------------------------------------------------


@contextmanager
def _open_workbook(file: BinaryIO, path: Path, sheet: str | None, layout: Layout) -> Iterator[LedgerFile]:
    from openpyxl import load_workbook  # here, since every `underfoot` command would wait for it

    try:
        with warnings.catch_warnings():
            # Files that were not written by Excel lack a default style; what we read has none.
            warnings.simplefilter("ignore", UserWarning)
            workbook = load_workbook(file, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise LedgerError(f"{path}：不是完整的 XLSX · no complete XLSX workbook: {error}") from None
    try:
        yield _find_sheet(workbook, path, sheet, layout)
    finally:
        workbook.close()


def _find_sheet(workbook: Any, path: Path, sheet: str | None, layout: Layout) -> LedgerFile:
    if sheet is not None and sheet not in workbook.sheetnames:
        raise LedgerError(
            f"{path}：没有工作表 {sheet!r}，有 · no such sheet; there are: {'、'.join(workbook.sheetnames)}"
        )
    for worksheet in workbook.worksheets:
        if sheet not in (None, worksheet.title):
            continue
        total = worksheet.max_row or 0
        worksheet.reset_dimensions()  # some programs write a wrong one, and rows beyond it would not be read
        progress = _Progress()
        found = _find_header(_sheet_rows(worksheet, progress), layout)
        if found is not None:
            return LedgerFile(*found, total, progress)
    raise _no_header(path, layout)


def _sheet_rows(worksheet: Any, progress: _Progress) -> Iterator[FileRow]:
    cut = _CutCodes()
    for number, values in enumerate(worksheet.iter_rows(values_only=True), start=1):
        progress.done = number
        row = FileRow(number, [_cell_text(value) for value in values])
        cut.look(values, row)
        yield row
    progress.suspect = cut.first if cut.all_cut else None


class _CutCodes:
    """Excel keeps 15 digits of a number: a 16-digit code typed as a number ends in 0 there, whatever it was.

    One such number that ends in another digit shows that a program wrote the file, which keeps all of them.
    """

    def __init__(self) -> None:
        self.first: FileRow | None = None
        self.all_cut = True

    def look(self, values: tuple[object, ...], row: FileRow) -> None:
        for value in values:
            if isinstance(value, int | float) and value >= 10**15 and value == int(value):
                if int(value) % 10 == 0:
                    self.first = self.first or row
                else:
                    self.all_cut = False


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_IN_A_FLOAT:
        return str(int(value))
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat(sep=" ") if isinstance(value, dt.datetime) else value.isoformat()
    return str(value).strip()


# both ---------------------------------------------------------------------------------------------------------------


def _find_header(rows: Iterator[FileRow], layout: Layout) -> tuple[Header, Iterator[FileRow]] | None:
    for row in itertools.islice(rows, HEADER_WITHIN_ROWS):
        if is_header(row.cells, layout):
            return read_header(row.cells, layout), (row for row in rows if any(row.cells))
    return None


def _no_header(path: Path, layout: Layout) -> LedgerError:
    about = " 或 ".join(f"{name} {layout.columns[name].label}" for name in sorted(layout.about))
    return LedgerError(
        f"{path}：前 {HEADER_WITHIN_ROWS} 行内没有表头（至少要有 {about}）·"
        f" no header within the first {HEADER_WITHIN_ROWS} rows"
    )
