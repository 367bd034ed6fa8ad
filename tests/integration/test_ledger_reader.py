"""Files as cities have them: Chinese exports, what Excel makes of codes, titles above the header."""

from __future__ import annotations

import codecs
import datetime as dt
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from underfoot.ledger.columns import LedgerError
from underfoot.ledger.reader import FileRow, open_ledger

HEADER = "部件编码,区划代码,地址\n"
ROW = "4105020103000312,410502,人民大道文峰路口东北角\n"


def read(path: Path, sheet: str | None = None) -> list[FileRow]:
    with open_ledger(path, sheet) as ledger:
        rows = list(ledger.rows)
        assert ledger.suspect_code is None
        return rows


def workbook(path: Path, *rows: list[Any], title: str = "台账") -> Path:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = title
    for row in rows:
        sheet.append(row)
    book.save(path)
    book.close()
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_chinese_export_is_read_whatever_its_encoding(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((HEADER + ROW * 3).replace("\n", newline).encode(encoding))
    rows = read(path)
    assert [row.number for row in rows] == [2, 3, 4]
    assert rows[0].cells == ["4105020103000312", "410502", "人民大道文峰路口东北角"]


def test_the_encoding_is_judged_by_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    filler = "4105020103000312,410502,plain\n" * 60_000
    path.write_bytes(b"asset_code,area_code,address\n" + filler.encode() + ROW.encode("gb18030"))
    with open_ledger(path) as ledger:
        last = None
        for row in ledger.rows:
            last = row
            assert 0 < ledger.done <= ledger.total
    assert last is not None
    assert last.cells[2] == "人民大道文峰路口东北角"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_titles_blank_lines_and_quoted_cells_keep_the_row_numbers(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "a.csv"
    lines = [
        ["窨井盖台账", "", ""],
        [],
        ["部件编码", "区划代码", "地址"],
        ["1", "410502", f'"a{delimiter} ""b""\nc"'],
        [],
        ["2", "410502", ""],
    ]
    path.write_text("\n".join(delimiter.join(line) for line in lines), encoding="utf-8")
    rows = read(path)
    assert [(row.number, row.cells[0]) for row in rows] == [(4, "1"), (6, "2")]
    assert rows[0].cells[2] == f'a{delimiter} "b"\nc'


def test_a_workbook_s_numbers_dates_and_title_rows(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx",
        ["积水点台账"],
        ["部件编码", "区划代码", "经度", "安装日期", "上报间隔", "备注"],
        [3205820102048188.0, 320582, 120.5512345, dt.datetime(2024, 6, 30), 900.0, None],  # noqa: DTZ001
        ["3205820102048180", "320582", "120.5512345", "2024-06-30", "900", True],
    )
    rows = read(path)
    assert rows[0].cells == ["3205820102048188", "320582", "120.5512345", "2024-06-30 00:00:00", "900"]
    assert (rows[1].number, rows[1].cells[-1]) == (4, "True")


def test_codes_that_excel_has_cut_are_told_from_codes_that_end_in_0(tmp_path: Path) -> None:
    header = ["部件编码", "区划代码"]
    cut = workbook(tmp_path / "cut.xlsx", header, [3205820102048180, 320582], [3205820102048190, 320582])
    with open_ledger(cut) as ledger:
        list(ledger.rows)
        assert ledger.suspect_code is not None
        assert ledger.suspect_code.number == 2
    assert (
        len(read(workbook(tmp_path / "whole.xlsx", header, [3205820102048180, 320582], [3205820102048188, 320582])))
        == 2
    )


def test_the_sheet_is_the_first_with_a_header_or_the_one_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.worksheets[0].title = "说明"
    book.worksheets[0].append(["填表说明"])
    for number, title in enumerate(["一季度", "二季度"]):
        sheet = book.create_sheet(title)
        sheet.append(["asset_code", "area_code"])
        sheet.append([f"410502010300000{number}", "410502"])
    path = tmp_path / "a.xlsx"
    book.save(path)
    book.close()
    assert read(path)[0].cells[0].endswith("0")
    assert read(path, "二季度")[0].cells[0].endswith("1")
    with pytest.raises(LedgerError, match=r"三季度.*一季度、二季度"):
        read(path, "三季度")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header"),
        (b"a,b\n1,2\n", "no header"),
        (codecs.BOM_UTF8 + "部件编码,地址\n".encode(), "area_code"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old .xls"),
        (b"PK\x03\x04 not a zip", "no complete XLSX"),
        (b"\xff\x00\xff\xff\x80", "neither UTF-8 nor GB18030"),
        (b"asset_code,area_code\n" + b'"' + b"x" * 200_000, "no CSV"),
    ],
)
def test_what_is_no_ledger_is_refused_with_its_reason(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=message):
        read(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(LedgerError, match="cannot be read"):
        read(tmp_path)
