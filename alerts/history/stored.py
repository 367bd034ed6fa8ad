"""History: stored reports as the evaluator takes them, in order of event time, to judge again what has been.

Read as PostgreSQL's binary arrays straight into NumPy; what a report said as a dictionary is made only where asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from underfoot.families import Column, Family
from underfoot.families.declaration import ColumnType
from underfoot.reports import NO_SEQ, POSTGRES_EPOCH_US, SUBSTITUTED, Reports, moment
from underfoot.storage.arrays import ElementType
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement
from underfoot.storage.unpack import columns_of

SUBSTITUTED_MARKS = int(SUBSTITUTED)
_DIGITS = 7
_OWN: dict[str, ElementType] = {
    "device_key": "int4",
    "ts": "timestamptz",
    "received_at": "timestamptz",
    "digest": "int4",
    "quality": "int2",
    "seq": "int8",
}
_ELEMENT: dict[ColumnType, ElementType] = {
    "real": "float4",
    "double precision": "float8",
    "boolean": "float4",
    "smallint": "float4",
}
_VALUE: dict[ColumnType, str] = {
    "real": "coalesce({0}, 'NaN')",
    "double precision": "coalesce({0}, 'NaN')",
    "boolean": "coalesce({0}::int::real, 'NaN')",
    "smallint": "coalesce({0}::real, 'NaN')",
}


@dataclass(frozen=True)
class Devices:
    """Devices by slot: the order in which an evaluator has them."""

    device_key: NDArray[np.int32]

    def slots_of(self, device_keys: NDArray[np.int32]) -> NDArray[np.int32]:
        order = np.argsort(self.device_key, kind="stable")
        return order[np.searchsorted(self.device_key, device_keys, sorter=order)].astype(np.int32)


def stored_reports(
    connection: Connection,
    family: Family,
    devices: Devices,
    since_us: int,
    until_us: int,
    fields: Sequence[str] | None = None,
) -> Reports:
    """What these devices reported in [since, until) of event time; of the fields named, or of all."""
    names = family.fields if fields is None else tuple(fields)
    columns = [family.column[name] for name in names]
    kinds = _OWN | {column.name: _ELEMENT[column.type] for column in columns}
    params = {"since": moment(since_us), "until": moment(until_us), "device_keys": devices.device_key.tolist()}
    found = columns_of(connection, _query(family, names), params, **kinds)
    # Two reports of one time count by the device's own count, else as they came.
    order = np.lexsort((found["received_at"], found["seq"], found["ts"]))
    own = {name: found[name][order] for name in _OWN}
    values = {column.name: as_said(found[column.name][order], column.type) for column in columns}
    return Reports(
        family=family,
        slot=devices.slots_of(own["device_key"]),
        device_key=own["device_key"],
        ts_us=own["ts"] + POSTGRES_EPOCH_US,
        received_us=own["received_at"] + POSTGRES_EPOCH_US,
        digest=own["digest"],
        substituted=own["quality"] & SUBSTITUTED_MARKS != 0,
        quality=own["quality"],
        columns=values,
        values=_Said(columns, values, len(order)),
        seq=own["seq"],
        extra=(None,) * len(order),
    )


def rows_of(reports: Reports, rows: NDArray[np.intp]) -> Reports:
    """Stored reports at these rows, in that order; what they said is still made only where asked for."""
    values = {name: column[rows] for name, column in reports.columns.items()}
    said = _Said(tuple(reports.family.column[name] for name in values), values, len(rows))
    return replace(
        reports,
        slot=reports.slot[rows],
        device_key=reports.device_key[rows],
        ts_us=reports.ts_us[rows],
        received_us=reports.received_us[rows],
        digest=reports.digest[rows],
        substituted=reports.substituted[rows],
        quality=reports.quality[rows],
        columns=values,
        values=said,
        seq=reports.seq[rows],
        extra=(None,) * len(rows),
    )


def in_slices(
    connection: Connection,
    family: Family,
    devices: Devices,
    since_us: int,
    until_us: int,
    slice_us: int,
    fields: Sequence[str] | None = None,
) -> Iterator[tuple[int, Reports]]:
    """The same slice by slice of event time, each with the time until which it goes."""
    for begin_us in range(since_us, until_us, slice_us):
        end_us = min(begin_us + slice_us, until_us)
        yield end_us, stored_reports(connection, family, devices, begin_us, end_us, fields)


def slice_for(reports_per_s: float, *, rows: int = 50_000) -> int:
    """So long a slice (µs) that it holds about so many reports: at least a minute, at most a day. In a short one fewer
    reports stand beside one that matters: those of its device are all looked at."""
    seconds = rows / reports_per_s if reports_per_s > 0 else 86_400.0
    return int(min(max(seconds, 60.0), 86_400.0)) * 1_000_000


class _Said(Sequence[dict[str, Any]]):
    """What each report said, made when asked for: booleans and choices as such."""

    def __init__(self, columns: Sequence[Column], values: dict[str, NDArray[np.float64]], reports: int) -> None:
        self._columns = columns
        self._values = values
        self._reports = reports

    def __len__(self) -> int:
        return self._reports

    @overload
    def __getitem__(self, row: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, row: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, row: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(self._reports))]
        return {
            column.name: _READ[column.type](value)
            for column in self._columns
            if not np.isnan(value := self._values[column.name][row])
        }


_READ: dict[ColumnType, type[float] | type[bool] | type[int]] = {
    "real": float,
    "double precision": float,
    "boolean": bool,
    "smallint": int,
}


def as_said(values: NDArray[Any], kind: ColumnType) -> NDArray[np.float64]:
    """A value as its device said it: the table keeps 7 digits of it (`real`), and 0.3 is to reach a limit of 0.3."""
    wide = values.astype(np.float64)
    if kind != "real":
        return wide
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.floor(np.log10(np.abs(wide)))
    places = np.where(np.isfinite(magnitude), _DIGITS - 1 - magnitude, 0.0)
    up, down = 10.0 ** np.clip(places, 0, 22), 10.0 ** np.clip(-places, 0, 22)
    return np.round(wide * up / down) * down / up


@cache
def _query(family: Family, names: tuple[str, ...]) -> sql.Composed:
    fields = [sql.SQL(", " + _VALUE[family.column[name].type]).format(sql.Identifier(name)) for name in names]
    return sql.SQL(statement("history.reports")).format(
        table=sql.Identifier(family.table), fields=sql.SQL("").join(fields), no_seq=sql.Literal(NO_SEQ)
    )
