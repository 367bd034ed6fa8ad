"""Pack: reports as PostgreSQL's binary COPY, column by column (PostgreSQL documentation, COPY, "Binary Format")."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np

from underfoot.families import Family
from underfoot.reports import NO_SEQ, POSTGRES_EPOCH_US, Reports

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)
_WIRE = {"real": ">f4", "double precision": ">f8", "boolean": ">u1", "smallint": ">i2"}
_NULL = struct.pack(">i", -1)


def copy_columns(family: Family) -> tuple[str, ...]:
    """The columns of the family's table, in the order `pack` writes them."""
    return ("device_key", "ts", "digest", *family.fields, "received_at", "quality", "seq", "extra")


def pack(reports: Reports) -> bytes:
    """The reports as one binary COPY stream. Rows with the same fields present are packed together."""
    family = reports.family
    body = bytearray(COPY_HEADER)
    present = np.stack([~np.isnan(reports.columns[name]) for name in family.fields], axis=1)
    counted = reports.seq != NO_SEQ
    pattern = np.column_stack([present, counted]) @ (1 << np.arange(len(family.fields) + 1))
    _, first, group = np.unique(pattern, return_index=True, return_inverse=True)
    for number, example in enumerate(first):
        alike = reports if len(first) == 1 else reports.take(np.flatnonzero(group == number))
        _pack_alike(body, alike, tuple(present[example].tolist()), bool(counted[example]))
    body += COPY_TRAILER
    return bytes(body)


def _pack_alike(body: bytearray, reports: Reports, fields: tuple[bool, ...], has_seq: bool) -> None:
    family = reports.family
    table = np.full(len(reports), _blank_row(family, fields, has_seq))
    table["device_key"] = reports.device_key
    table["ts"] = reports.ts_us - POSTGRES_EPOCH_US
    table["digest"] = reports.digest
    table["received_at"] = reports.received_us - POSTGRES_EPOCH_US
    table["quality"] = reports.quality
    for name, there in zip(family.fields, fields, strict=True):
        if there:
            table[f"value {name}"] = reports.columns[name]
    if has_seq:
        table["seq"] = reports.seq
    packed = table.tobytes()
    if not any(reports.extra):
        body += packed
        return
    size = table.dtype.itemsize
    for place, extra in enumerate(reports.extra):
        row = packed[place * size : (place + 1) * size]
        # jsonb on the wire is a version byte and the text
        body += row if extra is None else row[: -len(_NULL)] + struct.pack(">iB", len(extra) + 1, 1) + extra


@cache
def _blank_row(family: Family, fields: tuple[bool, ...], has_seq: bool) -> np.void:
    """A row with the lengths of its values filled in, and no `extra`."""
    row = np.zeros(1, _row_type(family, fields, has_seq))
    row["count"] = len(family.fields) + 7
    row["extra"] = -1
    for name in row.dtype.names or ():
        if name.startswith("length "):
            row[name] = row.dtype[name.removeprefix("length ")].itemsize
        elif name.startswith("null "):
            row[name] = -1
    blank: np.void = row[0]
    return blank


def _row_type(family: Family, fields: tuple[bool, ...], has_seq: bool) -> np.dtype[np.void]:
    """A row with these fields and an `extra` that is null: a length before each value, −1 alone for a null."""
    parts: list[tuple[str, str]] = [("count", ">i2")]

    def there(name: str, wire: str) -> None:
        parts.extend([(f"length {name}", ">i4"), (name, wire)])

    there("device_key", ">i4")
    there("ts", ">i8")
    there("digest", ">i4")
    for column, is_there in zip(family.columns, fields, strict=True):
        if is_there:
            there(f"value {column.name}", _WIRE[column.type])
        else:
            parts.append((f"null {column.name}", ">i4"))
    there("received_at", ">i8")
    there("quality", ">i2")
    if has_seq:
        there("seq", ">i8")
    else:
        parts.append(("null seq", ">i4"))
    parts.append(("extra", ">i4"))
    return np.dtype(parts)
