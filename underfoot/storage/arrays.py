"""Arrays: NumPy columns as PostgreSQL array parameters, so that many rows go into one statement without an object for
any value (PostgreSQL, `array_send`: a header, then each element's length and bytes).

Nothing here is null: what may be is float with NaN for it, and the statement says so (`nullif`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from underfoot.storage.connect import Connection

ElementType = Literal["int4", "int8", "int2", "float4", "float8", "timestamptz"]


@dataclass(frozen=True, slots=True)
class _Wire:
    element_oid: int
    array_oid: int
    dtype: np.dtype[np.void]


def _wire(element_oid: int, array_oid: int, value: str) -> _Wire:
    return _Wire(element_oid, array_oid, np.dtype([("length", ">i4"), ("value", value)]))


WIRE: dict[ElementType, _Wire] = {
    "int2": _wire(21, 1005, ">i2"),
    "int4": _wire(23, 1007, ">i4"),
    "int8": _wire(20, 1016, ">i8"),
    "float4": _wire(700, 1021, ">f4"),
    "float8": _wire(701, 1022, ">f8"),
    "timestamptz": _wire(1184, 1185, ">i8"),
}


class _Parameter:
    """A column, packed; a subclass a type, since that is how psycopg finds what to call it."""

    type: ClassVar[ElementType]
    __slots__ = ("packed",)

    def __init__(self, values: NDArray[Any]) -> None:
        wire = WIRE[self.type]
        elements = np.empty(len(values), wire.dtype)
        elements["length"] = wire.dtype["value"].itemsize
        elements["value"] = values
        self.packed = struct.pack(">iiIii", 1, 0, wire.element_oid, len(values), 1) + elements.tobytes()


class _ParameterDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Parameter) -> Buffer:
        return obj.packed


_PARAMETERS: dict[ElementType, type[_Parameter]] = {
    name: type(f"_{name.capitalize()}s", (_Parameter,), {"type": name, "__slots__": ()}) for name in WIRE
}
_DUMPERS = {
    name: type(f"_{name.capitalize()}sDumper", (_ParameterDumper,), {"oid": wire.array_oid})
    for name, wire in WIRE.items()
}


def as_array(values: NDArray[Any], element_type: ElementType) -> Any:
    """A parameter of type `element_type[]`; timestamptz: microseconds since 2000, as PostgreSQL keeps them."""
    return _PARAMETERS[element_type](values)


def allow_arrays(connection: Connection) -> None:
    """Teach a connection to take them."""
    for name, parameter in _PARAMETERS.items():
        connection.adapters.register_dumper(parameter, _DUMPERS[name])
