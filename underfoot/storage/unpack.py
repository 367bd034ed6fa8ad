"""Unpack: columns out of the database as PostgreSQL's binary arrays, straight into NumPy; the counterpart of `arrays`.

A million devices come in seconds this way, and without a Python object for any of their fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from underfoot.storage.arrays import WIRE, ElementType
from underfoot.storage.connect import Connection

_HEADER_SIZE = 20


def columns_of(
    connection: Connection, query: sql.SQL | sql.Composed, params: Mapping[str, Any], **columns: ElementType
) -> dict[str, NDArray[Any]]:
    """The columns of a query, none of them null, by name and in its order; `columns` gives each one's type.

    Times come as microseconds since 2000, as PostgreSQL keeps them.
    """
    arrays = sql.SQL(", ").join(sql.SQL("array_agg({})").format(sql.Identifier(name)) for name in columns)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    whole = sql.SQL("SELECT {} FROM ({}) AS rows ({})").format(arrays, query, names)
    with connection.cursor(binary=True) as cursor:
        cursor.execute(whole, params)
        result = cursor.pgresult
        raw = [result.get_value(0, place) if result is not None else None for place in range(len(columns))]
    return {name: _elements(array, kind) for array, (name, kind) in zip(raw, columns.items(), strict=True)}


def lines_of(connection: Connection, query: sql.SQL | sql.Composed, params: Mapping[str, Any]) -> list[str]:
    """One text column that holds no line breaks."""
    whole = sql.SQL("SELECT string_agg(line, E'\\n') FROM ({}) AS rows (line)").format(query)
    row = connection.execute(whole, params).fetchone()
    return row[0].split("\n") if row is not None and row[0] is not None else []


def _elements(array: bytes | None, kind: ElementType) -> NDArray[Any]:
    dtype = WIRE[kind].dtype
    values = np.frombuffer(array or bytes(_HEADER_SIZE), dtype, offset=_HEADER_SIZE)["value"]
    return values.astype(values.dtype.newbyteorder("="))
