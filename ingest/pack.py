"""Pack: reports as PostgreSQL's binary COPY, column by column (PostgreSQL documentation, COPY, "Binary Format")."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray

from underfoot.families import Family
from underfoot.reports import POSTGRES_EPOCH_US, Reports

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_WIRE = {"real": ">f4", "double precision": ">f8", "boolean": ">u1", "smallint": ">i2"}
_NULL = struct.pack(">i", -1)


def copy_columns(family: Family) -> tuple[str, ...]:
    """The columns of the family's table, in the order `pack` writes them."""
    return ("device_key", "ts", "digest", *family.fields, "received_at", "quality", "seq", "extra")


def pack(reports: Reports) -> bytes:
    """The reports as one binary COPY stream. Rows with the same fields present are packed together."""
    family = reports.family
    body = bytearray(_HEADER)
    present = np.stack([~np.isnan(reports.columns[name]) for name in family.fields], axis=1)
    seq_present = np.array([seq is not None for seq in reports.seq], np.bool_)
    pattern = np.packbits(np.column_stack([present, seq_present]), axis=1)
    _, first, group = np.unique(pattern, axis=0, return_index=True, return_inverse=True)
    seq = np.array([0 if value is None else value for value in reports.seq], np.int64)
    for number, example in enumerate(first):
        rows = np.flatnonzero(group.reshape(-1) == number)
        fields = tuple(bool(there) for there in present[example])
        _pack_alike(body, reports, rows, fields, seq if seq_present[example] else None)
    body += _TRAILER
    return bytes(body)


def _pack_alike(
    body: bytearray, reports: Reports, rows: NDArray[np.intp], fields: tuple[bool, ...], seq: NDArray[np.int64] | None
) -> None:
    family = reports.family
    table = np.zeros(len(rows), _row_type(family, fields, seq is not None))
    table["count"] = len(family.fields) + 7
    for name in table.dtype.names or ():
        if name.startswith("length "):
            table[name] = table.dtype[name.removeprefix("length ")].itemsize
        elif name.startswith("null "):
            table[name] = -1
    table["device_key"] = reports.device_key[rows]
    table["ts"] = reports.ts_us[rows] - POSTGRES_EPOCH_US
    table["digest"] = reports.digest[rows]
    table["received_at"] = reports.received_us[rows] - POSTGRES_EPOCH_US
    table["quality"] = reports.quality[rows]
    for name, there in zip(family.fields, fields, strict=True):
        if there:
            table[f"value {name}"] = reports.columns[name][rows]
    if seq is not None:
        table["seq"] = seq[rows]
    if all(reports.extra[row] is None for row in rows):
        tails = np.full(len(rows), -1, ">i4")
        whole = np.zeros(len(rows), [("row", table.dtype), ("extra", ">i4")])
        whole["row"] = table
        whole["extra"] = tails
        body += whole.tobytes()
        return
    packed = table.tobytes()
    size = table.dtype.itemsize
    for place, row in enumerate(rows):
        body += packed[place * size : (place + 1) * size]
        extra = reports.extra[row]
        # jsonb on the wire is a version byte and the text
        body += _NULL if extra is None else struct.pack(">iB", len(extra) + 1, 1) + extra


@cache
def _row_type(family: Family, fields: tuple[bool, ...], has_seq: bool) -> np.dtype[np.void]:
    """A row with these fields, up to and without `extra`: a length before each value, −1 alone for a null."""
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
    return np.dtype(parts)
