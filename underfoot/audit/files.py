"""Files: a stretch of the log for an inspector, as CSV or JSON lines, and the proof of such a file by itself.

Each row carries its seal and the one that it follows, so a row can be proven by itself. The first line says what the
file should have: how many rows, up to which head; one that was asked for by subject or actor has gaps between them.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from underfoot.audit.chain import FORM, Entry, Head, link
from underfoot.audit.verify import Broken, Stretch
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

COLUMNS = {
    "audit_key": "序号",
    "at": "时间(UTC)",
    "actor": "操作人",
    "action": "操作",
    "subject": "对象",
    "detail": "详情",
    "sealed_at": "封存时间(UTC)",
    "previous": "上一行封存值",
    "hash": "封存值",
}
KINDS = (".csv", ".jsonl")
_ROWS_AT_ONCE = 2000
_LONGEST_CELL = 1 << 28


class AuditFileError(ValueError):
    """Not a file that `underfoot audit export` wrote, or not any more; says where."""


@dataclass(frozen=True, slots=True)
class Title:
    """What a file says of itself, in its first line; `head`: the last seal in it."""

    form: str
    subject: str | None
    actor: str | None
    rows: int
    sealed: int
    head: str | None

    @property
    def whole(self) -> bool:
        """Every row of its stretch is in it."""
        return self.subject is None and self.actor is None


@dataclass(frozen=True, slots=True)
class Exported:
    title: Title
    sha256: str


@dataclass(frozen=True, slots=True)
class Proof:
    """Of a file: how many rows are as they were sealed, and the first that is not."""

    title: Title
    sealed: int
    unsealed: int
    broken: Broken | None


Row = dict[str, str]
"""By the names in COLUMNS, all text, seals in hexadecimal; empty where a row was not sealed yet."""


def kind_of(path: Path) -> str:
    if path.suffix not in KINDS:
        raise AuditFileError(f"{path}: a name that ends with {' or '.join(KINDS)} is needed")
    return path.suffix


# writing --------------------------------------------------------------------------------------------------------------


def export(
    connection: Connection, path: Path, stretch: Stretch, *, subject: str | None = None, actor: str | None = None
) -> Exported:
    """Write a new file, in bounded memory. The caller sees to it that all is read of one moment."""
    params = stretch.params | {"subject": subject, "actor": actor}
    [(rows, sealed, last, seal)] = connection.execute(statement("audit.export_size"), params).fetchall()
    head = str(Head(last, seal)) if last is not None else None
    title = Title(FORM, subject, actor, rows, sealed, head)
    kind = kind_of(path)
    # Excel knows UTF-8 by the mark at the beginning.
    with path.open("x", encoding="utf-8-sig" if kind == ".csv" else "utf-8", newline="") as file:
        write = _csv_writer(file, title) if kind == ".csv" else _lines_writer(file, title)
        with connection.cursor(name="audit_export") as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(statement("audit.exported"), params)
            for row in cursor:
                write(dict(zip(COLUMNS, map(_cell, row), strict=True)))
    with path.open("rb") as written:
        return Exported(title, hashlib.file_digest(written, "sha256").hexdigest())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.hex() if isinstance(value, bytes) else str(value)


def _csv_writer(file: IO[str], title: Title) -> Any:
    lines = csv.writer(file)
    lines.writerow(["审计记录", json.dumps(asdict(title), ensure_ascii=False)])
    lines.writerow(COLUMNS.values())
    return lambda row: lines.writerow(row.values())


def _lines_writer(file: IO[str], title: Title) -> Any:
    def write(values: dict[str, Any]) -> None:
        file.write(json.dumps(values, ensure_ascii=False) + "\n")

    write(asdict(title))
    return write


# reading --------------------------------------------------------------------------------------------------------------


def prove(path: Path) -> Proof:
    """Walk a file to the first row that is not as it was sealed, without the database and in bounded memory."""
    kind = kind_of(path)
    with path.open(encoding="utf-8-sig" if kind == ".csv" else "utf-8", newline="") as file:
        try:
            title, rows = (_csv_rows if kind == ".csv" else _lines_rows)(file)
            return _proven(title, rows)
        except (UnicodeDecodeError, csv.Error) as error:
            raise AuditFileError(f"{path}: {error}") from None
        except AuditFileError as error:
            raise AuditFileError(f"{path}: {error}") from None


def _proven(title: Title, rows: Iterator[tuple[int, Row]]) -> Proof:
    sealed = unsealed = last_key = 0
    previous: str | None = None
    head: Head | None = None
    for number, row in rows:
        entry, key = _entry(number, row)
        broken = _fault(title, entry, row, last_key, previous, after_unsealed=unsealed > 0)
        if broken is not None:
            return Proof(title, sealed, unsealed, broken)
        last_key = key
        if row["hash"]:
            sealed, previous, head = sealed + 1, row["hash"], Head(key, bytes.fromhex(row["hash"]))
        else:
            unsealed += 1
    if (sealed, sealed + unsealed) != (title.sealed, title.rows):
        message = f"the file has {sealed + unsealed} rows, {sealed} of them sealed, and should have {title.rows}"
        return Proof(title, sealed, unsealed, Broken(last_key, "missing", f"{message}, {title.sealed} sealed"))
    if title.head != (str(head) if head is not None else None):
        return Proof(title, sealed, unsealed, Broken(last_key, "head", f"the file should end with {title.head}"))
    return Proof(title, sealed, unsealed, None)


def _fault(
    title: Title, entry: Entry, row: Row, last_key: int, previous: str | None, *, after_unsealed: bool
) -> Broken | None:
    key = entry.audit_key
    if key <= last_key:
        return Broken(key, "inserted", f"comes after {last_key}: rows are in the order of their numbers")
    if not row["hash"]:
        return None
    if after_unsealed:
        return Broken(last_key, "inserted", f"has no seal, though row {key} after it has")
    if title.whole and previous is not None and row["previous"] != previous:
        return Broken(key, "cut", f"does not follow row {last_key}: what was sealed between them is not in the file")
    if link(bytes.fromhex(row["previous"]), entry, row["sealed_at"]).hex() != row["hash"]:
        return Broken(key, "changed", f"is not what was sealed at {row['sealed_at']}")
    return None


def _entry(number: int, row: Row) -> tuple[Entry, int]:
    try:
        key = int(row["audit_key"])
        for name in ("previous", "hash"):
            bytes.fromhex(row[name])
        "".join(row.values()).encode()  # JSON can say what is no text
    except ValueError as error:
        raise AuditFileError(f"line {number}: {error}") from None
    return Entry(key, row["at"], row["actor"], row["action"], row["subject"], row["detail"]), key


def _csv_rows(file: IO[str]) -> tuple[Title, Iterator[tuple[int, Row]]]:
    lines = csv.reader(file)
    first, names = next(lines, []), next(lines, [])
    if len(first) < 2 or names != list(COLUMNS.values()):
        raise AuditFileError("the first two lines are not those of an export of the audit log")

    def rows() -> Iterator[tuple[int, Row]]:
        before = csv.field_size_limit(_LONGEST_CELL)  # the whole process's: who reads after us wants it as it was
        try:
            for cells in lines:
                if len(cells) != len(COLUMNS):
                    raise AuditFileError(f"line {lines.line_num}: {len(cells)} cells, {len(COLUMNS)} are needed")
                yield lines.line_num, dict(zip(COLUMNS, cells, strict=True))
        finally:
            csv.field_size_limit(before)

    return _title(first[1]), rows()


def _lines_rows(file: IO[str]) -> tuple[Title, Iterator[tuple[int, Row]]]:
    def rows() -> Iterator[tuple[int, Row]]:
        for number, line in enumerate(file, start=2):
            row = _object(number, line)
            if list(row) != list(COLUMNS) or not all(isinstance(value, str) for value in row.values()):
                raise AuditFileError(f"line {number}: {', '.join(COLUMNS)} are needed, in this order, each a string")
            yield number, row

    return _title(file.readline()), rows()


def _title(text: str) -> Title:
    told = _object(1, text)
    wanted = {field.name for field in fields(Title)}
    if set(told) != wanted or told["form"] != FORM:
        raise AuditFileError(f"line 1: an export of form {FORM} is needed, with {', '.join(sorted(wanted))}")
    return Title(**told)


def _object(number: int, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise AuditFileError(f"line {number}: {error}") from None
    if not isinstance(found, dict):
        raise AuditFileError(f"line {number}: a JSON object is needed")
    return found
