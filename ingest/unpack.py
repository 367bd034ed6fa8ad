"""Unpack: rows of fixed size out of the database by binary COPY, straight into arrays; the counterpart of `pack`.

A million devices come in seconds this way, and without a Python object for any of their fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from underfoot.storage.connect import Connection

_HEADER_SIZE = 19
_TRAILER_SIZE = 2
_WIRE = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "float8": ">f8", "timestamptz": ">i8"}


def copy_out(
    connection: Connection, query: sql.SQL | sql.Composed, params: Mapping[str, Any], **columns: str
) -> dict[str, NDArray[Any]]:
    """The columns of a query, none of them null, by name; `columns` gives each one's PostgreSQL type, in order.

    Times come as microseconds since 2000, as PostgreSQL keeps them.
    """
    raw = _read(connection, query, params, "BINARY")
    parts: list[tuple[str, str]] = [("count", ">i2")]
    for name, kind in columns.items():
        parts += [(f"length {name}", ">i4"), (name, _WIRE[kind])]
    rows = np.frombuffer(raw, np.dtype(parts), offset=_HEADER_SIZE, count=-1 if not raw else _count(raw, parts))
    return {name: rows[name].astype(rows.dtype[name].newbyteorder("=")) for name in columns}


def copy_out_text(connection: Connection, query: sql.SQL | sql.Composed, params: Mapping[str, Any]) -> list[str]:
    """One text column that holds neither tabs, backslashes nor line breaks."""
    return _read(connection, query, params, "TEXT").decode().split("\n")[:-1]


def _count(raw: bytes, parts: list[tuple[str, str]]) -> int:
    return (len(raw) - _HEADER_SIZE - _TRAILER_SIZE) // np.dtype(parts).itemsize


def _read(connection: Connection, query: sql.SQL | sql.Composed, params: Mapping[str, Any], how: str) -> bytes:
    whole = sql.SQL("COPY ({}) TO STDOUT (FORMAT {})").format(query, sql.SQL(how))
    with connection.cursor() as cursor, cursor.copy(whole, params) as copy:
        return b"".join(bytes(part) for part in copy)
